# SPDX-License-Identifier: Apache-2.0
"""The hypervisor nitro: the real daemon, monitor and CLI on an emulated /dev/nitro_enclaves."""
import errno
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

import eif_bytes
from harness import BUILD, CLI, PATIENCE, STANDIN, Daemon, Result, check, done, is_bare_metal, skip, wait_for
from huge_pages import HugePages
from invented_machine import invent
from monitor_rig import Connection

NITRO_DEVICE = str(BUILD / "tests/programs/nitro_device")
CONFIG = "mode: shared\nplatform: nitro\nhypervisor: nitro\nhugepage_size: 2\nboot_timeout: 60\n"
PARTS = [(eif_bytes.KERNEL, b"a kernel"), (eif_bytes.METADATA, b'{"ImageName":"emulated","ImageVersion":"7","BuildMetadata":{"BuildTool":"by hand"},'
                               b'"DockerInfo":null,"CustomMetadata":{"commit":"d9d04cf"}}'),
         (eif_bytes.RAMDISK, b"first"), (eif_bytes.RAMDISK, b"second")]
MEANING = {  # a word of each sentence of the driver's errnos, and the error's name
    256: ("once", "NoCpus"), 257: ("pool", "NoCpus"), 258: ("core", "NoCpus"), 259: ("multiple of 2 MiB", "LimitExceeded"),
    260: ("address", "Internal"), 261: ("aligned", "Internal"), 262: ("added before", "Internal"),
    263: ("huge pages", "NoMemory"), 264: ("NUMA", "NoMemory"), 265: ("pieces", "NoMemory"), 266: ("no memory", "Internal"),
    267: ("no vCPUs", "NoCpus"), 268: ("64 MiB", "LimitExceeded"), 269: ("whole cores", "LimitExceeded"),
    270: ("started before", "WrongState"), 271: ("no CPU of that number", "NoCpus"), 272: ("is free", "NoCpus"),
    273: ("page size", "NoMemory"), 274: ("flag", "HypervisorFailed"), 275: ("reserved", "CidReserved")}
CALL = {**{n: "add_vcpu" for n in (256, 257, 258, 271)}, **{n: "add_memory" for n in (*range(259, 266), 273)},
        272: "create", **{n: "start" for n in (266, 267, 268, 269, 270, 275)}, 274: "load_info"}

VALUE = {**{n: "vCPU 1 of 2" for n in (256, 257, 258, 271)}, **{n: "64 MiB of memory" for n in (266, 268)}, **{n: "2 vCPUs" for n in (267, 269)},
         274: "flags 0x1", **{n: r"CID \d+" for n in (270, 275)}}
MEMORY = "64 MiB in pages of 2 MiB at address 0x[0-9a-f]+"


def parts(script):
    return [PARTS[0], (eif_bytes.CMDLINE, script.encode()), *PARTS[1:]]


# Begins the daemon anew when it was killed, as a service manager does: the device lives above both.
KEEPER = """python3 -c "$HOLDER" "$HOLD" & h=$!
trap 'over=1; kill $p $h' TERM
while [ ! "$over" ]; do
    "$@" & p=$!
    while wait $p; kill -0 $p 2>/dev/null; do :; done
done"""


# Somebody else's enclave, as long as a file is there.
HOLDER = """import ctypes, fcntl, os, sys, time
while True:
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.05)
    enclave = fcntl.ioctl(os.open("/dev/nitro_enclaves", os.O_RDWR | os.O_CLOEXEC), 0x8008ae20, ctypes.c_uint64())
    open(sys.argv[1] + ".held", "w").close()
    while os.path.exists(sys.argv[1]):
        time.sleep(0.05)
    os.close(enclave)
"""


class Nitro(Daemon):
    """A daemon below the emulated device. Images are written by script."""

    def __init__(self, *device_options, config=CONFIG, options=()):
        self.device_options = device_options
        super().__init__(config=config, options=options)

    def start(self):
        if self.command[0] != NITRO_DEVICE:
            self.faults = self.top / "faults"
            self.faults.write_text("")
            self.hold = self.top / "hold"
            self.environment |= {"HOLDER": HOLDER, "HOLD": str(self.hold)}
            self.command = [NITRO_DEVICE, "--faults", str(self.faults), *self.device_options, "--",
                            "sh", "-c", KEEPER, "keeper", *self.command]
        super().start()

    def daemon_pid(self):
        with socket.socket(socket.AF_UNIX) as s:
            if s.connect_ex(self.socket) != 0:
                return None
            return struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def replace_daemon(self):
        """Kill it and wait for the next one."""
        before = self.daemon_pid()
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self.daemon_pid() not in (None, before), "the next daemon")

    def eif(self, script="", name="app.eif"):
        path = self.home / name
        path.write_bytes(eif_bytes.compose(parts(script)))
        return str(path)

    def run(self, script="", *arguments, name=None, debug=True):
        more = (["--name", name] if name else []) + (["--debug"] if debug else [])
        return self.cli("run", "--eif", self.eif(script, f"{name or 'app'}.eif"), "--memory", "64", *more, "-o", "json", *arguments)

    def console_text(self, name):
        return self.cli("console", name).out


def nitro_cli(d, *arguments):
    return Result(subprocess.run([CLI, "--as", "nitro-cli", *arguments], capture_output=True, text=True, timeout=PATIENCE,
                                 env={**d.environment, "QT_ENCLAVE_SOCKET": d.socket}))


def first(d, pages):
    before = pages.free()
    r = d.run("boot=50 say=hello", name="one")
    e = r.json() if r.status == 0 else {}
    check(r.status == 0 and e["State"] == "running" and e["Hypervisor"] == "nitro" and e["ImageName"] == "emulated", "it runs", r)
    expected = eif_bytes.measure(parts("boot=50 say=hello"))
    check({k: e["Measurements"][k] for k in expected} == expected, "its PCRs are those of the bytes that were loaded", e)
    r = nitro_cli(d, "describe-enclaves", "--metadata")
    check(r.status == 0 and r.json()[0]["ImageName"] == "emulated" and r.json()[0]["ImageVersion"] == "7"
          and r.json()[0]["Metadata"] == {"BuildTool": "by hand", "DockerInfo": None, "commit": "d9d04cf"}
          and r.json()[0]["CPUIDs"] == [2, 10], "nitro-cli describe-enclaves --metadata shows what was loaded", r)
    check(e["AttestedPCRs"] == "zero" and pages.free() == before - 32, "of 32 huge pages", e, pages.free())
    wait_for(lambda: d.describe("one")["Ready"], "ready")
    check(e["CPUIDs"] == [2, 10] and d.cli("pool", "show", "-o", "json").json()["Shares"][0]["CPUIDs"] == [2, 10],
          "the CPUs that the driver picked are known, and in the pool's books", e)
    d.replace_daemon()
    check(d.describe("one")["CPUIDs"] == [2, 10] and d.cli("pool", "show", "-o", "json").json()["Shares"][0]["CPUIDs"] == [2, 10],
          "and a later daemon knows them too")
    check(set(d.describe("one")["Timeline"]) >= {"loaded", "launched", "heartbeat", "started", "ready"}, "steps of its start")
    r = d.cli("connect", "one", "7", stdin="through vsock\n")
    check(r.out == "through vsock\n", "connect leads to a port of the guest", r)
    d.refused("nothing listens on that port", 11, "GuestRefused", "connect", "one", "8")
    console = d.popen("console", "one")
    check([console.stdout.readline() for _ in range(2)] == ["the emulated guest begins\n", "hello\n"],
          "the console from its first byte")
    r = d.ok("terminate", "one", "-o", "json").json()[0]
    check(r["Reason"]["Kind"] == "stopped" and r["Reason"].get("ExitCode", 0) == 0, "terminate asks the application first", r)
    check("guest ends" in console.communicate(timeout=PATIENCE)[0], "the console to its last byte")
    wait_for(lambda: pages.free() == before, "the pages come back")
    check(True, "the pages come back")


def ends(d):
    for script, kind, word in (("life=50 exit=3", "exited", "status 3"), ("life=50 exit=0", "exited", "status 0"),
                               ("life=50 signal=11", "killed", "SIGSEGV"), ("life=50 crash", "kernel-panic", "panic"),
                               ("life=50 stock", "exited", "does not tell")):
        r = d.run(script, name="end")
        e = d.wait_state("end", "stopped", "failed")
        check(r.status == 0 and e["Reason"]["Kind"] == kind and word in e["Reason"]["Text"], f"{script}: {kind}", r, e)
        d.cli("forget", "end")
    d.run("stubborn", name="stubborn")
    r = d.cli("terminate", "stubborn", "--grace", "1", "-o", "json")
    check(r.json()[0]["Reason"]["Kind"] == "stopped", "one that does not heed the stop is powered off", r)
    d.cli("forget")


def at_the_same_time(d):
    runs = [d.popen("run", "--eif", d.eif(f"boot={100 * (2 - i)}", f"same{i}.eif"), "--memory", "64", "--debug", "-o", "json")
            for i in range(2)]
    results = [(p.communicate(timeout=PATIENCE), p.returncode) for p in runs]
    check([status for _, status in results] == [0, 0], "two at the same time", results)
    d.ok("terminate", "--all", "--force")
    d.cli("forget")


def impostors(d):
    """One enclave never speaks; another one, and a stranger, cannot do it in its place."""
    d.run("", name="talker")
    cid = d.describe("talker")["EnclaveCID"]
    silent = d.popen("run", "--eif", d.eif("silent life=1500", "silent.eif"), "--memory", "64", "--debug", "--name", "silent")
    out, err = silent.communicate(timeout=PATIENCE)
    check(silent.returncode == 11 and "BootFailed" in err, "a silent enclave has no heartbeat, whoever else beats", out, err)
    r = d.run("stranger=77", name="stranger")
    e = d.describe("stranger")
    check(r.status == 0 and e["State"] == "running", "an unknown CID disturbs nobody", r, e)
    check("CID 77" in d.log_text() and "no enclave" in d.log_text(), "it is refused, and that is logged", d.log_text())
    d.cli("terminate", "stranger", "--force")
    r = d.run(f"stranger={cid} life=50 exit=0", name="liar")
    check(d.describe("talker")["State"] == "running", "what was said on a second lifecycle channel does not count")
    d.ok("terminate", "--all", "--force")
    d.cli("forget")


def refusals(d, pages):
    before = pages.free()
    for number, (word, error) in MEANING.items():
        if number == 272:  # a creation is tried again; an empty pool fails for good
            continue
        d.faults.write_text(f"{CALL[number]} {number}")
        r = d.run("", name="refused")
        check(r.status != 0 and f": {error}: " in r.err and word in r.err and f"errno {number}" in r.err and r.err.count("\n") <= 2
              and re.search(rf" {VALUE.get(number, MEMORY)}: ", r.err), f"errno {number}: {error}, with the value that was refused", r)
        d.cli("forget")
    d.faults.write_text("create 16")
    r = d.run("", name="raced")
    check(r.status == 0, "a creation that loses the race with a slot is tried again", r)
    d.ok("terminate", "raced", "--force")
    d.faults.write_text(f"accept {errno.EMFILE}")
    r = d.run("", name="patient")
    check(r.status == 0 and "cannot take a connection to port 9000 now" in d.log_text(),
          "a heartbeat that finds no descriptor free is taken later", r, d.log_text())
    d.ok("terminate", "patient", "--force")
    d.faults.write_text(f"bind {errno.EADDRINUSE}")
    d.replace_daemon()
    check("another program has vsock port 9000" in d.log_text(), "a daemon starts while another program has a port of its", d.log_text())
    wait_for(lambda: "listening on vsock port 9000 at last" in d.log_text(), "the port")
    r = d.run("", name="late")
    check(r.status == 0, "and takes it when it is free", r)
    d.ok("terminate", "late", "--force")
    too_big = d.home / "big.eif"
    too_big.write_bytes(eif_bytes.compose([*parts(""), (eif_bytes.RAMDISK, bytes(15 << 20))]))
    damaged = d.home / "damaged.eif"
    damaged.write_bytes(eif_bytes.compose(parts(""))[:-1] + b"x")
    r = d.cli("run", "--eif", str(damaged), "--memory", "64")
    check(r.status != 0 and "ImageInvalid" in r.err and "CRC" in r.err, "a damaged image", r)
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1", "-nodes", "-subj", "/CN=t",
               "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(openssl, cwd=d.home, check=True, capture_output=True)
    signed = d.eif("", "signed.eif")
    r = nitro_cli(d, "sign-eif", "--eif-path", signed, "--signing-certificate", str(d.home / "cert.pem"), "--private-key", str(d.home / "key.pem"))
    check(r.status == 0, "an image is signed", r)
    stolen = eif_bytes.sections(pathlib.Path(signed).read_bytes())[-1]
    pathlib.Path(signed).write_bytes(eif_bytes.compose([*parts("say=other"), stolen]))
    r = nitro_cli(d, "run-enclave", "--eif-path", signed, "--memory", "64", "--cpu-count", "2")
    check(r.status == 59 and "[ E59 ]" in r.err and "SignatureInvalid" in r.err, "another image's signature: E59", r)
    r = d.cli("run", "--eif", str(too_big), "--memory", "640")
    check(r.status != 0 and "NoMemory" in r.err and "huge pages of 2 MiB" in r.err, "more memory than there are huge pages", r)
    wait_for(lambda: pages.free() == before, "every refusal gives its pages back")
    check(True, "every refusal gives its pages back")
    d.cli("forget")


def loading(d, pages):
    """What takes its time is done beside the loop: the monitor answers meanwhile, and can be told to stop."""
    before = pages.free()
    d.faults.write_text("late 5000")
    p = d.popen("run", "--eif", d.eif("", "slow.eif"), "--memory", "64", "--debug", "--name", "slow")
    wait_for(lambda: d.faults.read_text() == "", "the slow call")
    monitor = Connection(d.runtime / "enclaves/slow/monitor.sock")
    facts = monitor.call("Describe")["Facts"]
    check(facts["State"] == "loading" and "loaded" not in facts["Timeline"] and "PCR0" not in facts,
          "a monitor answers while the device is at work", facts)
    monitor.close()
    d.ok("terminate", "slow", "--force")
    e = d.describe("slow")
    check(e["State"] == "stopped" and e["Reason"]["Kind"] == "stopped" and "launched" not in e["Timeline"], "and a stop is heeded", e)
    p.communicate(timeout=PATIENCE)
    check(p.returncode != 0, "which whoever waits for its start is told")
    d.cli("forget")
    wait_for(lambda: pages.free() == before, "every refusal gives its pages back")


def chosen(d):
    """A pool that somebody else keeps (mode shared): CPUs by number are the driver's to give or to refuse."""
    r = d.run("", "--cpu-ids", "3,11", name="chosen")
    check(r.status == 0 and r.json()["CPUIDs"] == [3, 11], "CPUs by number out of a pool that is not ours", r)
    d.refused("one that is not in it", 7, "NoCpus", "run", "--eif", d.eif("", "six.eif"), "--memory", "64", "--cpu-ids", "6,14",
              contains=("CPU 6", "errno 257"))
    r = nitro_cli(d, "run-enclave", "--eif-path", d.eif("", "taken.eif"), "--memory", "64", "--cpu-ids", "3", "11")
    check(r.status == 21 and "[ E21 ]" in r.err, "one that another enclave has: E21", r)
    d.ok("terminate", "chosen", "--force")
    d.cli("forget")


def waiting(d):
    """No CPU is free, which the driver says of a creation: that is tried again for seconds, but not against the user's will."""
    p = d.popen("run", "--eif", d.eif("", "waits.eif"), "--memory", "64", "--name", "waits")
    wait_for(lambda: d.cli("describe", "waits", "-o", "json").status == 0 and d.describe("waits")["State"] == "loading", "the start")
    d.ok("terminate", "waits", "--force")
    p.communicate(timeout=PATIENCE)
    e = d.describe("waits")
    check(e["State"] == "stopped" and e["Reason"]["Kind"] == "stopped", "a stop ends the waiting for a slot", e)
    d.cli("forget")


def death(d, pages):
    before = pages.free()
    e = d.run("", name="dies").json()
    os.kill(e["ProcessID"], signal.SIGKILL)
    e = d.wait_state("dies", "failed")
    check(e["Reason"]["Kind"] == "monitor-lost", "kill -9 of a monitor is seen", e)
    wait_for(lambda: pages.free() == before, "its pages")
    r = d.run("", name="next")
    check(r.status == 0 and pages.free() == before - 32, "and frees everything: slot, CPUs, pages", r)
    d.ok("terminate", "next", "--force")


def dedicated(pages):
    """The daemon's own pool: the driver's CPUs, and a change that has to wait."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    invent(top, nodes=1, cores=8, pages=64)
    conf = "mode:dedicated\nplatform:nitro\nhypervisor:nitro\nhugepage_size:2\nmemory_mib:128\ncpu_list:2-3,10-11\n"
    (top / "module/nitro_enclaves/parameters").mkdir(parents=True)

    def online():
        return (top / "devices/system/cpu/online").read_text()

    with Nitro("--pool", "", "--machine", str(top), config=conf, options=["--sysfs", str(top)]) as d:
        named(d)
        r = d.run("", name="own")
        e = r.json() if r.status == 0 else {}
        check(r.status == 0 and e["CPUIDs"] in ([2, 10], [3, 11]) and e["Node"] == 0 and e["PageMiB"] == 2,
              "ne_cpus is written, and an enclave gets a core of it", r, d.log_text())
        check(online() == "0,1,4,5,6,7,8,9,12,13,14,15\n" and "cannot be set" not in d.log_text(), "its CPUs are offline", online())
        restarts(d)
        r = d.ok("pool", "set", "--cpu-list", "2-5,10-13", "-o", "json").json()
        check(r.get("QueuedCPUs") == [2, 3, 4, 5, 10, 11, 12, 13] and r["Nodes"][0]["PoolCPUs"] == [2, 3, 10, 11],
              "a change while an enclave is alive is queued, and the answer says so", r)
        d.ok("terminate", "own", "--force")
        r = wait_for(lambda: (lambda p: p if "QueuedCPUs" not in p else None)(d.cli("pool", "show", "-o", "json").json()),
                     "the change")
        check(r["Nodes"][0]["PoolCPUs"] == [2, 3, 4, 5, 10, 11, 12, 13] and "is made" in d.log_text(),
              "and made when the last one has ended", r)
        r = d.cli("run", "--eif", d.eif("", "four.eif"), "--memory", "64", "--cpus", "8", "-o", "json")
        check(r.status == 0, "the driver agrees", r)
        d.ok("terminate", "four", "--force")
        d.replace_daemon()
        r = d.run("", name="again")
        check(r.status == 0, "a later daemon fills the driver's pool again", r, d.log_text())
        d.ok("terminate", "again", "--force")
        foreign(d)
        wait_for(lambda: d.cli("pool", "set", "--cpus", "0", "-o", "json").status == 0, "an empty pool")
        check(online() == "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n", "an empty pool gives the parent all its CPUs back", online())
    shutil.rmtree(top)


def foreign(d):
    """An enclave that was not started from here keeps the driver's pool as it is: the change is tried until that has ended."""
    d.hold.touch()
    wait_for(pathlib.Path(f"{d.hold}.held").exists, "the other enclave")
    r = d.ok("pool", "set", "--cpu-list", "2-4,10-12", "-o", "json").json()
    check(r.get("QueuedCPUs") == [2, 3, 4, 10, 11, 12] and r["Enclaves"] == 0, "a change against somebody else's enclave is queued", r)
    d.hold.unlink()
    p = wait_for(lambda: (lambda p: p if "QueuedCPUs" not in p else None)(d.cli("pool", "show", "-o", "json").json()), "the change")
    check(p["Nodes"][0]["PoolCPUs"] == [2, 3, 4, 10, 11, 12], "and made when that has ended, which nobody tells", p)


def named(d):
    """CPUs by number; a restart has the same ones."""
    r = d.run("", "--cpu-ids", "3,11", "--restart", "always", name="third")
    check(r.status == 0 and r.json()["CPUIDs"] == [3, 11], "CPUs by number", r, d.log_text())
    os.kill(d.describe("third")["ProcessID"], signal.SIGKILL)
    e = wait_for(lambda: (lambda e: e if e["Restarts"] > 0 and e["State"] == "running" else None)(d.describe("third")), "its restart")
    check(e["CPUIDs"] == [3, 11], "and the same ones when it is started again, though others are free", e)
    d.ok("terminate", "third", "--force")
    run = ("run-enclave", "--eif-path", d.eif("", "second.eif"), "--memory", "63", "--cpu-ids")
    r = nitro_cli(d, *run, "3", "11")
    check(r.status == 0 and r.json()["CPUIDs"] == [3, 11] and "cpu-ids: [3, 11]" in r.err, "nitro-cli's --cpu-ids", r)
    check(r.status == 0 and r.json()["MemoryMiB"] == 64, "and its whole pages of an odd number of MiB", r)
    for cpus, word in ((("3", "11"), "CPU 3 belongs"), (("2", "3"), "CPU 3 belongs"), (("4", "12"), "CPU 4 is not in the pool")):
        r = nitro_cli(d, *run, *cpus)
        check(r.status == 21 and "[ E21 ]" in r.err, f"CPUs {' and '.join(cpus)}: E21", r)
    d.ok("terminate", "--all", "--force")
    d.cli("forget")


def restarts(d):
    """A daemon that begins while an enclave lives cannot see the driver's CPUs, and still knows their cores."""
    before = d.cli("pool", "show", "-o", "json").json()["Nodes"][0]
    d.replace_daemon()
    after = d.cli("pool", "show", "-o", "json").json()["Nodes"][0]
    check(before == after and after["PoolCPUs"] == [2, 3, 10, 11], "the pool is the same for the next daemon", before, after)
    r = d.run("", name="beside")
    e = r.json() if r.status == 0 else {}
    check(r.status == 0 and e["CPUIDs"] != d.describe("own")["CPUIDs"], "which gives the other core to the next enclave", r, d.log_text())
    d.ok("terminate", "beside", "--force")
    d.cli("forget")


def refused_pools():
    """The driver empties its pool before it looks at the new list: what it refuses must leave the old pool."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    invent(top, nodes=2, cores=4, pages=64)
    conf = "mode:dedicated\nplatform:nitro\nhypervisor:nitro\nhugepage_size:2\nmemory_mib:128\ncpu_list:2-3,10-11\n"
    with Nitro("--pool", "", "--nodes", "2", "--machine", str(top), config=conf, options=["--sysfs", str(top)]) as d:
        d.refused("CPUs of two nodes", 7, "NoCpus", "pool", "set", "--cpu-list", "3,4,11,12", contains=["NUMA"])
        (top / "devices/system/cpu/cpu5/topology/thread_siblings_list").write_text("5\n")  # a machine that shows more than the driver takes
        (top / "devices/system/cpu/cpu13/topology/thread_siblings_list").write_text("13\n")
        r = d.cli("pool", "set", "--cpu-list", "5")
        check(r.status == 11 and "HypervisorFailed" in r.err and "ne_cpus" in r.err and "CPUs 5" in r.err, "the driver refuses", r)
        p = d.cli("pool", "show", "-o", "json").json()
        check(p["Nodes"][0]["PoolCPUs"] == [2, 3, 10, 11], "and the old pool is put back", p)
        r = d.run("", name="still")
        check(r.status == 0, "in truth", r, d.log_text())
        d.ok("terminate", "still", "--force")
    shutil.rmtree(top)


def single_threads(pages):
    """A parent with one thread in each core, as those with ARM are: odd numbers of CPUs are whole cores."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    invent(top, nodes=1, cores=8, threads=1, pages=64)
    conf = CONFIG.replace("mode: shared\n", "mode:dedicated\nmemory_mib:128\ncpu_list:2-5\n")
    with Nitro("--cpus", "8", "--threads", "1", "--pool", "", "--machine", str(top), config=conf, options=["--sysfs", str(top)]) as d:
        for n in (1, 3):
            r = d.run("", "--cpus", str(n), name="odd")
            check(r.status == 0 and r.json()["NumberOfCPUs"] == n and len(r.json()["CPUIDs"]) == n, f"an enclave of {n} CPUs", r, d.log_text())
            d.ok("terminate", "odd", "--force")
            d.cli("forget")
    shutil.rmtree(top)


def platform():
    """The hypervisor's own limits and defaults hold without a word; on bare metal nothing is started."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    sysfs = invent(top / "sys", nodes=1, cores=8, pages=64)
    conf = "mode:dedicated\nhypervisor:nitro\nmemory_mib:1024\ncpu_list:2-3,10-11\n"
    with Nitro("--pool", "", "--machine", str(sysfs), config=conf, options=["--sysfs", str(sysfs)]) as d:
        p = d.cli("pool", "show", "-o", "json").json()
        check((p["Platform"], p["PageMiB"], p["EnclavesMax"]) == ("nitro", 2, 4), "hypervisor:nitro has nitro's limits and 2 MiB pages", p)
        small = ("run", "--eif", d.eif())
        d.refused("less than nitro's least memory", 7, "LimitExceeded", *small, "--memory", "62", contains=["62 MiB", "at least 64"])
        d.refused("its node's CPUs, all of which it may have", 7, "NoCpus", *small, "--cpus", "16", contains=["16 CPUs", "at most 4 would"])
        r = d.cli("run", "--eif", d.eif(), "-o", "json")  # its pages are invented, so it ends before it runs
        check(r.status != 7 or "Limit" not in r.err, "nitro's defaults keep nitro's rules", r)
        e = next(iter(d.all().values()))
        check((e["NumberOfCPUs"], e["MemoryMiB"]) == (2, 512), "and are 2 CPUs and 512 MiB", e)
        d.cli("forget")
    allocator = top / "allocator.yaml"
    allocator.write_text("---\nmemory_mib: 2048\ncpu_count: 2\n")
    imported = subprocess.run([CLI, "import-config", str(allocator)], check=True, capture_output=True, text=True).stdout
    with Nitro("--pool", "", "--machine", str(sysfs), config=imported, options=["--sysfs", str(sysfs)]) as d:
        check(d.cli("pool", "show", "-o", "json").json()["PageMiB"] == 1024, "an imported pool of 1 GiB pages")
        for asked, given in ((512, 1024), (1536, 2048)):  # its pages are invented, so it ends before it runs
            r = nitro_cli(d, "run-enclave", "--eif-path", d.eif(), "--memory", str(asked), "--cpu-count", "2")
            e = next(iter(d.all().values()), {})
            check(e.get("MemoryMiB") == given and "multiple" not in r.err, f"nitro-cli's {asked} MiB get whole pages of it, {given} MiB", r, e)
            d.cli("forget")
        d.refused("our own command is told of the pages", 7, "LimitExceeded", "run", "--eif", d.eif(), "--memory", "512",
                  contains=["the page size, 1024 MiB: 1024 would work"])
    (top / "proc").mkdir()
    (top / "proc/cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu lm\n")
    for hypervisor in ("nitro", "qingtian"):
        with Nitro("--pool", "", "--machine", str(sysfs), config=f"hypervisor:{hypervisor}\n", options=["--sysfs", str(sysfs)]) as d:
            d.refused(f"bare metal is no parent of {hypervisor}", 7, "LimitExceeded", "run", "--eif", d.eif(),
                      contains=["bare metal", hypervisor, "hypervisor:local"])
    with Daemon(monitor=STANDIN, options=["--sysfs", str(sysfs)]) as d:
        d.ok("run", "--eif", d.image(), "--name", "anywhere", "--memory", "128")
    shutil.rmtree(top)


def main():
    if os.getuid() != 0 or is_bare_metal():
        skip("the hypervisor nitro", "needs root and a virtual machine")
        return done()
    with HugePages(64) as pages:
        if pages.why:
            skip("the hypervisor nitro", pages.why)
            return done()
        # Its pages are one mapping: the driver is told of them in one call, and merges what is contiguous.
        with Nitro("--race", "1", "--memory-calls", "1") as d:
            first(d, pages)
            ends(d)
            at_the_same_time(d)
            impostors(d)
            refusals(d, pages)
            loading(d, pages)
            chosen(d)
            death(d, pages)
        with Nitro("--pool", "") as d:
            waiting(d)
            r = d.run("", name="none")
            check(r.status == 7 and "NoCpus" in r.err and "errno 272" in r.err and "of 2 vCPUs: " in r.err, "errno 272: an empty pool", r)
        with Nitro("--regions", "0") as d:
            r = d.run("", name="none")
            check(r.status == 7 and "NoMemory" in r.err and "1 GiB pages" in r.err, "too many regions", r)
        dedicated(pages)
        refused_pools()
        single_threads(pages)
    platform()
    with Daemon(config=CONFIG) as d:
        r = d.cli("run", "--eif", d.image())
        check(r.status == 9 and "HypervisorMissing" in r.err and "nitro_enclaves" in r.err, "without the device: what to load", r)
    done()


main()
