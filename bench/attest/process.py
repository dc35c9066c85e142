# SPDX-License-Identifier: Apache-2.0
"""How long `qt-enclave attest verify` takes as a process: process.py BUILD-DIRECTORY. Against /bin/true in the same run."""
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

build = pathlib.Path(sys.argv[1]).resolve()
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests/scenario"))
import attest_forge as forge  # noqa: E402


def milliseconds(command):
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begin) * 1000


with tempfile.TemporaryDirectory() as made:
    folder, pki = pathlib.Path(made), forge.Pki()
    (folder / "root.pem").write_bytes(pki.root_pem())
    (folder / "document").write_bytes(forge.document(pki))
    (folder / "policy.json").write_text('{"PcrSets": [{"PCR0": "%s"}]}' % forge.pcr("pcr0").hex())
    verify = [build / "cli/qt-enclave", "attest", "verify", folder / "document", "--policy", folder / "policy.json", "--root",
              folder / "root.pem", "--time", "document"]
    times = {"verify": [], "true": []}
    for _ in range(60):
        times["verify"].append(milliseconds(verify))
        times["true"].append(milliseconds(["/bin/true"]))
    for name, found in times.items():
        print(f"{name:8} median {statistics.median(found):.1f} ms, least {min(found):.1f} ms")
