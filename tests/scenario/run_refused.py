# SPDX-License-Identifier: Apache-2.0
"""Daemon and real monitor together: what keeps an enclave from starting reaches the user with its own name and status."""
import pathlib

import eif_bytes
from harness import BUILD, Daemon, check, done

MONITOR = str(BUILD / "monitor/qt-enclave-monitor")
image = eif_bytes.compose([(eif_bytes.KERNEL, b"no kernel"), (eif_bytes.CMDLINE, b"quiet"), (eif_bytes.METADATA, b"{}"),
                           (eif_bytes.RAMDISK, b"x"), (eif_bytes.RAMDISK, b"y")])


def file(d, name, content):
    path = pathlib.Path(d.image(name=name))
    path.write_bytes(content)
    return str(path)


with Daemon(monitor=MONITOR) as d:
    damaged = file(d, "damaged.eif", image[:-1] + b"z")
    d.refused("a damaged image", 4, "ImageInvalid", "run", "--eif", damaged, "--name", "damaged", contains="CRC")
    d.refused("a file that is no image", 4, "ImageInvalid", "run", "--eif", d.image("text"), "--name", "text")
    d.refused("a kernel that the hypervisor refuses", 11, "HypervisorFailed", "run", "--eif", file(d, "k.eif", image),
              "--name", "kernel", contains="kernel")
    check(all(e["State"] == "failed" and e["Reason"]["Kind"] == "start-failed" for e in d.all().values()),
          "each keeps its reason until it is collected", d.all())
done()
