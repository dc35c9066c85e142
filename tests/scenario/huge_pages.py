# SPDX-License-Identifier: Apache-2.0
"""2 MiB huge pages for a test, and back as they were; one test of this machine at a time."""
import fcntl
import os
import pathlib

FILE = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
FREE = FILE.with_name("free_hugepages")
LOCK = "/run/lock/qt-enclave-test-huge-pages"


def lock_huge_pages():
    """Held until the file that is returned is closed: the kernel's count is one for all tests of a machine."""
    lock = open(LOCK, "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


class HugePages:
    """with HugePages(64) as pages: pages.why is None when they are there, else why not."""

    def __init__(self, count):
        self.count, self.why, self.before, self.lock = count, None, None, open(os.devnull)

    def __enter__(self):
        try:
            self.lock = lock_huge_pages()
            self.before = int(FILE.read_text())
            pathlib.Path("/proc/sys/vm/compact_memory").write_text("1")
            FILE.write_text(str(self.before + self.count))
            if self.free() < self.count:
                self.why = f"the kernel found {self.free()} of {self.count} huge pages"
        except OSError as e:
            self.why = f"no huge pages: {e}"
        return self

    @staticmethod
    def free():
        return int(FREE.read_text())

    def __exit__(self, *_):
        if self.before is not None:
            FILE.write_text(str(self.before))
        self.lock.close()
