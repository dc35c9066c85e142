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


with Rig() as rig:
    module = rig.module("good", "qingtian", PCR0)
    public_key(rig)
    nonces(rig, module)
done()
