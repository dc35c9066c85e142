# SPDX-License-Identifier: Apache-2.0
"""One boot of a real enclave, and a parent that tries everything on it: call after call goes to a hostile proxy, each
ends in a clear refusal of its kind, and the good calls in between still open.

What happened inside is known from the measured script there: it compares each call's status, message and output with what
is expected, and its exit status is the number of the first call that went otherwise.
"""
import hashlib
import shutil
import socket
import sys
import threading

from harness import check, done, wait_for
from kms_forger import ENVELOPE, SECRET, Forger, attacks, key_of, message_of, never_ending
from kms_rig import Rig, WrongServer, huawei_statements, read_frame, send_frame, unix_listener
from kms_vm import build, directory_of, make_root, run
from vsock_vm import reason_to_skip

API, HOSTILE = 8001, 8005
REFUSED, TIMEOUT, KMS_REFUSED = 4, 10, 1

SCRIPT = f"""n=0
# call STATUS TEXT COMMAND...: the next call must end so, and print the secret or nothing
call() {{
        n=$((n + 1)) status=$1 text=$2
        shift 2
        /qt-kms "$@" >/run/out 2>/run/err
        [ $? = "$status" ] || exit $n
        if [ "$status" = 0 ]; then
                /busybox cmp -s /run/out /expected || exit $n
        else
                [ ! -s /run/out ] && /busybox grep -q -F "$text" /run/err || exit $n
        fi
}}
"""


class Hostile:
    """Does to each connection what is next in its plan."""

    def __init__(self, path):
        self.plan, self.done, self.frames = [], [], []
        WrongServer(unix_listener(path), self.serve)
        path.chmod(0o666)

    def add(self, what, act):
        self.plan.append((what, act))

    def serve(self, stream):
        what, act = self.plan[len(self.done)]
        self.done.append(what)
        request = read_frame(stream)
        self.frames.append(request)
        act(stream, request)


def answering(answer):
    return lambda stream, request: send_frame(stream, {"answer": answer(request["document"])})


def forever(stream, request):
    stream.sendall((90000).to_bytes(4, "big"))
    never_ending(stream)


def dripping(stream, request):
    stream.sendall((90000).to_bytes(4, "big"))
    while True:
        stream.sendall(b" ")
        threading.Event().wait(0.2)


def passing_on(to, times=1):
    """To the real proxy, and its last answer back."""
    def act(stream, request):
        for _ in range(times):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(to))
                send_frame(s, request)
                answer = read_frame(s)
        send_frame(stream, answer)

    return act


def plan(rig, hostile, forger, proxy_socket):
    """The calls in their order, as lines of the script; and what the hostile proxy does to those that reach it."""
    lines = []

    def call(status, text, port, *more):
        lines.append(f"call {status} '{text}' decrypt --proxy vsock:3:{port} {' '.join(more)} /secret")

    def attack(what, status, text, act, *more):
        hostile.add(what, act)
        call(status, text, HOSTILE, *more)

    call(0, "", API)
    attack("an operator who only looks on", 0, "", passing_on(proxy_socket))
    for i, (what, answer) in enumerate(attacks(forger)):
        attack(what, REFUSED, message_of(what), answering(answer) if answer else forever)
        if i % 5 == 4:
            call(0, "", API)
    attack("a byte now and then", TIMEOUT, "in time", dripping, "--timeout 5s")
    forged = answering(lambda d: {"ciphertext_recipient": forger.envelope(key_of(d), secret=b"made up")})
    attack("a well-formed forgery", REFUSED, "not the expected one", forged, "--expect-sha256", hashlib.sha256(SECRET).hexdigest())
    attack("a document that was used already", KMS_REFUSED, "used before", passing_on(proxy_socket, times=2))
    attack("the answer to an earlier document", REFUSED, ENVELOPE, lambda stream, request: send_frame(stream, earlier(hostile, forger)))
    call(0, "", API)
    return lines


def earlier(hostile, forger):
    return {"answer": {"ciphertext_recipient": forger.envelope(key_of(hostile.frames[0]["document"]), secret=SECRET)}}


if reason := reason_to_skip() or (not shutil.which("busybox") and "busybox is not installed"):
    print(f"1..0 # SKIP {reason}")
    sys.exit()
with Rig() as rig:
    make_root(rig)
    forger = Forger(rig.top / "forger")
    place = directory_of(rig, "victim")
    hostile = Hostile(place / f"vsock.sock_{HOSTILE}")
    lines = plan(rig, hostile, forger, place / f"vsock.sock_{API}")
    image, pcr0 = build(rig, "victim", {"secret": rig.encrypt(SECRET), "expected": SECRET, "busybox": shutil.which("busybox"),
                                        "calls": (SCRIPT + "\n".join(lines) + "\n").encode()}, "/busybox", "sh", "/calls")
    rig.policy(huawei_statements(pcr0))
    rig.attest_policy(pcr0)
    kms, port = rig.dev_kms("qingtian")
    rig.proxy(rig.proxy_section() + rig.api_section("kms", API, port, operations=["decrypt-data"]), API)
    wait_for((place / f"vsock.sock_{API}").exists, "the proxy's socket")
    code = run(rig, image, "victim", patience=480).get("ExitCode")
    check(len(lines) > 20 and code == 0, f"all of {len(lines)} calls of a real enclave ended as they must",
          f"exit code {code}: that is {lines[code - 1] if code else None}", hostile.done[-1:], rig.audit()[-1:])
    planned = [what for what, _ in hostile.plan]
    check(hostile.done == planned, f"{len(planned)} of them with the hostile proxy", hostile.done)
    good = [r for r in rig.audit() if r["verdict"] == "allowed"]
    check(len(good) == len([x for x in lines if x.startswith("call 0")]) + 1 and {r["pcr0"] for r in good} == {pcr0[:16]},
          "and only the good ones were spent on the KMS", len(good))
    used = [r for r in rig.audit() if r["verdict"] == "refused"]
    check([r["reason"] for r in used] == ["KmsRefused"], "beside the replay, which it refused", used)
done()
