# SPDX-License-Identifier: Apache-2.0
"""The manual pages are well-formed and name every verb and option of the tables."""
import pathlib
import subprocess
import sys

from tap import Tap

root, qt_enclave = pathlib.Path(sys.argv[1]), sys.argv[2]
tap = Tap()
pages = sorted(p for p in (root / "man").rglob("*.[1-8]"))

if tap.needs("mandoc", "mandoc finds nothing in the manual pages"):
    found = []
    for page in pages:
        out = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)], capture_output=True, text=True)
        found += [line.replace(str(root) + "/", "") for line in (out.stdout + out.stderr).splitlines() if line]
    tap.point("mandoc finds nothing in the manual pages", found)
tap.end()
