# SPDX-License-Identifier: Apache-2.0
"""A machine whose CPUs can be taken: a virtual one (8 CPUs, 2 nodes, cgroup v2, pages of 2 MiB) that boots a
ramdisk with our daemon and the stand-in, and does what pool_guest.sh says. Here its answers are judged."""
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

from guest_vm import Archive, tsc_khz
from harness import BUILD, SOURCE, check, done
from vsock_vm import kernel_directory, reason_to_skip

PATIENCE = 540  # seconds for everything
PROGRAMS = ("cli/qt-enclave", "cli/qt-enclave-whole", "daemon/qt-enclaved", "tests/programs/monitor_standin")
MACHINE = ("-M", "q35", "-accel", "tcg,thread=single", "-cpu", "max,-erms,-fsrm", "-smp", "8,sockets=2,cores=2,threads=2", "-m", "5G",
           "-object", "memory-backend-memfd,id=node0,size=2G", "-numa", "node,nodeid=0,memdev=node0,cpus=0-3",
           "-object", "memory-backend-memfd,id=node1,size=3G", "-numa", "node,nodeid=1,memdev=node1,cpus=4-7",
           "-numa", "dist,src=0,dst=1,val=21", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none")


def libraries(programs):
    found = {}
    for program in programs:
        for line in subprocess.run(["ldd", program], capture_output=True, text=True).stdout.splitlines():
            path = re.search(r"(/\S+) \(0x", line)
            if path:
                found[path[1]] = os.path.realpath(path[1])
    return found


def ramdisk():
    a = Archive()
    for folder in ("proc", "sys", "dev", "run", "tmp", "root", "etc"):
        a.directory(folder)
    a.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    a.file("init", (SOURCE / "tests/scenario/pool_guest.sh").read_bytes(), 0o755)
    a.file("bin/busybox", pathlib.Path(shutil.which("busybox")).read_bytes(), 0o755)
    a.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    for program in PROGRAMS:
        a.file(f"qt/{program}", (BUILD / program).read_bytes(), 0o755)
    for name, path in libraries([str(BUILD / p) for p in PROGRAMS]).items():
        a.file(name.lstrip("/"), pathlib.Path(path).read_bytes(), 0o755)
    return a.finish()


def boot(top):
    """What the guest said: {part: text}."""
    (top / "ramdisk").write_bytes(ramdisk())
    # Sanitized programs are slow starters here, and their leaks are looked for on the host.
    # With a page of 1 GiB for later: the kernel then does not put itself there either, which it may do anywhere else.
    append = f"hugepagesz=1G hugepages=1:1 console=ttyS0 quiet panic=-1 cryptomgr.notests tsc=reliable " \
        f"tsc_early_khz={tsc_khz()} ASAN_OPTIONS=detect_leaks=0"
    command = ["qemu-system-x86_64", *MACHINE, "-serial", "stdio", "-kernel", kernel_directory() / "vmlinuz", "-initrd", top / "ramdisk",
               "-append", append]
    out = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    text = out.stdout.decode(errors="replace").replace("\r", "")
    (top / "console").write_text(text)
    parts = {}
    for part in text.split("\n@@ ")[1:]:
        name, _, body = part.partition("\n")
        parts[name] = body
    return parts, text


def judge(parts, text):
    def part(name):
        return parts.get(name, "(not said)").strip()

    def parsed(name):
        try:
            return json.loads(part(name))
        except ValueError:
            return {}
    check("end" in parts, "the machine came to its end", text[-4000:])
    check(part("before") == "6", "a program runs on CPU 6", part("before"))
    pool = parsed("pool")
    check(pool.get("Isolation") in ("isolated", "root") and "IsolationProblem" not in pool, "the pool's CPUs have left", part("pool"))
    check([n["PoolCPUs"] for n in pool.get("Nodes", [])] == [[], [4, 5, 6, 7]], "those of node 1", part("pool"))
    check([n["Distances"] for n in pool.get("Nodes", [])] == [[10, 21], [21, 10]], "distances are libnuma's", part("pool"))
    check(part("partition") == f"4-7\n{pool.get('Isolation')}\n0-3", "a partition of cgroup v2, and the root has the rest",
          part("partition"))
    check(part("evicted") in "0123" and part("evicted") != "", "the program runs elsewhere now", part("evicted"))
    check("Invalid argument" in part("steal"), "nobody outside can ask for such a CPU", part("steal"))
    check(part("inside").splitlines() == ["0::/qt-enclave/a", "4-5"], "an enclave is inside, on its own core", part("inside"))
    check(part("policy") == "prefer:1", "and prefers memory of its node", part("policy"))
    check(part("killed") == "4-7 isolated" or part("killed") == "4-7 root", "kill -9 of the daemon changes nothing", part("killed"))
    check(part("again") == part("killed") and part("again-a") == part("inside").replace("\n", " "), "the next daemon finds all",
          part("again"), part("again-a"))
    check(part("shrunk") == "4-5", "pool set gives a core back", part("shrunk"))
    check("NoCpus" in part("in-use"), "but not an enclave's", part("in-use"))
    check("NoMemory" in part("too-much") and part("rolled-back") == "4-5", "CPUs that came with memory that cannot be had go back",
          part("too-much"), part("rolled-back"))
    check(part("grown") == "2,4-7" or part("grown") == "2-7", "and takes more, on another node", part("grown"))
    check(part("monitor-killed") == "gone", "kill -9 of a monitor: its cgroup is gone", part("monitor-killed"))
    check(part("both-killed") == "gone", "kill -9 of both: the next daemon collects it", part("both-killed"))
    check(part("stopped-with") == "6-7 4-5" or part("stopped-with") == "4-5 0-3,6-7", "stopped with an enclave: only its CPUs stay taken",
          part("stopped-with"))
    check(part("stopped") == "gone 0-7", "stopped without: all CPUs are the parent's", part("stopped"))
    check(part("offline").startswith("qt-enclave: NoCpus") and "offline" in part("offline"), "a CPU that is offline is refused",
          part("offline"))
    check(part("gigantic-others") == "0 1", "a page of 1 GiB that the kernel reserved at boot is others'", part("gigantic-others"))
    check(part("gigantic-ours") == "1024 1", "with boot_pages:pool it is the pool's", part("gigantic-ours"))
    check("NoMemory" in part("gigantic-run") and "0 MiB can go" in part("gigantic-run"), "an enclave has it", part("gigantic-run"))
    check(part("gigantic-back") == "0 0", "pool set gives it to the parent", part("gigantic-back"))
    check(part("gigantic-live") == "1024 1", "and takes one from the running kernel", part("gigantic-live"))
    check("NoMemory" in part("gigantic-too-much") and part("gigantic-too-much").endswith("1024 1"),
          "more than there can be is refused, and what there was stays", part("gigantic-too-much"))
    check("version 1" in part("v1") and "only pinned" in part("v1-log"), "without cgroup v2 it says so", part("v1"), part("v1-log"))
    check("warning" in part("doctor"), "doctor too", part("doctor"))


if reason := reason_to_skip():
    print(f"1..0 # SKIP {reason}")
    sys.exit()
with tempfile.TemporaryDirectory(prefix="qt-pool-") as directory:
    judge(*boot(pathlib.Path(directory)))
done()
