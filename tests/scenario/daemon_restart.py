# SPDX-License-Identifier: Apache-2.0
"""Restart policies, crash loops, declared enclaves and their reload."""
import pathlib
import shutil
import signal
import tempfile

from harness import STANDIN, Daemon, check, done, wait_for

FAST = "restart_delay:20\nrestart_limit:3\nenclaves_max:8\n"


def by_hand(d):
    d.ok("run", "--eif", d.image("run=30 end=killed signal=9"), "--name", "loop", "--restart", "on-failure")
    e = wait_for(lambda: (lambda e: e if e and e.get("CrashLoop") else None)(d.describe("loop")), "the crash loop")
    check(e["Restarts"] == 3 and e["Reason"]["Signal"] == 9 and e["Restart"] == "on_failure", "a crash loop ends", e)
    check("crash loop" in d.ok("describe", "loop").out, "and describe says so")

    d.ok("run", "--eif", d.image("run=30 end=exited"), "--name", "well", "--restart", "on-failure")
    check(d.wait_state("well", "stopped")["Restarts"] == 0, "a good end is no failure")

    d.ok("run", "--eif", d.image("run=30 end=exited"), "--name", "ever", "--restart", "always")
    wait_for(lambda: (d.describe("ever") or {}).get("Restarts", 0) >= 1, "a restart")
    wait_for(lambda: (d.describe("ever") or {}).get("CrashLoop"), "the loop's end")

    r = d.cli("run", "--eif", d.image("at=booting end=kernel-panic"), "--name", "never", "--restart", "always")
    check(r.status == 11 and d.describe("never")["Restarts"] == 0, "who sees the first start fail needs no second", r)

    d.ok("run", "--eif", d.image(), "--name", "stopped", "--restart", "always")
    d.ok("terminate", "stopped")
    check("RestartUSec" not in d.describe("stopped"), "terminate is the end")


def while_waiting(d):
    d.ok("run", "--eif", d.image("run=20 end=killed signal=6"), "--name", "slow", "--cid", "77", "--restart", "always")
    e = wait_for(lambda: (lambda e: e if e and "RestartUSec" in e else None)(d.describe("slow")), "the back-off")
    check("slow" in d.ok("describe").out, "one that waits for its restart is listed with the living", e)
    d.refused("its name is its own", 6, "NameInUse", "run", "--eif", d.image(), "--name", "slow", contains="restarted")
    d.refused("and its CID", 6, "CidInUse", "run", "--eif", d.image(), "--cid", "77")
    d.refused("it is not to be forgotten yet", 6, "WrongState", "forget", "slow", contains="terminate it first")
    d.ok("forget")
    check("RestartUSec" in (d.describe("slow") or {}), "and forgetting what has ended leaves it")
    d.ok("terminate", "slow")
    check("RestartUSec" not in d.describe("slow"), "terminate cancels the restart")


def declared(top, d, directory):
    image = d.image("", "declared.eif")
    check(d.wait_state("early", "running")["Restart"] == "on_failure", "declared enclaves start with the service")
    log = d.log_text()
    check("broken.conf" in log and "missing: declared, but cannot be started" in log, "mistakes are in the log", log)
    before = d.describe("early")
    (directory / "late.conf").write_text(f"eif:{image}\nmemory_mib:256\n")
    d.process.send_signal(signal.SIGHUP)
    d.wait_state("late", "running")
    check(d.describe("early")["ProcessID"] == before["ProcessID"], "a reload starts the new and leaves the others")
    (directory / "once.conf").write_text(f"eif:{image}\nmemory_mib:256\nrestart:no\n")
    d.process.send_signal(signal.SIGHUP)
    d.wait_state("once", "running")
    d.restart()
    (directory / "late.conf").unlink()
    (directory / "once.conf").unlink()
    d.process.send_signal(signal.SIGHUP)
    d.wait_state("late", "stopped")
    d.wait_state("once", "stopped")
    d.ok("terminate", "early")
    d.process.send_signal(signal.SIGHUP)
    d.restart(signal.SIGKILL)
    check(d.describe("early")["State"] == "stopped", "one that was stopped by hand stays down")
    d.ok("forget", "early")
    d.process.send_signal(signal.SIGHUP)
    d.wait_state("early", "running")


with Daemon(monitor=STANDIN, config=FAST) as d:
    by_hand(d)
with Daemon(monitor=STANDIN, config="restart_delay:3600000\n") as d:
    while_waiting(d)
top = pathlib.Path(tempfile.mkdtemp(prefix="qt-decl-"))
(top / "app.eif").write_text("boot=10\n")
(top / "d").mkdir()
(top / "d/early.conf").write_text(f"# the first\neif:{top}/app.eif\nmemory_mib:256\n")
(top / "d/broken.conf").write_text("eif:/x\nmemory:5\n")
(top / "d/missing.conf").write_text("eif:/nonexistent.eif\n")
(top / "d/README").write_text("not a declaration\n")
with Daemon(monitor=STANDIN, config=FAST + f"enclaves_dir:{top}/d\n") as d:
    declared(top, d, top / "d")
shutil.rmtree(top)
done()
