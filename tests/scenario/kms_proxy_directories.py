# SPDX-License-Identifier: Apache-2.0
"""Where qt-kms-proxy looks for enclaves: what is not there, is no directory, or does not take its sockets is said once."""
import pathlib
import shutil
import tempfile

from harness import check, done
from kms_proxy_pipe import Proxy, until

CONFIG = """[proxy]
enclaves = {}
[pipe one]
port = 8002
allow = localhost:1
[pipe two]
port = 8003
allow = localhost:1
"""


def lines(proxy, text):
    return [line for line in (proxy.root / "log").read_text().splitlines() if text in line]


def look_again(proxy, root, n):
    """Each new directory makes the proxy look at all of them."""
    for i in range(n):
        (root / f"e/more{i}").mkdir()
        until(proxy.path(f"more{i}", 8003).exists)
    for i in range(n):
        shutil.rmtree(root / f"e/more{i}")


def missing(proxy, root):
    said = until(lambda: lines(proxy, "waiting for the directory"))
    check(len(said) == 1 and f"{root}/e" in said[0], "a directory that is not there is waited for, with a word", said)
    (root / "e/one").mkdir(parents=True)
    check(until(proxy.path("one", 8002).exists), "and used when it comes")
    check(len(lines(proxy, "waiting for the directory")) == 1, "it was said once", lines(proxy, ""))


def unservable(proxy, root):
    for name in ("bad", "worse"):
        (root / name / "vsock.sock_8002").mkdir(parents=True)
        (root / name).rename(root / "e" / name)
    until(lambda: len(lines(proxy, "cannot listen for this enclave")) == 2)
    look_again(proxy, root, 3)
    said = lines(proxy, "cannot listen for this enclave")
    check(len(said) == 2 and all(f"{root}/e/{name}: Is a directory" in "".join(said) for name in ("bad", "worse")),
          "two enclaves that cannot be listened for are two lines, however often it tries", said)
    check(proxy.path("bad", 8003).is_socket(), "one listener that fails takes no other with it")
    (root / "e/bad/vsock.sock_8002").rmdir()
    check(until(proxy.path("bad", 8002).is_socket), "one is served as soon as it can be")
    proxy.path("bad", 8002).unlink()
    proxy.path("bad", 8002).mkdir()
    look_again(proxy, root, 3)
    said = lines(proxy, "cannot listen for this enclave")
    check(len(said) == 3 and "/e/bad" in said[2], "and said anew when it fails anew", said)


def no_directory(root):
    (root / "other").mkdir()
    (root / "file").write_text("")
    proxy = Proxy(root / "other", CONFIG.format(root / "file"))
    try:
        said = until(lambda: lines(proxy, "cannot look for enclaves"))
        check(len(said) == 1 and f"{root}/file: Not a directory" in said[0], "what is no directory is named", said)
        check(proxy.end() == 0, "and the proxy ends well")
    finally:
        proxy.close()


def main():
    root = pathlib.Path(tempfile.mkdtemp(prefix="qt-kp."))
    proxy = Proxy(root, CONFIG.format(root / "e"))
    try:
        missing(proxy, root)
        unservable(proxy, root)
        check(proxy.end() == 0, "the proxy ends well")
        no_directory(root)
    finally:
        proxy.close()
        shutil.rmtree(root, ignore_errors=True)
    done()


main()
