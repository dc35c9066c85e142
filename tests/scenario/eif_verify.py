# SPDX-License-Identifier: Apache-2.0
"""verify-eif finds every damage of the list, and nothing in a good image; pcr computes what the rules say."""
import pathlib
import re
import subprocess
import tempfile

import eif_bytes as eif
from eif_damage import BASE, IMAGE, ODD, REFUSED, UNREADABLE
from scenario_eif import SOURCE, VECTORS, Points, qt, qt_json

points = Points()
PCR0 = eif.measure(BASE)["PCR0"]


def good(folder):
    path = folder / "good.eif"
    path.write_bytes(IMAGE)
    said = qt_json("verify-eif", path, "--pcr0", PCR0.upper())
    points.check(said["Valid"] is True and said["Findings"] == [] and said["Measurements"]["PCR0"] == PCR0, "a good image is valid", said)
    points.check("valid, not signed" in qt("verify-eif", path).stdout, "and the text says so")


def damages(folder):
    path = folder / "bad.eif"
    for name, data, code in (*UNREADABLE, *REFUSED, *ODD):
        path.write_bytes(data)
        said = qt_json("verify-eif", path, status=1)
        points.check(said["Valid"] is False and code in [f["Code"] for f in said["Findings"]] and all(f["Rule"] for f in said["Findings"]),
                     f"{name}: {code}", said)
        text = qt("verify-eif", path)
        points.check(text.returncode == 1 and code in text.stdout and "refused" in text.stdout, f"{name}: as text too", text.stdout)
    path.write_bytes(ODD[1][1])
    points.check(qt("verify-eif", path, "--allow", "reserved-field").returncode == 0, "a finding can be overlooked")
    path.write_bytes(UNREADABLE[2][1])
    points.check(qt("verify-eif", path, "--allow", "truncated").returncode == 1, "but not one that hides the rest")


def expectations(folder):
    path = folder / "good.eif"
    path.write_bytes(IMAGE)
    for arguments, status, word in ((("--pcr0", "00" * 48), 1, "pcr0-expected"), (("--pcr0", "00"), 2, "Usage"),
                                    (("--allow", "nonsense"), 2, "Usage"), (("--cert", folder / "none"), 3, "FileUnreadable"),
                                    (("--cert", path), 4, "SignatureInvalid")):
        done = qt("verify-eif", path, *arguments)
        points.check(done.returncode == status and word in done.stdout + done.stderr, f"{arguments[0]}: {word}", done.stdout, done.stderr)
    done = qt("verify-eif", folder / "missing")
    points.check(done.returncode == 3, "a missing file", done.stderr)


def fixed_vectors(folder):
    if not VECTORS.is_dir():
        points.skip("images of AWS's tool", f"{VECTORS} is not there: set QT_VECTORS to the folder")
        return
    for curve in ("p256", "p384", "p521"):
        image, cert = VECTORS / f"{curve}.signed.eif", VECTORS / f"{curve}.cert.pem"
        (folder / "cert.der").write_bytes(subprocess.run(["openssl", "x509", "-in", cert, "-outform", "DER"], check=True,
                                                         capture_output=True).stdout)
        points.check(qt("verify-eif", image, "--cert", cert).returncode == 0 and qt("verify-eif", image, "--cert", folder / "cert.der").returncode == 0,
                     f"{curve}: AWS's signed image is valid, by its certificate in PEM and DER")
        other = VECTORS / ("p384.cert.pem" if curve == "p256" else "p256.cert.pem")
        said = qt_json("verify-eif", image, "--cert", other, status=1)
        points.check([f["Code"] for f in said["Findings"]] == ["certificate-expected"], f"{curve}: not by another's", said)
        said = qt_json("pcr", "--certificate", cert, "--eif", image)
        points.check(said["PCR8"] == said["Measurements"]["PCR8"] == eif.pcr((folder / "cert.der").read_bytes()), f"{curve}: pcr --certificate", said)
    said = qt_json("verify-eif", VECTORS / "u.eif", "--cert", cert, status=1)
    points.check([f["Code"] for f in said["Findings"]] == ["certificate-expected"], "an unsigned image has no certificate", said)


def registers(folder):
    path = folder / "input"
    path.write_bytes(b"x" * 1_000_000)
    role, agency = "arn:aws:iam::123456789012:role/Webserver", "iam::0123456789abcdef:agency:builder"
    uuid = "4662b7a3-7898-46c9-a6c5-20e9025e50bc"
    rows = ((("--input", path), "PCR", eif.pcr(path.read_bytes())), (("--role", role), "PCR3", eif.extend(role.encode())),
            (("--role", agency), "PCR3", eif.extend(agency.encode())),
            (("--instance-id", "i-1234567890abcdef0"), "PCR4", eif.extend(b"i-1234567890abcdef0")),
            (("--instance-id", uuid), "PCR4", eif.extend(uuid.encode())))
    for arguments, name, value in rows:
        said = qt_json("pcr", *arguments)
        points.check(said == {name: value} and value in qt("pcr", *arguments).stdout, f"pcr {arguments[0]}: {name}", said)
    # Taken from a genuine QingTian document
    points.check(said["PCR4"].startswith("6ccd06a953f53b37610636e8c7f0f1aa9d2489512776f8a4a22e0790ac62102a"), "as in a genuine document", said)
    for arguments, status in (((), 2), (("--role", "Webserver"), 2), (("--instance-id", "i-123"), 2), (("--instance-id", uuid.upper()), 2),
                              (("--input", folder / "none"), 3), (("--eif", path), 4), (("--certificate", path), 4)):
        done = qt("pcr", *arguments)
        points.check(done.returncode == status and len(done.stderr.splitlines()) == 1, f"pcr {arguments}: refused", done.returncode, done.stderr)
    path.write_bytes(ODD[0][1])
    points.check(qt("pcr", "--eif", path).returncode == 4, "no PCR0 of an image with unknown flags")
    points.check(qt("attest", "policy", "--from-eif", path).returncode == 4, "nor a policy for it")


def manual(_):
    codes = set(re.findall(r'^FINDING\(\w+, "([a-z0-9-]+)"', (SOURCE / "eif" / "findings.def").read_text(), re.M))
    listed = set(re.findall(r"^\.It Li ([a-z0-9-]+)$", (SOURCE / "man" / "eif.5").read_text(), re.M))
    points.check(codes and codes == listed, "eif(5) lists the codes, all and only them", codes ^ listed)


with tempfile.TemporaryDirectory() as temporary:
    for scenario in (good, damages, expectations, fixed_vectors, registers, manual):
        points.run(scenario, pathlib.Path(temporary))
points.end()
