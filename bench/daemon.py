# SPDX-License-Identifier: Apache-2.0
"""The daemon, with a stand-in for the virtual machine: round trip, memory, recovery, many cycles. Not a test.

usage: QT_BUILD_ROOT=build python3 bench/daemon.py [CYCLES]
"""
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/scenario"))
from harness import STANDIN, Daemon, wait_for  # noqa: E402

N = 32  # as nitro: qingtian has at most 62 vCPUs in all, 31 enclaves
CYCLES = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
DESCRIBE = b'{"method":"io.qtenclave.Manager.Describe","parameters":{"Name":"e0"}}\0'


def rss(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def timed(function, n=1):
    times = []
    for _ in range(n):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ask(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(DESCRIBE)
        while not s.recv(65536).endswith(b"\0"):
            pass


with Daemon(monitor=STANDIN, config=f"platform:nitro\nenclaves_max:{N}\nquota_connections:1024\n") as d:
    print(f"idle daemon: {rss(d.process.pid):.1f} MiB (limit 8)")
    image = d.image()
    for i in range(N):
        assert d.cli("run", "--eif", image, "--name", f"e{i}", "--memory", "128").status == 0
    alive = len(d.cli("describe", "-o", "json").json())
    print(f"with {alive} enclaves: daemon {rss(d.process.pid):.1f} MiB")

    verb = timed(lambda: d.cli("describe", "e0"), 21)
    raw = timed(lambda: ask(d.socket), 201)
    print(f"describe: {raw * 1e6:.0f} us on the socket, {verb * 1e3:.2f} ms as a command (with the start of a process)")
    if shutil.which("systemctl") and os.path.isdir("/run/systemd/system"):
        unit = timed(lambda: subprocess.run(["systemctl", "is-active", "dbus.service"], capture_output=True), 21)
        print(f"over systemctl is-active ({unit * 1e3:.2f} ms): {verb / unit:.2f} (limit 0.5)")
    else:
        floor = timed(lambda: subprocess.run(["/bin/true"], capture_output=True), 21)
        print(f"over starting /bin/true ({floor * 1e3:.2f} ms): {verb / floor:.2f}; systemd does not run here")

    d.kill()
    start = time.perf_counter()
    d.start()
    wait_for(lambda: len(d.cli("describe", "-o", "json").json()) == alive, "all of them")
    print(f"recovery of {alive} enclaves after kill -9: {time.perf_counter() - start:.2f} s until described (limit 1)")
    d.cli("terminate", "--all", "--force")

    pid = d.process.pid
    for i in range(CYCLES):
        if i == min(100, CYCLES // 2):
            before = rss(pid), descriptors(pid)
            start = time.perf_counter()
        d.cli("run", "--eif", image, "--name", "cycle")
        d.cli("terminate", "cycle", "--force")
    n = CYCLES - min(100, CYCLES // 2)
    took = (time.perf_counter() - start) / n
    print(f"{n} start/stop cycles of {took * 1e3:.0f} ms: memory {before[0]:.1f} -> {rss(pid):.1f} MiB, "
          f"descriptors {before[1]} -> {descriptors(pid)}")
