# SPDX-License-Identifier: Apache-2.0
"""extract-eif and diff-eif: parts to the byte, differences down to a file's attribute, in any compression."""
import bz2
import gzip
import hashlib
import json
import lzma
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile

import eif_bytes as eif
from eif_damage import BASE, IMAGE, REFUSED, UNREADABLE
from scenario_eif import VECTORS, Points, qt, qt_json

points = Points()


def cpio(*entries, order=None):
    """A newc archive of (name, mode, data, attributes)."""
    out = b""
    for i, (name, mode, data, attributes) in enumerate([*entries, ("TRAILER!!!", 0, b"", {})]):
        field = {"ino": i + 1, "mode": mode, "uid": 0, "gid": 0, "nlink": 1, "mtime": 0, "filesize": len(data), "devmajor": 0,
                 "devminor": 0, "rdevmajor": 0, "rdevminor": 0, "namesize": len(name) + 1, "check": 0, **attributes}
        out += b"070701" + b"".join(b"%08x" % v for v in field.values()) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return out + bytes(-len(out) % 512)


FILES = [("etc", 0o40755, b"", {}), ("etc/passwd", 0o100644, b"root:x:0:0::/:/bin/sh\n", {}), ("bin", 0o120777, b"usr/bin", {}),
         ("app", 0o100755, os.urandom(200_000), {"mtime": 5})]


def image(path, ramdisk, **changes):
    parts = [(k, changes.get(str(k), d)) for k, d in BASE[:4]]
    path.write_bytes(eif.compose([*parts, (eif.RAMDISK, ramdisk)], **{k: v for k, v in changes.items() if not k.isdigit()}))
    return path


def differences(a, b, status=1):
    said = qt_json("diff-eif", a, b, status=status)
    return [(d["Section"], d.get("File"), d["Attribute"], d["A"], d["B"]) for d in said["Differences"]]


def extracts(folder):
    path, out = folder / "image.eif", folder / "parts"
    path.write_bytes(eif.compose([*BASE, (eif.SIGNATURE, b"not looked into")]))
    said = qt_json("extract-eif", path, "--output", out)
    names = ["kernel", "cmdline", "metadata.json", "ramdisk-0", "ramdisk-1", "ramdisk-2", "signature.cbor"]
    points.check([s["File"] for s in said["Sections"]] == names and sorted(os.listdir(out)) == sorted(names)
                 and all((out / n).read_bytes() == d for n, (_, d) in zip(names, [*BASE, (4, b"not looked into")])),
                 "extract-eif gives each part to the byte", said)
    done = qt("extract-eif", path, "--output", out)
    points.check(done.returncode == 12 and "exists already" in done.stderr, "and overwrites nothing", done.stderr)
    work = folder / "work"
    work.mkdir()
    for name, data, _ in (*UNREADABLE[:6], *REFUSED[:3]):
        path.write_bytes(data)
        done = qt("extract-eif", path, "--output", work / "parts")
        points.check(done.returncode == 4 and os.listdir(work) == [] and len(done.stderr.splitlines()) == 1,
                     f"{name}: refused, nothing extracted", done.stderr, os.listdir(work))

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    path.write_bytes(IMAGE)
    done = qt("extract-eif", path, "--output", work / "parts", preexec_fn=small_files, restore_signals=False)
    points.check(done.returncode == 12 and "OutputFailed" in done.stderr and os.listdir(work) == [], "no room: nothing is left behind",
                 done.returncode, done.stderr, os.listdir(work))


def equal_images(folder):
    a, b = image(folder / "a.eif", cpio(*FILES)), image(folder / "b.eif", cpio(*FILES))
    said = qt_json("diff-eif", a, b)
    points.check(said == {"Equal": True, "Differences": []} and "the same" in qt("diff-eif", a, b).stdout, "equal images are equal", said)


def sections(folder):
    a = image(folder / "a.eif", cpio(*FILES))
    other = BASE[2][1].replace(b'"test"', b'"else"').replace(b'"x"', b'"y"')
    rows = (("kernel", {"1": b"KERNEX"}, [("kernel", None, "contents", "6 bytes, differs from byte 5 on", "6 bytes")]),
            ("cmdline", {"2": b"quiet"}, [("cmdline", None, "text", "console=ttyS0", "quiet")]),
            ("metadata", {"5": other}, [("metadata", None, "BuildMetadata.BuildTool", '"test"', '"else"'),
                                        ("metadata", None, "CustomMetadata.Team", '"x"', '"y"')]),
            ("architecture", {"flags": 1}, [("header", None, "flags", "0", "1")]))
    for name, changes, expected in rows:
        found = differences(a, image(folder / "b.eif", cpio(*FILES), **changes))
        points.check(found == expected, f"diff-eif names the {name}", found)
    path = folder / "b.eif"
    path.write_bytes(eif.compose([*BASE[:4], (eif.RAMDISK, cpio(*FILES)), (eif.RAMDISK, b"x")]))
    found = differences(a, path)
    points.check(("ramdisk 2", None, "presence", "absent", "present") in found, "and a ramdisk more", found)


def files(folder):
    a = image(folder / "a.eif", cpio(*FILES))
    passwd, app = FILES[1], FILES[3]
    changed = app[2][:-1] + bytes([app[2][-1] ^ 1])
    sums = [hashlib.sha256(d).hexdigest() for d in (app[2], changed)]
    rows = (("a mode", [*FILES[:3], (app[0], 0o104755, app[2], app[3])], [("app", "mode", "0100755", "0104755")]),
            ("an owner", [FILES[0], (passwd[0], passwd[1], passwd[2], {"uid": 7, "gid": 8}), *FILES[2:]],
             [("etc/passwd", "uid", "0", "7"), ("etc/passwd", "gid", "0", "8")]),
            ("a time", [*FILES[:3], (*app[:3], {"mtime": 6})], [("app", "mtime", "5", "6")]),
            ("contents", [*FILES[:3], (app[0], app[1], changed, app[3])], [("app", "sha256", *sums)]),
            ("a link's target", [*FILES[:2], ("bin", 0o120777, b"usr/bxn", {}), app],
             [("bin", "sha256", *[hashlib.sha256(d).hexdigest() for d in (b"usr/bin", b"usr/bxn")])]),
            ("a file less", FILES[:3], [("app", "presence", "present", "absent")]),
            ("a file more", [*FILES, ("zz", 0o100644, b"", {})], [("zz", "presence", "absent", "present")]))
    for name, listing, expected in rows:
        found = differences(a, image(folder / "b.eif", cpio(*listing)))
        points.check(found == [("ramdisk 1", *e) for e in expected], f"diff-eif names {name}", found)
    found = differences(a, image(folder / "b.eif", cpio(*reversed(FILES))))
    points.check([f[:3] for f in found] == [("ramdisk 1", None, "layout")], "the same files in another order are a matter of layout", found)
    text = qt("diff-eif", a, image(folder / "b.eif", cpio(*FILES[:3])))
    points.check(text.stdout == "ramdisk 1: app: presence: present | absent\n" and text.returncode == 1, "as a line of text", text.stdout)


def compressions(folder):
    plain = cpio(*FILES)
    changed = cpio(*FILES[:3], (FILES[3][0], 0o100700, *FILES[3][2:]))
    a = image(folder / "a.eif", plain)
    ways = {"gzip": gzip.compress(changed), "xz": lzma.compress(changed, check=lzma.CHECK_CRC32), "bzip2": bz2.compress(changed),
            "lzma": lzma.compress(changed, format=lzma.FORMAT_ALONE)}
    if shutil.which("zstd"):
        two = [subprocess.run(["zstd", "-q", "-c"], input=d, capture_output=True, check=True).stdout for d in (cpio(), changed)]
        found = differences(a, image(folder / "b.eif", two[0] + bytes(5) + two[1]))
        points.check(found == [("ramdisk 1", "app", "mode", "0100755", "0100700")], "looks into two zstd frames", found)
        ways["zstd"] = subprocess.run(["zstd", "-q", "-c"], input=changed, capture_output=True, check=True).stdout
    for name, data in ways.items():
        for what, ramdisk in ((name, data), (f"{name} padded with zeros", data + bytes(-len(data) % 4 + 4)), (f"{name} behind an archive and zeros", cpio() + bytes(700) + data)):
            found = differences(a, image(folder / "b.eif", ramdisk))
            points.check(found == [("ramdisk 1", "app", "mode", "0100755", "0100700")], f"looks into {what}", found)
    if "zstd" in ways:
        # Output that is no archive, then bytes of the section: the reader must neither mix them nor go in circles.
        junk = subprocess.run(["zstd", "-q", "-c"], input=b"garbage", capture_output=True, check=True).stdout
        for name, data in (("zstd of garbage", junk), ("zstd of garbage and more", junk * 3), ("half a zstd", ways["zstd"][:1000]),
                           ("an archive in two frames", two[0][:-4] + two[1])):
            found = differences(a, image(folder / "b.eif", data))
            points.check([f[:3] for f in found] == [("ramdisk 1", None, "layout")], f"{name}: compared by bytes", found)
    for name, data in (("garbage", b"garbage" * 100), ("half a gzip", ways["gzip"][:1000]), ("half an archive", plain[:700]),
                       ("gzip of garbage", gzip.compress(b"garbage"))):
        found = differences(a, image(folder / "b.eif", data))
        points.check([f[:3] for f in found] == [("ramdisk 1", None, "layout")], f"{name}: compared by bytes", found)


def refusals(folder):
    a = image(folder / "a.eif", cpio(*FILES))
    (folder / "b.eif").write_bytes(UNREADABLE[2][1])
    for first, second in ((a, folder / "b.eif"), (folder / "b.eif", a), (a, folder / "missing")):
        done = qt("diff-eif", first, second)
        points.check(done.returncode in (3, 4) and done.stdout == "" and len(done.stderr.splitlines()) == 1, "an image that cannot be read", done.stderr)


def fixed_vectors(_):
    if not VECTORS.is_dir():
        points.skip("images of AWS's tool", f"{VECTORS} is not there: set QT_VECTORS to the folder")
        return
    found = differences(VECTORS / "u.eif", VECTORS / "p256.signed.eif")
    points.check(found == [("header", None, "num_sections", "5", "6"), ("signature", None, "presence", "absent", "present")],
                 "AWS's signed image differs from its unsigned one by the signature", json.dumps(found))


with tempfile.TemporaryDirectory() as temporary:
    for scenario in (extracts, equal_images, sections, files, compressions, refusals, fixed_vectors):
        points.run(scenario, pathlib.Path(temporary))
points.end()
