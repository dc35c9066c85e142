# SPDX-License-Identifier: Apache-2.0
"""The hypervisor qingtian: the real daemon, monitor and CLI with a stand-in for the vendor's tool."""
import json
import os
import re
import shutil
import signal
import pathlib
import subprocess
import tempfile

from harness import BUILD, ORDINARY, PATIENCE, SOURCE, Daemon, check, done, is_bare_metal, processes_below, skip, wait_for
from invented_machine import invent

CODES = SOURCE / "base/qingtian_errors.def"
NITRO_DEVICE = str(BUILD / "tests/programs/nitro_device")
KINDS = {name: text for name, text in re.findall(r'^ERROR\((\w+), "(\w+)"', (SOURCE / "base/errors.def").read_text(), re.M)}


class QingTian(Daemon):
    """Below the emulated device only for its vsock: no test opens a real one."""

    def __init__(self, more="", options=()):
        self.more = more
        super().__init__(config="placeholder:1", options=options)

    def start(self):
        if self.command[0] != NITRO_DEVICE:
            self.tool = self.top / "vendor"
            self.tool.mkdir()
            shutil.copy(SOURCE / "tests/programs/qt_standin.py", self.tool / "qt")
            shutil.copy(CODES, self.tool / "codes")
            os.chmod(self.tool / "qt", 0o755)
            (self.top / "conf").write_text(f"platform:qingtian\nhypervisor:qingtian\nqingtian_tool:{self.tool}/qt\n{self.more}")
            self.command = [NITRO_DEVICE, "--", *self.command]
        super().start()
        (self.tool / "owner").write_text(str(self.process.pid))

    def run(self, script="", *arguments, name="app"):
        return self.cli("run", "--eif", self.image(script, f"{name}.eif"), "--name", name, "-o", "json", *arguments)

    def calls(self):
        path = self.tool / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def enclaves(self):
        return list((self.tool / "enclaves").glob("*"))


def first(d):
    r = d.run("vendor image of a layout that nobody here knows", "--debug")
    e = r.json() if r.status == 0 else {}
    check(r.status == 0 and e["State"] == "running" and e["Hypervisor"] == "qingtian" and e["LaunchMode"] == "debug", "it runs", r)
    check(e["Measurements"]["PCR0"] == "ab" * 48 and "PCR8" not in e["Measurements"], "the PCRs are those that the tool tells", e)
    check(any(re.fullmatch(r"enclave start --eif \S+/image\.eif --cpus 2 --mem 1024 --cid 4 --debug-mode", c) for c in d.calls()),
          "start has the documented options", *d.calls())
    wait_for(lambda: d.describe("app")["HypervisorPID"], "the vendor's process")
    wait_for(lambda: d.describe("app")["Ready"], "ready")
    check(True, "the guest's lifecycle channel reaches its monitor")
    console = d.popen("console", "app")
    check(console.stdout.readline() == "the first line\n", "the console, through the tool")
    r = d.ok("terminate", "app", "-o", "json").json()[0]
    check(r["Reason"]["Kind"] == "stopped", "terminate", r)
    check(console.wait(PATIENCE) == 0 and not list(d.runtime.glob("enclaves/*")), "the console ends; nothing stays on disk")
    console.communicate()
    d.cli("forget")


def ends(d):
    for script, code in (("life=300 exit=0", 0), ("life=300 exit=7", 7)):
        r = d.run(script, name="end")
        e = d.wait_state("end", "stopped", "failed")
        check(r.status == 0 and e["Reason"]["Kind"] == "exited" and e["Reason"].get("ExitCode") == code, f"{script}", r, e)
        d.cli("forget")
    (d.tool / "owner").unlink()
    r = d.run("life=300", name="end")
    e = d.wait_state("end", "stopped", "failed")
    check(e["Reason"]["Kind"] == "exited" and "does not tell" in e["Reason"]["Text"], "a guest without our channel just ends", e)
    d.cli("forget")
    d.run("", name="stock")
    r = d.ok("wait", "stock", "--for", "ready", "-o", "json").json()
    check(not r["Ready"] and r["ReadyAssumed"], "nor can it say that it is ready: nobody waits for that for ever", r)
    d.ok("terminate", "stock", "--force")
    d.cli("forget")


def variants(d):
    for script in ("quiet", "noisy", "late", "flood=300", "mute", "sulk", "debuglie"):
        r = d.run(script, name="variant")
        check(r.status == 0, f"start: {script}", r)
        (d.tool / "stop2").write_text("")
        r = d.cli("terminate", "variant", "--force", "-o", "json")
        check(r.status == 0 and r.json()[0]["Reason"]["Kind"] == "stopped" and not d.enclaves(),
              "and stop with the other message", r, *d.enclaves())
        d.cli("forget")
    check("debug mode, which was not asked for" in d.log_text(), "a debug mode that nobody asked for is logged")
    (d.tool / "old").write_text("")
    r = d.run("", name="variant")
    check(r.status == 0 and not (r.json().get("Measurements") or {}).get("PCR0"), "a tool without query-eif: no PCRs are claimed", r)
    d.ok("terminate", "variant", "--force")
    d.cli("forget")


def failures(d):
    for number, text, kind in re.findall(r'^CODE\((\d+), "([^"]*)", (\w+),', CODES.read_text(), re.M):
        r = d.run(f"{'code' if int(number) % 2 else 'bare'}={number}", "--cid", "4", name="fails")
        check(r.status != 0 and f"qt-enclave: {KINDS[kind]}: " in r.err and text in r.err, f"code {number}: {KINDS[kind]}", r)
        d.cli("forget")
    for script, kind, word in (("raise=docker", "ToolMissing", "pip3"), ("raise=knack", "ToolMissing", "pip3"),
                               ("raise=permission", "PermissionDenied", "/var/run/enclave"),
                               ("silent", "HypervisorFailed", "printed nothing"), ("wrongcid", "HypervisorFailed", "77")):
        r = d.run(script, name="fails")
        check(r.status != 0 and f": {kind}: " in r.err and word in r.err, f"{script}: {kind}", r)
        d.cli("forget")
    check(d.calls()[-1].startswith("enclave query") and any(c.startswith("enclave stop") for c in d.calls()[-4:]),
          "an enclave that a lying start left behind is found by its CID and stopped", *d.calls()[-5:])
    check("Traceback" not in d.log_text(), "no trace of Python in the daemon's log")


def foreigners(d):
    """An enclave that was started with the vendor's tool directly: its CID is not ours to take, nor it to stop."""
    with subprocess.Popen(["sleep", "1000"]) as other:
        path = d.tool / "enclaves/0"
        path.write_text(json.dumps({"EnclaveID": 0, "ProcessID": other.pid, "EnclaveCID": 4, "NumberOfCPUs": 2, "MemoryMiB": 1024,
                                    "LaunchMode": "normal", "words": {}}))
        before = len(d.calls())
        r = d.run("", "--cid", "4", name="second")
        check(r.status != 0 and ": CidInUse: " in r.err and "enclave 0 of the vendor's tool" in r.err, "its CID is taken", r)
        r = d.run("", name="second")
        check(r.status == 0 and r.json()["EnclaveCID"] == 5 and r.json()["State"] == "running", "who asks for none gets another one", r)
        d.ok("terminate", "second", "--force")
        stops = [c for c in d.calls()[before:] if c.startswith("enclave stop")]
        check(path.exists() and other.poll() is None and stops == ["enclave stop --enclave-id 1"], "it lives, and was never stopped", *stops)
        d.cli("forget")
        # It comes while our start is under way, too late to be seen before.
        path.unlink()
        p = d.popen("run", "--eif", d.image("slow=1500 code=43"), "--name", "late", "--cid", "4")
        wait_for(lambda: any(c.startswith("enclave start") for c in d.calls()[-1:]), "the start")
        path.write_text(json.dumps({"EnclaveID": 0, "ProcessID": other.pid, "EnclaveCID": 4, "words": {}}))
        err = p.communicate(timeout=PATIENCE)[1]
        check(p.returncode != 0 and ": CidInUse: " in err and other.poll() is None, "nor when it took the CID in the meantime", err)
        check(d.calls()[-1].startswith("enclave start"), "nothing is looked for then", *d.calls()[-3:])
        path.unlink()
        other.kill()
    d.cli("forget")


def stubborn(d):
    d.run("zombie", name="zombie")
    r = d.cli("terminate", "zombie", "--force", "-o", "json")
    e = d.describe("zombie")
    check(r.status == 11 and "HypervisorFailed" in r.err and "could not be ended" in r.err, "terminate has not ended it, and says so", r)
    check(e["State"] == "failed" and e["Reason"]["Kind"] == "hypervisor-died" and "still there" in e["Reason"]["Text"],
          "a tool that says ten times that it stopped an enclave which is still there is not believed", r, e)
    for path in d.enclaves():
        os.kill(json.loads(path.read_text())["ProcessID"], signal.SIGKILL)
        path.unlink()
    d.cli("forget")


def times(d):
    p = d.popen("run", "--eif", d.image("slow=100000"), "--name", "slow")
    wait_for(lambda: any(c.startswith("enclave start") for c in d.calls()[-1:]), "the slow start")
    d.ok("terminate", "slow")
    out, err = p.communicate(timeout=PATIENCE)
    check(p.returncode != 0, "a slow start can be terminated", out, err)
    d.cli("forget")
    e = d.run("", name="dies").json()
    pid = e["ProcessID"]
    os.kill(pid, signal.SIGKILL)
    e = d.wait_state("dies", "failed")
    check(e["Reason"]["Kind"] == "monitor-lost", "kill -9 of a monitor is seen", e)
    wait_for(lambda: any(c.startswith("enclave stop") for c in d.calls()[-1:]), "the stop")
    check(True, "and its enclave is stopped, though the vendor's server would keep it")
    d.cli("forget")


def helper_of(d, name):
    monitor = d.describe(name)["ProcessID"]
    return int(pathlib.Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split()[0])


def abandoned(d):
    """A monitor and its helper that are killed together can stop nothing; the daemon says what is left."""
    monitor = d.run("", name="lost").json()["ProcessID"]
    server, helper = wait_for(lambda: d.describe("lost")["HypervisorPID"], "the vendor's process"), helper_of(d, "lost")
    os.kill(monitor, signal.SIGSTOP)
    os.kill(helper, signal.SIGKILL)
    os.kill(monitor, signal.SIGKILL)
    e = d.wait_state("lost", "failed")
    check(e["Reason"]["Kind"] == "monitor-lost" and f"process {server}, CID {e['EnclaveCID']}" in e["Reason"]["Text"]
          and "qt enclave stop" in e["Reason"]["Text"], "a vendor's enclave that nobody can stop any more is named", e)
    r = d.run("", name="next")
    check(r.status == 0 and r.json()["EnclaveCID"] != e["EnclaveCID"], "and its CID is not given to another one", r)
    d.ok("terminate", "next", "--force")
    os.kill(server, signal.SIGKILL)
    d.cli("forget")


def reads_console(d):
    return any("qt enclave console" in process for process in processes_below(d.tool))


def helperless(d):
    """The helper alone dies: its monitor can do nothing more than to tell what goes on without it."""
    d.run("", "--debug", name="helpless")
    server = wait_for(lambda: d.describe("helpless")["HypervisorPID"], "the vendor's process")
    wait_for(lambda: reads_console(d), "the console")
    cid, number = d.describe("helpless")["EnclaveCID"], json.loads(d.enclaves()[0].read_text())["EnclaveID"]
    os.kill(helper_of(d, "helpless"), signal.SIGKILL)
    e = d.wait_state("helpless", "failed")
    check(e["Reason"]["Kind"] == "hypervisor-died" and f"enclave {number} (process {server}, CID {cid})" in e["Reason"]["Text"]
          and f"qt enclave stop --enclave-id {number}" in e["Reason"]["Text"], "the enclave of a helper that died is named", e)
    wait_for(lambda: not reads_console(d), "the end of the console")
    check(pathlib.Path(f"/proc/{server}").exists(), "the vendor's console ends with the helper, the vendor's server does not")
    os.kill(server, signal.SIGKILL)
    d.cli("forget")


def hanging(d):
    """Commands of the vendor's tool that never end. Its server does not end with the monitor's channel."""
    (d.tool / "owner").unlink()
    d.run("", name="slow")
    server = wait_for(lambda: d.describe("slow")["HypervisorPID"], "the vendor's process")
    (d.tool / "hang").write_text("query")
    wait_for(lambda: d.calls()[-1].startswith("enclave query"), "a query that hangs")
    r = d.cli("terminate", "slow", "--force", "-o", "json")
    check(r.status == 0 and r.json()[0]["State"] == "stopped" and not os.path.exists(f"/proc/{server}"),
          "a query that hangs does not keep an enclave from being stopped", r)
    d.cli("forget")
    (d.tool / "hang").unlink()
    d.run("", name="stuck")
    server, helper = wait_for(lambda: d.describe("stuck")["HypervisorPID"], "the vendor's process"), helper_of(d, "stuck")
    (d.tool / "hang").write_text("stop")
    r = d.cli("terminate", "stuck", "--force")
    e = d.describe("stuck")
    check(r.status == 11 and f"process {server}, CID {e['EnclaveCID']}" in r.err and "qt enclave stop" in r.err,
          "a stop that hangs is no success: terminate names what is left", r)
    check(e["State"] == "failed" and e["Reason"]["Kind"] == "monitor-lost" and os.path.exists(f"/proc/{server}"), "which failed", e)
    (d.tool / "hang").unlink()
    os.kill(helper, signal.SIGKILL)
    os.kill(server, signal.SIGKILL)
    d.cli("forget")


def interpreters(d):
    """A tool that is there, and what should run it is not."""
    path = d.tool / "qt"
    text = path.read_text()
    for line, kind, word in (("#!/usr/bin/env no-such-python3", "ToolMissing", "PATH"), ("#!/no/such/python3", "HypervisorMissing", "interpreter"),
                             ("#!/bin/sh\nexit 127", "HypervisorFailed", "status 127")):
        path.write_text(line + "\n" + text)
        r = d.run("", name="fails")
        check(r.status != 0 and f": {kind}: " in r.err and word in r.err, f"{line!r}: {kind}", r)
        d.cli("forget")
    path.write_text(text)


def restarts(d):
    """Our policy over an enclave that the vendor's service would leave ended."""
    (d.tool / "owner").write_text(str(d.process.pid))
    d.run("life=300 exit=1", "--restart", "on-failure", name="again")
    e = wait_for(lambda: (lambda e: e if e["Restarts"] >= 1 and e["State"] == "running" else None)(d.describe("again")), "a restart")
    check(len([c for c in d.calls() if c.startswith("enclave start")]) >= 2, "an enclave is started again as its policy says", e)
    d.ok("terminate", "again", "--force")
    d.cli("forget")


def access(d):
    """The vendor's tool gives everything to root; our daemon looks at who asks."""
    os.chmod(d.runtime, 0o755)
    os.chmod(d.socket, 0o666)
    d.run("", "--debug", name="roots")
    for verb in (("terminate", "roots"), ("console", "roots"), ("connect", "roots", "7")):
        d.refused(f"somebody else may not {verb[0]}", 8, "PermissionDenied", *verb, uid=ORDINARY)
    check(d.describe("roots")["State"] == "running", "and it lives")
    d.ok("terminate", "roots", "--force")
    d.cli("forget")


def service():
    """A pool that qt-enclave-env has set aside: counted, explained, and never changed."""
    with tempfile.TemporaryDirectory(prefix="qt-sys-") as top:
        top = pathlib.Path(top)
        sysfs, conf, active = invent(top / "sys", nodes=1, cores=8, threads=1, pages=256), top / "conf", top / "run/systemd/units"
        pages = sysfs / "devices/system/node/node0/hugepages/hugepages-2048kB"
        (sysfs / "devices/system/cpu/online").write_text("0-5\n")
        conf.write_text("# by the operator\nhugepage_size:2\nmemory_mib: 512\ncpu_count:2\n")
        active.mkdir(parents=True)
        (active / "invocation:qt-enclave-env.service").symlink_to("0123456789abcdef")
        with QingTian(f"qingtian_env:{conf}\nmemory_mib:64\n", ["--sysfs", str(sysfs)]) as d:
            p = d.cli("pool", "show", "-o", "json").json()
            s = p.get("Service", {})
            check(p["Mode"] == "vendor" and p["PageMiB"] == 2 and p["MemoryMiB"] == 512 and p["Nodes"][0]["LargestCPUs"] == 2
                  and s["Active"] and s["AskedMiB"] == 512 and s["ReservedMiB"] == 512 and s["OfflineCPUs"] == [6, 7] and "Problem" not in s,
                  "the pool is what the service's file says", p)
            text = d.ok("pool", "show").out
            check("qt-enclave-env: has run" in text and "512 MiB and 2 CPUs" in text and "!" not in text, "in words", text)
            d.refused("pages of 2 MiB have their own limit", 7, "LimitExceeded", "run", "--eif", d.image(), "--memory", "1024",
                      contains="512")
            d.refused("more CPUs than are set aside", 7, "NoCpus", "run", "--eif", d.image(), "--memory", "256", "--cpus", "4",
                      contains=("sets 2 aside", "at most 2 would work"))
            r = d.run("", "--memory", "384")
            check(r.status == 0 and any("--mem 384" in c for c in d.calls()), "what fits is started", r)
            d.refused("a second one finds no CPUs", 7, "NoCpus", "run", "--eif", d.image(), "--memory", "128", contains="2 of them are given")
            d.ok("terminate", "--all", "--force")
            d.refused("it is not ours to resize", 6, "WrongState", "pool", "set", "--memory", "0", contains=("qt-enclave-env", str(conf)))
            check((pages / "nr_hugepages").read_text() == "256\n", "and nobody did")
            (pages / "nr_hugepages").write_text("100\n")
            p = d.cli("pool", "show", "-o", "json").json()
            check(p["FreeMiB"] == 200 and "200 of 512" in p["Service"]["Problem"], "fewer pages than asked for are seen, and why", p)
            d.refused("and told when they are missed", 7, "NoMemory", "run", "--eif", d.image(), "--memory", "256",
                      contains=("at most 200 would work", "right after boot"))
            (pages / "nr_hugepages").write_text("0\n")
            (active / "invocation:qt-enclave-env.service").unlink()
            d.refused("a service that has not run", 7, "NoMemory", "run", "--eif", d.image(), "--memory", "128",
                      contains="systemctl start qt-enclave-env")
            conf.write_text("hugepage_size:3\n")
            p = d.cli("pool", "show", "-o", "json").json()
            check("2 or 1024" in p["Service"]["Problem"] and p["PageMiB"] == 2, "a file that has become wrong: the last numbers, and that", p)
            check("! " in d.cli("pool", "show").out, "in words too")


def main():
    if os.getuid() != 0 or is_bare_metal():
        skip("the hypervisor qingtian", "needs root and a virtual machine")
        return done()
    with QingTian() as d:
        first(d)
        ends(d)
        variants(d)
        failures(d)
        foreigners(d)
        stubborn(d)
        abandoned(d)
        helperless(d)
        interpreters(d)
        restarts(d)
        access(d)
        times(d)
    with QingTian("monitor_timeout:3\n") as d:
        hanging(d)
    service()
    with QingTian() as d:
        (d.tool / "qt").unlink()
        r = d.run("")
        check(r.status == 9 and "HypervisorMissing" in r.err and "qingtian_tool" in r.err, "no tool: what to do", r)
    done()


if __name__ == "__main__":
    main()
