# SPDX-License-Identifier: Apache-2.0
"""Why a real virtual machine ended, as the daemon tells it, where first_light does not show it; one life after the other
through a daemon that is replaced; and the power cut of daemon, monitor and QEMU at once."""
import os
import pathlib
import signal
import sys

from harness import PATIENCE, Daemon, check, done, processes_below, skip, wait_for
from huge_pages import HugePages
from monitor_image import BUILD, image
from monitor_rig import Monitor, gone
from vsock_vm import kernel_directory, reason_to_skip

if reason := reason_to_skip():
    print(f"1..0 # SKIP {reason}")
    sys.exit()
kernel = kernel_directory()
# A QEMU that hangs is to be found while the test waits, and one that is only slow is not to be mistaken for it.
CONFIG = "hypervisor_timeout:15\nrestart_delay:500\nrestart_limit:20\n"
MEMORY = ("--memory", "256")


def write(d, name, *arguments, **more):
    path = d.home / f"{name}.eif"
    path.write_bytes(image(kernel, *arguments, **more))
    return str(path)


def run(d, path, name, *more):
    d.cli("run", "--eif", path, "--name", name, *MEMORY, *more)


def ends(d, name, state, what, **wanted):
    e = d.wait_state(name, "stopped", "failed")
    check(e["State"] == state and {k: e["Reason"].get(k) for k in wanted} == wanted, what, e)
    return e


def of_the_guest(d):
    run(d, write(d, "abort", "abort"), "killed")
    ends(d, "killed", "failed", "killed by signal", Kind="killed", Signal=signal.SIGABRT)
    run(d, write(d, "eat", "eat"), "oom")
    e = ends(d, "oom", "failed", "out of memory", Kind="out-of-memory")
    check("memory was used up" in d.ok("describe", "oom", "--all").out, "in words for a person", e)


def boot_timeout(d):
    silent = write(d, "silent", "serve", init=BUILD / "tests/programs/enclave_app")
    d.stop()
    (d.top / "conf").write_text(CONFIG + "boot_timeout:8\n")
    d.start()
    r = d.cli("run", "--eif", silent, "--name", "silent", *MEMORY)
    check(r.status == 10 and "BootTimeout" in r.err, "boot timeout, as an error of run", r)
    ends(d, "silent", "failed", "and as the reason", Kind="boot-timeout")
    d.stop()
    (d.top / "conf").write_text(CONFIG)
    d.start()


def next_life(d, before):
    return wait_for(lambda: (lambda e: e if e and e["State"] == "running" and e["Restarts"] > before["Restarts"] else None)(d.describe("life")),
                    "its next life", 2 * PATIENCE)


def reason_of(d, before, what, kind, words):
    e = wait_for(lambda: (lambda e: e if e and "Reason" in e else None)(d.describe("life")), "its reason")
    check(e["Reason"]["Kind"] == kind and words in e["Reason"]["Text"] and e["Restarts"] == before["Restarts"], what, e)


def lives(d, serve):
    run(d, serve, "life", "--restart", "always")
    os.unlink(serve)
    e = d.wait_state("life", "running")
    d.kill()
    d.start()
    d.wait_state("life", "running")
    os.kill(e["HypervisorPID"], signal.SIGKILL)
    reason_of(d, e, "kill -9 of QEMU: hypervisor died", "hypervisor-died", "SIGKILL")
    e = next_life(d, e)
    check(True, "its next life is of the image that its monitor had handed to the next daemon")
    os.kill(e["HypervisorPID"], signal.SIGSTOP)
    reason_of(d, e, "a QEMU that hangs: hypervisor died, and why", "hypervisor-died", "had not answered its monitor")
    e = next_life(d, e)
    os.kill(e["ProcessID"], signal.SIGKILL)
    reason_of(d, e, "kill -9 of the monitor: monitor lost", "monitor-lost", "without a word")
    check(gone(e["HypervisorPID"]), "which took QEMU along")
    e = next_life(d, e)
    d.ok("wait", "life", "--for", "ready")
    r = d.ok("terminate", "--all", "--parent-shutdown", "-o", "json").json()
    check(r[0]["Reason"]["Kind"] == "parent-shutdown" and r[0]["Reason"].get("ExitCode") == 0, "parent shutting down: it was asked, and obeyed", r)
    d.ok("forget")


def power_cut(d, serve):
    run(d, serve, "cut")
    e = d.wait_state("cut", "running")
    for pid in (d.process.pid, e["ProcessID"], e["HypervisorPID"]):
        os.kill(pid, signal.SIGSTOP)  # nobody sees the others' end
    for pid in (d.process.pid, e["ProcessID"], e["HypervisorPID"]):
        os.kill(pid, signal.SIGKILL)
    d.process.wait()
    d.log.close()
    d.start()
    ends(d, "cut", "failed", "power cut of daemon, monitor and QEMU: monitor lost", Kind="monitor-lost")
    p = d.cli("pool", "show", "-o", "json").json()
    left = [x for x in processes_below(d.top) if not x.startswith(f"{d.process.pid} ")]
    check(p["Enclaves"] == 0 and p["FreeMiB"] == p["MemoryMiB"] and not p["Shares"] and not left
          and not list((d.runtime / "enclaves").iterdir()), "no share, process or directory is left", p, left)


def huge_pages():
    """What the kernel took for a guest comes back with the guest, however it ended."""
    what = "power cut: the kernel has every huge page back"
    with HugePages(128) as pages:
        if pages.why:
            return skip(what, pages.why)
        with Monitor(image(kernel, "serve"), Debug=False, MemoryMiB=256, HugePageMiB=2, quiet=True) as m:
            facts = m.wait_for(lambda f: f["State"] == "running")
            used = pages.free()
            for pid in (facts["MonitorPID"], facts["HypervisorPID"]):
                os.kill(pid, signal.SIGSTOP)
            for pid in (facts["MonitorPID"], facts["HypervisorPID"]):
                os.kill(pid, signal.SIGKILL)
            m.process.wait()
            gone(facts["HypervisorPID"])
            check(used == 0, "a guest of huge pages has them all", facts["State"], used)
            wait_for(lambda: pages.free() == 128 or not pathlib.Path(f"/proc/{facts['HypervisorPID']}").exists(), "its memory")
            check(pages.free() == 128, what, pages.free())


with Daemon(config=CONFIG) as d:
    of_the_guest(d)
    boot_timeout(d)
    lives(d, write(d, "life", "serve"))
    power_cut(d, write(d, "cut", "serve"))
if os.getuid() == 0:
    huge_pages()
done()
