# SPDX-License-Identifier: Apache-2.0
"""qt-attest against the local security module and against a stand-in of libqtsm; what it gets verifies."""
import json
import os
import pathlib
import subprocess
import tempfile

BUILD = pathlib.Path(os.environ["QT_BUILD_ROOT"])
PROGRAM, VERIFIER = BUILD / "guest/qt-attest", BUILD / "cli/qt-enclave"
n = 0


def point(ok, what, *lines):
    global n
    n += 1
    print(f"{'ok' if ok else 'not ok'} {n} - {what}")
    if not ok:
        for line in lines:
            print("#", str(line).replace("\n", "\n# "))


def run(*words, program=PROGRAM, **more):
    return subprocess.run([program, *map(str, words)], capture_output=True, timeout=60, **more)


class Module:
    def __init__(self, directory, platform, *debug):
        self.directory, self.platform = directory, platform
        self.pki = directory / "pki"
        self.pki.mkdir(exist_ok=True)
        self.socket = directory / f"{platform}{len(debug)}.sock"
        self.process = subprocess.Popen([BUILD / "tests/programs/secmod_server", self.socket, self.pki, platform, *debug],
                                        stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def ask(self, *words):
        return run(*words, "--device", f"unix:{self.socket}")

    def verify(self, document, *options, policy=None):
        file, rules = self.directory / "document.bin", self.directory / "policy.json"
        file.write_bytes(document)
        rules.write_text(json.dumps(policy or {"PcrSets": [{"PCR0": "a0" * 48}]}))
        done = run("attest", "verify", file, "--policy", rules, "--profile", self.platform, "-o", "json",
                   *(options or ("--root", self.pki / "root.pem")), program=VERIFIER)
        found = json.loads(done.stdout)
        return found["crypto"]["reason"], found["policy"]["reason"], done.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def local(directory, platform):
    with Module(directory, platform) as m:
        data = directory / "data"
        data.write_bytes(b"user data")
        root = ("--root", m.pki / "root.pem")
        got = m.ask("document", "--nonce", "aabb", "--user-data", f"@{data}", "--public-key", "cc")
        point(got.returncode == 0 and not got.stderr, f"{platform}: a document", got.stderr)
        bound = ("--nonce", "aabb", "--user-data", f"@{data}", "--public-key", "cc")
        for what, options, expected in (
                ("verifies with what was put into it", root + bound, ("ok", "ok", 0)),
                ("is refused with another nonce", root + ("--nonce", "aabc"), ("ok", "nonce-mismatch", 1)),
                ("is refused without its root", bound, ("root-not-pinned", "crypto-invalid", 1))):
            found = m.verify(got.stdout, *options)
            point(found == expected, f"{platform}: it {what}", found)
        point(m.ask("extend", "16", "0102").returncode == 0, f"{platform}: an open PCR can be extended")
        refused = m.ask("extend", "3", "0102")
        point(refused.returncode == 1 and b"AttestationRefused" in refused.stderr, f"{platform}: a locked one cannot",
              refused.stderr)
        point(m.ask("lock", "16").returncode == 0 and m.ask("lock", "16").returncode == 1, f"{platform}: a lock is once")
        pcrs = m.ask("pcrs").stdout.decode().splitlines()
        point(len(pcrs) == 32 and pcrs[16].split()[1] == "locked" and pcrs[17].split()[1] == "unlocked" and
              pcrs[0].split()[2] == "a0" * 48, f"{platform}: all PCRs are shown", *pcrs)
        value = pcrs[16].split()[2]
        found = m.verify(m.ask("document").stdout, policy={"PcrSets": [{"PCR0": "a0" * 48, "PCR16": value}]})
        point(found == ("ok", "ok", 0), f"{platform}: a policy on the application's PCR", found)
        random = m.ask("random", "1000").stdout
        point(len(random) == 1000 and len(set(random)) > 100, f"{platform}: random bytes")
        large = directory / "large"
        large.write_bytes(bytes(1025))
        refused = m.ask("document", "--nonce", f"@{large}")
        point(refused.returncode == 1 and not refused.stdout, f"{platform}: a nonce of 1025 bytes is refused", refused.stderr)
    with Module(directory, platform, "debug") as m:
        found = m.verify(m.ask("document").stdout)
        point(found == ("ok", "debug-document", 1), f"{platform}: a debug enclave's document is refused", found)


def qtsm():
    environment = dict(os.environ, LD_LIBRARY_PATH=str(BUILD / "tests/programs"))
    program = BUILD / "guest/qt-attest-qtsm"
    got = run("document", "--device", "qtsm", "--nonce", b"n".hex(), "--user-data", b"uu".hex(), "--public-key",
              b"ppp".hex(), program=program, env=environment)
    point(got.stdout == b"user_data uu nonce n public_key ppp" and b"QTSM" in got.stderr,
          "libqtsm: a document, and what the library prints is not in it", got.stdout, got.stderr)
    refused = run("extend", "3", "00", "--device", "qtsm", program=program, env=environment)
    point(refused.returncode == 1, "libqtsm: its refusal is one", refused.stderr)
    pcrs = run("pcrs", "--device", "qtsm", program=program, env=environment).stdout.decode().splitlines()
    point(len(pcrs) == 32 and pcrs[31].split()[2] == "1f" * 48, "libqtsm: PCRs", *pcrs)
    missing = run("document", "--device", "qtsm", program=program, env=dict(os.environ, LD_LIBRARY_PATH=""))
    point(missing.returncode == 9 and not missing.stdout, "libqtsm: not there", missing.stderr)


def usage():
    for words, status in ((("document", "--nonce", "x", "--device", "unix:/none"), 9), (("nothing",), 2), ((), 2),
                          (("document", "extra"), 2), (("pcrs", "--device", "nsm"), 9), (("pcrs", "--device", "tpm"), 2)):
        done = run(*words)
        point(done.returncode == status and not done.stdout and done.stderr.count(b"\n") == 1,
              f"exit status {status}: qt-attest {' '.join(words)}", done.returncode, done.stderr)


with tempfile.TemporaryDirectory(prefix="qt-attest-") as made:
    for chosen in ("nitro", "qingtian"):
        local(pathlib.Path(made), chosen)
qtsm()
usage()
print(f"1..{n}")
