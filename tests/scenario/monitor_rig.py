# SPDX-License-Identifier: Apache-2.0
"""Drives the real monitor the way the daemon does: descriptors 3 to 6, Varlink on its socket, the file "end"."""
import array
import ctypes
import errno
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ["QT_BUILD_ROOT"])
PATIENCE = 120
MONITOR = BUILD / "monitor/qt-enclave-monitor"


class Reply(Exception):
    """An error that the monitor answered with."""

    def __init__(self, name, message):
        super().__init__(f"{name}: {message}")
        self.name = name.rpartition(".")[2]


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))
        self.buffer, self.fds = b"", []

    def send(self, method, more=False, **parameters):
        call = {"method": "io.qtenclave.Monitor." + method, "parameters": parameters}
        if more:
            call["more"] = True
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def receive(self):
        while b"\0" not in self.buffer:
            data, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(16))
            if not data:
                raise EOFError("the monitor hung up")
            self.buffer += data
            for _, kind, payload in ancillary:
                if kind == socket.SCM_RIGHTS:
                    fds = array.array("i")
                    fds.frombytes(payload[:len(payload) // fds.itemsize * fds.itemsize])
                    self.fds += list(fds)
        message, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(message)
        if "error" in message:
            raise Reply(message["error"], message.get("parameters", {}).get("Message", ""))
        return message

    def call(self, method, **parameters):
        self.send(method, **parameters)
        return self.receive().get("parameters", {})

    def stream(self, method, **parameters):
        """A method that answers with a stream."""
        index = self.call(method, **parameters)["Stream"]
        return socket.socket(fileno=self.fds.pop(index))

    def close(self):
        self.socket.close()
        for fd in self.fds:
            os.close(fd)


def hide_program(path):
    """Nobody but this process and its children misses it."""
    libc, private_recursive, bind = ctypes.CDLL(None, use_errno=True), 1 << 18 | 1 << 14, 1 << 12
    if (libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, private_recursive, None)
            or libc.mount(b"/dev/null", path.encode(), None, bind, None)):
        raise OSError(ctypes.get_errno(), "hide_program")


def can_hide(path):
    """Not without root, nor in a changed root directory, which is no mount of its own."""
    return os.getuid() == 0 and os.path.exists(path) and subprocess.run(
        ["unshare", "--mount", "true"], capture_output=True).returncode == 0


def refuse_seccomp():
    """For this process and its children seccomp(2) is refused, as a unit's SystemCallFilter= may do."""
    libc, seccomp = ctypes.CDLL(None, use_errno=True), ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(0x7fff0000))  # SCMP_ACT_ALLOW
    refuse, number = 0x00050000 | errno.EPERM, seccomp.seccomp_syscall_resolve_name(b"seccomp")
    if libc.prctl(38, 1, 0, 0, 0) or seccomp.seccomp_rule_add(context, refuse, number, 0) or seccomp.seccomp_load(context):
        raise OSError("refuse_seccomp")


class Monitor:
    """One monitor with its machine; as an unprivileged user when the test runs as root."""

    def __init__(self, image_bytes, quiet=False, hide=None, before=None, **config):
        self.quiet = quiet
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="qt-monitor-"))
        self.uid = 65534 if os.getuid() == 0 else os.getuid()
        os.chown(self.directory, self.uid, -1)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.directory / "monitor.sock"))
        listener.listen(16)
        memory = os.memfd_create("image")
        os.write(memory, image_bytes[:0])
        with open(memory, "wb", closefd=False) as f:
            f.write(image_bytes)
        image_fd = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY)
        os.close(memory)
        directory_fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        settings = {"Name": "test", "EnclaveID": 1, "CID": 16, "CPUs": 2, "MemoryMiB": 256, "Debug": True,
                    "BootTimeoutMSec": PATIENCE * 1000, "ClientUid": os.getuid(), "DaemonUid": os.getuid()}
        config_fd = os.memfd_create("config")
        os.write(config_fd, json.dumps({**settings, **config}).encode())
        given = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20)
                 for fd in (listener.fileno(), image_fd, directory_fd, config_fd)]

        def become_monitor():
            for number, fd in enumerate(given, 3):
                os.dup2(fd, number)
            if hide:
                hide_program(hide)
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            if before:
                before()

        self.log = tempfile.TemporaryFile()
        program = shutil.copy(MONITOR, self.directory)  # the build directory may be closed to that user
        self.started = time.monotonic()
        spare = [os.open(os.devnull, os.O_RDONLY)]
        while spare[-1] <= 6:  # Popen wants to see all four of them open, and its own pipe elsewhere
            spare.append(os.open(os.devnull, os.O_RDONLY))
        self.process = subprocess.Popen([program, "test"], preexec_fn=become_monitor, pass_fds=(3, 4, 5, 6),
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        for fd in (*given, *spare, image_fd, directory_fd, config_fd):
            os.close(fd)
        listener.close()

    def connect(self):
        return Connection(self.directory / "monitor.sock")

    def facts(self):
        connection = self.connect()
        try:
            return connection.call("Describe")["Facts"]
        finally:
            connection.close()

    def wait_for(self, condition):
        """Watch until the facts satisfy the condition or the machine is over."""
        connection = self.connect()
        try:
            connection.send("Watch", more=True)
            while True:
                reply = connection.receive()
                facts = reply["parameters"]["Facts"]
                if condition(facts) or not reply.get("continues"):
                    return facts
        finally:
            connection.close()

    def end(self):
        """Wait for the monitor's own end; what it left in the file "end"."""
        self.process.wait(PATIENCE)
        return json.loads((self.directory / "end").read_text())

    def console(self):
        """All of the console, to its end."""
        connection = self.connect()
        try:
            stream = connection.stream("Console")
        finally:
            connection.close()
        return read_all(stream)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.log.seek(0)
        for line in self.log.read().decode(errors="replace").splitlines():
            if not self.quiet:
                print("#", line)
        self.log.close()
        shutil.rmtree(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read_all(stream):
    stream.settimeout(PATIENCE)
    parts = []
    with stream:
        while data := stream.recv(65536):
            parts.append(data)
    return b"".join(parts)


def status_of(pid):
    """/proc/PID/status as a dictionary."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def gone(pid):
    """Wait for the end of a process that is not our child."""
    for _ in range(PATIENCE * 20):
        try:
            if status_of(pid)["State"].startswith("Z"):
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False
