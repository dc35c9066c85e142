# SPDX-License-Identifier: Apache-2.0
"""No file over 600 lines: past that a file holds two ideas. (Functions over 60 lines are for the reviewer's eye.)"""
import pathlib
import sys

LIMIT = 600
root = pathlib.Path(sys.argv[1])
folders = ("base", "proto", "eif", "attest", "cli", "daemon", "monitor", "guest", "kms-proxy", "tests", "bench")
n = 0
for folder in folders:
    long = [f"{p.relative_to(root)} has {c} lines" for p in sorted((root / folder).rglob("*.[ch]"))
            if (c := len(p.read_text().splitlines())) > LIMIT]
    n += 1
    print(f"{'not ok' if long else 'ok'} {n} - no file of {folder}/ is over {LIMIT} lines")
    for line in long:
        print("#", line)
print(f"1..{n}")
