# SPDX-License-Identifier: Apache-2.0
"""Monitors that never answer, stopped in each state, children of this daemon or found by it: each is ended after its
deadline, the reason is said, and everything is given back."""
import os
import signal
import time

from harness import PATIENCE, STANDIN, Daemon, check, done, processes_below, wait_for

LONG = 1000000
TIMEOUT = 6
CONFIG = f"enclaves_max:16\nmonitor_timeout:{TIMEOUT}\nboot_timeout:1\n"
# script, what it says when nobody answers
HANGS = {
    "loading": (f"load={LONG}", "boot-timeout"),
    "booting": (f"boot={LONG}", "boot-timeout"),
    "running": ("", "monitor-lost"),
    "stopping": (f"stop={LONG}", "stopped"),
}


def everything_is_back(d, what):
    p = d.cli("pool", "show", "-o", "json").json()
    left = list((d.runtime / "enclaves").iterdir())
    processes = [x for x in processes_below(d.top) if not x.startswith(f"{d.process.pid} ")]
    check(p["Enclaves"] == 0 and p["FreeMiB"] == p["MemoryMiB"] and not left and not processes,
          f"{what}: shares, directories and processes are gone", p, left, processes)


def bring_all(d):
    """One enclave in each state, its monitor stopped there."""
    waiting = []
    for state, (script, _) in HANGS.items():
        waiting.append(d.popen("run", "--eif", d.image(script), "--name", state, "--memory", "128"))
        if state == "stopping":
            waiting[-1].wait(PATIENCE)
            waiting.append(d.popen("terminate", state, "--grace", "1s"))
        os.kill(d.wait_state(state, state)["ProcessID"], signal.SIGSTOP)
    return waiting


def judge(d, what):
    for state, (_, kind) in HANGS.items():
        e = d.wait_state(state, "stopped", "failed")
        check(e["Reason"]["Kind"] == kind and e["State"] == ("stopped" if kind == "stopped" else "failed")
              and e["ProcessID"] == 0, f"{what}, {state}: ended after its deadline with a reason", e)
        if kind == "stopped":
            check(e["Reason"]["Uid"] == d.uid and "by force" in e["Reason"]["Text"], "who asked, and that it took force", e)
    everything_is_back(d, what)
    check("killing it" in d.log_text(), f"{what}: and it is in the log")


def children(d):
    waiting = bring_all(d)
    judge(d, "a child")
    for p in waiting:
        p.communicate(timeout=PATIENCE)
    d.ok("forget")


def found(d):
    waiting = bring_all(d)
    pids = {state: d.describe(state)["ProcessID"] for state in HANGS}
    d.kill()
    for p in waiting:
        p.communicate(timeout=PATIENCE)
    d.start()
    check({state: d.describe(state)["ProcessID"] for state in HANGS} == pids, "the kernel tells whom a later daemon has found")
    judge(d, "found by a later daemon")
    d.ok("forget")


def without_a_record(d):
    d.ok("run", "--eif", d.image(), "--name", "lost", "--memory", "128")
    pid = d.describe("lost")["ProcessID"]
    d.kill()
    (d.runtime / "state/lost.json").unlink()
    os.kill(pid, signal.SIGSTOP)
    d.start()
    check(d.describe("lost")["ProcessID"] == pid, "without a record the process is known as well")
    d.ok("terminate", "lost", "--force")
    everything_is_back(d, "without a record")


def never(d):
    d.ok("run", "--eif", d.image("stop=never"), "--name", "never", "--memory", "128")
    r = d.ok("terminate", "never", "--grace", "1s", "-o", "json").json()[0]
    check(r["State"] == "stopped" and "by force" in r["Reason"]["Text"], "one that takes Stop and does not end", r)
    d.ok("run", "--eif", d.image("stop=never"), "--name", "never", "--memory", "128")
    slow = d.popen("terminate", "never", "--grace", "1h")
    d.wait_state("never", "stopping")
    d.ok("terminate", "never", "--force")
    out, err = slow.communicate(timeout=PATIENCE)
    check(slow.returncode == 0, "who has less patience need not wait for who has more", out, err)
    d.ok("run", "--eif", d.image("run=0 end=linger"), "--name", "linger", "--memory", "128")
    e = d.wait_state("linger", "stopped")
    check(e["Reason"]["Kind"] == "exited", "one that ended and stays is ended; its last word holds", e)
    everything_is_back(d, "never")


def healthy(d):
    """Deadlines are for those who are silent."""
    d.ok("run", "--eif", d.image(), "--name", "healthy", "--memory", "128")
    pid = d.describe("healthy")["ProcessID"]
    d.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: "T" in open(f"/proc/{d.process.pid}/stat").read().rsplit(")", 1)[1].split()[0], "a stopped daemon")
    time.sleep(TIMEOUT + 2)
    d.process.send_signal(signal.SIGCONT)
    time.sleep(TIMEOUT + 2)
    check(d.describe("healthy")["ProcessID"] == pid, "a daemon that was stopped itself does not blame its monitors")
    d.ok("terminate", "healthy")


with Daemon(monitor=STANDIN, config=CONFIG) as d:
    for part in (children, found, without_a_record, never, healthy):
        print("#", part.__name__)
        part(d)
done()
