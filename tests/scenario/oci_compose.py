# SPDX-License-Identifier: Apache-2.0
"""Container images composed in plain Python: layers from rows, OCI layouts and docker-archives around them."""
import gzip
import hashlib
import io
import json
import subprocess
import tarfile

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}


def member(name, data=b"", kind=tarfile.REGTYPE, target="", mode=0o644, uid=0, gid=0, mtime=1_600_000_000, device=(0, 0),
           xattrs=None):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mode = len(data), kind, target, mode
    info.uid, info.gid, info.mtime, (info.devmajor, info.devminor) = uid, gid, mtime, device
    for key, value in (xattrs or {}).items():
        info.pax_headers["SCHILY.xattr." + key] = value
    return info, data


def folder(name, mode=0o755, **more):
    return member(name, kind=tarfile.DIRTYPE, mode=mode, **more)


def link(name, target, **more):
    return member(name, kind=tarfile.SYMTYPE, target=target, **more)


def hard_link(name, target, **more):
    return member(name, kind=tarfile.LNKTYPE, target=target, **more)


def layer(*members, form=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def pack(data, how):
    if how == "gzip":
        return gzip.compress(data, 6, mtime=0)
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout
    return data


def make_config(layers, arch="x86_64", **config):
    return {"architecture": ARCH[arch], "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": [digest(data) for data in layers]}}


class Layout:
    """An OCI layout in a directory; add_image() puts one in, save() writes index.json."""

    def __init__(self, path):
        self.path, self.index = path, []
        (path / "blobs" / "sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data, media, **more):
        (self.path / "blobs" / "sha256" / digest(data)[7:]).write_bytes(data)
        return {"mediaType": media, "digest": digest(data), "size": len(data), **more}

    def document(self, value, media, **more):
        return self.blob(value if isinstance(value, bytes) else json.dumps(value).encode(), media, **more)

    def manifest(self, layers, config, how="gzip"):
        media = "application/vnd.oci.image.layer.v1.tar" + {"gzip": "+gzip", "zstd": "+zstd"}.get(how, "")
        return {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": self.document(config, "application/vnd.oci.image.config.v1+json"),
                "layers": [self.blob(pack(data, how), media) for data in layers]}

    def add_image(self, layers, config=None, how="gzip", tag=None, platform=None, **settings):
        config = make_config(layers, **settings) if config is None else config
        entry = self.document(self.manifest(layers, config, how), "application/vnd.oci.image.manifest.v1+json")
        if tag:
            entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
        if platform:
            entry["platform"] = {"architecture": platform, "os": "linux"}
        self.index.append(entry)
        return entry

    def save(self):
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.index}))
        return self.path


def docker_archive(path, layers, config, tags=("sample:1",), legacy=False):
    """What `docker save` wrote before version 25 (legacy: layers behind links), or podman save."""
    config_data = json.dumps(config).encode()
    names = [digest(data)[7:] + ("/layer.tar" if legacy else ".tar") for data in layers]
    manifest = [{"Config": digest(config_data)[7:] + ".json", "RepoTags": list(tags), "Layers": names}]
    with tarfile.open(path, "w") as tar:
        for i, (name, data) in enumerate(zip(names, layers)):
            if legacy and data in layers[:i]:
                continue
            if legacy:
                real = f"shared-{i}.tar"
                for info, content in (member(real, data), link(name, "../" + real)):
                    tar.addfile(info, io.BytesIO(content))
            else:
                info, content = member(name, data)
                tar.addfile(info, io.BytesIO(content))
        for name, data in ((manifest[0]["Config"], config_data), ("manifest.json", json.dumps(manifest).encode())):
            info, content = member(name, data)
            tar.addfile(info, io.BytesIO(content))
