# SPDX-License-Identifier: Apache-2.0
"""Images for the real monitor, composed in Python: Debian's kernel, qt-init, and the test application."""
import json

import eif_bytes
from guest_vm import BUILD, INIT, MODULES, Archive, app_config

PANIC_MODULES = (*MODULES, "pvpanic", "pvpanic-mmio")
APP = BUILD / "tests/programs/enclave_app"


def bootstrap(kernel, init, modules):
    a = Archive()
    a.file("init", init.read_bytes(), 0o755)
    for module in modules:
        a.file(f"modules/{module}.ko", next((kernel / "modules").rglob(f"{module}.ko")).read_bytes())
    a.file("modules/list", "".join(f"{m}.ko\n" for m in modules))
    return a.finish()


def image(kernel, *arguments, init=INIT, cmdline="quiet", metadata=None):
    """The bytes of an image that runs the test application with these arguments."""
    a = Archive()
    for directory in ("rootfs/dev", "rootfs/proc", "rootfs/sys", "rootfs/tmp", "rootfs/run", "rootfs/mnt"):
        a.directory(directory)
    a.file("rootfs/app", APP.read_bytes(), 0o755)
    a.file("app.config", app_config("/app", *arguments), 0o600)
    return eif_bytes.compose([
        (eif_bytes.KERNEL, (kernel / "vmlinuz").read_bytes()), (eif_bytes.CMDLINE, cmdline.encode()),
        (eif_bytes.METADATA, json.dumps(metadata or {"ImageName": "test", "ImageVersion": "1.0"}).encode()),
        (eif_bytes.RAMDISK, bootstrap(kernel, init, PANIC_MODULES)), (eif_bytes.RAMDISK, a.finish())])
