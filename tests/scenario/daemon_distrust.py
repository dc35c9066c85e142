# SPDX-License-Identifier: Apache-2.0
"""What lies in a monitor's directory, and what is passed to the daemon, is somebody else's: it neither waits for it, nor
believes more than it must, nor ends a process because of it."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

from fuse_silent import Silent
from harness import BUILD, PATIENCE, STANDIN, Daemon, check, done, skip, wait_for

LISTEN = """
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print("listens", flush=True)
time.sleep(600)
"""


def enclave(d, name, *more, script=""):
    d.ok("run", "--eif", d.image(script), "--name", name, "--memory", "128", *more)
    return d.describe(name), d.runtime / "enclaves" / name


def lose(d, name, *files):
    (d.runtime / f"state/{name}.json").unlink()
    for file in files:
        (d.runtime / "enclaves" / name / file).unlink()


def links(d):
    """A socket of another program in the monitor's place: that program is no monitor, and lives on."""
    path = d.home / "victim.sock"
    victim = subprocess.Popen([sys.executable, "-c", LISTEN, path], stdout=subprocess.PIPE)
    victim.stdout.readline()
    for name, forgotten in (("recorded", False), ("forgotten", True)):
        e, directory = enclave(d, name)
        d.kill()
        os.kill(e["ProcessID"], 9)
        wait_for(lambda: not os.path.exists(f"/proc/{e['ProcessID']}"), "the monitor's end")
        if forgotten:
            lose(d, name, "config.json")
        (directory / "monitor.sock").unlink()
        (directory / "monitor.sock").symlink_to(path)
        d.start()
        if forgotten:
            check(name not in d.all(), "and without a record nothing is known of it", d.all())
        else:
            e = d.wait_state(name, "failed")
            check(e["Reason"]["Kind"] == "monitor-lost" and e["ProcessID"] == 0, "a link to another's socket is no monitor", e)
        check(victim.poll() is None, f"{name}: its owner is left alone", d.log_text())
    victim.kill()
    victim.wait()
    d.ok("forget")


def pipes(d):
    """A pipe as the copy of its configuration would keep the daemon from ever starting; the monitor is asked instead."""
    before, directory = enclave(d, "piped")
    d.kill()
    lose(d, "piped", "config.json")
    os.mkfifo(directory / "config.json")
    d.start()
    after = d.wait_state("piped", "running")
    check(after["EnclaveCID"] == before["EnclaveCID"] and after["ProcessID"] == before["ProcessID"],
          "a pipe is no configuration, and nobody waits for it", before, after)
    d.ok("terminate", "piped")
    d.ok("forget")


def more_than_asked(d):
    """A configuration has no policy, no path and no end, and the record beside it in the copy, which only this user writes, no end."""
    before, directory = enclave(d, "told")
    d.kill()
    lose(d, "told")
    told = json.loads((directory / "config.json").read_text())
    path = told["Record"]["ImagePath"]
    end = {"State": "stopped", "StopUid": 0, "RestartUSec": 1, "Reason": {"Kind": "stopped", "Text": "x"}}
    told.update(Declared=True, Restart="always", ImagePath="/etc/shadow", **end)
    told["Record"].update(Uid=12345, **end)
    (directory / "config.json").write_text(json.dumps(told))
    d.start()
    e = d.wait_state("told", "running")
    record = json.loads((d.runtime / "state/told.json").read_text())
    check(e["ProcessID"] == before["ProcessID"] and not e.get("Restart") and "Declared" not in record
          and record["ImagePath"] == path and "StopUid" not in record and record["Uid"] == before["Uid"], "a configuration brings a plan and no more", e, record)
    d.ok("terminate", "told")
    d.ok("forget")


def stays_cancelled(d):
    d.popen("run", "--eif", d.image("run=10 end=exited code=1"), "--name", "again", "--memory", "128", "--restart", "on-failure").communicate(
        timeout=PATIENCE)
    wait_for(lambda: (d.describe("again") or {}).get("RestartUSec"), "a restart that waits")
    d.ok("terminate", "again")
    d.restart()
    e = d.all()["again"]
    check(not e.get("RestartUSec") and d.log_text().count("will be restarted") == 1, "a restart that was cancelled is none for the next daemon either", e)
    d.ok("forget")


def has_open(pid, path):
    return any(os.readlink(link) == path for link in pathlib.Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink())


def close_some_time(fd):
    with contextlib.suppress(OSError):  # the end of the file system is the end of the wait
        os.close(fd)


def while_it_holds_one(d, path):
    """A call whose end never comes keeps the daemon's descriptor of such a file; the children of others have none of it."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(d.socket)
        fd = os.open(path, os.O_RDONLY)
        socket.send_fds(s, [b'{"method"'], [fd])
        wait_for(lambda: has_open(d.process.pid, path), "the daemon to hold it")
        threading.Thread(target=close_some_time, args=(fd,), daemon=True).start()  # our own children would hang as well
        wait_for(lambda: not has_open(os.getpid(), path), "that we do not")
        run = d.popen("run", "--eif", d.image(), "--name", "free", "--memory", "128")
        try:
            run.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            run.kill()
        check(run.returncode == 0 and has_open(d.process.pid, path), "while the daemon holds such a file, enclaves start", run.returncode)


def closing(d):
    """The image lies on a file system whose owner never answers a close: who started it waits, nobody else does."""
    with tempfile.TemporaryDirectory(prefix="qt-fuse-") as top:
        os.chmod(top, 0o755)
        try:
            files = Silent(top, b"load=1\n")
        except OSError as e:
            skip("a file system that does not answer", str(e))
            return
        with unable() as other:
            try:
                starts = [x.popen("run", "--eif", f"{top}/image", "--name", "stuck", "--memory", "128") for x in (d, other)]
                files.wait_flush()
                wait_for(lambda: "Run stuck" in d.log_text() and "Run" in other.log_text(), "both starts")
                for _ in range(3):
                    d.ok("describe", "--all")
                    other.ok("describe", "--all")
                d.refused("a directory is no image", 3, "FileUnreadable", "run", "--eif", top)
                d.ok("pool", "show")
                while_it_holds_one(d, f"{top}/image")
            finally:
                files.end()
            for p in starts:
                p.communicate(timeout=PATIENCE)
        d.ok("terminate", "--all", "--force")
        d.ok("forget")


def unable():
    """A daemon whose monitor is gone: the child that wanted to become it ends, which closes the image as well."""
    monitor = BUILD / "tests/programs/no-monitor"
    monitor.touch(0o755)
    d = Daemon(monitor=monitor, config="mode:shared\n")
    monitor.unlink()
    return d


def no_monitor():
    """Nobody waits for a monitor's first step, and why there is none is told nevertheless."""
    with unable() as d:
        d.refused("a monitor that is not there", 9, "HypervisorMissing", "run", "--eif", d.image(), "--name", "none", "--memory", "128",
                  contains=["no-monitor", "No such file"])
        e = d.describe("none")
        check(e["State"] == "failed" and e["Reason"]["Kind"] == "start-failed", "which its record says too", e)


parts = [links, pipes, more_than_asked, stays_cancelled]
for uid in {os.getuid(), 54321 if os.getuid() == 0 else os.getuid()}:
    with Daemon(monitor=STANDIN, uid=uid, config="mode:shared\nenclaves_max:8\nrestart_delay:60000\n") as d:
        for part in parts + ([closing] if uid == 0 else []):
            print(f"# {part.__name__} as uid {uid}")
            part(d)
    if os.getuid() != 0:
        skip("a file system that does not answer", "only root can mount one here")
no_monitor()
done()
