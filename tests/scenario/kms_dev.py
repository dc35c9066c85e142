# SPDX-License-Identifier: Apache-2.0
"""The development KMS itself: what it refuses that a cloud's would, asked by whoever holds the credentials."""
import base64
import json
import subprocess

from harness import BUILD, check, done
from kms_caller import call_kms
from kms_rig import DEV_KMS, PCR0, Rig, allow

QT_ATTEST = BUILD / "guest/qt-attest-qtsm"


def public_key(rig):
    key = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-outform", "DER"], capture_output=True, check=True).stdout
    (rig.top / "spki").write_bytes(subprocess.run(["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], input=key,
                                                  capture_output=True, check=True).stdout)
    return rig.top / "spki"


def recipient(rig, module, *nonce):
    """A fresh document to a key, as a call carries it."""
    out = rig.run(QT_ATTEST, "document", "--device", module, "--public-key", f"@{rig.top}/spki", *nonce)
    return {"recipient": {"attestation_document": base64.b64encode(out.out).decode(),
                          "key_encryption_algorithm": "RSAES_OAEP_SHA_256"}}


def nonces(rig, module):
    """A document is good once, and so is its nonce: the same enclave's next document with it is a replay."""
    rig.policy([allow("kms:cmk:generate", PCR0)])
    for options in ((), ("--reuse", "1h")):
        kms, port = rig.dev_kms("qingtian", *options)

        def ask(document):
            status, answer = call_kms(rig, port, {"random_data_length": "256", **document}, "gen-random")
            return status, json.dumps(answer)

        first = recipient(rig, module, "--nonce", "aa" * 16)
        status, answer = ask(first)
        check(status == 200 and "ciphertext_recipient" in answer, f"{options}: a document with a fresh nonce is good", answer)
        status, answer = ask(first)
        check(status == 200 if options else status == 403 and "document was used before" in answer,
              f"{options}: the same document again", answer)
        for _ in range(2):
            status, answer = ask(recipient(rig, module, "--nonce", "aa" * 16))
            check(status == 403 and "nonce of the attestation document was used before" in answer,
                  f"{options}: a fresh document with that nonce is refused", answer)
        status, answer = ask(recipient(rig, module, "--nonce", "bb" * 16))
        check(status == 200, f"{options}: and one with another is good", answer)
        status, answer = ask(recipient(rig, module))
        check(status == 403 and "has no nonce" in answer, f"{options}: one without a nonce is refused", answer)
        rig.end(kms)


def policies(rig):
    """A policy of which a part could never match is not served."""
    rig.policy([{"Effect": "Allow", "Action": "*"}, {"Effect": "Deny", "Action": ["kms:Encrypt", "kms:Decryt"]}])
    out = rig.run(DEV_KMS, "serve", rig.home, "--root", rig.top / "pki/root.pem", "--platform", "qingtian", "--port", 0)
    check(out.status == 2 and "statement 2: Action \"kms:Decryt\"" in out.err, policies.__doc__, out)


def signatures(rig):
    """A signature counts in its own cloud's scheme, and for the key management service."""
    rig.policy([{"Effect": "Allow", "Action": ["kms:Generate*", "kms:cmk:generate"]}])
    kms, port = rig.dev_kms("qingtian")
    for what, status, operation, scope in (
            ("Huawei's", 200, "gen-random", {}), ("AWS's", 200, "GenerateRandom", {}),
            ("AWS's for another region", 200, "GenerateRandom", {"region": "nowhere-9"}),
            ("AWS's for another service", 401, "GenerateRandom", {"service": "s3"}),
            ("AWS's on a call of Huawei's", 401, "gen-random", {"scheme": "aws"})):
        found, answer = call_kms(rig, port, {"NumberOfBytes": 8, "random_data_length": "64"}, operation, **scope)
        check(found == status and ("signature is not valid" in json.dumps(answer)) == (status == 401), f"a signature: {what}",
              found, answer)
    rig.end(kms)


def sizes(rig):
    """As much as the clouds encrypt, whole or not at all."""
    rig.policy([{"Effect": "Allow", "Action": ["kms:cmk:encrypt", "kms:cmk:decrypt"]}])
    kms, port = rig.dev_kms("qingtian")
    secret = b"x" * 4096
    out = rig.run(DEV_KMS, "encrypt", rig.home, stdin=secret)
    status, answer = call_kms(rig, port, {"cipher_text": out.out.decode().strip()})
    check(status == 200 and answer["plain_text"].encode() == secret, "4096 bytes come back whole", status, answer)
    for size in (4097, 65537):
        out = rig.run(DEV_KMS, "encrypt", rig.home, stdin=b"x" * size)
        check(out.status == 7 and not out.out and "4096 bytes" in out.err, f"{size} bytes are refused", out)
    for size, expected in ((4096, 200), (4097, 400)):
        status, answer = call_kms(rig, port, {"key_id": "dev-key", "plain_text": "x" * size}, "encrypt-data")
        check(status == expected, f"in a call: {size} bytes", status, answer)
    rig.end(kms)


def halves(rig):
    """Certificate and key are made anew when either is gone, and what is there stays."""
    for gone in ("tls.pem", "tls.key"):
        before = {f.name: f.read_bytes() for f in rig.home.iterdir()}
        (rig.home / gone).unlink()
        out = rig.run(DEV_KMS, "init", rig.home)
        after = {f.name: f.read_bytes() for f in rig.home.iterdir()}
        kms, port = rig.dev_kms("qingtian")
        status, _ = call_kms(rig, port, {"cipher_text": "AAAA"})
        check(out.status == 0 and before.keys() == after.keys() and status == 400 and
              sorted(n for n in after if after[n] != before[n]) == ["tls.key", "tls.pem"], f"without {gone}: a new pair", out, status)
        rig.end(kms)
    rig.run(DEV_KMS, "init", rig.home)
    check({f.name: f.read_bytes() for f in rig.home.iterdir()} == after, "and nothing is when nothing is missing")


with Rig() as rig:
    module = rig.module("good", "qingtian", PCR0)
    public_key(rig)
    nonces(rig, module)
    policies(rig)
    signatures(rig)
    sizes(rig)
    halves(rig)
done()
