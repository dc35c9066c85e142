# SPDX-License-Identifier: Apache-2.0
"""A file system of one file, whose owner never answers a close(2): what anybody may pass a descriptor of."""
import ctypes
import os
import signal
import struct

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 17, 18, 25, 26
NO_REPLY = (FORGET, FLUSH, 36, 42)  # also INTERRUPT and BATCH_FORGET
ENOSYS = 38
FILE = 2  # its node; 1 is the root
libc = ctypes.CDLL(None, use_errno=True)


class Silent:
    """Mounted at `path` with the file "image" in it; None of its closes ends before end()."""
    def __init__(self, path, content):
        self.path, self.content = path, content
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if libc.mount(b"silent", os.fsencode(path), b"fuse", 6, options) < 0:
            number = ctypes.get_errno()
            os.close(self.fd)
            raise OSError(number, "cannot mount FUSE: " + os.strerror(number))
        self.flushes_read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.flushes_read)
            try:
                self.serve(write)
            finally:
                os._exit(0)
        os.close(write)
        os.close(self.fd)

    def attributes(self, node):
        mode, size = (0o40755, 0) if node == 1 else (0o100644, len(self.content))
        return struct.pack("<6Q10I", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def answer(self, opcode, node, body):
        if opcode == INIT:
            return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 12, 10, 65536, 1, 32, 0, *[0] * 8)
        if opcode == LOOKUP:
            if body.rstrip(b"\0") != b"image":
                return -2
            return struct.pack("<4Q2I", FILE, 0, 3600, 3600, 0, 0) + self.attributes(FILE)
        if opcode == GETATTR:
            return struct.pack("<Q2I", 3600, 0, 0) + self.attributes(node)
        if opcode == OPEN:
            return struct.pack("<Q2I", 0, 0, 0)
        if opcode == READ:
            _, offset, size = struct.unpack_from("<2QI", body)
            return self.content[offset:offset + size]
        return b"" if opcode == RELEASE else -ENOSYS

    def serve(self, write):
        while True:
            request = os.read(self.fd, 1 << 20)
            _, opcode, unique, node = struct.unpack_from("<2I2Q", request)
            if opcode == FLUSH:
                os.write(write, b"f")
            if opcode in NO_REPLY:
                continue
            made = self.answer(opcode, node, request[40:])
            error, body = (made, b"") if isinstance(made, int) else (0, made)
            os.write(self.fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)

    def wait_flush(self):
        """Somebody has begun to close the file."""
        os.read(self.flushes_read, 1)

    def end(self):
        """Whoever waits is let go."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        libc.umount2(os.fsencode(self.path), 2)
        os.close(self.flushes_read)
