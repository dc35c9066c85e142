# SPDX-License-Identifier: Apache-2.0
"""A real virtual machine on the vsock device: shared by the scenario vsock_guest and the benchmark bench/vsock."""
import gzip
import json
import os
import pathlib
import platform
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SOURCE_ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD_ROOT = pathlib.Path(os.environ.get("QT_BUILD_ROOT", SOURCE_ROOT / "build"))
PROGRAMS = BUILD_ROOT / "tests" / "programs"
CID = 16
PATIENCE = 60  # seconds for anything a guest does; emulation on a busy machine is slow
MODULES = ("virtio_mmio", "vmw_vsock_virtio_transport")
CONSOLE_LIMIT = 1 << 20


def kernel_directory():
    """What scripts/fetch-kernel fetched, or None."""
    for name in ("QT_TEST_KERNEL_DIR", "QT_ENCLAVE_KERNEL_DIR"):
        if os.environ.get(name):
            return pathlib.Path(os.environ[name])
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return pathlib.Path(data) / "qt-enclave" / "kernel"


def reason_to_skip():
    directory = kernel_directory()
    if not (directory / "vmlinuz").exists():
        return f"no kernel in {directory}: run scripts/fetch-kernel"
    if platform.machine() != "x86_64":
        return "needs an x86_64 machine"
    if not shutil.which("qemu-system-x86_64"):
        return "no qemu-system-x86_64: install qemu-system-x86"
    return None


def module_files(directory):
    """The modules a guest needs, in an order in which they load."""
    depends = {}
    for line in (directory / "modules" / "modules.dep").read_text().splitlines():
        path, _, needs = line.partition(":")
        depends[path] = needs.split()
    order = []

    def add(path):
        for need in reversed(depends[path]):
            if need not in order:
                add(need)
        if path not in order:
            order.append(path)

    for name in MODULES:
        add(next(p for p in depends if pathlib.Path(p).name.split(".")[0].replace("-", "_") == name))
    return [directory / "modules" / p for p in order]


class Cpio:
    """A ramdisk in the kernel's "newc" format."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
        self.data += b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
        self.data += b"\0" * (-len(self.data) % 4) + content
        self.data += b"\0" * (-len(self.data) % 4)

    def finish(self):
        self.add("TRAILER!!!", 0)
        return bytes(self.data)


def ramdisk(directory):
    cpio = Cpio()
    for folder in ("dev", "modules"):
        cpio.add(folder, 0o040755)
    cpio.add("dev/console", 0o020600, device=(5, 1))
    cpio.add("init", 0o100755, (PROGRAMS / "vsock_guest").read_bytes())
    order = []
    for module in module_files(directory):
        order.append(f"/modules/{module.name}")
        cpio.add(f"modules/{module.name}", 0o100644, module.read_bytes())
    cpio.add("modules/order", 0o100644, "".join(f"{line}\n" for line in order).encode())
    return gzip.compress(cpio.finish(), 1)


def tsc_khz():
    """The rate of the time stamp counter: without it a guest on a busy machine may hang in its calibration. Measured
    by the kernel of this machine; with an unreadable log, /proc/cpuinfo is near enough to boot by."""
    log = subprocess.run(["dmesg"], capture_output=True, text=True, check=False).stdout
    for line in log.splitlines():
        if "tsc: Detected" in line:
            return int(float(line.split("Detected")[1].split()[0]) * 1000)
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("cpu MHz"):
            return int(float(line.split(":")[1]) * 1000)
    return 2000000


class VirtualMachine:
    """A guest, the device that serves it and the parent's services, in a directory of its own. A context manager."""

    # Without the flags for fast byte copies, which are slow when emulated: as the monitor starts its guests.
    def __init__(self, mode, qemu_options=(), processors=1, cpu="max,-erms,-fsrm"):
        self.mode = mode
        self.qemu_options = list(qemu_options)
        self.processors = processors
        self.cpu = cpu
        self.console = b""
        self.lines_given = 0
        self.children = []

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="qtv-")
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def start(self):
        sock = os.path.join(self.directory, "vsock.sock")
        ours, theirs = socket.socketpair()
        self.services = subprocess.Popen([PROGRAMS / "stream_peers", sock], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE)
        self.children.append(self.services)
        if self.services.stdout.readline() != b"ready\n":
            raise RuntimeError("the parent's services did not start")
        self.backend = subprocess.Popen([PROGRAMS / "vsock_backend", str(ours.fileno()), str(CID), self.directory],
                                        pass_fds=[ours.fileno()], stderr=subprocess.PIPE)
        self.children.append(self.backend)
        disk = os.path.join(self.directory, "ramdisk")
        pathlib.Path(disk).write_bytes(ramdisk(kernel_directory()))
        self.qemu = subprocess.Popen(self.qemu_command(theirs.fileno(), disk), pass_fds=[theirs.fileno()],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.children.append(self.qemu)
        ours.close()
        theirs.close()

    def qemu_command(self, fd, disk):
        return ["qemu-system-x86_64",
                "-M", "microvm,x-option-roms=off,isa-serial=on,rtc=on,acpi=on,memory-backend=mem",
                "-object", "memory-backend-memfd,id=mem,size=256M,share=on,seal=on",
                "-accel", "tcg,thread=single", "-cpu", self.cpu, "-smp", str(self.processors), "-nodefaults", "-no-user-config",
                "-no-reboot", "-display", "none", "-qmp", f"unix:{self.directory}/qmp,server=on,wait=off",
                "-chardev", f"socket,id=vsock,fd={fd}", "-device", "vhost-user-vsock-device,chardev=vsock",
                "-device", "virtio-rng-device", "-serial", "stdio",
                "-kernel", str(kernel_directory() / "vmlinuz"), "-initrd", disk,
                "-append", "console=ttyS0 quiet reboot=t panic=-1 cryptomgr.notests tsc=reliable "
                           f"tsc_early_khz={tsc_khz()} -- {self.mode}", *self.qemu_options]

    def lines(self):
        """The console's lines, until the guest is gone or says nothing for too long."""
        pending = b""
        while True:
            readable, _, _ = select.select([self.qemu.stdout], [], [], PATIENCE)
            chunk = os.read(self.qemu.stdout.fileno(), 65536) if readable else b""
            if not chunk:
                if pending:
                    yield pending.decode(errors="replace").strip()
                return
            self.console = (self.console + chunk)[-CONSOLE_LIMIT:]
            pending += chunk
            *complete, pending = pending.split(b"\n")
            for line in complete:
                yield line.decode(errors="replace").strip()

    def connect(self, port, patience=PATIENCE):
        """A stream to a port of the guest, and the answer's line ("" when refused)."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(patience)
        s.connect(os.path.join(self.directory, "vsock.sock"))
        s.sendall(f"CONNECT {port}\n".encode())
        line = b""
        while not line.endswith(b"\n"):
            c = s.recv(1)
            if not c:
                break
            line += c
        return s, line.decode()

    def command(self, *names):
        """Commands of the machine's control socket, each waited for."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(os.path.join(self.directory, "qmp"))
            with s.makefile("rw", encoding="ascii") as control:
                for name in ("qmp_capabilities", *names):
                    control.write(json.dumps({"execute": name}))
                    control.flush()
                    while not {"return", "error"} & (answer := json.loads(control.readline())).keys():
                        pass
                    if "error" in answer:
                        raise RuntimeError(answer["error"]["desc"])

    def __exit__(self, *_):
        for child in reversed(self.children):
            if child.poll() is None:
                if child is getattr(self, "services", None):
                    child.stdin.close()
                else:
                    child.send_signal(signal.SIGTERM)
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    stream.close()
        shutil.rmtree(self.directory, ignore_errors=True)
