# SPDX-License-Identifier: Apache-2.0
"""From an image to a verified document: build-eif, a real virtual machine, qt-attest inside, the document out over vsock,
the policy made from the image; and refused as soon as one thing is not as it was."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import harness
from guest_vm import BUILD, INIT
from monitor_rig import Monitor, read_all
from vsock_vm import kernel_directory, reason_to_skip

if reason := reason_to_skip():
    print(f"1..0 # SKIP {reason}")
    sys.exit()
KERNEL = kernel_directory()
PROGRAM = BUILD / "cli/qt-enclave"
point = harness.check


def run(*words):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=120)
    if done.returncode > 1:
        raise AssertionError(f"{words}: {done.stderr}")
    return done


def build(directory, name, content):
    """An image whose root file system differs in the content of one file."""
    root = directory / f"{name}.root"
    for folder in ("dev", "proc", "sys", "tmp", "run"):
        (root / folder).mkdir(parents=True)
    shutil.copy(BUILD / "guest/qt-attest", root / "qt-attest")
    shutil.copy(BUILD / "tests/programs/attest_app", root / "app")
    (root / "data").write_bytes(content)
    image = directory / f"{name}.eif"
    run("build-eif", "--output", image, "--rootfs", root, "--cmd", "/app", "--kernel", KERNEL / "vmlinuz", "--modules-dir",
        KERNEL / "modules", "--init", INIT)
    return image


def policy_of(image):
    path = image.with_suffix(".json")
    path.write_text(run("attest", "policy", "--from-eif", image).stdout)
    return path


class Enclave:
    """A running machine; what it answers, and the root of its module."""
    def __init__(self, image, platform, debug=False):
        self.monitor = Monitor(image.read_bytes(), Platform=platform, Debug=debug)
        self.platform = platform

    def document(self, way, nonce):
        connection = self.monitor.connect()
        try:
            stream = connection.stream("Connect", Port=7000)
        finally:
            connection.close()
        stream.sendall(f"{way} {nonce}\n".encode())
        return read_all(stream)

    def __enter__(self):
        facts = self.monitor.wait_for(lambda f: f["Timeline"].get("started"))
        for _ in range(200):
            try:
                self.document("api", "00")
                break
            except Exception:  # the application started but does not listen yet
                time.sleep(0.1)
        self.facts = facts
        self.root = self.monitor.directory / "development-pki/root.pem"
        return self

    def __exit__(self, *_):
        self.monitor.close()


def verify(directory, document, policy, platform, root, *options):
    file = directory / "document.bin"
    file.write_bytes(document)
    done = run("attest", "verify", file, "--policy", policy, "--profile", platform, "--root", root, "-o", "json", *options)
    found = json.loads(done.stdout)
    return found["crypto"]["reason"], found["policy"]["reason"], done.returncode


def whole_life(directory, image, policy, platform, other_root):
    nonce = os.urandom(16).hex()
    with Enclave(image, platform) as e:
        document = e.document("program", nonce)
        by_api = e.document("api", nonce)
        facts, root = e.facts, directory / f"{platform}.pem"
        root.write_bytes(e.root.read_bytes())
    rules = (policy, platform, root)
    for what, found in (("qt-attest", document), ("the library", by_api)):
        verdict = verify(directory, found, *rules, "--nonce", nonce)
        point(verdict == ("ok", "ok", 0), f"{platform}: a document by {what} verifies with the policy of the image",
              verdict, found[:80])
    point(json.loads(policy.read_text())["PcrSets"][0]["PCR0"] == facts["PCR0"],
          f"{platform}: the monitor tells the same PCR0")
    made = json.loads(policy.read_text())
    for pcr_set in made["PcrSets"]:
        pcr_set["PCR0"] = f"{int(pcr_set['PCR0'], 16) ^ 1:096x}"
    flipped = directory / "flipped.json"
    flipped.write_text(json.dumps(made))
    tampered = bytearray(document)
    tampered[len(tampered) // 2] ^= 1
    hour = str(int(time.time()) + 3600)
    for what, expected, verdict in (
            ("another nonce", ("ok", "nonce-mismatch", 1), verify(directory, document, *rules, "--nonce", nonce[2:])),
            ("a bit of the policy", ("ok", "pcr-mismatch", 1), verify(directory, document, flipped, platform, root)),
            ("another root", ("root-not-pinned", "crypto-invalid", 1), verify(directory, document, policy, platform, other_root)),
            ("an hour later", ("ok", "too-old", 1), verify(directory, document, *rules, "--time", hour))):
        point(verdict == expected, f"{platform}: refused: {what}", verdict)
    verdict = verify(directory, bytes(tampered), *rules)
    point(verdict[2] == 1 and verdict[1] == "crypto-invalid", f"{platform}: refused: a bit of the document", verdict)
    if platform == "qingtian":
        verdict = verify(directory, document, policy, "nitro", root)
        # On some hosts its certificates are longer than the other platform allows, which is noticed first.
        point(verdict[0] in ("signature-invalid", "field-size") and verdict[1:] == ("crypto-invalid", 1),
              "qingtian: refused: the other platform's rules", verdict)


def changed(directory, image, policy, platform, **how):
    with Enclave(image, platform, **how) as e:
        document = e.document("program", "aa")
        root = directory / "changed.pem"
        root.write_bytes(e.root.read_bytes())
    return verify(directory, document, policy, platform, root)


def connect(d, name):
    """b"" while the application does not listen yet."""
    p = d.popen("connect", name, "7000", stdin=subprocess.PIPE, text=False)
    return p.communicate(b"program 00c0ffee\n", timeout=harness.PATIENCE)[0]


def by_hand(directory, image, policy):
    """What a user types: a daemon of their own, run, connect, verify; twice, under one development root."""
    with harness.Daemon(uid=65534 if os.getuid() == 0 else None) as d:
        eif = d.home / "app.eif"
        shutil.copy(image, eif)
        os.chmod(eif, 0o644)
        root = d.home / ".local/state/qt-enclave/development-pki/root.pem"
        verdicts, roots = [], []
        for name in ("one", "two"):
            started = d.cli("run", "--eif", str(eif), "--name", name, "--memory", "256", "--cpus", "2")
            if started.status != 0:
                raise AssertionError(started)
            document = harness.wait_for(lambda: connect(d, name), "a document")
            verdicts.append(verify(directory, document, policy, "qingtian", root, "--nonce", "00c0ffee"))
            roots.append(root.read_bytes())
            d.cli("terminate", name)
        point(verdicts == [("ok", "ok", 0)] * 2, "a user's own daemon: run, connect, verify", verdicts)
        point(roots[0] == roots[1], "and the next enclave has the same development root")


with tempfile.TemporaryDirectory(prefix="qt-attest-", dir=os.environ.get("TMPDIR", "/var/tmp")) as made_directory:
    folder = pathlib.Path(made_directory)
    first, second = build(folder, "first", b"\x00"), build(folder, "second", b"\x01")
    rules_of_first = policy_of(first)
    stranger = folder / "stranger.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384", "-nodes",
                    "-keyout", folder / "stranger.key", "-out", stranger, "-subj", "/CN=stranger", "-addext",
                    "keyUsage=keyCertSign"], check=True, capture_output=True)
    whole_life(folder, first, rules_of_first, "qingtian", stranger)
    whole_life(folder, first, rules_of_first, "nitro", stranger)
    found_second = changed(folder, second, rules_of_first, "qingtian")
    point(found_second == ("ok", "pcr-mismatch", 1), "refused: one bit of the image", found_second)
    found_debug = changed(folder, first, rules_of_first, "qingtian", debug=True)
    point(found_debug == ("ok", "debug-document", 1), "refused: debug mode", found_debug)
    by_hand(folder, first, rules_of_first)
harness.done()
