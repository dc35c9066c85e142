# SPDX-License-Identifier: Apache-2.0
"""A client that shares no line with ours speaks to a real daemon: Debian's Varlink library for Go.

(Its generator is no use here: it refuses capital letters in an interface's name, which the protocol allows.)"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from harness import PATIENCE, SOURCE, STANDIN, Daemon, check, done, skip, wait_for

LIBRARY = pathlib.Path("/usr/share/gocode")
if not shutil.which("go") or not (LIBRARY / "src/github.com/varlink/go").is_dir():
    skip("an independent Varlink client", "golang-go and golang-github-varlink-go-dev are not installed")
    done()


def build(top):
    client = str(top / "client")
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(LIBRARY), "GOCACHE": str(top / "cache"), "GOFLAGS": ""}
    r = subprocess.run(["go", "build", "-o", client, SOURCE / "tests/programs/varlink_client.go"], env=environment,
                       capture_output=True, text=True, timeout=300)
    check(r.returncode == 0, "the client is built", r.stderr)
    return client if r.returncode == 0 else sys.exit(1)


top = pathlib.Path(tempfile.mkdtemp(prefix="qt-"))
client = build(top)
with Daemon(monitor=STANDIN) as d:
    def ask(*words):
        r = subprocess.run([client, "unix:" + d.socket, *words], capture_output=True, text=True, timeout=PATIENCE)
        return r.returncode, json.loads(r.stdout) if r.returncode == 0 else (r.stdout + r.stderr).strip()

    def call(method, **parameters):
        return ask("call", "io.qtenclave.Manager." + method, json.dumps(parameters))

    status, info = ask("info")
    check(status == 0 and info["product"] == "qt-enclaved" and "io.qtenclave.Manager" in info["interfaces"],
          "it lists the interfaces", info)
    status, text = ask("describe", "io.qtenclave.Manager")
    check(status == 0 and text == (SOURCE / "proto/io.qtenclave.Manager.varlink").read_text(),
          "it reads the interface's description, which is the source's", text)
    status, answer = ask("describe", "io.qtenclave.Nothing")
    check(status == 3 and "InterfaceNotFound" in answer, "an unknown interface is an error that it understands", answer)

    d.ok("run", "--eif", d.image(), "--name", "a", "--debug")
    # Every method: what is asked, and what the answer must have, or the name of the error. Go passes no descriptors.
    CALLS = {
        "Describe": [({}, lambda a: [e["EnclaveName"] for e in a["Enclaves"]] == ["a"]), ({"Name": "nobody"}, "NoSuchEnclave"),
                     ({"Surplus": 1}, "InvalidParameter")],
        "Wait": [({"Name": "a", "For": "ready"}, lambda a: a["Enclave"]["State"] == "running"), ({"Name": "a", "For": "ever"}, "InvalidParameter")],
        "Events": [({}, "InvalidParameter")],  # "more" only, see below
        "Metadata": [({"Name": "a"}, lambda a: a == {"Stream": 0})],
        "PoolShow": [({}, lambda a: a["Pool"]["Enclaves"] == 1)],
        "Metrics": [({}, lambda a: "qt_enclave_enclaves" in a["Text"])],
        "Console": [({"Name": "a"}, lambda a: a == {"Stream": 0})],
        "Connect": [({"Name": "a", "Port": 7}, lambda a: a == {"Stream": 0}), ({"Name": "a", "Port": 8}, "GuestRefused")],
        "Run": [({"Image": 0}, "InvalidParameter"), ({}, "InvalidParameter")],
        "PoolSet": [({"MemoryMiB": 64}, "WrongState")],
        "Terminate": [({"Name": "nobody"}, "NoSuchEnclave"), ({"Name": "a"}, lambda a: a["Enclaves"][0]["State"] == "stopped")],
        "Forget": [({}, lambda a: a["Forgotten"] == ["a"])],
    }
    status, methods = ask("methods", "io.qtenclave.Manager")
    check(status == 0 and set(methods) == set(CALLS), "it lists the methods, each of which is called here", methods, set(methods) ^ set(CALLS))
    for method, cases in CALLS.items():
        for parameters, wanted in cases:
            status, answer = call(method, **parameters)
            if callable(wanted):
                check(status == 0 and wanted(answer), f"{method} {parameters}", answer)
            else:
                check((status, answer) == (3, "io.qtenclave.Manager." + wanted), f"{method} {parameters}: {wanted}", answer)

    following = subprocess.Popen([client, "unix:" + d.socket, "more", "io.qtenclave.Manager.Events", "{}", "3"], stdout=subprocess.PIPE, text=True)
    def wait_for_answers():
        d.cli("run", "--eif", d.image(), "--name", "b")
        d.cli("terminate", "b")
        return following.poll() is not None
    wait_for(wait_for_answers, "three events")
    events = json.loads(following.communicate()[0])
    check(len(events) == 3 and all(e["Enclave"]["EnclaveName"] == "b" for e in events), "Events with more: answer after answer", events)
    d.ok("run", "--eif", d.image(), "--name", "c")
    status, answers = ask("more", "io.qtenclave.Manager.Describe", "{}", "9")
    check(status == 0 and [e["EnclaveName"] for a in answers for e in a["Enclaves"]] == ["c"], "Describe with more: to the last answer", answers)
    status, answer = call("Imagine")
    check(status == 3 and "MethodNotFound" in answer, "a method that is none is refused", answer)
shutil.rmtree(top)
done()
