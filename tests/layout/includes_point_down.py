# SPDX-License-Identifier: Apache-2.0
"""Every quoted include names its layer, and points only where the table of folders allows."""
import pathlib
import re
import sys

from tap import Tap

ALLOWED = {
    "base": set(),
    "proto": {"base"},
    "eif": {"base"},
    "attest": {"base"},
    "cli": {"base", "proto", "eif", "attest"},
    "daemon": {"base", "proto"},
    "monitor": {"base", "proto", "eif", "attest"},
    "kms": {"base"},
    "guest": {"base", "attest", "kms"},
    "kms-proxy": {"base", "attest", "kms"},
}

root = pathlib.Path(sys.argv[1])
tap = Tap()
for folder, allowed in ALLOWED.items():
    wrong = []
    for source in sorted((root / folder).rglob("*.[ch]")):
        for number, line in enumerate(source.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            layer = found.group(1).split("/")[0] if "/" in found.group(1) else None
            if layer is None or (layer != folder and layer not in allowed):
                wrong.append(f"{source.relative_to(root)}:{number}: {line.strip()}")
    tap.point(f"{folder} includes only {', '.join(sorted(allowed)) or 'itself'}", wrong)
tap.end()
