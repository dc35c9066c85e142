# SPDX-License-Identifier: Apache-2.0
"""How every program ends when it cannot do its work: one line "PROGRAM: Name: message" with a name and an exit status of the
one table; and what qt-kms-proxy --check-config finds before a start would."""
import os
import re
import subprocess

from harness import BUILD, CLI, DAEMON, ORDINARY, as_user, check, done, reachable, skip
from kms_rig import DEV_KMS, PCR0, PROXY, QT_KMS, Rig

PROGRAMS = {"qt-enclave": CLI, "qt-enclaved": DAEMON, "qt-enclave-monitor": str(BUILD / "monitor/qt-enclave-monitor"),
            "qt-kms-proxy": PROXY, "qt-kms": QT_KMS, "qt-dev-kms": DEV_KMS, "qt-attest": str(BUILD / "guest/qt-attest-qtsm")}


def table():
    """Names and exit statuses, as `explain` prints them."""
    rows = subprocess.run([CLI, "explain"], capture_output=True, text=True, check=True).stdout
    return {name: int(status) for name, status in re.findall(r"^(\w+) +(\d+)  ", rows, re.M)}


def ends_with(what, names, program, name, words, *arguments, stdin=b""):
    r = Rig.run(PROGRAMS[program], *arguments, stdin=stdin)
    check(r.status == names[name] and r.err.startswith(f"{program}: {name}: ") and r.err.count("\n") == 1
          and all(w in r.err for w in words), what, f"wanted {name} {words}", r)


def every_program(names):
    for program in PROGRAMS:
        verb = ["describe"] if program == "qt-enclave" else []
        ends_with(f"{program}: an option that it does not have", names, program, "Usage", ["--nonsense"], *verb, "--nonsense")
    ends_with("a verb that there is not", names, "qt-enclave", "Usage", ["nonsense"], "nonsense")
    ends_with("another tool that there is not", names, "qt-enclave", "Usage", ["nonsense"], "--as", "nonsense")


def runtime_directories(rig, names):
    """An operator's mistake is none of ours."""
    missing = rig.top / "no-such"
    ends_with("a runtime directory in none", names, "qt-enclaved", "Usage", [f"cannot make {missing}/x: ", "make that one first"],
              "--runtime-dir", missing / "x")
    what = "and one that only others may make"
    if os.getuid() != 0 or not reachable(ORDINARY, DAEMON):
        skip(what, "needs root, and a build that others may read")
        return
    r = Rig.run(*as_user(ORDINARY), DAEMON, "--runtime-dir", "/of-others")
    check(r.status == names["PermissionDenied"] and "PermissionDenied: you may not make /of-others; " in r.err and "--user" in r.err, what, r)


def sockets(rig, names):
    """Both places where a daemon may be are named, in the order in which they were tried."""
    if os.path.exists("/run/qt-enclave/qt-enclaved.sock"):
        skip("both sockets are named", "a daemon of the system's runs here")
        return
    environment = {k: v for k, v in os.environ.items() if k != "QT_ENCLAVE_SOCKET"}
    r = Rig.run(CLI, "describe", env={**environment, "XDG_RUNTIME_DIR": str(rig.top)})
    check(r.status == names["DaemonUnreachable"] and r.err.count("\n") == 1
          and f"no daemon answers on {rig.top}/qt-enclave/qt-enclaved.sock or /run/qt-enclave/qt-enclaved.sock " in r.err, "both sockets are named", r)


def ciphertexts(rig, names):
    large, empty, binary = rig.top / "large", rig.top / "empty", rig.top / "binary"
    large.write_bytes(b"x" * 70000)
    empty.write_bytes(b"")
    binary.write_bytes(b"a\0b")
    for path, words in ((large, ["large has 70000 bytes", "65536"]), (empty, ["empty is empty"]), (binary, ["binary", "zero byte"])):
        ends_with(f"qt-kms: a ciphertext that is {path.name}", names, "qt-kms", "FileUnreadable", words, "decrypt", path)
    ends_with("and one from standard input", names, "qt-kms", "FileUnreadable", ["standard input has more than the 65536 bytes"],
              "decrypt", stdin=b"x" * 70000)


def checked_files(rig, names):
    """What the start would refuse, the check refuses in the same words."""
    conf, secret = rig.top / "proxy.conf", rig.home / "credentials.json"
    rig.module("module", "qingtian", PCR0)
    rig.attest_policy(PCR0)
    good = rig.proxy_section() + rig.api_section("a", 8000, 1)
    conf.write_text(good)
    for option in ("--check-config", "--check"):
        r = rig.run(PROXY, option, "--config", conf)
        check(r.status == 0 and r.out.endswith(b": 1 listener, valid\n"), f"qt-kms-proxy {option}: valid", r)
    conf.write_text(good + "[pipe p]\nport = 8001\nallow = localhost:443\n")
    r = rig.run(PROXY, "--check-config", "--config", conf)
    check(r.status == 0 and r.out.endswith(b": 2 listeners, valid\n"), "two are two", r)
    check(not (rig.top / "audit").exists() and not rig.socket(8000).exists(), "the check makes nothing")

    def refused(what, name, words, old, new, start=True):
        assert old in good
        conf.write_text(good.replace(old, new))
        ends_with(f"--check-config: {what}", names, "qt-kms-proxy", name, words, "--check-config", "--config", conf)
        if start:
            ends_with(f"a start: {what}", names, "qt-kms-proxy", name, words, "--config", conf)

    broken = rig.top / "broken.pem"
    broken.write_text((rig.home / "tls.pem").read_text() + "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    (rig.top / "none.json").write_text("{")
    refused("no policy", "FileUnreadable", ["[api a]", "/nope"], f"policy = {rig.top}/attest.json", "policy = /nope")
    refused("a policy that is none", "ConfigInvalid", ["[api a]", "none.json"], "attest.json", "none.json")
    (rig.top / "empty.json").write_text("{}")
    (rig.top / "other.json").write_text('{"Version": 1, "PcrSets": [{"Name": "n", "Profile": "nitro", "PCR0": "%s"}]}' % PCR0)
    for name in ("empty.json", "other.json"):
        refused("a policy that no enclave could meet", "ConfigInvalid", [name, "names no image of platform qingtian", "attest policy"],
                "attest.json", name)
    refused("no root", "ConfigInvalid", ["root = /nope"], f"root = {rig.top}/pki/root.pem", "root = /nope")
    refused("no ca-file", "FileUnreadable", ["ca-file = /nope"], f"ca-file = {rig.home}/tls.pem", "ca-file = /nope")
    refused("a ca-file without certificates", "ConfigInvalid", ["must hold certificates"], f"ca-file = {rig.home}/tls.pem",
            f"ca-file = {rig.top}/attest.json")
    refused("a ca-file with a damaged one", "ConfigInvalid", ["broken.pem"], f"ca-file = {rig.home}/tls.pem", f"ca-file = {broken}")
    refused("an endpoint that is none", "ConfigInvalid", ["endpoint"], "https://localhost:1", "https://localhost:1/path")
    refused("credentials that everybody may read", "NoCredentials", ["/etc/passwd", "chmod 600"], f"file:{secret}", "file:/etc/passwd", start=False)
    refused("credentials that are not there", "NoCredentials", ["/nope"], f"file:{secret}", "file:/nope", start=False)
    os.chmod(secret, 0o640)
    refused("credentials of a group", "NoCredentials", ["mode 0640"], "port = 8000", "port = 8000", start=False)
    os.chmod(secret, 0o600)
    conf.write_text(good.replace(f"file:{secret}", "credential:kms"))
    r = rig.run(PROXY, "--check-config", "--config", conf)
    check(r.status == 0 and r.err == "", "what only the service manager has is not asked for", r)
    conf.write_text(good.replace(f"audit-file = {rig.top}", f"audit-file = {rig.top}/nope"))
    r = rig.run(PROXY, "--check-config", "--config", conf)
    check(r.status == 0 and f"audit-file = {rig.top}/nope/audit: there is no such directory" in r.err,
          "a directory that is not there yet is said, and no more: the service manager may make it", r)


names = table()
every_program(names)
with Rig() as rig:
    runtime_directories(rig, names)
    sockets(rig, names)
    ciphertexts(rig, names)
    checked_files(rig, names)
done()
