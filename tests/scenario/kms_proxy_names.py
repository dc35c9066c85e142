# SPDX-License-Identifier: Apache-2.0
"""qt-kms-proxy looks a name up for each connection and tries all its addresses: with an /etc/hosts of its own, where only one of
several addresses has somebody listening, where others do not even refuse, and which changes between connections."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading

from harness import check, done, skip
from kms_proxy_pipe import PROXY, Echo, Proxy, refused, until

NAME = "kms.qt-enclave.test"
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
NAMESPACE = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--mount"]


class Server(Echo):
    """The same on another address of loopback."""

    def __init__(self, address, port):
        self.listener = socket.create_server((address, port), backlog=16)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Silent:
    """Neither takes a connection nor refuses it: the queue of those that nobody accepts is full."""

    def __init__(self, address, port):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(0)
        self.waiting = []
        with contextlib.suppress(TimeoutError):
            while True:
                self.waiting.append(socket.create_connection((address, port), timeout=0.5))

    def end(self):
        for s in [*self.waiting, self.listener]:
            s.close()


def in_namespace(hosts, *command):
    """With the files of this directory in place of the system's."""
    own = 'for f in hosts nsswitch.conf resolv.conf; do [ ! -e /etc/$f ] || mount --bind "$0/$f" /etc/$f || exit 1; done; exec "$@"'
    return [*NAMESPACE, "sh", "-c", own, str(hosts.parent), *map(str, command)]


def write_resolver(directory, sources):
    """Where names are looked up; nobody answers at the name server."""
    (directory / "nsswitch.conf").write_text(f"hosts: {sources}\n")
    (directory / "resolv.conf").write_text("nameserver 127.0.0.99\noptions timeout:1 attempts:1\n")


def write_hosts(hosts, *addresses):
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{a} {NAME}\n" for a in addresses))


class ProxyThere(Proxy):
    def __init__(self, root, config, hosts):
        self.root, self.config = root, root / "proxy.conf"
        self.config.write_text(config)
        self.log = open(root / "log", "w+")
        self.process = subprocess.Popen(in_namespace(hosts, PROXY, "--config", self.config), stderr=self.log)

    def reaches(self):
        """Which address a connection came to, from its record."""
        before = len(self.records())
        with self.connect("one", 8002) as s, contextlib.suppress(OSError):
            s.sendall(b"x")
            s.shutdown(socket.SHUT_WR)
            while s.recv(64):
                pass
        found = until(lambda: self.records()[before:])
        return found[0]["reason"], found[0].get("address", "").rpartition(":")[0]


def order_of_addresses(hosts):
    """As the resolver gives them."""
    found = subprocess.run(in_namespace(hosts, "getent", "ahosts", NAME), capture_output=True, text=True, check=True)
    return [line.split()[0] for line in found.stdout.splitlines() if "STREAM" in line]


def fails(proxy, what, reason, address, error):
    before = len(proxy.records())
    with proxy.connect("one", 8002) as s:
        check(refused(s), f"{what}: the connection ends")
    record = until(lambda: proxy.records()[before:])[0]
    check((record["reason"], record.get("address"), record.get("error")) == (reason, address, error),
          f"and the record says {reason}, which address and what the system said", record)


def silent_addresses(proxy, hosts, port):
    *silent, last = order_of_addresses(hosts)
    mute, server = [Silent(address, port) for address in silent], Server(last, port)
    found = proxy.reaches()
    check(len(mute) > 1 and found == ("closed", last), f"{silent} do not answer: the last address is tried in time", found)
    server.end()
    mute.append(Silent(last, port))
    with proxy.connect("one", 8002) as s:
        check(refused(s), "nor does the last one: the connection ends")
    record = proxy.records()[-1]
    check((record["reason"], record["address"]) == ("handshake-timeout", f"{last}:{port}"), "and the record says which was the last",
          record)
    for listener in mute:
        listener.end()


def look_ups(root, hosts):
    free = socket.create_server((ADDRESSES[0], 0))
    port = free.getsockname()[1]
    free.close()
    write_hosts(hosts, *ADDRESSES)
    proxy = ProxyThere(root, f"""[proxy]
enclaves = {root}/e
audit-file = {root}/audit
connects-per-second = 1000
[pipe echo]
port = 8002
tls = no
allow = {NAME}:{port}
private-addresses = yes
""", hosts)
    try:
        # Whatever the order in which the resolver gives them, two of three are not the first.
        for address in ADDRESSES:
            server = Server(address, port)
            found = proxy.reaches()
            check(found == ("closed", address), f"of {len(ADDRESSES)} addresses the one where somebody listens is found: {address}", found)
            server.end()
        silent_addresses(proxy, hosts, port)
        last = order_of_addresses(hosts)[-1]
        fails(proxy, "none of them", "connect-failed", f"{last}:{port}", "Connection refused")
        servers = [Server("127.0.0.5", port), Server("127.0.0.6", port)]
        for address in ("127.0.0.5", "127.0.0.6", "127.0.0.5"):
            write_hosts(hosts, address)
            found = proxy.reaches()
            check(found == ("closed", address), f"the name moves to {address}: the next connection goes there", found)
        write_hosts(hosts)
        fails(proxy, "the name is gone", "no-such-name", None, "Name or service not known")
        write_resolver(hosts.parent, "files dns")
        fails(proxy, "the name server does not answer", "resolver-failed", None, "Temporary failure in name resolution")
        for server in servers:
            server.end()
        check(proxy.end() == 0, "and the proxy ends well")
    finally:
        proxy.close()


def main():
    root = pathlib.Path(tempfile.mkdtemp(prefix="qt-kp."))
    try:
        (root / "e/one").mkdir(parents=True)
        (root / "etc").mkdir()
        hosts = root / "etc/hosts"
        write_hosts(hosts, ADDRESSES[0])
        write_resolver(root / "etc", "files")
        tried = subprocess.run(in_namespace(hosts, "getent", "ahosts", NAME), capture_output=True, text=True)
        if tried.returncode != 0 or ADDRESSES[0] not in tried.stdout:
            skip("look-ups", "needs a mount namespace, and a resolver that reads /etc/hosts: " + tried.stderr.strip())
        else:
            look_ups(root, hosts)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    done()


main()
