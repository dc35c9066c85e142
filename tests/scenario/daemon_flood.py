# SPDX-License-Identifier: Apache-2.0
"""One user does all that a user can do to keep the daemon from serving: 10,000 connections, half messages, endless ones,
calls without end, readers who do not read, starts without end. Another user is answered throughout, and starts and ends
enclaves of their own; the daemon stays within what its quotas say.

No clock is asserted: whoever is not served at all fails by patience. (`logs` reads the journal in the caller's own process,
so the daemon has no reader of it that could be slow.)"""
import array
import contextlib
import os
import resource
import select
import signal
import socket
import time

from harness import DAEMON, PATIENCE, STANDIN, Daemon, check, done, read_message, skip, wait_for
from other_users import ALICE, BOB, USERS, child, end  # Alice floods

CONNECTIONS = 10000
QUOTA = 64  # connections of one user: the default
MESSAGE_MAX, QUEUE_MAX = 64 * 1024, 256 * 1024  # of each of them: what is half read, and what is not yet read by the other side
CONFIG = "group:users\nenclaves_max:8\nended_max:16\nquota_enclaves:2\nquota_cpus:6\nquota_memory_mib:2048\n"
SANITIZED = b"__asan_init" in open(DAEMON, "rb").read()
DESCRIBE = b'{"method":"io.qtenclave.Manager.Describe"}\0'
EVENTS = b'{"method":"io.qtenclave.Manager.Events","more":true}\0'
RUN = (b'{"method":"io.qtenclave.Manager.Run","parameters":{"Image":0,"Name":"flood%d","MemoryMiB":128}}\0')


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)  # blocking: a full backlog is waited for
    return s


class Witness:
    """Bob, who connects anew for each question, all the time."""

    def __init__(self, d):
        self.pid, self.reader = child(BOB, self.work, d.socket)
        os.set_blocking(self.reader, False)
        self.good = self.bad = 0

    @staticmethod
    def work(say, path):
        while True:
            answer = b""
            try:
                with connect(path) as s:
                    s.settimeout(PATIENCE)
                    s.sendall(DESCRIBE)
                    answer = read_message(s)
            except OSError:
                pass
            say(b'"Enclaves"' in answer)

    def look(self):
        try:
            text = os.read(self.reader, 1 << 20)
        except BlockingIOError:
            text = b""
        self.good, self.bad = self.good + text.count(b"."), self.bad + text.count(b"x")
        return self.good

    def is_served(self, what):
        """Three more answers from now on, and none that failed."""
        before = self.look()
        try:
            wait_for(lambda: self.look() >= before + 3, "an answer")
        except AssertionError:
            self.bad += 1
        check(self.bad == 0 and self.good >= before + 3, f"another user is answered during {what}", self.good - before, self.bad)
        self.bad = 0

    @contextlib.contextmanager
    def quiet(self):
        os.kill(self.pid, signal.SIGSTOP)
        yield
        os.kill(self.pid, signal.SIGCONT)

    def close(self):
        end(self.pid, self.reader)


def as_bob(d, *arguments):
    return d.cli(*arguments, uid=BOB, group=USERS)


def bob_runs(d, what):
    r = as_bob(d, "run", "--eif", d.image(), "--name", "his", "--memory", "128")
    check(r.status == 0, f"another user starts an enclave during {what}", r)
    r = as_bob(d, "terminate", "his")
    check(r.status == 0, "and ends it", r)


# --- what Alice does ---

def hold(say, path, n):
    """So many connections at once, all kept, whatever becomes of them."""
    kept = [connect(path) for _ in range(n)]
    say()
    select.select([], [], [])
    return kept


def hold_half(say, path):
    """As many half messages as there are connections, each as long as a message may be."""
    kept = []
    for _ in range(QUOTA):
        kept.append(connect(path))
        kept[-1].settimeout(PATIENCE)
        kept[-1].sendall(b'{"method":"' + b"x" * (MESSAGE_MAX - 100))
    say()
    select.select([], [], [])


def send_long(say, path):
    """A message of one byte more than there may be, again and again: the connection ends."""
    while True:
        with connect(path) as s:
            s.settimeout(PATIENCE)
            try:
                s.sendall(b"x" * (MESSAGE_MAX + 1) + b"\0")
                say(s.recv(1) == b"")
            except (BrokenPipeError, ConnectionResetError):
                say()


def call_deaf(say, path):
    """Calls without end whose answers nobody reads, on all connections."""
    kept = [connect(path) for _ in range(QUOTA)]
    for s in kept:
        s.setblocking(False)
        try:
            while True:
                s.send(DESCRIBE * 100)
        except OSError:
            pass
    say()
    select.select([], [], [])


def call_busy(say, path):
    """Calls without end whose answers are read: the daemon never has nothing to do."""
    calls, poll, sockets = DESCRIBE * 1000, select.epoll(), {}
    for _ in range(QUOTA):
        s = connect(path)
        s.setblocking(False)
        sockets[s.fileno()] = [s, 0]
        poll.register(s, select.EPOLLIN | select.EPOLLOUT)
    while True:
        for fd, _ in poll.poll():
            s, at = sockets[fd]
            for step in ("send", "recv"):
                try:
                    if step == "send":
                        sockets[fd][1] = (at + s.send(calls[at:])) % len(calls)
                    elif s.recv(1 << 20):
                        say()
                    else:
                        return
                except BlockingIOError:
                    pass
                except OSError:
                    return


def start(say, path, image):
    """Enclaves without end, on all connections: two live, more are refused, each ends at once and the next may start."""
    fd, n, poll = os.open(image, os.O_RDONLY), 0, select.epoll()
    sockets = {s.fileno(): s for s in (connect(path) for _ in range(QUOTA))}
    for s in sockets.values():
        poll.register(s, select.EPOLLIN)
        s.sendmsg([RUN % n], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    while True:
        for ready, _ in poll.poll():
            if not sockets[ready].recv(1 << 20):
                return
            say()
            n += 1
            sockets[ready].sendmsg([RUN % n], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


def subscribe(say, path):
    """All connections want events, and nobody reads them."""
    kept = [connect(path) for _ in range(QUOTA)]
    for s in kept:
        s.sendall(EVENTS)
    say()
    select.select([], [], [])


def watch_console(say, path):
    """All connections have the console of one's own enclave, and nobody reads it."""
    kept = []
    for _ in range(QUOTA):
        kept.append(connect(path))
        kept[-1].sendall(b'{"method":"io.qtenclave.Manager.Console","parameters":{"Name":"hers"}}\0')
        answer, fds, _, _ = socket.recv_fds(kept[-1], 4096, 4)
        kept += [os.dup(fd) for fd in fds]
        say(b'"Stream"' in answer and len(fds) == 1)
    select.select([], [], [])


class Gauge:
    """What the daemon uses beside what it used at the start."""

    def __init__(self, d):
        self.pid = d.process.pid
        self.memory, self.descriptors = self.kib("VmRSS"), self.count()

    def kib(self, key):
        return int(next(line for line in open(f"/proc/{self.pid}/status") if line.startswith(key)).split()[1])

    def count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def is_bounded(self, what):
        """Memory as its quotas say, and some for the enclaves; each connection one descriptor, and few for each enclave."""
        used, most = self.kib("VmHWM") - self.memory, QUOTA * (MESSAGE_MAX + QUEUE_MAX) // 1024 + 8192
        check(SANITIZED or used <= most, f"memory is bounded during {what}", used, most)
        check(self.count() - self.descriptors <= QUOTA + 64, "and so are descriptors", self.count() - self.descriptors)


    def is_idle(self, what):
        """A daemon that spins uses time whenever one looks."""
        def ticks():
            return open(f"/proc/{self.pid}/stat").read().rpartition(")")[2].split()[11:13]

        def rests():
            before = ticks()
            time.sleep(0.2)
            return ticks() == before
        check(wait_for(rests, "a daemon at rest"), f"the daemon rests during {what}")


def several(n, work, *arguments):
    return [child(ALICE, work, *arguments) for _ in range(n)]


def answers(reader, n):
    """So many things done by that child; None when it gave up or nothing more came of it."""
    text = b""
    while len(text) < n:
        piece = os.read(reader, 65536) if select.select([reader], [], [], PATIENCE)[0] else b""
        if not piece:
            return None
        text += piece
    return text


def flood(d, witness, gauge, what, children, n=1, meanwhile=None, goes_on=False):
    """Children do n things each, and then just hold what they have, or go on for ever."""
    for _, reader in children:
        text = answers(reader, n)
        check(text is not None and b"x" not in text, f"{what} is under way", text)
    witness.is_served(what)
    if meanwhile:
        meanwhile()
        witness.is_served(what)
    for pid, reader in children:
        while goes_on and select.select([reader], [], [], 0)[0] and os.read(reader, 1 << 20):
            pass  # of the past
        check(os.waitpid(pid, os.WNOHANG) == (0, 0) and (not goes_on or answers(reader, n)), f"{what} lasted")
    gauge.is_bounded(what)
    if not goes_on:
        with witness.quiet():
            gauge.is_idle(what)
    for c in children:
        end(*c)
    wait_for(lambda: gauge.count() <= gauge.descriptors + 4, "descriptors to go down")


def connections(d, witness, gauge):
    """In several processes, as many as this one's limit of descriptors asks for."""
    room = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1 << 20) - 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (room + 64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    each = min(room, CONNECTIONS)
    n = -(-CONNECTIONS // each)
    flood(d, witness, gauge, f"{n * each} connections held", several(n, hold, d.socket, each), 1,
          lambda: bob_runs(d, "10,000 connections"))


def messages(d, witness, gauge):
    flood(d, witness, gauge, "half messages held", several(1, hold_half, d.socket))
    flood(d, witness, gauge, "messages of 64 KiB and a byte", several(2, send_long, d.socket), 50, goes_on=True)
    flood(d, witness, gauge, "calls whose answers nobody reads", several(1, call_deaf, d.socket))
    flood(d, witness, gauge, "calls without end", several(1, call_busy, d.socket), 200, lambda: bob_runs(d, "calls without end"), True)


def starts(d, witness, gauge):
    r = as_bob(d, "run", "--eif", d.image("run=0 end=exited code=3"), "--name", "kept", "--memory", "128")
    check(r.status == 0, "another user has an enclave that ended", r)
    d.wait_state("kept", "stopped")
    flood(d, witness, gauge, "starts without end", several(1, start, d.socket, d.image("run=0 end=exited")), 200,
          lambda: bob_runs(d, "starts without end"), True)
    mine = [e for e in d.all().values() if e["Uid"] == ALICE]
    check(len(mine) >= 10, "many of which ended", len(mine))
    e = d.all().get("kept")
    check(e and e["Reason"]["ExitCode"] == 3, "and push nobody else's record out", *d.all())
    wait_for(lambda: not any(e["Uid"] == ALICE and e["State"] not in ("stopped", "failed") for e in d.all().values()), "hers to end")
    r = as_bob(d, "forget", "kept")
    check(r.status == 0, "until its owner forgets it", r)


def readers(d, witness, gauge):
    flood(d, witness, gauge, "events that nobody reads", several(1, subscribe, d.socket), 1,
          lambda: [bob_runs(d, "events that nobody reads") for _ in range(3)])
    r = d.cli("run", "--eif", d.image(), "--name", "hers", "--memory", "128", "--debug", uid=ALICE, group=USERS)
    check(r.status == 0, "an enclave with a console", r)
    flood(d, witness, gauge, "consoles that nobody reads", several(1, watch_console, d.socket), QUOTA,
          lambda: bob_runs(d, "consoles that nobody reads"))
    d.ok("terminate", "hers")


def main():
    if os.getuid() != 0:
        skip("floods", "needs root to become several users")
        return done()
    with Daemon(monitor=STANDIN, config=CONFIG) as d:
        os.chmod(d.home, 0o755)
        os.chmod(d.runtime, 0o755)
        gauge, witness = Gauge(d), Witness(d)
        for part in (connections, messages, starts, readers):
            print("#", part.__name__)
            part(d, witness, gauge)
        witness.close()
        check(d.process.poll() is None, "the daemon is the same one")
    done()


main()
