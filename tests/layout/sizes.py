# SPDX-License-Identifier: Apache-2.0
"""No file over 600 lines: past that a file holds two ideas. (Functions over 60 lines are for the reviewer's eye.)"""
import pathlib
import sys

from tap import Tap

LIMIT = 600
root = pathlib.Path(sys.argv[1])
tap = Tap()
for folder in ("base", "proto", "eif", "attest", "kms", "cli", "daemon", "monitor", "guest", "kms-proxy", "tests", "bench"):
    tap.point(f"no file of {folder}/ is over {LIMIT} lines",
              [f"{p.relative_to(root)} has {c} lines" for p in sorted((root / folder).rglob("*.[ch]"))
               if (c := len(p.read_text().splitlines())) > LIMIT])
tap.end()
