# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon inside its own system calls, where daemon_steps has only the states between them.

A cycle of everything that it does: find an enclave of an earlier daemon, start others, restart one, stop and forget. strace
counts the calls that change something in a cycle, and in each round kills the daemon as it enters one of them: for every
kind of call the first, the last and some between. After each the next daemon must find what lives, and nothing else."""
import collections
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess

from harness import PATIENCE, STANDIN, Daemon, check, done, processes_below, wait_for

CALLS = ("write", "writev", "sendmsg", "sendto", "renameat", "mkdir", "mkdirat", "unlink", "unlinkat", "bind", "listen", "connect",
         "accept4", "fsync", "fchown", "fchmod", "chmod", "clone", "clone3", "fork", "vfork", "read", "wait4", "waitid", "memfd_create",
         "pidfd_open", "pidfd_send_signal", "kill", "close")
OF_EACH = 4
ROUNDS = 56
CONFIG = "enclaves_max:8\nrestart_delay:50\n"


def trace(*options):
    # -D: the daemon stays our child
    return ["strace", "-D", "-qq", *options]


def can_trace():
    return shutil.which("strace") and subprocess.run(trace("-o", "/dev/null", "true"), capture_output=True).returncode == 0


def cycle(d):
    """Everything once. Each command may find that the daemon is gone."""
    d.cli("run", "--eif", d.image("load=1 boot=1"), "--name", "new", "--memory", "128")
    d.cli("run", "--eif", d.image("run=30 end=killed signal=9"), "--name", "again", "--memory", "128", "--restart", "always")
    if d.process.poll() is None:
        wait_for(lambda: d.process.poll() is not None or (d.describe("again") or {}).get("Restarts"), "a restart")
    for verb in (("terminate", "old"), ("terminate", "again"), ("terminate", "new", "--force"), ("forget",)):
        d.cli(*verb)
    if d.process.poll() is None:
        d.process.send_signal(signal.SIGTERM)
    d.process.wait(PATIENCE)


def under(d, command, go):
    plain, d.command = d.command, command + d.command
    try:
        try:
            d.start()
        except AssertionError:
            pass  # it did not even come up
        go(d)
        d.log.close()
    finally:
        d.command = plain


def begin(d):
    """One enclave that an earlier daemon started."""
    d.ok_quietly("run", "--eif", d.image(), "--name", "old", "--memory", "128")
    d.kill()


def count_calls(d):
    begin(d)
    log = d.top / "calls"
    under(d, trace("-o", str(log), "-e", "trace=" + ",".join(CALLS)), cycle)
    d.start()
    return collections.Counter(re.findall(r"^(\w+)\(", log.read_text(errors="replace"), re.M))


def choose(counts):
    generator = random.Random(1)
    chosen = []
    for call, n in sorted(counts.items()):
        between = list(range(2, n))
        chosen += [(call, i) for i in sorted({1, n, *generator.sample(between, min(OF_EACH - 2, len(between)))})]
    generator.shuffle(chosen)
    return chosen[:ROUNDS]


def monitors(d):
    return {int(x.split()[0]) for x in processes_below(d.top) if "monitor_standin" in x and "qt-enclaved" not in x}


def problems(d):
    """What the next daemon says against what is there."""
    alive = [e for e in d.all().values() if e["State"] not in ("stopped", "failed")]
    pool = d.cli("pool", "show", "-o", "json").json()
    found = []
    names = {e["EnclaveName"] for e in alive}
    if monitors(d) != {e["ProcessID"] for e in alive}:
        found.append(f"processes {monitors(d)} for {[(e['EnclaveName'], e['ProcessID']) for e in alive]}")
    if {p.name for p in (d.runtime / "enclaves").iterdir()} != names:
        found.append(f"directories {list((d.runtime / 'enclaves').iterdir())} for {names}")
    if pool["Enclaves"] != len(alive) or {s["EnclaveName"] for s in pool["Shares"]} != names:
        found.append(f"pool {pool['Shares']} for {names}")
    if pool["MemoryMiB"] - pool["FreeMiB"] != sum(e["MemoryMiB"] for e in alive):
        found.append(f"{pool['FreeMiB']} of {pool['MemoryMiB']} MiB free with {names}")
    if left := [p.name for p in (d.runtime / "state").iterdir() if p.suffix != ".json"]:
        found.append(f"halves {left}")
    return found


def settles(d):
    last = []

    def good():
        last[:] = problems(d)
        return not last
    try:
        wait_for(good, "agreement", 20)
    except AssertionError:
        pass
    return last


def round_of(d, call, n):
    begin(d)
    under(d, trace("-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}"), cycle)
    killed = d.process.returncode == -signal.SIGKILL
    d.start()
    found = settles(d)
    d.cli("terminate", "--all", "--force")
    d.cli("forget")
    found += settles(d)
    if d.all():
        found.append(f"records {list(d.all())}")
    check(not found, f"{'killed in' if killed else 'not as far as'} {call} {n}: what lives is known, and nothing is leaked", *found)
    return killed


def ok_quietly(d, *arguments):
    r = d.cli(*arguments)
    assert r.status == 0, r


Daemon.ok_quietly = ok_quietly
if not can_trace():
    print("1..0 # SKIP there is no strace that may trace here")
    raise SystemExit(0)
with Daemon(monitor=STANDIN, config=CONFIG) as d:
    # A leak check traces its own process, which can have one tracer only.
    d.environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    counts = count_calls(d)
    print("# a cycle has", ", ".join(f"{n} {call}" for call, n in sorted(counts.items())))
    chosen = choose(counts)
    killed = sum(round_of(d, *at) for at in chosen)
    check(killed > len(chosen) * 3 // 4, f"{killed} of {len(chosen)} rounds killed it")
done()
