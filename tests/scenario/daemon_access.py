# SPDX-License-Identifier: Apache-2.0
"""Who may do what. (That nobody can keep the daemon from serving the others is daemon_flood.py's.)"""
import grp
import json
import os
import pathlib
import re
import socket
import subprocess

from harness import CLI, PATIENCE, STANDIN, Daemon, Result, check, done, read_message, skip, wait_for

if os.getuid() != 0:
    skip("access", "needs root to become several users")
    done()

GROUP = grp.getgrgid(100)  # Debian's "users": stands for qt-enclave
ALICE, BOB, EVE = (54321, GROUP.gr_gid), (54322, GROUP.gr_gid), (54323, 54323)
CONFIG = f"group:{GROUP.gr_name}\nenclaves_max:8\nquota_enclaves:2\nquota_cpus:6\nquota_memory_mib:2048\n"


def as_(user, d, *arguments):
    """The CLI as somebody else."""
    command = ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", "--", CLI, *arguments]
    p = subprocess.run(command, env={**d.environment, "QT_ENCLAVE_SOCKET": d.socket},
                       capture_output=True, text=True, timeout=PATIENCE)
    return Result(p)


def wants(d, user, status, error, what, *arguments):
    r = as_(user, d, *arguments)
    check(r.status == status and (not error or f"qt-enclave: {error}: " in r.err), what, r)
    return r


def classes(d):
    image = d.image()
    wants(d, ALICE, 0, None, "a member of the group starts an enclave", "run", "--eif", image, "--name", "hers",
          "--memory", "512", "--debug")
    check(d.describe("hers")["Uid"] == ALICE[0], "it is hers")
    wants(d, BOB, 0, None, "another member may look", "describe", "hers")
    for verb in (["terminate", "hers"], ["console", "hers"], ["connect", "hers", "7"]):
        wants(d, BOB, 8, "PermissionDenied", f"but not {verb[0]}", *verb)
    wants(d, BOB, 0, None, "terminate --all means all of one's own", "terminate", "--all")
    check(d.describe("hers")["State"] == "running", "not hers")
    wants(d, ALICE, 8, "PermissionDenied", "the pool is root's", "pool", "set", "--memory", "0")
    wants(d, ALICE, 0, None, "looking at it is everybody's", "pool", "show")
    wants(d, EVE, 8, "PermissionDenied", "who is in no group cannot even connect", "describe")
    wants(d, ALICE, 7, "QuotaExceeded", "quota of memory", "run", "--eif", image, "--memory", "1537")
    wants(d, ALICE, 7, "QuotaExceeded", "quota of CPUs", "run", "--eif", image, "--memory", "128", "--cpus", "6")
    wants(d, ALICE, 0, None, "within all of them", "run", "--eif", image, "--name", "second", "--memory", "128")
    wants(d, ALICE, 7, "QuotaExceeded", "quota of enclaves", "run", "--eif", image, "--memory", "128")
    wants(d, BOB, 0, None, "which is not Bob's quota", "run", "--eif", image, "--name", "his", "--memory", "128")
    d.ok("terminate", "his")
    wants(d, ALICE, 0, None, "her own end when she says so", "terminate", "--all")
    log = d.log_text()
    check(f"uid {ALICE[0]}: Run hers: starting" in log and f"uid {BOB[0]}: Terminate hers: PermissionDenied" in log,
          "every decision is in the log", log)


def names(d):
    """Whose enclave has ended may have its name again, and nobody else: the record would be gone."""
    image = d.image("run=0 end=exited code=5")
    wants(d, ALICE, 0, None, "an enclave that ends", "run", "--eif", image, "--name", "lost", "--memory", "128")
    d.wait_state("lost", "stopped")
    again = "run", "--eif", d.image(name="lost.eif"), "--memory", "128"
    wants(d, BOB, 6, "NameInUse", "its name is not another user's", *again, "--name", "lost")
    wants(d, BOB, 0, None, "who gets the next one", *again)
    check(d.describe("lost")["Reason"]["ExitCode"] == 5 and d.describe("lost_1")["Uid"] == BOB[0], "so the record is still there")
    wants(d, BOB, 0, None, "his own", "terminate", "lost_1")
    wants(d, BOB, 0, None, "is free again", *again, "--name", "lost_1")
    wants(d, BOB, 0, None, "without being forgotten", "terminate", "lost_1")
    wants(d, ALICE, 0, None, "and so is hers", *again, "--name", "lost")
    wants(d, ALICE, 0, None, "for her", "terminate", "lost")
    d.ok(*again, "--name", "lost")
    check(d.describe("lost")["Uid"] == 0, "root has any")
    d.ok("terminate", "lost")


def call(path, message, timeout=PATIENCE):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)  # blocking: a full backlog is waited for
        s.settimeout(timeout)
        s.sendall(message)
        return read_message(s)


DESCRIBE = b'{"method":"io.qtenclave.Manager.Describe"}\0'


def introspection(d):
    info = json.loads(call(d.socket, b'{"method":"org.varlink.service.GetInfo"}\0')[:-1])["parameters"]
    check("io.qtenclave.Manager" in info["interfaces"] and info["vendor"] == "qt-enclave", "GetInfo", info)
    text = json.loads(call(d.socket, b'{"method":"org.varlink.service.GetInterfaceDescription","parameters":'
                                     b'{"interface":"io.qtenclave.Manager"}}\0')[:-1])["parameters"]["description"]
    answer = call(d.socket, b'{"method":"io.qtenclave.Manager.Describe","parameters":{"Nmae":"x"}}\0')
    check(b"io.qtenclave.Manager.InvalidParameter" in answer and b"Nmae" in answer, "an unknown member is refused", answer)
    for line in text.splitlines():
        if line.startswith("method "):
            name = line.split()[1].split("(")[0]
            answer = call(d.socket, json.dumps({"method": "io.qtenclave.Manager." + name,
                                                "parameters": {"No": 1}}).encode() + b"\0")
            check(b"MethodNotImplemented" not in answer and b"InvalidParameter" in answer, f"{name} has a handler", answer)


def quota_of_the_waiting():
    """Enclaves that wait for their restart are their owner's still, and what is given up is one of the ended."""
    config = f"group:{GROUP.gr_name}\nenclaves_max:8\nquota_enclaves:1\nended_max:2\nrestart_limit:1\nrestart_delay:{{}}\n"
    with Daemon(monitor=STANDIN, config=config.format(60000)) as d:
        for path in (d.home, d.runtime):
            os.chmod(path, 0o755)
        run = ("run", "--eif", d.image("run=20 end=killed signal=6"), "--restart", "always", "--name")
        wants(d, ALICE, 0, None, "one enclave", *run, "first")
        wait_for(lambda: "RestartUSec" in d.describe("first"), "the back-off")
        wants(d, ALICE, 7, "QuotaExceeded", "and no second while it waits for its restart", *run, "second")
        wants(d, BOB, 0, None, "which is not Bob's quota", *run, "his")
    with Daemon(monitor=STANDIN, config=config.format(20)) as d:
        for path in (d.home, d.runtime):
            os.chmod(path, 0o755)
        run = ("run", "--eif", d.image("run=20 end=killed signal=6"), "--restart", "always", "--name")
        for name in ("a", "b", "c", "d"):
            wants(d, ALICE, 0, None, f"{name} in its turn", *run, name)
            wait_for(lambda: d.describe(name).get("CrashLoop"), "its crash loop")
        check(sorted(d.all()) == ["c", "d"], "no more are remembered than ended_max", d.all())


class OtherDevice(Daemon):
    """A daemon that finds a device of another group, by a mount that only it sees."""
    group = 0

    def start(self):
        device = self.top / "kvm"
        device.touch()
        os.chown(device, 0, self.group)
        os.chmod(device, 0o660)
        self.command = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /dev/kvm && exec "$@"', str(device), *self.command]
        super().start()


class OfUsers(OtherDevice):
    group = GROUP.gr_gid


def devices():
    """A monitor gets the group that opens its device, and never root's."""
    for kind, groups in ((OtherDevice, ""), (OfUsers, str(GROUP.gr_gid))):
        with kind(monitor=STANDIN) as d:
            pid = d.ok("run", "--eif", d.image(), "--name", "a", "--memory", "128", "-o", "json").json()["ProcessID"]
            found = re.search(r"^Groups:\t(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1).strip()
            check(found == groups, f"groups of a monitor whose device is of group {kind.group}", found)
            d.ok("terminate", "a", "--force")


with Daemon(monitor=STANDIN, config=CONFIG) as d:
    os.chmod(d.home, 0o755)
    os.chmod(d.runtime, 0o755)
    for part in (classes, names, introspection):
        print("#", part.__name__)
        part(d)
quota_of_the_waiting()
if os.path.exists("/dev/kvm"):
    devices()
else:
    skip("a monitor's groups", "needs a /dev/kvm to put another one over")
done()
