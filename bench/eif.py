#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long the verbs about images take, as ratios to hashing the same bytes once.

usage: bench/eif.py BUILD-DIRECTORY [--megabytes 500] [--runs 5] [--files 20000] [--folder DIR] [--realtime]

Each figure is the median of the runs; the work and `openssl dgst -sha384` of the same bytes alternate, so that a machine
that changes its mind changes both. Inputs are warm. By default the folder is on a memory file system, because the time of
a disk is not ours: --folder names another.

Where describe-eif's processor time goes (perf record): 88 % SHA-384 (each byte twice, PCR0 and PCR2, on two processors),
10 % kernel, of which 4 % copy from the page cache, 2 % CRC. sign-eif: 63 % SHA-384 (once), 32 % kernel (copying in and
out, new pages), 4 % CRC.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser()
parser.add_argument("build", type=pathlib.Path)
parser.add_argument("--megabytes", type=int, default=500)
parser.add_argument("--files", type=int, default=20_000)
parser.add_argument("--runs", type=int, default=5)
parser.add_argument("--folder", default="/dev/shm")
parser.add_argument("--realtime", action="store_true", help="ahead of all other work on the machine; as root")
arguments = parser.parse_args()
if arguments.realtime:
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
measure, qt = arguments.build / "bench" / "measure", arguments.build / "cli" / "qt-enclave"


def once(command):
    """(wall, processor time, peak MiB)"""
    done = subprocess.run([measure, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stderr}")
    wall, user, system, peak = map(float, done.stderr.splitlines()[-1].split())
    return wall, user + system, peak / 1024


def compare(what, hashed, work, wanted, prepare=None):
    limit = ["openssl", "dgst", "-sha384", hashed]
    for command in (limit, work):
        once(command)
    rows = []
    for _ in range(arguments.runs):
        theirs, ours = once(limit), once(work)
        rows.append((ours[0] / theirs[0], ours[1] / theirs[1], ours[0], theirs[0], ours[2]))
    wall, processor, seconds, limit_seconds, peak = (statistics.median(column) for column in zip(*rows))
    spread = f"{min(r[0] for r in rows):.2f}–{max(r[0] for r in rows):.2f}"
    print(f"{what:<44} {wall:>6.2f} × {spread:>12} {processor:>9.2f} × {seconds:>7.2f} s {limit_seconds:>7.2f} s {peak:>7.1f} MiB  {wanted}", flush=True)


def random_file(path, size):
    with open(path, "wb") as f:
        while size > 0:
            f.write(os.urandom(min(size, 1 << 20)))
            size -= 1 << 20


def tree(root, bytes_in_all, n_files):
    each = bytes_in_all // n_files
    for i in range(n_files):
        folder = root / f"d{i % 200}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{i}").write_bytes(os.urandom(each))
    (root / "program").write_bytes(b"#!/program\n")
    (root / "program").chmod(0o755)


with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
    folder = pathlib.Path(temporary)
    size = arguments.megabytes * 1_000_000
    # A kernel that build-eif takes for one: the boot protocol's magic in a file of a usual size.
    kernel = bytearray(os.urandom(8_000_000))
    kernel[0x1fe:0x200], kernel[0x202:0x206], kernel[0x206:0x208] = b"\x55\xaa", b"HdrS", b"\x0f\x02"
    kernel[0x1f1], kernel[0x1f4:0x1f8] = 39, ((len(kernel) - 40 * 512) // 16).to_bytes(4, "little")
    (folder / "kernel").write_bytes(kernel)
    random_file(folder / "boot", 1_000_000)
    random_file(folder / "application", size)
    image = folder / "image.eif"
    ramdisks = ("--ramdisk", folder / "boot", "--ramdisk", folder / "application")
    build = (qt, "build-eif", "--kernel", folder / "kernel", "--cmdline", "quiet", *ramdisks, "--output", image)
    print(f"{arguments.megabytes} MB, medians of {arguments.runs}, {os.cpu_count()} processors; ratio to openssl dgst -sha384 of the same bytes")
    print(f"{'':<44} {'wall':>8} {'min–max':>12} {'processor':>11} {'ours':>9} {'limit':>9} {'peak':>11}")
    compare("build-eif, ready ramdisk", folder / "application", build, "wanted: ≤ 1.5 ×, ≤ 32 MiB")
    compare("describe-eif", image, (qt, "describe-eif", image), "wanted: ≤ 1.15 ×, ≤ 16 MiB")
    compare("verify-eif", image, (qt, "verify-eif", image), "wanted: ≤ 1.15 ×, ≤ 16 MiB")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-days", "9", "-subj", "/CN=bench",
                    "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True)
    compare("sign-eif", image, (qt, "sign-eif", image, "--certificate", folder / "cert", "--private-key", folder / "key", "--output", folder / "signed.eif"),
            "wanted: ≤ 1.2 ×, ≤ 16 MiB")
    (folder / "signed.eif").unlink(missing_ok=True)
    if arguments.files:
        tree(folder / "root", size, arguments.files)
        if shutil.which("tar"):
            subprocess.run(["tar", "-cf", folder / "application", "-C", folder / "root", "."], check=True)
        compare(f"build-eif, a directory of {arguments.files} files", folder / "application",
                (qt, "build-eif", "--kernel", folder / "kernel", "--cmdline", "quiet", "--rootfs", folder / "root", "--cmd", "/program", "--output", image),
                "wanted: ≤ 2.5 ×, ≤ 64 MiB")
