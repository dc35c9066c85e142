# SPDX-License-Identifier: Apache-2.0
"""build-eif: the settings file, programs of this machine with their libraries, the kernel's configuration, memory."""
import json
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

import cpio_bytes
import eif_bytes as eif
from build_rig import ENV, Rig, ramdisks, rootfs, tree
from scenario_eif import BUILD, Points, qt

points = Points()


def metadata(path):
    return json.loads(dict(eif.sections(path.read_bytes()))[eif.METADATA])


def settings_file(rig):
    project = rig.folder / "project"
    tree(project / "root")
    shutil.copy(rig.kernel, project / "kernel")
    (project / "extra.json").write_text('{"Team": "x"}')
    conf = project / "enclave.conf"
    conf.write_text("# an enclave\n\nkernel = kernel\nrootfs = root\ncmd = app 'a b' # not a comment\n  env = A=1\nenv=B=2\n"
                    "user = web\nname = sample\nmetadata = extra.json\noutput = ../from-file.eif\n")
    done = qt("build-eif", "-f", conf, env=ENV, cwd="/")
    path = rig.folder / "from-file.eif"
    found = cpio_bytes.app_config(ramdisks(path)[1])
    points.check(done.returncode == 0 and found["arg"] == ["app", "a b", "#", "not", "a", "comment"]
                 and found["user"] == ["web"] and found["env"][1:] == ["A=1", "B=2"]
                 and metadata(path)["ImageName"] == "sample" and metadata(path)["CustomMetadata"]["Team"] == "x",
                 "a settings file says what options say, paths relative to it", done.stderr, found)
    other = rig.built("-f", conf, "--user", "root", "--env", "A=3")
    found = cpio_bytes.app_config(ramdisks(other)[1])
    points.check(found["user"] == ["root"] and sorted(found["env"][1:]) == ["A=3", "B=2"],
                 "the command line replaces values and adds to lists", found)
    for text, word in (("colour = red", "colour"), ("user = a\nuser = b", "twice"), ("user", "NAME = VALUE"), ("= x", "unknown")):
        bad = project / "bad.conf"
        bad.write_text("rootfs = root\n" + text + "\n")
        rig.refused(points, f"a settings file with {text!r}", "ConfigInvalid", word, "-f", bad)
    bad.write_bytes(b"rootfs = root\0\n")
    rig.refused(points, "a settings file with a NUL", "ConfigInvalid", "NUL", "-f", bad)
    rig.refused(points, "a settings file that is not there", "FileUnreadable", "none", "-f", project / "none")


def programs(rig):
    program = shutil.which("openssl") or shutil.which("ls")
    path = rig.built("--add-binary", program, "--cmd", pathlib.Path(program).name)
    files = rootfs(path)
    points.check(files[program[1:]].data == pathlib.Path(program).read_bytes()
                 and stat.S_IMODE(files[program[1:]].mode) == 0o755, "a program of this machine", list(files))
    needed = {line.split("=>")[-1].split("(")[0].strip() for line in
              subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.splitlines()
              if "linux-vdso" not in line}
    points.check({"/" + n for n, e in files.items() if stat.S_ISREG(e.mode)} == needed | {program},
                 "with exactly the libraries that ldd names", needed, list(files))
    if os.geteuid() == 0:
        root = rig.folder / "unpacked"
        for name, e in files.items():
            if stat.S_ISDIR(e.mode):
                (root / name).mkdir(parents=True, exist_ok=True)
            else:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(e.data)
                (root / name).chmod(stat.S_IMODE(e.mode))
        done = subprocess.run(["chroot", root, program, "version" if "openssl" in program else "/"], capture_output=True)
        points.check(done.returncode == 0, "and it starts in there", done.stderr)
    else:
        points.skip("and it starts in there", "needs root for chroot")
    root = tree(rig.folder / "with-usr")
    (root / "usr" / "lib").mkdir(parents=True)
    os.symlink("usr/lib", root / "lib")
    files = rootfs(rig.built("--rootfs", root, "--add-binary", program, "--cmd", "app"))
    points.check(any(n.startswith("usr/lib/x86_64-linux-gnu/libc.so") or n.startswith("usr/lib/aarch64") for n in files)
                 and stat.S_ISLNK(files["lib"].mode), "links of the root file system are followed inside it", list(files))
    clash = next(p for p in needed if "libc.so" in p)
    place = root / ("usr" + clash if clash.startswith("/lib/") else clash[1:])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"another libc")
    rig.refused(points, "a library that the root file system has otherwise", "SourceInvalid", "another", "--rootfs", root,
                "--add-binary", program, "--cmd", "app")
    rig.refused(points, "a script as program", "SourceInvalid", "ELF", "--add-binary", rig.kernel, "--cmd", "app")
    rig.refused(points, "a program that is not there", "FileUnreadable", "none", "--add-binary", rig.folder / "none", "--cmd",
                "app")
    rig.refused(points, "a program for another machine", "SourceInvalid", "aarch64", "--add-binary", program, "--cmd", "app",
                "--arch", "aarch64" if os.uname().machine == "x86_64" else "x86_64")


def wrong_programs(rig):
    """What could only fail in the enclave, with a message that does not say why."""
    other = "aarch64" if os.uname().machine == "x86_64" else "x86_64"
    root = tree(rig.folder / "root-w")
    (root / "bin" / "app").write_bytes(rig.init_for(other).read_bytes())
    rig.refused(points, "an application for another machine", "SourceInvalid", "another machine", "--rootfs", root, "--cmd",
                "app")
    rig.refused(points, "a first process for another machine", "SourceInvalid", "init", "--rootfs", root, "--cmd", "app",
                "--arch", other)
    rig.built("--rootfs", root, "--cmd", "app", "--arch", other, "--init", rig.init_for(other))
    (root / "bin" / "app").write_bytes(pathlib.Path(shutil.which("ls")).read_bytes())
    rig.refused(points, "a dynamic application without its interpreter", "SourceInvalid", "--add-binary", "--rootfs", root,
                "--cmd", "app")


def fifos(rig):
    """What is read at any offset, and more than once: said, and not waited for."""
    root = tree(rig.folder / "root-fifos")
    fifo = rig.folder / "a-fifo"
    os.mkfifo(fifo)
    for words in (("--kernel", fifo), ("--ramdisk", fifo), ("--init", fifo)):
        rig.refused(points, f"{words[0]}, a FIFO", "FileUnreadable", "must be a regular file", "--rootfs", root, "--cmd", "app", *words)
    for scheme in ("oci-archive", "docker-archive"):
        rig.refused(points, f"{scheme}, a FIFO", "FileUnreadable", "must be a regular file", "--image", f"{scheme}:{fifo}")
    rig.refused(points, "a first process that is not there", "FileUnreadable", "no-init", "--rootfs", root, "--cmd", "app", "--init",
                rig.folder / "no-init")


def kernel_config(rig):
    root = tree(rig.folder / "root")
    config = rig.folder / "kernel.config"
    config.write_text("CONFIG_X86_64=y\nCONFIG_64BIT=y\n")
    rig.refused(points, "a kernel that lacks what an enclave needs", "KernelUnsuitable", "CONFIG_VSOCKETS (vsock is",
                "--rootfs", root, "--cmd", "app", "--kernel-config", config, "--arch", "x86_64")
    rig.refused(points, "a configuration that is not there", "FileUnreadable", "none", "--rootfs", root, "--cmd", "app",
                "--kernel-config", rig.folder / "none")
    place = pathlib.Path(os.environ.get("QT_ENCLAVE_KERNEL_DIR")
                         or pathlib.Path(os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local/share")
                         / "qt-enclave/kernel")
    if not (place / "vmlinuz").exists():
        return points.skip("Debian's cloud kernel fits", "no kernel here; scripts/fetch-kernel gets it")
    path = rig.folder / "real.eif"
    done = qt("build-eif", "--rootfs", root, "--cmd", "app", "--output", path,
              env={**ENV, "QT_ENCLAVE_KERNEL_DIR": str(place)})
    own = metadata(path)["CustomMetadata"]["QtEnclave"] if done.returncode == 0 else {}
    manifest = json.loads((place / "manifest.json").read_text())
    digest = next(f["sha256"] for f in manifest["files"] if f["path"] == "vmlinuz")
    points.check(done.returncode == 0 and own["KernelSHA256"] == digest and own["KernelPackage"] == manifest["package"]
                 and metadata(path)["BuildMetadata"]["KernelVersion"] == manifest["release"],
                 "Debian's cloud kernel fits, and its digest is in the metadata", done.stderr, own)
    listed = cpio_bytes.files(ramdisks(path)[0])["modules/list"].data.decode().split()
    points.check(listed.index("virtio_ring.ko") < listed.index("virtio.ko") < listed.index("virtio_mmio.ko")
                 and listed.index("vsock.ko") < listed.index("vmw_vsock_virtio_transport_common.ko")
                 < listed.index("vmw_vsock_virtio_transport.ko"), "its modules come in the order of their needs", listed)


def memory(rig):
    root = tree(rig.folder / "root-memory")
    small, _ = rig.build("--rootfs", root, "--cmd", "app")
    (root / "large").write_bytes(bytes(50 << 20))
    large, path = rig.build("--rootfs", root, "--cmd", "app")
    packed, _ = rig.build("--rootfs", root, "--cmd", "app", "--compress", "gzip")
    small, large, packed = (json.loads(d.stdout)["MemoryNeededMiB"] for d in (small, large, packed))
    points.check(100 <= large - small <= 104, "50 MiB more need 100 MiB more: packed and unpacked at once", small, large)
    points.check(small < packed <= large, "a packed ramdisk never needs more", packed)
    points.check(metadata(path)["CustomMetadata"]["QtEnclave"]["MemoryMiB"] == large, "and the metadata say so")


with tempfile.TemporaryDirectory(prefix="qt-build-") as place:
    rig = Rig(place)
    for step in (settings_file, programs, wrong_programs, fifos, kernel_config, memory):
        points.run(step, rig)
points.end()
