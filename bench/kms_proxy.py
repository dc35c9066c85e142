#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""qt-kms-proxy against its targets, in one run with the same ends. Ratios travel between machines, figures do not.

    bench/kms_proxy.py [BUILD-DIRECTORY [--network-as-it-is]]

Direct is TCP over loopback; the other ways are the same ends with a relay between, reached by a UNIX socket as the local
back-end's enclaves reach it: one hop more, and the sender's is of another family. All run in a network namespace of their
own whose TCP has the plainest congestion control, because that of the machine may be one for wide-area links: BBR sends
even over loopback by timers, at a rate that it guesses, and what is measured then is its guess (direct from 900 to 2,900
MB/s in one run). With --network-as-it-is that is left alone.

The ends of the transfer write and read 64 KiB at once, the largest packet of vsock: more than that the monitor, which is
what writes to the proxy, never hands over in one piece. A second row shows ends that take four times as much.
"""
import contextlib
import fcntl
import os
import pathlib
import resource
import shutil
import socket
import statistics
import struct
import subprocess
import sys

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
os.environ["QT_BUILD_ROOT"] = str(BUILD)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/scenario"))
from harness import wait_for  # noqa: E402
from kms_rig import PCR0, Rig  # noqa: E402

CONGESTION = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")
LOAD, CALLS = BUILD / "bench/stream_load", BUILD / "bench/kms_load"
ROUNDS, MIB = 11, 1024
PACKET_KIB, LARGE_KIB = 64, 256


def own_network():
    """Begin again in a namespace of our own, where the kernel lets us; there, make loopback work, plainly."""
    enter = ["unshare", "--map-root-user", "--net"]
    if "--network-as-it-is" in sys.argv:
        return
    if os.environ.get("QT_BENCH_NETWORK") == "own":
        with socket.socket() as s:
            fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
        CONGESTION.write_text("reno")
    elif subprocess.run([*enter, "true"], capture_output=True).returncode == 0:
        os.environ["QT_BENCH_NETWORK"] = "own"
        os.execvp(enter[0], [*enter, sys.executable, *sys.argv])


def load(*arguments):
    return [float(x) for x in subprocess.run([str(a) for a in [LOAD, *arguments]], check=True, capture_output=True,
                                             text=True).stdout.split()]


def resident_kib(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ended_children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def stolen_seconds():
    """What the hypervisor kept from this machine while it wanted to run: it ruins a tail, and is nobody's merit."""
    return int(pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving():
    server = subprocess.Popen([LOAD, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield server, int(server.stdout.readline())
    finally:
        server.stdin.close()
        server.wait()


def pipe_proxy(rig, port):
    return rig.proxy(rig.proxy_section() + f"""connections-per-enclave = 5000
connections = 5000
[pipe plain]
port = 8000
tls = no
allow = localhost:{port}
private-addresses = yes
""", 8000)


def socat(rig, port):
    """The peer, where it is installed: one process for each connection, which ends with it."""
    path = rig.top / "socat"
    rig.start("socat", "socat", "-b65536", f"UNIX-LISTEN:{path},fork,backlog=64", f"TCP:127.0.0.1:{port}")
    wait_for(path.exists, "socat's socket")
    return f"unix:{path}"


def bulk(ways, server, relay, kib):
    """ways in turn, so that what else the machine does falls on all of them; relay: the process behind "proxy"."""
    rates, used, stolen = {w: [] for w in ways}, {w: [0.0, 0.0, 0.0] for w in ways}, stolen_seconds()
    for _ in range(ROUNDS):
        for way, address in ways.items():
            before = ended_children_seconds(), cpu_seconds(relay), cpu_seconds(server)
            rates[way] += load("bulk", address, MIB, kib)
            after = ended_children_seconds(), cpu_seconds(relay), cpu_seconds(server)
            used[way] = [u + (y - x) / ROUNDS for u, x, y in zip(used[way], before, after)]
    median = {way: statistics.median(r) for way, r in rates.items()}
    for way in ways:
        others = [f"{in_pairs(rates[way], rates[other]):.2f} of {other}" for other in ways if other != way]
        print(f"relay {MIB} MiB by {kib} KiB, {way}: {median[way]:.0f} MB/s ({min(rates[way]):.0f}-{max(rates[way]):.0f}), "
              + ", ".join(others) + (" (target 0.90 of direct)" if way == "proxy" and kib == PACKET_KIB else ""))
    explain(median, used, stolen_seconds() - stolen)


def in_pairs(ours, theirs):
    """Of the rounds' own ratios: a machine that slows down for some rounds slows both."""
    return statistics.median(x / y for x, y in zip(ours, theirs))


def explain(median, used, stolen):
    """What bounds the relay. Sender, proxy and receiver are three, and no faster than the busiest of them on a core of
    its own, nor than all of them on all cores; what is left of the cores' time is spent waiting to be woken."""
    cores = os.cpu_count()
    seconds = {way: (MIB << 20) / 1e6 / rate for way, rate in median.items()}
    ends, through = used["direct"], used["proxy"]
    busy = {way: sum(used[way]) / seconds[way] / cores for way in ("direct", "proxy")}
    print(f"  CPU seconds a transfer: direct sender {ends[0]:.2f} receiver {ends[2]:.2f}, {cores} cores {busy['direct']:.0%} busy; "
          f"through the proxy sender {through[0]:.2f} proxy {through[1]:.2f} receiver {through[2]:.2f}, {busy['proxy']:.0%} busy; "
          f"with these no relay reaches more than {seconds['direct'] / max(max(through), sum(through) / cores):.2f} of direct; "
          f"{stolen:.1f} s stolen by the hypervisor")


def small(ways):
    times, stolen = {w: [] for w in ways}, dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for way, address in ways.items():
            before = stolen_seconds()
            times[way].append(load("small", address, 1000, 4000, 1))
            stolen[way] += stolen_seconds() - before
    p50, p99, best = ({w: f(t[i] for t in times[w]) for w in ways}
                      for f, i in ((statistics.median, 0), (statistics.median, 1), (min, 1)))
    tails = {w: [t[1] for t in times[w]] for w in ways}
    for way in ways:
        print(f"1,000 connections, 4,000 requests/s, {way}: p50 {p50[way]:.0f} p99 {p99[way]:.0f} us (best round {best[way]:.0f}), "
              f"p99 {in_pairs(tails[way], tails['direct']):.2f} of direct, best of best {best[way] / best['direct']:.2f}, fewest "
              f"answers of one connection {min(t[2] for t in times[way]):.0f} of 4, skipped {sum(t[3] for t in times[way]):.0f}, "
              f"{stolen[way]:.1f} s stolen" + (" (target 2)" if way == "proxy" else ""))


def idle(rig, port, address):
    proxy = pipe_proxy(rig, port)
    load("bulk", address, 16, PACKET_KIB)
    before = resident_kib(proxy)
    holder = subprocess.Popen([LOAD, "hold", address, "1000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    holder.stdout.readline()
    print(f"idle connection: {(resident_kib(proxy) - before) / 1000:.2f} KiB resident each (target 16)")
    holder.stdin.close()
    holder.wait()


def relay(rig):
    with serving() as (server, port):
        proxy = pipe_proxy(rig, port)
        ways = {"direct": f"tcp:{port}", "proxy": f"unix:{rig.socket(8000)}"}
        peers = {"socat -b65536": socat(rig, port)} if shutil.which("socat") else {}
        for kib in (PACKET_KIB, LARGE_KIB):
            bulk(ways | peers, server, proxy, kib)
        small(ways)
        rig.end(proxy)
        idle(rig, port, ways["proxy"])


def calls(rig):
    module = rig.module("good", "qingtian", PCR0)
    rig.attest_policy(PCR0)
    rig.policy([{"Effect": "Allow", "Action": "kms:cmk:decrypt",
                 "Condition": {"StringEqualsIgnoreCase": {"kms:RecipientAttestation/PCR0": PCR0}}}])
    kms, port = rig.dev_kms("qingtian", "--reuse", "1h")
    proxy = rig.proxy(rig.proxy_section() + rig.api_section("kms", 8001, port, more="bind-request = no\n"), 8001)
    ciphertext = rig.top / "ciphertext"
    ciphertext.write_bytes(rig.encrypt(b"secret"))
    for cache, what in ((0, "fresh key and document"), (60, "cached")):
        before = ended_children_seconds(), cpu_seconds(proxy), cpu_seconds(kms)
        out = subprocess.run([CALLS, f"unix:{rig.socket(8001)}", module, ciphertext, "4", "5", str(cache)], check=True,
                             capture_output=True, text=True)
        rate, failures = (float(x) for x in out.stdout.split())
        after = ended_children_seconds(), cpu_seconds(proxy), cpu_seconds(kms)
        client, used, server = (y - x for x, y in zip(before, after))
        n = rate * 5
        print(f"attested decrypt, api mode, {what}: {rate:.0f}/s with client, proxy and KMS on {os.cpu_count()} cores "
              f"({failures:.0f} failed); CPU a call: proxy {used / n * 1e6:.0f} us = {n / used:.0f}/s per core, client "
              f"{client / n * 1e6:.0f} us, KMS {server / n * 1e6:.0f} us" + (" (target 400/s per core)" if cache else ""))


own_network()
print(f"TCP over loopback with {CONGESTION.read_text().strip()}", flush=True)
with Rig() as r:
    relay(r)
with Rig() as r:
    calls(r)
