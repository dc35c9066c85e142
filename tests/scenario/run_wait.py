# SPDX-License-Identifier: Apache-2.0
"""`run --wait`, what qt-enclave@NAME.service is made of: it tells the service manager when the application is ready, stays
through a restart of the daemon, and ends as the enclave ends."""
import pathlib
import signal
import socket

from harness import PATIENCE, STANDIN, Daemon, check, done

with Daemon(monitor=STANDIN) as d:
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind(str(d.top / "notify"))
    notices.settimeout(PATIENCE)
    d.environment["NOTIFY_SOCKET"] = str(d.top / "notify")
    p = d.popen("run", "--wait", "--eif", d.image("boot=50"), "--name", "unit")
    said = ""
    while "READY=1" not in said:
        said += notices.recv(1000).decode()
    check(d.describe("unit")["Ready"], "the service manager is told when the application is ready")
    del d.environment["NOTIFY_SOCKET"]
    d.kill()
    d.start()
    check(p.poll() is None, "it outlives kill -9 of the daemon")
    d.restart(signal.SIGTERM)
    d.ok("terminate", "unit")
    out, err = p.communicate(timeout=PATIENCE)
    check(p.returncode == 0 and "stopped by uid" in err, "and ends with status 0 when the enclave is terminated", out, err)
    r = d.cli("run", "--wait", "--eif", d.image("run=10 end=exited code=3"), "--name", "short")
    check(r.status == 11 and "exited with code 3" in r.err, "with 11 when its application failed", r)
    unit = (pathlib.Path(__file__).parents[2] / "units/qt-enclave@.service.in").read_text()
    check("run --wait " in unit and "Type=notify" in unit, "that is what the unit runs")
done()
