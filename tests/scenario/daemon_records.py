# SPDX-License-Identifier: Apache-2.0
"""Who asks for a change leaves exactly one record, made or refused: who, what, what became of it. Every method of the
interface is asked; one that changes something and has no cases here fails, and so does a record of one that only looks."""
import json
import os
import pathlib
import re
import shutil
import socket
import tempfile

from harness import ORDINARY, PATIENCE, SOURCE, STANDIN, Daemon, check, done, read_message, skip, wait_for
from invented_machine import invent

USERS = 100  # Debian's group "users": stands for qt-enclave
ALICE, BOB = ORDINARY, ORDINARY + 1
MANAGER = "io.qtenclave.Manager."
RECORD = re.compile(r"uid (\d+): (\w+) (\S+): (.+)")
CLASSES = dict(re.findall(r'^\s+\{ "(\w+)", ACCESS_(\w+), \w+ \},', (SOURCE / "daemon/manager_methods.c").read_text(), re.M))


def call(path, uid, method, parameters, image=None):
    """One call as that user, in a process of its own; the error's name, or None."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if uid:
                os.setgroups([])
                os.setresgid(USERS, USERS, USERS)
                os.setresuid(uid, uid, uid)
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(path)
                s.settimeout(PATIENCE)
                fds = [os.open(image, os.O_RDONLY)] if image else []
                socket.send_fds(s, [json.dumps({"method": MANAGER + method, "parameters": parameters}).encode() + b"\0"], fds)
                answer = read_message(s)
                os.write(writer, (json.loads(answer[:-1]).get("error") or "").encode() or b"ok")
        finally:
            os._exit(0)
    os.close(writer)
    text = os.read(reader, 4096).decode()
    os.close(reader)
    os.waitpid(pid, 0)
    return None if text == "ok" else text.rpartition(".")[2]


class Books:
    def __init__(self, d):
        self.d, self.read, self.asked, self.recorded = d, 0, set(), set()

    def new(self):
        text = self.d.log_text()
        fresh, self.read = text[self.read:], len(text)
        return [(int(uid), method, subject, outcome) for uid, method, subject, outcome in RECORD.findall(fresh)]

    def expect(self, uid, method, parameters, *records, error=None, image=None):
        """One call; its records are these (subject, outcome), and no more."""
        self.asked.add(method)
        self.recorded |= {method for outcome in records if outcome}
        self.new()
        got = call(self.d.socket, uid, method, parameters, image)
        wanted = sorted((uid, method, *r) for r in records)
        found = sorted(self.new())
        check(got == error and found == wanted, f"{method} {json.dumps(parameters)} of uid {uid}: "
              + (", ".join(f"{s}: {o}" for s, o in records) or "no record"), f"answer: {got}", *found)


def runs(b, d):
    image, short = d.image(), d.image("run=0 end=exited")
    b.expect(ALICE, "Run", {"Image": 0, "Name": "hers", "MemoryMiB": 128, "Debug": True}, ("hers", "starting"), image=image)
    for parameters, subject, error in (
            ({"Name": "hers"}, "hers", "NameInUse"), ({"Name": "../hers"}, "-", "NameInvalid"),
            ({"Name": "x\nuid 0: Run y: starting"}, "-", "NameInvalid"), ({"Name": "odd", "CPUs": 3}, "odd", "LimitExceeded"),
            ({"CPUs": -1}, "-", "InvalidParameter"), ({"Name": "big", "MemoryMiB": 1024}, "big", "QuotaExceeded"),
            ({"Name": "0", "CPUs": 3}, "0", "LimitExceeded"), ({"Name": "cid", "CID": 3}, "cid", "CidReserved"), ({"Name": 7}, "-", "InvalidParameter"),
            ({"Name": "more", "Surplus": 1}, "more", "InvalidParameter"), ({"Name": "pool", "MemoryMiB": 262144}, "pool", "QuotaExceeded")):
        b.expect(ALICE, "Run", {"Image": 0, **parameters}, (subject, error), error=error, image=image)
    b.expect(ALICE, "Run", {"Image": 0, "Name": "none"}, ("none", "InvalidParameter"), error="InvalidParameter")
    b.expect(0, "Run", {"Image": 0, "Name": "pool", "MemoryMiB": 262144}, ("pool", "NoMemory"), error="NoMemory", image=image)
    b.expect(ALICE, "Run", {"Image": 0, "Name": "short", "MemoryMiB": 128}, ("short", "starting"), image=short)
    d.wait_state("short", "stopped")
    before, file = d.describe("short"), d.runtime / "state/short.json"
    kept = file.read_text()
    b.expect(0, "Run", {"Image": 0, "Name": "short", "MemoryMiB": 262144}, ("short", "NoMemory"), error="NoMemory", image=image)
    after = d.describe("short")
    check(before["Reason"] and after == before and file.read_text() == kept, "a refused Run leaves the record of the ended enclave of that name",
          before, after)


def streams(b, d):
    for method, more in (("Console", {}), ("Connect", {"Port": 7})):
        b.expect(ALICE, method, {"Name": "hers", **more}, ("hers", "passed on"))
        b.expect(BOB, method, {"Name": "hers", **more}, ("hers", "PermissionDenied"), error="PermissionDenied")
        b.expect(ALICE, method, {"Name": "nobody", **more}, ("nobody", "NoSuchEnclave"), error="NoSuchEnclave")
        b.expect(ALICE, method, {"Name": "short", **more}, ("short", "WrongState"), error="WrongState")
        b.expect(ALICE, method, {}, ("-", "InvalidParameter"), error="InvalidParameter")
    b.expect(ALICE, "Connect", {"Name": "hers", "Port": -7}, ("hers", "InvalidParameter"), error="InvalidParameter")
    b.expect(ALICE, "Connect", {"Name": "hers", "Port": 8}, ("hers", "passed on"), error="GuestRefused")  # the guest's decision


def ends(b, d):
    for method in ("Forget", "Terminate"):
        b.expect(BOB, method, {"Name": "hers"}, ("hers", "PermissionDenied"), error="PermissionDenied")
        b.expect(ALICE, method, {"Name": "nobody"}, ("nobody", "NoSuchEnclave"), error="NoSuchEnclave")
        b.expect(BOB, method, {"Name": str(d.describe("hers")["EnclaveID"])}, ("hers", "PermissionDenied"), error="PermissionDenied")
        b.expect(ALICE, method, {"Name": "17"}, ("17", "NoSuchEnclave"), error="NoSuchEnclave")
        b.expect(ALICE, method, {"Name": True}, ("-", "InvalidParameter"), error="InvalidParameter")
    b.expect(ALICE, "Forget", {"Name": "hers"}, ("hers", "WrongState"), error="WrongState")
    b.expect(ALICE, "Terminate", {}, ("-", "InvalidParameter"), error="InvalidParameter")
    b.expect(ALICE, "Terminate", {"Name": "hers", "GraceMSec": -1}, ("hers", "InvalidParameter"), error="InvalidParameter")
    b.expect(ALICE, "Terminate", {"Name": "short"}, ("short", "WrongState"), error="WrongState")
    b.expect(BOB, "Terminate", {"All": True}, ("-", "nothing to stop"))
    b.expect(BOB, "Forget", {}, ("-", "nothing to forget"))
    b.expect(ALICE, "Terminate", {"Name": "hers"}, ("hers", "stopping"))
    again = d.image("run=0 end=exited code=1")
    b.expect(ALICE, "Run", {"Image": 0, "Name": "again", "MemoryMiB": 128, "Restart": "always"}, ("again", "starting"), image=again)
    wait_for(lambda: d.describe("again").get("RestartUSec"), "a restart to come")
    b.expect(ALICE, "Terminate", {"All": True}, ("again", "will not be restarted"))
    for name in ("one", "two"):
        b.expect(ALICE, "Run", {"Image": 0, "Name": name, "MemoryMiB": 128}, (name, "starting"), image=d.image())
    b.expect(ALICE, "Terminate", {"All": True}, ("one", "stopping"), ("two", "stopping"))
    b.expect(ALICE, "Forget", {"Name": "short"}, ("short", "forgotten"))
    b.expect(ALICE, "Forget", {}, *((name, "forgotten") for name in ("again", "hers", "one", "two")))


def looks(b, d):
    for parameters in ({}, {"Name": "hers"}):
        b.expect(ALICE, "Describe", parameters)
    b.expect(ALICE, "Describe", {"Name": "nobody"}, error="NoSuchEnclave")
    b.expect(ALICE, "Wait", {"Name": "hers", "For": "running"})
    b.expect(ALICE, "Events", {}, error="InvalidParameter")
    b.expect(BOB, "Metadata", {"Name": "hers"})
    b.expect(BOB, "PoolShow", {})
    b.expect(BOB, "Metrics", {})
    b.expect(BOB, "Metrics", {"Surplus": 1}, error="InvalidParameter")


def pool(b):
    b.expect(0, "PoolSet", {"MemoryMiB": 64}, ("pool", "WrongState"), error="WrongState")
    b.expect(ALICE, "PoolSet", {"MemoryMiB": 64}, ("pool", "PermissionDenied"), error="PermissionDenied")


def dedicated_pool():
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    with Daemon(monitor=STANDIN, config="mode:dedicated\nhugepage_size:2\n", options=["--sysfs", str(invent(top, pages=100))]) as d:
        b = Books(d)
        b.expect(0, "PoolSet", {"MemoryMiB": 64, "CPUCount": 2}, ("pool", "changed"))
        for parameters, error in (({"MemoryMiB": 63}, "LimitExceeded"), ({"CPUCount": 3}, "NoCpus"), ({"CPUList": "0"}, "NoCpus"), ({"CPUList": ""}, "InvalidParameter"),
                                  ({"CPUList": "2", "CPUCount": 1}, "InvalidParameter"), ({"Node": 7}, "InvalidParameter"),
                                  ({"MemoryMiB": -1}, "InvalidParameter"), ({"MemoryMiB": "64"}, "InvalidParameter"),
                                  ({"MemoryMiB": 1 << 30}, "NoMemory")):
            b.expect(0, "PoolSet", parameters, ("pool", error), error=error)
        nr = next(top.glob("devices/system/node/node*/hugepages/hugepages-2048kB")) / "nr_hugepages"
        for path in top.glob("devices/system/node/node*/hugepages/hugepages-2048kB/nr_hugepages"):
            path.unlink()  # a kernel that gives nothing: known only when it was asked
            path.mkdir()
        b.new()
        error = call(d.socket, 0, "PoolSet", {"MemoryMiB": 128})
        records = b.new()
        check(error and records == [(0, "PoolSet", "pool", error)], "PoolSet that fails only in the kernel has one record too", error, *records)
        check(nr.is_dir(), "which was asked")
    shutil.rmtree(top)


def main():
    if os.getuid() != 0:
        skip("records", "needs root to become several users")
        return done()
    with Daemon(monitor=STANDIN, config="group:users\nenclaves_max:8\nquota_memory_mib:1023\nrestart_delay:3600000\n") as d:
        os.chmod(d.home, 0o755)
        os.chmod(d.runtime, 0o755)
        b = Books(d)
        runs(b, d)
        looks(b, d)
        streams(b, d)
        ends(b, d)
        pool(b)
        methods = re.findall(r"^method (\w+)", (SOURCE / "proto/io.qtenclave.Manager.varlink").read_text(), re.M)
        check(set(methods) == set(CLASSES) == b.asked, "every method of the interface was asked",
              set(methods) ^ b.asked, set(methods) ^ set(CLASSES))
        changing = {m for m, access in CLASSES.items() if access != "OBSERVE"}
        check(b.recorded == changing, "and those that leave records are those that more is needed for than to look", b.recorded ^ changing)
    dedicated_pool()
    done()


main()
