# SPDX-License-Identifier: Apache-2.0
"""qt-kms-proxy in pipe mode: real TLS through it, half-close, the gate, limits, reload, audit, counters."""
import contextlib
import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

BUILD = pathlib.Path(os.environ["QT_BUILD_ROOT"])
PROXY = BUILD / "kms-proxy/qt-kms-proxy"
n_points = 0


def point(what, good, *diagnostics):
    global n_points
    n_points += 1
    print(f"{'ok' if good else 'not ok'} {n_points} - {what}", flush=True)
    for line in diagnostics if not good else ():
        print("#", line)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    return condition()


def make_certificate(directory):
    """A certificate for localhost, the one name that every machine resolves."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", directory / "key.pem", "-out", directory / "cert.pem", "-days", "2", "-subj", "/CN=kms",
                    "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True)


class Upstream:
    """TLS server on loopback: answers each connection with the SHA-256 of all it got, after the client's end."""

    def __init__(self, directory):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError, ssl.SSLError):
            with self.context.wrap_socket(connection, server_side=True) as tls:
                digest = hashlib.sha256()
                size = int.from_bytes(tls.recv(8), "big")
                while size:
                    data = tls.recv(min(size, 65536))
                    if not data:
                        return
                    digest.update(data)
                    size -= len(data)
                tls.sendall(digest.digest())


def echo_section(port):
    """A listener of the proxy without TLS, whose destination is on loopback."""
    return f"[pipe echo]\nport = 8002\ntls = no\nallow = localhost:{port}\nprivate-addresses = yes\n"


class Echo:
    """Plain TCP on loopback: echoes, and after the client's end says "bye"."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)
            connection.sendall(b"bye")


class EarlyAnswer:
    """Reads a little, and when `answer` is set, answers and closes with the rest unread: that resets the connection."""

    SIZE = 1040

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.read, self.answer, self.closed = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        connection, _ = self.listener.accept()
        with connection:
            connection.recv(1000)
            self.read.set()
            self.answer.wait(60)
            connection.sendall(bytes(self.SIZE))
        self.closed.set()


class Proxy:
    def __init__(self, root, config, **more):
        self.root, self.config = root, root / "proxy.conf"
        self.config.write_text(config)
        self.log = open(root / "log", "w+")
        self.process = subprocess.Popen([PROXY, "--config", self.config], stderr=self.log, **more)

    def close(self):
        """However the test went; QT_SHOW_LOG shows what the proxy said."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if os.environ.get("QT_SHOW_LOG"):
            print("# " + (self.root / "log").read_text().replace("\n", "\n# "))

    def path(self, enclave, port):
        return self.root / "e" / enclave / f"vsock.sock_{port}"

    def connect(self, enclave, port):
        path = self.path(enclave, port)
        until(path.exists)
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(str(path))
        return s

    def records(self):
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in (self.root / "audit").read_text().splitlines()]
        return []

    def reasons(self):
        return [r["reason"] for r in self.records()]

    def counted(self, name, listener):
        with contextlib.suppress(FileNotFoundError):
            wanted = f'qt_kms_proxy_{name}{{listener="{listener}",mode="pipe"}} '
            for line in (self.root / "metrics").read_text().splitlines():
                if line.startswith(wanted):
                    return int(line.removeprefix(wanted))
        return 0

    def reload(self, config):
        before = len((self.root / "log").read_text())
        self.config.write_text(config)
        self.process.send_signal(signal.SIGHUP)
        return until(lambda: [line for line in (self.root / "log").read_text()[before:].splitlines()
                              if "reloaded" in line or "stays as it was" in line])

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def tls_over(s, root, name):
    context = ssl.create_default_context(cafile=root / "cert.pem")
    return context.wrap_socket(s, server_hostname=name)


def refused(s):
    """The proxy ended the connection."""
    try:
        return s.recv(1) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True


def hello_for(name):
    """What a TLS client says first, without a server."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    if name is None:
        context.check_hostname = False
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def with_hidden_name(hello):
    """The same ClientHello with an encrypted_client_hello extension (RFC 9849) behind its others."""
    extension = b"\xfe\x0d" + (4).to_bytes(2, "big") + b"\0\0\1\0"
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at:at + 2], "big")
    at += 1 + hello[at]

    def longer(data, begin, size):
        value = int.from_bytes(data[begin:begin + size], "big") + len(extension)
        return data[:begin] + value.to_bytes(size, "big") + data[begin + size:]

    return longer(longer(longer(hello, 3, 2), 6, 3), at, 2) + extension


def check_tls(proxy, root):
    with tls_over(proxy.connect("one", 8000), root, "localhost") as tls:
        payload = os.urandom(3 << 20)
        tls.sendall(len(payload).to_bytes(8, "big") + payload)
        point("3 MiB through TLS that ends at the server, name checked end to end",
              tls.recv(64) == hashlib.sha256(payload).digest())
    s = proxy.connect("one", 8000)
    hello = hello_for("localhost")
    for byte in hello:
        s.send(bytes([byte]))
    point("a ClientHello that arrives byte by byte is understood", s.recv(5)[:1] == b"\x16")
    s.close()
    s = proxy.connect("one", 8000)
    s.sendall(hello.replace(b"localhost", b"LocalHOST"))
    point("a name in upper case is the same name", s.recv(5)[:1] == b"\x16")
    s.close()
    until(lambda: len(proxy.records()) == 3)


def check_gate(proxy, port):
    rows = [("a name that no rule allows", hello_for("other.localhost"), "not-allowed"),
            ("no server name", hello_for(None), "no-server-name"),
            ("a name with a dot at its end", hello_for("localhost."), "bad-server-name"),
            ("a hidden name (ECH)", with_hidden_name(hello_for("localhost")), "encrypted-client-hello"),
            ("not TLS", b"GET / HTTP/1.1\r\n\r\n", "not-tls"),
            ("a private address without the mark", hello_for("localhost"), "private-address")]
    whole = hello_for("localhost")
    split = whole[:3] + (30).to_bytes(2, "big") + whole[5:35] + whole[:3] + (len(whole) - 35).to_bytes(2, "big") + whole[35:]
    rows.append(("a ClientHello over two records", split, "fragmented-client-hello"))
    rows.append(("a second ClientHello behind the first", whole + hello_for("other.localhost"), "bytes-behind-client-hello"))
    for what, data, reason in rows:
        before = len(proxy.records())
        s = proxy.connect("one", 8001 if reason == "private-address" else 8000)
        s.sendall(data)
        gone = refused(s)
        s.close()
        until(lambda: len(proxy.records()) > before)
        point(f"refused and recorded: {what}", gone and proxy.reasons()[before:] == [reason], proxy.records()[before:])
        if reason == "private-address":
            address = proxy.records()[-1].get("address", "")
            point("with the address", address.endswith(f":{port}"), address)


def check_counters_of_an_open_connection(proxy):
    with proxy.connect("two", 8002) as s:
        s.sendall(bytes(5000))
        left = 5000
        while left:
            left -= len(s.recv(left))
        found = until(lambda: proxy.counted("sent_bytes_total", "echo"))
        received = proxy.counted("received_bytes_total", "echo")
        point("bytes are counted when they pass, not when the connection ends", (found, received) == (5000, 5000), found, received)


def check_plain(proxy):
    with proxy.connect("two", 8002) as s:
        s.sendall(b"hello")
        echoed = s.recv(5)
        s.shutdown(socket.SHUT_WR)
        rest = b"".join(iter(lambda: s.recv(64), b""))
        point("half-close is kept: after our end the other side still speaks", (echoed, rest) == (b"hello", b"bye"),
              (echoed, rest))
    with proxy.connect("two", 8002) as s:
        payload = os.urandom(8 << 20)
        sender = threading.Thread(target=lambda: (s.sendall(payload), s.shutdown(socket.SHUT_WR)))
        sender.start()
        got = b"".join(iter(lambda: s.recv(65536), b""))
        sender.join()
        point("8 MiB both ways at once are the same bytes", got == payload + b"bye", len(got))


def check_early_answer(proxy, early):
    """While the proxy is stopped the answer, the reset behind it and more from the client come together."""
    with proxy.connect("two", 8004) as s:
        s.sendall(bytes(2000))
        early.read.wait(60)
        proxy.process.send_signal(signal.SIGSTOP)
        until(lambda: pathlib.Path(f"/proc/{proxy.process.pid}/stat").read_text().rpartition(") ")[2][0] == "T")
        s.sendall(bytes(2000))
        early.answer.set()
        early.closed.wait(60)
        until(lambda: f":{early.port:04X} 01 " not in pathlib.Path("/proc/net/tcp").read_text())
        proxy.process.send_signal(signal.SIGCONT)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while data := s.recv(65536):
                got += data
        point("an answer that came before a reset arrives, though the client goes on sending", len(got) == early.SIZE, len(got))
    until(lambda: "reset" in proxy.reasons())
    point("and the record says that it was reset", "reset" in proxy.reasons())


def check_enclaves(proxy, root):
    (root / "three").mkdir()
    (root / "three/.vsock.sock_8002~").write_text("what a proxy that was killed left behind")
    (root / "three").rename(root / "e/three")
    with proxy.connect("three", 8002) as s:
        s.sendall(b"x")
        point("an enclave that comes later is served", s.recv(1) == b"x")
    until(lambda: len(list((root / "e/three").iterdir())) == 4)
    names = sorted(p.name for p in (root / "e/three").iterdir())
    point("and nothing of its sockets' making is left", names == [f"vsock.sock_{port}" for port in (8000, 8001, 8002, 8004)], names)
    until(lambda: any(r["enclave"] == "three" for r in proxy.records()))
    point("and recorded under its own name", any(r["enclave"] == "three" for r in proxy.records()))
    shutil.rmtree(root / "e/three")
    (root / "e/three").mkdir()
    with proxy.connect("three", 8002) as s:
        s.sendall(b"y")
        point("and again after it ended and came back", s.recv(1) == b"y")


def check_limits(proxy):
    open_ones = [proxy.connect("two", 8002) for _ in range(8)]
    for s in open_ones:
        s.sendall(b"x")
    served = all(s.recv(1) == b"x" for s in open_ones)
    ninth = proxy.connect("two", 8002)
    point("the ninth connection of one enclave is refused", served and refused(ninth))
    with proxy.connect("one", 8002) as s:
        s.sendall(b"z")
        point("another enclave is not touched by that", s.recv(1) == b"z")
    for s in [*open_ones, ninth]:
        s.close()
    point("recorded as a limit", "connections-per-enclave-limit" in proxy.reasons())
    silent = proxy.connect("one", 8000)
    gone = refused(silent)
    until(lambda: "handshake-timeout" in proxy.reasons())
    point("a client that says nothing is let go", gone and "handshake-timeout" in proxy.reasons())


def check_hour(proxy, config):
    """By now enclave "two" has used 16 MiB, "three" a few bytes."""
    proxy.reload(config.replace("[proxy]", "[proxy]\nbytes-per-hour = 4194304"))
    with proxy.connect("two", 8002) as s:
        point("an enclave that used up its bytes of the hour is refused", refused(s))
    until(lambda: "bytes-per-hour-limit" in proxy.reasons())
    with proxy.connect("three", 8002) as s:
        s.sendall(b"x")
        point("another one is served", s.recv(1) == b"x")
        with contextlib.suppress(OSError):
            threading.Thread(target=lambda: swallow(s), daemon=True).start()
            for _ in range(80):
                s.sendall(bytes(65536))
    ends = until(lambda: [r for r in proxy.records() if r["reason"] == "bytes-per-hour-limit" and r["enclave"] == "three"])
    point("and cut off in the middle when it has used up its own", ends and ends[0]["bytes_out"] > 0, ends)
    proxy.reload(config)
    with proxy.connect("two", 8002) as s:
        s.sendall(b"x")
        point("and both are served where no limit is set", s.recv(1) == b"x")


def swallow(s):
    with contextlib.suppress(OSError):
        while s.recv(65536):
            pass


def check_reload(proxy, config):
    with proxy.connect("two", 8002) as s:
        s.sendall(b"a")
        s.recv(1)
        bad = proxy.reload(config.replace("port = 8002", "port = none"))
        point("an invalid configuration changes nothing and says the line",
              bad and "stays as it was" in bad[0] and "proxy.conf:" in bad[0], bad)
        bad = proxy.reload(config.replace("[proxy]", "[proxy]\ndaemon = /run/nobody"))
        point("nor does one that changes what only a restart can, and it says which key",
              bad and "daemon changes only by a restart: it was none and is now /run/nobody" in bad[0], bad)
        good = proxy.reload(config.replace("port = 8002", "port = 8003"))
        point("a valid one is taken", good and "reloaded" in good[0], good)
        s.sendall(b"b")
        point("a connection from before goes on", s.recv(1) == b"b")
    with proxy.connect("two", 8003) as s:
        s.sendall(b"c")
        point("the new port answers", s.recv(1) == b"c")
    try:
        proxy.connect("two", 8002).close()
        point("the old port does not", False)
    except OSError:
        point("the old port does not", True)


def check_descriptors(root, echo):
    """With no descriptor left the proxy waits instead of spinning or dying, keeps what it listens on, and serves again when
    there are some."""
    (root / "few/e/one").mkdir(parents=True)
    (root / "few/e/two").mkdir()
    (root / "few/proxy.conf").write_text("")
    proxy = Proxy(root / "few", f"""[proxy]
enclaves = {root}/few/e
handshake-timeout = 60s
[pipe kms]
port = 8000
allow = localhost:{echo.port}
{echo_section(echo.port)}""", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    try:
        many = [proxy.connect("one", 8000) for _ in range(40)]
        log = until(lambda: "Too many open files" in (root / "few/log").read_text())
        time.sleep(1)
        said = (root / "few/log").read_text().count("Too many open files")
        point("out of descriptors it says so once in a while", log and said <= 3, said)
        log = (root / "few/log").read_text()
        point("and at the start that so many connections cannot be", "connections = 4096 may take twice as many" in log, log)
        sockets = [proxy.path(name, 8002) for name in ("one", "two")] + [proxy.path("two", 8000)]
        inodes = [path.stat().st_ino for path in sockets]
        (root / "few/e/three").mkdir()  # it looks at the directory at once
        time.sleep(1)
        there = [path.stat().st_ino for path in sockets if path.exists()]
        point("meanwhile no enclave loses its socket", there == inodes and not proxy.path("three", 8002).exists(), there, inodes)
        for s in many:
            s.close()

        def served():
            with contextlib.suppress(OSError), proxy.connect("one", 8002) as s:
                s.sendall(b"x")
                return s.recv(1) == b"x"

        point("and serves again when there are some", until(served))
        point("the enclave that came meanwhile too", until(proxy.path("three", 8002).exists))
        proxy.end()
    finally:
        if proxy.process.poll() is None:
            proxy.process.kill()
            proxy.process.wait()


def check_audit(proxy, root):
    verify = [PROXY, "audit", "verify", root / "audit"]
    out = subprocess.run(verify, capture_output=True, text=True)
    point("audit verify finds the chain unbroken", out.returncode == 0 and "unbroken" in out.stdout, out.stderr)
    head = out.stdout.split()[-1]
    for given, status in ((head, 0), (head.upper(), 0), ("0" * 64, 1), (head[1:], 2), ("head", 2)):
        out = subprocess.run([*verify, "--head", given], capture_output=True, text=True)
        point(f"with --head {given[:8]}: {status}", out.returncode == status, out)
    lines = (root / "audit").read_text().splitlines(keepends=True)
    earlier = hashlib.sha256(lines[1].rstrip("\n").encode()).hexdigest()
    out = subprocess.run([*verify, "--head", earlier], capture_output=True, text=True)
    point("a head of an earlier time, and what followed it",
          out.returncode == 0 and out.stdout.startswith(f"{len(lines) - 2} records follow"), out)
    (root / "audit").write_text("".join(lines[:2] + lines[3:]))
    out = subprocess.run(verify, capture_output=True, text=True)
    point("and says where a record was taken out", out.returncode == 1 and ":3:" in out.stderr, out.stderr)
    metrics = dict(line.split(" ") for line in (root / "metrics").read_text().splitlines() if not line.startswith("#"))
    counted = proxy.counted
    point("the counters counted, each for its listener",
          counted("connections_total", "echo") > 10 and counted("refused_total", "kms") > 4 and
          counted("refused_total", "public") == 1 and counted("timeouts_total", "kms") == 1 and
          counted("sent_bytes_total", "public") < 4096 < 8 << 20 <= counted("sent_bytes_total", "echo") and
          [counted("connections", name) for name in ("kms", "public", "echo")] == [0, 0, 0] and
          int(metrics["qt_kms_proxy_reloads_total"]) == 3 and int(metrics["qt_kms_proxy_reload_failures_total"]) == 2, metrics)


def main():
    root = pathlib.Path(tempfile.mkdtemp(prefix="qt-kp."))
    proxy = None
    try:
        make_certificate(root)
        upstream, echo, early = Upstream(root), Echo(), EarlyAnswer()
        (root / "e/one").mkdir(parents=True)
        (root / "e/two").mkdir()
        config = f"""[proxy]
enclaves = {root}/e
audit-file = {root}/audit
metrics-file = {root}/metrics
connections-per-enclave = 8
connects-per-second = 1000
handshake-timeout = 2s
[pipe kms]
port = 8000
allow = localhost:{upstream.port}
private-addresses = yes
[pipe public]
port = 8001
allow = localhost:{upstream.port}
{echo_section(echo.port)}[pipe early]
port = 8004
tls = no
allow = localhost:{early.port}
private-addresses = yes
"""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        proxy = Proxy(root, config, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard)))
        until(proxy.path("one", 8000).exists)
        limits = resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)
        point("the limit of descriptors is raised to what is allowed", limits == (hard, hard), limits)
        check_tls(proxy, root)
        check_gate(proxy, upstream.port)
        check_counters_of_an_open_connection(proxy)
        check_plain(proxy)
        check_early_answer(proxy, early)
        check_enclaves(proxy, root)
        check_limits(proxy)
        check_hour(proxy, config)
        check_reload(proxy, config)
        point("SIGTERM ends it well", proxy.end() == 0)
        check_audit(proxy, root)
        check_descriptors(root, echo)
        print(f"1..{n_points}")
    finally:
        if proxy:
            proxy.close()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
