# SPDX-License-Identifier: Apache-2.0
"""No file over 600 lines and no function over 60: past that it holds two ideas."""
import pathlib
import re
import sys

from tap import Tap

LIMIT, FUNCTION_LIMIT = 600, 60
root = pathlib.Path(sys.argv[1])
tap = Tap()


def functions(text):
    """First line, length and head of each; the code is as clang-format writes it, so a brace in column 0 ends a function."""
    start = head = None
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"[A-Za-z_].*\(", line) and not line.endswith(";"):
            start, head = number, line
        elif line == "}" and start:
            yield start, number - start + 1, head
            start = None


for folder in ("base", "proto", "eif", "attest", "kms", "cli", "daemon", "monitor", "guest", "kms-proxy", "tests", "bench"):
    tap.point(f"no file of {folder}/ is over {LIMIT} lines",
              [f"{p.relative_to(root)} has {c} lines" for p in sorted((root / folder).rglob("*.[ch]"))
               if (c := len(p.read_text().splitlines())) > LIMIT])
    tap.point(f"no function of {folder}/ is over {FUNCTION_LIMIT} lines",
              [f"{p.relative_to(root)}:{start}: {n} lines: {head}" for p in sorted((root / folder).rglob("*.[ch]"))
               for start, n, head in functions(p.read_text()) if n > FUNCTION_LIMIT])
tap.end()
