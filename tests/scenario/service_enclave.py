# SPDX-License-Identifier: Apache-2.0
"""A real enclave below the real service: on a parent where systemd is the first process, the sandboxed daemon starts QEMU
inside the dedicated pool. What the manual promises of it is read in /proc and /sys: a CPU for each vCPU, huge pages of one
node, nothing of it on the parent's CPUs; also while systemd reloads, restarts and rewrites what it owns.

Emulated inside an emulated machine, the guest would take minutes to its heartbeat; what is judged here is where it runs, so
that the first words of its kernel are enough."""
import re

from harness import check, done
from monitor_image import image
from parent_vm import KERNEL, CannotBoot, ParentVM

CPUS, NODE, PAGES = (6, 7), 1, 64
GROUP = "/sys/fs/cgroup/qt-enclave"
CONFIG = "mode:dedicated\nhugepage_size:2\nmemory_mib:128\ncpu_count:2\nboot_timeout:3600\n"
CMDLINE = "earlyprintk=ttyS0 loglevel=7"

# What the machine says of the pool: its partition, the enclave's part of it, what is left to everybody else.
PARTITION = f"""cd {GROUP} && cat cpuset.cpus cpuset.cpus.partition ../cpuset.cpus.effective real/cpuset.cpus.effective
cat /sys/devices/system/node/node*/hugepages/hugepages-2048kB/nr_hugepages /sys/devices/system/node/node*/hugepages/hugepages-2048kB/free_hugepages
"""
# Names, CPUs and cgroups of every thread of these processes.
THREADS = "set -e; for p in %s; do cd /proc/$p/task && grep -E '^(Name|Cpus_allowed_list):|^0::' [0-9]*/status [0-9]*/cgroup; done\n"
# Without how many processes have it mapped: the monitor's vsock device does when the guest's driver comes up.
MEMORY = "sed -n '/memory-backend-memfd/{s/ mapmax=[0-9]*//;p}' /proc/%s/numa_maps\n"


def files():
    return {"/opt/real.eif": image(KERNEL, "serve", cmdline=CMDLINE), "/etc/qt-enclave/qt-enclaved.conf": CONFIG}


def describe(vm):
    return vm.ok("qt-enclave describe real -o json").json()[0]


class Processes:
    """The enclave's, by what they are."""

    def __init__(self, vm):
        self.vm = vm
        self.monitor = describe(vm)["ProcessID"]
        self.qemu = int(vm.ok(f"pgrep -P {self.monitor}").out)
        self.all_threads = THREADS % f"{self.monitor} {self.qemu}"

    def threads(self):
        """[(name, CPUs, cgroup)]"""
        found = {}
        for line in self.vm.ok(self.all_threads).out.splitlines():
            task, _, value = line.partition("/")
            found.setdefault(task, []).append(value.rpartition("\t")[2].removeprefix("cgroup:"))
        return sorted(map(tuple, found.values()))

    def guest_memory(self):
        """The mappings of the guest's memory, as the kernel tells them."""
        return self.vm.ok(MEMORY % self.qemu).out.splitlines()


def starts(vm):
    vm.ok("systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload && systemctl start qt-enclaved.socket")
    pool = vm.ok("qt-enclave pool show -o json").json()
    check(pool["Isolation"] == "isolated" and [n["PoolCPUs"] for n in pool["Nodes"]] == [[], list(CPUS)],
          "the service starts with a pool whose CPUs have left the parent", pool)
    vm.ok("nohup qt-enclave run --eif /opt/real.eif --name real --memory 128 --debug >/run/said 2>&1 &")
    vm.wait_for("qt-enclave describe --all | grep -qE 'booting|failed'")
    e = describe(vm)
    check(e["State"] == "booting" and e["Hypervisor"] == "local", "a real virtual machine starts from behind the unit's sandbox",
          e, vm.run("cat /run/said; journalctl -u qt-enclaved -o cat").out)
    vm.wait_for("qt-enclave describe real --timeline | grep -q ' firmware$'")


def pinned(vm, p):
    threads = p.threads()
    vcpus, others = ([t for t in threads if t[0].startswith("CPU ") == wanted] for wanted in (True, False))
    check([(name[:5], cpus) for name, cpus, _ in vcpus] == [(f"CPU {i}", str(cpu)) for i, cpu in enumerate(CPUS)],
          "each vCPU's thread may run on one CPU, its own", threads)
    check(len(others) >= 3 and {t[1] for t in others} == {"6-7"},
          "QEMU's other threads and the monitor run on the enclave's CPUs as well", others)
    check({t[2] for t in threads} == {"0::/qt-enclave/real"}, "and every one is in the enclave's cgroup", threads)
    e = describe(vm)
    check((e["CPUIDs"], e["NumberOfCPUs"]) == (list(CPUS), 2), "describe names these CPUs", e)
    r = vm.run("taskset -c 6 true")
    check(r.status != 0 and "Invalid argument" in r.err, "which no program of the parent can ask for", r)


def huge(vm, p):
    memory = p.guest_memory()
    words = memory[0].split() if len(memory) == 1 else []
    check(words[1:2] == [f"bind:{NODE}"] and {"huge", "kernelpagesize_kB=2048", f"N{NODE}={PAGES}"} <= set(words)
          and not re.search(r" N0=", memory[0]), "the guest's memory is huge pages, bound to the node of its CPUs, all there",
          memory)
    counts = vm.ok("cat /sys/devices/system/node/node*/hugepages/hugepages-2048kB/[nf]r*_hugepages").out.split()
    check(counts == ["0", "0", "0", str(PAGES)], "which are the pool's, and no other", counts)
    check(f"HugetlbPages:\t{PAGES * 2048:8} kB" in vm.ok(f"cat /proc/{p.qemu}/status").out, "QEMU has no huge page beside them")


def confined(vm, p):
    status = vm.ok(f"cat /proc/{p.qemu}/status").out
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    check(set(fields["Uid"].split()) == {str(int(fields["Uid"].split()[0]))} and fields["Uid"].split()[0] != "0",
          "QEMU is no user of the parent's, and not root", status)
    check(all(int(fields[c], 16) == 0 for c in ("CapEff", "CapPrm", "CapBnd", "CapAmb")) and fields["NoNewPrivs"] == "1"
          and fields["Seccomp"] == "2", "has no capability, and is behind seccomp", status)
    r = vm.run(f"ls -l /proc/{p.qemu}/fd | grep -E ' /(etc|dev/(kvm|nvme|mem))'")
    check(r.status == 1, "and holds no file nor device of the parent's", r)


def endures(vm, p):
    """Whatever systemd does to its control groups, its service and itself, this is as it was."""
    everything = "(" + PARTITION + ")\n" + MEMORY % p.qemu + p.all_threads
    before = vm.ok(everything).out
    check(before.split()[:8] == ["6-7", "isolated", "0-5", "6-7", "0", str(PAGES), "0", "0"], "the pool, as the kernel has it", before)

    def same(script, what):
        r, after = vm.run(script), vm.run(everything).out
        check(r.status == 0 and after == before, what, r, before, after)

    same("systemctl daemon-reload", "systemctl daemon-reload leaves the partition, the pinning and the pages alone")
    same("systemctl restart qt-enclaved && qt-enclave describe real", "so does systemctl restart qt-enclaved")
    same("systemctl set-property --runtime system.slice AllowedCPUs=0-5", "systemd's own use of the controller cpuset")
    same("systemctl revert system.slice && systemctl daemon-reexec", "and its end, with systemctl daemon-reexec")
    e = describe(vm)
    check((e["ProcessID"], e["State"]) == (p.monitor, "booting"), "and the daemon has its enclave", e)


def speaks(vm, p):
    vm.wait_for("timeout 10 qt-enclave console real >/run/console; grep -q 'Linux version' /run/console")
    check(sorted(t[1] for t in p.threads() if t[0].startswith("CPU ")) == ["6", "7"], "the guest runs on its CPUs")


def goes_back(vm, p):
    r = vm.run("qt-enclave terminate --force real")
    check(r.status == 0 and vm.run(f"kill -0 {p.qemu}").status != 0, "terminate ends it", r)
    vm.wait_for(f"[ ! -e {GROUP}/real ]")
    counts = vm.ok("cat /sys/devices/system/node/node1/hugepages/hugepages-2048kB/[nf]r*_hugepages").out.split()
    check(counts == [str(PAGES)] * 2, "its pages are free, and the pool's still", counts)
    r = vm.run("qt-enclave pool set --memory 0 && cat /sys/devices/system/node/node*/hugepages/hugepages-2048kB/nr_hugepages")
    check(r.out.split()[-2:] == ["0", "0"], "pool set gives them to the parent", r)
    vm.ok("systemctl stop qt-enclaved.socket qt-enclaved.service")
    # From another slice: what system.slice was told to leave out, systemd may leave there when it is re-executed at once.
    r = vm.wait_for(f"[ ! -e {GROUP} ] && sh -c 'echo 0 >/sys/fs/cgroup/init.scope/cgroup.procs && taskset -c 6 true' && "
                    "cat /sys/fs/cgroup/cpuset.cpus.effective", 30)
    check(r.out.split() == ["0-7"], "and stopping the service its CPUs", r)
    r = vm.run("journalctl -u qt-enclaved -p warning -o cat")
    check("ermitted" not in r.out and "out of memory" not in r.out, "nothing was refused on the way", r)


try:
    vm = ParentVM(files())
except CannotBoot as why:
    print(f"1..0 # SKIP {why}")
    raise SystemExit(0)
with vm:
    print(f"# up after {vm.boot_seconds:.0f} s")
    starts(vm)
    processes = Processes(vm)
    for part in (pinned, huge, confined, endures, speaks, goes_back):
        print("#", part.__name__, flush=True)
        part(vm, processes)
done()
