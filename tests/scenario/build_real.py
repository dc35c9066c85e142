# SPDX-License-Identifier: Apache-2.0
"""build-eif on images that other tools made: busybox and Debian's minbase through umoci and skopeo, and a registry.

Debian's root file system is made once by mmdebstrap and kept in ~/.cache/qt-enclave; without a network these points are
skipped. The registry is Debian's docker-registry where that is installed; scripts/packages leaves it out, as its package
starts a server on all addresses.
"""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import tarfile
import tempfile
import time
import urllib.request

import cpio_bytes
import eif_bytes as eif
from build_rig import ENV, Rig, ramdisks, rootfs
from scenario_eif import Points, qt

points = Points()
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "qt-enclave"
MINBASE = CACHE / "minbase-bookworm.tar"


def tool(*arguments, **options):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: {done.stderr}")
    return done.stdout


def pcr2(path):
    return eif.measure(eif.sections(path.read_bytes()))["PCR2"]


def busybox(rig):
    root = rig.folder / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy2(shutil.which("busybox"), root / "bin" / "busybox")
    for name in ("sh", "cat", "sleep"):
        os.link(root / "bin" / "busybox", root / "bin" / name)
    (root / "etc").mkdir()
    (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\napp:x:100:100::/:/bin/sh\n")
    (root / "old").mkdir()
    (root / "old" / "file").write_text("gone in the second layer")
    layout = rig.folder / "layout"
    image = f"{layout}:v1"
    rootless = ("--rootless",)
    tool("umoci", "init", "--layout", layout)
    tool("umoci", "new", "--image", image)
    for name in ("bin", "etc", "old"):
        tool("umoci", "insert", *rootless, "--image", image, root / name, "/" + name)
    tool("umoci", "insert", *rootless, "--image", image, "--whiteout", "/old/file")
    tool("umoci", "insert", *rootless, "--image", image, "--opaque", root / "etc", "/etc")
    tool("umoci", "config", "--image", image, "--config.entrypoint", "/bin/sh", "--config.cmd", "-c", "--config.cmd",
         "echo hello", "--config.env", "A=1", "--config.workingdir", "/srv", "--config.user", "app", "--architecture",
         {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine])
    path = rig.built("--image", f"oci:{image}")
    files = rootfs(path)
    points.check("old" in files and "old/file" not in files and "etc/passwd" in files
                 and files["bin/busybox"].data == (root / "bin" / "busybox").read_bytes()
                 and files["bin/sh"].inode == files["bin/busybox"].inode, "an image of umoci, with its whiteouts", list(files))
    found = cpio_bytes.app_config(ramdisks(path)[1])
    points.check(found["arg"] == ["/bin/sh", "-c", "echo hello"] and "A=1" in found["env"] and found["workdir"] == ["/srv"]
                 and found["user"] == ["app"], "and its configuration", found)
    expected = pcr2(path)
    for scheme, name in (("oci", "copy"), ("oci-archive", "oci.tar"), ("docker-archive", "docker.tar")):
        place = rig.folder / name
        tool("skopeo", "--insecure-policy", "copy", f"oci:{image}", f"{scheme}:{place}:busybox:v1" if scheme != "oci" else f"oci:{place}:v1")
        points.check(pcr2(rig.built("--image", f"{scheme}:{place}")) == expected, f"what skopeo copies to {scheme}: is the same")
    tool("skopeo", "--insecure-policy", "copy", "--dest-compress-format", "zstd", "--dest-compress", f"oci:{image}",
         f"oci:{rig.folder / 'zstd'}:v1")
    points.check(pcr2(rig.built("--image", f"oci:{rig.folder / 'zstd'}")) == expected, "and packed with zstd")
    return layout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def registry(folder):
    """Debian's docker-registry on a port of 127.0.0.1."""
    port = free_port()
    config = folder / "registry.yml"
    config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder / 'registry'}}}}}\n"
                      f"http: {{addr: '127.0.0.1:{port}'}}\nlog: {{level: error}}\n")
    server = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=60).close()
                break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def from_registry(rig, layout):
    rig.refused(points, "docker:// without skopeo says so", "ToolMissing", "skopeo", "--image", "docker://127.0.0.1:1/x",
                env={"PATH": "/nonexistent"})
    done, path = rig.build("--image", "docker://127.0.0.1:1/x")
    points.check(done.returncode == 3 and done.stderr.startswith("qt-enclave: FileUnreadable: docker://127.0.0.1:1/x: skopeo could not fetch it: ")
                 and "connection refused" in done.stderr and 'Get "https://' in done.stderr and done.stderr.count("\n") == 1 and not path.exists(),
                 "docker:// that nobody serves: one line, with what skopeo said", done.stderr)
    if not shutil.which("docker-registry"):
        return points.skip("an image from a registry", "docker-registry is not installed")
    spool = rig.folder / "spool"
    spool.mkdir()
    with registry(rig.folder) as host:
        # A user's own settings: this registry speaks plain HTTP, and its images need no signature.
        conf = rig.folder / "home" / ".config" / "containers"
        conf.mkdir(parents=True)
        (conf / "registries.conf").write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
        (conf / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        mine = {"HOME": str(rig.folder / "home"), "TMPDIR": str(spool)}
        tool("skopeo", "copy", f"oci:{layout}:v1", f"docker://{host}/team/busybox:v1", env={**os.environ, **mine})
        path = rig.built("--image", f"docker://{host}/team/busybox:v1", env=mine)
        points.check(pcr2(path) == pcr2(rig.built("--image", f"oci:{layout}:v1")) and not list(spool.iterdir()),
                     "an image from a registry is the same, and leaves nothing behind", list(spool.iterdir()))
        done, path = rig.build("--image", f"docker://{host}/team/none:v1", env=mine)
        points.check(done.returncode == 3 and "FileUnreadable" in done.stderr and done.stderr.count("\n") == 1 and not path.exists() and not list(spool.iterdir()),
                     "an image that is not there", done.stderr)


def minbase():
    """The tar of Debian's minbase, or why there is none."""
    if not shutil.which("mmdebstrap"):
        return None, "mmdebstrap is not installed"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not MINBASE.exists():
            fresh = MINBASE.with_suffix(".new.tar")
            done = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", fresh], capture_output=True,
                                  text=True)
            if done.returncode != 0:
                fresh.unlink(missing_ok=True)
                return None, "mmdebstrap: " + (done.stderr.strip().splitlines() or ["failed"])[-1]
            fresh.rename(MINBASE)
    return MINBASE, None


def debian(rig):
    tar_path, why = minbase()
    if not tar_path:
        return points.skip("Debian's minbase", why)
    layout = rig.folder / "debian"
    tool("umoci", "init", "--layout", layout)
    tool("umoci", "new", "--image", f"{layout}:v1")
    tool("umoci", "raw", "add-layer", "--image", f"{layout}:v1", tar_path)
    tool("umoci", "config", "--image", f"{layout}:v1", "--config.cmd", "/bin/bash", "--architecture",
         {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine])
    files = rootfs(rig.built("--image", f"oci:{layout}"))
    expected, wrong = 0, []
    with tarfile.open(tar_path) as tar:
        for m in tar:
            name = m.name.removeprefix("./").rstrip("/")
            if name in ("", "."):
                continue
            expected += 1
            e = files.get(name)
            kind = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK, tarfile.CHRTYPE: stat.S_IFCHR,
                    tarfile.BLKTYPE: stat.S_IFBLK, tarfile.FIFOTYPE: stat.S_IFIFO}.get(m.type, stat.S_IFREG)
            if (not e or stat.S_IFMT(e.mode) != kind or (e.uid, e.gid, e.mtime) != (m.uid, m.gid, int(m.mtime))
                    or (kind != stat.S_IFLNK and stat.S_IMODE(e.mode) != m.mode)
                    or (m.issym() and e.data.decode() != m.linkname)
                    or (m.islnk() and e.inode != files[m.linkname.removeprefix("./")].inode)
                    or (m.isdev() and (e.device_major, e.device_minor) != (m.devmajor, m.devminor))
                    or (m.isreg() and hashlib.sha256(e.data).digest() != hashlib.sha256(tar.extractfile(m).read()).digest())):
                wrong.append(f"{name}: {e}")
    points.check(not wrong and len(files) == expected and expected > 5000,
                 "Debian's minbase comes out with every name, owner, mode, time, link and byte", len(files), expected,
                 *wrong[:10])
    a, b = (rig.built("--image", f"oci:{layout}", "--compress", "zstd") for _ in range(2))
    points.check(a.read_bytes() == b.read_bytes(), "twice the same")


with tempfile.TemporaryDirectory(prefix="qt-build-") as place:
    rig = Rig(place)
    if all(map(shutil.which, ("umoci", "skopeo", "busybox", "zstd"))):
        points.run(busybox, rig)
        points.run(from_registry, rig, rig.folder / "layout")
    else:
        points.skip("images of other tools", "umoci, skopeo, busybox and zstd are needed")
    if shutil.which("umoci"):
        points.run(debian, rig)
points.end()
