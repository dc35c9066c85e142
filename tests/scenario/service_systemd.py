# SPDX-License-Identifier: Apache-2.0
"""The service on a parent where systemd is the first process: installation, activation, sandbox, watchdog, upgrade, units.

Most enclaves here are the stand-in's, as an emulated parent is slow; what starts them, keeps them and ends them is real.
"""
import json
import re

from harness import BUILD, check, done
from parent_vm import CannotBoot, ParentVM

SMALL = "--memory 128"
DROP_IN = """[Service]
ExecStart=
ExecStart=/usr/local/bin/qt-enclaved --monitor /opt/monitor_standin
WatchdogSec=5s
# A stopped process does not dump core in time on a slow machine
TimeoutAbortSec=5s
"""
PROXY = """[proxy]
enclaves = /run/qt-enclave/enclaves
audit-file = /var/log/qt-enclave/kms-audit.log

[pipe kms]
port = 8443
allow = kms.example.com:443
"""
FILES = {"/opt/monitor_standin": BUILD / "tests/programs/monitor_standin",
         "/opt/app.eif": "boot=10\n", "/opt/lasts.eif": "stop=3000\n", "/opt/slow.eif": "boot=4000\n", "/opt/fails.eif": "run=10 end=exited code=3\n",
         "/etc/systemd/system/qt-enclaved.service.d/stand-in.conf": DROP_IN,
         "/etc/systemd/system/qt-enclave@.service.d/once.conf": "[Service]\nRestart=no\n",
         "/etc/qt-enclave/instances/slow": f"IMAGE=/opt/slow.eif\nOPTIONS={SMALL}\n",
         "/etc/qt-enclave/instances/fails": f"IMAGE=/opt/fails.eif\nOPTIONS={SMALL}\n",
         "/etc/qt-enclave/qt-kms-proxy.conf": PROXY}


def ok(vm, script, what=None, user=None):
    r = vm.run(script, user)
    check(r.status == 0, what or script, r)
    return r


def describe(vm, name):
    r = vm.run(f"qt-enclave describe {name} -o json")
    return r.json()[0] if r.status == 0 else {}


def shown(vm, unit, *properties):
    out = vm.ok(f"systemctl show {unit} " + " ".join(f"-p {p}" for p in properties)).out
    return dict(line.partition("=")[::2] for line in out.splitlines())


def installed(vm):
    ok(vm, "systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload", "a package's steps after unpacking")
    ok(vm, "getent group qt-enclave && id -nG qt-kms-proxy | grep -qw qt-enclave", "sysusers.d makes group and user")
    r = ok(vm, "stat -c '%U:%G %a' /run/qt-enclave /etc/qt-enclave /etc/qt-enclave/enclaves.d /etc/qt-enclave/instances /var/lib/qt-enclave",
           "tmpfiles.d makes the directories")
    check(set(r.out.splitlines()) == {"root:root 755"}, "which are root's", r)
    units = "qt-enclaved.socket qt-enclaved.service qt-enclave-shutdown.service qt-enclave@x.service qt-kms-proxy.service"
    r = vm.run(f"systemd-analyze verify --man=no {units}")
    check(r.status == 0 and not r.err.strip(), "systemd has no complaint about the units", r)
    ok(vm, "ls /usr/local/share/man/man1/qt-enclave.1* /usr/local/share/man/man8/qt-enclaved.8* "
       "/usr/local/share/man/man5/qt-enclaved.conf.5* /usr/local/share/man/man7/io.qtenclave.Manager.7*",
       "the manual pages are where man looks for them")
    r = vm.run("qt-enclave describe")
    check(r.status == 9 and "DaemonUnreachable" in r.err, "nothing runs that nobody started", r)
    check("systemctl start qt-enclaved" in vm.run("qt-enclave doctor").out, "and doctor says what to do")


def activation(vm):
    ok(vm, "systemctl enable --now qt-enclaved.socket")
    check(vm.run("systemctl is-active qt-enclaved").out == "inactive\n", "the socket alone starts no daemon")
    ok(vm, "qt-enclave describe", "the first call does")
    facts = shown(vm, "qt-enclaved", "ActiveState", "Type", "NotifyAccess", "MainPID", "StatusText")
    check(facts["ActiveState"] == "active" and facts["Type"] == "notify", "and the daemon told systemd that it is ready", facts)
    r = vm.run("qt-enclave doctor")
    check(all(f"ok       {x}" in r.out for x in ("unit", "group", "socket", "daemon")) and "wrong" not in r.out,
          "doctor finds the unit, the group, the socket and the daemon", r)


def users(vm):
    ok(vm, "for u in alice bob carol; do systemd-sysusers --inline \"u $u -\"; done; "
       "systemd-sysusers --inline 'm alice qt-enclave' 'm bob qt-enclave'", "three users, two of the group")
    r = vm.run(f"qt-enclave run --eif /opt/app.eif --name hers {SMALL}", "alice")
    check(r.status == 0, "a member of qt-enclave starts an enclave", r)
    e = describe(vm, "hers")
    check(e["Uid"] == int(vm.ok("id -u alice").out), "which is hers")
    owner = vm.ok(f"stat -c %u /proc/{e['ProcessID']}").out.strip()
    check(owner not in ("0", str(e["Uid"])), "its monitor runs as neither root nor her", owner)
    r = vm.run(f"cat /proc/{e['ProcessID']}/status | grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):'")
    check("CapEff:\t0000000000000000" in r.out and "NoNewPrivs:\t1" in r.out, "without a capability", r)
    r = vm.run("qt-enclave terminate hers", "bob")
    check(r.status == 8 and "PermissionDenied" in r.err and describe(vm, "hers")["State"] == "running", "another member may not end it", r)
    check(vm.run("qt-enclave describe hers", "bob").status == 0, "but see it")
    r = vm.run("qt-enclave describe", "carol")
    check(r.status != 0 and r.err.count("\n") == 1, "who is not a member cannot connect", r)
    r = vm.run("qt-enclave pool set --memory 64", "alice")
    check(r.status == 8 and "PermissionDenied" in r.err, "and no member resizes the pool", r)


def survives(vm):
    """The daemon ends in every way that systemd knows; the enclave goes on."""
    pid = describe(vm, "hers")["ProcessID"]

    def same(what):
        vm.wait_for("systemctl is-active --quiet qt-enclaved && qt-enclave describe hers")
        e = describe(vm, "hers")
        check((e.get("ProcessID"), e.get("State")) == (pid, "running"), what, e)

    def main_pid():
        return shown(vm, "qt-enclaved", "MainPID")["MainPID"]

    ok(vm, "systemctl restart qt-enclaved")
    same("the enclave goes on through systemctl restart")
    before = main_pid()
    vm.ok(f"kill -9 {before}")
    vm.wait_for(f"p=$(systemctl show -P MainPID qt-enclaved); [ $p != 0 -a $p != {before} ]")
    same("through kill -9, after which systemd starts the next daemon")
    before = main_pid()
    group = "/sys/fs/cgroup/system.slice/qt-enclaved.service"
    vm.ok("systemctl set-property --runtime qt-enclaved MemoryMax=100M")
    vm.run(f"sh -c 'echo $$ >{group}/cgroup.procs; echo 1000 >/proc/self/oom_score_adj; exec tail /dev/zero'")
    vm.wait_for("journalctl -u qt-enclaved -o cat | grep -i 'oom.killer'")
    check(main_pid() == before, "what the kernel kills for its memory beside it does not end the daemon", main_pid(), before)
    same("nor the enclave")
    vm.ok("systemctl set-property --runtime qt-enclaved MemoryMax=infinity")
    ok(vm, "cp /usr/local/bin/qt-enclaved /usr/local/bin/.new && mv /usr/local/bin/.new /usr/local/bin/qt-enclaved && "
       "systemctl restart qt-enclaved && [ /proc/$(systemctl show -P MainPID qt-enclaved)/exe -ef /usr/local/bin/qt-enclaved ]",
       "an upgrade replaces the program")
    same("and not the enclave")
    ok(vm, "systemctl stop qt-enclaved.service qt-enclaved.socket")
    check(vm.run(f"kill -0 {pid}").status == 0, "nor does stopping the service end it")
    ok(vm, "systemctl start qt-enclaved.socket qt-enclaved.service")
    same("and the next daemon has it")
    before = main_pid()
    vm.ok(f"kill -STOP {before}")
    vm.wait_for(f"p=$(systemctl show -P MainPID qt-enclaved); [ $p != 0 -a $p != {before} ]")
    check("atchdog" in vm.ok("journalctl -u qt-enclaved -o cat").out, "a daemon that hangs is ended by the watchdog")
    same("and the enclave stays")
    ok(vm, "qt-enclave terminate hers", user="alice", what="its owner ends it")


def sandbox(vm):
    """What the daemon must be able to do from behind ProtectSystem=, its capabilities and its system call filter."""
    pages = "cat /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
    vm.ok("printf 'mode:dedicated\\nhugepage_size:2\\n' >/etc/qt-enclave/qt-enclaved.conf && systemctl restart qt-enclaved")
    ok(vm, "qt-enclave pool set --cpus 2 && qt-enclave pool set --memory 256 --node 1", "the sandboxed daemon takes CPUs and huge pages, live")
    check(vm.ok(pages).out == "128\n", "which the machine has", vm.run(pages))
    r = ok(vm, "qt-enclave run --eif /opt/app.eif --name big --memory 256", "an enclave of the dedicated pool")
    r = vm.run("qt-enclave pool set --memory 0 --node 1")
    check(vm.ok(pages).out == "128\n", "an enclave's pages stay", r)
    ok(vm, "qt-enclave terminate big && qt-enclave pool set --memory 0 --node 1 && qt-enclave pool set --cpus 0", "and go back when it is over")
    check(vm.ok(pages).out == "0\n", "every one", vm.run(pages))
    vm.ok("printf '' >/etc/qt-enclave/qt-enclaved.conf && systemctl restart qt-enclaved")
    r = vm.run("journalctl -k -o cat | grep -i 'type=1326\\|apparmor'; journalctl -u qt-enclaved -p err -o cat | grep -vi watchdog")
    check("EPERM" not in r.out and "not permitted" not in r.out, "nothing was refused", r)
    write = "nsenter -m -t $(systemctl show -P MainPID qt-enclaved) touch /run/enclave/lock /var/log/qingtian_enclaves/qingtian-tool.log"
    check(vm.run("ls -d /run/enclave /var/log/qingtian_enclaves").status != 0, "what only QingTian parents have is not made elsewhere")
    vm.ok("mknod /dev/qtbox_service0 c 1 3 && systemctl restart qt-enclaved")
    ok(vm, write, "on one of them, the vendor's tool can write its lock and its log from inside the sandbox")
    vm.ok("rm -r /dev/qtbox_service0 /run/enclave /var/log/qingtian_enclaves && systemctl restart qt-enclaved")


def instances(vm):
    vm.ok("systemctl start --no-block qt-enclave@slow")
    vm.wait_for("qt-enclave describe slow | grep -q booting")
    check(shown(vm, "qt-enclave@slow", "ActiveState")["ActiveState"] == "activating", "qt-enclave@slow is not active while its enclave boots")
    vm.wait_for("systemctl is-active --quiet qt-enclave@slow")
    e = describe(vm, "slow")
    check(e["Ready"] and e["State"] == "running", "but when the application said that it is ready", e)
    ok(vm, "systemctl restart qt-enclaved")
    check(vm.run("systemctl is-active qt-enclave@slow").out == "active\n", "it stays through a restart of the daemon")
    ok(vm, "systemctl stop qt-enclave@slow")
    facts = shown(vm, "qt-enclave@slow", "ActiveState", "Result", "ExecMainStatus")
    check(facts == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}, "its stop is a terminate, and a success", facts)
    check("stopped by uid" in vm.ok("journalctl -u qt-enclave@slow -o cat").out, "whose reason is in its journal")
    vm.run("systemctl start qt-enclave@fails")
    vm.wait_for("systemctl is-failed --quiet qt-enclave@fails")
    facts = shown(vm, "qt-enclave@fails", "ExecMainStatus", "Result")
    said = vm.ok("journalctl -u qt-enclave@fails -o cat").out
    check(facts["ExecMainStatus"] == "11" and "exited with code 3" in said, "its failure has the status and the reason of the enclave's", facts, said)


def declared(vm):
    vm.ok("printf 'eif:/opt/app.eif\\nmemory_mib:128\\n' >/etc/qt-enclave/enclaves.d/web.conf")
    ok(vm, "systemctl reload qt-enclaved")
    vm.wait_for("qt-enclave wait web --for running")
    check(describe(vm, "web")["State"] == "running", "a declared enclave starts with a reload")
    pid = describe(vm, "web")["ProcessID"]
    vm.ok("printf 'eif:/opt/app.eif\\nmemory_mib:128\\n' >/etc/qt-enclave/enclaves.d/second.conf && systemctl reload qt-enclaved")
    vm.wait_for("qt-enclave wait second --for running")
    check(describe(vm, "web")["ProcessID"] == pid, "another one does not touch it")
    vm.ok("rm /etc/qt-enclave/enclaves.d/second.conf && systemctl reload qt-enclaved")
    vm.wait_for("! qt-enclave describe | grep -q second")
    check(describe(vm, "web")["ProcessID"] == pid, "nor does its end when its file is gone")


def records(vm):
    lines = [json.loads(x) for x in vm.ok("journalctl -o json ENCLAVE=web").out.splitlines()]
    check(lines and all(x["ENCLAVE"] == "web" and x["_SYSTEMD_UNIT"] == "qt-enclaved.service" for x in lines), "the journal has a field for the enclave", lines[:2])
    check(any("running" in x["MESSAGE"] for x in lines), "and its states", [x["MESSAGE"] for x in lines])
    r = ok(vm, "qt-enclave logs web")
    check("running" in r.out and "hers" not in r.out, "logs NAME shows them", r)
    alice = vm.ok("id -u alice").out.strip()
    audit = vm.ok("journalctl -o json ENCLAVE=hers").out
    asked = [(x.get("REQUEST_UID"), x.get("REQUEST_METHOD")) for x in map(json.loads, audit.splitlines())]
    check((alice, "Terminate") in asked, "and who asked for what", asked)
    out = ok(vm, "qt-enclave metrics").out
    check('qt_enclave_enclaves{state="running"} 1' in out, "the counters see what runs", out)
    ok(vm, "mkdir -p /var/lib/prom && qt-enclave metrics --output /var/lib/prom/qt.prom && grep -q ^qt_enclave_pool /var/lib/prom/qt.prom",
       "for node_exporter as well")


def proxy(vm):
    ok(vm, "systemctl start qt-kms-proxy", "qt-kms-proxy.service starts in its sandbox")
    pid = shown(vm, "qt-kms-proxy", "MainPID")["MainPID"]
    check(vm.ok(f"stat -c %U /proc/{pid}").out == "qt-kms-proxy\n", "as its own user")
    r = vm.wait_for("ls /run/qt-enclave/enclaves/web/ | grep 8443")
    check("vsock.sock_8443" in r.out, "and listens for the enclave", r)
    ok(vm, "qt-kms-proxy audit verify /var/log/qt-enclave/kms-audit.log", "the operator's own call of it is found where programs are")
    r = vm.run("journalctl -u qt-kms-proxy -o cat -p warning")
    check("ermission" not in r.out, "with every right that it needs", r)


def the_end(vm):
    """Enclaves that are no units: each is asked and has its time, and the journal knows why it ended."""
    check(describe(vm, "web")["State"] == "running", "an enclave runs when the parent goes down")
    ok(vm, f"qt-enclave run --eif /opt/lasts.eif --name lasts --restart always {SMALL}", "another takes its time to end")
    r = vm.run("systemctl stop qt-enclave-shutdown")
    check(r.status != 0 and describe(vm, "web")["State"] == "running", "nobody stops by mistake what ends them", r)
    vm.ok("mkdir -p /run/systemd/journald.conf.d && printf '[Journal]\\nForwardToConsole=yes\\nTTYPath=/dev/ttyS0\\n' "
          ">/run/systemd/journald.conf.d/console.conf && systemctl restart systemd-journald")
    console = vm.power_off()
    check(vm.process.returncode == 0 and "reboot: Power down" in console, "the parent shuts down in order", console[-2000:])
    for name in ("web", "lasts"):
        told = re.search(rf"{name}: stopped: (.*)", console)
        check(told and "the parent shuts down" in told.group(1), f"{name}: had its time, and the journal has the reason", console[-4000:])


try:
    vm = ParentVM(FILES)
except CannotBoot as why:
    print(f"1..0 # SKIP {why}")
    raise SystemExit(0)
with vm:
    print(f"# up after {vm.boot_seconds:.0f} s")
    for part in (installed, activation, users, survives, sandbox, instances, declared, records, proxy, the_end):
        print("#", part.__name__, flush=True)
        part(vm)
done()
