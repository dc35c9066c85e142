# SPDX-License-Identifier: Apache-2.0
"""What the scenarios of build-eif share: a stand-in kernel, a build, its ramdisks taken apart."""
import os
import pathlib

import cpio_bytes
import eif_bytes as eif
from scenario_eif import BUILD, qt

ENV = {**os.environ, "QT_ENCLAVE_INIT": str(BUILD / "guest" / "qt-init"), "TMPDIR": os.environ.get("TMPDIR", "/var/tmp")}
for name in ("SOURCE_DATE_EPOCH", "QT_ENCLAVE_KERNEL_DIR"):
    ENV.pop(name, None)


class Rig:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.kernel = self.folder / "kernel"
        self.kernel.write_bytes(b"a kernel of no known shape" * 40)
        self.n = 0

    def init_for(self, arch):
        """qt-init, made to look as if it were for that machine."""
        path = self.folder / f"init-{arch}"
        data = bytearray((BUILD / "guest" / "qt-init").read_bytes())
        data[18:20] = {"x86_64": 62, "aarch64": 183}[arch].to_bytes(2, "little")
        path.write_bytes(data)
        return path

    def build(self, *arguments, env=None, **options):
        """(process, image path); the kernel is the stand-in unless one is given."""
        self.n += 1
        path = self.folder / f"image-{self.n}.eif"
        kernel = () if "--kernel" in arguments else ("--kernel", self.kernel)
        done = qt("build-eif", "--output", path, *kernel, *arguments, env={**ENV, **(env or {})}, **options)
        return done, path

    def built(self, *arguments, **options):
        done, path = self.build(*arguments, **options)
        if done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.stderr}")
        return path

    def skopeo(self, layout, command=":"):
        """An environment in which skopeo is a program that brings this OCI layout, for any reference, and runs a command."""
        self.n += 1
        programs = self.folder / f"programs-{self.n}"
        programs.mkdir()
        (programs / "skopeo").write_text(f'#!/bin/sh\nfor place; do :; done\nplace=${{place#oci:}}\ncp -r {layout}/. "${{place%:image}}"\n'
                                         f"{command}\n")
        (programs / "skopeo").chmod(0o755)
        return {"PATH": f"{programs}:{os.environ['PATH']}"}

    def refused(self, points, claim, error, word, *arguments, **options):
        """A point: the build fails with this error and a line that says this word, and writes nothing."""
        before = sorted(self.folder.iterdir())
        done, path = self.build(*arguments, **options)
        lines = done.stderr.splitlines()
        points.check(done.returncode != 0 and len(lines) == 1 and lines[0].startswith(f"qt-enclave: {error}: ")
                     and word in lines[0] and done.stdout == "" and sorted(self.folder.iterdir()) == before,
                     claim, done.returncode, done.stderr, done.stdout)


def ramdisks(path):
    return [data for kind, data in eif.sections(path.read_bytes()) if kind == eif.RAMDISK]


def rootfs(path):
    """{path below rootfs: Entry} of the application ramdisk."""
    files = cpio_bytes.files(ramdisks(path)[1])
    return {name[7:]: e for name, e in files.items() if name.startswith("rootfs/")}


def tree(folder):
    """A small root file system with one of everything that needs no privilege."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "app").write_bytes(b"\x7fELF not really" * 100)
    (folder / "bin" / "app").chmod(0o755)
    os.link(folder / "bin" / "app", folder / "bin" / "same")
    (folder / "etc").mkdir()
    (folder / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\nweb:x:7:8::/:/bin/sh\n")
    (folder / "etc" / "group").write_text("root:x:0:\nweb:x:8:\n")
    (folder / "etc" / "secret").write_text("s")
    (folder / "etc" / "secret").chmod(0o600)
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    os.symlink("../etc/passwd", folder / "bin" / "link")
    os.mkfifo(folder / "pipe")
    (folder / "empty").write_bytes(b"")
    (folder / "grüße").write_text("x")
    return folder
