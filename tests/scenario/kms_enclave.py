# SPDX-License-Identifier: Apache-2.0
"""A secret that only the measured enclave can read, in real virtual machines: image with qt-kms, policy from its PCR0, the
call through the proxy in both modes; then one byte of the application changes, and the KMS refuses."""
import hashlib
import json
import os
import shutil
import sys

from harness import check, done
from kms_rig import Rig, in_hours
from kms_vm import build, make_root, run
from vsock_vm import reason_to_skip

SECRET = os.urandom(16).hex().encode()
API, PIPE, CREDS = 8001, 8000, 8002

if reason := reason_to_skip():
    print(f"1..0 # SKIP {reason}")
    sys.exit()


def image_of(rig, name, ciphertext, arguments, data=b"the application"):
    """An image whose application is qt-kms itself: it ends well only with the right secret."""
    return build(rig, name, {"ca.pem": rig.home / "tls.pem", "secret": ciphertext, "data": data}, "/qt-kms", "decrypt", *arguments,
                 "--output-file", "/run/secret", "--expect-sha256", hashlib.sha256(SECRET).hexdigest(), "/secret")




with Rig() as rig:
    make_root(rig)
    keys = json.loads((rig.home / "credentials.json").read_text())
    (rig.home / "credentials.json").write_text(json.dumps({**keys, "security_token": "a-session", "expires_at": in_hours(1)}))
    ciphertext = rig.encrypt(SECRET)
    api = ["--proxy", f"vsock:3:{API}"]
    good, pcr0 = image_of(rig, "good", ciphertext, api)
    changed, changed_pcr0 = image_of(rig, "changed", ciphertext, api, data=b"the applicatioN")
    check(pcr0 != changed_pcr0, "one byte of another file is another measurement", pcr0)
    # The port of the development KMS is part of the command line in pipe mode, so it serves first; nobody may decrypt yet.
    kms, port = rig.dev_kms("qingtian")
    piped, piped_pcr0 = image_of(rig, "pipe", ciphertext, [
        "--mode", "pipe", "--proxy", f"vsock:3:{PIPE}", "--region", "local-1", "--project", "p1", "--endpoint", f"localhost:{port}",
        "--ca-file", "/ca.pem", "--credentials", f"vsock:3:{CREDS}"])
    rig.end(kms)
    rig.policy([{"Effect": "Allow", "Action": ["kms:cmk:decrypt"], "Condition": {"StringEqualsIgnoreCase": {
        "kms:RecipientAttestation/PCR0": [pcr0, piped_pcr0]}}}])
    kms, _ = rig.dev_kms("qingtian", "--port", port)
    rig.attest_policy(pcr0, changed_pcr0)  # the proxy would let the changed one through; the KMS must not
    shutil.rmtree(rig.top / "e/one")
    (rig.top / "e/one").mkdir()
    rig.proxy(rig.proxy_section() + rig.api_section("kms", API, port, operations=["decrypt-data"]) + f"""[pipe tls]
port = {PIPE}
allow = localhost:{port}
private-addresses = yes
[creds temporary]
port = {CREDS}
enclave = pipe
credentials = file:{rig.home}/credentials.json
""", API)
    facts = run(rig, good, "api")
    check(facts.get("ExitCode") == 0, "the measured enclave decrypts its secret through the proxy", facts, rig.audit())
    records = [r for r in rig.audit() if r.get("operation")]
    check([(r["verdict"], r["pcr0"]) for r in records] == [("allowed", pcr0[:16])], "and the audit says so", records)
    facts = run(rig, changed, "changed")
    check(facts.get("ExitCode") == 1, "with one byte changed, it does not", facts)
    last = [r for r in rig.audit() if r.get("operation")][-1]
    check(last["reason"] == "KmsRefused" and last["http_status"] == 403 and last["pcr0"] == changed_pcr0[:16],
          "and it was the KMS that refused", last)
    facts = run(rig, piped, "pipe")
    check(facts.get("ExitCode") == 0, "in pipe mode, TLS from inside the enclave, with the credentials of its creds listener",
          facts, rig.audit()[-3:])
    facts = run(rig, piped, "stranger")
    check(facts.get("ExitCode") == 9, "an enclave that the creds listener does not serve makes no call", facts, rig.audit()[-3:])
done()
