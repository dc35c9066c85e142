# SPDX-License-Identifier: Apache-2.0
"""Processes of other users, who do to the daemon what they like."""
import ctypes
import os
import signal

USERS = 100  # Debian's group "users": stands for qt-enclave
ALICE, BOB = 54321, 54322


def child(uid, work, *arguments):
    """A process of that user that ends with us. It says "." for each thing done, "x" for each that went wrong."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            os.setgroups([])
            os.setresgid(USERS, USERS, USERS)
            os.setresuid(uid, uid, uid)
            ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL; after the uid has changed, which clears it
            work(lambda good=True: os.write(writer, b"." if good else b"x"), *arguments)
        finally:
            os._exit(0)
    os.close(writer)
    return pid, reader


def end(pid, reader):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reader)
