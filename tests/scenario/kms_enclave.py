# SPDX-License-Identifier: Apache-2.0
"""A secret that only the measured enclave can read, in real virtual machines: image with qt-kms, policy from its PCR0, the
call through the proxy in both modes; then one byte of the application changes, and the KMS refuses."""
import hashlib
import json
import os
import shutil
import subprocess
import sys

import monitor_rig
from guest_vm import BUILD, INIT
from harness import check, done
from kms_rig import PCR0, Rig
from monitor_rig import Monitor
from vsock_vm import kernel_directory, reason_to_skip

SECRET = os.urandom(16).hex().encode()
API, PIPE, CREDS = 8001, 8000, 8002

if reason := reason_to_skip():
    print(f"1..0 # SKIP {reason}")
    sys.exit()
KERNEL = kernel_directory()


def build(rig, name, ciphertext, arguments, data=b"the application"):
    """An image whose application is qt-kms itself: it ends well only with the right secret."""
    root = rig.top / f"{name}.root"
    for folder in ("dev", "proc", "sys", "tmp", "run"):
        (root / folder).mkdir(parents=True)
    shutil.copy(BUILD / "guest/qt-kms", root / "qt-kms")
    shutil.copy(rig.home / "tls.pem", root / "ca.pem")
    (root / "secret").write_bytes(ciphertext)
    (root / "data").write_bytes(data)
    image = rig.top / f"{name}.eif"
    r = subprocess.run([BUILD / "cli/qt-enclave", "build-eif", "--output", image, "--rootfs", root, "--kernel", KERNEL / "vmlinuz",
                        "--modules-dir", KERNEL / "modules", "--init", INIT, "--", "/qt-kms", "decrypt", *map(str, arguments),
                        "--output-file", "/run/secret", "--expect-sha256", hashlib.sha256(SECRET).hexdigest(), "/secret"], capture_output=True, text=True)
    check(r.returncode == 0, f"an image with qt-kms in it: {name}", r.stderr)
    return image, json.loads(r.stdout)["Measurements"]["PCR0"]


def run(rig, image, name):
    """Start the machine and wait for its application's exit code."""
    def directory_of_that_name(prefix):
        (rig.top / "e" / name).mkdir()
        return str(rig.top / "e" / name)

    monitor_rig.tempfile.mkdtemp = directory_of_that_name
    monitor = Monitor(image.read_bytes(), Platform="qingtian", Debug=False, DevelopmentPki=str(rig.top / "pki"), MemoryMiB=512)
    try:
        return monitor.wait_for(lambda f: f["State"] in ("stopped", "failed"))
    finally:
        monitor.close()


def make_root(rig):
    """The development root, before the first machine needs it; the monitors' user owns it."""
    process = rig.start("root", BUILD / "tests/programs/secmod_socket", rig.top / "x.sock", rig.top / "pki", "qingtian", PCR0,
                        stdin=subprocess.DEVNULL)
    process.wait(60)
    if os.getuid() == 0:
        for path in [rig.top / "pki", *(rig.top / "pki").iterdir()]:
            os.chown(path, 65534, -1)
    for path in (rig.top, rig.top / "e"):
        path.chmod(0o711)
    (rig.top / "e").chmod(0o755)


with Rig() as rig:
    make_root(rig)
    keys = json.loads((rig.home / "credentials.json").read_text())
    (rig.home / "credentials.json").write_text(json.dumps({**keys, "security_token": "a-session"}))
    ciphertext = rig.encrypt(SECRET)
    api = ["--proxy", f"vsock:3:{API}"]
    good, pcr0 = build(rig, "good", ciphertext, api)
    changed, changed_pcr0 = build(rig, "changed", ciphertext, api, data=b"the applicatioN")
    check(pcr0 != changed_pcr0, "one byte of another file is another measurement", pcr0)
    # The port of the development KMS is part of the command line in pipe mode, so it serves first; nobody may decrypt yet.
    kms, port = rig.dev_kms("qingtian")
    piped, piped_pcr0 = build(rig, "pipe", ciphertext, [
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
