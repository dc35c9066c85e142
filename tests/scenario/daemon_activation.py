# SPDX-License-Identifier: Apache-2.0
"""What a service manager does with qt-enclaved: it passes a listening socket, is told when the service is ready and when it
stops, and may start it again on the same socket without a client noticing."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import CLI, DAEMON, PATIENCE, STANDIN, check, done

top = pathlib.Path(tempfile.mkdtemp(prefix="qt-"))
path = str(top / "s")
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notices.bind(str(top / "notify"))
notices.settimeout(PATIENCE)


def start(number=1):
    """Descriptors from 3 on; the shell knows the pid that the daemon will have."""
    environment = {**os.environ, "NOTIFY_SOCKET": str(top / "notify"), "LISTEN_FDS": str(number)}
    return subprocess.Popen(["sh", "-c", 'exec 3<&0 4<&0 </dev/null; export LISTEN_PID=$$; exec "$@"', "sh", DAEMON,
                             "--runtime-dir", str(top / "r"), "--monitor", STANDIN],
                            env=environment, stdin=listener, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def heard(word):
    """Everything the daemon says, up to that word."""
    said = []
    while not any(word in s for s in said):
        said.append(notices.recv(1000).decode())
    return said


def describe():
    return subprocess.run([CLI, "describe", "--socket", path, "-o", "json"],
                          capture_output=True, text=True, timeout=PATIENCE)


# A client that connects before anybody serves simply waits.
early = subprocess.Popen([CLI, "describe", "--socket", path, "-o", "json"], stdout=subprocess.PIPE, text=True)
daemon = start()
check("READY=1" in "".join(heard("READY=1")), "the daemon says when it is ready")
out, _ = early.communicate(timeout=PATIENCE)
check(early.returncode == 0 and out.strip() == "[]", "a client that connected before the start is served", out)

daemon.send_signal(signal.SIGTERM)
heard("STOPPING=1")
check(daemon.wait(PATIENCE) == 0, "SIGTERM ends it in order", daemon.stderr.read())
check(os.path.exists(path), "and leaves the service manager's socket alone")

daemon = start()
heard("READY=1")
r = describe()
check(r.returncode == 0, "the next one serves on the same socket", r.stderr)
daemon.kill()
daemon.wait()
daemon = start(number=2)
check(daemon.wait(PATIENCE) != 0 and "exactly one" in daemon.stderr.read(), "a second socket is a mistake that is named")
shutil.rmtree(top)
done()
