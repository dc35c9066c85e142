# SPDX-License-Identifier: Apache-2.0
"""The KMS proxy over enclaves of the hypervisor qingtian: it asks the daemon whose a CID is, and judges the document.

Daemon and proxy are the real ones below the emulated vsock; the vendor's tool is the stand-in, and the enclave's part is
qt-kms with a security module on a socket, whose connection comes from the enclave's CID.
"""
import itertools
import json
import os
import signal
import socket
import subprocess
import threading

from harness import BUILD, PATIENCE, check, done, skip, wait_for
from kms_rig import OTHER_PCR0, PCR0, PROXY, Rig
from monitor_rig import gone
from qingtian_enclaves import QingTian

SECRET = b"what only the measured enclave may read"
PORT = 8001
PORTS = itertools.count(200000)


class Guarded(QingTian):
    """The proxy begins below the same emulated vsock, when its configuration is there."""

    def start(self):
        first = not hasattr(self, "tool")
        if first:
            self.command = ["sh", "-c", f'{{ until [ -e {self.top}/go ]; do sleep 0.1; done; exec {PROXY} --config {self.top}/proxy.conf'
                            f' >{self.top}/proxy.log 2>&1; }} & echo $! >{self.top}/proxy.pid; exec "$@"', "keeper", *self.command]
        super().start()


def relay(one, other):
    """One direction, to its end."""
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Enclave:
    """A socket whose connections reach the proxy as those of an enclave with this CID."""

    def __init__(self, d, rig, cid):
        self.path, self.owner, self.cid = rig.top / f"cid{cid}.sock", d.process.pid, cid
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.socket(socket.AF_UNIX)
            far.bind(f"\0nitro-device-{self.owner}-from-{self.cid}-{next(PORTS)}")
            try:
                far.connect(f"\0nitro-device-{self.owner}-listen-3-{PORT}")
            except OSError:
                near.close()
                continue
            for pair in ((near, far), (far, near)):
                threading.Thread(target=relay, args=pair, daemon=True).start()


def decrypt(rig, enclave, module):
    return rig.qt_kms("decrypt", "--proxy", f"unix:{enclave.path}", "--module", module, stdin=rig.ciphertext)


def main():
    if os.getuid() != 0:
        skip("the KMS proxy over the hypervisor qingtian", "needs root")
        return done()
    with Rig() as rig, Guarded() as d:
        rig.policy([{"Effect": "Allow", "Action": ["kms:cmk:decrypt"], "Condition": {"StringEqualsIgnoreCase": {
            "kms:RecipientAttestation/PCR0": [PCR0]}}}])
        good, other = rig.module("good", "qingtian", PCR0), rig.module("other", "qingtian", OTHER_PCR0)
        _, kms_port = rig.dev_kms("qingtian")
        rig.ciphertext = rig.encrypt(SECRET)
        rig.attest_policy(PCR0)
        (d.top / "proxy.conf").write_text(f"[proxy]\nvsock = yes\ndaemon = {d.socket}\naudit-file = {rig.top}/audit\nconnects-per-second = 1000\n"
                                          + rig.api_section("kms", PORT, kms_port, operations=["decrypt-data"]))
        (d.top / "go").write_text("")
        r = d.run("an image of a layout that nobody here knows", name="wallet")
        check(r.status == 0 and r.json()["EnclaveCID"] == 4, "an enclave of the vendor's tool", r)
        ours, stranger = Enclave(d, rig, 4), Enclave(d, rig, 77)
        wait_for(lambda: decrypt(rig, ours, good).status == 0, "the proxy")
        r = decrypt(rig, ours, good)
        last = rig.audit()[-1]
        check(r.status == 0 and r.out == SECRET and last["enclave"] == "wallet" and last["cid"] == 4 and last["verdict"] == "allowed",
              "is served: the daemon says whose the CID is", r, last)
        r = decrypt(rig, ours, other)
        check(r.status != 0 and not r.out and rig.audit()[-1]["verdict"] != "allowed",
              "another measurement than the policy's is refused, whatever the tool says of the image", r, rig.audit()[-1])
        r = decrypt(rig, stranger, good)
        check(r.status != 0 and not r.out and not [a for a in rig.audit() if a.get("cid") == 77 and a.get("verdict") == "allowed"],
              "a CID that this host did not start is served nothing, with the best of documents", r, rig.audit()[-1])
        d.ok("terminate", "wallet", "--force")
        wait_for(lambda: decrypt(rig, ours, good).status != 0, "the end of the enclave to be known")
        check(True, "nor is one that has ended")
        policy = subprocess.run([BUILD / "cli/qt-enclave", "attest", "policy", "--from-eif", d.image("no EIF of ours")],
                                capture_output=True, text=True, timeout=PATIENCE)
        check(policy.returncode != 0 and "ImageInvalid" in policy.stderr and not policy.stdout,
              "no policy is written from an image whose layout is not known", policy)
        proxy = int((d.top / "proxy.pid").read_text())
        os.kill(proxy, signal.SIGTERM)
        check(gone(proxy), "the proxy ends")
        check("PCR0" in json.dumps(d.describe("wallet").get("Measurements")), "what the tool measured is in the description")
    done()


if __name__ == "__main__":
    main()
