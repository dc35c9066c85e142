# SPDX-License-Identifier: Apache-2.0
"""Every limit of the proxy at its edge: what is refused, with which reason in the record, and that nobody else is touched."""
import contextlib
import os
import socket
import time

from harness import check, done, skip, wait_for
from kms_rig import PCR0, Rig, WrongServer, huawei_statements, read_frame, send_frame, unix_listener

NOBODY = 65534
GATE, NOWHERE, THEIRS, API, BRISK = 8001, 8002, 8003, 8004, 8005
LIMITS = """connections = 3
connections-per-enclave = 3
bytes-per-connection = 65536
lifetime = 3s
"""


def echo(stream):
    while data := stream.recv(65536):
        stream.sendall(data)


def config(rig, echo_port, kms_port, limits):
    pipes = [("gate", GATE, echo_port, ""), ("nowhere", NOWHERE, 1, ""), ("theirs", THEIRS, echo_port, "enclave = two\n")]
    return rig.proxy_section().replace("connects-per-second = 10000\n", "") + limits + "".join(
        f"[pipe {name}]\nport = {port}\ntls = no\nallow = localhost:{to}\nprivate-addresses = yes\n{more}"
        for name, port, to, more in pipes) + rig.api_section("kms", API, kms_port, more="max-age = 2s\n").replace(
            "calls-per-second = 10000", "calls-per-second = 1") + rig.api_section("brisk", BRISK, kms_port)


def connect(rig, enclave, port):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(str(rig.top / f"e/{enclave}/vsock.sock_{port}"))
    return s


def echoed(s):
    s.sendall(b"x")
    return s.recv(1) == b"x"


def ended(s):
    with contextlib.suppress(OSError):
        while s.recv(65536):
            pass
    return True


def recorded(rig, reason, **fields):
    """The record with this reason, as soon as it is there."""
    r = wait_for(lambda: next((r for r in rig.audit() if r["reason"] == reason), None), reason)
    return all(r.get(k) == v for k, v in fields.items())


def pipes(rig):
    held = [connect(rig, "one", GATE) for _ in range(3)]
    served = all(echoed(s) for s in held)
    fourth = connect(rig, "two", GATE)
    check(served and ended(fourth) and recorded(rig, "connections-limit", enclave="two", verdict="refused"),
          "one connection more than all may have together", rig.audit())
    check(all(ended(s) for s in held) and recorded(rig, "lifetime", enclave="one", verdict="timeout"),
          "a connection ends when its time is over, busy or not", rig.audit())
    with connect(rig, "one", GATE) as s:
        with contextlib.suppress(OSError):
            for _ in range(64):
                s.sendall(bytes(4096))
                s.recv(4096)
        check(ended(s) and recorded(rig, "bytes-limit", enclave="one", verdict="refused"), "a connection that carried its bytes",
              rig.audit())
    with connect(rig, "one", NOWHERE) as s:
        check(ended(s) and recorded(rig, "connect-failed", verdict="failed", name="localhost"), "a destination that does not answer",
              rig.audit())
    with connect(rig, "one", THEIRS) as s, connect(rig, "two", THEIRS) as other:
        check(ended(s) and recorded(rig, "enclave-not-served", enclave="one", verdict="refused") and echoed(other),
              "an enclave that this listener is not for", rig.audit())


def as_nobody(act):
    """What act() says as another local user."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os.write(write, b"yes" if act() else b"no")
        os._exit(0)
    os.close(write)
    with open(read) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said == "yes"


def users(rig):
    """Everybody may walk to the sockets; an enclave is whom the kernel says to be its directory's owner."""
    if os.getuid() != 0:
        skip(users.__doc__, "only root can be two users")
        return

    def served(enclave):
        try:
            with connect(rig, enclave, GATE) as s:
                return echoed(s)
        except OSError:
            return False

    rig.top.chmod(0o711)
    check(not as_nobody(lambda: served("two")) and
          recorded(rig, "not-the-enclaves-user", enclave="two", peer_uid=NOBODY, verdict="refused", listener="gate"),
          "another local user at an enclave's socket", rig.audit())
    os.chown(rig.top / "e/two", NOBODY, -1)
    check(as_nobody(lambda: served("two")) and not as_nobody(lambda: served("one")) and served("two"),
          "the user of an enclave is served at its own socket only, and root at each", rig.audit())
    os.chown(rig.top / "e/two", 0, -1)
    wait_for(lambda: [r["verdict"] for r in rig.audit()].count("allowed") == 2, "the ends of both connections")


def rate(rig):
    streams = [connect(rig, "one", GATE) for _ in range(8)]
    other = connect(rig, "two", GATE)
    check(recorded(rig, "connects-per-second-limit", enclave="one", verdict="refused") and echoed(other),
          "more new connections in a second than one enclave may have; another one is served", rig.audit())
    rest = wait_for(lambda: [r for r in rig.audit() if r.get("repeated")], "the number of the others")
    check([(r["enclave"], r["listener"], r["reason"]) for r in rest] == [("one", "gate", "connects-per-second-limit")] and
          3 <= rest[0]["repeated"] <= 6, "a flood is one record, and one with the number of its others, though nothing follows", rest)
    for s in (*streams, other):
        s.close()


def api(rig, module):
    seen, path = [], rig.top / "keeps.sock"
    WrongServer(unix_listener(path), lambda stream: seen.append(read_frame(stream)))
    rig.qt_kms("random", "--proxy", f"unix:{path}", "--module", module)
    with connect(rig, "one", API) as s:
        s.sendall((1 << 20).to_bytes(4, "big") + b" " * 1000)
        check(ended(s) and recorded(rig, "frame-too-large", verdict="refused", mode="api"), "a call larger than a frame may be",
              rig.audit())
    time.sleep(3)  # the document's age
    answers = []
    with connect(rig, "one", API) as s:
        for _ in range(8):
            send_frame(s, seen[0])
            answers.append(read_frame(s)["error"])
    check(answers[0]["name"] == "VerifyFailed" and "too-old" in answers[0]["message"], "a document older than max-age", answers[0])
    check(recorded(rig, "VerifyFailed", document_reason="too-old"), "and its record says what was wrong with it", rig.audit())
    over = [a for a in answers if a["name"] == "LimitExceeded" and "per second" in a["message"]]
    check(len(over) >= 1, "more calls in a second than an enclave may make", answers)


def listeners(rig):
    """What an enclave may use of one listener is no matter of another, whose rate is higher."""
    with connect(rig, "two", BRISK) as brisk, connect(rig, "two", API) as slow:
        answers = []
        for stream in (brisk, *[slow] * 3, brisk):
            send_frame(stream, {})
            answers.append(read_frame(stream)["error"]["name"])
    check(answers == ["Protocol"] * 3 + ["LimitExceeded", "Protocol"], listeners.__doc__, answers)


def trees(rig, proxy):
    """A frame within its size, of so many values that their tree would take a hundred times as much; from many connections."""
    def peak():
        return int(next(line for line in open(f"/proc/{proxy.pid}/status") if line.startswith("VmHWM")).split()[1])

    before = peak()
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(connect(rig, "two", BRISK)) for _ in range(60)]
        for stream in streams:
            send_frame(stream, {"operation": "gen-random", "body": {"a": [[]] * 24000}, "document": "AAAA"})
        answers = [read_frame(stream)["error"] for stream in streams]
    check(all(a["name"] == "Protocol" and "values" in a["message"] for a in answers) and peak() - before < 48 << 10, trees.__doc__,
          answers[0], before, peak())


def flood(rig):
    """Calls that are none, as many as will go, for three seconds: a handful is answered, and recorded."""
    before, n_calls = len(rig.audit()), 0
    with connect(rig, "one", API) as s:
        s.setblocking(False)
        end, answers = time.monotonic() + 3, b""
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                n_calls += s.send(b"\0\0\0\2{}") // 6
            with contextlib.suppress(BlockingIOError):
                answers += s.recv(65536)
    answered = answers.count(b'"error"')
    check(n_calls > 100 and 3 <= answered <= 16, "a flood of calls waits in its own socket", n_calls, answered)
    time.sleep(2)
    records = [r for r in rig.audit()[before:] if r["listener"] == "kms" and "connection" in r or r.get("repeated")]
    check(2 <= len(records) <= 14, "and is no flood of records", n_calls, records)


with Rig() as rig, socket.create_server(("127.0.0.1", 0)) as listener:
    (rig.top / "e/two").mkdir()
    WrongServer(listener, echo)
    module = rig.module("good", "qingtian", PCR0)
    rig.policy(huawei_statements(PCR0))
    rig.attest_policy(PCR0)
    proxy = rig.proxy(config(rig, listener.getsockname()[1], 1, LIMITS + "connects-per-second = 1000\n"), API)
    wait_for(lambda: all((rig.top / f"e/{name}/vsock.sock_{API}").exists() for name in ("one", "two")), "the sockets")
    users(rig)
    pipes(rig)
    rig.reload(proxy, config(rig, listener.getsockname()[1], 1, "connects-per-second = 1\n"))
    rate(rig)
    rig.reload(proxy, config(rig, listener.getsockname()[1], 1, "connects-per-second = 1000\n"))
    api(rig, module)
    listeners(rig)
    trees(rig, proxy)
    flood(rig)
    check(rig.end(proxy) == 0, "the proxy ends well")
    metrics = rig.metrics()
    check(metrics["timeouts_total", "gate"] == 3 and metrics["failed_total", "nowhere"] == 1 and
          metrics["refused_total", "theirs"] == 1, "all of it is counted", metrics)
done()
