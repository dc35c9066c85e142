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
    for script, options, word in (("ready=assumed", (), "is ready"), ("ready=never", ("--ready-when", "running"), "is running")):
        d.environment["NOTIFY_SOCKET"] = str(d.top / "notify")
        p = d.popen("run", "--wait", *options, "--eif", d.image(script), "--name", "silent")
        said = notices.recv(1000).decode()
        check("READY=1" in said and word in said and not d.describe("silent")["Ready"],
              f"an application that cannot say so: {script} {' '.join(options)}", said)
        del d.environment["NOTIFY_SOCKET"]
        d.ok("terminate", "silent")
        p.communicate(timeout=PATIENCE)
        d.cli("forget")
    d.ok("run", "--eif", d.image("ready=never"), "--name", "never")
    r = d.cli("wait", "never", "--for", "ready", "--timeout", "300ms")
    check(r.status == 10 and "Timeout: the enclave never was not ready within 300ms" in r.err, "a wait can have an end", r)
    r = d.cli("run", "--wait", "--ready-when", "soon", "--eif", d.image(""))
    check(r.status == 2 and "ready, running" in r.err, "the steps are named", r)
    d.ok("terminate", "never")
    r = d.cli("run", "--wait", "--eif", d.image("run=10 end=exited code=3"), "--name", "short")
    check(r.status == 11 and "exited with code 3" in r.err, "with 11 when its application failed", r)
    unit = (pathlib.Path(__file__).parents[2] / "units/qt-enclave@.service.in").read_text()
    check("run --wait " in unit and "Type=notify" in unit, "that is what the unit runs")
done()
