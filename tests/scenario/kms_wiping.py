# SPDX-License-Identifier: Apache-2.0
"""What is left of key, secret and credentials in the memory of qt-kms: looked for from outside, in the process itself.

At three moments: while it waits for its answer (then the key must be there, or this test would find nothing ever), while
it cannot get rid of the secret because nobody reads it, and at its end, when the kernel has stopped it on its way out.
"""
import ctypes
import fcntl
import json
import math
import os
import pathlib
import signal
import ssl
import subprocess
import threading

from harness import check, done, skip, wait_for
from kms_forger import Forger, http_answer, key_of
from kms_rig import PCR0, QT_KMS, Rig, WrongServer, read_frame, send_frame, unix_listener

SECRET = b"wiped-after-use-" + os.urandom(16).hex().encode()
KEYS = {"access_key": "an-access-key", "secret_key": "secret-" + os.urandom(16).hex(), "security_token": "token-" + os.urandom(16).hex()}
END = 4102444800000000  # lent for long: a client would keep them
REGION_MAX = 256 << 20  # a sanitizer's shadow is none of the program's own
PTRACE_CONT, PTRACE_SEIZE, PTRACE_O_TRACEEXIT, PTRACE_EVENT_EXIT = 7, 0x4206, 0x40, 6


def ptrace(request, pid, data):
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if call(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def memory(pid):
    """All that the process could write, region by region."""
    regions = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            begin, end = (int(x, 16) for x in line.split()[0].split("-"))
            if line.split()[1].startswith("rw") and end - begin <= REGION_MAX:
                file.seek(begin)
                regions.append((line, file.read(end - begin)))
    return regions


def factor(regions, modulus):
    """A prime factor of the modulus, as libcrypto keeps its numbers: little-endian words."""
    half = modulus.bit_length() // 16
    for _, data in regions:
        for at in range(0, len(data) - half, 8):
            if data[at + half - 1] & 0x80 and data[at] & 1:
                number = int.from_bytes(data[at:at + half], "little")
                if modulus % number == 0:
                    return number
    return None


def private_numbers(p, modulus):
    q, e = modulus // p, 65537
    d = [pow(e, -1, math.lcm(p - 1, q - 1)), pow(e, -1, (p - 1) * (q - 1))]
    return {"p": p, "q": q, "d": d[0], "another d": d[1], "d mod p-1": d[0] % (p - 1), "d mod q-1": d[0] % (q - 1),
            "1/q mod p": pow(q, -1, p)}


def found(regions, numbers, texts):
    """What of it is there, and where."""
    wanted = {name: text for name, text in texts.items()}
    for name, number in numbers.items():
        size = (number.bit_length() + 7) // 8
        wanted[name] = number.to_bytes(size, "little")
        wanted[name + ", big-endian"] = number.to_bytes(size, "big")
    return [f"{name} in {line}" for line, data in regions for name, text in wanted.items() for _ in range(data.count(text))]


class Program:
    """qt-kms, which cannot write its secret anywhere until somebody reads."""

    def __init__(self, arguments, ciphertext):
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, 1031, 4096)  # F_SETPIPE_SZ
        os.set_blocking(writer, False)
        os.write(writer, bytes(4096))
        os.set_blocking(writer, True)
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # which would trace it, too
        self.process = subprocess.Popen([QT_KMS, *map(str, arguments)], stdin=subprocess.PIPE, stdout=writer, env=environment)
        os.close(writer)
        self.process.stdin.write(ciphertext)
        self.process.stdin.close()
        self.pid = self.process.pid

    def writes(self):
        return pathlib.Path(f"/proc/{self.pid}/syscall").read_text().startswith("1 0x1 ")

    def read_to_end(self):
        """Trace it, take what it writes, and stop it at its end."""
        ptrace(PTRACE_SEIZE, self.pid, PTRACE_O_TRACEEXIT)
        text = b""
        while len(text) < 4096 + len(SECRET):
            text += os.read(self.reader, 8192)
        _, status = os.waitpid(self.pid, 0)
        return text[4096:], status >> 8 == signal.SIGTRAP | PTRACE_EVENT_EXIT << 8

    def end(self):
        ptrace(PTRACE_CONT, self.pid, 0)
        os.close(self.reader)
        return self.process.wait(60)


def look(what, arguments, ciphertext, seen, go, texts):
    """One call; seen gets the document, go lets the answer out."""
    program = Program(arguments, ciphertext)
    document = wait_for(lambda: seen and seen.pop(), "the request")
    modulus = int.from_bytes(key_of(document)[33:289], "big")
    p = factor(memory(program.pid), modulus)
    check(p, f"{what}: while it waits for its answer, the key is in its memory, and found")
    numbers = private_numbers(p, modulus) if p else {}
    go.set()
    wait_for(program.writes, "the secret's being written")
    regions = memory(program.pid)
    left = found(regions, numbers, texts)
    check(not left, f"{what}: when the secret is there, key and credentials are not any more", *left)
    copies = found(regions, {}, {"the secret": SECRET})
    check(len(copies) == 1, f"{what}: and of the secret there is one copy", *copies)
    read, stopped = program.read_to_end()
    regions = memory(program.pid)
    left = found(regions, numbers, {**texts, "the secret": SECRET})
    check(read == SECRET and stopped and not left, f"{what}: at its end nothing is left", read, stopped, *left)
    check(program.end() == 0, f"{what}: which is a good one")


def answering(forger, seen, go):
    """The answer to a document, when it may go."""
    def answer(document):
        seen.append(document)
        go.wait(60)
        go.clear()
        return {"ciphertext_recipient": forger.envelope(key_of(document), secret=SECRET)}

    return answer


if os.getuid() != 0:
    skip("the memory of qt-kms", "only root can look into a process that may not be dumped")
    done()
with Rig() as rig:
    module = rig.module("good", "qingtian", PCR0)
    forger = Forger(rig.top / "forger")
    ciphertext = rig.encrypt(b"whatever")
    seen, go = [], threading.Event()
    answer = answering(forger, seen, go)
    api = rig.top / "api.sock"
    WrongServer(unix_listener(api), lambda stream: send_frame(stream, {"answer": answer(read_frame(stream)["document"])}))
    look("api mode", ["decrypt", "--proxy", f"unix:{api}", "--module", module], ciphertext, seen, go, {})

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(rig.home / "tls.pem", rig.home / "tls.key")
    pipe, creds = rig.top / "pipe.sock", rig.top / "creds.sock"
    WrongServer(unix_listener(pipe), lambda stream: http_answer(stream, answer), context)
    WrongServer(unix_listener(creds), lambda stream: (read_frame(stream), send_frame(stream, {"credentials": {**KEYS, "expires_usec": END}})))
    look("pipe mode", ["decrypt", "--mode", "pipe", "--proxy", f"unix:{pipe}", "--region", "r", "--project", "p", "--endpoint",
                       "localhost:443", "--ca-file", rig.home / "tls.pem", "--credentials", f"unix:{creds}", "--module", module],
         ciphertext, seen, go, {name: text.encode() for name, text in KEYS.items() if name != "access_key"})
done()
