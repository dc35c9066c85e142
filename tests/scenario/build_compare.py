# SPDX-License-Identifier: Apache-2.0
"""build-eif: builds that are repeated and compared, their provenance, and nitro-cli's layout."""
import hashlib
import json
import os
import pathlib
import pty
import shutil
import signal
import stat
import subprocess
import tarfile
import tempfile

import cpio_bytes
import eif_bytes as eif
from build_rig import ENV, Rig, ramdisks, rootfs, tree
from harness import wait_for
from oci_compose import Layout, folder, hard_link, layer, link, member
from scenario_eif import BUILD, Points, qt

points = Points()


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def comparing(rig):
    root = tree(rig.folder / "root")
    arguments = ("--rootfs", root, "--cmd", "app")
    path = rig.built(*arguments, "--check")
    points.check(path.exists(), "a build that repeats itself is written")
    done, again = rig.build(*arguments, "--compare-to", path)
    points.check(done.returncode == 0 and again.read_bytes() == path.read_bytes(), "the same as a given image", done.stderr)
    done = qt("build-eif", "--kernel", rig.kernel, *arguments, "--compare-to", path, env=ENV)
    points.check(done.returncode == 0 and "PCR0" in done.stdout, "without --output nothing is written", done.stderr)
    (root / "etc" / "secret").chmod(0o640)
    rig.refused(points, "another mode is named", "VerifyFailed", "rootfs/etc/secret: mode", *arguments, "--compare-to", path)
    (root / "etc" / "secret").chmod(0o600)
    (root / "etc" / "secret").write_text("t")
    rig.refused(points, "another content is named", "VerifyFailed", "rootfs/etc/secret: sha256", *arguments,
                "--compare-to", path)
    (root / "etc" / "secret").write_text("s")
    rig.refused(points, "another command line is named", "VerifyFailed", "cmdline", *arguments, "--cmdline", "x",
                "--compare-to", path)
    rig.refused(points, "something to compare with that is no image", "ImageInvalid", "kernel", *arguments,
                "--compare-to", rig.kernel)
    # A first process that is another one at each look makes a build that does not repeat itself.
    programs = [BUILD / "guest" / "qt-init", rig.folder / "other-init"]
    programs[1].write_bytes(programs[0].read_bytes() + b"another")
    for n, name in enumerate(("first", "second")):
        (rig.folder / name).mkdir()
        (rig.folder / name / "init").symlink_to(programs[n])
    a = rig.built(*arguments, "--init", rig.folder / "first" / "init")
    rig.refused(points, "another first process is named", "VerifyFailed", "InitSHA256", *arguments, "--init",
                rig.folder / "second" / "init", "--compare-to", a)


def signed(rig):
    root = tree(rig.folder / "root-signed")
    arguments = ("--rootfs", root, "--cmd", "app")
    path = rig.built(*arguments)
    key, certificate = rig.folder / "key.pem", rig.folder / "certificate.pem"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-keyout",
                           key, "-out", certificate, "-subj", "/CN=test", "-days", "30"], capture_output=True)
    done = qt("sign-eif", "--private-key", key, "--certificate", certificate, path)
    if made.returncode or done.returncode:
        points.check(False, "an image can be signed", made.stderr, done.stderr)
        return
    done, _ = rig.build(*arguments, "--compare-to", path)
    points.check(done.returncode == 0, "a signature on the other image is no difference", done.stderr)


def on_a_terminal(rig):
    """Progress on a terminal, and only there."""
    root = tree(rig.folder / "root-t")
    (root / "large").write_bytes(bytes(40 << 20))
    arguments = [BUILD / "cli" / "qt-enclave", "build-eif", "--kernel", rig.kernel, "--rootfs", root, "--cmd", "app", "--output",
                 rig.folder / "t.eif"]
    ours, theirs = pty.openpty()
    done = subprocess.run([str(a) for a in arguments], stdout=subprocess.PIPE, stderr=theirs, env=ENV)
    os.close(theirs)
    said = os.read(ours, 65536).decode()
    os.close(ours)
    points.check(done.returncode == 0 and "application: 32 MiB" in said and json.loads(done.stdout)["Measurements"],
                 "progress on a terminal", said)
    done = subprocess.run([str(a) for a in arguments], capture_output=True, env=ENV)
    points.check(done.stderr == b"", "and only there", done.stderr)


def provenance(rig):
    root = tree(rig.folder / "root-p")
    statement = rig.folder / "statement.json"
    path = rig.built("--rootfs", root, "--cmd", "app", "--provenance", statement)
    said = json.loads(statement.read_text())
    image = path.read_bytes()
    inputs = {d["name"]: d["digest"]["sha256"] for d in said["predicate"]["buildDefinition"]["resolvedDependencies"]}
    sha = lambda data: hashlib.sha256(data).hexdigest()
    points.check(said["_type"] == "https://in-toto.io/Statement/v1"
                 and said["subject"] == [{"name": path.name, "digest": {"sha256": sha(image)}}], "it is about this image", said)
    points.check(inputs["kernel"] == sha(rig.kernel.read_bytes()) and inputs["ramdisk 1"] == sha(ramdisks(path)[1])
                 and inputs["init"] == sha((BUILD / "guest" / "qt-init").read_bytes()), "it names what went in", inputs)
    points.check(said["predicate"]["runDetails"]["byproducts"][0]["annotations"] == eif.measure(eif.sections(image)),
                 "and what comes out of measuring", said)
    again = rig.folder / "again.json"
    qt("build-eif", "--kernel", rig.kernel, "--rootfs", root, "--cmd", "app", "--output", path, "--provenance", again, env=ENV)
    points.check(again.read_bytes() == statement.read_bytes(), "the same build makes the same statement")
    by_statement(rig, path, said)
    rig.refused(points, "a statement that cannot be written", "OutputFailed", "no-such", "--rootfs", root, "--cmd", "app",
                "--provenance", rig.folder / "no-such" / "x")
    rig.refused(points, "a statement where the image goes", "Usage", "--provenance", "--rootfs", root, "--cmd", "app", "--output",
                rig.folder / "both", "--provenance", f"{root}/../both")
    # Whoever fetches the image puts a directory where it is to go; the statement must not outlive that build.
    layout = Layout(rig.folder / "layout-p")
    layout.add_image([layer(member("bin/app", b"#!app", mode=0o755))], tag="image", Entrypoint=["/bin/app"])
    path, statement = rig.folder / "never.eif", rig.folder / "never.json"
    fetcher = rig.skopeo(layout.save(), f"mkdir {path}")
    done, _ = rig.build("--image", "docker://registry/app", "--output", path, "--provenance", statement, env=fetcher)
    points.check(done.returncode == 12 and "OutputFailed" in done.stderr and not statement.exists(),
                 "no statement without its image", done.returncode, done.stderr, statement.exists())


def places(rig):
    """What may stand where the image goes; said before the source, which is not there, is looked at."""
    nowhere = ("--rootfs", rig.folder / "no-such-root", "--cmd", "app")
    (rig.folder / "a-folder").mkdir()
    os.mkfifo(rig.folder / "a-fifo")
    (rig.folder / "to-fifo").symlink_to("a-fifo")
    rig.refused(points, "a directory is no output", "OutputFailed", "is a directory", *nowhere, "--output", rig.folder / "a-folder")
    for name in ("a-fifo", "to-fifo"):
        rig.refused(points, f"{name} is no output", "OutputFailed", "FIFO", *nowhere, "--output", rig.folder / name)
        rig.refused(points, f"{name} is no place for a statement", "OutputFailed", "FIFO", "--rootfs", tree(rig.folder / f"root-{name}"),
                    "--cmd", "app", "--provenance", rig.folder / name)
    points.check(stat.S_ISFIFO((rig.folder / "a-fifo").lstat().st_mode) and (rig.folder / "to-fifo").is_symlink(),
                 "and what stood there still does")
    (rig.folder / "linked").write_bytes(b"old")
    (rig.folder / "a-folder" / "link").symlink_to("../linked")
    rig.built("--rootfs", rig.folder / "root-a-fifo", "--cmd", "app", "--output", rig.folder / "a-folder" / "link")
    points.check((rig.folder / "a-folder" / "link").is_symlink() and eif.sections((rig.folder / "linked").read_bytes()),
                 "a symbolic link stays one, and its file is replaced")


def fetching(rig):
    """What docker:// leaves behind when it is interrupted, and what it is called when it is damaged."""
    spool = rig.folder / "spool"
    spool.mkdir()
    layout = Layout(rig.folder / "layout-f")
    layout.add_image([layer(member("bin/app", b"#!app", mode=0o755))], tag="image", Entrypoint=["/bin/app"])
    place = layout.save()
    env = {**ENV, **rig.skopeo(place, f"echo $$ > {rig.folder}/pid.new; mv {rig.folder}/pid.new {rig.folder}/pid; exec sleep 600"),
           "TMPDIR": str(spool)}
    arguments = [str(a) for a in (BUILD / "cli" / "qt-enclave", "build-eif", "--kernel", rig.kernel, "--image", "docker://registry/app",
                                  "--output", rig.folder / "interrupted.eif")]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        (rig.folder / "pid").unlink(missing_ok=True)
        with subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as build:
            wait_for((rig.folder / "pid").exists, "skopeo")
            fetcher, held = int((rig.folder / "pid").read_text()), list(spool.iterdir())
            build.send_signal(number)
            said = build.communicate(timeout=60)
        points.check(build.returncode == -number and said == ("", ""), f"{number.name} ends a build that fetches", build.returncode, said)
        wait_for(lambda: not alive(fetcher), "the end of skopeo")
        points.check(len(held) == 1 and (number == signal.SIGKILL or not list(spool.iterdir())),
                     f"{number.name}: skopeo ends, and what it fetched is gone" if number != signal.SIGKILL else "SIGKILL: skopeo ends",
                     held, *spool.iterdir())
    shutil.rmtree(held[0])
    (rig.folder / "pid").unlink()
    ignoring = subprocess.Popen(["nohup", *arguments], env={**env, **rig.skopeo(place, f"kill -HUP $PPID")}, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
    said = ignoring.communicate(timeout=120)
    points.check(ignoring.returncode == 0 and not list(spool.iterdir()), "under nohup SIGHUP ends nothing", *said)
    for blob in (pathlib.Path(place) / "blobs" / "sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.write_bytes(blob.read_bytes()[:-9] + bytes(9))
    done, _ = rig.build("--image", "docker://registry/app", env={**rig.skopeo(place), "TMPDIR": str(spool)})
    points.check(done.returncode == 4 and "docker://registry/app: layer 1" in done.stderr and str(spool) not in done.stderr
                 and not list(spool.iterdir()), "a damaged layer is one of the reference", done.stderr)


def by_statement(rig, path, said):
    """verify-eif compares an image with a statement."""
    other = rig.folder / "changed.json"

    def verify(*arguments):
        run = qt("verify-eif", "-o", "json", "--provenance", other, *arguments)
        return run, [(f["Code"], f["Message"]) for f in json.loads(run.stdout)["Findings"]] if run.returncode <= 1 else []

    def changed(change):
        copy = json.loads(json.dumps(said))
        change(copy)
        other.write_text(json.dumps(copy))

    changed(lambda s: None)
    run, findings = verify(path)
    points.check(run.returncode == 0 and findings == [], "verify-eif takes the image that the statement is about", run.stdout, run.stderr)
    parts = eif.sections(path.read_bytes())
    last = max(i for i, (kind, _) in enumerate(parts) if kind == eif.RAMDISK)
    parts[last] = (eif.RAMDISK, parts[last][1].replace(b"app", b"opp", 1))
    another = rig.folder / "another.eif"
    another.write_bytes(eif.compose(parts))
    run, findings = verify(another)
    points.check(run.returncode == 1 and [c for c, _ in findings] == ["provenance-digest", "provenance-pcr", "provenance-pcr"]
                 and findings[0][1].endswith("other than stated: ramdisk 1") and [t[:5] for _, t in findings[1:]] == ["PCR0 ", "PCR2 "],
                 "refuses another, and names what differs", findings, run.stderr)
    changed(lambda s: s["predicate"]["runDetails"]["byproducts"][0]["annotations"].update(PCR2="ab" * 48))
    run, findings = verify(path)
    points.check(run.returncode == 1 and [c for c, _ in findings] == ["provenance-pcr"] and findings[0][1].endswith("the statement's " + "ab" * 48),
                 "and one PCR that is another", findings)
    changed(lambda s: s["subject"][0]["digest"].update(sha256="cd" * 32))
    run, findings = verify(path)
    points.check(run.returncode == 1 and [c for c, _ in findings] == ["provenance-digest"] and findings[0][1].endswith("header"), "or the SHA-256 alone", findings)
    run, _ = verify(path, "--allow", "provenance-digest")
    points.check(run.returncode == 0, "which may be overlooked", run.stdout)
    for what, change in (("of another type", lambda s: s.update(_type="x")), ("without a subject", lambda s: s.update(subject=[])),
                         ("with a digest that is none", lambda s: s["subject"][0]["digest"].update(sha256="cd")),
                         ("of another tool", lambda s: s["predicate"]["buildDefinition"].update(buildType="urn:other")),
                         ("without PCR1", lambda s: s["predicate"]["runDetails"]["byproducts"][0]["annotations"].pop("PCR1"))):
        changed(change)
        run, _ = verify(path)
        points.check(run.returncode == 2 and f"Usage: --provenance {other}: " in run.stderr and run.stderr.count("\n") == 1, f"a statement {what} is none", run.stderr)
    other.write_text("{")
    points.check(verify(path)[0].returncode == 2, "nor is what is no JSON")
    other.unlink()
    points.check(verify(path)[0].returncode == 3, "a statement that is missing")


TIME = 1_492_533_000
HOSTS = (b"127.0.0.1       localhost\n::1     localhost ip6-localhost ip6-loopback\nfe00::0 ip6-localnet\n"
         b"ff00::0 ip6-mcastprefix\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n")


class Cpio:
    """linuxkit's archive, written down once more from the description."""

    def __init__(self):
        self.data, self.inode = b"", 721

    def add(self, name, mode, data=b"", mtime=TIME, uid=0, gid=0, rdev=(0, 0)):
        fields = (self.inode, mode, uid, gid, 2 if stat.S_ISDIR(mode) else 1, mtime, len(data), 3, 1, *rdev, len(name) + 1, 0)
        self.inode += 1
        self.data += b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0"
        self.pad(4)
        self.data += data
        self.pad(4)

    def pad(self, to):
        self.data += bytes(-len(self.data) % to)

    def end(self):
        fields = (self.inode, 0, 0, 0, 1, 0, 0, 3, 1, 0, 0, 11, 0)
        self.data += b"070701" + b"".join(b"%08x" % f for f in fields) + b"TRAILER!!!\0"
        self.pad(512)
        return self.data


def as_nitro_cli(rig):
    layers = [layer(folder("bin", mtime=11), member("bin/sh", b"#!sh", mode=0o755, mtime=12), hard_link("bin/ash", "bin/sh", mode=0o755, mtime=12),
                    folder("etc", mtime=13), member("etc/hosts", b"the image's own"), member("etc/hostname", b"h"),
                    folder("tmp", mode=0o1777, mtime=14), folder("usr", mtime=15), folder("usr/lib", mtime=15),
                    hard_link("usr/lib/z", "bin/sh", mode=0o755, mtime=12), member("Dockerfile", b"FROM"),
                    member("ping", b"p", mode=0o4755, uid=5, gid=6, mtime=16, xattrs={"security.capability": "x"}),
                    folder("dev", mtime=17), member("dev/null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666, mtime=18),
                    link("link", "bin/sh", mtime=19))]
    layout = Layout(rig.folder / "layout")
    layout.add_image(layers, Entrypoint=["/bin/sh"], Cmd=["/bin/ash", "-c", "two words"], Env=["PATH=/bin", "A=b c"],
                     User="5", WorkingDir="/nowhere")
    blobs = rig.folder / "blobs"
    blobs.mkdir()
    (blobs / "bzImage").write_bytes(rig.kernel.read_bytes())
    (blobs / "init").write_bytes(b"any program\n" * 9)
    (blobs / "nsm.ko").write_bytes(b"a module\n" * 7)
    path = rig.built("--kernel", blobs / "bzImage", "--init", blobs / "init", "--image", f"oci:{layout.save()}", "--compat",
                     "nitro-cli", env={"SOURCE_DATE_EPOCH": "1"})
    boot, application = ramdisks(path)
    expected = Cpio()
    expected.add("dev", stat.S_IFDIR | 0o755)
    expected.add("init", stat.S_IFREG | 0o755, (blobs / "init").read_bytes())
    expected.add("nsm.ko", stat.S_IFREG | 0o755, (blobs / "nsm.ko").read_bytes())
    points.check(boot == expected.end(), "the boot ramdisk is linuxkit's", cpio_bytes.entries(boot))
    resolv = b"/run/resolvconf/resolv.conf"
    c, d, f, s = Cpio(), stat.S_IFDIR | 0o755, stat.S_IFREG, stat.S_IFLNK
    c.add("rootfs", d)
    c.add("rootfs/bin/", d, mtime=11)
    c.add("rootfs/bin/ash", f | 0o755, b"#!sh", mtime=12)
    c.add("rootfs/bin/sh", s | 0o755, b"ash", mtime=12)
    c.add("rootfs/dev/", d)
    c.add("rootfs/dev/null", stat.S_IFCHR | 0o666, mtime=18, rdev=(1, 3))
    c.add("rootfs/dev/pts/", d)
    c.add("rootfs/dev/shm/", d)
    c.add("rootfs/etc/", d)
    c.add("rootfs/etc/hosts", f | 0o755, HOSTS)
    c.add("rootfs/etc/mtab", s | 0o777, b"/proc/mounts")
    c.add("rootfs/etc/resolv.conf", s | 0o755, resolv)
    c.add("rootfs/link", s | 0o777, b"bin/sh", mtime=19)
    c.add("rootfs/ping", f | 0o4755, b"p", mtime=16, uid=5, gid=6)
    c.add("rootfs/proc/", d)
    c.add("rootfs/sys/", d)
    c.add("rootfs/tmp/", stat.S_IFDIR | 0o1777, mtime=14)
    c.add("rootfs/usr/", d, mtime=15)
    c.add("rootfs/usr/lib/", d, mtime=15)
    c.add("rootfs/usr/lib/z", s | 0o755, b"../../bin/ash", mtime=12)
    c.add("rootfs/etc/hosts", f | 0o644, HOSTS)
    c.add("rootfs/etc/resolv.conf", s | 0o644, resolv)
    for name in ("rootfs", "rootfs/dev", "rootfs/run", "rootfs/sys", "rootfs/var", "rootfs/proc", "rootfs/tmp"):
        c.add(name, d)
    c.add("cmd", f | 0o644, b"/bin/ash\n-c\ntwo words\n")
    c.add("env", f | 0o644, b"PATH=/bin\nA=b c\n")
    points.check(application == c.end(), "the application's ramdisk is linuxkit's", *cpio_bytes.entries(application))
    own = rig.built("--image", f"oci:{layout.path}", "--compat", "nitro-cli")
    points.check(ramdisks(own)[1] == application and "init" in cpio_bytes.files(ramdisks(own)[0]),
                 "without nsm.ko the boot ramdisk is ours, and PCR2 the same")
    # The blobs of nitro-cli themselves are not here; their sizes, and that of the ramdisk made of them, are known.
    for init, nsm, size in ((742968, 20504, 764416), (738616, 23208, 762368)):
        (blobs / "init").write_bytes(bytes(init))
        (blobs / "nsm.ko").write_bytes(bytes(nsm))
        boot = ramdisks(rig.built("--kernel", blobs / "bzImage", "--init", blobs / "init", "--image", f"oci:{layout.path}",
                                  "--compat", "nitro-cli"))[0]
        points.check(len(boot) == size, f"the boot ramdisk of nitro-cli's blobs has {size} bytes", len(boot))
    rig.refused(points, "another compatibility", "Usage", "nitro-cli", "--image", f"oci:{layout.path}", "--compat", "enclaver")
    rig.refused(points, "nitro-cli's layout, packed", "Usage", "--compress", "--image", f"oci:{layout.path}", "--compat",
                "nitro-cli", "--compress", "zstd")
    rig.refused(points, "an argument with a newline", "SourceInvalid", "newline", "--image", f"oci:{layout.path}",
                "--compat", "nitro-cli", "--", "/bin/sh", "a\nb")


with tempfile.TemporaryDirectory(prefix="qt-build-") as place:
    rig = Rig(place)
    for step in (comparing, signed, on_a_terminal, provenance, places, fetching, as_nitro_cli):
        points.run(step, rig)
points.end()
