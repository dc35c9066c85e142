# SPDX-License-Identifier: Apache-2.0
"""build-eif from a directory and from ready-made ramdisks: the bytes, the same bytes again, and every refusal."""
import gzip
import json
import lzma
import os
import pathlib
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile

import cpio_bytes
import eif_bytes as eif
from build_rig import ENV, Rig, ramdisks, rootfs, tree
from scenario_eif import BUILD, VECTORS, Points, qt

points = Points()


def ready_made(rig):
    one, two = rig.folder / "one", rig.folder / "two"
    one.write_bytes(b"first")
    two.write_bytes(os.urandom(300_000))
    path = rig.built("--cmdline", "console=x  y", "--ramdisk", one, "--ramdisk", two, "--name", "n", "--version", "v")
    parts = eif.sections(path.read_bytes())
    points.check([k for k, _ in parts] == [eif.KERNEL, eif.CMDLINE, eif.METADATA, eif.RAMDISK, eif.RAMDISK]
                 and parts[1][1] == b"console=x  y" and parts[3][1] == b"first" and parts[4][1] == two.read_bytes()
                 and eif.crc_is_right(path.read_bytes()), "ready-made ramdisks go in as they are, in AWS's order")
    metadata = json.loads(parts[2][1])
    points.check(list(metadata) == ["ImageName", "ImageVersion", "BuildMetadata", "DockerInfo", "CustomMetadata"]
                 and metadata["ImageName"] == "n" and metadata["ImageVersion"] == "v"
                 and metadata["BuildMetadata"]["BuildTime"] == "1970-01-01T00:00:00+00:00",
                 "the metadata has AWS's members in AWS's order", metadata)
    done, _ = rig.build("--cmdline", "console=x  y", "--ramdisk", one, "--ramdisk", two)
    said = json.loads(done.stdout)
    points.check(said["Measurements"] == {"HashAlgorithm": "Sha384 { ... }", **eif.measure(parts)},
                 "the measurements printed are those of an independent calculation", done.stdout)
    if not (VECTORS / "u.eif").exists():
        return points.skip("the same PCRs as AWS's tool", f"no test data in {VECTORS}")
    done, path = rig.build("--kernel", VECTORS / "k", "--cmdline", "console=ttyS0 reboot=k", "--ramdisk", VECTORS / "r1",
                           "--ramdisk", VECTORS / "r2")
    theirs = eif.sections((VECTORS / "u.eif").read_bytes())
    ours = eif.sections(path.read_bytes())
    points.check([p for p in ours if p[0] != eif.METADATA] == [p for p in theirs if p[0] != eif.METADATA]
                 and json.loads(done.stdout)["Measurements"]
                 == json.loads((VECTORS / "u.describe.json").read_text())["Measurements"],
                 "the same sections and PCRs as AWS's tool", done.stdout)


def directory(rig):
    root = tree(rig.folder / "root")
    path = rig.built("--rootfs", root, "--cmd", "app 'two words' \"\"", "--env", "A=1", "--env", "B=x=y", "--env", "A=2",
                     "--workdir", "/srv/new", "--user", "web:web")
    boot, application = ramdisks(path)
    files = cpio_bytes.files(boot)
    points.check(list(files) == ["init"] and files["init"].data == (BUILD / "guest" / "qt-init").read_bytes()
                 and files["init"].mode == stat.S_IFREG | 0o755, "the boot ramdisk holds qt-init", files)
    listed = cpio_bytes.entries(application)
    points.check(all(e.mtime == 0 and e.uid == 0 and e.gid == 0 for e in listed)
                 and [e.inode for e in listed if e.name != "rootfs/bin/same"] == list(range(1, len(listed))),
                 "times, owners and inode numbers are not this machine's", listed)
    names = [e.name for e in listed]
    points.check(names[:5] == ["rootfs", "rootfs/bin", "rootfs/bin/app", "rootfs/bin/link", "rootfs/bin/same"]
                 and names[-1] == "app.config" and names.index("rootfs/empty") < names.index("rootfs/etc"),
                 "names come in the order of their bytes", names)
    files = rootfs(path)
    points.check(files["bin/app"].inode == files["bin/same"].inode and files["bin/app"].links == 2
                 and files["bin/app"].data == (root / "bin" / "app").read_bytes()
                 and files["etc/secret"].mode == stat.S_IFREG | 0o600 and files["tmp"].mode == stat.S_IFDIR | 0o1777
                 and files["bin/link"].data == b"../etc/passwd" and stat.S_ISFIFO(files["pipe"].mode)
                 and files["empty"].size == 0 and files["grüße"].data == b"x", "links, modes and kinds are kept", files)
    points.check(stat.S_ISDIR(files["srv/new"].mode), "the working directory is made")
    points.check(cpio_bytes.app_config(application) == {
        "arg": ["app", "two words", ""], "workdir": ["/srv/new"], "user": ["web:web"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "B=x=y", "A=2"]},
        "the application is what was asked for", cpio_bytes.app_config(application))
    path = rig.built("--rootfs", root, "--", "/bin/app", "-v")
    points.check(cpio_bytes.app_config(ramdisks(path)[1])["arg"] == ["/bin/app", "-v"], "arguments after -- do as well")
    path = rig.built("--rootfs", root, "--cmd", '["/bin/app", "a b"]', "--ramdisk", rig.kernel)
    points.check(len(ramdisks(path)) == 3 and cpio_bytes.app_config(ramdisks(path)[1])["arg"] == ["/bin/app", "a b"],
                 "a JSON array, and another ramdisk behind")


def owners_and_attributes(rig):
    root = tree(rig.folder / "root-o")
    owner, group = (5, 6) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    if os.geteuid() == 0:
        os.chown(root / "etc" / "secret", owner, group)
        os.mknod(root / "node", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as left:
        os.chdir(root)
        left.bind("socket")
        os.chdir("/")
    arguments = ("--rootfs", root, "--cmd", "app")
    files = rootfs(rig.built(*arguments, "--keep-owners", "yes"))
    points.check((files["etc/secret"].uid, files["etc/secret"].gid) == (owner, group), "owners are kept when asked for")
    files = rootfs(rig.built(*arguments))
    points.check((files["etc/secret"].uid, files["etc/secret"].gid) == (0, 0) and "socket" not in files,
                 "and else are root, and sockets are left out")
    if "node" in files:
        points.check(stat.S_ISCHR(files["node"].mode) and (files["node"].device_major, files["node"].device_minor) == (1, 3),
                     "a device node of a directory")
    else:
        points.skip("a device node of a directory", "needs root to be made")
    try:
        os.setxattr(root / "bin" / "app", "user.b", b"\0value")
        os.setxattr(root / "bin" / "app", "user.a", b"")
    except OSError as e:
        return points.skip("extended attributes of a directory", e)
    data = cpio_bytes.files(ramdisks(rig.built(*arguments))[1])["rootfs.xattrs"].data
    record = b"user.a\0000\0user.b\0006\0\0value"
    a, b = record.split(b"user.b")
    points.check(data == b"".join(n + b"\0" + part for n in (b"bin/app", b"bin/same") for part in (a, b"user.b" + b)),
                 "extended attributes of a directory, for each name, in order", data)


def the_same_bytes(rig):
    """Another order of making, times, umask, locale and place."""
    first = tree(rig.folder / "order-1")
    second = rig.folder / "elsewhere" / "order-2"
    second.parent.mkdir()
    shutil.copytree(first, second, symlinks=True, ignore=lambda *_: {"pipe", "same"})
    os.mkfifo(second / "pipe")
    os.link(second / "bin" / "app", second / "bin" / "same")
    os.utime(second / "etc" / "passwd", (1, 1))
    arguments = ("--cmd", "app", "--env", "A=1")
    a = rig.built("--rootfs", first, *arguments).read_bytes()
    old = os.umask(0o077)
    b = rig.built("--rootfs", second, *arguments, env={"LC_ALL": "C", "TZ": "Asia/Tokyo", "HOME": "/nonexistent"},
                  cwd=second)
    os.umask(old)
    points.check(a == b.read_bytes(), "the same bytes from another order, time, umask, locale and place")
    for name in ("gzip", "zstd"):
        packed = [rig.built("--rootfs", place, *arguments, "--compress", name).read_bytes() for place in (first, second)]
        tool = {"gzip": ["gzip", "-dc"], "zstd": ["zstd", "-dcq"]}[name]
        parts = [d for k, d in eif.sections(packed[0]) if k == eif.RAMDISK]
        # The tools mind the zeros that pad to four bytes; what comes out before is what counts.
        plain = [subprocess.run(tool, input=part, capture_output=True).stdout for part in parts]
        points.check(packed[0] == packed[1] and plain == [d for k, d in eif.sections(a) if k == eif.RAMDISK],
                     f"the same bytes packed with {name}, and the same ramdisks inside")
    c = rig.built("--rootfs", first, *arguments, env={"SOURCE_DATE_EPOCH": "1700000000"})
    points.check({e.mtime for e in cpio_bytes.entries(ramdisks(c)[1])} == {1_700_000_000}
                 and json.loads(dict(eif.sections(c.read_bytes()))[eif.METADATA])["BuildMetadata"]["BuildTime"]
                 == "2023-11-14T22:13:20+00:00", "SOURCE_DATE_EPOCH is the one time in it")
    rig.refused(points, "a SOURCE_DATE_EPOCH that is no number", "Usage", "SOURCE_DATE_EPOCH=x",
                "--rootfs", first, "--cmd", "app", env={"SOURCE_DATE_EPOCH": "x"})


def modules(rig):
    place = rig.folder / "modules-of-a-kernel"
    (place / "k").mkdir(parents=True)
    for name in ("virtio_mmio.ko", "virtio.ko"):
        (place / "k" / name).write_bytes(name.encode() * 10)
    packed = subprocess.run(["xz", "-c"], input=b"transport" * 100, capture_output=True, check=True).stdout
    (place / "k" / "vmw_vsock_virtio_transport.ko.xz").write_bytes(packed)
    (place / "modules.dep").write_text("k/virtio_mmio.ko: k/virtio.ko\nk/virtio.ko:\n"
                                       "k/vmw_vsock_virtio_transport.ko.xz: k/virtio.ko\n")
    (place / "modules.builtin").write_text("kernel/virtio-rng.ko\n")
    root = tree(rig.folder / "root-m")
    arguments = ("--rootfs", root, "--cmd", "app", "--modules-dir", place)
    files = cpio_bytes.files(ramdisks(rig.built(*arguments))[0])
    points.check(files["modules/list"].data == b"virtio.ko\nvirtio_mmio.ko\nvmw_vsock_virtio_transport.ko\n"
                 and files["modules/vmw_vsock_virtio_transport.ko"].data == b"transport" * 100
                 and sorted(files) == ["init", "modules", "modules/list", "modules/virtio.ko", "modules/virtio_mmio.ko",
                                       "modules/vmw_vsock_virtio_transport.ko"],
                 "modules come unpacked, with a list in load order", files)
    (place / "k" / "virtio.ko").unlink()
    rig.refused(points, "a module that modules.dep names and nobody has", "FileUnreadable", "k/virtio.ko", *arguments)
    (place / "modules.dep").write_text("")
    rig.refused(points, "a kernel without virtio_mmio", "KernelUnsuitable", "virtio_mmio", *arguments)


def refusals(rig):
    root = tree(rig.folder / "root-r")
    good = ("--rootfs", root, "--cmd", "app")
    empty, folder = rig.folder / "nothing", rig.folder / "root-r" / "etc"
    empty.write_bytes(b"")
    arm = rig.folder / "arm"
    arm.write_bytes(bytes(56) + b"ARM\x64" + bytes(64))
    config = rig.folder / "bad.json"
    config.write_text("[1]")

    def kernel(data):
        path = rig.folder / f"kernel-{len(list(rig.folder.iterdir()))}"
        path.write_bytes(data)
        return path

    # The header of a bzImage of 4 + 1 sectors and 1000 * 16 bytes.
    header = bytearray(0x264)
    header[0x1f4:0x1f8], header[0x202:0x206], header[0x206:0x208] = (1000).to_bytes(4, "little"), b"HdrS", b"\x0f\x02"
    whole = bytes(header).ljust(5 * 512 + 16_000, b"k")
    rig.built("--kernel", kernel(whole), *good)
    for name, data in (("gzip data", gzip.compress(whole)), ("zstd data", b"\x28\xb5\x2f\xfd" + whole), ("xz data", lzma.compress(whole)),
                       ("an ELF file", pathlib.Path("/bin/sh").read_bytes()), ("a packed EFI program", b"MZ\0\0zimg" + whole),
                       ("a script", b"#!/bin/sh\n")):
        for arch in ("x86_64", "aarch64"):
            rig.refused(points, f"{name} as kernel for {arch}", "KernelUnsuitable", f"is {name};", "--kernel", kernel(data), *good,
                        "--arch", arch, "--init", rig.init_for(arch))
    rig.refused(points, "a kernel that is cut off", "KernelUnsuitable", "18559 bytes and by its header 18560", "--kernel",
                kernel(whole[:-1]), *good)
    odd = kernel(b"odd")
    plain = kernel(ramdisks(rig.built(*good))[0])
    rig.refused(points, "a ramdisk where the kernel does not look", "SourceInvalid", "byte 3", "--ramdisk", odd, "--ramdisk", plain)
    for arguments in (("--ramdisk", plain, "--ramdisk", odd), (*good, "--compress", "gzip", "--ramdisk", plain),
                      ("--ramdisk", odd, "--ramdisk", kernel(gzip.compress(plain.read_bytes())))):
        done = qt("verify-eif", rig.built(*arguments))
        points.check(done.returncode == 0, f"ramdisks in a good order: {arguments[0]} {arguments[-2]}", done.stdout)
    for claim, error, word, arguments in (
            ("a kernel that is not there", "FileUnreadable", "none", ("--kernel", rig.folder / "none", *good)),
            ("an empty kernel", "FileUnreadable", "empty", ("--kernel", empty, *good)),
            ("a directory as kernel", "FileUnreadable", "regular file", ("--kernel", folder, *good)),
            ("a kernel for another machine", "KernelUnsuitable", "aarch64", ("--kernel", arm, "--arch", "x86_64", *good)),
            ("an unreadable ramdisk", "FileUnreadable", "no-such", ("--ramdisk", rig.folder / "no-such")),
            ("an empty ramdisk", "FileUnreadable", "empty", ("--ramdisk", empty)),
            ("no root file system there", "FileUnreadable", "no-such", ("--rootfs", rig.folder / "no-such", "--cmd", "x")),
            ("a file as root file system", "FileUnreadable", "Not a directory", ("--rootfs", rig.kernel, "--cmd", "x")),
            ("nothing to put in", "Usage", "--rootfs", ()),
            ("two sources", "Usage", "one", ("--image", f"dir:{root}", *good)),
            ("a command without a root file system", "Usage", "--cmd", ("--ramdisk", rig.kernel, "--cmd", "x")),
            ("nothing to run", "SourceInvalid", "nothing to run", ("--rootfs", root)),
            ("a command twice", "Usage", "--", (*good, "--", "app")),
            ("a program that is not there", "SourceInvalid", "nobody", ("--rootfs", root, "--cmd", "nobody")),
            ("a program that is not executable", "SourceInvalid", "/etc/passwd", ("--rootfs", root, "--cmd", "/etc/passwd")),
            ("a user that is not there", "SourceInvalid", "ghost", (*good, "--user", "ghost")),
            ("a group that is not there", "SourceInvalid", "ghosts", (*good, "--user", "web:ghosts")),
            ("a relative working directory", "SourceInvalid", "absolute", (*good, "--workdir", "x")),
            ("a working directory that is a file", "SourceInvalid", "no directory", (*good, "--workdir", "/etc/passwd/x")),
            ("an environment entry without =", "ImageInvalid", "NAMELESS", (*good, "--env", "NAMELESS")),
            ("a quote without end", "Usage", "quote", ("--rootfs", root, "--cmd", "app 'x")),
            ("a command line that is too long", "Usage", "2047", (*good, "--cmdline", "x" * 2048)),
            ("another architecture", "Usage", "--arch mips", (*good, "--arch", "mips")),
            ("another compression", "Usage", "--compress lz4", (*good, "--compress", "lz4")),
            ("a dynamic program as init", "SourceInvalid", "static", (*good, "--init", "/bin/ls")),
            ("a text as init", "SourceInvalid", "ELF", (*good, "--init", rig.kernel)),
            ("metadata that are no object", "SourceInvalid", "object", (*good, "--metadata", config)),
            ("no such source", "Usage", "tape:", ("--image", "tape:x", "--cmd", "x"))):
        rig.refused(points, claim, error, word, *arguments)
    (root / "bin" / "big").touch()
    os.truncate(root / "bin" / "big", 1 << 32)
    rig.refused(points, "a file of 4 GiB", "ImageTooLarge", "4 GiB", *good)
    (root / "bin" / "big").unlink()
    done = qt("build-eif", "--output", rig.folder / "none" / "x.eif", "--kernel", rig.kernel, *good, env=ENV)
    points.check(done.returncode == 12 and "OutputFailed" in done.stderr, "an output that cannot be made", done.stderr)


def full_disk(rig):
    """The limit of a process on the size of its files stands for the end of a disk."""
    root = tree(rig.folder / "root-f")
    (root / "large").write_bytes(bytes(8 << 20))

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))

    old = rig.folder / "kept.eif"
    old.write_bytes(b"what was there")
    done = qt("build-eif", "--output", old, "--kernel", rig.kernel, "--rootfs", root, "--cmd", "app", env=ENV,
              preexec_fn=limit)
    points.check(done.returncode == 12 and done.stderr.startswith(f"qt-enclave: OutputFailed: {old}: cannot write ")
                 and old.read_bytes() == b"what was there", "a full disk is named by what was written, leaves the old image and nothing half-written",
                 done.returncode, done.stderr)
    kernel = rig.folder / "large-kernel"
    kernel.write_bytes(rig.kernel.read_bytes() + bytes(5 << 20))
    done = qt("build-eif", "--output", old, "--kernel", kernel, "--rootfs", root, "--cmd", "app", env=ENV, preexec_fn=limit)
    points.check(done.returncode == 12 and done.stderr.startswith(f"qt-enclave: OutputFailed: {old}: cannot write "),
                 "and not by the input that was being copied", done.stderr)
    script = (f'mount -t tmpfs -o size=4m none "$1" && "$2" build-eif --output "$1/x.eif" --kernel "$3" --rootfs "$4" '
              f'--cmd app; echo "status $? left $(ls -A "$1")"')
    mount = rig.folder / "mount"
    mount.mkdir()
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", mount, BUILD / "cli" / "qt-enclave", rig.kernel,
                           root], capture_output=True, text=True, env=ENV, timeout=120)
    if "build-eif" not in done.stderr and "OutputFailed" not in done.stderr:
        return points.skip("a file system that is full", f"no user namespaces here: {done.stderr.strip()}")
    points.check("status 12 left \n" in done.stdout and "No space left" in done.stderr, "a file system that is full",
                 done.stdout, done.stderr)


def changing_files(rig):
    """A file that another process keeps changing: either the image is whole, or there is none."""
    root = tree(rig.folder / "root-c")
    os.symlink("/proc/self/mem", root / "bin" / "proc")
    done, path = rig.build("--rootfs", root, "--cmd", "app")
    points.check(done.returncode == 0 and rootfs(path)["bin/proc"].data == b"/proc/self/mem",
                 "a symbolic link out of the directory is kept and not followed", done.stderr)
    changing = root / "bin" / "zz"
    script = 'while :; do printf "%s" "$$" >>"$1"; [ -s "$1" ] && printf x >"$1"; done'
    writer = subprocess.Popen(["sh", "-c", script, "sh", changing])
    try:
        wrong, refused = [], 0
        for _ in range(20):
            done, path = rig.build("--rootfs", root, "--cmd", "app")
            if done.returncode == 0:
                cpio_bytes.entries(ramdisks(path)[1])
            elif "SourceInvalid" in done.stderr and not path.exists():
                refused += 1
            else:
                wrong.append(done.stderr)
    finally:
        writer.kill()
        writer.wait()
    points.check(not wrong, "a file that changes is refused or read whole", *wrong)
    if not os.path.exists("/proc/self/status"):
        return
    # A file whose size is never what stat says is one that changes every time.
    done, path = rig.build("--rootfs", "/proc/self/net", "--cmd", "app", "--workdir", "/")
    points.check(done.returncode != 0 and not path.exists(), "a file system of the kernel's own is no source", done.stderr)


with tempfile.TemporaryDirectory(prefix="qt-build-") as place:
    rig = Rig(place)
    for step in (ready_made, directory, owners_and_attributes, the_same_bytes, modules, refusals, full_disk, changing_files):
        points.run(step, rig)
points.end()
