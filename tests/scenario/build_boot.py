# SPDX-License-Identifier: Apache-2.0
"""Images of build-eif as real virtual machines: what a container image says to run runs so, packed or not, with the least
memory that build-eif says is enough; less is refused with that number."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

from harness import PATIENCE, Daemon, check, done, wait_for
from oci_compose import Layout, folder, hard_link, layer, link, member
from vsock_vm import kernel_directory, reason_to_skip

if reason := reason_to_skip():
    print(f"1..0 # SKIP {reason}")
    sys.exit()
if not shutil.which("busybox") or not shutil.which("zstd"):
    print("1..0 # SKIP busybox and zstd are needed")
    sys.exit()

SCRIPT = b"""#!/bin/sh
echo "who $(busybox id -u):$(busybox id -g) in $(busybox pwd) with $A"
echo "arguments $# <$1> <$2>"
echo "link $(busybox cat /etc/linked)"
echo "hard $(busybox stat -c %h:%i /data/one) $(busybox stat -c %h:%i /data/two)"
echo "device $(busybox stat -c %t:%T:%a /data/null)"
echo "mode $(busybox stat -c %a:%u:%g /data/mode)"
echo "gone $(busybox ls /gone 2>&1)"
echo "size $(busybox wc -c </large)"
exit 7
"""


def image(d, large):
    busybox = pathlib.Path(shutil.which("busybox")).read_bytes()
    layers = [layer(folder("bin"), member("bin/busybox", busybox, mode=0o755), link("bin/sh", "busybox"),
                    member("script", SCRIPT, mode=0o755), folder("etc"), member("etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:77:78::/:/bin/sh\n"),
                    member("etc/real", b"through the link"), link("etc/linked", "/etc/real"), folder("data"),
                    member("data/one", b"1"), hard_link("data/two", "data/one"), member("gone", b"x"),
                    member("data/null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o640)),
              layer(member("data/mode", b"", mode=0o6751, uid=5, gid=6), member(".wh.gone"), member("large", bytes(large)))]
    layout = Layout(d.top / "layout")
    layout.add_image(layers, how="zstd", Entrypoint=["/script"], Cmd=["one", "two words"],
                     Env=["PATH=/bin", "A=an environment"], WorkingDir="/made/here", User="app")
    return layout.save()


def build(d, source, *arguments):
    path = d.home / f"image-{len(arguments)}.eif"
    done = subprocess.run([d.cli_program(), "build-eif", "--image", f"oci:{source}", "--output", path, *arguments],
                          env={**d.environment, "QT_ENCLAVE_KERNEL_DIR": str(kernel_directory()), "TMPDIR": str(d.home)},
                          capture_output=True, text=True)
    check(done.returncode == 0, f"an image is built {' '.join(arguments)}", done.stderr)
    return str(path), json.loads(done.stdout)["MemoryNeededMiB"]


def life(d, path, memory, large):
    d.ok("run", "--eif", path, "--name", "e", "--memory", str(memory), "--debug")
    console = d.popen("console", "e")
    text, _ = console.communicate(timeout=PATIENCE)
    ended = wait_for(lambda: (e := d.describe("e"))["State"] in ("stopped", "failed") and e, "the end of it")
    for line in ("who 77:78 in /made/here with an environment", "arguments 2 <one> <two words>", "link through the link",
                 "device 1:3:640", "mode 6751:5:6", "gone ls: /gone: No such file or directory", f"size {large}"):
        check(line in text, f"with {memory} MiB: {line}", text[-3000:])
    hard = next((l.split()[1:] for l in text.splitlines() if l.startswith("hard ")), [])
    check(len(hard) == 2 and hard[0] == hard[1] and hard[0].startswith("2:"), "both names of a hard link are one file", hard)
    check(ended.get("ExitCode", ended.get("Reason", {})) is not None and "7" in json.dumps(ended), "its exit code", ended)
    d.ok("forget", "e")


with Daemon() as d:
    size = 60_000_000
    source = image(d, size)
    plain, need = build(d, source)
    packed, packed_need = build(d, source, "--compress", "zstd")
    life(d, plain, max(need, 4 * os.path.getsize(plain) // 1_000_000 + 8), size)
    life(d, packed, packed_need, size)
    d.refused("less memory than the image needs", 7, "LimitExceeded", "run", "--eif", packed, "--name", "small", "--memory",
              str(packed_need - 2), contains=str(packed_need))
done()
