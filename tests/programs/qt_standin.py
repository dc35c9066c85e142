#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for the vendor's tool: prints the texts of its documentation and of field reports, and runs no enclave.

Copied into a directory of its own, where it keeps its state. The image is its script, in words:
  slow=MS      start takes so long           code=N      start prints the sentence of code N and fails
  bare=N       ... prints only the number    raise=WORD  ... dies as Python does: docker, knack, permission
  wrongcid     start lies about the CID      silent      start prints nothing
  quiet        no JSON behind the line       noisy       warnings around everything, the word error among them
  life=MS      the enclave's life            exit=N      its application tells that on the lifecycle channel
  zombie       a stop does not stop it       late        the first query fails
  flood=KIB    so much noise in front        debuglie    LaunchMode is debug, whatever was asked for
  mute         one query prints nothing      sulk        the first stop fails and prints nothing
A file "hang" beside it: the commands named in it never end. A file "old": a version without query-eif. A file "stop2": the other message of stop. It counts as failed when its
environment is not the one that it should have.
"""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(os.path.realpath(__file__)).parent
STATE = HERE / "enclaves"
WARNING = ("qt enclave logger: log file exists but has no permission\n"
           "log file path is /var/log/qingtian_enclaves/qingtian-tool.log\n")


def words(path):
    found = {}
    for word in pathlib.Path(path).read_text(errors="replace").split():
        key, _, value = word.partition("=")
        found[key] = value
    return found


def sentence(code):
    text = (HERE / "codes").read_text()
    return re.search(rf'^CODE\({code}, "([^"]*)"', text, re.M).group(1)


def alive():
    STATE.mkdir(exist_ok=True)
    for path in sorted(STATE.iterdir()):
        e = json.loads(path.read_text())
        try:
            os.kill(e["ProcessID"], 0)
            if pathlib.Path(f"/proc/{e['ProcessID']}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                yield e
                continue
        except OSError:
            pass
        path.unlink()


def serve(cid, life, status):
    """The vendor's background process. It is what keeps the tool's output open."""
    pid = (HERE / "owner").read_text() if (HERE / "owner").exists() else ""
    channel = None
    if pid:
        channel = socket.socket(socket.AF_UNIX)
        channel.bind(f"\0nitro-device-{pid}-from-{cid}-{os.getpid()}")
        channel.connect(f"\0nitro-device-{pid}-listen-3-9001")
        channel.sendall(b'{"event":"started"}\n{"event":"ready"}\n')
    end = time.monotonic() + life / 1000
    if channel:
        channel.settimeout(life / 1000)
        try:
            while b"stop" not in (data := channel.recv(4096)) and data:
                pass
        except TimeoutError:
            pass
        channel.sendall(b'{"event":"exited","code":%d}\n' % status)
        channel.settimeout(30)
        try:
            while channel.recv(4096):
                pass
        except OSError:
            pass
    else:
        time.sleep(max(0, end - time.monotonic()))


def start(o):
    w = words(o["eif"])
    time.sleep(int(w.get("slow", 0)) / 1000)
    noise = WARNING + "0 error(s) in the log\n" if "noisy" in w else ""
    noise += f"{'noise' * 40}\n" * (int(w.get("flood", 0)) * 1024 // 201)
    print(noise, end="", flush=True)
    if w.get("raise") == "permission":
        raise PermissionError(13, "Permission denied", "/var/run/enclave/lock")
    if "raise" in w:
        raise ModuleNotFoundError(f"No module named '{w['raise']}'")
    if "code" in w:
        print(sentence(int(w["code"])) + ".")
        sys.exit(1)
    if "bare" in w:
        print(f"error code: {int(w['bare']):02}")
        sys.exit(1)
    number = next(i for i in range(100) if i not in [e["EnclaveID"] for e in alive()])
    server = subprocess.Popen([sys.executable, __file__, "server", o["cid"], w.get("life", "600000"), w.get("exit", "0")],
                              start_new_session=True)
    e = {"EnclaveID": number, "ProcessID": server.pid, "EnclaveCID": int(o["cid"]), "NumberOfCPUs": int(o["cpus"]),
         "MemoryMiB": int(o["mem"]), "LaunchMode": "debug" if "debug-mode" in o or "debuglie" in w else "normal"}
    (STATE / str(number)).write_text(json.dumps({**e, "words": w}))
    if "silent" in w:
        return
    cid = 77 if "wrongcid" in w else e["EnclaveCID"]
    print(f"Started enclave with EnclaveID : {number}, EnclaveCID : {cid}, NumberOfCPUs : {o['cpus']}, MemoryMiB : {o['mem']}")
    if "quiet" not in w:
        print(json.dumps({**{k: v for k, v in e.items() if k != "ProcessID"}, "EnclaveCID": cid}, indent=4))


def once(enclave, word):
    """True the first time that this is asked of an enclave whose image has the word."""
    mark = HERE / f"{word}-once"
    if word not in enclave["words"] or mark.exists():
        return False
    mark.write_text("")
    return True


def query():
    entries = list(alive())
    for e in entries:
        if once(e, "late"):
            sys.exit("Lock acquire failure.")
        if once(e, "mute"):
            return
    noisy = any("noisy" in e.pop("words") for e in entries)
    print((WARNING if noisy else "") + (json.dumps(entries, indent=4) if entries else "[]"))


def stop(number):
    for e in alive():
        if e["EnclaveID"] == number:
            if once(e, "sulk"):
                return
            if "zombie" not in e["words"]:
                os.kill(e["ProcessID"], signal.SIGKILL)
            if (HERE / "stop2").exists():
                print(f"stop enclave {number} successfully\n" + json.dumps({"EnclaveID": number}, indent=4))
            else:
                print(f"stop {number} success")
            return
    sys.exit("The required enclave is not running.")


def console(number):
    print("the first line\nHeartbeat and time synchronization success", flush=True)
    while any(e["EnclaveID"] == number for e in alive()):
        time.sleep(0.1)


def main():
    if sys.argv[1] == "server":
        return serve(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    if (os.environ.get("LC_ALL"), os.environ.get("PYTHONUNBUFFERED")) != ("C.UTF-8", "1"):
        sys.exit("File operation failure.")
    STATE.mkdir(exist_ok=True)
    verb, rest, o = sys.argv[2], sys.argv[3:], {}
    while rest:
        key = rest.pop(0)[2:]
        o[key] = "" if key == "debug-mode" else rest.pop(0)
    with open(HERE / "calls", "a") as f:
        f.write(" ".join(sys.argv[1:]) + "\n")
    if (HERE / "hang").exists() and verb in (HERE / "hang").read_text().split():
        time.sleep(100000)
    if verb == "query-eif":
        if (HERE / "old").exists():
            sys.exit("qt enclave: error: argument _subcommand: invalid choice: 'query-eif'")
        print(json.dumps({"digest": "SHA384", "PCR0": "ab" * 48, "PCR8": "00" * 48}, indent=4))
    elif verb == "start":
        start(o)
    elif verb == "query":
        query()
    elif verb == "stop":
        stop(int(o["enclave-id"]))
    elif verb == "console":
        console(int(o["enclave-id"]))


main()
