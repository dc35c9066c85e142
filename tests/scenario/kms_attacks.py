# SPDX-License-Identifier: Apache-2.0
"""What whoever runs the parent, or sits in the KMS's place, may try: each ends in a clear refusal and no secret.

Three places to sit: instead of the proxy, behind the real proxy instead of the KMS, and at the end of a TLS connection.
"""
import hashlib
import json
import socket
import ssl
import time

from harness import check, done, wait_for
from kms_caller import call_kms
from kms_forger import SECRET, Forger, attacks, http_answer, key_of, message_of, never_ending
from kms_rig import PCR0, Rig, WrongServer, read_frame, send_frame, unix_listener


def drip(rig):
    """An answer that comes one byte at a time, within no patience."""
    def act(stream):
        read_frame(stream)
        stream.sendall((90000).to_bytes(4, "big"))
        while True:
            stream.sendall(b" ")
            time.sleep(0.1)

    WrongServer(unix_listener(rig.top / "drip.sock"), act)
    return rig.top / "drip.sock"


def patience(rig, module, ciphertext):
    """The timeout is for the whole call: what the credentials took is gone from what the KMS has."""
    path, ended = rig.top / "slow.sock", []

    def silent(stream):
        began = time.monotonic()
        while stream.recv(65536):
            pass
        ended.append(time.monotonic() - began)

    def late(stream):
        read_frame(stream)
        time.sleep(6)
        send_frame(stream, {"credentials": {"access_key": "a", "secret_key": "b", "security_token": "c"}})

    WrongServer(unix_listener(path), silent)
    WrongServer(unix_listener(rig.top / "late.sock"), late)
    out = rig.qt_kms("decrypt", "--mode", "pipe", "--proxy", f"unix:{path}", "--region", "r", "--project", "p", "--endpoint",
                     "localhost:443", "--ca-file", rig.home / "tls.pem", "--credentials", f"unix:{rig.top}/late.sock", "--module",
                     module, "--timeout", "8s", stdin=ciphertext)
    waited = wait_for(lambda: ended, "the end of the call")
    check(out.status == 10 and not out.out and waited[0] < 4, patience.__doc__, out, waited)


def smuggled(rig, module, forger, ciphertext):
    """The credentials that a parent lends go into the enclave's own request; they must stay what they are."""
    second = "\r\nContent-Length: 2\r\n\r\n{}POST /smuggled HTTP/1.1\r\nHost: x"
    good, lent, calls = {"access_key": "a", "secret_key": "s", "security_token": "t"}, [], []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(rig.home / "tls.pem", rig.home / "tls.key")

    def serve(stream):
        calls.append(stream)
        http_answer(stream, lambda d: {"ciphertext_recipient": forger.envelope(key_of(d))})

    path, creds = rig.top / "end-of-tls.sock", rig.top / "lender.sock"
    WrongServer(unix_listener(path), serve, context)
    WrongServer(unix_listener(creds), lambda stream: (read_frame(stream), send_frame(stream, {"credentials": lent[0]})))
    pipe = ["--mode", "pipe", "--proxy", f"unix:{path}", "--region", "r", "--project", "p", "--endpoint", "localhost:1",
            "--ca-file", rig.home / "tls.pem", "--module", module, "--credentials"]
    lent[:] = [good]
    out = rig.qt_kms("decrypt", *pipe, f"unix:{creds}", stdin=ciphertext)
    check(out.status == 0 and out.out == SECRET and len(calls) == 1, "with credentials as they should be the call is made", out)
    for name in good:
        for value in (good[name] + second, "a b", "", "\u00e9", 7):
            lent[:] = [{**good, name: value}]
            out = rig.qt_kms("decrypt", *pipe, f"unix:{creds}", stdin=ciphertext)
            check(out.status == 4 and not out.out and "visible ASCII" in out.err and len(calls) == 1,
                  f"by the lender of credentials: {name} {value!r}", out, calls)
    for name in ("AK", "SK", "SECURITY_TOKEN"):
        keys = {f"HUAWEICLOUD_SDK_{n}": "x" + (second if n == name else "") for n in ("AK", "SK", "SECURITY_TOKEN")}
        out = rig.qt_kms("decrypt", *pipe, "environment", stdin=ciphertext, env=keys)
        check(out.status == 9 and not out.out and "visible ASCII" in out.err and len(calls) == 1,
              f"by whoever sets the environment: {name}", out)
    out = rig.qt_kms("decrypt", *["p\r\nX: y" if o == "p" else o for o in pipe], f"unix:{creds}", stdin=ciphertext)
    lent[:] = [good]
    out = rig.qt_kms("decrypt", *["p\r\nX: y" if o == "p" else o for o in pipe], f"unix:{creds}", stdin=ciphertext)
    check(out.status == 2 and not out.out and len(calls) == 1, "and a project that would be a header", out)


def silent_module(rig, proxy):
    """The time is for the whole call: a security module that takes the request and never answers has it, too."""
    WrongServer(unix_listener(rig.top / "mute.sock"), lambda stream: stream.recv(1 << 20) and stream.recv(1))
    began = time.monotonic()
    out = rig.qt_kms("random", "--proxy", proxy, "--module", f"unix:{rig.top}/mute.sock", "--timeout", "1s")
    check(out.status == 10 and not out.out and "security module" in out.err and time.monotonic() - began < 30,
          silent_module.__doc__, out)


def known_key(rig, options, answer, forger):
    """A wrapped data key is as easy to put in place of another as a new one; and what is no key of that length is none."""
    known, wrapped = b"k" * 32, rig.top / "wrapped"
    new = ["datakey", *options, "--key-id", "dev-key", "--accept-unauthenticated"]
    wrapped.write_text("00" * 32)

    def sealed(secret, names):
        return lambda d: {names["envelope"]: forger.envelope(key_of(d), secret=secret), names["wrapped"]: "00"}

    for provider, names in (("huawei", {"envelope": "ciphertext_recipient", "wrapped": "cipher_text"}),
                            ("aws", {"envelope": "CiphertextForRecipient", "wrapped": "CiphertextBlob"})):
        answer[:] = [sealed(known, names)]
        unwrap = ["datakey", *options, "--provider", provider, wrapped]
        out = rig.qt_kms(*unwrap)
        check(out.status == 2 and not out.out and "--expect-sha256" in out.err and "substitute" in out.err,
              f"by the proxy: a known key for a wrapped one, {provider}", out)
        for why, more, status in (("taken where that is said", ["--accept-unauthenticated"], 0),
                                  ("taken when it has the known hash", ["--expect-sha256", hashlib.sha256(known).hexdigest()], 0),
                                  ("refused with another", ["--expect-sha256", "00" * 32], 4),
                                  ("refused with another, whatever is said",
                                   ["--expect-sha256", "00" * 32, "--accept-unauthenticated"], 4)):
            out = rig.qt_kms(*unwrap, *more)
            check(out.status == status and out.out == (b"" if status else known), f"which is {why}, {provider}", out)
        for size in (0, 1, 31, 33):
            answer[:] = [sealed(b"k" * size, names)]
            out = rig.qt_kms(*new, "--provider", provider, "--bytes", 32, "--wrapped-file", rig.top / "unwritten")
            check(out.status == 4 and not out.out and not (rig.top / "unwritten").exists(),
                  f"by the proxy: a new data key of {size} bytes instead of 32, {provider}", out)
        answer[:] = [sealed(b"", names)]
        for what, command in (("a wrapped data key", [*unwrap, "--accept-unauthenticated"]),
                              ("a secret", ["decrypt", *options, "--provider", provider, wrapped])):
            out = rig.qt_kms(*command)
            check(out.status == 4 and not out.out, f"by the proxy: {what} of no bytes, {provider}", out)


def instead_of_proxy(rig, module, forger, ciphertext):
    path = rig.top / "wrong.sock"
    answer = []

    def act(stream):
        document = read_frame(stream)["document"]
        if answer[0]:
            send_frame(stream, {"answer": answer[0](document)})
        else:
            stream.sendall((90000).to_bytes(4, "big"))
            never_ending(stream)

    WrongServer(unix_listener(path), act)
    options = ["--proxy", f"unix:{path}", "--module", module]
    answer[:] = [lambda d: {"ciphertext_recipient": forger.envelope(key_of(d))}]
    out = rig.qt_kms("decrypt", *options, stdin=ciphertext)
    check(out.status == 0 and out.out == SECRET, "the forger can make a right envelope; what follows differs in one respect",
          out)
    for what, answer[:] in ((w, [a]) for w, a in attacks(forger)):
        out = rig.qt_kms("decrypt", *options, stdin=ciphertext)
        check(out.status == 4 and not out.out and message_of(what) in out.err, f"by the proxy: {what}", out)
    out = rig.qt_kms("decrypt", "--proxy", f"unix:{drip(rig)}", "--module", module, "--timeout", "2s", stdin=ciphertext)
    check(out.status == 10 and not out.out, "by the proxy: a byte now and then", out)
    answer[:] = [lambda d: {"ciphertext_recipient": forger.envelope(key_of(d), secret=b"made up")}]
    out = rig.qt_kms("decrypt", *options, "--expect-sha256", hashlib.sha256(SECRET).hexdigest(), stdin=ciphertext)
    check(out.status == 4 and not out.out, "by the proxy: a well-formed forgery, where the hash is known", out)
    out = rig.qt_kms("datakey", *options, "--key-id", "dev-key", "--wrapped-file", rig.top / "unwritten")
    check(out.status == 2 and not out.out, "by the proxy: a data key that it knows", out)
    known_key(rig, options, answer, forger)
    silent_module(rig, f"unix:{path}")
    answer[:] = [lambda d: {"ciphertext_recipient": forger.envelope(key_of(d), secret=b"\0" * 32)}]
    out = rig.qt_kms("random", *options)
    check(out.status == 0 and len(out.out) == 32 and out.out != b"\0" * 32,
          "by the proxy: known random, which is mixed with the module's own", out)
    answer[:] = [lambda d: {"ciphertext_recipient": forger.envelope(key_of(d), secret=b"\0" * 8)}]
    out = rig.qt_kms("random", *options)
    check(out.status == 4 and not out.out, "by the proxy: less random than asked for", out)


def instead_of_kms(rig, module, forger, ciphertext):
    """Behind the real proxy in api mode, and at the end of TLS in pipe mode: a KMS that was taken over."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(rig.home / "tls.pem", rig.home / "tls.key")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    answer = []
    WrongServer(listener, lambda stream: http_answer(stream, answer[0]), context)
    proxy = rig.proxy(rig.proxy_section() + rig.api_section("kms", 8001, port) + f"""[pipe tls]
port = 8000
allow = localhost:{port}
private-addresses = yes
""", 8000)
    api = ["--proxy", f"unix:{rig.socket(8001)}", "--module", module]
    pipe = ["--mode", "pipe", "--proxy", f"unix:{rig.socket(8000)}", "--region", "r", "--project", "p", "--endpoint",
            f"localhost:{port}", "--ca-file", rig.home / "tls.pem", "--credentials", "environment", "--module", module]
    environment = {"HUAWEICLOUD_SDK_AK": "a", "HUAWEICLOUD_SDK_SK": "s"}
    for what, answer[:] in ((w, [a]) for w, a in attacks(forger)):
        out = rig.qt_kms("decrypt", *api, stdin=ciphertext)
        check(out.status == 4 and not out.out and message_of(what) in out.err, f"by a KMS behind the proxy: {what}", out)
        out = rig.qt_kms("decrypt", *pipe, stdin=ciphertext, env=environment)
        check(out.status == 4 and not out.out and message_of(what) in out.err, f"by a KMS at the end of TLS: {what}", out)
    rig.end(proxy)
    # Somebody else's certificate for the same name: the operator ends TLS.
    forger.openssl("req", "-x509", "-key", "ca.key", "-subj", "/CN=localhost", "-addext",
                   "subjectAltName=DNS:localhost", "-out", "wrong.pem")
    wrong = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    wrong.load_cert_chain(forger.directory / "wrong.pem", forger.directory / "ca.key")
    path = rig.top / "ended.sock"
    WrongServer(unix_listener(path), lambda stream: http_answer(stream, answer[0]), wrong)
    pipe[3] = f"unix:{path}"
    out = rig.qt_kms("decrypt", *pipe, stdin=ciphertext, env=environment)
    check(out.status == 9 and not out.out and "certificate" in out.err, "TLS that ends at the parent", out)


def operator(rig, module, ciphertext):
    """The operator has the parent's credentials, sees every frame, and tries to get at the secret with them."""
    condition = {"StringEqualsIgnoreCase": {"kms:RecipientAttestation/PCR0": PCR0}}
    rig.policy([{"Effect": "Allow", "Action": "kms:cmk:decrypt", "Condition": condition}])
    kms, port = rig.dev_kms("qingtian")
    proxy = rig.proxy(rig.proxy_section() + rig.api_section("kms", 8003, port), 8003)
    seen = []
    path = rig.top / "between.sock"

    def between(stream):
        request = read_frame(stream)
        seen.append(request)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(rig.socket(8003)))
            send_frame(s, request)
            send_frame(stream, read_frame(s))

    WrongServer(unix_listener(path), between)
    out = rig.qt_kms("decrypt", "--proxy", f"unix:{path}", "--module", module, stdin=ciphertext)
    check(out.out == SECRET, "an operator who only looks on changes nothing", out)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(rig.socket(8003)))
        send_frame(s, seen[0])
        answer = read_frame(s)
    check("used before" in answer["error"]["message"], "a document that was used is not good again", answer)
    seen[0]["body"]["cipher_text"] = "AAAA" + seen[0]["body"]["cipher_text"][4:]
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(rig.socket(8003)))
        send_frame(s, seen[0])
        answer = read_frame(s)
    check("user-data-mismatch" in answer["error"]["message"], "nor for another request", answer)
    status, answer = call_kms(rig, port, {"cipher_text": ciphertext.decode().strip()})
    check(status == 403 and "without an attestation document" in json.dumps(answer),
          "without the document the credentials open nothing", answer)
    rig.end(kms)

    # The trap of both clouds: a policy without the condition. The KMS then answers anybody in plaintext.
    rig.policy([{"Effect": "Allow", "Action": "kms:cmk:decrypt"}])
    kms, port = rig.dev_kms("qingtian")
    status, answer = call_kms(rig, port, {"cipher_text": ciphertext.decode().strip()})
    check(status == 200 and answer.get("plain_text") == SECRET.decode(), "a policy without the condition gives it away", answer)

    def dropping(stream):
        request = read_frame(stream)
        send_frame(stream, {"answer": call_kms(rig, port, request["body"])[1]})

    path = rig.top / "dropping.sock"
    WrongServer(unix_listener(path), dropping)
    out = rig.qt_kms("decrypt", "--proxy", f"unix:{path}", "--module", module, stdin=ciphertext)
    check(out.status == 4 and not out.out and "policy" in out.err,
          "and the enclave refuses what came of it, so that somebody notices", out)
    rig.end(kms)
    rig.end(proxy)


with Rig() as rig:
    module = rig.module("good", "qingtian", PCR0)
    rig.attest_policy(PCR0)
    forger = Forger(rig.top / "forger")
    ciphertext = rig.encrypt(SECRET)
    wait_for((rig.top / "pki/root.pem").exists, "the development root")
    instead_of_proxy(rig, module, forger, ciphertext)
    instead_of_kms(rig, module, forger, ciphertext)
    smuggled(rig, module, forger, ciphertext)
    operator(rig, module, ciphertext)
done()
