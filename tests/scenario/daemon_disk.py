# SPDX-License-Identifier: Apache-2.0
"""A runtime directory that is full or read-only: what runs goes on and is found again, what would start is refused with the
reason, and nothing is left behind. On a small tmpfs in a mount namespace of the test's own."""
import ctypes
import os
import subprocess

from harness import STANDIN, Daemon, check, done, skip, wait_for

PRIVATE_RECURSIVE, NEW_NAMESPACE = 1 << 18 | 1 << 14, 0x00020000


def own_namespace():
    libc = ctypes.CDLL(None, use_errno=True)
    return os.getuid() == 0 and libc.unshare(NEW_NAMESPACE) == 0 and libc.mount(b"none", b"/", None, PRIVATE_RECURSIVE, None) == 0


def mount(d, *options):
    return subprocess.run(["mount", *options, str(d.runtime)], capture_output=True, text=True)


def fill(d):
    path = d.runtime / "ballast"
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 512)
        except OSError:
            pass
    return path


def free_mib(d):
    return d.cli("pool", "show", "-o", "json").json()["FreeMiB"]


def states(d):
    return {name: e["State"] for name, e in d.all().items()}


def troubled(d, what, word):
    """While nothing can be written."""
    free = free_mib(d)
    r = d.refused(f"{what}: a start that could not be found again is refused", 12, "OutputFailed",
                  "run", "--eif", d.image(), "--name", "new", "--memory", "128", contains=word)
    check(free_mib(d) == free and "new" not in d.all(), f"{what}: and holds nothing", r)
    r = d.ok("terminate", "ends", "-o", "json").json()[0]
    check(r["State"] == "stopped" and r["Reason"]["Uid"] == d.uid, f"{what}: what runs can be stopped, and says how it ended", r)
    check(d.describe("stays")["State"] == "running", f"{what}: the others go on")


def begin(d):
    for name in ("stays", "ends"):
        d.ok("run", "--eif", d.image(), "--name", name, "--memory", "128")


def full(d):
    begin(d)
    pid = d.describe("stays")["ProcessID"]
    ballast = fill(d)
    troubled(d, "full", "No space left")
    d.kill()
    d.start()
    e = d.wait_state("stays", "running")  # said by its monitor, which is asked
    check(e["ProcessID"] == pid, "full: the next daemon finds what runs", e)
    ballast.unlink()
    d.ok("run", "--eif", d.image(), "--name", "new", "--memory", "128")
    d.ok("terminate", "--all")
    d.ok("forget")


def last_words(d):
    """It ends when nobody listens and nothing can be written."""
    d.ok("run", "--eif", d.image("run=1500 end=exited code=7"), "--name", "ends", "--memory", "128")
    pid = d.describe("ends")["ProcessID"]
    d.kill()
    ballast = fill(d)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}/exe"), "its end")
    ballast.unlink()
    d.start()
    e = d.describe("ends")
    check(e["Reason"]["Kind"] == "exited" and e["Reason"]["ExitCode"] == 7, "full: its last words had their room from the start", e)
    d.ok("forget")


def read_only(d):
    begin(d)
    pid = d.describe("stays")["ProcessID"]
    if (r := mount(d, "-o", "remount,ro")).returncode:
        skip("read-only", r.stderr.strip().splitlines()[0])
        d.ok("terminate", "--all")
        return
    troubled(d, "read-only", "Read-only file system")
    d.kill()
    mount(d, "-o", "remount,rw")
    d.start()
    e = d.wait_state("stays", "running")
    check(e["ProcessID"] == pid, "read-only: the next daemon finds what runs", e)
    check([p.name for p in (d.runtime / "enclaves").iterdir()] == ["stays"], "read-only: and clears away what could not be")
    d.ok("terminate", "--all")


if not own_namespace():
    skip("a full disk", "only root can mount one")
    done()
with Daemon(monitor=STANDIN, config="enclaves_max:8\n") as d:
    d.stop()
    d.runtime.mkdir(exist_ok=True)
    mounted = mount(d, "-t", "tmpfs", "-o", "size=256k", "none")
    d.start()
    if mounted.returncode:
        skip("a full disk", mounted.stderr.strip().splitlines()[0])
    else:
        for part in (full, last_words, read_only):
            print("#", part.__name__)
            part(d)
    d.cli("terminate", "--all", "--force")
    wait_for(lambda: not list((d.runtime / "enclaves").iterdir()), "no directory")
    d.stop()
    subprocess.run(["umount", "-l", str(d.runtime)], capture_output=True)
done()
