# SPDX-License-Identifier: Apache-2.0
"""The real monitor with a real virtual machine: from boot to every way of ending."""
import json
import os
import pathlib
import signal
import socket
import sys
import time

from guest_vm import BUILD
from harness import check, done
from monitor_image import image
from monitor_rig import Monitor, Reply, gone, read_all, status_of
from vsock_vm import kernel_directory, reason_to_skip

if reason := reason_to_skip():
    print(f"1..0 # SKIP {reason}")
    sys.exit()
kernel = kernel_directory()

def refusal(function):
    try:
        function()
    except Reply as reply:
        return reply.name
    return None


serve = image(kernel, "serve")

# Any CPU that this process may use serves as the dedicated one of both.
own_cpu = min(os.sched_getaffinity(0))

# A whole life: boot, facts, confinement, connections, console, a stop that the application obeys.
with Monitor(serve, CPUs=2, CPUIDs=[own_cpu, own_cpu]) as m:
    early = m.connect()
    console = [early.stream("Console"), early.stream("Console")]
    facts = m.wait_for(lambda f: f["Ready"])
    check(facts["State"] == "running" and facts["Ready"], "boots to running, and hears that the application is ready", facts)
    order = ["created", "loaded", "launched", "firmware", "kernel", "init", "heartbeat", "started", "ready"]
    times = [facts["Timeline"].get(step, 0) for step in order]
    check(times == sorted(times) and times[0] > 0, "each step of the start is dated, in order", facts["Timeline"])
    line = facts["KernelCommandLine"]
    check(line.startswith("quiet ") and " tsc_early_khz=" in line and " panic=-1" in line,
          "what was added to the kernel's command line is shown", line)
    check((facts["ImageName"], facts["ImageVersion"]) == ("test", "1.0") and len(facts["PCR0"]) == 96,
          "the image's name and measurements are told", facts)

    qemu, monitor = status_of(facts["HypervisorPID"]), status_of(facts["MonitorPID"])
    own_uid = str(m.uid)
    for name, status in (("QEMU", qemu), ("the monitor", monitor)):
        check(status["Uid"].split() == [own_uid] * 4, f"{name} has the uid {own_uid} and no other", status["Uid"])
        check(all(int(status[c], 16) == 0 for c in ("CapEff", "CapPrm", "CapInh", "CapAmb")),
              f"{name} has no capabilities", status)
        check(status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", f"{name} is behind a seccomp filter", status)
    if os.getuid() == 0:  # others may not look
        environment = pathlib.Path(f"/proc/{facts['HypervisorPID']}/environ").read_bytes()
        check(environment == b"", "QEMU has no environment", environment)
        targets = [os.readlink(f.path) for f in os.scandir(f"/proc/{facts['HypervisorPID']}/fd")]
        check(not any("monitor.sock" in t or t == str(m.directory) for t in targets),
              "QEMU has none of the monitor's files open", targets)

    threads = [status_of(f"{facts['HypervisorPID']}/task/{t}")
               for t in os.listdir(f"/proc/{facts['HypervisorPID']}/task")]
    pinned = {t["Name"]: t["Cpus_allowed_list"] for t in threads if t["Name"].startswith("CPU ")}
    check(len(pinned) == 2 and set(pinned.values()) == {str(own_cpu)}, "each vCPU's thread is on its dedicated CPU", pinned)

    stream = early.stream("Connect", Port=5005)
    stream.sendall(b"through the monitor")
    stream.shutdown(socket.SHUT_WR)
    check(read_all(stream) == b"through the monitor", "Connect is a stream to the guest's port")
    check(refusal(lambda: early.stream("Connect", Port=4999)) == "GuestRefused", "a port without listener is refused")
    check(refusal(lambda: early.call("Stop", GraceMSec=-1)) == "InvalidParameter", "a negative grace is refused")
    with socket.socket(socket.AF_UNIX) as direct:
        direct.connect(str(m.directory / "vsock.sock"))
        direct.sendall(b"CONNECT 5005\n")
        check(direct.recv(100).startswith(b"OK "), "the same port answers on vsock.sock")

    early.call("Stop", GraceMSec=60000)
    end = m.end()
    check((end["State"], end["ReasonKind"], end.get("ExitCode")) == ("stopped", "stopped", 0),
          "Stop asks the application, which ends by itself; the file \"end\" tells it", end)
    check(m.process.returncode == 0, "the monitor exits with 0", m.process.returncode)
    both = [read_all(s) for s in console]
    check(both[0] == both[1] and b"application: serving" in both[0] and b"application: asked to end" in both[0],
          "two readers see the same console from its first byte to its end", both)
    check(gone(facts["HypervisorPID"]), "QEMU is gone")
    early.close()

# What the application's end tells.
for arguments, expected in (
        (("exit", "7"), {"State": "failed", "ReasonKind": "exited", "ExitCode": 7}),
        (("attest",), {"State": "stopped", "ReasonKind": "exited", "ExitCode": 0}),
        (("abort",), {"State": "failed", "ReasonKind": "killed", "Signal": signal.SIGABRT})):
    with Monitor(image(kernel, *arguments), Debug=False) as m:
        end = m.end()
        check({k: end.get(k) for k in expected} == expected, f"an application that does {' '.join(arguments)} is told as it ended",
              end)

# A panic, with and without a console.
for debug in (True, False):
    with Monitor(image(kernel, "panic"), Debug=debug) as m:
        end = m.end()
        check((end["State"], end["ReasonKind"]) == ("failed", "kernel-panic") and ("ConsoleTail" in end) == debug,
              f"a kernel panic is told, {'with' if debug else 'without'} a console", end)

# A guest without a heart; the console is refused in normal mode.
silent = image(kernel, "serve", init=BUILD / "tests/programs/enclave_app")
with Monitor(silent, BootTimeoutMSec=20000) as m:
    end = m.end()
    check(end["ReasonKind"] == "boot-timeout" and "a first process without a heart" in end.get("ConsoleTail", ""),
          "a boot timeout comes with the last console lines", end)
with Monitor(silent, Debug=False) as m:
    facts = m.wait_for(lambda f: f["State"] == "booting")
    connection = m.connect()
    check(refusal(lambda: connection.stream("Console")) == "NotDebug", "no console without debug mode")
    check(refusal(lambda: connection.stream("Connect", Port=1)) == "WrongState", "no connections before the guest is up")
    connection.call("Stop", GraceMSec=60000)
    end = m.end()
    check((end["State"], end["ReasonKind"]) == ("stopped", "stopped"), "Stop during boot does not wait for the guest", end)
    connection.close()

# An application that does not obey, and does not stop talking.
with Monitor(image(kernel, "stubborn")) as m:
    m.wait_for(lambda f: f["Ready"])
    connection = m.connect()
    connection.call("Stop", GraceMSec=1500)
    check(m.facts()["State"] == "stopping", "a grace period is the state stopping")
    end = m.end()
    check((end["State"], end["ReasonKind"]) == ("stopped", "stopped") and "ExitCode" not in end,
          "after its grace a stubborn application is powered off", end)
    connection.close()

# The parent asks the monitor itself; the monitor is killed; QEMU is killed.
with Monitor(serve, Debug=False) as m:
    facts = m.wait_for(lambda f: f["Ready"])
    os.kill(facts["HypervisorPID"], signal.SIGTERM)  # as a shutdown does, which asks every process at once
    m.process.send_signal(signal.SIGTERM)
    end = m.end()
    check((end["ReasonKind"], end.get("ExitCode"), m.process.returncode) == ("parent-shutdown", 0, 0),
          "SIGTERM to all processes ends the application, then the machine, then the monitor", end)
# Nobody can find it any more: the daemon that knows it keeps it, and the next one never could.
with Monitor(serve, Debug=False) as m:
    facts = m.wait_for(lambda f: f["Ready"])
    watcher = m.connect()
    watcher.send("Watch", more=True)
    watcher.receive()
    (m.directory / "monitor.sock").rename(m.directory / "monitor.lost")
    time.sleep(1)
    check(m.process.poll() is None, "a monitor whose socket is gone stays while its daemon is connected")
    watcher.close()
    end = m.end()
    check((end["State"], end["ReasonKind"], end.get("ExitCode")) == ("failed", "monitor-lost", 0) and gone(facts["HypervisorPID"]),
          "and ends in order when it is left alone, with a reason that lets its policy start it again", end)
# What it was given, once more; and a restart of something else.
with Monitor(serve, Debug=False, KeepImage=True) as m:
    connection = m.connect()
    given = connection.call("Given")
    configuration, kept = (connection.fds[given[name]] for name in ("Configuration", "Image"))
    check(json.loads(os.pread(configuration, 65536, 0))["KeepImage"] and os.pread(kept, 1 << 30, 0) == serve,
          "Given has the configuration and the very image")
    m.wait_for(lambda f: f["State"] == "running")
    connection.call("Stop", GraceMSec=0)
    m.end()
    connection.close()
with Monitor(serve, Debug=False, PCR0="0" * 96) as m:
    end = m.end()
    check((end["ReasonKind"], end.get("ErrorName")) == ("start-failed", "VerifyFailed") and "has changed" in end["ReasonText"],
          "an image that measures otherwise than in its first life is not started again", end)
# QEMU is there and does nothing any more.
with Monitor(serve, Debug=False, HypervisorTimeoutMSec=3000) as m:
    facts = m.wait_for(lambda f: f["Ready"])
    time.sleep(6)
    check(m.facts()["State"] == "running", "a QEMU that answers is left alone")
    os.kill(facts["HypervisorPID"], signal.SIGSTOP)
    end = m.end()
    check((end["State"], end["ReasonKind"]) == ("failed", "hypervisor-died") and "had not answered its monitor for 3 s" in
          end["ReasonText"] and gone(facts["HypervisorPID"]), "a QEMU that hangs is noticed, ended, and said to have hung", end)
with Monitor(serve, Debug=False) as m:
    facts = m.wait_for(lambda f: f["State"] == "running")
    m.process.kill()
    m.process.wait()
    check(gone(facts["HypervisorPID"]), "kill -9 of the monitor takes QEMU along")
with Monitor(serve, Debug=False) as m:
    facts = m.wait_for(lambda f: f["State"] == "running")
    os.kill(facts["HypervisorPID"], signal.SIGKILL)
    end = m.end()
    check((end["State"], end["ReasonKind"]) == ("failed", "hypervisor-died"), "kill -9 of QEMU is told as such", end)

done()
