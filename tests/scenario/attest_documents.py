# SPDX-License-Identifier: Apache-2.0
"""Every rule of the verifier, on documents that break exactly one; then the collected genuine and hostile ones."""
import datetime
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

try:
    import attest_cases
    import attest_edges
    import attest_forge as forge
except ImportError as missing:
    print(f"1..0 # SKIP {missing}: install python3-cryptography")
    sys.exit(0)

BUILD = pathlib.Path(os.environ["QT_BUILD_ROOT"])
SOURCE = pathlib.Path(os.environ["QT_SOURCE_ROOT"])
VECTORS = pathlib.Path(os.environ.get("QT_VECTORS", SOURCE / "../shared/vectors")) / "attestation"
n = 0


def point(ok, what, *lines):
    global n
    n += 1
    print(f"{'ok' if ok else 'not ok'} {n} - {what}")
    if not ok:
        for line in lines:
            print("#", line)


def verify(cases, *roots):
    """Crypto reason and policy reason for each (document, profiles, seconds or -1)."""
    frames = b"".join(struct.pack("<IqI", profiles, time, len(doc)) + doc for doc, profiles, time in cases)
    done = subprocess.run([BUILD / "tests/programs/attest_batch", *roots], input=frames, capture_output=True, check=True)
    return [line.split() for line in done.stdout.decode().splitlines()]


def own_cases(directory):
    root = forge.make_root()
    pem = directory / "root.pem"
    pem.write_bytes(forge.Pki(forge.NITRO, root).root_pem())
    cases = [*attest_cases.all_cases(root), *attest_edges.all_edges(root)]
    found = verify([(doc, profile, -1 if time is None else forge.seconds(time)) for _, doc, profile, time, _ in cases],
                   pem)
    for (what, _, _, _, expected), (crypto, _) in zip(cases, found):
        point(crypto == expected, f"{what}: {expected}", f"found {crypto}")
    header = (SOURCE / "attest/attest.h").read_text().split("/* the policy */")[0]
    known = set(re.findall(r'^ +X\([A-Z0-9_]+, "([a-z0-9-]+)"', header, re.M))
    # CRLs are given on the command line: the scenario attest_verb reaches those two.
    left = known - {crypto for crypto, _ in found} - {"revoked", "crl-unusable"}
    point(len(known) > 40 and not left, "every reason of the crypto verdict was reached", *sorted(left))


def collected():
    if not (VECTORS / "manifest.json").exists():
        point(True, f"collected documents # SKIP {VECTORS} is not there; set QT_VECTORS")
        return
    manifest = json.loads((VECTORS / "manifest.json").read_text())
    cases = []
    for entry in manifest:
        at = entry["verify_at"]
        time = -1 if at == "document timestamp" else forge.seconds(datetime.datetime.fromisoformat(at.replace("Z", "+00:00")))
        cases.append(((VECTORS / entry["file"]).read_bytes(), {"nitro": 1, "qingtian": 2}[entry["profile"]], time))
    for entry, (crypto, policy) in zip(manifest, verify(cases, VECTORS / "test-root.pem")):
        valid = crypto == "ok"
        refused = valid and entry.get("debug") and policy != "debug-document"
        point(valid == (entry["expected"] == "valid") and not refused,
              f"{entry['file']}: {entry['expected']}", f"found {crypto} {policy}")


with tempfile.TemporaryDirectory(prefix="qt-attest-") as made:
    own_cases(pathlib.Path(made))
collected()
print(f"1..{n}")
