# SPDX-License-Identifier: Apache-2.0
"""The counters for Prometheus: they follow what happens, and the text is of the format's form."""
import re

from harness import STANDIN, Daemon, check, done, wait_for

LINE = re.compile(r'(qt_enclave_\w+)(\{\w+="[\w.-]+"(?:,\w+="[\w.-]+")*\})? (\d+)$')


def read(d):
    """{series: value}, having checked the form: a HELP and a TYPE before each name, no series twice."""
    lines = d.cli("metrics").out.splitlines()
    values, announced = {}, []
    for line in lines:
        if line.startswith("# "):
            announced.append(line.split()[1:3])
            continue
        m = LINE.match(line)
        if not m or ["TYPE", m[1]] not in announced or ["HELP", m[1]] not in announced or m[1] + (m[2] or "") in values:
            check(False, "the form of the text", line)
            continue
        values[m[1] + (m[2] or "")] = int(m[3])
    return values


with Daemon(monitor=STANDIN) as d:
    before = read(d)
    check(before["qt_enclave_starts_total"] == 0 and before['qt_enclave_enclaves{state="running"}'] == 0
          and before["qt_enclave_pool_free_bytes"] > 0, "a new daemon counts from zero", before)
    d.ok("run", "--eif", d.image(), "--name", "a", "--memory", "256")
    d.ok("run", "--eif", d.image("run=0 end=exited code=3"), "--name", "b", "--memory", "256")
    d.wait_state("b", "stopped", "failed")
    after = read(d)
    # One that ends at once may never be seen running.
    check(after["qt_enclave_starts_total"] == 2 and after["qt_enclave_boots_total"] in (1, 2)
          and after['qt_enclave_enclaves{state="running"}'] == 1 and after['qt_enclave_ends_total{reason="exited"}'] == 1,
          "starts, boots and ends by reason", after)
    check(after["qt_enclave_pool_reserved_bytes"] == 256 << 20 and after["qt_enclave_pool_reserved_cpus"] == 2,
          "what enclaves have of the pool", after)
    d.ok("terminate", "a")
    check(wait_for(lambda: read(d)['qt_enclave_ends_total{reason="stopped"}'] == 1), "an end on request is one of its own")
    d.cli("run", "--eif", d.image(), "--name", "c", "--memory", "200G")
    last = read(d)
    check(last["qt_enclave_starts_total"] == 2 == sum(n for name, n in last.items() if name.startswith("qt_enclave_ends_total")),
          "what was refused neither began nor ended", last)
    path = d.home / "qt-enclave.prom"
    d.ok("metrics", "--output", str(path))
    check(path.read_text().startswith("# HELP qt_enclave_build_info"), "a file for node_exporter's collector")
    d.refused("a directory that is not there", 12, "OutputFailed", "metrics", "--output", "/nonexistent/x")
done()
