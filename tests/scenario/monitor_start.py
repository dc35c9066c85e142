# SPDX-License-Identifier: Apache-2.0
"""What keeps a monitor from starting its machine: each is told in the file "end", or refused before."""
import contextlib
import subprocess
import tempfile

import eif_bytes
from harness import check, done, skip
from monitor_rig import MONITOR, Monitor, can_hide, refuse_seccomp

whole = eif_bytes.compose([(eif_bytes.KERNEL, b"\x7fno kernel"), (eif_bytes.CMDLINE, b"quiet"),
                           (eif_bytes.METADATA, b"{}"), (eif_bytes.RAMDISK, b"x"), (eif_bytes.RAMDISK, b"y")])
long = eif_bytes.compose([(eif_bytes.KERNEL, b"k"), (eif_bytes.CMDLINE, b"a" * 2040), (eif_bytes.METADATA, b"{}"),
                          (eif_bytes.RAMDISK, b"x"), (eif_bytes.RAMDISK, b"y")])

for image, named, error, why in ((b"", "", "ImageInvalid", "an empty file"), (whole[:-1], "", "ImageInvalid", "a truncated image"),
                                 (whole[:-1] + b"z", "CRC", "ImageInvalid", "a wrong CRC"),
                                 (long, "2047", "ImageInvalid", "a command line that the kernel would cut")):
    with Monitor(image) as m:
        end = m.end()
        check((end["State"], end["ReasonKind"], end.get("ErrorName")) == ("failed", "start-failed", error)
              and named in end["ReasonText"] and m.process.returncode == 0, f"{why} is told as {error}", end)

with Monitor(whole, Hypervisor="imaginary") as m:
    end = m.end()
    check(end.get("ErrorName") == "ConfigInvalid" and "imaginary" in end["ReasonText"], "an unknown hypervisor is named", end)

# A kernel that is none: QEMU's own words reach the reason.
with Monitor(whole) as m:
    end = m.end()
    check(end.get("ErrorName") in ("HypervisorFailed", "HypervisorMissing") and end["ReasonText"], "QEMU's refusal is told", end)

latin = eif_bytes.compose([(eif_bytes.KERNEL, b"\x7fno kernel"), (eif_bytes.CMDLINE, b"quiet caf\xe9=1"), (eif_bytes.METADATA, b"{}"),
                           (eif_bytes.RAMDISK, b"x"), (eif_bytes.RAMDISK, b"y")])
with Monitor(latin) as m:
    connection, states = m.connect(), []
    connection.send("Watch", more=True)
    with contextlib.suppress(EOFError):
        while True:
            states.append(connection.receive()["parameters"]["Facts"]["State"])
    end = m.end()
    check(states[-1:] == ["failed"] and end.get("ErrorName") in ("HypervisorFailed", "HypervisorMissing") and end["ReasonText"],
          "and a command line that is not UTF-8 costs none of them", states, end)

# A sandbox around it that forbids its own: the unit of another system, say.
with Monitor(whole, before=refuse_seccomp) as m:
    end = m.end()
    check((end["ReasonKind"], end.get("ErrorName"), m.process.returncode) == ("start-failed", "Internal", 0)
          and "SystemCallFilter=" in end["ReasonText"], "a monitor that cannot confine itself runs nothing, and says why", end)

# An image that takes its time: the monitor answers meanwhile, and does not go on when it is told to stop.
large = eif_bytes.compose([(eif_bytes.KERNEL, b"k"), (eif_bytes.CMDLINE, b"quiet"), (eif_bytes.METADATA, b"{}"),
                           (eif_bytes.RAMDISK, bytes(192 << 20)), (eif_bytes.RAMDISK, b"y")])
with Monitor(large, quiet=True) as m:
    connection = m.connect()
    facts = connection.call("Describe")["Facts"]
    connection.call("Stop", GraceMSec=60000)
    end = m.end()
    check(facts["State"] == "loading" and "PCR0" not in facts and (end["State"], end["ReasonKind"]) == ("stopped", "stopped")
          and "loaded" not in end["Timeline"] and "PCR0" not in end, "a stop is heeded while a large image is loaded", facts, end)
    connection.close()
with Monitor(large, quiet=True) as m:
    m.connect().call("Describe")
    m.process.terminate()
    end = m.end()
    check((end["State"], end["ReasonKind"]) == ("stopped", "parent-shutdown") and "loaded" not in end["Timeline"],
          "and so is SIGTERM", end)
with Monitor(large, quiet=True) as m:
    connection = m.connect()
    connection.call("Describe")
    connection.close()
    (m.directory / "monitor.sock").unlink()
    end = m.end()
    check(end["ReasonKind"] == "monitor-lost" and "loaded" not in end["Timeline"], "and so is the loss of its socket", end)
del large

claim = "a machine without QEMU is told the package that it needs"
if not can_hide("/usr/bin/qemu-system-x86_64"):
    skip(claim, "QEMU cannot be hidden here: needs root and a mount at /")
else:
    with Monitor(whole, hide="/usr/bin/qemu-system-x86_64") as m:
        end = m.end()
        check(end.get("ErrorName") == "HypervisorMissing" and "package qemu-system-x86" in end["ReasonText"], claim, end)

for config, named in (({"CID": 3}, "CID"), ({"Unknown": 1}, "unknown member"), ({"MemoryMiB": "256"}, "MemoryMiB")):
    with Monitor(whole, **config) as m:
        m.process.wait(60)
        m.log.seek(0)
        said = m.log.read().decode()
        check(m.process.returncode not in (0, -6, -11) and named in said, f"a configuration with {config} is refused", said)

with tempfile.TemporaryDirectory() as directory:
    by_hand = subprocess.run([MONITOR.resolve(), "test"], capture_output=True, text=True, cwd=directory)
    check(by_hand.returncode == 2 and "started by qt-enclaved" in by_hand.stderr, "started by hand it says who starts it",
          by_hand.stderr)

done()
