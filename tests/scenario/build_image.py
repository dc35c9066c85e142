# SPDX-License-Identifier: Apache-2.0
"""build-eif from container images: what layers mean, what an image says to run, and every image made to do harm."""
import copy
import gzip
import json
import stat
import struct
import tarfile
import tempfile

import cpio_bytes
import eif_bytes as eif
from build_rig import Rig, ramdisks, rootfs
from oci_compose import (Layout, digest, docker_archive, folder, hard_link, layer, link, make_config, member, pack)
from scenario_eif import Points

points = Points()
APP = member("bin/app", b"#!app", mode=0o755)
RUN = {"Entrypoint": ["/bin/app"], "Cmd": ["-d", "two words"], "Env": ["PATH=/bin", "A=1"], "WorkingDir": "/work",
       "User": "7:8"}


def lower_and_upper():
    lower = layer(folder("./"), folder("bin"), APP, folder("lib", mode=0o700), member("lib/a", b"1", uid=1, gid=2), link("usrlib", "lib"),
                  link("absolute", "/lib"), folder("opaque"), member("opaque/old", b"x"), folder("opaque/sub"),
                  member("opaque/sub/old", b"x"), member("gone", b"g"), folder("gone-dir"), member("gone-dir/x", b""),
                  hard_link("lib/b", "lib/a"), folder("file-later"), member("file-later/x", b""), member("dir-later", b"f"),
                  member("dev/null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666),
                  member("dev/sda", kind=tarfile.BLKTYPE, device=(8, 300)), member("fifo", kind=tarfile.FIFOTYPE),
                  member("ping", b"p", mode=0o755, xattrs={"security.capability": "\x01\x00\x00\x02", "user.x": "y"}),
                  member("n" * 120 + "/" + "ü" * 100, b"long"), member("large-id", b"", uid=3_000_000, mtime=1_600_000_000.75))
    upper = layer(member(".wh.gone"), member(".wh.gone-dir"), member(".wh.never"), member("usrlib/c", b"cc"),
                  member("absolute/d", b"dd"), folder("opaque"), member("opaque/new", b"n"), member("opaque/.wh..wh..opq"),
                  member("opaque/sub/new", b"n"), member("file-later", b"now a file"), folder("dir-later"),
                  member("dir-later/x", b"y"), hard_link("lib/z", "lib/b"), folder("lib", mode=0o711, mtime=5),
                  member("same", b"1"), member(".wh.same"), member(".wh..wh.aufs", b"x"))
    return [lower, upper]


def meaning(rig):
    layers = lower_and_upper()
    images = {}
    for how in ("gzip", "zstd", "none"):
        layout = Layout(rig.folder / ("layout-" + how))
        layout.add_image(layers, how=how, **RUN)
        images[how] = rig.built("--image", f"oci:{layout.save()}")
    points.check(len({eif.measure(eif.sections(p.read_bytes()))["PCR2"] for p in images.values()}) == 1,
                 "tar, tar+gzip and tar+zstd give the same file system")
    path = images["zstd"]
    files = rootfs(path)
    expected = {"", "bin", "bin/app", "lib", "lib/a", "lib/b", "lib/c", "lib/d", "lib/z", "usrlib", "absolute", "opaque",
                "opaque/new", "opaque/sub", "opaque/sub/new", "file-later", "dir-later", "dir-later/x", "dev", "dev/null",
                "dev/sda", "fifo", "ping", "n" * 120, "n" * 120 + "/" + "ü" * 100, "large-id", "same", "work"}
    cpio_names = {"", *files}
    points.check(cpio_names == expected, "whiteouts, opaque directories and replacements", cpio_names ^ expected)
    points.check(files["lib/c"].data == b"cc" and files["lib/d"].data == b"dd",
                 "links of lower layers are followed inside the image")
    points.check({files[n].inode for n in ("lib/a", "lib/b", "lib/z")} == {files["lib/a"].inode}
                 and files["lib/a"].links == 3 and files["lib/z"].data == b"1" and files["lib/a"].uid == 1
                 and files["lib/a"].gid == 2, "hard links, over layers too")
    points.check(files["lib"].mode == stat.S_IFDIR | 0o711 and files["lib"].mtime == 5,
                 "a directory that comes again changes its attributes and keeps its content")
    points.check(stat.S_ISREG(files["file-later"].mode) and stat.S_ISDIR(files["dir-later"].mode), "kinds can change")
    points.check(stat.S_ISCHR(files["dev/null"].mode) and (files["dev/null"].device_major, files["dev/null"].device_minor)
                 == (1, 3) and files["dev/null"].mode & 0o777 == 0o666 and stat.S_ISFIFO(files["fifo"].mode)
                 and stat.S_ISBLK(files["dev/sda"].mode) and files["dev/sda"].device_minor == 300, "device nodes are kept")
    points.check(files["large-id"].uid == 3_000_000 and files["large-id"].mtime == 1_600_000_000, "large ids, odd times")
    points.check(cpio_bytes.files(ramdisks(path)[1])["rootfs.xattrs"].data
                 == b"ping\0security.capability\0004\0\x01\0\0\x02ping\0user.x\0001\0y", "file capabilities are kept")
    for form, name in ((tarfile.GNU_FORMAT, "GNU"), (tarfile.USTAR_FORMAT, "ustar")):
        layout = Layout(rig.folder / ("form-" + name))
        long = "d" * 90 + "/" + "e" * (140 if form == tarfile.GNU_FORMAT else 60)
        layout.add_image([layer(APP, member(long, b"l"), form=form)], **RUN)
        points.check(rootfs(rig.built("--image", f"oci:{layout.save()}"))[long].data == b"l", f"{name} archives")
    clamped = rig.built("--image", f"oci:{rig.folder / 'layout-gzip'}", env={"SOURCE_DATE_EPOCH": "1000"})
    points.check({e.mtime for e in rootfs(clamped).values()} == {5, 1000}, "no time is later than SOURCE_DATE_EPOCH")
    empty = rig.built("--image", f"oci:{rig.folder / 'layout-gzip'}", env={"SOURCE_DATE_EPOCH": ""})
    points.check(empty.read_bytes() == images["gzip"].read_bytes(), "an empty SOURCE_DATE_EPOCH is none")


def application(rig):
    layers = [layer(APP, member("bin/other", b"#!", mode=0o755), folder("data"))]
    layout = Layout(rig.folder / "layout-app")
    layout.add_image(layers, **RUN)
    source = f"oci:{layout.save()}"

    def says(*arguments):
        return cpio_bytes.app_config(ramdisks(rig.built("--image", source, *arguments))[1])

    own = {"arg": ["/bin/app", "-d", "two words"], "env": ["PATH=/bin", "A=1"], "workdir": ["/work"], "user": ["7:8"]}
    points.check(says() == own, "Entrypoint and Cmd, Env, WorkingDir, User of the image", says())
    points.check(says("--cmd", "-x") == {**own, "arg": ["/bin/app", "-x"]}, "another Cmd keeps the Entrypoint")
    points.check(says("--", "-x", "y z") == {**own, "arg": ["/bin/app", "-x", "y z"]}, "and so do arguments")
    points.check(says("--entrypoint", "other") == {**own, "arg": ["other"]}, "another Entrypoint drops the Cmd")
    points.check(says("--entrypoint", "", "--cmd", "other x") == {**own, "arg": ["other", "x"]}, "an empty Entrypoint")
    points.check(says("--env", "A=2", "--env", "C=") == {**own, "env": ["PATH=/bin", "A=2", "C="]}, "environments add up")
    points.check(says("--workdir", "/data", "--user", "9") == {**own, "workdir": ["/data"], "user": ["9"]},
                 "another place and user")
    bare = Layout(rig.folder / "layout-bare")
    bare.add_image(layers, Cmd=["/bin/app"], Entrypoint=None, Env=None, WorkingDir="", User="")
    found = cpio_bytes.app_config(ramdisks(rig.built("--image", f"oci:{bare.save()}"))[1])
    points.check(found["arg"] == ["/bin/app"] and "user" not in found and "workdir" not in found
                 and found["env"] == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                 "nothing said means root, / and the usual PATH", found)


def choice(rig):
    layers = [layer(APP)]
    layout = Layout(rig.folder / "layout-many")
    for arch, platform in (("x86_64", "amd64"), ("aarch64", "arm64")):
        layout.add_image(layers, arch=arch, platform=platform, tag="v1", **{**RUN, "Env": ["ARCH=" + arch]})
    layout.add_image(layers, tag="registry.example/app:v2", **RUN)
    layout.add_image(layers, platform="unknown", tag="v1", **RUN)
    nested = layout.index[:2]
    source = layout.save()
    for arch in ("x86_64", "aarch64"):
        path = rig.built("--image", f"oci:{source}:v1", "--arch", arch, "--init", rig.init_for(arch))
        flags, = struct.unpack_from(">H", path.read_bytes(), 6)
        points.check(f"ARCH={arch}" in cpio_bytes.app_config(ramdisks(path)[1])["env"] and flags == (arch == "aarch64"),
                     f"--arch {arch} picks its image and marks the file")
    rig.built("--image", f"oci:{source}:v2")
    rig.refused(points, "several images and no tag", "SourceInvalid", "tag", "--image", f"oci:{source}")
    rig.refused(points, "no such tag", "SourceInvalid", "v9; there are v1, registry.example/app:v2", "--image", f"oci:{source}:v9")
    only = Layout(rig.folder / "layout-arm")
    only.add_image(layers, arch="aarch64", platform="arm64", **RUN)
    rig.refused(points, "no image for this architecture", "SourceInvalid", "--arch", "--image", f"oci:{only.save()}",
                "--arch", "x86_64")
    only.index[0].pop("platform")
    rig.refused(points, "an image whose configuration names another architecture", "SourceInvalid", "arm64",
                "--image", f"oci:{only.save()}", "--arch", "x86_64")
    inner = layout.document({"schemaVersion": 2, "manifests": nested}, "application/vnd.oci.image.index.v1+json")
    layout.index = [inner]
    layout.save()
    path = rig.built("--image", f"oci:{source}", "--arch", "x86_64")
    metadata = json.loads(dict(eif.sections(path.read_bytes()))[eif.METADATA])
    points.check(metadata["ImageVersion"] == nested[0]["digest"][7:], "an index within an index", metadata)


def archives(rig):
    layers = lower_and_upper()
    config = make_config(layers, **RUN)
    layout = Layout(rig.folder / "layout-tar")
    layout.add_image(layers, tag="v1", **RUN)
    source = layout.save()
    plain = rig.built("--image", f"oci:{source}")
    pcr2 = eif.measure(eif.sections(plain.read_bytes()))["PCR2"]
    files = {"oci-archive": rig.folder / "oci.tar", "docker-archive": rig.folder / "docker.tar",
             "docker-archive legacy": rig.folder / "legacy.tar", "docker-archive packed": rig.folder / "docker.tar.gz"}
    with tarfile.open(files["oci-archive"], "w") as tar:
        for name in ("blobs", "oci-layout", "index.json"):
            tar.add(source / name, name)
    docker_archive(files["docker-archive"], layers, config)
    docker_archive(files["docker-archive legacy"], layers, config, legacy=True)
    files["docker-archive packed"].write_bytes(gzip.compress(files["docker-archive"].read_bytes(), 1))
    for name, path in files.items():
        built = rig.built("--image", f"{name.split()[0]}:{path}")
        points.check(eif.measure(eif.sections(built.read_bytes()))["PCR2"] == pcr2, f"{name}: the same file system")
    rig.built("--image", f"docker-archive:{files['docker-archive']}:1")
    rig.refused(points, "a tag that the archive has not", "SourceInvalid", "9", "--image",
                f"docker-archive:{files['docker-archive']}:9")
    damaged = rig.folder / "damaged.tar"
    for kind, other in (("oci-archive", "docker-archive"), ("docker-archive", "oci-archive")):
        rig.refused(points, f"an archive for {kind}: given as {other}:", "SourceInvalid", f"give it as {kind}:", "--image",
                    f"{other}:{files[kind]}")
    data = bytearray(files["docker-archive"].read_bytes())
    data[data.index(b"#!app")] ^= 1
    damaged.write_bytes(data)
    rig.refused(points, "a changed byte in an archive's layer", "SourceInvalid", "damaged", "--image",
                f"docker-archive:{damaged}")
    for size in (0, 100, 512, 3000):
        damaged.write_bytes(files["oci-archive"].read_bytes()[:size])
        rig.refused(points, f"an archive cut off after {size} bytes", "SourceInvalid", "", "--image",
                    f"oci-archive:{damaged}")


def damage(rig):
    layers = [layer(APP)]
    n = 0

    def image(change, **settings):
        nonlocal n
        n += 1
        layout = Layout(rig.folder / f"damage-{n}")
        config = make_config(layers, **RUN)
        manifest = layout.manifest(layers, config)
        change(layout, config, manifest)
        layout.index = [layout.document(manifest, "application/vnd.oci.image.manifest.v1+json")]
        return f"oci:{layout.save()}"

    def blob_of(layout, entry):
        return layout.path / "blobs" / "sha256" / entry["digest"][7:]

    def flip(layout, config, manifest):
        path = blob_of(layout, manifest["layers"][0])
        data = bytearray(path.read_bytes())
        data[9] ^= 1  # the operating system in gzip's header: unpacks all the same
        path.write_bytes(data)

    def other_config(**changes):
        def change(layout, config, manifest):
            changed = copy.deepcopy(config)
            changed.update(changes)
            manifest["config"] = layout.document(changed, "application/vnd.oci.image.config.v1+json")
        return change

    def raw_config(text):
        return lambda layout, config, manifest: manifest.update(
            config=layout.blob(text, "application/vnd.oci.image.config.v1+json"))

    def remove(layout, config, manifest):
        blob_of(layout, manifest["layers"][0]).unlink()

    def outside(layout, config, manifest):
        path = blob_of(layout, manifest["layers"][0])
        other = rig.folder / f"stolen-{n}"
        other.write_bytes(path.read_bytes())
        path.unlink()
        path.symlink_to(other)

    rootfs = {"type": "layers", "diff_ids": [digest(b"else")]}
    for claim, error, word, change in (
            ("a layer with another digest", "SourceInvalid", "damaged", flip),
            ("a layer that is not there", "FileUnreadable", "blobs/", remove),
            ("a layer behind a symbolic link", "FileUnreadable", "blobs/", outside),
            ("a layer of another size", "SourceInvalid", "bytes", lambda l, c, m: m["layers"][0].update(size=7)),
            ("a layer of another kind", "SourceInvalid", "media type",
             lambda l, c, m: m["layers"][0].update(mediaType="application/x+encrypted")),
            ("a digest that climbs", "SourceInvalid", "digest",
             lambda l, c, m: m["layers"][0].update(digest="sha256:../../../../etc/passwd")),
            ("a digest of another algorithm", "SourceInvalid", "digest",
             lambda l, c, m: m["layers"][0].update(digest="sha512:" + "0" * 128)),
            ("a negative size", "SourceInvalid", "size", lambda l, c, m: m["layers"][0].update(size=-1)),
            ("no layers", "SourceInvalid", "layers", lambda l, c, m: m.pop("layers")),
            ("too many layers", "SourceInvalid", "1000", lambda l, c, m: m.update(layers=m["layers"] * 1001)),
            ("another diff_id", "SourceInvalid", "damaged", other_config(rootfs=rootfs)),
            ("fewer diff_ids than layers", "SourceInvalid", "names 0", other_config(rootfs={"diff_ids": []})),
            ("an image for Windows", "SourceInvalid", "windows", other_config(os="windows")),
            ("an Env that is no list", "SourceInvalid", "wrong type", other_config(config={"Env": {"A": 1}})),
            ("a Cmd of numbers", "SourceInvalid", "wrong type", other_config(config={"Cmd": [1]})),
            ("no valid JSON", "SourceInvalid", "JSON", raw_config(b'{"config":')),
            ("a name twice in JSON", "SourceInvalid", "JSON", raw_config(b'{"os":"linux","os":"linux"}')),
            ("JSON of great depth", "SourceInvalid", "JSON", raw_config(b"[" * 100_000)),
            ("JSON of great size", "ImageTooLarge", "4194304", raw_config(b" " * ((4 << 20) + 1)))):
        rig.refused(points, claim, error, word, "--image", image(change))


def hostile_layers(rig):
    n = 0

    def image(*layers, how="gzip"):
        nonlocal n
        n += 1
        layout = Layout(rig.folder / f"hostile-{n}")
        layout.add_image([layer(APP), *layers], how=how, **RUN)
        return f"oci:{layout.save()}"

    def raw(change, *members):
        data = bytearray(layer(*members, form=tarfile.USTAR_FORMAT))
        change(data)
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
        return bytes(data)

    def put(at, text):
        def change(data):
            data[at:at + len(text)] = text
        return change

    unsafe = "SourceInvalid"
    for claim, error, word, source in (
            ("a name that climbs", unsafe, "..", image(layer(member("../escape", b"x")))),
            ("a name that climbs in the middle", unsafe, "..", image(layer(member("a/../../b", b"x")))),
            ("a hard link that climbs", unsafe, "..", image(layer(hard_link("x", "../../etc/passwd")))),
            ("a hard link out of the image", unsafe, "not there", image(layer(hard_link("x", "/etc/hostname")))),
            ("a hard link to a directory", unsafe, "directory", image(layer(hard_link("x", "bin")))),
            ("a link, then a file through it", unsafe, "same layer", image(layer(link("e", "/etc"), member("e/passwd", b"x")))),
            ("a link, then a hard link through it", unsafe, "same layer",
             image(layer(link("e", "/etc"), hard_link("x", "e/passwd")))),
            ("a link, then a whiteout through it", unsafe, "same layer", image(layer(link("e", "/"), member("e/.wh.bin")))),
            ("a file through a loop of links", unsafe, "nowhere",
             image(layer(link("a", "b"), link("b", "a")), layer(member("a/x", b"")))),
            ("a file below a file", unsafe, "no directory", image(layer(member("bin/app/x", b"")))),
            ("a link in place of the root", unsafe, "root", image(raw(put(156, b"2"), link("./", "x")))),
            ("a whiteout of nothing", unsafe, "whiteout", image(layer(member(".wh.")))),
            ("a name of 300 bytes", unsafe, "255", image(layer(member("x" * 300, b"")))),
            ("a path of 5000 bytes", unsafe, "too long", image(layer(member("/".join(["x" * 99] * 50), b"")))),
            ("a symbolic link to nothing", unsafe, "to nothing", image(layer(link("x", "")))),
            ("a sparse file", unsafe, "sparse", image(raw(put(156, b"S"), member("x", b"")))),
            ("a wrong checksum", unsafe, "checksum", image(b"x" * 512)),
            ("a size beyond the archive", unsafe, "ends within", image(raw(put(124, b"00000100000\0"), member("x", b"")))),
            ("a size that is no number", unsafe, "number", image(raw(put(124, b"zz"), member("x", b"")))),
            ("a size of 2^63", unsafe, "", image(raw(put(124, b"\x80\0\0\0\x80" + bytes(7)), member("x", b"")))),
            ("a device number of 2^20", unsafe, "device",
             image(raw(put(329, b"7777777\0"), member("x", kind=tarfile.CHRTYPE)))),
            ("an archive cut off in a header", unsafe, "header", image(layer(member("x", b""))[:300])),
            ("a layer that is no gzip", unsafe, "checksum", image(b"not an archive at all" * 100, how="none")),
            ("a pax record without end", unsafe, "pax", image(layer(member("x" * 200, b"")).replace(b" path=", b" pathx"))),
            ("extended attributes of 100 KB", unsafe, "too large",
             image(layer(member("x", b"", xattrs={"user.a": "v" * 100_000}))))):
        rig.refused(points, claim, error, word, "--image", source)
    bomb = image(layer(member("zeros", bytes(64 << 20))))
    rig.refused(points, "a bomb of zeros", "ImageTooLarge", "--max-size", "--image", bomb, "--max-size", "32M")
    rig.built("--image", bomb, "--max-size", "65M")
    again = image(*[layer(member("same", bytes(10 << 20)))] * 4)
    rig.refused(points, "the same file again and again", "ImageTooLarge", "--max-size", "--image", again, "--max-size",
                "32M")
    claims = image(raw(put(124, b"77777777777\0"), member("x", b"")))
    rig.refused(points, "a file that claims 8 GiB", "ImageTooLarge", "--max-size", "--image", claims, "--max-size", "1G")


def large_in_names(rig):
    """Images of no data, whose paths, targets and attributes are all that there is to keep."""
    target, deep = "x/" * 1990, "/".join(["d" * 200] * 19)
    for claim, layers in (
            ("targets of links", [layer(*[link(f"l{i}", target) for i in range(1100)])]),
            ("one link's target under many names", [layer(link("l", target), *[hard_link(f"l{i}", "l") for i in range(1100)])]),
            ("long paths", [layer(*[member(f"{deep}/{i}", b"") for i in range(1100)])]),
            ("attributes", [layer(*[member(f"{n}-{i}", b"", xattrs={"user.a": "v" * 60_000}) for i in range(37)]) for n in "ab"])):
        layout = Layout(rig.folder / f"large-{claim.replace(' ', '-')}")
        layout.add_image([layer(APP), *layers], **RUN)
        source = f"oci:{layout.save()}"
        rig.refused(points, f"more than 4 MiB of {claim}", "ImageTooLarge", "--max-size", "--image", source, "--max-size", "4M")
        path = rig.built("--image", source, "--max-size", "5M")
        points.check(4 << 20 < path.stat().st_size < 7 << 20, f"5 MiB of {claim} are as many in the image", path.stat().st_size)
    layout = Layout(rig.folder / "replaced")
    layout.add_image([layer(APP), *[layer(link("l", target), folder("d", xattrs={"user.a": "v" * 60_000}))] * 40], **RUN)
    rig.built("--image", f"oci:{layout.save()}", "--max-size", "1M")


def endless_work(rig):
    """A few kilobytes each, over which a careless reader is busy for minutes or hours."""
    layout = None

    def image(*layers, **settings):
        nonlocal layout
        layout = Layout(rig.folder / f"endless-{len(list(rig.folder.iterdir()))}")
        layout.add_image([layer(APP), *layers], how="zstd", **{**RUN, **settings})
        return f"oci:{layout.save()}"

    def packed_size():
        return sum(p.stat().st_size for p in (layout.path / "blobs" / "sha256").iterdir())

    def attributes(*names):
        """A pax header by hand: tarfile's holds no name twice."""
        rests = [b" SCHILY.xattr.user.%s=\n" % name.encode() for name in names]
        return member("pax", b"".join(b"%d" % (len(r) + 2) + r for r in rests), kind=b"x")

    chain = layer(*[link(f"a{i}", "./" * 1990 + f"a{i + 1}") for i in range(38)], link("a38", "."))
    through = member("a0/" * 1300 + "x", b"")
    again = attributes(*[f"n{i:03}" for i in range(256)], *["n255"] * 30_000)
    for claim, make in (
            ("names through chains of links", lambda: image(chain, layer(*[through] * 8))),
            ("the same, a name in each of many layers", lambda: image(chain, *[layer(through)] * 8)),
            ("a PATH through chains of links", lambda: image(chain, Env=["PATH=" + "a0:" * 40_000], Entrypoint=["app"])),
            ("one attribute set again and again", lambda: image(layer(*[again, member("x", b"")] * 10, form=tarfile.USTAR_FORMAT))),
            ("whiteouts of the same layer's files",
             lambda: image(layer(*[member(f"d/{i}", b"") for i in range(10_000)], *[member("d/.wh..wh..opq")] * 8000)))):
        source = make()
        rig.refused(points, f"{claim}: {packed_size()} bytes packed", "ImageTooLarge", "steps", "--image", source)
    for n, accepted in ((256, True), (257, False)):
        source = image(layer(attributes(*[f"n{i:03}" for i in range(n)]), member("x", b""), form=tarfile.USTAR_FORMAT))
        if accepted:
            rig.built("--image", source)
        else:
            rig.refused(points, "257 attributes of one file", "SourceInvalid", "too many", "--image", source)


def many_entries(rig):
    """A million and one names of few bytes each, in a blob of a few megabytes."""
    header = bytearray(layer(member("d/0000000", b"", mtime=0), form=tarfile.USTAR_FORMAT)[:512])
    base = sum(header[:148]) + sum(header[156:]) + 8 * 32
    blocks = bytearray()
    for i in range(1_000_001):
        name = b"%07d" % i
        header[2:9] = name
        header[148:156] = b"%06o\0 " % (base + sum(name) - 7 * 48)
        blocks += header
    layout = Layout(rig.folder / "many")
    layout.add_image([layer(APP), bytes(blocks) + bytes(1024)], how="zstd", **RUN)
    rig.refused(points, "more than a million entries", "ImageTooLarge", "1000000", "--image", f"oci:{layout.save()}")


with tempfile.TemporaryDirectory(prefix="qt-build-") as place:
    rig = Rig(place)
    for step in (meaning, application, choice, archives, damage, hostile_layers, large_in_names, endless_work, many_entries):
        points.run(step, rig)
points.end()
