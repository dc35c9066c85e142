# SPDX-License-Identifier: Apache-2.0
"""What the KMS scenarios share: a stand-in security module, the development KMS, the proxy, qt-kms, and wrong servers."""
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading

from harness import BUILD, Result, wait_for

PROXY = str(BUILD / "kms-proxy/qt-kms-proxy")
DEV_KMS = str(BUILD / "kms-proxy/qt-dev-kms")
MODULE = str(BUILD / "tests/programs/secmod_socket")
# The static one goes into images; in a sanitized build only the other is under the sanitizers.
QT_KMS = str(BUILD / "guest" / os.environ.get("QT_KMS_PROGRAM", "qt-kms-qtsm"))
PCR0 = "11" * 48
OTHER_PCR0 = "22" * 48


def allow(action, pcr0, key="kms:RecipientAttestation/PCR0"):
    return {"Effect": "Allow", "Action": action, "Condition": {"StringEqualsIgnoreCase": {key: [pcr0]}}}


def huawei_statements(pcr0):
    return [allow(["kms:cmk:decrypt", "kms:dek:create", "kms:dek:decrypt", "kms:cmk:generate"], pcr0.upper())]


def in_hours(hours):
    """That moment, as the metadata services and the credentials' file write it."""
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
    return end.strftime("%Y-%m-%dT%H:%M:%SZ")


class Rig:
    """A directory with everything in it; all processes end with it."""

    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="qt-kms."))
        self.processes = []
        (self.top / "pki").mkdir()
        (self.top / "e/one").mkdir(parents=True)
        self.home = self.top / "kms"
        self.run(DEV_KMS, "init", self.home)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            self.end(process)
        if os.environ.get("QT_SHOW_LOG"):
            for log in sorted(self.top.glob("*.log")):
                print(f"# {log.name}:\n# " + log.read_text().replace("\n", "\n# "))
        shutil.rmtree(self.top, ignore_errors=True)

    @staticmethod
    def run(*command, stdin=b"", **more):
        p = subprocess.run([str(c) for c in command], input=stdin, capture_output=True, timeout=120, **more)
        return Result(subprocess.CompletedProcess(command, p.returncode, p.stdout, p.stderr.decode(errors="replace")))

    def start(self, name, *command, **more):
        with open(self.top / f"{name}.log", "ab") as log:
            process = subprocess.Popen([str(c) for c in command], stderr=log, **more)
        self.processes.append(process)
        return process

    def end(self, process):
        if process not in self.processes:
            return None
        self.processes.remove(process)
        if process.stdin:
            process.stdin.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def module(self, name, platform, pcr0, *pcr8):
        """A security module that says these measurements; returns its address."""
        path = self.top / f"{name}.sock"
        self.start(name, MODULE, path, self.top / "pki", platform, pcr0, *pcr8,
                   stdin=subprocess.PIPE)
        wait_for(path.exists, f"{name}'s socket")
        return f"unix:{path}"

    def policy(self, statements):
        (self.home / "policy.json").write_text(json.dumps({"Statement": statements}))

    def dev_kms(self, platform, *options):
        port_file = self.top / "port"
        port_file.unlink(missing_ok=True)
        process = self.start("kms", DEV_KMS, "serve", self.home, "--root", self.top / "pki/root.pem", "--platform", platform,
                             "--port", 0, "--port-file", port_file, *options)
        wait_for(lambda: port_file.exists() or process.poll() is not None, "the development KMS")
        return process, int(port_file.read_text())

    def encrypt(self, secret, *options):
        return self.run(DEV_KMS, "encrypt", self.home, *options, stdin=secret).out

    def proxy(self, config, wait_for_port, **more):
        (self.top / "proxy.conf").write_text(config)
        process = self.start("proxy", PROXY, "--config", self.top / "proxy.conf", **more)
        wait_for(lambda: self.socket(wait_for_port).exists() or process.poll() is not None, "the proxy's socket")
        return process

    def reload(self, process, config):
        """Another configuration, taken into use."""
        log = self.top / "proxy.log"
        before = log.read_text().count("reloaded")
        (self.top / "proxy.conf").write_text(config)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: log.read_text().count("reloaded") > before, "the reload")

    def socket(self, port):
        return self.top / f"e/one/vsock.sock_{port}"

    def proxy_section(self):
        return f"""[proxy]
enclaves = {self.top}/e
audit-file = {self.top}/audit
metrics-file = {self.top}/metrics
connects-per-second = 10000
"""

    def api_section(self, name, port, kms_port, provider="huawei", platform="qingtian", operations=(), more=""):
        operations = operations or {"huawei": ("decrypt-data", "create-datakey", "decrypt-datakey", "gen-random"),
                                    "aws": ("Decrypt", "GenerateDataKey", "GenerateRandom")}[provider]
        return f"""[api {name}]
port = {port}
provider = {provider}
platform = {platform}
region = local-1
{"project = p1" if provider == "huawei" else ""}
endpoint = https://localhost:{kms_port}
ca-file = {self.home}/tls.pem
policy = {self.top}/attest.json
root = {self.top}/pki/root.pem
credentials = file:{self.home}/credentials.json
calls-per-second = 10000
{"".join(f"operation = {o}" + chr(10) for o in operations)}{more}
"""

    def attest_policy(self, *pcr0s):
        (self.top / "attest.json").write_text(json.dumps({"Version": 1, "PcrSets": [{"Name": f"r{i}", "PCR0": p}
                                                                       for i, p in enumerate(pcr0s)]}))

    def qt_kms(self, *arguments, stdin=b"", **more):
        return self.run(QT_KMS, *arguments, stdin=stdin, **more)

    def audit(self):
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in (self.top / "audit").read_text().splitlines()]
        return []

    def metrics(self):
        """{(counter, listener or None): value}; the proxy writes them now and then, and at its end."""
        lines = (self.top / "metrics").read_text().splitlines()
        found = (re.fullmatch(r'qt_kms_proxy_(\w+)(?:\{listener="([^"]+)",mode="\w+"\})? (\d+)', line) for line in lines
                 if line[0] != "#")
        return {(m[1], m[2]): int(m[3]) for m in found}


class WrongServer:
    """Takes a connection, reads a request, and does to it what `act(stream, request)` does. TLS when given a context."""

    def __init__(self, listener, act, context=None):
        self.listener, self.act, self.context = listener, act, context
        listener.settimeout(3600)  # it polls then: a blocked accept() keeps a descriptor's number, which may be a child's
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError, ssl.SSLError, ValueError):
            with (self.context.wrap_socket(connection, server_side=True) if self.context else connection) as stream:
                stream.settimeout(60)
                self.act(stream)
        connection.close()


def read_frame(stream):
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        more = stream.recv(65536)
        if not more:
            raise ValueError("ended")
        data += more
    return json.loads(data[4:])


def send_frame(stream, value):
    data = json.dumps(value).encode()
    stream.sendall(len(data).to_bytes(4, "big") + data)


def read_http(stream):
    data = b""
    while b"\r\n\r\n" not in data:
        more = stream.recv(65536)
        if not more:
            raise ValueError("ended")
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(body) < length:
        body += stream.recv(65536)
    return head.decode(), json.loads(body)


def memory_holds(pid, needle):
    """Whether the process has it where it can write."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            area, rights = line.split()[:2]
            begin, end = (int(x, 16) for x in area.split("-"))
            if rights[:2] != "rw" or end - begin > 1 << 30:  # the sanitizers' shadow
                continue
            with contextlib.suppress(OSError, OverflowError):
                memory.seek(begin)
                if needle in memory.read(end - begin):
                    return True
    return False


def unix_listener(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen(64)
    return s


def tls_server(rig, act):
    """A wrong server with the development KMS's certificate; returns its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(rig.home / "tls.pem", rig.home / "tls.key")
    listener = socket.create_server(("127.0.0.1", 0))
    WrongServer(listener, act, context)
    return listener.getsockname()[1]
