# SPDX-License-Identifier: Apache-2.0
"""Who may do what, and that nobody can keep the daemon from serving the others."""
import ctypes
import grp
import json
import os
import resource
import socket
import subprocess
import time

from harness import CLI, DAEMON, PATIENCE, STANDIN, Daemon, Result, check, done, skip, wait_for

if os.getuid() != 0:
    skip("access", "needs root to become several users")
    done()

GROUP = grp.getgrgid(100)  # Debian's "users": stands for qt-enclave
ALICE, BOB, EVE = (54321, GROUP.gr_gid), (54322, GROUP.gr_gid), (54323, 54323)
CONFIG = f"group:{GROUP.gr_name}\nenclaves_max:8\nquota_enclaves:2\nquota_cpus:6\nquota_memory_mib:2048\n"


def as_(user, d, *arguments):
    """The CLI as somebody else."""
    command = ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", "--", CLI, *arguments]
    p = subprocess.run(command, env={**d.environment, "QT_ENCLAVE_SOCKET": d.socket},
                       capture_output=True, text=True, timeout=PATIENCE)
    return Result(p)


def wants(d, user, status, error, what, *arguments):
    r = as_(user, d, *arguments)
    check(r.status == status and (not error or f"qt-enclave: {error}: " in r.err), what, r)
    return r


def classes(d):
    image = d.image()
    wants(d, ALICE, 0, None, "a member of the group starts an enclave", "run", "--eif", image, "--name", "hers",
          "--memory", "512", "--debug")
    check(d.describe("hers")["Uid"] == ALICE[0], "it is hers")
    wants(d, BOB, 0, None, "another member may look", "describe", "hers")
    for verb in (["terminate", "hers"], ["console", "hers"], ["connect", "hers", "7"]):
        wants(d, BOB, 8, "PermissionDenied", f"but not {verb[0]}", *verb)
    wants(d, BOB, 0, None, "terminate --all means all of one's own", "terminate", "--all")
    check(d.describe("hers")["State"] == "running", "not hers")
    wants(d, ALICE, 8, "PermissionDenied", "the pool is root's", "pool", "set", "--memory", "0")
    wants(d, ALICE, 0, None, "looking at it is everybody's", "pool", "show")
    wants(d, EVE, 8, "PermissionDenied", "who is in no group cannot even connect", "describe")
    wants(d, ALICE, 7, "QuotaExceeded", "quota of memory", "run", "--eif", image, "--memory", "1537")
    wants(d, ALICE, 7, "QuotaExceeded", "quota of CPUs", "run", "--eif", image, "--memory", "128", "--cpus", "6")
    wants(d, ALICE, 0, None, "within all of them", "run", "--eif", image, "--name", "second", "--memory", "128")
    wants(d, ALICE, 7, "QuotaExceeded", "quota of enclaves", "run", "--eif", image, "--memory", "128")
    wants(d, BOB, 0, None, "which is not Bob's quota", "run", "--eif", image, "--name", "his", "--memory", "128")
    d.ok("terminate", "his")
    wants(d, ALICE, 0, None, "her own end when she says so", "terminate", "--all")
    log = d.log_text()
    check(f"uid {ALICE[0]}: Run hers: starting" in log and f"uid {BOB[0]}: Terminate hers: denied" in log,
          "every decision is in the log", log)


def become(user):
    os.setgroups([])
    os.setresgid(user[1], user[1], user[1])
    os.setresuid(user[0], user[0], user[0])


def call(path, message, timeout=PATIENCE):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)  # blocking: a full backlog is waited for
        s.settimeout(timeout)
        s.sendall(message)
        answer = b""
        while not answer.endswith(b"\0"):
            piece = s.recv(65536)
            if not piece:
                break
            answer += piece
        return answer


DESCRIBE = b'{"method":"io.qtenclave.Manager.Describe"}\0'


def flooder(path, how, ready):
    """Runs as Alice in a process of its own until it is killed, or its parent is."""
    become(ALICE)
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL; after the uid has changed, which clears it
    kept = []
    n = 0
    os.write(ready, b".")
    while True:
        try:
            s = socket.socket(socket.AF_UNIX)
            s.connect(path)
            if how == "half":
                s.send(b'{"method":"io.qten')
            elif how == "long":
                s.settimeout(5)
                s.sendall(b"x" * 65537)
            elif how == "deaf":
                s.setblocking(False)
                while True:
                    s.send(DESCRIBE)
            kept.append(s)
        except OSError:
            kept.append(s)
        n += 1
        if len(kept) >= 200:
            kept.clear()  # 10,000 connections and more, 200 at a time


def floods(d):
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    pid = d.process.pid
    def memory():
        return int(next(line for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS")).split()[1])
    def descriptors():
        return len(os.listdir(f"/proc/{pid}/fd"))
    before, fds = memory(), descriptors()
    for how in ("idle", "half", "long", "deaf"):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                flooder(d.socket, how, writer)
            finally:
                os._exit(0)
        os.read(reader, 1)
        answers = 0
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            answers += b'"Enclaves"' in call(d.socket, DESCRIBE)
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
        check(answers > 0, f"others are served during a flood ({how})", answers)
    wait_for(lambda: descriptors() <= fds + 1, "descriptors to go down")
    if b"__asan_init" in open(DAEMON, "rb").read():
        skip("and the daemon did not grow", "the sanitizer keeps what was freed")
    else:
        check(memory() - before < 16 * 1024, "and the daemon did not grow", before, memory())
    check(d.process.poll() is None, "nor end")


def introspection(d):
    info = json.loads(call(d.socket, b'{"method":"org.varlink.service.GetInfo"}\0')[:-1])["parameters"]
    check("io.qtenclave.Manager" in info["interfaces"] and info["vendor"] == "qt-enclave", "GetInfo", info)
    text = json.loads(call(d.socket, b'{"method":"org.varlink.service.GetInterfaceDescription","parameters":'
                                     b'{"interface":"io.qtenclave.Manager"}}\0')[:-1])["parameters"]["description"]
    answer = call(d.socket, b'{"method":"io.qtenclave.Manager.Describe","parameters":{"Nmae":"x"}}\0')
    check(b"io.qtenclave.Manager.InvalidParameter" in answer and b"Nmae" in answer, "an unknown member is refused", answer)
    for line in text.splitlines():
        if line.startswith("method "):
            name = line.split()[1].split("(")[0]
            answer = call(d.socket, json.dumps({"method": "io.qtenclave.Manager." + name,
                                                "parameters": {"No": 1}}).encode() + b"\0")
            check(b"MethodNotImplemented" not in answer and b"InvalidParameter" in answer, f"{name} has a handler", answer)


with Daemon(monitor=STANDIN, config=CONFIG) as d:
    os.chmod(d.home, 0o755)
    os.chmod(d.runtime, 0o755)
    for part in (classes, introspection, floods):
        print("#", part.__name__)
        part(d)
done()
