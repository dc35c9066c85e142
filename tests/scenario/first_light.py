# SPDX-License-Identifier: Apache-2.0
"""The whole of it on real parts: build an image, run it as a real virtual machine, talk to it, lose the daemon, end it;
as root and as an ordinary user."""
import json
import os
import shutil
import socket
import subprocess
import sys

from harness import BUILD, ORDINARY, PATIENCE, Daemon, as_user, check, done, reachable, skip, wait_for
from vsock_vm import kernel_directory, reason_to_skip

APP = BUILD / "tests/programs/enclave_app"

if reason := reason_to_skip():
    print(f"1..0 # SKIP {reason}")
    sys.exit()


def build(d, name, *arguments, more=()):
    """An image that runs the test application, made by the daemon's user with build-eif."""
    root = d.home / f"{name}-root"
    root.mkdir()
    shutil.copy(APP, root / "app")
    os.chown(root, d.uid, d.uid)
    path = d.home / f"{name}.eif"
    kernel = kernel_directory()
    if not reachable(d.uid, kernel):
        kernel = shutil.copytree(kernel, d.top / "k", dirs_exist_ok=True)
    r = subprocess.run(as_user(d.uid) + [d.cli_program(), "build-eif", "--rootfs", str(root), "--output", str(path), *more, "--", "/app",
                                         *arguments],
                       env={**d.environment, "QT_ENCLAVE_KERNEL_DIR": str(kernel)}, capture_output=True, text=True)
    check(r.returncode == 0, f"uid {d.uid} builds an image that runs `app {' '.join(arguments)}`", r)
    return str(path), json.loads(r.stdout)["Measurements"] if r.returncode == 0 else None


def whole_life(d, path, measurements):
    e = d.ok("run", "--eif", path, "--name", "life", "--memory", "512", "--debug", "-o", "json").json()
    check(e["State"] == "running" and e["Hypervisor"] == "local" and e["Accelerator"] in ("kvm", "tcg")
          and e["Uid"] == d.uid, "a real virtual machine runs, and says on what", e)
    check(e["Measurements"] == measurements, "what was loaded measures as what was built",
          e["Measurements"], measurements)
    d.ok("wait", "life", "--for", "ready")

    console = d.popen("console", "life")
    first = [console.stdout.readline() for _ in range(5)]
    check(any("Linux version" in line for line in first), "the console begins with the kernel's first lines", *first)
    for text in ("one line\n", "x" * 300_000 + "\n"):
        r = d.cli("connect", "life", "5005", stdin=text)
        check(r.status == 0 and r.out == text, f"{len(text)} bytes to the application come back over vsock",
              r.status, r.err, len(r.out))
    d.refused("a port that nobody listens on", 11, "GuestRefused", "connect", "life", "7", contains="7")

    d.kill()
    r = d.cli("describe", "life")
    check(r.status == 9 and "DaemonUnreachable" in r.err, "the daemon is gone", r)
    d.start()
    check(d.describe("life")["State"] == "running", "the next daemon finds the enclave")
    check(d.ok("connect", "life", "5005", stdin="still here\n").out == "still here\n", "and it answers as before")

    r = d.ok("terminate", "life", "-o", "json").json()[0]
    check(r["State"] == "stopped" and r["Reason"]["Kind"] == "stopped" and r["Reason"].get("ExitCode") == 0
          and r["Reason"]["Uid"] == d.uid, "terminate: the application ended by itself, and who asked is known", r)
    console.wait(PATIENCE)
    check("application: asked to end" in console.stdout.read(), "the console went on to the last line")


def dials_out(d, path):
    """The guest dials its parent: to the UNIX socket vsock.sock_PORT of its owner, or a refusal at once."""
    d.cli("run", "--eif", path, "--name", "lonely", "--memory", "512")
    d.cli("wait", "lonely")
    reason = d.describe("lonely")["Reason"]
    check(reason["Kind"] == "exited" and reason["ExitCode"] != 0, "with nobody there the guest is refused", reason)

    starting = d.popen("run", "--eif", path, "--name", "dialer", "--memory", "512")
    base = wait_for(lambda: (d.describe("dialer") or {}).get("VsockPath"), "the vsock directory")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{base}_7000")
        os.chmod(f"{base}_7000", 0o666)
        listener.listen()
        listener.settimeout(PATIENCE)
        peer, _ = listener.accept()
        with peer:
            heard = peer.recv(100)
            peer.sendall(b"welcome")
    starting.communicate(timeout=PATIENCE)
    d.cli("wait", "dialer")
    reason = d.describe("dialer")["Reason"]
    check(heard == b"hello" and reason.get("ExitCode") == 0, "a listener on vsock.sock_7000 is reached", heard, reason)


def ends(d, quick):
    r = d.cli("run", "--eif", quick, "--name", "short", "--memory", "512")
    d.cli("wait", "short")
    e = d.describe("short")
    check(e["State"] in ("stopped", "failed") and e["Reason"]["Kind"] == "exited" and e["Reason"]["ExitCode"] == 42,
          "an application that ends at once: its exit code is kept", e, r)
    r = d.cli("run", "--eif", quick, "--name", "watched", "--memory", "512", "--attach-console")
    check(r.status == 11 and "Linux version" in r.out and "42" in r.err,
          "attached, its console is printed from the start, and how it ended", r.status, r.out[-500:], r.err)


def panics(d, path):
    r = d.cli("run", "--eif", path, "--name", "panic", "--memory", "512", "--debug")
    d.cli("wait", "panic")
    e = d.describe("panic")
    check(e["State"] == "failed" and e["Reason"]["Kind"] == "kernel-panic", "a guest that panics is told from one that ends", e, r)


def terminated_while_booting(d, path):
    starting = d.popen("run", "--eif", path, "--name", "early", "--memory", "512")
    d.wait_state("early", "booting")
    d.ok("terminate", "early", "--force")
    out, err = starting.communicate(timeout=PATIENCE)
    check(starting.returncode == 11 and err.count("\n") == 1, "terminate during boot; run says what happened", out, err)


def two_at_once(d, path):
    starting = [d.popen("run", "--eif", path, "--memory", "512") for _ in range(2)]
    ends_ = [(p.communicate(timeout=PATIENCE), p.returncode) for p in starting]
    check(all(status == 0 for _, status in ends_), "two runs at the same moment both succeed", *ends_)
    names = sorted(e["EnclaveName"] for e in d.ok("describe", "-o", "json").json())
    check(len(set(names)) == 2, "and have names of their own", names)
    d.refused("there is no console outside debug mode", 6, "NotDebug", "console", names[0], contains="--debug")
    d.refused("a third is one too many for the platform", 7, "LimitExceeded", "run", "--eif", path, "--memory", "512", contains="2")
    d.ok("terminate", "--all", "--force")


def scenario(**how):
    with Daemon(**how) as d:
        serve, measurements = build(d, "serve", "serve")
        if not measurements:
            return
        whole_life(d, serve, measurements)
        if d.uid == 0:
            ends(d, build(d, "quick", "exit", "42")[0])
            panics(d, build(d, "panic", "panic")[0])
            dials_out(d, build(d, "dial", "dial", "7000")[0])
        terminated_while_booting(d, serve)
        two_at_once(d, serve)


scenario()
claim = "the same as an ordinary user"
if os.getuid() != 0:
    skip(claim, "only root can become one")
else:
    scenario(uid=ORDINARY, user_mode=True)
done()
