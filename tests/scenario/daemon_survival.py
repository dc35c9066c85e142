# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon and of the monitor in every state: nothing is leaked, and the pool equals what lives."""
import json
import os
import re
import shutil
import signal

from harness import PATIENCE, SOURCE, STANDIN, Daemon, check, done, wait_for

LONG = 1000000
CONFIG = "enclaves_max:16\n"
SCRIPTS = {
    "loading": f"load={LONG}",
    "booting": f"boot={LONG}",
    "running": "",
    "stopping": f"stop={LONG}",
}


def pool(d):
    return d.cli("pool", "show", "-o", "json").json()


def bring(d, state, name):
    """An enclave in that state, and the calls that wait for it."""
    waiting = [d.popen("run", "--eif", d.image(SCRIPTS[state]), "--name", name, "--memory", "128")]
    if state in ("running", "stopping"):
        waiting[0].wait(PATIENCE)
    if state == "stopping":
        d.wait_state(name, "running")
        waiting.append(d.popen("terminate", name))
    d.wait_state(name, state)
    if state == "stopping":  # the daemon's own step; its monitor has taken it too when it is not ready any more
        wait_for(lambda: not d.describe(name)["Ready"], "the monitor's word")
    return waiting


def end(waiting):
    for p in waiting:
        p.communicate(timeout=PATIENCE)
    return [p.returncode for p in waiting]


def daemon_dies(d):
    for state in SCRIPTS:
        name = f"d-{state}"
        waiting = bring(d, state, name)
        before = d.describe(name)
        d.kill()
        statuses = end(waiting)
        check(all(s in (0, 9) for s in statuses), f"{state}: who waited is told that the daemon is gone", statuses)
        d.start()
        after = d.wait_state(name, state)
        same = [k for k in before if k != "SinceUSec" and before[k] != after.get(k)]
        check(not same, f"{state}: found again as it was", same, before, after)
    check(pool(d)["Enclaves"] == len(SCRIPTS) and {s["EnclaveName"] for s in pool(d)["Shares"]} ==
          {f"d-{s}" for s in SCRIPTS}, "each has its share again", pool(d))
    d.refused("a CID stays taken", 6, "CidInUse", "run", "--eif", d.image(), "--cid",
              str(d.describe("d-running")["EnclaveCID"]))
    # d-stopping waits for ever by its own will: only its monitor's end frees it
    os.kill(d.describe("d-stopping")["ProcessID"], signal.SIGKILL)
    d.ok("terminate", "--all", "--force")
    check(pool(d)["Enclaves"] == 0 and pool(d)["FreeMiB"] == pool(d)["MemoryMiB"], "and gives it back", pool(d))


def monitor_dies(d):
    for state in SCRIPTS:
        name = f"m-{state}"
        waiting = bring(d, state, name)
        os.kill(d.describe(name)["ProcessID"], signal.SIGKILL)
        e = d.wait_state(name, "failed")
        check(e["Reason"]["Kind"] == "monitor-lost" and e["ProcessID"] == 0, f"{state}: monitor lost", e)
        end(waiting)
    check(pool(d)["Enclaves"] == 0, "nothing is held", pool(d))
    check(not list((d.runtime / "enclaves").iterdir()), "no directory is left")


def both_die(d):
    """The power cut of the whole tree, but for the files."""
    for state in SCRIPTS:
        name = f"b-{state}"
        waiting = bring(d, state, name)
        monitor = d.describe(name)["ProcessID"]
        d.process.send_signal(signal.SIGSTOP)
        os.kill(monitor, signal.SIGKILL)
        d.process.send_signal(signal.SIGKILL)
        d.process.wait()
        d.log.close()
        end(waiting)
        d.start()
        e = d.wait_state(name, "failed")
        check(e["Reason"]["Kind"] == "monitor-lost", f"{state}: both at once", e)
    check(pool(d)["Enclaves"] == 0 and not list((d.runtime / "enclaves").iterdir()), "nothing is left of them", pool(d))


def words_outlive_the_daemon(d):
    d.ok("run", "--eif", d.image("run=300 end=exited code=7"), "--name", "last")
    pid = d.describe("last")["ProcessID"]
    d.kill()
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the monitor's end")
    d.start()
    e = d.describe("last")
    check(e["State"] == "stopped" and e["Reason"].get("ExitCode") == 7, "an exit while nobody looked is known", e)


def records_are_old_or_broken(d):
    d.ok("run", "--eif", d.image(), "--name", "kept", "--memory", "128")
    state = d.runtime / "state"
    d.kill()
    record = json.loads((state / "kept.json").read_text())
    for key in ("ImageSize", "CreatedUSec", "Restarts", "MonitorPID", "Facts", "Version"):
        record.pop(key, None)
    (state / "kept.json").write_text(json.dumps(record))
    (state / "ghost.json").write_text(json.dumps({**record, "Name": "ghost", "EnclaveID": 99, "CID": 99}))
    (state / "liar.json").write_text(json.dumps({**record, "Name": "kept"}))
    (state / "empty.json").write_text("")
    (state / "old.json.00000000.tmp").write_text("half")
    (d.runtime / "enclaves/../stray").mkdir()
    (d.runtime / "enclaves/.hidden").mkdir()
    (d.runtime / "enclaves/leftover").mkdir()
    d.start()
    d.wait_state("kept", "running")
    everything = d.all()
    check(everything["kept"]["State"] == "running", "a record of few members is enough", everything)
    check(everything["ghost"]["Reason"]["Kind"] == "monitor-lost", "a record without a monitor is collected", everything)
    check(set(everything) >= {"kept", "ghost"} and "liar" not in everything and "empty" not in everything,
          "broken ones are left out", list(everything))
    check(not (state / "old.json.00000000.tmp").exists() and not (d.runtime / "enclaves/leftover").exists(),
          "halves and leftovers are cleared away")
    (d.runtime / "enclaves/.hidden").rmdir()
    d.ok("terminate", "kept")
    d.ok("forget")


def next_life(d, name, before):
    return wait_for(lambda: (lambda e: e if e and e["State"] == "running" and e["ProcessID"] != before["ProcessID"] else None)(
        d.describe(name)), "its next life")


def image_outlives_the_daemon(d):
    """A hand-run enclave's image came as a descriptor; with the daemon its descriptor goes, and its monitor has another."""
    for name, script in (("found", ""), ("meanwhile", "run=1500 end=killed signal=9")):
        path = d.image(script)
        d.ok("run", "--eif", path, "--name", name, "--memory", "128", "--restart", "always")
        os.unlink(path)  # nobody could open it by its name
        before = d.describe(name)
        d.kill()
        if name == "meanwhile":  # it ends while nobody listens, and keeps the image for who comes
            wait_for((d.runtime / "enclaves/meanwhile/end").exists, "its end")
        d.start()
        if name == "found":
            check(d.wait_state(name, "running")["ProcessID"] == before["ProcessID"], "found by the next daemon")
            wait_for(lambda: os.path.exists(f"/proc/{d.process.pid}/fd") and any(
                os.readlink(f.path).startswith(path) for f in os.scandir(f"/proc/{d.process.pid}/fd")), "the image in its hands")
            os.kill(before["ProcessID"], signal.SIGKILL)
        after = next_life(d, name, before)
        check(after["Restarts"] == before["Restarts"] + 1, f"{name}: started again from the very same image", before, after)
        d.ok("terminate", name)
    d.ok("forget")


def image_is_another(d):
    """What the next daemon is handed must be the file that was handed to the first."""
    d.ok("run", "--eif", d.image(""), "--name", "other", "--memory", "128", "--restart", "always")
    d.kill()
    record = d.runtime / "state/other.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "ImageInode": 1}))
    d.start()
    wait_for(lambda: "there will be none" in d.log_text(), "the refusal of another file")
    os.kill(d.describe("other")["ProcessID"], signal.SIGKILL)
    wait_for(lambda: "image was handed to an earlier daemon" in d.log_text(), "the reason why there is no restart")
    e = d.describe("other")
    check(e["Reason"]["Kind"] == "monitor-lost" and "RestartUSec" not in e, "no other file is started under that name", e)
    d.ok("forget")


def record_lost(d):
    """The copy of its configuration says also what only the record did: it is started again from the same image."""
    path = d.image("boot=10")
    d.ok("run", "--eif", path, "--name", "kept", "--memory", "128", "--restart", "always")
    before = d.wait_state("kept", "running")
    d.kill()
    (d.runtime / "state/kept.json").unlink()
    d.start()
    after = d.wait_state("kept", "running")
    same = ("EnclaveName", "EnclaveID", "EnclaveCID", "Restart", "CreatedUSec", "ProcessID", "Uid")
    check(all(before[k] == after[k] for k in same), "without its record an enclave is what it was", before, after)
    wait_for(lambda: any(os.readlink(f.path).startswith(path) for f in os.scandir(f"/proc/{d.process.pid}/fd")), "the image in its hands")
    os.kill(before["ProcessID"], signal.SIGKILL)
    after = next_life(d, "kept", before)
    check(after["Restarts"] == 1, "and is started again", after)
    d.ok("terminate", "kept")
    d.ok("forget")


def everything_lost(d):
    """Record and configuration: the monitor is asked, and ended when it does not answer."""
    pids = {}
    for name in ("told", "mute"):
        d.ok("run", "--eif", d.image(), "--name", name, "--memory", "128")
        pids[name] = d.describe(name)["ProcessID"]
    before = d.describe("told")
    d.kill()
    for name in pids:
        (d.runtime / f"state/{name}.json").unlink()
        (d.runtime / f"enclaves/{name}/config.json").unlink()
    os.kill(pids["mute"], signal.SIGSTOP)
    d.start()
    after = d.wait_state("told", "running")
    same = ("EnclaveName", "EnclaveID", "EnclaveCID", "MemoryMiB", "NumberOfCPUs", "LaunchMode", "State", "Uid", "ProcessID")
    check(all(before[k] == after[k] for k in same), "without any file the monitor tells what it was given", before, after)
    check("mute" not in d.all() and not os.path.exists(f"/proc/{pids['mute']}/exe"), "one that does not answer is ended", d.all())
    p = pool(d)
    check(p["Enclaves"] == 1 and [s["EnclaveName"] for s in p["Shares"]] == ["told"]
          and [x.name for x in (d.runtime / "enclaves").iterdir()] == ["told"], "the pool is what lives", p)
    d.ok("terminate", "told")
    d.ok("forget")


def versions(d):
    """A record of each version that was ever written loads; one of a newer version is left to the monitor."""
    state = d.runtime / "state"
    newest = int(re.search(r"#define STORE_VERSION (\d+)", (SOURCE / "daemon/store.h").read_text()).group(1))
    for version in range(1, newest + 1):
        fixtures = sorted((SOURCE / f"tests/golden/state/{version}").glob("*.json"))
        check(fixtures, f"version {version} has fixtures")
        d.kill()
        for fixture in fixtures:
            shutil.copy(fixture, state)
        d.start()
        everything = d.all()
        for fixture in fixtures:
            record, e = json.loads(fixture.read_text()), everything.get(fixture.stem)
            wanted = record.get("Reason", {"Kind": "monitor-lost"})
            check(e and all(e["Reason"].get(k) == v for k, v in wanted.items()) and e["Uid"] == record["Uid"]
                  and e["EnclaveID"] == record["EnclaveID"] and e["Restarts"] == record["Restarts"]
                  and bool(e.get("CrashLoop")) == bool(record.get("CrashLoop")), f"{fixture.stem} loads", record, e)
        d.ok("forget")
    d.ok("run", "--eif", d.image(), "--name", "newer", "--memory", "128")
    before = d.describe("newer")
    d.kill()
    record = json.loads((state / "newer.json").read_text())
    check(record["Version"] == newest, "what is written is of the newest version", record)
    (state / "newer.json").write_text(json.dumps({**record, "Version": newest + 1, "Name": "newer", "CID": 99}))
    (state / "garbage.json").write_bytes(os.urandom(500))
    (state / "huge.json").write_text("[" * 200000)
    d.start()
    after = d.wait_state("newer", "running")
    check(all(before[k] == after[k] for k in ("EnclaveCID", "Uid", "State", "ProcessID", "MemoryMiB")),
          "a record of a newer version is not guessed at: its monitor is asked", before, after)
    check(set(d.all()) == {"newer"}, "garbage and endless files are left out", d.all())
    (state / "garbage.json").unlink()
    (state / "huge.json").unlink()
    d.ok("terminate", "newer")


with Daemon(monitor=STANDIN, config=CONFIG) as d:
    for part in (daemon_dies, monitor_dies, both_die, words_outlive_the_daemon, image_outlives_the_daemon, image_is_another,
                 record_lost, everything_lost, records_are_old_or_broken, versions):
        print("#", part.__name__)
        part(d)
done()
