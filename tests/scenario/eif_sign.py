# SPDX-License-Identifier: Apache-2.0
"""sign-eif: what it writes, judged byte by byte and by the openssl program; and all that it must refuse."""
import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import tempfile

import eif_bytes as eif
from scenario_eif import Points, qt, qt_json

CURVES = {"P-256": ("prime256v1", -7, "sha256", 32), "P-384": ("secp384r1", -35, "sha384", 48),
          "P-521": ("secp521r1", -36, "sha512", 66)}
BASE = [(eif.KERNEL, b"KERNEL"), (eif.CMDLINE, b"console=ttyS0"), (eif.METADATA, b"{}"),
        (eif.RAMDISK, b"first ramdisk"), (eif.RAMDISK, os.urandom(300_000))]
points = Points()


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **options).stdout


def certify(folder, name, curve="prime256v1", days=30, key=None):
    """A key and a self-signed certificate: paths."""
    key = key or folder / f"{name}.key"
    if not key.exists():
        openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", key)
    openssl("req", "-new", "-x509", "-key", key, "-subj", f"/CN=test {name}", "-days", days, "-out", folder / f"{name}.pem")
    openssl("x509", "-in", folder / f"{name}.pem", "-outform", "DER", "-out", folder / f"{name}.der")
    return key, folder / f"{name}.pem"


def head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    for extra, width in ((24, 1), (25, 2), (26, 4)):
        if number < 1 << 8 * width:
            return bytes([major << 5 | extra]) + number.to_bytes(width, "big")


def text(s):
    return head(3, len(s)) + s.encode()


def byte_string(b):
    return head(2, len(b)) + b


def byte_array(b):
    return head(4, len(b)) + b"".join(head(0, x) for x in b)


def payload(pcr0):
    return head(5, 2) + text("register_index") + head(0, 0) + text("register_value") + byte_array(bytes.fromhex(pcr0))


def protected(curve):
    return head(5, 1) + head(0, 1) + head(1, -1 - CURVES[curve][1])


def to_be_signed(curve, pcr0):
    return head(4, 4) + text("Signature1") + byte_string(protected(curve)) + byte_string(b"") + byte_string(payload(pcr0))


def section(curve, pcr0, certificate, raw, tag=b""):
    cose = tag + head(4, 4) + byte_string(protected(curve)) + head(5, 0) + byte_string(payload(pcr0)) + byte_string(raw)
    return head(4, 1) + head(5, 2) + text("signing_certificate") + byte_array(certificate) + text("signature") + byte_array(cose)


def der_of_raw(raw):
    def integer(b):
        b = b.lstrip(b"\0") or b"\0"
        b = (b"\0" if b[0] & 0x80 else b"") + b
        return b"\x02" + bytes([len(b)]) + b
    body = integer(raw[:len(raw) // 2]) + integer(raw[len(raw) // 2:])
    return b"\x30" + (bytes([len(body)]) if len(body) < 128 else b"\x81" + bytes([len(body)])) + body


def raw_of_der(der, half):
    at, raw = 3 if der[1] == 0x81 else 2, b""
    for _ in range(2):
        n = der[at + 1]
        raw += int.from_bytes(der[at + 2:at + 2 + n], "big").to_bytes(half, "big")
        at += 2 + n
    return raw


def verifies(folder, certificate, curve, tbs, raw):
    (folder / "pub.pem").write_bytes(openssl("x509", "-in", certificate, "-noout", "-pubkey"))
    (folder / "sig.der").write_bytes(der_of_raw(raw))
    (folder / "tbs").write_bytes(tbs)
    return subprocess.run(["openssl", "dgst", "-" + CURVES[curve][2], "-verify", folder / "pub.pem", "-signature", folder / "sig.der",
                           folder / "tbs"], capture_output=True).returncode == 0


def judge(folder, image, curve, certificate_file, certificate_pem, parts, claim):
    """The image is parts and, last, the one signature section that this certificate's key must have made."""
    pcr0 = eif.measure(parts)["PCR0"]
    found = eif.sections(image)
    half = CURVES[curve][3]
    raw = found[-1][1]
    # The signature proper ends the section, each byte as one or two; decode from the back of the known frame.
    frame = section(curve, pcr0, certificate_file, bytes(2 * half))
    cose_prefix = frame[:frame.index(byte_array(certificate_file)) + len(byte_array(certificate_file)) + len(text("signature"))]
    values, at = [], len(cose_prefix) + 2
    while at < len(raw):
        at += raw[at] == 24
        values.append(raw[at])
        at += 1
    signature = bytes(values[-2 * half:])
    expected = section(curve, pcr0, certificate_file, signature)
    points.check(found[:-1] == parts and found[-1] == (eif.SIGNATURE, expected) and eif.crc_is_right(image)
                 and verifies(folder, certificate_pem, curve, to_be_signed(curve, pcr0), signature), claim,
                 raw.hex(), expected.hex())


def each_curve(folder):
    path, out = folder / "plain.eif", folder / "signed.eif"
    path.write_bytes(eif.compose(BASE))
    for curve, (name, *_) in CURVES.items():
        key, pem = certify(folder, curve, name)
        for certificate in (pem, pem.with_suffix(".der")):
            said = qt_json("sign-eif", path, "--certificate", certificate, "--private-key", key, "--output", out)
            image = out.read_bytes()
            judge(folder, image, curve, pem.read_bytes(), pem, BASE,
                  f"{curve}, {certificate.suffix} certificate: the section is right to the byte and holds PEM, the rest unchanged")
            pcr8 = eif.pcr(pem.with_suffix(".der").read_bytes())
            points.check(said["Measurements"] == {"HashAlgorithm": "Sha384 { ... }", **eif.measure(BASE), "PCR8": pcr8},
                         f"{curve}: the PCRs are printed", said)
            seen = qt_json("describe-eif", out)
            points.check(seen["SignatureCheck"] is True and seen["Measurements"]["PCR8"] == pcr8 and seen["Findings"] == [],
                         f"{curve}: describe-eif accepts it", seen)
            again = qt("sign-eif", out, "--certificate", certificate, "--private-key", key)
            judge(folder, out.read_bytes(), curve, pem.read_bytes(), pem, BASE, f"{curve}: signed again, one signature, in place")
            points.check(again.stdout == f"PCR0       {eif.measure(BASE)['PCR0']}\nPCR8       {pcr8}\n", f"{curve}: as text PCR0 and PCR8", again.stdout)
    points.check(path.read_bytes() == eif.compose(BASE), "--output leaves the input alone")


def replaces(folder):
    """From P-521 to P-256 the section becomes shorter; header table and section must follow."""
    path = folder / "again.eif"
    middle = [*BASE[:3], (eif.SIGNATURE, b"an old one, not even last"), *BASE[3:]]
    path.write_bytes(eif.compose(middle))
    path.chmod(0o664)  # the usual umask would take a bit of it away
    if os.getuid() == 0:
        os.chown(path, 1234, 1234)
    (folder / "link.eif").symlink_to("again.eif")
    for curve in ("P-521", "P-256"):
        done = qt("sign-eif", folder / "link.eif", "--certificate", folder / f"{curve}.pem", "--private-key", folder / f"{curve}.key")
        points.check(done.returncode == 0, f"signs again with {curve}", done.stderr)
        judge(folder, path.read_bytes(), curve, (folder / f"{curve}.pem").read_bytes(), folder / f"{curve}.pem", BASE,
              f"replaces the signature by one on {curve}")
    points.check(os.getuid() != 0 or path.stat().st_uid == 1234, "the file keeps its owner")
    points.check(path.stat().st_mode & 0o7777 == 0o664 and (folder / "link.eif").is_symlink(),
                 "the file keeps its mode, the symbolic link stays one")
    path.write_bytes(eif.compose([s for s in BASE if s[0] != eif.METADATA], version=3))
    done = qt("sign-eif", path, "--certificate", folder / "P-384.pem", "--private-key", folder / "P-384.key")
    points.check(done.returncode == 0 and qt_json("describe-eif", path)["SignatureCheck"] is True, "signs version 3", done.stderr)


def others_signatures(folder):
    """Tagged and untagged COSE, made by openssl, read by us."""
    path, pcr0 = folder / "other.eif", eif.measure(BASE)["PCR0"]
    for curve, (_, _, digest, half) in CURVES.items():
        (folder / "tbs").write_bytes(to_be_signed(curve, pcr0))
        raw = raw_of_der(openssl("dgst", "-" + digest, "-sign", folder / f"{curve}.key", folder / "tbs"), half)
        for tag in (b"", b"\xd2"):
            pem = (folder / f"{curve}.pem").read_bytes()
            path.write_bytes(eif.compose([*BASE, (eif.SIGNATURE, section(curve, pcr0, pem, raw, tag))]))
            points.check(qt_json("describe-eif", path)["SignatureCheck"] is True, f"reads {curve}, COSE {'tagged' if tag else 'untagged'}")
        path.write_bytes(eif.compose([*BASE, (eif.SIGNATURE, section(curve, pcr0, (folder / f"{curve}.der").read_bytes(), raw))]))
        seen = qt_json("verify-eif", path, status=1)
        policy = qt("attest", "policy", "--from-eif", path)
        points.check([f["Code"] for f in seen["Findings"]] == ["certificate-not-pem"] and policy.returncode == 4 and policy.stdout == "",
                     f"{curve}: a certificate in DER, which AWS and QEMU do not read, is found; no policy for such an image",
                     seen["Findings"], policy.stderr)
        changed = [*BASE[:-1], (eif.RAMDISK, b"another application")]
        path.write_bytes(eif.compose([*changed, (eif.SIGNATURE, section(curve, pcr0, pem, raw))]))
        seen = qt_json("describe-eif", path, status=4)
        points.check(seen["SignatureCheck"] is False and "signature-pcr" in [f["Code"] for f in seen["Findings"]],
                     f"{curve}: a good signature over another image is not accepted", seen["Findings"])
        raw = raw[:-1] + bytes([raw[-1] ^ 1])
        path.write_bytes(eif.compose([*BASE, (eif.SIGNATURE, section(curve, pcr0, pem, raw))]))
        seen = qt_json("describe-eif", path, status=4)
        points.check("signature-wrong" in [f["Code"] for f in seen["Findings"]], f"{curve}: one bit of the signature", seen["Findings"])


def detached(folder):
    path, tbs, made = folder / "detached.eif", folder / "image.tbs", folder / "image.sig"
    for curve, (_, _, digest, half) in CURVES.items():
        path.write_bytes(eif.compose(BASE))
        before = path.read_bytes()
        done = qt("sign-eif", path, "--certificate", folder / f"{curve}.pem", "--emit-tbs", tbs)
        points.check(done.returncode == 0 and tbs.read_bytes() == to_be_signed(curve, eif.measure(BASE)["PCR0"])
                     and path.read_bytes() == before and digest in done.stdout, f"{curve}: --emit-tbs writes what has to be signed, and only that", done.stderr)
        said = qt_json("sign-eif", path, "--certificate", folder / f"{curve}.pem", "--emit-tbs", tbs)
        points.check(said == {"File": str(tbs), "Curve": curve, "Hash": digest}, f"{curve}: and says how to sign it", said)
        der = openssl("dgst", "-" + digest, "-sign", folder / f"{curve}.key", tbs)
        for form, data in (("DER", der), ("r and s", raw_of_der(der, half))):
            path.write_bytes(before)
            made.write_bytes(data)
            done = qt("sign-eif", path, "--certificate", folder / f"{curve}.pem", "--attach", made)
            judge(folder, path.read_bytes(), curve, (folder / f"{curve}.pem").read_bytes(), folder / f"{curve}.pem", BASE,
                  f"{curve}: --attach puts in a signature as {form}")


def untouched(folder, claim, status, kind, *arguments, image=None, **options):
    """sign-eif must end so, and the folder must be as before."""
    work = pathlib.Path(tempfile.mkdtemp(dir=folder))
    path = work / "image.eif"
    path.write_bytes(image or eif.compose(BASE))
    before = path.read_bytes()
    done = qt("sign-eif", path, *arguments, **options)
    points.check(done.returncode == status and f" {kind}: " in done.stderr and path.read_bytes() == before
                 and os.listdir(work) == ["image.eif"] and len(done.stderr.splitlines()) == 1, f"{claim}: refused, nothing written",
                 done.returncode, done.stderr, os.listdir(work))


def refusals(folder):
    key, pem = folder / "P-256.key", folder / "P-256.pem"
    other_key, _ = certify(folder, "other")
    certify(folder, "expired", key=key)
    openssl("x509", "-in", pem, "-signkey", key, "-days", "-1", "-out", folder / "expired.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-x509", "-subj", "/CN=rsa", "-keyout", folder / "rsa.key", "-out", folder / "rsa.pem")
    certify(folder, "k1", "secp256k1")
    (folder / "garbage").write_bytes(b"garbage")
    good = ("--certificate", pem, "--private-key", key)
    bad = "SignatureInvalid"
    untouched(folder, "another certificate's key", 4, bad, "--certificate", pem, "--private-key", other_key)
    untouched(folder, "a key on another curve", 4, bad, "--certificate", pem, "--private-key", folder / "P-384.key")
    untouched(folder, "an RSA pair", 4, bad, "--certificate", folder / "rsa.pem", "--private-key", folder / "rsa.key")
    untouched(folder, "an RSA key", 4, bad, "--certificate", pem, "--private-key", folder / "rsa.key")
    untouched(folder, "a pair on secp256k1", 4, bad, "--certificate", folder / "k1.pem", "--private-key", folder / "k1.key")
    untouched(folder, "an expired certificate", 4, bad, "--certificate", folder / "expired.pem", "--private-key", key)
    untouched(folder, "garbage for a key", 4, bad, "--certificate", pem, "--private-key", folder / "garbage")
    untouched(folder, "garbage for a certificate", 4, bad, "--certificate", folder / "garbage", "--private-key", key)
    (folder / "bundle.pem").write_bytes(pem.read_bytes() + key.read_bytes())
    untouched(folder, "a certificate file that holds the key too", 4, bad, "--certificate", folder / "bundle.pem", "--private-key", key)
    untouched(folder, "a missing key", 3, "FileUnreadable", "--certificate", pem, "--private-key", folder / "none")
    untouched(folder, "a missing certificate", 3, "FileUnreadable", "--certificate", folder / "none", "--private-key", key)
    untouched(folder, "no key at all", 2, "Usage", "--certificate", pem)
    untouched(folder, "no certificate", 2, "Usage", "--private-key", key)
    untouched(folder, "garbage for a signature", 4, bad, "--certificate", pem, "--attach", folder / "garbage")
    (folder / "wrong.sig").write_bytes(openssl("dgst", "-sha256", "-sign", key, folder / "garbage"))
    untouched(folder, "a signature over something else", 4, bad, "--certificate", pem, "--attach", folder / "wrong.sig")
    image = eif.compose(BASE)
    untouched(folder, "a damaged image", 4, "ImageInvalid", *good, image=image[:-1] + bytes([image[-1] ^ 1]))
    untouched(folder, "a truncated image", 4, "ImageInvalid", *good, image=eif.compose(BASE)[:-1])
    untouched(folder, "version 2", 4, "ImageInvalid", *good,
              image=eif.compose([s for s in BASE if s[0] != eif.METADATA], version=2))
    untouched(folder, "unknown header flags", 4, "ImageInvalid", *good, image=eif.compose(BASE, flags=0x40))
    untouched(folder, "an output folder that is not there", 12, "OutputFailed", *good, "--output", folder / "no" / "x.eif")

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    os.mkfifo(folder / "fifo")
    for option in (("--private-key", key, "--output"), ("--emit-tbs",)):
        untouched(folder, f"a FIFO for {option[-1]}", 12, "OutputFailed", "--certificate", pem, *option, folder / "fifo")
        untouched(folder, f"a folder for {option[-1]}", 12, "OutputFailed", "--certificate", pem, *option, folder)
    points.check((folder / "fifo").is_fifo(), "the FIFO is still there")
    (folder / "self.eif").write_bytes(image)
    done = qt("sign-eif", folder / "self.eif", "--certificate", pem, "--emit-tbs", f"{folder}/../{folder.name}/self.eif")
    points.check(done.returncode == 2 and "is the image itself" in done.stderr and (folder / "self.eif").read_bytes() == image,
                 "what has to be signed does not replace the image", done.returncode, done.stderr)
    untouched(folder, "no room for the output", 12, "OutputFailed", *good, preexec_fn=small_files, restore_signals=False)
    (folder / "in.eif").write_bytes(image)
    done = qt("sign-eif", folder / "in.eif", *good, "--output", folder / "full.eif", preexec_fn=small_files, restore_signals=False)
    points.check(done.stderr.startswith(f"qt-enclave: OutputFailed: {folder / 'full.eif'}: cannot write "), "and it is the output that is named", done.stderr)


def token(folder):
    claim, module = "signs with a key in a PKCS#11 token", None
    for candidate in ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"):
        module = candidate if os.path.exists(candidate) else module
    engine = any(pathlib.Path("/usr/lib").glob("*/engines-3/pkcs11.so")) or any(pathlib.Path("/usr/lib").glob("*/ossl-modules/pkcs11.so"))
    if not module or not engine or not shutil.which("softhsm2-util"):
        points.skip(claim, "softhsm2 and libengine-pkcs11-openssl are not installed")
        return
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    # libp11's engine leaks when it does not find a key; that is not ours to find.
    environment = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm2.conf"), "PKCS11_MODULE_PATH": module,
                   "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    openssl("pkcs8", "-topk8", "-nocrypt", "-in", folder / "P-384.key", "-out", folder / "P-384.p8")
    for arguments in (("--init-token", "--free", "--label", "images", "--so-pin", "12345678", "--pin", "4321"),
                      ("--import", folder / "P-384.p8", "--token", "images", "--label", "signer", "--id", "01", "--pin", "4321")):
        subprocess.run(["softhsm2-util", *map(str, arguments)], check=True, capture_output=True, env=environment)
    path = folder / "token.eif"
    path.write_bytes(eif.compose(BASE))
    uri = "pkcs11:token=images;object=signer;type=private?pin-value=4321"
    done = qt("sign-eif", path, "--certificate", folder / "P-384.pem", "--private-key", uri, env=environment)
    points.check(done.returncode == 0, "the token signs", done.stderr)
    judge(folder, path.read_bytes(), "P-384", (folder / "P-384.pem").read_bytes(), folder / "P-384.pem", BASE, claim)
    done = qt("sign-eif", path, "--certificate", folder / "P-256.pem", "--private-key", uri, env=environment)
    points.check(done.returncode == 4 and "SignatureInvalid" in done.stderr, "a token's key that is not the certificate's is refused", done.stderr)
    done = qt("sign-eif", path, "--certificate", folder / "P-384.pem", "--private-key", uri.replace("signer", "nobody"), env=environment)
    points.check(done.returncode == 4 and len(done.stderr.splitlines()) == 1, "a key that the token does not hold is refused", done.stderr)


with tempfile.TemporaryDirectory() as temporary:
    for scenario in (each_curve, replaces, others_signatures, detached, refusals, token):
        points.run(scenario, pathlib.Path(temporary))
points.end()
