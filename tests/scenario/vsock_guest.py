# SPDX-License-Identifier: Apache-2.0
"""The vsock device under a real guest: QEMU's microvm with Debian's cloud kernel, both kinds of virtio-mmio."""
import os
import socket
import sys
import threading

from vsock_vm import VirtualMachine, reason_to_skip

EXPECTED = ["echo-cid3", "echo-cid2", "echo-cid0", "echo-empty", "refused-port", "refused-cid", "small-window", "parallel", "many",
            "beside-stalled", "stalled", "listen", "peer-cid"]
LAYOUTS = [("legacy", []), ("modern", ["-global", "virtio-mmio.force-legacy=false"])]
count = 0


def check(ok, name, why=""):
    global count
    count += 1
    print(f"{'ok' if ok else 'not ok'} {count} - {name}{'' if ok or not why else ': ' + why}", flush=True)
    return ok


def receive_all(s):
    data = b""
    while chunk := s.recv(65536):
        data += chunk
    return data


def talk_to_guest(vm, name):
    """The parent's side of the connections to port 5005, which the guest echoes."""
    refused, line = vm.connect(4242)
    check(line == "", f"{name}: a port without listener is refused", line)
    refused.close()
    payload = os.urandom(300000)
    streams = [vm.connect(5005)[0] for _ in range(3)]
    sent, line = vm.connect(5005)
    check(line.startswith("OK ") and line[3:].strip().isdigit(), f"{name}: the answer is OK and a number", line)
    for s in streams:
        s.close()
    sender = threading.Thread(target=lambda: (sent.sendall(payload), sent.shutdown(socket.SHUT_WR)))
    sender.start()
    got = receive_all(sent)
    sender.join()
    check(got == payload, f"{name}: the guest's echo, after our half-close, is complete", f"{len(got)} bytes")
    sent.close()
    pause(vm, name)
    last, _ = vm.connect(5005)
    last.sendall(b"quit")
    check(receive_all_exactly(last, 4) == b"quit", f"{name}: the guest still serves")
    last.close()


def pause(vm, name):
    """A stopped machine gives its queues up and takes them back: nothing of a connection is lost."""
    stream, _ = vm.connect(5005)
    stream.sendall(b"before")
    before = receive_all_exactly(stream, 6)
    vm.command("stop")
    stream.sendall(b"while")
    vm.command("cont")
    check((before, receive_all_exactly(stream, 5)) == (b"before", b"while"), f"{name}: a pause loses nothing")
    stream.close()


def receive_all_exactly(s, n):
    data = b""
    while len(data) < n and (chunk := s.recv(n - len(data))):
        data += chunk
    return data


def run(name, options):
    seen = {}
    with VirtualMachine("test", options) as vm:
        for line in vm.lines():
            if line.startswith("ok "):
                seen[line[3:]] = "ok"
                if line == "ok listen":
                    talk_to_guest(vm, name)
            elif line.startswith("not ok "):
                case, _, why = line[7:].partition(":")
                seen[case] = why
        for case in EXPECTED:
            check(seen.get(case) == "ok", f"{name}: {case}", seen.get(case, "never ran"))
        check(vm.qemu.wait(30) == 0, f"{name}: the guest ended well")
        status = vm.backend.wait(30)
        check(status == 0, f"{name}: the device ended with its guest", vm.backend.stderr.read().decode())
        if any(v != "ok" for v in seen.values()) or len(seen) < len(EXPECTED):
            for line in vm.console[-4000:].decode(errors="replace").splitlines():
                print("#", line)


skip = reason_to_skip()
if skip:
    print(f"1..0 # SKIP {skip}")
    sys.exit(0)
for layout, layout_options in LAYOUTS:
    run(layout, layout_options)
print(f"1..{count}")
