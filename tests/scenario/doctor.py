# SPDX-License-Identifier: Apache-2.0
"""What `doctor` says of invented machines, one fault each, and of this one with a daemon and without."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from harness import CLI, ORDINARY, PATIENCE, STANDIN, Daemon, as_user, check, done, reachable

top = pathlib.Path(tempfile.mkdtemp(prefix="qt-"))
BUDDY = "Node 0, zone   Normal   {} 0 0 0 0 0 0 0 0 0 {}\n"
HEALTHY = {
    "dev/kvm": "", "usr/bin/qemu-system-x86_64": "", "usr/share/qt-enclave/kernel/vmlinuz": "",
    "usr/lib/systemd/system/qt-enclaved.service": "", "etc/group": "root:x:0:\nqt-enclave:x:990:someone\n",
    "proc/sys/kernel/osrelease": "5.10.0-182\n", "proc/buddyinfo": BUDDY.format(0, 1000),
    "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
    **{f"sys/devices/system/node/node{node}/hugepages/hugepages-{kib}kB/{name}": f"{value}\n"
       for node in (0, 1) for kib in (2048, 1048576) for name, value in (("nr_hugepages", 8), ("free_hugepages", 3 + node))},
}
QTBOX, MODULE = "dev/qtbox_service0", "opt/qingtian/enclave/virtio-qtbox.ko"


def machine(**changes):
    """The healthy one but for some files; None takes one away."""
    root = pathlib.Path(tempfile.mkdtemp(dir=top))
    for path, text in {**HEALTHY, **changes}.items():
        if text is not None:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    return root


def ask(root):
    r = subprocess.run([CLI, "doctor", "--root", root, "-o", "json"], capture_output=True, text=True, timeout=PATIENCE)
    return r.returncode, json.loads(r.stdout)


def says(what, status, verdict, topic, words, remedy, **changes):
    got, findings = ask(machine(**changes))
    hits = [f for f in findings if f["Topic"] == topic and f["Verdict"] == verdict and all(w in f["Text"] for w in words)
            and (remedy is None) == (f["Remedy"] is None) and (remedy or "") in (f["Remedy"] or "")]
    check(got == status and len(hits) == 1, what, f"status {got}", *findings)


status, findings = ask(machine())
check(status == 0 and all(f["Verdict"] == "ok" for f in findings), "nothing is wrong with a healthy machine", *findings)
says("huge pages of each node and size", 0, "ok", "huge pages", ["node 1", "1024 MiB", "8 pages", "4 free (4096 MiB)"], None)
says("no KVM is slow, not wrong", 0, "warning", "kvm", ["no /dev/kvm"], "modprobe", **{"dev/kvm": None})
says("no QEMU is wrong", 1, "wrong", "qemu", ["no qemu-system-x86_64"], "apt-get install",
     **{"usr/bin/qemu-system-x86_64": None})
says("not where another hypervisor is", 0, "warning", "qemu", ["no qemu"], "apt-get",
     **{"usr/bin/qemu-system-x86_64": None, "dev/nitro_enclaves": ""})
says("no kernel for images", 0, "warning", "kernel", ["no kernel"], "fetch-kernel",
     **{"usr/share/qt-enclave/kernel/vmlinuz": None})
says("cgroups of version 1", 0, "warning", "cpuset", ["cgroup v2", "only pinned"], "unified_cgroup_hierarchy",
     **{"sys/fs/cgroup/cgroup.controllers": None})
says("cgroup v2 without cpuset", 0, "warning", "cpuset", ["no controller cpuset"], "CONFIG_CPUSETS",
     **{"sys/fs/cgroup/cgroup.controllers": "cpu cpusets io\n"})
says("much free memory in small pieces", 0, "warning", "fragmentation", ["node 0"], "compact_memory",
     **{"proc/buddyinfo": BUDDY.format(1000000, 10)})
says("damaged buddyinfo is no crash", 0, "ok", "kvm", [], None,
     **{"proc/buddyinfo": "Node 99999999999, zone\nNode 0, zone\nNode 1, zone x 99999999999999999999999 -1\nzone"})
says("no unit", 0, "warning", "unit", ["not installed"], "install", **{"usr/lib/systemd/system/qt-enclaved.service": None})
says("no group", 0, "warning", "group", ["no group qt-enclave"], "sysusers", **{"etc/group": "root:x:0:\nqt-enclaves:x:1:\n"})
says("a socket that is none", 1, "wrong", "socket", ["is no socket"], "rm", **{"run/qt-enclave/qt-enclaved.sock": ""})
PCI = {f"sys/bus/pci/devices/0000:00:{slot}.0/{name}": f"{value}\n" for slot, vendor, device in (("03", "0x1d0f", "0xec20"), ("04", "0x1d0f", "0xe4c1"))
       for name, value in (("vendor", vendor), ("device", device))}
OTHER_PCI = {path: text for path, text in PCI.items() if ":03." in path}
LOADED, EC2 = {"sys/module/nitro_enclaves/parameters/ne_cpus": "\n"}, {"sys/class/dmi/id/sys_vendor": "Amazon EC2\n"}
says("Nitro: a module without device", 1, "wrong", "nitro", ["nitro_enclaves is loaded", "1d0f:e4c1"], "--enclave-options", **LOADED, **OTHER_PCI)
says("Nitro: a module that did not bind its device", 1, "wrong", "nitro", ["PCI device is there"], "dmesg", **LOADED, **PCI)
says("Nitro: EC2 without the module", 0, "warning", "nitro", ["EC2", "module"], "modprobe", **EC2, **PCI)
says("Nitro: EC2 without enclaves enabled", 0, "warning", "nitro", ["EC2", "1d0f:e4c1"], "--enclave-options Enabled=true", **EC2, **OTHER_PCI)
says("Nitro: CPUs as the driver repeats them", 0, "ok", "nitro", ["CPUs 2,10 are set aside"], None,
     **{"dev/nitro_enclaves": "", "sys/module/nitro_enclaves/parameters/ne_cpus": "2,10\n\n"})
says("Nitro: no CPUs set aside", 0, "warning", "nitro", ["ne_cpus is empty"], "pool set",
     **{"dev/nitro_enclaves": "", "sys/module/nitro_enclaves/parameters/ne_cpus": "\n"})
METAL = {"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu lm\n"}
says("Nitro: bare metal", 1, "wrong", "nitro", ["bare metal"], ".metal", **{**METAL, "sys/class/dmi/id/sys_vendor": "Amazon EC2\n"})
says("QingTian: bare metal", 1, "wrong", "qingtian", ["bare metal"], "c7t", **{**METAL, QTBOX: ""})
status, findings = ask(machine(**METAL))
check(status == 0 and not any("bare" in f["Text"] for f in findings), "which is no fault of a machine for ordinary use", *findings)
says("QingTian: a module for another kernel", 1, "wrong", "qingtian", ["5.10.0-60", "5.10.0-182"], "grubby",
     **{MODULE: "\x7fELF vermagic=5.10.0-60 SMP mod_unload\0"})
says("QingTian: a module cut off in its version", 1, "wrong", "qingtian", ["for kernel 5.10.0-6,"], "grubby",
     **{MODULE: "vermagic=5.10.0-6"})
says("QingTian: SELinux", 1, "wrong", "qingtian", ["SELinux"], "insmod",
     **{MODULE: "vermagic=5.10.0-182 SMP\0", "sys/fs/selinux/enforce": "1"})
says("QingTian: not loaded", 1, "wrong", "qingtian", ["not loaded"], "QingTian Enclave enabled", **{MODULE: ""})
says("QingTian: a module without device", 1, "wrong", "qingtian", [QTBOX], "QingTian Enclave", **{"sys/module/virtio_qtbox/x": ""})
PARENT = {QTBOX: "", "dev/vsock": "", "usr/local/bin/qt": "", "etc/qingtian/enclave/qt-enclave-env.conf": "cpu_count:2\n",
          "run/systemd/units/invocation:qt-enclave-env.service": "", "usr/lib/python3.9/site-packages/docker": "",
          "usr/local/lib/python3.9/site-packages/knack": ""}
says("QingTian: a parent that is well", 0, "ok", "qingtian", ["has run"], None, **PARENT)
says("QingTian: no tool", 0, "warning", "qingtian", ["tool qt"], "yum", **{**PARENT, "usr/local/bin/qt": None})
for name, path in (("docker", "usr/lib/python3.9/site-packages/docker"), ("knack", "usr/local/lib/python3.9/site-packages/knack")):
    says(f"QingTian: the tool's Python has no {name}", 0, "warning", "qingtian", [f"module {name}"], "pip3 install", **{**PARENT, path: None})
LOG = {**PARENT, "var/log/qingtian_enclaves/qingtian-tool.log": "of root's\n"}
if os.getuid() == 0 and reachable(ORDINARY, CLI):
    os.chmod(top, 0o755)
    root = machine(**LOG)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    r = subprocess.run([*as_user(ORDINARY), CLI, "doctor", "--root", root, "-o", "json"], capture_output=True, text=True, timeout=PATIENCE)
    check(any("cannot be written by you" in f["Text"] and "--as qt" in f["Remedy"] for f in json.loads(r.stdout)),
          "QingTian: a log that belongs to another user", r.stdout)
says("QingTian: which root may write", 0, "ok", "qingtian", ["has run"], None, **LOG)
ACTIVE = "run/systemd/units/invocation:"
NITRO = {"dev/nitro_enclaves": "", "sys/module/nitro_enclaves/parameters/ne_cpus": "2,10\n"}
says("Nitro: the vendor's allocator beside ours", 0, "warning", "nitro", ["nitro-enclaves-allocator is active beside"], "import-config",
     **{**NITRO, ACTIVE + "nitro-enclaves-allocator.service": "", ACTIVE + "qt-enclaved.service": ""})
says("Nitro: or alone", 0, "ok", "nitro", ["CPUs 2,10"], None, **{**NITRO, ACTIVE + "nitro-enclaves-allocator.service": ""})
says("Nitro: enclaves of nitro-cli's own", 0, "warning", "nitro", ["2 enclaves of nitro-cli", "port 9000"], "--as nitro-cli",
     **{**NITRO, "run/nitro_enclaves/1a.sock": "", "run/nitro_enclaves/1b.sock": "", "run/nitro_enclaves/other": ""})
says("QingTian: its service has not run", 0, "warning", "qingtian", ["has not run"], "systemctl enable",
     **{**PARENT, "run/systemd/units/invocation:qt-enclave-env.service": None})
says("QingTian: its service has no file", 0, "warning", "qingtian", ["nothing is reserved"], "yum",
     **{**PARENT, "etc/qingtian/enclave/qt-enclave-env.conf": None})
says("QingTian: no vsock", 1, "wrong", "vsock", ["/dev/vsock"], "modprobe", **{**PARENT, "dev/vsock": None})

root = machine()
(root / "run/qt-enclave").mkdir(parents=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(str(root / "run/qt-enclave/qt-enclaved.sock"))
for mode, verdict in ((0o660, "warning"), (0o666, "wrong")):  # of a group that is not qt-enclave's
    os.chmod(root / "run/qt-enclave/qt-enclaved.sock", mode)
    status, findings = ask(root)
    check([f["Verdict"] for f in findings if f["Topic"] == "socket"] == [verdict], f"a socket of mode {mode:o}: {verdict}", *findings)
status = subprocess.run([CLI, "doctor", "--root", "/nonexistent"], capture_output=True, text=True, timeout=PATIENCE)
check(status.returncode == 3 and "/nonexistent" in status.stderr, "a root that is not there", status)

with Daemon(monitor=STANDIN) as d:
    def daemon_finding():
        return next(f for f in d.cli("doctor", "-o", "json").json() if f["Topic"] == "daemon")
    check(daemon_finding()["Verdict"] == "ok" and "0 enclaves" in daemon_finding()["Text"], "it finds the daemon", daemon_finding())
    d.stop()
    r = d.cli("doctor")
    check(r.status == 1 and daemon_finding()["Verdict"] == "wrong" and "qt-enclaved --user" in r.out, "or says how to start it", r)
    d.start()
shutil.rmtree(top)
done()
