# SPDX-License-Identifier: Apache-2.0
"""The parent shuts down: what its unit asks of the daemon, and what each monitor does when it is asked itself. With real
units in service_systemd, with a real virtual machine in monitor_vm."""
import os
import signal

from harness import ORDINARY, PATIENCE, STANDIN, Daemon, check, done, skip, wait_for

CONFIG = "enclaves_max:8\nmonitor_timeout:2\nrestart_delay:60000\n"
SHUTDOWN = ("terminate", "--all", "--parent-shutdown", "--grace", "5s")


def ended(d, name, what):
    e = d.wait_state(name, "stopped")
    check(e["Reason"]["Kind"] == "parent-shutdown" and "Uid" not in e["Reason"] and "RestartUSec" not in e, what, e)


def of_all(d):
    for name, script, more in (("polite", "stop=300", ()), ("again", "", ("--restart", "always")), ("booting", "boot=1000000", ())):
        d.popen("run", "--eif", d.image(script), "--name", name, "--memory", "128", *more)
        d.wait_state(name, "booting" if name == "booting" else "running")
    d.ok("run", "--eif", d.image("run=10 end=killed signal=9"), "--name", "waits", "--memory", "128", "--restart", "always")
    wait_for(lambda: "RestartUSec" in (d.describe("waits") or {}), "the back-off")
    d.ok("run", "--eif", d.image("stop=never"), "--name", "hangs", "--memory", "128")
    r = d.ok(*SHUTDOWN, "-o", "json")
    check({e["EnclaveName"] for e in r.json()} >= {"polite", "again", "booting", "hangs"}, "the unit waits for all of them", r)
    for name in ("polite", "again", "booting"):
        ended(d, name, f"{name}: the reason is the parent's shutdown, and nobody starts it again")
    ended(d, "hangs", "one that took force as well")
    check("by force" in d.describe("hangs")["Reason"]["Text"], "which is said", d.describe("hangs"))
    e = d.describe("waits")
    check("RestartUSec" not in e and e["State"] == "failed", "one that waited for its restart waits no more", e)
    check("enclave" not in d.ok("describe", "-o", "json").out.lower(), "nothing lives")
    metrics = d.ok("metrics").out
    check('reason="parent-shutdown"} 4' in metrics, "and the counters know", metrics)
    d.ok("forget")


def through_a_crash(d):
    """The daemon dies while they end."""
    d.ok("run", "--eif", d.image("stop=1500"), "--name", "slow", "--memory", "128")
    asked = d.popen(*SHUTDOWN)
    d.wait_state("slow", "stopping")
    d.kill()
    asked.communicate(timeout=PATIENCE)
    d.start()
    ended(d, "slow", "the next daemon knows it too")
    d.ok("forget")


def who_asked_before(d):
    d.ok("run", "--eif", d.image("stop=1000"), "--name", "mine", "--memory", "128")
    first = d.popen("terminate", "mine")
    d.wait_state("mine", "stopping")
    d.ok(*SHUTDOWN)
    first.communicate(timeout=PATIENCE)
    check(d.describe("mine")["Reason"]["Kind"] == "stopped", "who was stopped before was not stopped by the shutdown")
    d.ok("forget")


def monitors_alone(d):
    """No daemon any more, or no unit: the system's last signal to every process."""
    for name in ("here", "gone"):
        d.ok("run", "--eif", d.image(), "--name", name, "--memory", "128", "--restart", "always")
        pid = d.describe(name)["ProcessID"]
        if name == "gone":
            d.kill()
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}/exe"), "its end")
        if name == "gone":
            d.start()
        ended(d, name, f"{name}: a monitor that is asked to end by whoever shuts down says so")
    d.ok("forget")


def rules(d):
    d.ok("run", "--eif", d.image(), "--name", "one", "--memory", "128")
    d.refused("of one enclave alone it cannot be true", 2, "InvalidParameter", "terminate", "one", "--parent-shutdown", contains="All")
    if os.getuid() == 0:
        os.chmod(d.socket, 0o666)
        d.refused("nobody else may say it", 8, "PermissionDenied", *SHUTDOWN, uid=ORDINARY)
    else:
        skip("nobody else may say it", "only root can become somebody else")
    check(d.describe("one")["State"] == "running", "and nothing ends by that")
    d.ok("terminate", "one")


with Daemon(monitor=STANDIN, config=CONFIG) as d:
    for part in (of_all, through_a_crash, who_asked_before, monitors_alone, rules):
        print("#", part.__name__)
        part(d)
done()
