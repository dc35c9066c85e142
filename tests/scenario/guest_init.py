# SPDX-License-Identifier: Apache-2.0
"""qt-init in a real virtual machine: what an application gets, what the parent is told, and that every end is an end."""
import json
import sys
import time

import guest_vm
import vsock_vm
from guest_vm import Archive, Guest, app_config, bootstrap

PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"
GROUP = "root:x:0:\napp:x:1000:\nstaff:x:50:root,app\nwheel:x:60:app\n"
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def expect(actual, wanted, what):
    if actual != wanted:
        raise AssertionError(f"{what}: got {actual!r}, expected {wanted!r}")


def image(config, probe=True, files=()):
    """The application ramdisk; config None leaves app.config out."""
    a = Archive()
    if probe:
        a.file("rootfs/bin/probe", guest_vm.PROBE.read_bytes(), 0o755)
        a.file("rootfs/etc/passwd", PASSWD)
        a.file("rootfs/etc/group", GROUP)
        a.file("rootfs/tmp/kept", "kept\n")
    for path, data, *mode in files:
        a.file(path, data, *mode)
    if config is not None:
        a.file("app.config", config)
    return a.finish()


def boot(config, files=(), **options):
    """A boot that must end by itself, with everything in place."""
    g = Guest(KERNEL, BOOTSTRAP + image(config, files=files), **options)
    CONSOLES.append(g.console)
    expect(g.status, 0, "status of QEMU; it must end by itself")
    return g


def expect_failure(g, words):
    """The one line, on the console and to the parent."""
    lines = [line for line in g.said() if line.startswith("failed: ")]
    expect(len(lines), 1, "lines that say how it failed")
    if words not in lines[0]:
        raise AssertionError(f"{lines[0]!r} does not say {words!r}")
    expect(g.event("failed"), {"event": "failed", "message": lines[0][len("failed: "):][:len(g.event("failed")["message"])]},
           "event")
    expect(g.event("started"), None, "started")


@test
def exact_surroundings():
    arguments = ("probe", "report", "a b", "", "two\nlines", "'\"$HOME\\")
    g = boot(app_config(*arguments, env=("A=1 2", "EMPTY=", "NOTIFY_SOCKET=/image's/own"), workdir="/srv/made/here",
                        user="app"))
    expect(g.values("arg"), list(arguments), "argv")
    expect(sorted(g.values("env")), sorted(["A=1 2", "EMPTY=", "HOME=/home/app", "HOSTNAME=enclave",
                                            "NOTIFY_SOCKET=/run/qt-init/notify", "PATH=/usr/local/sbin:/usr/local/bin:"
                                            "/usr/sbin:/usr/bin:/sbin:/bin"]), "environment")
    for name, value in (("cwd", "/srv/made/here"), ("host", "enclave"), ("uid", "1000"), ("euid", "1000"),
                        ("gid", "1000"), ("session-leader", "1"), ("parent", "1"), ("/dev/fd", "/proc/self/fd"),
                        ("/dev/stdout", "/proc/self/fd/1"), ("/proc/self/fd/0", "/dev/null"), ("odd-signals", "0"),
                        ("open-descriptors", "0"), ("files-soft", "65536"), ("bootstrap-gone", "1"),
                        ("dev-stdout", "1"), ("kept", "kept"), ("hosts", "127.0.0.1 localhost"), ("loopback", "1")):
        expect(g.value(name), value, name)
    expect(g.values("group"), ["50", "60"], "supplementary groups")
    mounts = {line.split()[1]: line.split()[2:4] for line in g.values("mount")}
    for where, kind in (("/dev", "devtmpfs"), ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs"), ("/proc", "proc"),
                        ("/sys", "sysfs"), ("/sys/fs/cgroup", "cgroup2"), ("/run", "tmpfs")):
        expect(mounts[where][0], kind, f"file system at {where}")
    expect(set("nosuid,nodev,noexec".split(",")) <= set(mounts["/proc"][1].split(",")), True, "options of /proc")
    expect("/tmp" in mounts, False, "a tmpfs over what the image has in /tmp")


@test
def heartbeat_and_exit_code():
    g = boot(app_config("/bin/probe", "exit", "42"))
    expect(g.beats, [b"\xb7"], "heartbeat")
    expect([e["event"] for e in g.events], ["started", "exited"], "events")
    expect(g.event("exited"), {"event": "exited", "code": 42}, "exited")
    expect(g.event("started")["pid"] > 1, True, "pid")
    expect(g.said(), ["the application exited with code 42"], "console")


@test
def death_by_signal():
    g = boot(app_config("/bin/probe", "signal", "6"))
    expect(g.event("exited"), {"event": "exited", "signal": 6}, "exited")
    expect(g.said(), ["the application was killed by signal 6 (Aborted)"], "console")


@test
def out_of_memory():
    g = boot(app_config("/bin/probe", "memory"), memory=160)
    expect(g.event("exited"), {"event": "exited", "signal": 9, "out_of_memory": True}, "exited")


@test
def orphans_are_reaped():
    g = boot(app_config("/bin/probe", "orphans"))
    expect(g.value("orphans-left"), "0", "orphans")
    expect(g.event("exited"), {"event": "exited", "code": 0}, "exited")


@test
def ready_then_stopped_in_grace():
    def script(parent):
        parent.wait_for("ready")
        parent.send(command="stop", grace_ms=60000)
    g = boot(app_config("/bin/probe", "wait", "politely"), script=script)
    expect([e["event"] for e in g.events], ["started", "ready", "exited"], "events")
    expect(g.event("exited"), {"event": "exited", "code": 7}, "exited")
    expect(g.value("stopped"), "SIGTERM", "the application's own word")


@test
def stubborn_is_killed_after_grace():
    def script(parent):
        parent.wait_for("ready")
        parent.send(command="stop", grace_ms=3600000)
        parent.send(command="stop", grace_ms=300)  # sooner counts
    g = boot(app_config("/bin/probe", "wait", "stubborn"), script=script)
    expect(g.event("exited"), {"event": "exited", "signal": 9}, "exited")


@test
def stop_by_signal_to_the_first_process():
    g = boot(app_config("/bin/probe", "stop-init"))
    expect(g.event("exited"), {"event": "exited", "code": 7}, "exited")


@test
def clock_is_set_before_the_application():
    future = int(time.time()) + 86400
    g = boot(app_config("probe", "report"), greeting=b'{"command":"time","usec":%d}\n' % (future * 1000000))
    expect(g.event("clock")["action"], "set", "action")
    expect(future <= int(g.value("clock")) < future + 3600, True, "the application's clock")
    expect(g.events[0]["event"], "clock", "first event")
    expect(json.loads(g.value("clock-file")), {k: g.event("clock")[k] for k in ("offset_usec", "action")}, "the file")


@test
def clock_never_goes_back_under_the_application():
    def script(parent):
        parent.wait_for("ready")
        parent.send(command="time", usec=(int(time.time()) - 86400) * 1000000)
        parent.wait_for("clock")
        parent.send(command="stop", grace_ms=60000)
    g = boot(app_config("/bin/probe", "wait", "politely"), script=script)
    expect(g.event("clock")["action"], "refused", "action")
    expect(any("refused" in line for line in g.said()), True, "told on the console")


@test
def senseless_parent_is_survived():
    def script(parent):
        parent.wait_for("ready")
        for line in (b"\n", b"{}\n", b'{"command":"reboot"}\n', b"\xff\x00\n", b'{"command":"stop","grace_ms":-1}\n'):
            parent.stream.sendall(line)
        parent.send(command="stop", grace_ms=60000)
    g = boot(app_config("/bin/probe", "wait", "politely"), script=script)
    expect(g.event("exited"), {"event": "exited", "code": 7}, "exited")
    expect(sum("no command known here" in line for line in g.said()), 5, "lines about commands that are none")


@test
def parent_without_lifecycle_and_late_heartbeat():
    g = boot(app_config("/bin/probe", "exit", "3"), lifecycle=False, delay=4.0)
    expect(g.beats, [b"\xb7"], "heartbeat")
    expect(g.said(), ["the application exited with code 3"], "console")


@test
def image_made_for_nitro():
    ramdisk = image(None, files=(("cmd", "probe\nreport\na b\n"), ("env", "PATH=/bin\nB=2\n")))
    g = Guest(KERNEL, BOOTSTRAP + ramdisk)
    CONSOLES.append(g.console)
    expect(g.status, 0, "status of QEMU")
    expect(g.values("arg"), ["probe", "report", "a b"], "argv")
    expect({"PATH=/bin", "B=2"} <= set(g.values("env")), True, "environment")


@test
def extended_attributes():
    records = b"bin/probe\0trusted.kept\0004\0abcdtmp/kept\0user.unknown\0001\0x"
    g = boot(app_config("probe", "attribute", "/bin/probe", "trusted.kept"), files=(("rootfs.xattrs", records),))
    expect(g.value("attribute"), "abcd", "attribute")
    expect(any(line.startswith("1 extended attributes left out") for line in g.said()), True, "what was left out is told")


@test
def application_that_cannot_start():
    for config, files, words in (
            (app_config("nowhere"), (), 'program "nowhere": not found in PATH=/usr/local/sbin:'),
            (app_config("/bin/nowhere"), (), 'program "/bin/nowhere": No such file'),
            (app_config("script"), (("rootfs/bin/script", "#!/bin/absent\n", 0o755),), "interpreter or loader"),
            (app_config("./script", workdir="/srv"), (("rootfs/srv/script", "text", 0o755),), "neither a program"),
            (app_config("notes"), (("rootfs/bin/notes", "text"),), "may not execute it"),
            (app_config("probe", user="nobody"), (), 'user "nobody": not in the image'),
            (app_config("probe", workdir="/etc/passwd"), (), 'working directory "/etc/passwd": ')):
        expect_failure(boot(config, files=files), words)


@test
def image_that_is_none():
    for ramdisk, words in ((image(None), "holds neither /app.config nor /cmd"),
                           (image(b"\xff\xfegarbage"), "/app.config of the application ramdisk: "),
                           (image(app_config("probe"), probe=False), "holds no directory /rootfs")):
        g = Guest(KERNEL, BOOTSTRAP + ramdisk)
        CONSOLES.append(g.console)
        expect(g.status, 0, "status of QEMU")
        expect_failure(g, words)


@test
def wrong_heartbeat():
    g = boot(app_config("/bin/probe", "exit", "0"), heartbeat=b"x")
    expect(any("failed: the parent did not send the heartbeat's byte back" in line for line in g.said()), True, "console")


@test
def no_vsock_device_and_no_acpi():
    ramdisk = bootstrap(KERNEL, only_listed=("absent",)) + image(app_config("/bin/probe", "exit", "0"))
    g = Guest(KERNEL, ramdisk, vsock=False, acpi=False)
    CONSOLES.append(g.console)
    expect(g.status, 0, "status of QEMU")
    expect(any(line.startswith("module absent.ko: cannot be loaded: No such file") for line in g.said()), True, "module")
    expect(any(line.startswith("failed: no vsock transport after") for line in g.said()), True, "failure")


reason = vsock_vm.reason_to_skip()
if reason:
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)
KERNEL = vsock_vm.kernel_directory()
BOOTSTRAP = bootstrap(KERNEL)
wanted = sys.argv[1:]
chosen = [t for t in TESTS if not wanted or t.__name__ in wanted]
print(f"1..{len(chosen)}")
for number, function in enumerate(chosen, 1):
    CONSOLES = []
    try:
        function()
        print(f"ok {number} - {function.__name__}", flush=True)
    except Exception as e:  # whatever it is, the next test must run
        print(f"not ok {number} - {function.__name__}\n# {type(e).__name__}: {json.dumps(str(e))}", flush=True)
        for line in (CONSOLES[-1] if CONSOLES else "").splitlines()[-40:]:
            print("#  ", line)
