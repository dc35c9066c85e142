# SPDX-License-Identifier: Apache-2.0
"""A parent: a virtual machine of Debian 12 with systemd as its first process, and our programs installed into it.

    with ParentVM(files={"/opt/app.eif": image_bytes}) as vm:
        vm.ok("systemctl start qt-enclaved.socket")
        r = vm.run("qt-enclave describe -o json", user="alice")      # r.status, r.out, r.err, r.json()

Emulated (TCG), by default with two NUMA nodes of two cores of two threads each, and without any network. Three parts:
the root file system is made once by mmdebstrap and kept in ~/.cache/qt-enclave; `meson install` goes into an archive that
the machine unpacks when it is up, as from a package; and a shell behind the second serial port runs what it is told.
"""
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import select
import shlex
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time

from guest_vm import tsc_khz

BUILD = pathlib.Path(os.environ["QT_BUILD_ROOT"])
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "qt-enclave"
PATIENCE = 240  # seconds for one command
SCRIPT_MAX = 32768  # what a serial port's buffers hold
SILENCE = 100  # seconds without a word before "ready"; it is up after 30
KERNEL = pathlib.Path(os.environ.get("QT_ENCLAVE_KERNEL_DIR") or "/nonexistent")

# What a parent has of its own; the libraries of our programs are found by packages_of().
PACKAGES = ("systemd", "systemd-sysv", "dbus", "libnss-systemd", "procps", "kmod", "qemu-system-x86")
SHELL = r"""stty -F /dev/ttyS1 raw -echo
exec <>/dev/ttyS1 >&0
echo ready
while read -r length; do
        head -c "$length" >/run/parent-shell.script
        /bin/sh /run/parent-shell.script </dev/null >/run/parent-shell.out 2>/run/parent-shell.err
        echo "$? $(stat -c %s /run/parent-shell.out) $(stat -c %s /run/parent-shell.err)"
        cat /run/parent-shell.out /run/parent-shell.err
done
"""
UNIT = """[Unit]
Description=Runs what the test says
[Service]
ExecStart=/bin/sh /usr/lib/parent-shell
IgnoreSIGPIPE=no
KillMode=process
Restart=always
"""
ADDED = {"usr/lib/parent-shell": SHELL, "etc/systemd/system/parent-shell.service": UNIT, "etc/hostname": "parent\n",
         "etc/fstab": "", "etc/machine-id": ""}
LINKS = {"etc/systemd/system/multi-user.target.wants/parent-shell.service": "../parent-shell.service",
         # Waits for a udev that is not there
         "etc/systemd/system/serial-getty@ttyS0.service": "/dev/null"}
TOPOLOGY = ("-smp", "8,sockets=2,cores=2,threads=2", "-m", "4G",
            "-object", "memory-backend-memfd,id=node0,size=2G", "-numa", "node,nodeid=0,memdev=node0,cpus=0-3",
            "-object", "memory-backend-memfd,id=node1,size=2G", "-numa", "node,nodeid=1,memdev=node1,cpus=4-7")


class CannotBoot(Exception):
    """Something that a parent is made of is not here: the reason to skip."""


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"status {self.status}\nstdout: {self.out}\nstderr: {self.err}"


def packages_of(programs):
    """The Debian packages of the shared libraries that these programs load."""
    found = set()
    for program in programs:
        for line in subprocess.run(["ldd", program], capture_output=True, text=True).stdout.splitlines():
            path = line.partition("=> ")[2].split(" ")[0]
            if "libasan" in path:
                raise CannotBoot("the units forbid what a sanitizer needs (its leak check traces, its start outlasts the watchdog)")
            if path.startswith("/") and not path.startswith(str(BUILD)):
                found.add(os.path.realpath(path))
    packages = set()
    for path in found:
        names = [path, path.removeprefix("/usr")]  # as the package has it: before or after the merge of /usr
        owner = subprocess.run(["dpkg-query", "-S", *names], capture_output=True, text=True).stdout
        if not owner:
            raise CannotBoot(f"{path} belongs to no Debian package")
        packages.add(owner.partition(":")[0])
    return packages


def make_root(image, packages):
    """Debian's packages and the shell, as an ext4 file system; the way to it needs root or subordinate ids."""
    with tempfile.TemporaryDirectory(prefix="qt-parent-", dir="/var/tmp") as place:
        place = pathlib.Path(place)
        made = subprocess.run(["mmdebstrap", "--quiet", "--variant=essential", "--include=" + ",".join(sorted(packages)),
                               "--aptopt=Apt::Install-Recommends \"false\"",
                               *(f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in ("doc", "man", "locale")),
                               "bookworm", place / "root.tar"], capture_output=True, text=True)
        if made.returncode != 0:
            raise CannotBoot("mmdebstrap: " + (made.stderr.strip().splitlines() or ["failed"])[-1])
        for name, text in ADDED.items():
            path = place / "added" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name, target in LINKS.items():
            (place / "added" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "added" / name).symlink_to(target)
        fresh = image.with_suffix(".new")
        fresh.write_bytes(b"")
        # Owners are true in there: as root, or as the root of a user name space.
        steps = (f"cd {place} && mkdir tree && tar -x -f root.tar -C tree && tar -c -C added --owner=0 --group=0 . | tar -x -C tree && "
                 f"/sbin/mke2fs -q -t ext4 -O ^has_journal -d tree {place}/root.ext4 1200M && rm -rf tree")
        as_root = [] if os.getuid() == 0 else ["unshare", "--map-auto", "--map-root-user", "--"]
        done = subprocess.run([*as_root, "sh", "-ec", steps], capture_output=True, text=True)
        if done.returncode != 0:
            raise CannotBoot("mke2fs: " + (done.stderr.strip().splitlines() or ["failed"])[-1])
        subprocess.run(["cp", "--sparse=always", place / "root.ext4", fresh], check=True)
        fresh.rename(image)


def root_image(programs):
    """The root file system for these programs; made when the cache does not have it."""
    for tool in ("mmdebstrap", "qemu-system-x86_64", "mke2fs"):
        if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise CannotBoot(f"{tool} is not installed")
    if not (KERNEL / "vmlinuz").exists():
        raise CannotBoot("QT_ENCLAVE_KERNEL_DIR names no kernel; see scripts/fetch-kernel")
    packages = packages_of(programs) | set(PACKAGES)
    recipe = hashlib.sha256(json.dumps([sorted(packages), ADDED, LINKS], sort_keys=True).encode()).hexdigest()[:16]
    CACHE.mkdir(parents=True, exist_ok=True)
    image = CACHE / f"parent-{recipe}.ext4"
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.exists():
            make_root(image, packages)
    return image


def install(place):
    """`meson install` as a packager calls it; the programs among what came of it."""
    done = subprocess.run(["meson", "install", "-C", str(BUILD), "--no-rebuild", "--quiet", "--destdir", str(place)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError("meson install: " + done.stdout + done.stderr)
    return [p for p in place.rglob("*") if p.is_file() and not p.is_symlink() and p.read_bytes()[:4] == b"\x7fELF"]


def pack(archive, tree, files):
    """A tar that can be read from a disk: the installed tree, and {path: bytes or a program's path}."""
    def of_root(member):
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    with tarfile.open(archive, "w") as tar:
        for path in sorted(tree.rglob("*")):
            if not path.is_dir():
                tar.add(path, str(path.relative_to(tree)), filter=of_root)
        for name, content in files.items():
            if isinstance(content, (str, bytes)):
                (tree.parent / "file").write_bytes(content.encode() if isinstance(content, str) else content)
                content = tree.parent / "file"
            tar.add(content, name.lstrip("/"), filter=of_root)
    with open(archive, "ab") as f:
        f.truncate(-(-f.tell() // 4096) * 4096)


class ParentVM:
    """files: {path in the machine: text, bytes or a pathlib.Path here}; kernel_options: more words for its kernel."""

    def __init__(self, files=None, kernel_options="", topology=TOPOLOGY):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="qt-parent-"))
        self.process = None
        try:
            self._boot(files or {}, kernel_options, topology)
        except BaseException:
            self.close()
            raise

    def _boot(self, files, kernel_options, topology):
        tree = self.directory / "tree"
        programs = install(tree) + [f for f in files.values() if isinstance(f, pathlib.Path) and os.access(f, os.X_OK)]
        root = root_image(programs)
        pack(self.directory / "package.tar", tree, files)
        shutil.rmtree(tree)
        command = ["qemu-system-x86_64", "-M", "q35,sata=off,usb=off,smbus=off", "-accel", "tcg,thread=single",
                   # The model "max" says it is AMD's, whose threads this emulator cannot describe.
                   "-cpu", "max,vendor=GenuineIntel", *topology, "-nodefaults", "-no-user-config", "-no-reboot",
                   "-display", "none", "-monitor", "none", "-serial", f"file:{self.directory}/console",
                   "-device", "nvme,serial=parent,id=disk",
                   "-drive", f"id=root,file={root},format=raw,if=none,snapshot=on", "-device", "nvme-ns,drive=root,nsid=1",
                   "-drive", f"id=package,file={self.directory}/package.tar,format=raw,if=none,readonly=on",
                   "-device", "nvme-ns,drive=package,nsid=2", "-kernel", str(KERNEL / "vmlinuz"),
                   "-append", f"console=ttyS0 root=/dev/nvme0n1 rw panic=-1 tsc=reliable tsc_early_khz={tsc_khz()} "
                   f"systemd.show_status=false {kernel_options}"]
        began = time.monotonic()
        self._launch(command)
        if not self._comes_up():
            print(f"# the emulated parent hung after {len(self.console())} bytes of its console; once more", flush=True)
            self.process.kill()
            self.process.wait()
            self._launch(command)
            if not self._comes_up():
                raise AssertionError("the parent does not come up\n" + self.console()[-4000:])
        self.ok("tar -x -f /dev/nvme0n2 -C / && ldconfig")
        self.boot_seconds = time.monotonic() - began

    def _launch(self, command):
        ours, theirs = socket.socketpair()
        with theirs, open(self.directory / "qemu.log", "wb") as log:
            self.shell = ours.makefile("rwb")
            ours.settimeout(PATIENCE)
            self.shell_fd = ours.fileno()
            ours.close()  # the file keeps it
            self.process = subprocess.Popen([*command, "-chardev", f"socket,id=shell,fd={theirs.fileno()}",
                                             "-serial", "chardev:shell"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=[theirs.fileno()])

    def _comes_up(self):
        """Whether it says so. On a loaded host an emulated machine of several CPUs now and then hangs in its kernel's
        boot for ever; that is not what these tests are about."""
        said, since = "", time.monotonic()
        while not select.select([self.shell_fd], [], [], 1)[0]:
            if self.console() != said:
                said, since = self.console(), time.monotonic()
            if time.monotonic() - since > SILENCE:
                return False
        return self._line() == b"ready\n"

    def _line(self):
        try:
            return self.shell.readline()
        except TimeoutError:
            return b""

    def console(self):
        path = self.directory / "console"
        return path.read_text(errors="replace").replace("\r", "") if path.exists() else ""

    def run(self, script, user=None):
        """A shell script there, to its end."""
        if user:
            script = f"exec setpriv --reuid={user} --regid={user} --init-groups -- sh -c {shlex.quote(script)}"
        data = script.encode()
        assert len(data) <= SCRIPT_MAX
        self.shell.write(b"%d\n" % len(data) + data)
        self.shell.flush()
        line = self._line()
        if not line.endswith(b"\n"):
            raise AssertionError(f"the parent does not answer: {script}\n" + self.console()[-4000:])
        status, *sizes = map(int, line.split())
        return Result(status, *(self.shell.read(size).decode(errors="replace") for size in sizes))

    def ok(self, script, user=None):
        """The same, which must succeed."""
        result = self.run(script, user)
        if result.status != 0:
            raise AssertionError(f"{script}: {result}")
        return result

    def wait_for(self, script, patience=PATIENCE):
        """Repeat until it succeeds."""
        end = time.monotonic() + patience
        while True:
            result = self.run(script)
            if result.status == 0:
                return result
            if time.monotonic() > end:
                raise AssertionError(f"{script} did not come true within {patience} s: {result}")
            time.sleep(0.1)

    def power_off(self):
        """Shut down in order; what the console said."""
        data = b"systemctl poweroff --no-block"
        self.shell.write(b"%d\n" % len(data) + data)
        self.shell.flush()
        self.process.wait(PATIENCE)
        return self.console()

    def close(self):
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            with contextlib.suppress(OSError):
                self.shell.close()
        shutil.rmtree(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
