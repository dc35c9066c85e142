# SPDX-License-Identifier: Apache-2.0
"""Attested calls end to end with real programs: qt-kms, qt-kms-proxy in both modes, and a KMS that enforces PCR policy.

The security module is the real one on a socket of its own; no virtual machine is needed for what is shown here.
"""
import hashlib
import json
import os
import socket
import subprocess
import threading

from harness import check, done, wait_for
from kms_rig import (OTHER_PCR0, PCR0, QT_KMS, Rig, allow, huawei_statements, read_frame, read_http, send_frame, tls_server)

SECRET = b"the secret of the enclave\n"


def aws_statements(pcr0):
    return [allow(["kms:Decrypt", "kms:GenerateDataKey", "kms:GenerateRandom"], pcr0,
                  "kms:RecipientAttestation:ImageSha384")]


def pipe_section(port, kms_port):
    return f"""[pipe tls]
port = {port}
allow = localhost:{kms_port}
private-addresses = yes
"""


def bound(rig, what, options, datakey_options, more):
    """A ciphertext opens in its own context only: whoever serves another one, or this one elsewhere, is found out."""
    live, test = rig.encrypt(SECRET, "--context", "app=wallet,stage=live"), rig.encrypt(b"other", "--context", "stage=test")
    out = rig.qt_kms("decrypt", *options, "--context", "app=wallet,stage=live", stdin=live, **more)
    check(out.status == 0 and out.out == SECRET, what + "a ciphertext opens in its context", out)
    for why, context, given in (("another context", ["--context", "app=wallet,stage=test"], live), ("no context", [], live),
                                ("a substituted ciphertext", ["--context", "app=wallet,stage=live"], test),
                                ("one without context", ["--context", "stage=test"], rig.encrypt(b"other"))):
        out = rig.qt_kms("decrypt", *options, *context, stdin=given, **more)
        check(out.status == 1 and not out.out and "another context" in out.err, what + "and not with " + why, out)
    wrapped = rig.top / "bound"
    made = rig.qt_kms("datakey", *datakey_options, "--key-id", "dev-key", "--context", "a=b", "--wrapped-file", wrapped, **more)
    again = rig.qt_kms("datakey", *datakey_options, "--key-id", "dev-key", "--context", "a=b", wrapped, **more)
    wrong = rig.qt_kms("datakey", *datakey_options, "--key-id", "dev-key", "--context", "a=c", wrapped, **more)
    check(made.out and again.out == made.out and wrong.status == 1 and not wrong.out,
          what + "a data key is bound to its context likewise", made, again, wrong)


def debug_allowed(provider, platform, statements):
    """A debug enclave's PCRs are zero: proxy and KMS each have to be told to take it."""
    with Rig() as rig:
        debug, other = rig.module("debug", platform, "debug"), rig.module("other", platform, OTHER_PCR0)
        rig.policy(statements("0" * 96))
        rig.attest_policy(PCR0)
        _, port = rig.dev_kms(platform, "--allow-debug")
        rig.proxy(rig.proxy_section() + rig.api_section("laboratory", 8001, port, provider, platform,
                                                        more="insecure-allow-debug = yes\n")
                  + rig.api_section("kms", 8002, port, provider, platform), 8002)
        ciphertext = rig.encrypt(SECRET)
        for module, to, served, what in ((debug, 8001, True, "insecure-allow-debug takes a debug enclave"),
                                         (debug, 8002, False, "without it a KMS that would is not even asked"),
                                         (other, 8001, False, "another image is refused as ever")):
            out = rig.qt_kms("decrypt", "--provider", provider, "--proxy", f"unix:{rig.socket(to)}", "--module", module, stdin=ciphertext)
            check(out.status == 0 and out.out == SECRET if served else out.status == 1 and not out.out and "document is refused" in out.err,
                  f"{provider}: {what}", out)


def with_provider(provider, platform, statements):
    with Rig() as rig:
        module = rig.module("good", platform, PCR0)
        other = rig.module("other", platform, OTHER_PCR0)
        debug = rig.module("debug", platform, "debug")
        rig.policy(statements(PCR0))
        rig.attest_policy(PCR0, OTHER_PCR0)
        _, kms_port = rig.dev_kms(platform)
        rig.proxy(rig.proxy_section() + rig.api_section("kms", 8001, kms_port, provider, platform) +
                  pipe_section(8000, kms_port), 8001)
        api = ["--provider", provider, "--proxy", f"unix:{rig.socket(8001)}"]
        keys = json.loads((rig.home / "credentials.json").read_text())
        names = {"huawei": ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"),
                 "aws": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}[provider]
        environment = {names[0]: keys["access_key"], names[1]: keys["secret_key"]}
        pipe = ["--provider", provider, "--mode", "pipe", "--proxy", f"unix:{rig.socket(8000)}", "--region", "local-1",
                "--project", "p1", "--endpoint", f"localhost:{kms_port}", "--ca-file", rig.home / "tls.pem",
                "--credentials", "environment"]
        ciphertext = rig.encrypt(SECRET)
        for mode, options, more in (("api", api, {}), ("pipe", pipe, {"env": environment})):
            what = f"{provider}, {mode} mode: "
            out = rig.qt_kms("decrypt", *options, "--module", module, stdin=ciphertext, **more)
            check(out.status == 0 and out.out == SECRET, what + "the measured enclave decrypts", out)
            out = rig.qt_kms("decrypt", *options, "--module", other, stdin=ciphertext, **more)
            check(out.status == 1 and not out.out and "policy denies" in out.err,
                  what + "another measurement is refused by the KMS", out)
            out = rig.qt_kms("decrypt", *options, "--module", debug, stdin=ciphertext, **more)
            check(out.status == 1 and not out.out and "debug" in out.err, what + "a debug enclave is refused", out)
            out = rig.qt_kms("decrypt", *options, "--module", module, stdin=b"AAAA", **more)
            check(out.status == 1 and not out.out, what + "what is no ciphertext is refused", out)
            wrapped = rig.top / f"wrapped-{mode}"
            accept = ["--accept-unauthenticated"] if mode == "api" else []
            out = rig.qt_kms("datakey", *options, *accept, "--module", module, "--key-id", "dev-key", "--bytes", 48,
                             "--wrapped-file", wrapped, **more)
            check(out.status == 0 and len(out.out) == 48, what + "a data key", out)
            again = rig.qt_kms("datakey", *options, *accept, "--module", module, "--key-id", "dev-key", "--bytes", 48, wrapped, **more)
            check(again.status == 0 and again.out == out.out, what + "and the same out of its wrapped form", again)
            bound(rig, what, [*options, "--module", module], [*options, *accept, "--module", module], more)
            first, second = (rig.qt_kms("random", *options, "--module", module, "--bytes", 64, **more) for _ in range(2))
            check(len(first.out) == 64 == len(second.out) and first.out != second.out, what + "random bytes", first)
        yield rig, module, api, pipe, environment, ciphertext, kms_port


def qingtian():
    for rig, module, api, pipe, environment, ciphertext, kms_port in with_provider("huawei", "qingtian", huawei_statements):
        out = rig.qt_kms("datakey", *api, "--module", module, "--key-id", "dev-key", "--wrapped-file", rig.top / "refused")
        check(out.status == 2 and "substitute" in out.err, "a new data key in api mode has to be asked for", out)
        digest = hashlib.sha256(SECRET).hexdigest()
        out = rig.qt_kms("decrypt", *api, "--module", module, "--expect-sha256", digest, stdin=ciphertext)
        check(out.out == SECRET, "a secret with the expected hash is taken", out)
        out = rig.qt_kms("decrypt", *api, "--module", module, "--expect-sha256", "00" * 32, stdin=ciphertext)
        check(out.status == 4 and not out.out, "and any other is not", out)
        out = rig.qt_kms("decrypt", *pipe[:-4], "--ca-file", "/etc/ssl/certs/ca-certificates.crt", "--credentials",
                         "environment", "--module", module, stdin=ciphertext, env=environment)
        check(out.status in (3, 9) and not out.out, "a KMS that the image's CA file does not vouch for is not talked to", out)
        wrong = dict.fromkeys(environment, "wrong")
        out = rig.qt_kms("decrypt", *pipe, "--module", module, stdin=ciphertext, env=wrong)
        check(out.status == 1 and "signature" in out.err, "a request with a wrong signature is refused", out)
        read = rig.top / "read"
        with open(read, "wb") as file:
            out = rig.qt_kms("decrypt", *api, "--module", module, "--output-fd", file.fileno(), stdin=ciphertext,
                             pass_fds=[file.fileno()])
        check(out.out == b"" and read.read_bytes() == SECRET, "the secret goes to a descriptor of one's choice", out)
        host = pipe.index("--endpoint") + 1
        for endpoint, status in ((f"https://{pipe[host]}", 0), (f"http://{pipe[host]}", 2), (f"https://{pipe[host]}/v1", 2),
                                 ("https://", 2)):
            out = rig.qt_kms("decrypt", *pipe[:host], endpoint, *pipe[host + 1:], "--module", module, stdin=ciphertext, env=environment)
            check(out.status == status and out.out == (b"" if status else SECRET) and ("must be HOST" in out.err) == (status == 2),
                  f"the endpoint {endpoint}", out)
        out = rig.qt_kms("decrypt", *api, "--module", f"unix:{rig.top}/none", stdin=ciphertext)
        check(out.status == 9 and "AttestationUnavailable" in out.err, "no security module is told from no KMS", out)
        for i in range(4, len(pipe), 2):
            name = pipe[i][2:]
            if name in ("proxy", "mode"):
                continue
            out = rig.qt_kms("decrypt", *api, "--module", module, pipe[i], pipe[i + 1], stdin=ciphertext)
            check(out.status == 2 and not out.out and f"{name} is for pipe mode" in out.err, f"--{name} without pipe mode", out)
        outputs(rig, api, module, ciphertext)
        audit(rig)


def outputs(rig, api, module, ciphertext):
    """Where the secret goes is looked at before a call is spent, and what a failure leaves behind is nothing."""
    calls, w, missing = len(rig.audit()), rig.top / "w", rig.top / "missing/w"
    options = [*api, "--module", module]
    datakey = ["datakey", *options, "--key-id", "dev-key", "--accept-unauthenticated"]
    with open("/dev/null") as unwritable:
        for what, status, text, command in (
                ("no number", 2, "--output-fd", ["decrypt", *options, "--output-fd", "zz"]),
                ("a descriptor that is not open", 12, "descriptor 99", ["decrypt", *options, "--output-fd", 99]),
                ("one for reading", 12, "not open for writing", ["decrypt", *options, "--output-fd", unwritable.fileno()]),
                ("two of them", 2, "one place", ["decrypt", *options, "--output-fd", 1, "--output-file", rig.top / "o"]),
                ("a directory that is not there", 12, "missing", ["decrypt", *options, "--output-file", missing]),
                ("a directory", 12, "no regular file", ["decrypt", *options, "--output-file", rig.top]),
                ("no hash", 2, "64 hexadecimal", ["decrypt", *options, "--expect-sha256", "zz"]),
                ("the hash of what is new", 2, "nobody knows", ["random", *options, "--expect-sha256", "00" * 32]),
                ("no wrapped file", 2, "--wrapped-file", datakey),
                ("a wrapped file that cannot be", 12, "missing", [*datakey, "--wrapped-file", missing]),
                ("a wrapped file of what has none", 2, "new data key", ["decrypt", *options, "--wrapped-file", w]),
                ("no place for the key", 12, "descriptor 99", [*datakey, "--wrapped-file", w, "--output-fd", 99])):
            out = rig.qt_kms(*command, stdin=ciphertext, pass_fds=[unwritable.fileno()])
            check(out.status == status and text in out.err and not out.out and not w.exists(), "before the call: " + what, out)
    check(len(rig.audit()) == calls, "for which none was made", rig.audit()[calls:])
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "wb") as full:
        for what, fd in (("a reader that has gone", writer), ("a full device", full.fileno())):
            out = rig.qt_kms(*datakey, "--wrapped-file", w, "--output-fd", fd, pass_fds=[fd])
            check(out.status == 12 and not w.exists(), f"after it: {what} has no wrapped form left behind", out)
    os.close(writer)
    wait_for(lambda: len(rig.audit()) == calls + 2, "the records of both calls")


def audit(rig):
    wait_for(lambda: any(r.get("http_status") == 403 for r in rig.audit()), "the audit records")
    calls = [r for r in rig.audit() if r.get("operation")]
    good = [r for r in calls if r["verdict"] == "allowed"]
    check(good and all(r["pcr0"] == PCR0[:16] and len(r["document_sha256"]) == 64 and r["enclave"] == "one" and
                       r["http_status"] == 200 and r["request_id"].startswith("dev-") for r in good),
          "every call left a record of who asked for what with which document", calls[:3])
    text = (rig.top / "audit").read_text() + (rig.top / "proxy.log").read_text()
    secrets = [v for v in json.loads((rig.home / "credentials.json").read_text()).values()]
    check(not any(s in text for s in [*secrets, SECRET.decode().strip()]), "no secret is in audit or log")


def proxy_rules():
    """What the proxy refuses before a call is spent."""
    with Rig() as rig:
        module = rig.module("good", "qingtian", PCR0)
        other = rig.module("other", "qingtian", OTHER_PCR0)
        rig.policy(huawei_statements(PCR0))
        rig.attest_policy(PCR0)
        kms, kms_port = rig.dev_kms("qingtian")
        proxy = rig.proxy(rig.proxy_section() +
                          rig.api_section("kms", 8001, kms_port, operations=["decrypt-data"], more="key = dev-key\n") +
                          rig.api_section("dead", 8002, 1), 8002)
        ciphertext = rig.encrypt(SECRET)
        options = ["--proxy", f"unix:{rig.socket(8001)}", "--module"]
        rows = [("a measurement outside the proxy's policy", ["decrypt", *options, other, "--key-id", "dev-key"], 1,
                 "pcr-mismatch"),
                ("an operation that is not allowed", ["random", *options, module], 8, "not allowed"),
                ("a key that is not allowed", ["decrypt", *options, module, "--key-id", "other"], 8, "not allowed"),
                ("no key where keys are listed", ["decrypt", *options, module], 8, "name its key"),
                ("a KMS that does not answer", ["decrypt", "--proxy", f"unix:{rig.socket(8002)}", "--module", module], 9,
                 "localhost")]
        for what, command, status, text in rows:
            out = rig.qt_kms(*command, stdin=ciphertext)
            check(out.status == status and text in out.err and not out.out, "refused: " + what, out)
        out = rig.qt_kms("decrypt", *options, module, "--key-id", "dev-key", stdin=ciphertext)
        check(out.out == SECRET, "and the one allowed call is made", out)
        (rig.home / "credentials.json").chmod(0o644)
        out = rig.qt_kms("decrypt", *options, module, "--key-id", "dev-key", stdin=ciphertext)
        check(out.status == 9 and "chmod 600" in out.err, "credentials that others can read are not used", out)
        check(rig.end(proxy) == 0 and rig.end(kms) == 0, "proxy and KMS end well")
        metrics = rig.metrics()
        check([(metrics["documents_refused_total", name], metrics["calls_total", name], metrics["calls", name])
               for name in ("kms", "dead")] == [(1, 6, 0), (0, 1, 0)] and metrics["failed_total", "dead"] == 1,
              "the counters say so, listener by listener", metrics)


def answered_key():
    """What the request says of its key is the enclave's word; that of the answer decides, and is recorded."""
    arn = "arn:aws:kms:r:1:key/"
    decrypt, datakey = ["decrypt"], ["datakey", "--accept-unauthenticated", "--wrapped-file", "new"]
    unwrap = ["datakey", "--accept-unauthenticated", "wrapped"]
    for provider, platform, member, envelope, rows in (
            ("huawei", "qingtian", "key_id", "ciphertext_recipient",
             [(decrypt, "listed", True), (decrypt, "other", False), (decrypt, None, False), (decrypt, ["listed"], False),
              (datakey, "listed", True), (datakey, None, False), (unwrap, None, True), (unwrap, "other", False), (["random"], None, True)]),
            ("aws", "nitro", "KeyId", "CiphertextForRecipient",
             [(decrypt, "listed", True), (decrypt, arn + "listed", True), (decrypt, arn + "other", False),
              (decrypt, "key/listed", False), (decrypt, None, False), (datakey, 5, False), (["random"], None, True)])):
        answers = iter(rows)

        def act(stream):
            read_http(stream)
            name = next(answers)[1]
            text = json.dumps({**({member: name} if name else {}), envelope: "AAAA"})
            stream.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())

        with Rig() as rig:
            module = rig.module("good", platform, PCR0)
            rig.attest_policy(PCR0)
            rig.proxy(rig.proxy_section() +
                      rig.api_section("kms", 8001, tls_server(rig, act), provider, platform, more="key = listed\n"), 8001)
            (rig.top / "wrapped").write_bytes(b"00")
            for (command, *more), name, accepted in rows:
                more = [rig.top / m if m in ("new", "wrapped") else m for m in more]
                out = rig.qt_kms(command, "--provider", provider, "--proxy", f"unix:{rig.socket(8001)}", "--module", module,
                                 *([] if command == "random" else ["--key-id", "listed"]), *more, stdin=rig.encrypt(SECRET))
                last = rig.audit()[-1]
                check(last["address"].startswith("127.0.0.1:") and last["bytes_out"] > 1000 and 0 < last["bytes_in"] < 500,
                      f"{provider}: with the address and the bytes both ways", last)
                # An accepted answer does not open, as its envelope is none.
                refused = out.status == 8 and ("the KMS used key" if isinstance(name, str) else "does not say which key") in out.err
                key = name if isinstance(name, str) else None if command == "random" else "listed"
                check((out.status == 4 if accepted else refused) and not out.out and last.get("key_id") == key and
                      last["verdict"] == ("allowed" if accepted else "refused"),
                      f"{provider}: an answer to {command} of the key {name}, where one is listed", out, last)


def rules_of_now():
    """A connection may live long; a rule that was taken back holds for its next call, and only for that."""
    with Rig() as rig, socket.socket(socket.AF_UNIX) as s:
        rig.attest_policy(PCR0)
        rig.module("good", "qingtian", PCR0)
        config = rig.proxy_section() + rig.api_section("kms", 8001, 1)
        proxy = rig.proxy(config, 8001)
        s.connect(str(rig.socket(8001)))

        def ask():
            send_frame(s, {"operation": "gen-random", "body": {}, "document": "AAAA"})
            return read_frame(s)["error"]

        before = ask()
        rig.reload(proxy, config.replace("operation = gen-random\n", ""))
        after = ask()
        check("document" in before["message"] and "not allowed" in after["message"],
              "an operation taken back by a reload is refused on a connection from before", before, after)
        rig.reload(proxy, config.replace("[api kms]", "[api kms]\nenclave = two"))
        try:
            gone = ask()
        except (ValueError, OSError) as ended:
            gone = ended
        check(not isinstance(gone, dict) and rig.audit()[-1]["reason"] == "no-longer-served",
              "an enclave that is not served any more makes no further call", gone, rig.audit())


def untouched(listener):
    listener.setblocking(False)
    try:
        listener.accept()
    except BlockingIOError:
        return True
    return False


def answer_http(stream, status, *headers):
    stream.sendall("\r\n".join([f"HTTP/1.1 {status}", *headers, "Content-Length: 2", "", "{}"]).encode())


def surroundings():
    """Neither the environment nor the KMS's word leads a call elsewhere; and one that nobody waits for is recorded."""
    arrived, release = threading.Event(), threading.Event()

    def slow(stream):
        read_http(stream)
        arrived.set()
        release.wait(60)
        answer_http(stream, "500 Later")

    def redirect(stream):
        read_http(stream)
        answer_http(stream, "307 Temporary Redirect", f"Location: http://127.0.0.1:{trap.getsockname()[1]}/")

    with Rig() as rig, socket.create_server(("127.0.0.1", 0)) as trap:
        module = rig.module("good", "qingtian", PCR0)
        rig.policy(huawei_statements(PCR0))
        rig.attest_policy(PCR0)
        _, kms_port = rig.dev_kms("qingtian")
        names = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        environment = {**os.environ, **dict.fromkeys(names, f"http://127.0.0.1:{trap.getsockname()[1]}"),
                       "SSLKEYLOGFILE": str(rig.top / "keys")}
        rig.proxy(rig.proxy_section() + "idle-timeout = 1s\n" + rig.api_section("kms", 8001, kms_port) +
                  rig.api_section("redirect", 8002, tls_server(rig, redirect)) +
                  rig.api_section("slow", 8003, tls_server(rig, slow)), 8003, env=environment)
        ciphertext = rig.encrypt(SECRET)

        def options(port):
            return ["decrypt", "--proxy", f"unix:{rig.socket(port)}", "--module", module]

        out = rig.qt_kms(*options(8001), stdin=ciphertext)
        check(out.out == SECRET and untouched(trap), "proxies of the environment are not asked", out)
        check(not (rig.top / "keys").exists(), "TLS keys are not written where the environment says")
        out = rig.qt_kms(*options(8002), stdin=ciphertext)
        check(out.status not in (0, 2) and not out.out and untouched(trap) and rig.audit()[-1]["http_status"] == 307,
              "a redirection by the KMS is not followed", out, rig.audit()[-1:])
        caller = subprocess.Popen([QT_KMS, *options(8003)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        caller.stdin.write(ciphertext)
        caller.stdin.close()
        check(arrived.wait(60), "a call is under way")
        wait_for(lambda: rig.audit()[-1]["reason"] == "idle-timeout", "the end of its connection")
        ended = rig.audit()[-1]
        release.set()
        wait_for(lambda: rig.audit()[-1].get("http_status") == 500, "the record of the call")
        last = rig.audit()[-1]
        check(last["operation"] == "decrypt-data" and last["connection"] == ended["connection"] and last["verdict"] == "failed",
              "a call whose connection ended before its answer is recorded", ended, last)
        caller.wait(60)


def outages():
    """A KMS that says "not now" has not said no: neither the enclave nor the record takes one for the other."""
    said = []

    def act(stream):
        read_http(stream)
        status, text = said[0][:2]
        stream.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())

    with Rig() as rig:
        rig.attest_policy(PCR0)
        port = tls_server(rig, act)
        for provider, platform, listener, rows in (
                ("huawei", "qingtian", 8001, [("503 Unavailable", "", 9), ("429 Too Many Requests", "{}", 9), ("403 Forbidden", "{}", 1)]),
                ("aws", "nitro", 8002, [("400 Bad Request", '{"__type": "ThrottlingException", "message": "Rate exceeded"}', 9),
                                        ("400 Bad Request", '{"__type": "AccessDeniedException"}', 1)])):
            module = rig.module(platform, platform, PCR0)
            proxy = rig.proxy(rig.proxy_section() + rig.api_section("kms", listener, port, provider, platform) +
                              pipe_section(8000, port), listener)
            options = ["decrypt", "--provider", provider, "--module", module, "--proxy"]
            pipe = [f"unix:{rig.socket(8000)}", "--mode", "pipe", "--region", "r", "--project", "p", "--endpoint",
                    f"localhost:{port}", "--ca-file", rig.home / "tls.pem", "--credentials", "environment"]
            for said[:] in [[row] for row in rows]:
                status, text, expected = said[0]
                out = rig.qt_kms(*options, f"unix:{rig.socket(listener)}", stdin=rig.encrypt(SECRET))
                last = rig.audit()[-1]
                verdict = ("failed", "KmsUnreachable") if expected == 9 else ("refused", "KmsRefused")
                check(out.status == expected and (last["verdict"], last["reason"]) == verdict and last["http_status"] == int(status[:3]),
                      f"{provider}: {status} {text} is {verdict[0]}", out, last)
                out = rig.qt_kms(*options, *pipe, stdin=rig.encrypt(SECRET),
                                 env={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"})
                check(out.status == expected and not out.out, "and the same in pipe mode", out)
            rig.end(proxy)
            rig.socket(8000).unlink(missing_ok=True)


def signer():
    """PCR8, the signer's, in both clouds' spelling."""
    pcr8 = "33" * 48
    for spelling in ("kms:RecipientAttestation/PCR8", "kms:RecipientAttestation:PCR8"):
        with Rig() as rig:
            modules = {"signed": rig.module("signed", "qingtian", PCR0, pcr8),
                       "otherwise": rig.module("otherwise", "qingtian", PCR0, "44" * 48),
                       "unsigned": rig.module("unsigned", "qingtian", PCR0)}
            rig.policy([allow("kms:cmk:decrypt", pcr8, spelling)])
            rig.attest_policy(PCR0)
            _, kms_port = rig.dev_kms("qingtian")
            rig.proxy(rig.proxy_section() + rig.api_section("kms", 8001, kms_port), 8001)
            ciphertext = rig.encrypt(SECRET)
            for name, module in modules.items():
                out = rig.qt_kms("decrypt", "--proxy", f"unix:{rig.socket(8001)}", "--module", module, stdin=ciphertext)
                check(out.out == SECRET if name == "signed" else out.status == 1 and "policy denies" in out.err,
                      f"{spelling}: an image that is {name}", out)


qingtian()
surroundings()
outages()
signer()
debug_allowed("huawei", "qingtian", huawei_statements)
debug_allowed("aws", "nitro", aws_statements)
for _ in with_provider("aws", "nitro", aws_statements):
    pass
proxy_rules()
answered_key()
rules_of_now()
done()
