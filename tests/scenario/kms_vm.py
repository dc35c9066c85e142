# SPDX-License-Identifier: Apache-2.0
"""Enclaves with qt-kms in them, as real virtual machines whose parent is a rig of kms_rig."""
import json
import os
import shutil
import subprocess
import time

import monitor_rig
from guest_vm import BUILD, INIT
from kms_rig import PCR0
from monitor_rig import PATIENCE, Monitor
from vsock_vm import kernel_directory


def make_root(rig):
    """The development root, before the first machine needs it; the monitors' user owns it."""
    process = rig.start("root", BUILD / "tests/programs/secmod_socket", rig.top / "x.sock", rig.top / "pki", "qingtian", PCR0,
                        stdin=subprocess.DEVNULL)
    process.wait(60)
    if os.getuid() == 0:
        for path in [rig.top / "pki", *(rig.top / "pki").iterdir()]:
            os.chown(path, 65534, -1)
    rig.top.chmod(0o711)
    (rig.top / "e").chmod(0o755)


def build(rig, name, files, *command):
    """An image of qt-kms, these files {name: bytes or a path} and a command; its path and PCR0."""
    root = rig.top / f"{name}.root"
    for folder in ("dev", "proc", "sys", "tmp", "run"):
        (root / folder).mkdir(parents=True)
    shutil.copy(BUILD / "guest/qt-kms", root / "qt-kms")
    for path, content in files.items():
        if isinstance(content, bytes):
            (root / path).write_bytes(content)
        else:
            shutil.copy(content, root / path)
    image, kernel = rig.top / f"{name}.eif", kernel_directory()
    r = subprocess.run([BUILD / "cli/qt-enclave", "build-eif", "--output", image, "--rootfs", root, "--kernel", kernel / "vmlinuz",
                        "--modules-dir", kernel / "modules", "--init", INIT, "--", *map(str, command)],
                       capture_output=True, text=True)
    if r.returncode != 0:
        raise AssertionError(f"no image {name}: {r.stderr}")
    return image, json.loads(r.stdout)["Measurements"]["PCR0"]


def directory_of(rig, name):
    """Where the sockets of the enclave's vsock ports are."""
    (rig.top / "e" / name).mkdir(exist_ok=True)
    return rig.top / "e" / name


def run(rig, image, name, patience=PATIENCE):
    """Start the machine and wait for its application's exit code."""
    end = time.monotonic() + patience
    monitor_rig.tempfile.mkdtemp = lambda prefix: str(directory_of(rig, name))
    monitor = Monitor(image.read_bytes(), Platform="qingtian", Debug=False, DevelopmentPki=str(rig.top / "pki"), MemoryMiB=512)
    try:
        while True:
            try:
                return monitor.wait_for(lambda f: f["State"] in ("stopped", "failed"))
            except TimeoutError:  # nothing new for a while: it still works
                if time.monotonic() > end:
                    raise
    finally:
        monitor.close()
