# SPDX-License-Identifier: Apache-2.0
"""A real guest with qt-init: kernel, ramdisks made here, plain QEMU, our vsock device, a parent in Python."""
import ctypes
import json
import mmap
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import time
import urllib.parse

from vsock_vm import Cpio

BUILD = pathlib.Path(os.environ["QT_BUILD_ROOT"])
SOURCE = pathlib.Path(os.environ["QT_SOURCE_ROOT"])
INIT = BUILD / "guest/qt-init"
PROBE = BUILD / "tests/programs/guest_probe"
BACKEND = BUILD / "tests/programs/vsock_backend"
PATIENCE = 120  # seconds for anything that a guest does; emulation on a busy machine is slow
CID = 16
# What the guest needs, in the order in which it must be loaded.
MODULES = ("virtio_ring", "virtio", "virtio_mmio", "vsock", "vmw_vsock_virtio_transport_common",
           "vmw_vsock_virtio_transport")


class Archive(Cpio):
    """The same with the directories that a path needs."""

    def __init__(self):
        super().__init__()
        self.made = set()

    def directory(self, path):
        if path and path not in self.made:
            self.directory(path.rpartition("/")[0])
            self.made.add(path)
            self.add(path, stat.S_IFDIR | 0o755)

    def file(self, path, data, mode=0o644):
        self.directory(path.rpartition("/")[0])
        self.add(path, stat.S_IFREG | mode, data.encode() if isinstance(data, str) else data)


def tsc_khz():
    """The rate of this machine's time stamp counter, which TCG's guest sees. Without it a busy machine hangs the boot."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("0f3148c1e2204809d0c3"))  # rdtsc; shl rdx, 32; or rax, rdx; ret
    rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    begin, first = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), rdtsc()
    time.sleep(0.05)
    end, last = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), rdtsc()
    return (last - first) * 1_000_000 // (end - begin)


def bootstrap(kernel, modules=MODULES, only_listed=()):
    """The bootstrap ramdisk: /init, /modules, and names that stand in the list alone."""
    a = Archive()
    a.file("init", INIT.read_bytes(), 0o755)
    for module in modules:
        a.file(f"modules/{module}.ko", next((kernel / "modules").rglob(f"{module}.ko")).read_bytes())
    a.file("modules/list", "".join(f"{m}.ko\n" for m in (*modules, *only_listed)))
    return a.finish()


def app_config(*arguments, env=(), workdir=None, user=None):
    records = [f"arg={a}" for a in arguments] + [f"env={e}" for e in env]
    records += [f"workdir={workdir}"] * (workdir is not None) + [f"user={user}"] * (user is not None)
    return "".join(r + "\0" for r in records).encode()


class Parent:
    """The parent's side: vsock.sock_9000 and _9001 in a directory. `events` is what the guest told."""

    def __init__(self, directory, heartbeat=b"\xb7", lifecycle=True, greeting=b"", delay=0.0):
        self.directory, self.events, self.beats, self.greeting = directory, [], [], greeting
        self.changed, self.stream, self.listeners = threading.Condition(), None, []
        if heartbeat is not None:
            threading.Timer(delay, self._listen, (9000, lambda s: self._on_heartbeat(s, heartbeat))).start()
        if lifecycle:
            self._listen(9001, self._on_lifecycle)

    def _listen(self, port, handler):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.directory / f"vsock.sock_{port}"))
        listener.listen()
        self.listeners.append(listener)

        def serve():
            while True:
                try:
                    stream = listener.accept()[0]
                except OSError:
                    return
                with stream:
                    handler(stream)
        threading.Thread(target=serve, daemon=True).start()

    def _on_heartbeat(self, stream, answer):
        self.beats.append(stream.recv(1))
        stream.sendall(answer)

    def _on_lifecycle(self, stream):
        self.stream = stream
        stream.sendall(self.greeting)
        for line in stream.makefile("rb"):
            with self.changed:
                self.events.append(json.loads(line))
                self.changed.notify_all()

    def wait_for(self, event):
        with self.changed:
            return self.changed.wait_for(lambda: any(e["event"] == event for e in self.events), PATIENCE)

    def send(self, **command):
        self.stream.sendall(json.dumps(command).encode() + b"\n")

    def close(self):
        for listener in self.listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


class Guest:
    """One boot, from start to end. `script` is called with the parent while it runs. Then: `status` of QEMU (None when it
    had to be killed), `console`, `events`, `probes` (the probe's lines as pairs)."""

    def __init__(self, kernel, ramdisk, memory=192, vsock=True, acpi=True, script=None, **parent):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="qtg-"))
        self.children = []
        try:
            self._run(kernel, ramdisk, memory, vsock, acpi, script, parent)
        finally:
            for child in reversed(self.children):
                if child.poll() is None:
                    child.kill()
                child.wait()
            shutil.rmtree(self.directory)

    def _run(self, kernel, ramdisk, memory, vsock, acpi, script, parent_options):
        (self.directory / "ramdisk").write_bytes(ramdisk)
        parent = Parent(self.directory, **parent_options)
        command = ["qemu-system-x86_64", "-M", f"microvm,x-option-roms=off,isa-serial=on,rtc=on,memory-backend=mem,"
                   f"acpi={'on' if acpi else 'off'}",
                   "-object", f"memory-backend-memfd,id=mem,size={memory}M,share=on", "-m", str(memory),
                   "-accel", "tcg,thread=single", "-cpu", "max", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
                   "-monitor", "none", "-serial", "stdio", "-kernel", str(kernel / "vmlinuz"),
                   "-initrd", str(self.directory / "ramdisk"),
                   "-append", f"console=ttyS0 quiet panic=-1 reboot=t tsc=reliable tsc_early_khz={tsc_khz()}"]
        ours, theirs = socket.socketpair()
        with ours, theirs, open(self.directory / "console", "wb") as console:
            if vsock:
                self.children.append(subprocess.Popen([BACKEND, str(ours.fileno()), str(CID), self.directory],
                                                      pass_fds=[ours.fileno()]))
                command += ["-chardev", f"socket,id=vc,fd={theirs.fileno()}", "-device",
                            "vhost-user-vsock-device,chardev=vc"]
            qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
                                    pass_fds=[theirs.fileno()])
            self.children.append(qemu)
        try:
            if script:
                script(parent)
            self.status = qemu.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.status = None
        parent.close()
        self.events, self.beats = parent.events, parent.beats
        self.console = (self.directory / "console").read_bytes().decode(errors="replace").replace("\r", "")
        self.probes = [(n, urllib.parse.unquote(v)) for n, v in re.findall(r"^probe (\S+) (.*)$", self.console, re.M)]

    def values(self, name):
        return [v for n, v in self.probes if n == name]

    def value(self, name):
        return next(iter(self.values(name)), None)

    def event(self, name):
        """The first event of that name without its time, or None."""
        return next(({k: v for k, v in e.items() if k != "uptime_usec"} for e in self.events if e["event"] == name), None)

    def said(self):
        """What qt-init said."""
        return re.findall(r"qt-init: (.*)$", self.console, re.M)
