# SPDX-License-Identifier: Apache-2.0
"""The code is as .clang-format says, cppcheck finds nothing, and calls that need a very good reason are not there."""
import pathlib
import re
import subprocess
import sys

from tap import Tap

FOLDERS = ("base", "proto", "eif", "attest", "kms", "cli", "daemon", "monitor", "guest", "kms-proxy", "examples",
           "tests", "bench")
FORBIDDEN = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|system|popen|alloca|atoi|strtok)\s*\(")

root = pathlib.Path(sys.argv[1])
tap = Tap()
sources = sorted(p for f in FOLDERS for p in (root / f).rglob("*.[ch]"))

if tap.needs("clang-format", "the code is formatted as .clang-format says"):
    out = subprocess.run(["clang-format", "--dry-run", *map(str, sources)], cwd=root, capture_output=True, text=True)
    files = {line.split(":")[0] for line in out.stderr.splitlines() if "warning:" in line}
    tap.point("the code is formatted as .clang-format says",
              sorted(f"{pathlib.Path(f).relative_to(root)}: run clang-format -i" for f in files))

if tap.needs("cppcheck", "cppcheck finds nothing"):
    products = [str(p) for p in sources if not p.is_relative_to(root / "tests")]
    out = subprocess.run(["cppcheck", "--quiet", "--enable=warning,portability,performance", "--inline-suppr", "-j2",
                          "--std=c11", "--language=c", "-D__x86_64__=1", "--error-exitcode=0", "-I", str(root),
                          "--suppressions-list=" + str(root / "tests/layout/cppcheck-suppressions"),
                          "--template={file}:{line}: {id}: {message}", *[p for p in products if p.endswith(".c")]],
                         cwd=root, capture_output=True, text=True)
    tap.point("cppcheck finds nothing", [line.replace(str(root) + "/", "") for line in out.stderr.splitlines()
                                         if line and not line.startswith("nofile:")])

found = []
for path in sources:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if FORBIDDEN.search(re.sub(r'//.*|/\*.*?\*/|"(\\.|[^"])*"', "", line)):
            found.append(f"{path.relative_to(root)}:{number}: {line.strip()}")
tap.point("no call that needs a very good reason (strcpy, sprintf, system, popen, …)", found)

missing = [str(p.relative_to(root)) for p in sources if "SPDX-License-Identifier: Apache-2.0" not in p.read_text()[:200]]
tap.point("every source names its licence", missing)
tap.end()
