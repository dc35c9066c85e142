# SPDX-License-Identifier: Apache-2.0
"""Credentials from the two metadata services, for the proxy's own calls and for an enclave in pipe mode: fetched with a
token, kept, renewed ahead of their end, missed with a clear word, and handed out only where that was asked for. And what holds for those of
any source: no log, record, counter, argument or environment shows them, and after use the memory does not either."""
import contextlib
import datetime
import http.server
import json
import os
import socket
import threading
import time

from harness import check, done, wait_for
from kms_rig import PCR0, PROXY, Rig, in_hours, memory_holds, read_frame, send_frame

SECRET = b"secret"
ROLES = "/latest/meta-data/iam/security-credentials/"
SESSION = "the-session-token-of-a-test-5d0c"


class Metadata(http.server.BaseHTTPRequestHandler):
    """Both clouds' services; `server.mode` says how it behaves, `server.asked` what was asked."""

    def log_message(self, *_):
        pass

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        self.server.asked.append(f"PUT {self.path}")
        if self.server.mode == "hangs":
            self.server.release.wait(60)
            self.close_connection = True
            return None
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.mode == "old" and "meta-data" in self.path:
            return self.answer(404, "")
        ttl = self.headers.get("X-Metadata-Token-Ttl-Seconds") or self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        return self.answer(200, "a-token") if ttl == "21600" else self.answer(400, "")

    def do_GET(self):
        self.server.asked.append(f"GET {self.path}")
        token = self.headers.get("X-Metadata-Token") or self.headers.get("X-aws-ec2-metadata-token")
        if self.server.mode == "none":
            return self.answer(401, "Please configure Cloud Service Agency first")
        if self.server.forgotten.get(self.path, 0):
            self.server.forgotten[self.path] -= 1
            return self.answer(401, "")
        if token != "a-token" and self.server.mode != "old":
            return self.answer(401, "")
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.server.life)
        keys = self.server.keys
        if self.path == "/openstack/latest/securitykey":
            return self.answer(200, json.dumps({"credential": {
                "access": keys["access_key"], "secret": keys["secret_key"] + ("\n" if self.server.mode == "broken" else ""), "securitytoken": SESSION,
                "expires_at": end.strftime("%Y-%m-%dT%H:%M:%S.000000Z")}}))
        if self.path == "/latest/meta-data/iam/security-credentials/":
            return self.answer(200, "the-role")
        if self.path == "/latest/meta-data/iam/security-credentials/the-role":
            return self.answer(200, json.dumps({
                "Code": "Success", "AccessKeyId": keys["access_key"], "SecretAccessKey": keys["secret_key"],
                "Token": SESSION, "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}))
        return self.answer(404, "")


def ask(path, request):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(str(path))
        send_frame(s, request)
        return read_frame(s)


def one_cloud(rig, server, module, provider, platform, source, ciphertext):
    action = "kms:cmk:decrypt" if provider == "huawei" else "kms:Decrypt"
    rig.policy([{"Effect": "Allow", "Action": action,
                 "Condition": {"StringEqualsIgnoreCase": {"kms:RecipientAttestation/PCR0": PCR0}}}])
    kms, port = rig.dev_kms(platform)
    metadata = f"http://127.0.0.1:{server.server_port}"
    section = rig.api_section("kms", 8001, port, provider, platform).replace(
        f"credentials = file:{rig.home}/credentials.json", f"credentials = {source}\nmetadata = {metadata}")
    proxy = rig.proxy(rig.proxy_section() + section + f"""[pipe tls]
port = 8000
allow = localhost:{port}
private-addresses = yes
[creds some]
port = 8002
enclave = one
credentials = {source}
metadata = {metadata}
[creds others]
port = 8004
enclave = two
credentials = {source}
metadata = {metadata}
""", 8004)
    api = ["--provider", provider, "--proxy", f"unix:{rig.socket(8001)}", "--module", module]
    server.asked.clear()
    for _ in range(3):
        out = rig.qt_kms("decrypt", *api, stdin=ciphertext)
        check(out.out == SECRET, f"{source}: a call with fetched credentials", out)
    check(puts(server) == 1, f"{source}: three calls, fetched once", server.asked)

    pipe = ["--provider", provider, "--mode", "pipe", "--proxy", f"unix:{rig.socket(8000)}", "--region", "r", "--project",
            "p", "--endpoint", f"localhost:{port}", "--ca-file", rig.home / "tls.pem", "--module", module, "--credentials",
            f"unix:{rig.socket(8002)}"]
    out = rig.qt_kms("decrypt", *pipe, stdin=ciphertext)
    check(out.out == SECRET, f"{source}: an enclave in pipe mode with credentials of a creds listener", out)
    answer = ask(rig.socket(8002), {"operation": "credentials"})
    check(answer["credentials"]["security_token"] == SESSION and answer["credentials"]["expires_usec"] > 0,
          f"{source}: they are temporary", answer)
    answer = ask(rig.socket(8001), {"operation": "credentials"})
    check(answer["error"]["name"] == "PermissionDenied", f"{source}: an api listener hands out none", answer)
    try:
        answer = ask(rig.socket(8004), {"operation": "credentials"})
    except (ValueError, OSError):
        answer = None
    check(answer is None, f"{source}: nor does another enclave's listener", answer)
    rig.end(proxy)
    forgotten(rig, server, section, api, source, ciphertext)
    return kms, section


def puts(server):
    return len([a for a in server.asked if a.startswith("PUT")])


def forgotten(rig, server, section, api, source, ciphertext):
    """The service knows its token no more (it started anew): a fresh one is tried, but one only."""
    paths = {"ecs": ["/openstack/latest/securitykey"], "ec2": [ROLES, ROLES + "the-role"]}[source]
    for path, times in [*((p, 1) for p in paths), *((p, 100) for p in paths)]:
        server.forgotten = {path: times}
        server.asked.clear()
        proxy = rig.proxy(rig.proxy_section() + section, 8001)
        out = rig.qt_kms("decrypt", *api, stdin=ciphertext)
        check((out.out == SECRET if times == 1 else out.status == 9 and "401" in out.err) and puts(server) == 2,
              f"{source}: a token refused {times} times at {path} is renewed once", out, server.asked)
        rig.end(proxy)
    server.forgotten = {}


def hanging(rig, section, options, ciphertext):
    """A metadata service that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lines = [line for line in section.splitlines(keepends=True) if not line.startswith("metadata")]
        proxy = rig.proxy(rig.proxy_section() + "".join(lines) +
                          f"metadata = http://127.0.0.1:{silent.getsockname()[1]}\n", 8001)
        out = rig.qt_kms("decrypt", *options, stdin=ciphertext)
        check(out.status == 9 and "does not answer" in out.err, "a metadata service that never answers", out)
        out = rig.qt_kms("decrypt", *options, stdin=ciphertext)
        check(out.status == 9 and "a moment ago" in out.err, "nor does the next call wait for it", out)
        rig.end(proxy)


def hanging_renewal(rig, server):
    """When the service hangs while the kept credentials are good, only the call that renews them waits for it."""
    server.life = 20  # renewed at half time
    proxy = rig.proxy(rig.proxy_section() + f"""[creds some]
port = 8002
enclave = one
credentials = ecs
metadata = http://127.0.0.1:{server.server_port}
""", 8002)
    answers = [ask(rig.socket(8002), {"operation": "credentials"})]
    time.sleep(10.5)
    server.mode = "hangs"
    server.asked.clear()
    first = threading.Thread(target=lambda: answers.append(ask(rig.socket(8002), {"operation": "credentials"})))
    first.start()
    wait_for(lambda: server.asked, "the renewal")
    answer = ask(rig.socket(8002), {"operation": "credentials"})
    check("credentials" in answer and first.is_alive(), hanging_renewal.__doc__, answer)
    first.join(60)
    check(len(answers) == 2 and answers[0] == answers[1] == answer, "and gets them, too, when it has waited long enough", answers)
    server.release.set()
    server.mode, server.life = "good", 3600
    rig.end(proxy)


def shown_nowhere(rig, server, section, options, ciphertext):
    keys = json.loads((rig.home / "credentials.json").read_text())
    secrets = [keys["secret_key"].encode(), SESSION.encode()]
    given = rig.top / "given"
    given.mkdir()
    (given / "kms").write_text(json.dumps(keys))
    (given / "kms").chmod(0o440)
    loaded = section.replace("credentials = ecs", "credentials = credential:kms")
    out = rig.run(PROXY, "--config", rig.top / "loaded.conf", env=without(rig, rig.proxy_section() + loaded))
    check(out.status != 0 and "LoadCredential" in out.err, "without systemd's directory the proxy says what is missing", out)
    environment = {**os.environ, "QT_ENCLAVE_LOG": "debug"}
    for what, text, more, good in (("LoadCredential", loaded, {"CREDENTIALS_DIRECTORY": str(given)}, True),
                                   ("ecs", section, {}, True), ("ecs with a broken answer", section, {}, False)):
        server.mode = "good" if good else "broken"
        proxy = rig.proxy(rig.proxy_section() + text, 8001, env={**environment, **more})
        for _ in range(3):
            out = rig.qt_kms("decrypt", *options, stdin=ciphertext)
            check(out.out == SECRET if good else out.status == 9, f"{what}: at the highest log level, a call", out)
        rig.qt_kms("decrypt", *options, stdin=b"no ciphertext")
        process = [open(f"/proc/{proxy.pid}/{name}", "rb").read() for name in ("cmdline", "environ")]
        check(not any(s in text for s in secrets for text in process), f"{what}: neither arguments nor environment", process)
        if more:
            found = [s for s in secrets if memory_holds(proxy.pid, s)]
            check(memory_holds(proxy.pid, b"debug") and not found, f"{what}: the memory holds them no more after use", found)
        rig.end(proxy)
    server.mode = "good"
    files = [rig.top / "audit", rig.top / "metrics", *rig.top.glob("*.log")]
    shown = [f.name for f in files if any(s in f.read_bytes() for s in secrets)]
    check(len(files) >= 5 and (rig.top / "audit").stat().st_size and not shown, "no log, record or counter shows them", shown)


def without(rig, config):
    (rig.top / "loaded.conf").write_text(config)
    return {k: v for k, v in os.environ.items() if k != "CREDENTIALS_DIRECTORY"}


def renewal(rig, server, section, module, ciphertext):
    server.life = 1  # as good as expired: renewed at each call
    proxy = rig.proxy(rig.proxy_section() + section, 8001)
    options = ["--provider", "huawei", "--proxy", f"unix:{rig.socket(8001)}", "--module", module]
    rig.qt_kms("decrypt", *options, stdin=ciphertext)
    server.life, before = 3600, len(server.asked)
    def again():
        return rig.qt_kms("decrypt", *options, stdin=ciphertext).out == SECRET and len(server.asked) > before
    check(wait_for(again), "short-lived credentials are renewed")
    rig.end(proxy)
    for mode, text in (("none", "agency"), ("old", None)):
        server.mode = mode
        proxy = rig.proxy(rig.proxy_section() + section, 8001)
        out = rig.qt_kms("decrypt", *options, stdin=ciphertext)
        check(out.out == SECRET if text is None else out.status == 9 and text in out.err,
              f"a metadata service that is {mode}", out)
        rig.end(proxy)
    server.mode = "none"
    proxy = rig.proxy(rig.proxy_section() + section, 8001)
    rig.qt_kms("decrypt", *options, stdin=ciphertext)
    before = len(server.asked)
    out = rig.qt_kms("decrypt", *options, stdin=ciphertext)
    check(out.status == 9 and "a moment ago" in out.err and len(server.asked) == before,
          "a metadata service that just failed is not asked again at once", out, server.asked[before:])
    rig.end(proxy)
    server.mode = "good"
    server.shutdown()
    server.server_close()
    proxy = rig.proxy(rig.proxy_section() + section, 8001)
    out = rig.qt_kms("decrypt", *options, stdin=ciphertext)
    check(out.status == 9 and "does not answer" in out.err, "a metadata service that is not there", out)
    rig.end(proxy)


def borrow(path):
    answer = ask(path, {"operation": "credentials"})
    while answer.get("error", {}).get("name") == "LimitExceeded":  # a creds listener is asked once in a while
        time.sleep(0.5)
        answer = ask(path, {"operation": "credentials"})
    return answer


def reloaded(rig, server):
    """What was fetched stays good over a reload, also while the service gives none; that of another source does not."""
    config = rig.proxy_section() + f"""[creds some]
port = 8002
enclave = one
credentials = ecs
metadata = http://127.0.0.1:{server.server_port}
"""
    proxy = rig.proxy(config, 8002)
    first = borrow(rig.socket(8002))
    server.mode = "none"
    server.asked.clear()
    rig.reload(proxy, config.replace("enclave = one\n", "enclave = one\nenclave = two\n"))
    check(first["credentials"] and borrow(rig.socket(8002)) == first and not server.asked, reloaded.__doc__, server.asked)
    rig.reload(proxy, config.replace("127.0.0.1", "localhost"))
    answer = borrow(rig.socket(8002))
    check("agency" in answer.get("error", {}).get("message", "") and server.asked, "and another source is asked anew", answer)
    server.mode = "good"
    rig.end(proxy)


def lent(rig):
    """What a creds listener hands out ends by itself, soon, or it is not handed out; and that once a second, twice at once."""
    file, keys = rig.top / "lent.json", {"access_key": "a", "secret_key": "s"}
    config = rig.proxy_section() + f"[creds lent]\nport = 8005\nenclave = one\ncredentials = file:{file}\n"
    proxy = rig.proxy(config, 8005)
    for more, refusal in (({}, "no token"), ({"security_token": "t"}, "nothing says when"),
                          ({"security_token": "t", "expires_at": in_hours(37)}, "more than 36 hours"),
                          ({"expires_at": in_hours(1)}, "no token"), ({"security_token": "t", "expires_at": in_hours(-1)}, "expired"),
                          ({"security_token": "t", "expires_at": in_hours(35)}, None)):
        file.write_text(json.dumps({**keys, **more}))
        file.chmod(0o600)
        answer = borrow(rig.socket(8005))
        if refusal:
            check(answer.get("error", {}).get("name") == "NoCredentials" and refusal in answer["error"]["message"],
                  f"a creds listener does not hand out what has {refusal}: {sorted(more)}", answer)
        else:
            check(answer.get("credentials", {}).get("access_key") == "a", "and does what ends in time", answer)
    rig.end(proxy)
    proxy = rig.proxy(config, 8005)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(rig.socket(8005)))
        names = []
        for _ in range(4):
            send_frame(s, {"operation": "credentials"})
            names.append(read_frame(s).get("error", {}).get("name"))
    check(names[:2] == [None, None] and "LimitExceeded" in names, "and not more often than it may", names)
    rig.end(proxy)


with Rig() as rig:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    server.mode, server.life, server.asked, server.forgotten = "good", 3600, [], {}
    server.release = threading.Event()
    server.keys = json.loads((rig.home / "credentials.json").read_text())
    (rig.home / "credentials.json").write_text(json.dumps({**server.keys, "security_token": SESSION}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    module = {p: rig.module(p, p, PCR0) for p in ("nitro", "qingtian")}
    rig.attest_policy(PCR0)
    ciphertext = rig.encrypt(SECRET)
    kms, _ = one_cloud(rig, server, module["nitro"], "aws", "nitro", "ec2", ciphertext)
    rig.end(kms)
    for port in (8000, 8001, 8002, 8004):
        with contextlib.suppress(FileNotFoundError):
            rig.socket(port).unlink()
    kms, section = one_cloud(rig, server, module["qingtian"], "huawei", "qingtian", "ecs", ciphertext)
    options = ["--provider", "huawei", "--proxy", f"unix:{rig.socket(8001)}", "--module", module["qingtian"]]
    hanging(rig, section, options, ciphertext)
    hanging_renewal(rig, server)
    reloaded(rig, server)
    lent(rig)
    shown_nowhere(rig, server, section, options, ciphertext)
    renewal(rig, server, section, module["qingtian"], ciphertext)
done()
