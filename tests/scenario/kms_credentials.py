# SPDX-License-Identifier: Apache-2.0
"""Credentials from the two metadata services, for the proxy's own calls and for an enclave in pipe mode: fetched with a
token, kept, renewed ahead of their end, missed with a clear word, and handed out only where that was asked for."""
import contextlib
import datetime
import http.server
import json
import socket
import threading

from harness import check, done, wait_for
from kms_rig import PCR0, Rig, read_frame, send_frame

SECRET = b"secret"


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
        if token != "a-token" and self.server.mode != "old":
            return self.answer(401, "")
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.server.life)
        keys = self.server.keys
        if self.path == "/openstack/latest/securitykey":
            return self.answer(200, json.dumps({"credential": {
                "access": keys["access_key"], "secret": keys["secret_key"], "securitytoken": "a-session",
                "expires_at": end.strftime("%Y-%m-%dT%H:%M:%S.000000Z")}}))
        if self.path == "/latest/meta-data/iam/security-credentials/":
            return self.answer(200, "the-role")
        if self.path == "/latest/meta-data/iam/security-credentials/the-role":
            return self.answer(200, json.dumps({
                "Code": "Success", "AccessKeyId": keys["access_key"], "SecretAccessKey": keys["secret_key"],
                "Token": "a-session", "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}))
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
    fetched = len([a for a in server.asked if a.startswith("PUT")])
    check(fetched == 1, f"{source}: three calls, fetched once", server.asked)

    pipe = ["--provider", provider, "--mode", "pipe", "--proxy", f"unix:{rig.socket(8000)}", "--region", "r", "--project",
            "p", "--endpoint", f"localhost:{port}", "--ca-file", rig.home / "tls.pem", "--module", module, "--credentials",
            f"unix:{rig.socket(8002)}"]
    out = rig.qt_kms("decrypt", *pipe, stdin=ciphertext)
    check(out.out == SECRET, f"{source}: an enclave in pipe mode with credentials of a creds listener", out)
    answer = ask(rig.socket(8002), {"operation": "credentials"})
    check(answer["credentials"]["security_token"] == "a-session" and answer["credentials"]["expires_usec"] > 0,
          f"{source}: they are temporary", answer)
    answer = ask(rig.socket(8001), {"operation": "credentials"})
    check(answer["error"]["name"] == "PermissionDenied", f"{source}: an api listener hands out none", answer)
    try:
        answer = ask(rig.socket(8004), {"operation": "credentials"})
    except (ValueError, OSError):
        answer = None
    check(answer is None, f"{source}: nor does another enclave's listener", answer)
    rig.end(proxy)
    return kms, section


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


with Rig() as rig:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    server.mode, server.life, server.asked = "good", 3600, []
    server.keys = json.loads((rig.home / "credentials.json").read_text())
    (rig.home / "credentials.json").write_text(json.dumps({**server.keys, "security_token": "a-session"}))
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
    renewal(rig, server, section, module["qingtian"], ciphertext)
done()
