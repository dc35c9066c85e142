# SPDX-License-Identifier: Apache-2.0
"""One enclave's calls hang at a KMS that never answers: what it may hold, and that another enclave's calls are answered."""
import contextlib
import socket
import threading

from harness import check, done, wait_for
from kms_rig import PCR0, Rig, WrongServer, huawei_statements, read_frame, read_http, send_frame, tls_server, unix_listener

SECRET = b"the secret of the enclave\n"
CALLS = 4  # of an enclave, at a time


def requests(rig, module, ciphertext):
    """Attested requests that nobody has seen yet: qt-kms makes them, for a proxy that keeps them."""
    seen = []
    path = rig.top / "keeps.sock"
    WrongServer(unix_listener(path), lambda stream: seen.append(read_frame(stream)))
    for _ in range(2):
        rig.qt_kms("decrypt", "--proxy", f"unix:{path}", "--module", module, stdin=ciphertext)
    return seen


def connect(rig, enclave, port):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(str(rig.top / f"e/{enclave}/vsock.sock_{port}"))
    return s


def of_listener(rig, name):
    return [r for r in rig.audit() if r["listener"] == name]


with Rig() as rig, contextlib.ExitStack() as stack:
    (rig.top / "e/two").mkdir()
    module = rig.module("good", "qingtian", PCR0)
    rig.policy(huawei_statements(PCR0))
    rig.attest_policy(PCR0)
    _, kms_port = rig.dev_kms("qingtian")
    arrived, end = [], threading.Event()

    def never(stream):
        arrived.append(read_http(stream))
        end.wait()

    stack.callback(end.set)
    proxy = rig.proxy(rig.proxy_section() + f"workers = 2\ncalls-per-enclave = {CALLS}\nidle-timeout = 8s\n" +
                      rig.api_section("hangs", 8001, tls_server(rig, never)) + rig.api_section("kms", 8002, kms_port), 8002)
    wait_for((rig.top / "e/two/vsock.sock_8002").exists, "the socket of the other enclave")
    hanging, good = requests(rig, module, rig.encrypt(SECRET))
    streams = [stack.enter_context(connect(rig, "one", 8001)) for _ in range(CALLS + 2)]
    for stream in streams[:CALLS]:
        send_frame(stream, hanging)
    wait_for(lambda: arrived, "the call that hangs")
    with connect(rig, "two", 8002) as s:
        send_frame(s, good)
        answer = read_frame(s)
    check("ciphertext_recipient" in answer.get("answer", {}) and not of_listener(rig, "hangs"),
          "another enclave's call is answered while they hang", answer, rig.audit())
    check(len(arrived) == 1, "of two threads the first enclave has one, however many calls it makes", len(arrived))
    for stream in streams[CALLS:]:
        send_frame(stream, hanging)
        answer = read_frame(stream)
        check(answer.get("error", {}).get("name") == "LimitExceeded" and "at a time" in answer["error"]["message"],
              "one call more than it may have at a time is refused at once", answer)
        stream.close()
    wait_for(lambda: len(of_listener(rig, "hangs")) >= 2 + CALLS + 1, "the ends")
    reasons = sorted((r["verdict"], r["reason"]) for r in of_listener(rig, "hangs"))
    check(reasons == [("failed", "KmsUnreachable")] + [("refused", "LimitExceeded")] * 2 + [("timeout", "idle-timeout")] * CALLS
          and len(arrived) == 1, "calls that nobody waits for any more are not made", reasons, len(arrived))
    check(rig.end(proxy) == 0, "the proxy ends well")
    metrics = rig.metrics()
    check([metrics[name, "hangs"] for name in ("calls_total", "calls", "refused_total", "failed_total", "timeouts_total")] ==
          [CALLS + 2, 0, 2, 1, CALLS] and
          [metrics[name, "kms"] for name in ("calls_total", "calls", "refused_total", "failed_total", "timeouts_total")] ==
          [1, 0, 0, 0, 0], "the counters of each listener say so", metrics)
done()
