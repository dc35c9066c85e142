# SPDX-License-Identifier: Apache-2.0
"""The verbs of the lifecycle against a real daemon, with a stand-in for the virtual machine; as root and rootless."""
import json
import os
import signal
import subprocess
import xml.etree.ElementTree

from harness import ORDINARY, PATIENCE, STANDIN, Daemon, check, done, skip, wait_for


def first_light(d):
    e = d.ok("run", "--eif", d.image("load=20 boot=20", "my app.eif"), "--debug", "-o", "json").json()
    check(e["EnclaveName"] == "my-app" and e["EnclaveCID"] == 4 and e["EnclaveID"] == 0 and e["State"] == "running"
          and e["Status"] == "Running" and e["LaunchMode"] == "debug" and e["Flags"] == "DEBUG_MODE"
          and e["NumberOfCPUs"] == 2 and e["MemoryMiB"] == 1024 and e["AttestedPCRs"] == "zero",
          "run answers with the names of both vendors' tools", e)
    text = d.ok("describe").out
    check(text.splitlines()[0].split()[:3] == ["NAME", "ID", "CID"] and "my-app" in text, "describe is a table", text)
    text = d.ok("describe", "my-app").out
    check("running since" in text and "debug mode" in text, "describe NAME is everything about one", text)
    check(d.describe("0")["EnclaveName"] == "my-app", "an enclave is found by its number too")

    r = d.ok("connect", "my-app", "7", stdin="a line\n")
    check(r.out == "a line\n", "connect carries both ways and ends with its input", r)
    d.refused("nothing listens on that port", 11, "GuestRefused", "connect", "my-app", "8")

    console = d.popen("console", "my-app")
    check(console.stdout.readline() == "the first line\n", "console begins with the first byte")
    r = d.ok("terminate", "my-app", "-o", "json").json()
    check(r[0]["State"] == "stopped" and r[0]["Reason"]["Kind"] == "stopped" and r[0]["Reason"]["Uid"] == d.uid,
          "terminate says how it ended", r)
    check(console.wait(PATIENCE) == 0, "console ends with the enclave")
    console.communicate()
    check(d.describe("my-app")["State"] == "stopped", "the record of an ended enclave stays")
    check("no enclaves are alive" in d.ok("describe").out, "the living are listed without it")
    check(d.ok("forget", "my-app").out == "forgot my-app\n", "until it is forgotten")
    d.refused("then it is unknown", 5, "NoSuchEnclave", "describe", "my-app")


def bad_input(d):
    image = d.image(name="app.eif")
    d.ok("run", "--eif", image, "--name", "first", "--cid", "16")
    for what, status, error, arguments, words in (
            ("no image", 2, "Usage", ["run"], "--eif"),
            ("an image that is not there", 3, "FileUnreadable", ["run", "--eif", "/nonexistent"], "/nonexistent"),
            ("a directory", 3, "FileUnreadable", ["run", "--eif", "/tmp"], "/tmp"),
            ("a device", 3, "FileUnreadable", ["run", "--eif", "/dev/null"], "/dev/null"),
            ("a name twice", 6, "NameInUse", ["run", "--eif", image, "--name", "first"], "first"),
            ("a name that is none", 2, "NameInvalid", ["run", "--eif", image, "--name", "../x"], "../x"),
            ("a CID in use", 6, "CidInUse", ["run", "--eif", image, "--cid", "16"], ["16", "first"]),
            ("the parent's CID", 2, "CidReserved", ["run", "--eif", image, "--cid", "3"], ["3", "4"]),
            ("CID 0", 2, "CidReserved", ["run", "--eif", image, "--cid", "0"], "0"),
            ("a CID beyond 32 bits", 2, "Usage", ["run", "--eif", image, "--cid", "4294967296"], "4294967295"),
            ("an odd number of CPUs", 7, "LimitExceeded", ["run", "--eif", image, "--cpus", "3"], ["3 CPUs", "2 or 4"]),
            ("no CPUs", 7, "LimitExceeded", ["run", "--eif", image, "--cpus", "0"], "at least 2"),
            ("too many CPUs", 7, "LimitExceeded", ["run", "--eif", image, "--cpus", "62"], "at most 60"),
            ("too little memory", 7, "LimitExceeded", ["run", "--eif", image, "--memory", "127"], "128"),
            ("more memory than there is", 7, "NoMemory", ["run", "--eif", image, "--memory", "262144"], "free"),
            ("a number that is none", 2, "Usage", ["run", "--eif", image, "--memory", "1Q"], "1Q"),
            ("an unknown name", 5, "NoSuchEnclave", ["terminate", "nobody"], "nobody"),
            ("an unknown number", 5, "NoSuchEnclave", ["console", "17"], "17"),
            ("a console without debug", 6, "NotDebug", ["console", "first"], "--debug"),
            ("neither a name nor --all", 2, "Usage", ["terminate"], "--all"),
            ("both", 2, "Usage", ["terminate", "first", "--all"], "--all"),
            ("a port that is none", 2, "Usage", ["connect", "first", "http"], "http"),
            ("forgetting the living", 6, "WrongState", ["forget", "first"], "terminate"),
            ("an unknown option", 2, "Usage", ["run", "--imagine"], "--imagine")):
        d.refused(what, status, error, *arguments, contains=words)
    big = d.image(name="big.eif")
    os.truncate(big, 40 << 20)
    d.refused("less than four times the image", 7, "LimitExceeded", "run", "--eif", big, "--memory", "159",
              contains=["160", "4 times"])
    d.ok("run", "--eif", big, "--memory", "160", "--name", "exact")
    d.refused("a third enclave", 7, "LimitExceeded", "run", "--eif", image, contains=["2 enclaves", "qingtian"])
    r = d.cli("run", "--eif", image, "-o", "json")
    check(r.json()["Error"]["Name"] == "LimitExceeded" and r.json()["Error"]["ExitStatus"] == r.status == 7,
          "in JSON mode an error is an object too", r)
    check(set(d.all()) == {"first", "exact"}, "nothing of that changed anything")
    d.ok("terminate", "--all")
    d.ok("run", "--eif", image, "--name", "first", "--cid", "16")
    d.ok("terminate", "first", "--force")


def ends(d):
    r = d.cli("run", "--eif", d.image("run=0 end=exited code=3"), "--name", "short")
    check(r.status == 0, "an application that ends at once has run", r)
    e = d.wait_state("short", "stopped")
    check(e["Reason"] == {"Kind": "exited", "ExitCode": 3, "Text": "the stand-in ended: exited"}, "with its exit code", e)
    d.ok("run", "--eif", d.image("run=0 end=killed signal=11"), "--name", "short")
    check(d.wait_state("short", "failed", "stopped")["Reason"]["Signal"] == 11, "a name is free again after the end")
    for kind, error, status in (("kernel-panic", "BootFailed", 11), ("boot-timeout", "BootTimeout", 10),
                                ("hypervisor-died", "HypervisorFailed", 11), ("silent", "HypervisorFailed", 11)):
        r = d.cli("run", "--eif", d.image(f"at=booting end={kind}"), "--name", kind, "--debug")
        check(r.status == status and f"qt-enclave: {error}: " in r.err, f"{kind} while booting", r)
        if kind != "silent":
            check("the last line" in r.err, "and the last lines of its console", r)
    check(d.all()["silent"]["Reason"]["Kind"] == "monitor-lost", "a monitor without last words is lost")
    r = d.cli("run", "--eif", d.image("run=50 end=exited code=4"), "--name", "attached", "--attach-console")
    check(r.status == 11 and "the first line" in r.out and "exited with code 4" in r.err, "run --attach-console", r)
    r = d.cli("run", "--eif", d.image("run=50 end=exited"), "--name", "attached", "--attach-console")
    check(r.status == 0, "run --attach-console of an application that ends well", r)
    check(set(d.ok("forget").out.split()) >= {"forgot", "short", "attached"}, "all records at once")


def at_the_same_time(d):
    image = d.image("boot=50", "same.eif")
    runs = [d.popen("run", "--eif", image, "-o", "json") for _ in range(3)]
    results = [(p.communicate(timeout=PATIENCE), p.returncode) for p in runs]
    names = sorted(json.loads(out)["EnclaveName"] for (out, _), status in results if status == 0)
    check(names == ["same", "same_1"], "two of three that start at once get different names", results)
    check(sorted(status for _, status in results) == [0, 0, 7], "and the third is told the limit", results)
    check(sorted(e["EnclaveCID"] for e in d.all().values() if e["State"] == "running") == [4, 5], "and different CIDs")
    d.ok("terminate", "--all")

    slow = d.popen("run", "--eif", d.image("boot=100000"), "--name", "slow")
    d.wait_state("slow", "booting")
    d.ok("terminate", "slow")
    out, err = slow.communicate(timeout=PATIENCE)
    check(slow.returncode == 11 and "BootFailed" in err, "terminate during boot; run says so", out, err)


def daemon_goes_away(d):
    d.ok("run", "--eif", d.image(), "--name", "stays", "--memory", "256")
    before = d.describe("stays")
    d.kill()
    r = d.cli("describe")
    check(r.status == 9 and "DaemonUnreachable" in r.err and "qt-enclaved" in r.err,
          "without a daemon: how to start one", r)
    d.start()
    after = d.describe("stays")
    check(before == after, "after kill -9 the next daemon finds the enclave again, with every fact", before, after)
    d.ok("connect", "stays", "7", stdin="still there\n")
    d.kill()
    os.kill(before["ProcessID"], signal.SIGKILL)
    d.start()
    e = d.describe("stays")
    check(e["State"] == "failed" and e["Reason"]["Kind"] == "monitor-lost", "one that died meanwhile is collected", e)

    d.ok("run", "--eif", d.image(), "--name", "unrecorded", "--memory", "256")
    before = d.describe("unrecorded")
    d.kill()
    for record in (d.runtime / "state").iterdir():
        record.unlink()
    d.start()
    after = d.wait_state("unrecorded", "running")  # said by the monitor, which is asked
    same = ("EnclaveName", "EnclaveID", "EnclaveCID", "MemoryMiB", "NumberOfCPUs", "LaunchMode", "State", "Uid")
    check(all(before[k] == after[k] for k in same), "without any record the monitors still know", before, after)
    d.kill()
    (d.runtime / "state/unrecorded.json").write_text('{"Version": 1, "Name": "unrec')
    d.start()
    check(d.wait_state("unrecorded", "running")["Uid"] == before["Uid"], "a truncated record is no record")
    d.ok("terminate", "unrecorded")


def events(d):
    seen = d.follow("events")
    watched = d.popen("describe", "--watch")
    check("no enclaves" in watched.stdout.readline(), "describe --watch begins with what is there")
    d.ok("run", "--eif", d.image("load=20 boot=20"), "--name", "seen")
    text = ""
    while "running" not in text:  # before its end: what it prints is what is there when it comes to print
        text += watched.stdout.readline()
    check("seen" in text, "and follows what happens")
    r = d.ok("describe", "seen", "--timeline")
    check(r.out.startswith("load ") and "in all" in r.out, "the timeline of a start", r)
    check(any(line.split()[0] == "load" and line.endswith("  loaded") for line in r.out.splitlines()),
          "names what was at work and the moment that it reached", r)
    picture = d.home / "start.svg"
    d.ok("describe", "seen", "--svg", str(picture))
    check(xml.etree.ElementTree.parse(picture).getroot().tag.endswith("svg"), "is a well-formed picture too")
    d.refused("grace and none", 2, "Usage", "terminate", "seen", "--force", "--grace", "3s", contains="--force")
    d.refused("a timeline of nobody", 2, "Usage", "describe", "--timeline")
    d.ok("terminate", "seen")
    states = []
    while "stopped" not in states:
        event = json.loads(seen.stdout.readline())
        states += [event["State"]] if event["State"] not in states else []
    check(states == ["allocating", "loading", "booting", "running", "stopping", "stopped"]
          and event["Reason"]["Kind"] == "stopped", "events are told one by one", states)
    for p in (seen, watched):
        p.kill()
        p.communicate()


def boot_time(d):
    """What a monitor is told: 60 s of the configuration, 100 ms for each MiB of the image, 1 ms for each of memory."""
    large = d.image(name="large.eif")
    os.truncate(large, 50 << 20)
    for name, image, memory in (("small", d.image(), 128), ("roomy", d.image(), 1000), ("large", large, 256)):
        d.ok("run", "--eif", image, "--name", name, "--memory", str(memory))
        told = json.loads((d.runtime / "enclaves" / name / "config.json").read_text())
        wanted = 60000 + (5000 if image == large else 0) + memory
        check(told["BootTimeoutMSec"] == wanted, f"the boot timeout follows image and memory: {name}", told, wanted)
        d.ok("terminate", name, "--force")
        d.ok("forget", name)


def second_daemon(d):
    p = subprocess.run(d.command, env=d.environment, capture_output=True, text=True, timeout=PATIENCE)
    check(p.returncode != 0 and "WrongState: another qt-enclaved" in p.stderr, "a second daemon in the same place is refused", p)


def scenario(**how):
    with Daemon(monitor=STANDIN, **how) as d:
        for part in (first_light, bad_input, boot_time, ends, at_the_same_time, events, daemon_goes_away, second_daemon):
            print("#", part.__name__, "as uid", d.uid)
            part(d)


scenario()
if os.getuid() == 0:
    scenario(uid=ORDINARY, user_mode=True)
else:
    skip("the same as another ordinary user", "only root can become one")
done()
