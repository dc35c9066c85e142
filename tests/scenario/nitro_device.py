# SPDX-License-Identifier: Apache-2.0
"""The emulated /dev/nitro_enclaves keeps the driver's rules for an ordinary program: this one, run below it."""
import ctypes
import errno
import fcntl
import mmap
import os
import pathlib
import select
import socket
import struct
import subprocess
import sys

import eif_bytes
from harness import BUILD, check, done, skip
from huge_pages import HugePages

DEVICE = "/dev/nitro_enclaves"
POOL = "/sys/module/nitro_enclaves/parameters/ne_cpus"
CREATE_VM, ADD_VCPU, LOAD_INFO, ADD_MEMORY, START = 0x8008ae20, 0xc004ae21, 0xc010ae22, 0x4018ae23, 0xc010ae24
MAP_HUGETLB = 0x40000
MIB = 1 << 20


def ioctl(fd, request, layout, *values):
    """What the driver wrote, or the errno, negative."""
    data = bytearray(struct.pack(layout, *values))
    try:
        fcntl.ioctl(fd, request, data, True)
    except OSError as e:
        return (-e.errno,)
    return struct.unpack(layout, data)


def create(device):
    uid = ctypes.c_uint64()
    try:
        return fcntl.ioctl(device, CREATE_VM, uid), uid.value
    except OSError as e:
        return -e.errno, 0


def address_of(memory):
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def image(script):
    return eif_bytes.compose([(eif_bytes.KERNEL, b"k"), (eif_bytes.CMDLINE, script.encode()), (eif_bytes.METADATA, b"{}"),
                              (eif_bytes.RAMDISK, b"x"), (eif_bytes.RAMDISK, b"y")])


def heartbeat(listener, cid):
    select.select([listener], [], [], 60)
    connection, peer = listener.accept()
    check(peer[0] == cid, "accept tells the CID of the enclave", peer)
    connection.setblocking(True)
    byte = connection.recv(1)
    connection.sendall(byte)
    check(byte == b"\xb7", "its heartbeat arrives", byte)


def as_a_program():
    """Below the device."""
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    check(pathlib.Path(POOL).read_text() == "2,10\n", "ne_cpus is readable")
    enclave, uid = create(device)
    check(enclave > 0 and uid > 0 and not os.get_inheritable(enclave), "NE_CREATE_VM: a descriptor, close-on-exec")
    check(ioctl(enclave, LOAD_INFO, "QQ", 1, 0) == (1, 8 * MIB), "the image belongs at 8 MiB")
    ordinary = mmap.mmap(-1, 4 * MIB)
    start = (address_of(ordinary) + 2 * MIB - 1) // (2 * MIB) * 2 * MIB
    ordinary[:] = bytes(4 * MIB)
    check(ioctl(enclave, ADD_MEMORY, "QQQ", 0, 2 * MIB, start) == (-263,), "ordinary memory is refused with 263")
    memory = mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_HUGETLB)
    eif = image("life=100 say=hello")
    memory[8 * MIB:8 * MIB + len(eif)] = eif
    child = os.fork()
    if child == 0:
        r = ioctl(enclave, ADD_MEMORY, "QQQ", 0, 64 * MIB, address_of(memory))
        os._exit(-r[0] if len(r) == 1 else 0)
    check(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.EIO, "another address space is refused with EIO")
    check(len(ioctl(enclave, ADD_MEMORY, "QQQ", 0, 64 * MIB, address_of(memory))) == 3, "huge pages are taken, in one call")
    check(ioctl(enclave, ADD_VCPU, "I", 2) == (2,) and ioctl(enclave, ADD_VCPU, "I", 0) == (10,), "a core's threads")
    try:
        pathlib.Path(POOL).write_text("2,10")
        check(False, "the pool cannot change while an enclave is there")
    except PermissionError:
        check(True, "the pool cannot change while an enclave is there")
    listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    listener.bind((socket.VMADDR_CID_ANY, 9000))
    listener.listen()
    listener.setblocking(False)
    check(ioctl(enclave, START, "QQ", 1, 17) == (1, 17), "NE_START_ENCLAVE")
    console = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    console.connect((0, 10017))
    heartbeat(listener, 17)
    poll = select.poll()
    poll.register(enclave, 0)
    check(any(e & select.POLLHUP for _, e in poll.poll(60000)), "the end of the enclave is a hang-up")
    text = b""
    while part := console.recv(4096):
        text += part
    check(b"begins\nhello\nheartbeat\n" in text, "the console was there from its first byte", text)
    check(create(device)[0] == -272, "its CPUs are its own until the descriptor is closed")
    os.close(enclave)
    check(create(device)[0] == -errno.EBUSY, "the first creation after an end loses the race")
    second, _ = create(device)
    check(second > 0, "and then the slot is free")
    os.close(second)
    for text in ("\n", "2\n"):
        pathlib.Path(POOL).write_text("2,10\n")
        check(pathlib.Path(POOL).read_text() == "2,10\n\n", "ne_cpus is what was written")
        try:
            pathlib.Path(POOL).write_text(text)
            check(False, "no pool without whole cores", text)
        except OSError as e:
            check(e.errno == errno.EINVAL and pathlib.Path(POOL).read_text() == "\n" and create(device)[0] == -272,
                  f"{text!r} is refused, and leaves no pool", e)
    done()


if len(sys.argv) > 1:
    as_a_program()
elif os.getuid() != 0:
    skip("the emulated device", "needs root")
    done()
else:
    with HugePages(32) as pages:
        if pages.why:
            skip("the emulated device", pages.why)
            done()
        sys.exit(subprocess.run([BUILD / "tests/programs/nitro_device", "--pool", "2,10", "--race", "1", "--",
                                 sys.executable, __file__, "below"], timeout=300).returncode)
