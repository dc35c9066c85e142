# SPDX-License-Identifier: Apache-2.0
"""The audit file of qt-kms-proxy in an operator's hands: rotated, written by one proxy only."""
import pathlib
import shutil
import signal
import subprocess
import tempfile

from harness import check, done
from kms_proxy_pipe import PROXY, Echo, Proxy, echo_section, until


def talk(proxy, n):
    """n connections, each with its record."""
    for _ in range(n):
        before = len(proxy.records())
        with proxy.connect("one", 8002) as s:
            s.sendall(b"x")
            s.recv(1)
        until(lambda: len(proxy.records()) > before)


def verify(file, *more):
    return subprocess.run([PROXY, "audit", "verify", file, *more], capture_output=True, text=True)


def second_proxy(root, proxy):
    path = proxy.path("one", 8002)
    inode = path.stat().st_ino
    second = subprocess.run([PROXY, "--config", proxy.config], capture_output=True, text=True, timeout=60)
    check(second.returncode != 0 and f"another qt-kms-proxy writes the audit file {root}/audit" in second.stderr,
          "a second proxy with the same audit file does not start, and says why", second)
    check(path.stat().st_ino == inode, "and leaves the sockets of the first one alone")


def rotated(root, proxy):
    until(proxy.path("one", 8002).exists)
    talk(proxy, 3)
    (root / "audit").rename(root / "audit.1")
    proxy.process.send_signal(signal.SIGHUP)
    check(until((root / "audit").exists), "after mv and SIGHUP there is a new audit file")
    talk(proxy, 2)
    old = verify(root / "audit.1")
    check(old.returncode == 0 and "3 records, an unbroken chain" in old.stdout, "the old one is whole", old)
    head = old.stdout.split()[-1]
    new = verify(root / "audit", "--after", head)
    check(new.returncode == 0 and "2 records, an unbroken chain" in new.stdout, "and the new one follows its head", new)
    alone = verify(root / "audit")
    check(alone.returncode == 1 and "--after" in alone.stderr, "without that its beginning is missing", alone)
    check(verify(root / "audit", "--after", "00").returncode == 2, "a hash is 64 digits")


def main():
    root = pathlib.Path(tempfile.mkdtemp(prefix="qt-kp."))
    (root / "e/one").mkdir(parents=True)
    echo = Echo()
    proxy = Proxy(root, f"""[proxy]
enclaves = {root}/e
audit-file = {root}/audit
{echo_section(echo.port)}""")
    try:
        until(proxy.path("one", 8002).exists)
        second_proxy(root, proxy)
        rotated(root, proxy)
        check(proxy.end() == 0, "the proxy ends well")
    finally:
        proxy.close()
        shutil.rmtree(root, ignore_errors=True)
    done()


main()
