# SPDX-License-Identifier: Apache-2.0
"""The limits of qt-kms-proxy that end or refuse a connection in pipe mode, each set small: what goes beyond is cut off and
recorded with the limit's name, what stays within is served."""
import contextlib
import pathlib
import shutil
import socket
import tempfile
import threading
import time

from harness import check, done
from kms_proxy_pipe import Echo, Proxy, echo_section, until


@contextlib.contextmanager
def proxy_with(limits, echo):
    root = pathlib.Path(tempfile.mkdtemp(prefix="qt-kp."))
    for enclave in ("one", "two"):
        (root / "e" / enclave).mkdir(parents=True)
    proxy = Proxy(root, f"""[proxy]
enclaves = {root}/e
audit-file = {root}/audit
{limits}
{echo_section(echo.port)}""")
    try:
        yield proxy
        check(proxy.end() == 0, "and the proxy ends well")
    finally:
        proxy.close()
        shutil.rmtree(root, ignore_errors=True)


def echoed(s, data=b"x"):
    s.sendall(data)
    return s.recv(len(data)) == data


def talk_until_cut(s, pause):
    """Say a byte now and then; how long that went well."""
    begun = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() - begun < 60 and echoed(s):
            time.sleep(pause)
    return time.monotonic() - begun


def records(proxy, enclave):
    return [r for r in proxy.records() if r["enclave"] == enclave]


def lifetime(echo):
    with proxy_with("lifetime = 2s", echo) as proxy, proxy.connect("one", 8002) as s:
        check(echoed(s), "lifetime: a connection begins")
        talk_until_cut(s, 0.1)
        found = until(lambda: records(proxy, "one"))
        check([r["reason"] for r in found] == ["lifetime"] and found[0]["bytes_out"] > 2,
              "one that is busy all the time ends when its lifetime is over", found)


def idle(echo):
    with proxy_with("idle-timeout = 2s", echo) as proxy, proxy.connect("one", 8002) as silent, proxy.connect("two", 8002) as busy:
        check(echoed(silent) and echoed(busy), "idle-timeout: two connections begin")
        talker = threading.Thread(target=talk_until_cut, args=(busy, 0.2))
        talker.start()
        found = until(lambda: records(proxy, "one"))
        check([r["reason"] for r in found] == ["idle-timeout"] and silent.recv(1) == b"", "the silent one is let go", found)
        check(not records(proxy, "two") and talker.is_alive(), "the busy one goes on", records(proxy, "two"))
        busy.shutdown(socket.SHUT_RDWR)
        talker.join()


def bytes_of_a_connection(echo):
    with proxy_with("bytes-per-connection = 100000", echo) as proxy:
        for size, reason in ((40000, "closed"), (150000, "bytes-limit")):
            before = len(records(proxy, "one"))
            with proxy.connect("one", 8002) as s, contextlib.suppress(OSError):
                threading.Thread(target=drain, args=(s,), daemon=True).start()
                s.sendall(bytes(size))
                s.shutdown(socket.SHUT_WR)
                until(lambda: len(records(proxy, "one")) > before)
            found = until(lambda: records(proxy, "one")[before:])
            check([r["reason"] for r in found] == [reason], f"bytes-per-connection: {size} bytes there and back: {reason}", found)


class Sink:
    """Counts what arrives at it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.arrived = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            size = 0
            with connection, contextlib.suppress(OSError):
                while data := connection.recv(65536):
                    size += len(data)
            self.arrived.append(size)


def not_one_more(_):
    """A limit is what may leave, not what is noticed when it has left."""
    for limit in ("bytes-per-connection", "bytes-per-hour"):
        sink = Sink()
        with proxy_with(f"{limit} = 1000", sink) as proxy:
            for size, reason in ((700, "closed"), (1 << 20, limit.replace("per-connection", "limit").replace("-hour", "-hour-limit"))):
                with proxy.connect("one" if size < 1000 else "two", 8002) as s, contextlib.suppress(OSError):
                    s.sendall(bytes(size))
                    s.shutdown(socket.SHUT_WR)
                    s.recv(1)
                enclave = "one" if size < 1000 else "two"
                found = until(lambda: records(proxy, enclave))
                until(lambda: sink.arrived)
                check([r["reason"] for r in found] == [reason] and found[0]["bytes_out"] == min(size, 1000) and
                      sink.arrived.pop() <= 1000, f"{limit} = 1000: {size} bytes: {reason}, and no more than that arrive", found)


def drain(s):
    with contextlib.suppress(OSError):
        while s.recv(65536):
            pass


def connects(echo):
    """A second's worth may be saved up, so two seconds' worth can come at once."""
    with proxy_with("connects-per-second = 2", echo) as proxy:
        proxy.connect("two", 8002).close()
        served = 0
        for _ in range(20):
            with proxy.connect("one", 8002) as s, contextlib.suppress(OSError):
                served += echoed(s)
        until(lambda: any("connects-per-second-limit" in r["reason"] for r in records(proxy, "one")))
        found = {r["reason"].split(",")[0] for r in records(proxy, "one") if r["verdict"] == "refused"}
        check(found == {"connects-per-second-limit"} and 4 <= served < 20, f"connects-per-second: {served} of 20 are served", found)
        with proxy.connect("two", 8002) as s:
            check(echoed(s), "another enclave is not touched by that")


server = Echo()
for part in (lifetime, idle, bytes_of_a_connection, not_one_more, connects):
    print("#", part.__name__)
    part(server)
done()
