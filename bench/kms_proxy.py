#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""qt-kms-proxy against its targets, in one run with the same ends. Ratios travel between machines, figures do not.

    bench/kms_proxy.py [BUILD-DIRECTORY]
"""
import os
import pathlib
import statistics
import subprocess
import sys

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
os.environ["QT_BUILD_ROOT"] = str(BUILD)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/scenario"))
from kms_rig import PCR0, Rig  # noqa: E402

LOAD, CALLS = BUILD / "bench/stream_load", BUILD / "bench/kms_load"
ROUNDS, MIB = 5, 1024


def load(*arguments):
    return [float(x) for x in subprocess.run([str(a) for a in [LOAD, *arguments]], check=True, capture_output=True,
                                             text=True).stdout.split()]


def resident_kib(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def relay(rig):
    server = subprocess.Popen([LOAD, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = int(server.stdout.readline())
    proxy = rig.proxy(rig.proxy_section() + f"""connections-per-enclave = 5000
connections = 5000
[pipe plain]
port = 8000
tls = no
allow = localhost:{port}
private-addresses = yes
""", 8000)
    direct, through = f"tcp:{port}", f"unix:{rig.socket(8000)}"
    rates = {a: [] for a in (direct, through)}
    for _ in range(ROUNDS):
        for address in rates:
            rates[address] += load("bulk", address, MIB)
    a, b = (statistics.median(rates[x]) for x in (direct, through))
    print(f"relay {MIB} MiB, median of {ROUNDS}: direct {a:.0f} MB/s ({min(rates[direct]):.0f}-{max(rates[direct]):.0f}), "
          f"proxy {b:.0f} MB/s ({min(rates[through]):.0f}-{max(rates[through]):.0f}), ratio {b / a:.2f}, of the best "
          f"{max(rates[through]) / max(rates[direct]):.2f} (target 0.90)")
    times = {x: [load("small", x, 1000, 4000, 3) for _ in range(3)] for x in (direct, through)}
    p50 = {x: statistics.median(t[0] for t in times[x]) for x in times}
    p99 = {x: statistics.median(t[1] for t in times[x]) for x in times}
    print(f"1,000 connections, 4,000 requests/s: direct p50 {p50[direct]:.0f} p99 {p99[direct]:.0f} us, "
          f"proxy p50 {p50[through]:.0f} p99 {p99[through]:.0f} us, p99 ratio {p99[through] / p99[direct]:.2f} (target 2); "
          f"fewest answers of one connection {min(t[2] for t in times[through]):.0f} of 12")
    rig.end(proxy)
    proxy = rig.proxy((rig.top / "proxy.conf").read_text(), 8000)
    load("bulk", through, 16)
    before = resident_kib(proxy)
    holder = subprocess.Popen([LOAD, "hold", through, "1000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    holder.stdout.readline()
    after = resident_kib(proxy)
    print(f"idle connection: {(after - before) / 1000:.2f} KiB resident each (target 16)")
    for process in (holder, server):
        process.stdin.close()
        process.wait()
    rig.end(proxy)


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
        before = cpu_seconds(proxy), cpu_seconds(kms)
        out = subprocess.run([CALLS, f"unix:{rig.socket(8001)}", module, ciphertext, "4", "5", str(cache)], check=True,
                             capture_output=True, text=True)
        rate, failures = (float(x) for x in out.stdout.split())
        used = cpu_seconds(proxy) - before[0], cpu_seconds(kms) - before[1]
        n = rate * 5
        print(f"attested decrypt, api mode, {what}: {rate:.0f}/s with client, proxy and KMS on {os.cpu_count()} cores "
              f"({failures:.0f} failed); proxy {used[0] / n * 1e6:.0f} us of CPU a call = {n / used[0]:.0f}/s per core, "
              f"KMS {used[1] / n * 1e6:.0f} us" + (" (target 400/s per core)" if cache else ""))


with Rig() as r:
    relay(r)
with Rig() as r:
    calls(r)
