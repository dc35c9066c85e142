# SPDX-License-Identifier: Apache-2.0
"""The shell scripts are clean, executable, and name no path of the machine they were written on."""
import pathlib
import re
import subprocess
import sys

from tap import Tap

root = pathlib.Path(sys.argv[1])
tap = Tap()
tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True)
files = [root / f for f in tracked.stdout.splitlines()] if tracked.returncode == 0 else \
        [p for p in root.rglob("*") if p.is_file() and ".git" not in p.parts and not p.parts[-2].startswith("build")]
files = [p for p in files if p.is_file()]
scripts = [p for p in files if p.read_bytes()[:20].startswith((b"#!/bin/sh", b"#!/bin/bash"))]

if tap.needs("shellcheck", "shellcheck finds nothing"):
    out = subprocess.run(["shellcheck", "-f", "gcc", "-S", "warning", *map(str, scripts)], capture_output=True, text=True)
    tap.point("shellcheck finds nothing", [l.replace(str(root) + "/", "") for l in out.stdout.splitlines()])
tap.point("every script is executable", [str(p.relative_to(root)) for p in scripts if not p.stat().st_mode & 0o100])

# A path of one machine or the name of a private tool helps nobody who reads the project.
private = re.compile("|".join(("/wo" + "rk/", "/tmp/" + "wt", r"\.lib" + "rary", "far" + "m-")))
found = []
for path in files:
    if path.suffix in (".bin", ".eif", ".der") or "corpus" in path.parts:
        continue
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if private.search(line):
            found.append(f"{path.relative_to(root)}:{number}: {line.strip()[:100]}")
tap.point("nothing names the machine that it was written on", found)
tap.end()
