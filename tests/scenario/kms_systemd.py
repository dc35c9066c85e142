# SPDX-License-Identifier: Apache-2.0
"""qt-kms-proxy as a service of a real systemd, and on AF_VSOCK with real peers, in a parent that is a virtual machine: its
own loopback, and a peer behind /dev/vhost-vsock, whose CID its kernel says. Nothing of this touches the vsock of the machine
below. (A guest's driver is all of that peer: a machine in an emulated machine boots for longer than a test may last.)
"""
import json
import re
import subprocess

from harness import BUILD, check, done, skip
from kms_rig import PCR0, Rig, huawei_statements
from parent_vm import KERNEL, CannotBoot, ParentVM

SECRET = b"the secret of the enclave"
SECURITY_MODULE = BUILD / "tests/programs/secmod_socket"
PARENT_MODULES = ("vsock", "vmw_vsock_virtio_transport_common", "vsock_loopback", "vhost_iotlb", "vhost", "vhost_vsock")
API, PIPE, STRANGER = 8001, 8000, 77
CALL = "qt-kms decrypt --module unix:/run/module.sock --timeout 4min /secret"
CONFIG = f"""[proxy]
enclaves = /run/qt-enclave/enclaves
vsock = yes
daemon = /run/qt-enclave/qt-enclaved.sock
audit-file = /var/log/qt-enclave/kms-audit.jsonl
metrics-file = /run/qt-kms-proxy/kms.prom

[api kms]
port = {API}
provider = huawei
platform = qingtian
region = local-1
project = p1
endpoint = https://localhost:8443
ca-file = /etc/qt-enclave/kms-ca.pem
policy = /etc/qt-enclave/attest.json
root = /etc/qt-enclave/root.pem
operation = decrypt-data
credentials = credential:kms

[pipe tls]
port = {PIPE}
tls = no
allow = kms.parent.example:8444
private-addresses = yes
"""
STANDIN = """[Service]
ExecStart=
ExecStart=/usr/local/bin/qt-enclaved --monitor /opt/monitor_standin
"""
CREDENTIAL = """[Service]
LoadCredential=kms:/etc/qt-enclave/kms-credentials.json
"""
def kernel_module(name):
    return next((KERNEL / "modules").rglob(f"{name}.ko"))


def has_vsock():
    """Directories of an older fetch-kernel lack the parent's side."""
    return all(any((KERNEL / "modules").rglob(f"{name}.ko")) for name in PARENT_MODULES)


def ok(vm, script, what=None):
    r = vm.run(script)
    check(r.status == 0, what or script, r)
    return r


def shown(vm, *properties):
    out = vm.ok("systemctl show qt-kms-proxy " + " ".join(f"-p {p}" for p in properties)).out
    return dict(line.partition("=")[::2] for line in out.splitlines())


def audit(vm):
    r = vm.run("cat /var/log/qt-enclave/kms-audit.jsonl")
    return [json.loads(line) for line in r.out.splitlines()]


def unconfigured(vm):
    """Installed and enabled, and nobody has said yet what it may carry."""
    vm.ok("systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload && systemctl start qt-enclaved.socket")
    ok(vm, "systemctl enable --now qt-kms-proxy", "without a configuration the service does not fail")
    facts = shown(vm, "ActiveState", "ConditionResult", "NRestarts")
    check(facts == {"ActiveState": "inactive", "ConditionResult": "no", "NRestarts": "0"}, "but does not run either", facts)
    r = vm.run("systemctl status qt-kms-proxy")
    check("/etc/qt-enclave/qt-kms-proxy.conf" in r.out and "was not met" in r.out, "and says which file it waits for", r)
    vm.ok("echo nonsense >/etc/qt-enclave/qt-kms-proxy.conf")
    r = vm.run("systemctl start qt-kms-proxy")
    vm.wait_for("systemctl is-failed --quiet qt-kms-proxy")
    facts = shown(vm, "ActiveState", "ExecMainStatus", "NRestarts")
    check(r.status != 0 and facts == {"ActiveState": "failed", "ExecMainStatus": "2", "NRestarts": "0"},
          "a wrong configuration is no reason to try again", facts)
    r = vm.run("journalctl -u qt-kms-proxy -o cat")
    check("qt-kms-proxy.conf:1: " in r.out and "is neither [section] nor key = value" in r.out, "and the journal has the line", r)


def started(vm):
    vm.ok("ln -s $(find /usr/local -name qt-kms) /usr/local/bin/ && printf '127.0.0.1 kms.parent.example\\n127.0.0.2 kms.parent.example\\n' >>/etc/hosts && "
          "systemd-run -q --unit forward --socket-property=ListenStream=127.0.0.2:8444 /lib/systemd/systemd-socket-proxyd 127.0.0.1:8443 && "
          "systemd-run -q --unit module sh -c 'sleep 1000000 | /opt/secmod_socket /run/module.sock /opt/pki qingtian " + PCR0 +
          "' && systemd-run -q --unit dev-kms qt-dev-kms serve /opt/kms --root /opt/pki/root.pem --platform qingtian --port 8443 "
          "--port-file /run/kms-port; for m in /opt/modules/*; do [ ! -e $m ] || insmod $m || exit 1; done")
    vm.ok("qt-enclave run --eif /opt/app.eif --name web --memory 128")
    vm.wait_for("[ -S /run/module.sock -a -s /run/kms-port ]")
    vm.ok("cp /opt/proxy.conf /etc/qt-enclave/qt-kms-proxy.conf && systemctl reset-failed qt-kms-proxy")
    ok(vm, "systemctl start qt-kms-proxy", "with one it starts")
    pid = shown(vm, "MainPID")["MainPID"]
    check(vm.ok(f"stat -c %U /proc/{pid}").out == "qt-kms-proxy\n", "as its own user")
    vm.wait_for(f"[ -S /run/qt-enclave/enclaves/web/vsock.sock_{API} ]")


def call(vm, to, more=""):
    return vm.run(f"{more} {CALL.replace('decrypt', f'decrypt --proxy {to}')}")


def carried(vm):
    """A call through the sandbox: the credential, the name, the record."""
    listener = f"unix:/run/qt-enclave/enclaves/web/vsock.sock_{API}"
    check(vm.run("setpriv --reuid=qt-kms-proxy --regid=qt-kms-proxy --init-groups cat /etc/qt-enclave/kms-credentials.json").status != 0,
          "the file with the credentials is closed to the proxy's user")
    r = call(vm, listener)
    check(r.status == 0 and r.out == SECRET.decode(), "a call in api mode, with the credential that systemd handed over", r)
    record = audit(vm)[-1]
    check((record["verdict"], record["enclave"], record["http_status"], record["pcr0"]) == ("allowed", "web", 200, PCR0[:16]),
          "is in the audit file", record)
    r = vm.run("stat -c '%U:%G %a' /var/log/qt-enclave/kms-audit.jsonl && $(find /usr/local -name qt-kms-proxy -type f) audit verify "
               "/var/log/qt-enclave/kms-audit.jsonl")
    check(r.status == 0 and r.out.startswith("qt-kms-proxy:qt-kms-proxy 640") and "unbroken" in r.out, "whose chain is whole", r)
    keys = json.loads(vm.ok("cat /opt/kms/credentials.json").out)
    environment = f"HUAWEICLOUD_SDK_AK={keys['access_key']} HUAWEICLOUD_SDK_SK={keys['secret_key']}"

    def pipe():
        return call(vm, listener.replace(str(API), str(PIPE)) + " --mode pipe --region local-1 --project p1 --endpoint "
                    "localhost:8443 --ca-file /etc/qt-enclave/kms-ca.pem --credentials environment", environment)

    first = vm.ok("getent ahosts kms.parent.example").out.split()[0]
    r = pipe()
    vm.wait_for("grep -q pipe /var/log/qt-enclave/kms-audit.jsonl")
    record = audit(vm)[-1]
    check(first == "127.0.0.1" and r.status == 0 and r.out == SECRET.decode() and record["address"] == "127.0.0.2:8444",
          "and one in pipe mode, to a name that the system's resolver knows; its first address is dead, the next is tried",
          first, r, record)
    vm.ok("sed -i /^127.0.0.2.kms/d /etc/hosts")
    r = pipe()
    check(r.status == 9 and audit(vm)[-1]["reason"] == "connect-failed", "the name is looked up for each connection anew", r)
    vm.ok("sed -i /kms.parent/d /etc/hosts")
    r = pipe()
    check(r.status == 9 and audit(vm)[-1]["reason"] in ("no-such-name", "resolver-failed"),  # the VM may have no name server
          "and may be gone", r)
    journal = [json.loads(line) for line in vm.ok("journalctl -o json -u qt-kms-proxy VERDICT=allowed").out.splitlines()]
    check([x.get("MODE") for x in journal] == ["api", "pipe"] and journal[0]["OPERATION"] == "decrypt-data",
          "both are in the journal, with fields", [x["MESSAGE"] for x in journal])
    everything = vm.ok("journalctl -o export -u qt-kms-proxy; cat /var/log/qt-enclave/*").out
    check(keys["secret_key"] not in everything and SECRET.decode() not in everything, "without key and secret")


def reloaded(vm):
    pid = shown(vm, "MainPID")
    vm.ok("sed -i 's/^operation = .*/operation = gen-random/' /etc/qt-enclave/qt-kms-proxy.conf")
    ok(vm, "systemctl reload qt-kms-proxy", "systemctl reload")
    vm.wait_for("journalctl -u qt-kms-proxy -o cat | grep -q ^reloaded")
    r = call(vm, f"unix:/run/qt-enclave/enclaves/web/vsock.sock_{API}")
    check(r.status == 8 and "not allowed" in r.err, "takes an operation back", r)
    vm.ok("cp /opt/proxy.conf /etc/qt-enclave/qt-kms-proxy.conf && systemctl reload qt-kms-proxy")
    vm.wait_for("[ $(journalctl -u qt-kms-proxy -o cat | grep -c ^reloaded) = 2 ]")
    check(shown(vm, "MainPID") == pid, "in the same process")


def loopback(vm):
    """CID 1 is whoever runs on the parent itself."""
    r = vm.run("journalctl -u qt-kms-proxy -o cat | grep 'cannot listen'")
    check(r.out == "", "the proxy listens on AF_VSOCK", r)
    r = call(vm, f"vsock:1:{API}")
    record = audit(vm)[-1]
    check(r.status == 9 and not r.out, "a peer on the parent itself gets no answer", r)
    check((record["verdict"], record["reason"], record.get("cid"), record.get("enclave")) ==
          ("refused", "no-enclave-of-this-host", 1, "") and record["peer_port"] > 1023,
          "and is recorded with the CID that the kernel said, and as no enclave of this host", record)
    field = json.loads(vm.ok("journalctl -o json -n 1 -u qt-kms-proxy REASON=no-enclave-of-this-host").out)
    check(field["ENCLAVE_CID"] == "1" and int(field["PEER_PORT"]) == record["peer_port"], "in the journal too", field)


def enclave(vm):
    """Peers whose CID the parent's kernel says. The daemon runs with the hypervisor local, whose enclaves are not on this
    kernel's vsock: whoever has the CID of one there is not that enclave. (Who is served is shown in tests/unit/test_enclaves.c.)"""
    cid = vm.ok("qt-enclave describe web -o json").json()[0]["EnclaveCID"]
    for number, what in ((STRANGER, "a CID that is no enclave's is not served"),
                         (cid, "nor that of an enclave that comes through its socket, whoever has it on the vsock")):
        vm.ok(f"systemd-run -q --unit peer-{number} /opt/vhost_peer {number} {API} /run/{number}.sock")
        vm.wait_for(f"[ -S /run/{number}.sock ]")
        r = call(vm, f"unix:/run/{number}.sock")
        record = audit(vm)[-1]
        check(r.status == 9 and not r.out and (record["verdict"], record["reason"], record["cid"], record["enclave"]) ==
              ("refused", "no-enclave-of-this-host", number, ""), what, r, record)
        check(record["peer_port"] == 1024, "and is recorded with its port", record)
    vm.ok("chmod 666 /run/module.sock")
    call_of_nobody = call(vm, f"unix:/run/qt-enclave/enclaves/web/vsock.sock_{API}", "setpriv --reuid=65534 --clear-groups")
    record = audit(vm)[-1]
    check(call_of_nobody.status == 9 and (record["reason"], record["enclave"], record["peer_uid"]) ==
          ("not-the-enclaves-user", "web", 65534), "nor another local user at the socket of an enclave", call_of_nobody, record)
    vm.ok("systemctl stop qt-enclaved.socket qt-enclaved.service")
    r = call(vm, f"unix:/run/{STRANGER}.sock")
    record = audit(vm)[-1]
    check(r.status == 9 and (record["reason"], record["cid"]) == ("daemon-not-answering", STRANGER),
          "when the daemon is down, nobody on the vsock is served, and the record says that it is for that", r, record)
    journal = vm.ok("journalctl -u qt-kms-proxy -o cat | grep 'cannot ask'").out
    check("enclaves on vsock are refused until it answers" in journal and journal.count("\n") == 1, "as does the journal, once", journal)


def the_end(vm):
    vm.wait_for("grep -q '^qt_kms_proxy_calls_total{.*[23]$' /run/qt-kms-proxy/kms.prom")
    r = ok(vm, "setpriv --reuid=65534 --regid=65534 --clear-groups cat /run/qt-kms-proxy/kms.prom", "another user reads its counters")
    check(re.search(r'^qt_kms_proxy_calls_total{listener="kms",mode="api"} [23]$', r.out, re.M), "which are written", r.out)
    ok(vm, "systemctl stop qt-kms-proxy", "the service stops")
    facts = shown(vm, "Result", "ExecMainStatus")
    check(facts == {"Result": "success", "ExecMainStatus": "0"}, "well", facts)


if "libasan" in subprocess.run(["ldd", BUILD / "kms-proxy/qt-kms-proxy"], capture_output=True, text=True).stdout:
    print("1..0 # SKIP the units forbid what a sanitizer needs (its leak check traces, its start outlasts the watchdog)")
    raise SystemExit(0)
with Rig() as rig:
    rig.module("first", "qingtian", PCR0)  # makes the development root
    rig.policy(huawei_statements(PCR0))
    rig.attest_policy(PCR0)
    ciphertext = rig.encrypt(SECRET)
    keys = (rig.home / "credentials.json").read_bytes()
    try:
        files = {"/opt/monitor_standin": BUILD / "tests/programs/monitor_standin", "/opt/app.eif": "boot=10\n",
                 "/etc/systemd/system/qt-enclaved.service.d/stand-in.conf": STANDIN,
                 "/etc/systemd/system/qt-kms-proxy.service.d/credential.conf": CREDENTIAL, "/opt/proxy.conf": CONFIG,
                 "/opt/secmod_socket": SECURITY_MODULE, "/secret": ciphertext,
                 "/opt/vhost_peer": BUILD / "tests/programs/vhost_peer", "/etc/qt-enclave/attest.json": rig.top / "attest.json",
                 "/etc/qt-enclave/kms-ca.pem": rig.home / "tls.pem", "/etc/qt-enclave/root.pem": rig.top / "pki/root.pem",
                 "/etc/qt-enclave/kms-credentials.json": rig.home / "credentials.json"}
        if has_vsock():
            files |= {f"/opt/modules/{n}-{m}.ko": kernel_module(m) for n, m in enumerate(PARENT_MODULES)}
        files |= {f"/opt/kms/{p.name}": p for p in rig.home.iterdir()}
        files |= {f"/opt/pki/{p.name}": p for p in (rig.top / "pki").iterdir()}
        vm = ParentVM(files, topology=("-smp", "2", "-m", "1536M"))
    except CannotBoot as why:
        print(f"1..0 # SKIP {why}")
        raise SystemExit(0)
    with vm:
        print(f"# up after {vm.boot_seconds:.0f} s")
        for part in (unconfigured, started, carried, reloaded, loopback, enclave, the_end):
            print("#", part.__name__, flush=True)
            if part in (loopback, enclave) and not has_vsock():
                skip(part.__doc__, f"{KERNEL} is of an older scripts/fetch-kernel, without vhost_vsock; fetch it anew")
            else:
                part(vm)
done()
