# SPDX-License-Identifier: Apache-2.0
"""What scenarios share: TAP, a private daemon in a temporary directory, the CLI, patience, and a check for leftovers.

    with Daemon(monitor=STANDIN) as d:
        d.ok("run", "--eif", d.image("boot=10"), "--name", "a")
        check(d.describe("a")["State"] == "running", "a runs")
    done()

A Daemon may also run as another user (uid=…), with a configuration, or be killed and started again in place. When it is
closed it terminates its enclaves and then looks for what must not be there: a process, a directory, a socket.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("QT_BUILD_ROOT", "build")).resolve()
SOURCE = pathlib.Path(os.environ.get("QT_SOURCE_ROOT", ".")).resolve()
CLI = str(BUILD / "cli/qt-enclave")
DAEMON = str(BUILD / "daemon/qt-enclaved")
STANDIN = str(BUILD / "tests/programs/monitor_standin")
ORDINARY = 54321  # a uid that owns nothing
PATIENCE = 120  # seconds; a busy machine must not fail a test

_points = 0
_failed = 0


def check(good, what, *details):
    """One TAP point. When it is not good, its details go to the error output, which meson prints."""
    global _points, _failed
    _points += 1
    print(f"{'ok' if good else 'not ok'} {_points} - {what}", flush=True)
    if not good:
        _failed += 1
        print(f"not ok {_points} - {what}", *details, sep="\n", file=sys.stderr, flush=True)
    return bool(good)


def skip(what, why):
    global _points
    _points += 1
    print(f"ok {_points} - {what} # SKIP {why}")


def done():
    print(f"1..{_points}")
    sys.exit(1 if _failed else 0)


def is_bare_metal():
    """As the daemon sees it, which has no enclaves of the vendors' hypervisors there."""
    flags = [line for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")]
    return bool(flags) and "hypervisor" not in flags[0].split()


def read_message(stream):
    """One message of a Varlink peer with the zero byte at its end, or what there was before the peer went away."""
    message = b""
    while not message.endswith(b"\0"):
        piece = stream.recv(65536)
        if not piece:
            break
        message += piece
    return message


def wait_for(condition, what="a condition", patience=PATIENCE):
    """The first true value of condition(); an AssertionError when it never comes."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {patience} s")
        time.sleep(0.02)


def as_user(uid, group=None):
    """What goes in front of a command line to run it as an ordinary user."""
    if uid is None or uid == os.getuid():
        return []
    return ["setpriv", f"--reuid={uid}", f"--regid={uid if group is None else group}", "--clear-groups", "--"]


def reachable(uid, *paths):
    """Whether that user may read and run these: a checkout below /root is closed to everybody else."""
    # sh, so that test(1) runs after setpriv's own rights are gone.
    tests = " && ".join(f"test -r '{p}' -a -x '{p}'" for p in paths)
    return subprocess.run(as_user(uid) + ["sh", "-c", tests]).returncode == 0


def copy_programs(to):
    """The programs of the build, laid out as they find each other there."""
    for name in ("cli/qt-enclave", "cli/qt-enclave-whole", "daemon/qt-enclaved", "monitor/qt-enclave-monitor", "guest/qt-init",
                 "tests/programs/monitor_standin"):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(BUILD / name, to / name)
    return to


def processes_below(path):
    """Processes that have this path on their command line or a file below it open."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            command = pathlib.Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        if any(str(path) in text for text in [command, *links]):
            found.append(f"{pid} {command.strip()}")
    return found


class Result:
    def __init__(self, process):
        self.status, self.out, self.err = process.returncode, process.stdout, process.stderr

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"status {self.status}\nstdout: {self.out}\nstderr: {self.err}"


class Daemon:
    def __init__(self, monitor=None, uid=None, config=None, options=(), user_mode=False):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="qt-"))
        os.chmod(self.top, 0o755)
        self.uid = os.getuid() if uid is None else uid
        self.home = self.top / "h"  # short: a socket's address has 107 bytes
        self.home.mkdir()
        os.chown(self.home, self.uid, self.uid)
        self.runtime = self.home / ("qt-enclave" if user_mode else "r")
        self.socket = str(self.runtime / "qt-enclaved.sock")
        self.programs = BUILD if reachable(self.uid, DAEMON) else copy_programs(self.top / "b")
        self.command = [str(self.programs / "daemon/qt-enclaved"), *(["--user"] if user_mode else ["--runtime-dir", str(self.runtime)]), *options]
        if monitor:
            self.command += ["--monitor", str(self.programs / os.path.relpath(monitor, BUILD))]
        if config is not None:
            (self.top / "conf").write_text(config)
            self.command += ["--config", str(self.top / "conf")]
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(self.home), "HOME": str(self.home)}
        self.process, self.n_images = None, 0
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(quiet=kind is not None)

    def start(self):
        self.log = open(self.top / "log", "ab")
        self.process = subprocess.Popen(as_user(self.uid) + self.command, env=self.environment, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)

        def answers():
            if self.process.poll() is not None:
                raise AssertionError("the daemon ended:\n" + self.log_text())
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(self.socket)
                return True
            except OSError:
                return False
        wait_for(answers, "the daemon's socket")

    def stop(self, number=signal.SIGTERM):
        """End the daemon, not its enclaves."""
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self.log.close()
        return status

    def kill(self):
        return self.stop(signal.SIGKILL)

    def restart(self, number=signal.SIGTERM):
        self.stop(number)
        self.start()

    def log_text(self):
        return (self.top / "log").read_text(errors="replace")

    def image(self, script="", name=None):
        """A file for the stand-in: its words are the script."""
        self.n_images += 1
        path = self.home / (name or f"image{self.n_images}.eif")
        path.write_text(script + "\n")
        os.chown(path, self.uid, self.uid)
        os.chmod(path, 0o644)
        return str(path)

    def cli_program(self):
        return str(self.programs / "cli/qt-enclave")

    def popen(self, *arguments, uid=None, group=None, **more):
        environment = {**self.environment, "QT_ENCLAVE_SOCKET": self.socket}
        return subprocess.Popen(as_user(self.uid if uid is None else uid, group) + [self.cli_program(), *arguments], env=environment,
                                **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                                   "text": True, **more})

    def follow(self, *arguments):
        """A command that waits for what happens: it has asked, and sleeps in poll(2), so that nothing from now on escapes it."""
        p = self.popen(*arguments)
        wait_for(lambda: pathlib.Path(f"/proc/{p.pid}/syscall").read_text().startswith("7 "), f"{arguments} in poll")
        return p

    def cli(self, *arguments, uid=None, group=None, stdin=None):
        """Run the CLI to its end."""
        p = self.popen(*arguments, uid=uid, group=group, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
        p.stdout, p.stderr = p.communicate(stdin, timeout=PATIENCE)
        return Result(p)

    def ok(self, *arguments, **more):
        """The same, as a TAP point that wants success."""
        result = self.cli(*arguments, **more)
        check(result.status == 0, " ".join(a if "/" not in a else pathlib.Path(a).name for a in arguments), result)
        return result

    def refused(self, what, status, error, *arguments, contains=(), **more):
        """The same, wanting a refusal: exit status, stable name, one line that holds these words."""
        r = self.cli(*arguments, **more)
        words = [contains] if isinstance(contains, str) else list(contains)
        check(r.status == status and r.err.startswith(f"qt-enclave: {error}: ") and r.err.count("\n") == 1
              and all(w in r.err for w in words), what, f"wanted {status} {error} {words}", r)
        return r

    def describe(self, name, **more):
        """The enclave as JSON, or None."""
        r = self.cli("describe", name, "-o", "json", **more)
        return r.json()[0] if r.status == 0 else None

    def all(self):
        return {e["EnclaveName"]: e for e in self.cli("describe", "--all", "-o", "json").json()}

    def wait_state(self, name, *states):
        return wait_for(lambda: (lambda e: e if e and e["State"] in states else None)(self.describe(name)),
                        f"{name} in {states}")

    def close(self, quiet=False):
        """Terminate everything, end the daemon, and look for leftovers."""
        if self.process.poll() is None:
            self.cli("terminate", "--all", "--force", uid=self.uid)
            self.stop()
        else:
            self.log.close()
        left = []
        try:
            wait_for(lambda: not processes_below(self.top), "no process", 20)
        except AssertionError:
            left += [f"process {p}" for p in processes_below(self.top)]
        left += [f"directory {p}" for p in (self.runtime / "enclaves").glob("*")]
        if not quiet:
            check(not left, "nothing is left behind", *left, self.log_text())
        elif left or quiet:
            print("# the daemon's log:", *self.log_text().splitlines()[-40:], sep="\n# ")
        shutil.rmtree(self.top, ignore_errors=True)
