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

from harness import PATIENCE, SOURCE, STANDIN, Daemon, check, done, skip

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

    d.ok("run", "--eif", d.image(), "--name", "a")
    status, answer = call("Describe")
    check(status == 0 and [e["EnclaveName"] for e in answer["Enclaves"]] == ["a"], "Describe", answer)
    status, answer = call("Wait", Name="a", For="ready")
    check(status == 0 and answer["Enclave"]["State"] == "running", "Wait", answer)
    status, answer = call("PoolShow")
    check(status == 0 and answer["Pool"]["Enclaves"] == 1, "PoolShow", answer)
    status, answer = call("Terminate", Name="nobody")
    check((status, answer) == (3, "io.qtenclave.Manager.NoSuchEnclave"), "an error comes with its name", answer)
    status, answer = call("Describe", Surplus=1)
    check((status, answer) == (3, "org.varlink.service.InvalidParameter") or "InvalidParameter" in str(answer),
          "an unknown parameter is refused", answer)
    status, answer = call("Terminate", Name="a")
    check(status == 0 and answer["Enclaves"][0]["State"] == "stopped", "Terminate", answer)
    status, answer = call("Forget")
    check(status == 0 and answer["Forgotten"] == ["a"], "Forget", answer)
    status, answer = call("Imagine")
    check(status == 3 and "MethodNotFound" in answer, "a method that is none is refused", answer)
shutil.rmtree(top)
done()
