# SPDX-License-Identifier: Apache-2.0
"""kill -9 in each step of the daemon's own table of states. A daemon that dies in a step leaves a record of the state before
and a world that is in the state after: each pair is made so, and the next daemon must come to where the world is. Then the
same with the monitor killed as well (the power cut of the whole tree). A step that is added to the table has no road here
and fails."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import BUILD, PATIENCE, STANDIN, Daemon, check, done, processes_below, read_message, wait_for

LONG = 1000000
TABLE = [tuple(line.split()) for line in
         subprocess.run([BUILD / "tests/programs/state_table"], capture_output=True, text=True, check=True).stdout.splitlines()]
# What a monitor is told that it gets into the state and stays there; ends come after the daemon's.
WORLDS = {
    "loading": f"load={LONG}",
    "booting": f"boot={LONG}",
    "running": "",
    "stopping": f"stop={LONG}",
    "stopped": "run=700 end=exited",
    "failed": "run=700 end=silent",
}
ENDS = ("stopped", "failed")


def pool(d):
    return d.cli("pool", "show", "-o", "json").json()


def nothing_is_held(d, what, *more):
    p, left = pool(d), list((d.runtime / "enclaves").iterdir())
    processes = [x for x in processes_below(d.top) if not x.startswith(f"{d.process.pid} ")]
    check(p["Enclaves"] == 0 and p["FreeMiB"] == p["MemoryMiB"] and not p["Shares"] and not left and not processes,
          f"{what}: no share, directory, socket or process is left", p, left, processes, *more)


def world_state(d, name):
    """What the monitor itself says, or None when there is nobody."""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(str(d.runtime / "enclaves" / name / "monitor.sock"))
            s.sendall(b'{"method":"io.qtenclave.Monitor.Describe","parameters":{}}\0')
            answer = read_message(s)
            return json.loads(answer[:-1])["parameters"]["Facts"]["State"] if answer.endswith(b"\0") else None
    except OSError:
        return None


def world(d, name, state):
    """An enclave whose monitor is in that state, without a daemon; the monitor's process."""
    p = d.popen("run", "--eif", d.image(WORLDS[state]), "--name", name, "--memory", "128")
    reached = state if state in ("loading", "booting") else "running"
    pid = d.wait_state(name, reached)["ProcessID"]
    waiting = [p]
    if state == "stopping":
        p.wait(PATIENCE)
        waiting.append(d.popen("terminate", name))
        d.wait_state(name, "stopping")
    d.kill()
    for p in waiting:
        p.communicate(timeout=PATIENCE)
    wait_for(lambda: world_state(d, name) == (None if state in ENDS else state), f"the world in {state}")
    return pid


def rewrite(d, name, state):
    """The record as it was before the step."""
    path = d.runtime / "state" / f"{name}.json"
    record = {**json.loads(path.read_text()), "State": state}
    if state not in ENDS:
        record.pop("Reason", None)
    path.write_text(json.dumps(record))


def monitor_road(d, before, after):
    name = f"{before}-{after}"
    pid = world(d, name, after)
    rewrite(d, name, before)
    d.start()
    e = d.wait_state(name, after)
    alive = after not in ENDS
    check(e["ProcessID"] == (pid if alive else 0), f"{name}: the next daemon comes to where the world is", e)
    if not alive:
        check(e["Reason"]["Kind"] == ("exited" if after == "stopped" else "monitor-lost"), f"{name}: and knows why", e)
    else:
        check([s["EnclaveName"] for s in pool(d)["Shares"]] == [name], f"{name}: the pool is what lives", pool(d))
        os.kill(pid, signal.SIGKILL)
        e = d.wait_state(name, "failed")
        check(e["Reason"]["Kind"] == "monitor-lost" and e["ProcessID"] == 0, f"{name}: then kill -9 of its monitor", e)
    nothing_is_held(d, name, e)
    if alive:
        d.ok("forget", name)
        pid = world(d, name, after)
        rewrite(d, name, before)
        os.kill(pid, signal.SIGKILL)
        d.start()
        e = d.wait_state(name, "failed")
        check(e["Reason"]["Kind"] == "monitor-lost", f"{name}: power cut of the whole tree", e)
        nothing_is_held(d, f"{name}: power cut", e)
    d.ok("forget", name)


def restart_road(before, after):
    """An ended enclave whose restart the daemon did not live to see, and one whose new life has just been written down."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-decl-"))
    image, directory = top / "app.eif", top / "d"
    directory.mkdir()
    image.write_text("run=0 end=exited\n" if before == "stopped" else "run=0 end=killed signal=6\n")
    (directory / "again.conf").write_text(f"eif:{image}\nmemory_mib:128\nrestart:always\n")
    with Daemon(monitor=STANDIN, config=f"restart_delay:100\nrestart_limit:1000\nenclaves_dir:{directory}\n") as d:
        wait_for(lambda: (d.describe("again") or {}).get("Restarts", 0) >= 1, "a restart")
        wait_for(lambda: "RestartUSec" in (d.describe("again") or {}), "the back-off")
        d.kill()
        record = json.loads((d.runtime / "state/again.json").read_text())
        wait_for(lambda: world_state(d, "again") is None, "the end of its last life")
        image.write_text("\n")
        if before not in ENDS:
            record.pop("Reason", None)
        (d.runtime / "state/again.json").write_text(json.dumps({**record, "State": before, "RestartUSec": 1 if before in ENDS else 0}))
        d.start()
        e = d.wait_state("again", "running")
        check(e["Restarts"] > record["Restarts"] and f"again: {after}" in d.log_text(), f"{before}-{after}: it gets its next life", e)
        d.ok("terminate", "again")
        nothing_is_held(d, f"{before}-{after}")
    shutil.rmtree(top)


with Daemon(monitor=STANDIN) as d:
    for before, after in TABLE:
        if after in WORLDS and before not in ENDS:
            monitor_road(d, before, after)
for before, after in TABLE:
    if after in WORLDS and before not in ENDS:
        continue
    # From stopping: a start whose CID was another's, and that was to be tried again.
    if (before, after) in (("created", "allocating"), ("stopping", "created"), ("stopped", "created"), ("failed", "created")):
        restart_road(before, after)
    else:
        check(False, f"{before} to {after} has no road in this test")
done()
