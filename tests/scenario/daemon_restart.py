# SPDX-License-Identifier: Apache-2.0
"""Restart policies, crash loops, declared enclaves and their reload."""
import json
import os
import pathlib
import re
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
    names_that_others_had(d, directory, image)


def names_that_others_had(d, directory, image):
    """An ended enclave of somebody keeps no declared one from its name; a living one does, which is said."""
    d.ok("run", "--eif", d.image("run=30 end=exited"), "--name", "taken")
    d.wait_state("taken", "stopped")
    d.ok("run", "--eif", d.image(), "--name", "living")
    for name in ("taken", "living"):
        (directory / f"{name}.conf").write_text(f"eif:{image}\nmemory_mib:256\n")
    undecodable = image.encode().replace(b"declared.eif", b"gr\xf6\xdfe.eif")
    shutil.copy(image, undecodable)
    (directory / "latin.conf").write_bytes(b"eif:" + undecodable + b"\nmemory_mib:256\n")
    living = d.describe("living")
    d.process.send_signal(signal.SIGHUP)
    d.wait_state("taken", "running")
    wait_for(lambda: "living: declared, but cannot be started" in d.log_text(), "the daemon to say so")
    check(d.describe("living")["ProcessID"] == living["ProcessID"], "a living one stays what it is")
    check("latin.conf: eif: the path is not valid UTF-8" in d.log_text() and not d.describe("latin"), "a path that no record can hold is refused",
          d.log_text())


def edit_record(d, name, **members):
    path = d.runtime / f"state/{name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))


def image_is_lost(d):
    """Its descriptor went with the daemon that was killed while it was down."""
    d.ok("run", "--eif", d.image("run=20 end=killed signal=6"), "--name", "lost", "--restart", "always")
    wait_for(lambda: "RestartUSec" in (d.describe("lost") or {}), "the back-off")
    d.kill()
    edit_record(d, "lost", RestartUSec=1)
    d.start()
    wait_for(lambda: "lost: will not be restarted" in d.log_text(), "the daemon to say so")
    d.restart()
    e = d.describe("lost")
    check("RestartUSec" not in e and "CrashLoop" not in e and e["Reason"]["Signal"] == 6, "it is no crash loop, and its reason stays", e)
    check(d.log_text().count("lost: will not be restarted") == 1, "which is said once", d.log_text())


def declared_image_is_lost(d):
    """It ran for long, and its image is removed: tries that cannot begin back off, and are a crash loop in the end."""
    e = d.wait_state("app", "running")
    d.kill()
    edit_record(d, "app", RunningUSec=e["SinceUSec"] - 3600 * 10**6)
    (d.home / "app.eif").unlink()
    d.start()
    os.kill(d.describe("app")["ProcessID"], signal.SIGKILL)
    e = wait_for(lambda: (lambda e: e if e and e.get("CrashLoop") else None)(d.describe("app")), "the crash loop", 20)
    log = d.log_text()
    waits = [int(m) for m in re.findall(r"app: will be restarted in (\d+) ms", log)]
    check(waits == [20, 20, 40, 80] and log.count("app: cannot be restarted") == 4 and log.count("a crash loop") == 1,
          "each try that cannot begin is a quick end", waits, log)
    check(e["Reason"]["Kind"] == "monitor-lost", "and the reason is that of the end", e)
    d.restart()
    check(d.describe("app").get("CrashLoop"), "which the next daemon knows")


with Daemon(monitor=STANDIN, config="restart_delay:60000\n") as d:
    image_is_lost(d)
declarations = pathlib.Path(tempfile.mkdtemp(prefix="qt-decl-"))
with Daemon(monitor=STANDIN, config=FAST + f"enclaves_dir:{declarations}\n") as d:
    (declarations / "app.conf").write_text(f"eif:{d.image(name='app.eif')}\nmemory_mib:256\nrestart:always\n")
    d.process.send_signal(signal.SIGHUP)
    declared_image_is_lost(d)
shutil.rmtree(declarations)
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
