# SPDX-License-Identifier: Apache-2.0
"""Who waits for an enclave or watches what happens stays through the restarts of the daemon, as enclaves do; but with no
daemon in the first place nobody waits."""
import signal

from harness import PATIENCE, STANDIN, Daemon, check, done


def ends(p, status, text):
    out, err = p.communicate(timeout=PATIENCE)
    return p.returncode == status and text in out + err, p.returncode, out, err


with Daemon(monitor=STANDIN) as d:
    d.ok("run", "--eif", d.image(), "--name", "one", "--memory", "128")
    waits, impatient = d.follow("wait", "one"), d.follow("wait", "one", "--timeout", "3s")
    events, watch = d.follow("events", "-o", "text"), d.follow("describe", "one", "--watch")
    check(next((x for x in watch.stdout if " since " in x), None), "describe --watch has begun")  # else there is nothing to go on with
    d.kill()
    good, *why = ends(impatient, 10, "Timeout: the enclave one was not exited within 3s")
    check(good, "a wait has its own end, with or without a daemon", *why)
    r = d.cli("wait", "one")
    check(r.status == 9 and "DaemonUnreachable" in r.err, "no daemon takes the question: that is told at once", r)
    r = d.cli("events")
    check(r.status == 9 and "DaemonUnreachable" in r.err, "for events too", r)
    d.start()
    line = events.stderr.readline()
    check("the daemon was restarted; events may have been missed" in line, "events go on, and say what may be missing", line)
    d.restart(signal.SIGTERM)
    line = events.stderr.readline()
    check("may have been missed" in line, "as often as there is a new daemon", line)
    d.ok("terminate", "one")
    good, *why = ends(waits, 0, "one is stopped: stopped by uid")
    check(good, "whoever waited hears how it ended", *why)
    line = next((x for x in events.stdout if "is stopped" in x), None)
    check(line, "as does whoever reads the events")
    line = next((x for x in watch.stdout if "stopped since" in x), None)
    check(line and watch.poll() is None, "and whoever watches it")
    for p in (events, watch):
        p.kill()
        p.communicate()
done()
