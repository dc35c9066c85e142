# SPDX-License-Identifier: Apache-2.0
"""Descriptors that callers pass and that cannot be closed at once: a TCP connection that lingers, in every place where it
may lie; and files whose file system never answers, more than the daemon would ever have room for. It waits for none of
them, takes in no more of a caller's than a few, and gives all of them back when they can be closed."""
import contextlib
import os
import pathlib
import signal
import socket
import struct
import tempfile

from fuse_silent import Silent
from harness import PATIENCE, STANDIN, Daemon, check, done, read_message, skip, wait_for
from other_users import ALICE, BOB, USERS, child, end  # Alice passes them

REFUSED = b'{"method":"io.qtenclave.Manager.Run","parameters":{"Image":0,"CPUs":-1}}\0'
FEW = 64  # descriptors


def count(d):
    return len(os.listdir(f"/proc/{d.process.pid}/fd"))


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.settimeout(PATIENCE)
    return s


# --- a connection whose close waits for an hour, since its other end reads nothing ---

def lingering():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    s = socket.create_connection(listener.getsockname())
    peer, _ = listener.accept()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    s.setblocking(False)
    try:
        while True:
            s.send(b"x" * 65536)
    except BlockingIOError:
        return s, peer


def beside(c, s):
    """As a call's own descriptor; nobody else has it any more when the call is read."""
    socket.send_fds(c, [REFUSED], [s.fileno()])


def unread(c, s):
    """Behind what ends the connection."""
    c.sendall(b"no message\0")
    socket.send_fds(c, [REFUSED], [s.fileno()])


def surplus(c, s):
    """The last of more descriptors than a message may have."""
    socket.send_fds(c, [REFUSED], [*[os.open("/dev/null", os.O_RDONLY)] * 100, s.fileno()])


def nested(c, s):
    """In the queue of a UNIX socket that is passed."""
    a, b = socket.socketpair()
    socket.send_fds(a, [b"x"], [s.fileno()])
    socket.send_fds(c, [REFUSED], [b.fileno()])


def pass_one(say, way, path):
    s, peer = lingering()
    c = connect(path)
    way(c, s)
    s.close()
    say()
    with contextlib.suppress(ConnectionResetError):
        c.recv(1)
    say()
    signal.pause()
    peer.close()


def is_served(d, what):
    check(d.cli("describe", "--all", uid=BOB, group=USERS).status == 0, f"another user is answered with {what}")


def bob_runs(d):
    r = d.cli("run", "--eif", d.image(), "--name", "his", "--memory", "128", uid=BOB, group=USERS)
    check(r.status == 0, "another user starts an enclave", r)


def lingers(d):
    for way in (beside, unread, surplus, nested):
        before = count(d)
        os.kill(d.process.pid, signal.SIGSTOP)
        pid, reader = child(ALICE, pass_one, way, d.socket)
        passed = os.read(reader, 1)
        os.kill(d.process.pid, signal.SIGCONT)
        check(passed + os.read(reader, 1) == b"..", f"who passes a lingering connection is answered ({way.__name__})")
        is_served(d, "it waiting to be closed")
        end(pid, reader)
        wait_for(lambda: count(d) <= before, "it to be closed")


# --- files ---

def pass_files(say, path, image):
    """Four with each call, and every call is refused."""
    fd, c = os.open(image, os.O_RDONLY), connect(path)
    c.settimeout(None)
    while True:
        socket.send_fds(c, [REFUSED], [fd] * 4)
        if not read_message(c):
            return
        say()


def files(d):
    before = count(d)
    with tempfile.TemporaryDirectory(prefix="qt-fuse-") as top:
        os.chmod(top, 0o755)
        try:
            silent = Silent(pathlib.Path(top), b"load=1\n")
        except OSError as e:
            skip("a file system that does not answer", str(e))
            return
        try:
            pid, reader = child(ALICE, pass_files, d.socket, f"{top}/image")
            os.set_blocking(reader, False)
            wait_for(lambda: f"uid {ALICE} passed" in d.log_text() or count(d) > before + 2 * FEW, "the daemon to notice")
            is_served(d, "files that cannot be closed")
            bob_runs(d)
            check(count(d) <= before + FEW, "of the files it has a few", count(d) - before)
            calls = len(os.read(reader, 1 << 16))
            check(calls <= FEW // 4, "since it listens to their sender no more", calls)
        finally:
            silent.end()

        def goes_on():
            try:
                return os.read(reader, 1 << 16)
            except BlockingIOError:
                return b""
        wait_for(goes_on, "its sender to be listened to again")
        end(pid, reader)
    d.ok("terminate", "--all", "--force")
    wait_for(lambda: count(d) <= before, "all of them to be closed")


def main():
    if os.getuid() != 0:
        skip("descriptors that cannot be closed", "needs root to become several users")
        return done()
    with Daemon(monitor=STANDIN, config="mode:shared\ngroup:users\n") as d:
        os.chmod(d.home, 0o755)
        os.chmod(d.runtime, 0o755)
        bob_runs(d)  # what the daemon opens with the first enclave stays open
        d.ok("terminate", "his")
        for part in (lingers, files):
            print("#", part.__name__)
            part(d)
        check(d.process.poll() is None, "the daemon is the same one")
    done()


main()
