# SPDX-License-Identifier: Apache-2.0
"""describe-eif on images composed here, on those of AWS's tool, and on every damage of the list."""
import json
import os
import pathlib
import pty
import resource
import subprocess
import tempfile
import zlib

import eif_bytes as eif
from eif_damage import BASE, IMAGE, ODD, REFUSED, SIZES, UNREADABLE, put
from scenario_eif import BUILD, VECTORS, Points, qt, qt_json

points = Points()


def good_images(folder):
    old = [s for s in BASE if s[0] != eif.METADATA]
    for name, parts, options in (("v4", BASE, {}), ("v3", old, {"version": 3}), ("v2", old, {"version": 2}),
                                 ("arm", BASE, {"flags": 1}), ("one ramdisk", BASE[:4], {}),
                                 ("cmdline after ramdisks", [BASE[0], *BASE[2:], BASE[1]], {}),
                                 ("metadata last", [*BASE[:2], *BASE[3:], BASE[2]], {})):
        path = folder / "good.eif"
        path.write_bytes(eif.compose(parts, **options))
        said = qt_json("describe-eif", path)
        expected = {"HashAlgorithm": "Sha384 { ... }", **eif.measure(parts)}
        points.check(said["Measurements"] == expected and said["CheckCRC"] is True and said["IsSigned"] is False
                     and said["EifVersion"] == options.get("version", 4) and said["Findings"] == [],
                     f"describe-eif agrees with an independent calculation: {name}", json.dumps(said, indent=1))
    path.write_bytes(eif.compose(BASE))
    said = qt_json("describe-eif", path)
    points.check(said["ImageName"] == "sample" and said["ImageVersion"] == "7"
                 and said["Metadata"] == {"BuildTool": "test", "DockerInfo": None, "Team": "x"},
                 "metadata is flattened as nitro-cli does", said)
    points.check([(s["Type"], s["Size"]) for s in said["Sections"]] ==
                 [("kernel", 6), ("cmdline", 13), ("metadata", len(BASE[2][1])), ("ramdisk", 16), ("ramdisk", 700_000),
                  ("ramdisk", 4)], "the sections are listed", said["Sections"])
    text = qt("describe-eif", path)
    points.check(text.returncode == 0 and eif.measure(BASE)["PCR2"] in text.stdout and "x86_64" in text.stdout,
                 "and as text", text.stdout + text.stderr)


def other_flags(folder):
    path = folder / "flags.eif"
    path.write_bytes(eif.compose(BASE, flags=0x240))
    said = qt_json("describe-eif", path)
    points.check(said["PCR0Authoritative"] is False and said["Findings"][0]["Code"] == "unknown-flags",
                 "with other header flags PCR0 is not authoritative", said)
    points.check("not authoritative" in qt("describe-eif", path).stdout, "and the text says so")


def damaged_images(folder):
    path = folder / "bad.eif"
    for name, data, code in UNREADABLE:
        path.write_bytes(data)
        done = qt("describe-eif", path)
        points.check(done.returncode == 4 and f"rule {code}" in done.stderr and "PCR0" not in done.stdout
                     and len(done.stderr.splitlines()) == 1 and str(path) in done.stderr,
                     f"{name}: refused as {code}", done.returncode, done.stdout, done.stderr)
    for name, data, code in REFUSED:
        path.write_bytes(data)
        said = qt_json("describe-eif", path, status=4)
        points.check(code in [f["Code"] for f in said["Findings"]] and said["CheckCRC"] is (code != "crc"),
                     f"{name}: shown, found as {code}, not status 0", said)
    for name, data, code in ODD:
        path.write_bytes(data)
        said = qt_json("describe-eif", path)
        points.check([f["Code"] for f in said["Findings"]] == [code], f"{name}: shown, found as {code}", said)


def unreadable_files(folder):
    os.mkfifo(folder / "fifo")
    for name, path in (("a missing file", folder / "missing"), ("a directory", folder), ("a fifo", folder / "fifo")):
        done = qt("describe-eif", path)
        points.check(done.returncode == 3 and len(done.stderr.splitlines()) == 1, f"{name} is refused",
                     done.returncode, done.stderr)


def full_standard_output(folder):
    path = folder / "good.eif"
    path.write_bytes(IMAGE)
    for arguments in ((), ("-o", "json")):
        with open("/dev/full", "w") as full:
            done = subprocess.run([BUILD / "cli" / "qt-enclave", "describe-eif", path, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
        points.check(done.returncode == 12 and "OutputFailed" in done.stderr, "output that cannot be written is not success", done.stderr)


def progress(path):
    """On a terminal, and only there."""
    terminal, ours = pty.openpty()
    done = subprocess.run([BUILD / "cli" / "qt-enclave", "describe-eif", path], stdout=subprocess.PIPE, stderr=ours, text=True)
    os.close(ours)
    shown = b""
    try:
        while chunk := os.read(terminal, 65536):
            shown += chunk
    except OSError:  # how a terminal says that nobody is left
        pass
    os.close(terminal)
    points.check(done.returncode == 0 and b"Reading 50 %" in shown and shown.endswith(b"\x1b[K"), "progress on a terminal", shown[-200:])
    points.check(qt("describe-eif", path).stderr == "", "and only there")


def terminal_safety(folder):
    path = folder / "escape.eif"
    path.write_bytes(eif.compose([BASE[0], (eif.CMDLINE, "a\x1b[2Jb\x7f\u009bc\u00e9".encode()), *BASE[2:]]))
    text = qt("describe-eif", path).stdout
    points.check("cmdline    a?[2Jb??cé\n" in text, "nothing from the image moves the cursor", repr(text[:300]))
    path.write_bytes(eif.compose([BASE[0], (eif.CMDLINE, b"a\xff"), *BASE[2:]]))
    points.check(qt_json("describe-eif", path)["Cmdline"] is None, "a command line that is no UTF-8 is null in JSON")


def memory(folder):
    """The peak of the process for an image of 300 MB, most of it a hole."""
    path, size = folder / "large.eif", 300_000_000
    head = eif.compose([*BASE[:3], (eif.RAMDISK, b"first"), (eif.RAMDISK, b"")])
    head = put(put(head, len(head) - 8, 8, size), SIZES + 8 * 4, 8, size)
    crc = zlib.crc32(head[548:], zlib.crc32(head[:544]))
    zeros = bytes(1_000_000)
    for _ in range(size // len(zeros)):
        crc = zlib.crc32(zeros, crc)
    path.write_bytes(put(head, 544, 4, crc))
    os.truncate(path, len(head) + size)
    progress(path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    said = qt_json("describe-eif", path)
    peak = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024
    points.check(said["CheckCRC"] is True and peak < 120, "memory does not grow with the image", f"{peak} MiB", said)


def fixed_vectors(_):
    if not VECTORS.is_dir():
        points.skip("images of AWS's tool", f"{VECTORS} is not there: set QT_VECTORS to the folder")
        return
    for path in sorted(VECTORS.glob("*.eif")):
        expected = json.loads(path.with_name(path.name[:-4] + ".describe.json").read_text())
        said = qt_json("describe-eif", path)
        points.check(all(said.get(k) == v for k, v in expected.items()), f"{path.name}: all that nitro-cli says of it",
                     json.dumps(said, indent=1))


with tempfile.TemporaryDirectory() as temporary:
    for scenario in (good_images, other_flags, damaged_images, unreadable_files, full_standard_output, terminal_safety, memory, fixed_vectors):
        points.run(scenario, pathlib.Path(temporary))
points.end()
