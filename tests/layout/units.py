# SPDX-License-Identifier: Apache-2.0
"""The daemon's units: their exposure stays low, and what is installed beside them is well-formed."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from tap import Tap

root, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
tap = Tap()
LIMITS = {"qt-enclaved.service": 3.0, "qt-enclave@.service": 2.0, "qt-kms-proxy.service": 2.0}

for name, limit in LIMITS.items():
    if not tap.needs("systemd-analyze", f"{name} has an exposure of at most {limit}"):
        continue
    with tempfile.TemporaryDirectory() as d:
        unit = shutil.copy(build / "units" / name, pathlib.Path(d) / name.replace("@", "@x"))
        out = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True,
                             text=True)
    found = re.search(r"Overall exposure level.*: ([\d.]+)", out.stdout)
    tap.point(f"{name} has an exposure of at most {limit}",
              [] if found and float(found.group(1)) <= limit else [out.stdout + out.stderr])

text = (root / "units/qt-enclaved.service.in").read_text()
tap.point("the daemon's end is not the enclaves'", [] if "KillMode=process" in text else ["KillMode=process is missing"])
allowed = re.search(r"^SystemCallFilter=(.*)$", text, re.M).group(1).split()
tap.point("the daemon's filter lets monitors and QEMU install theirs", [] if "seccomp" in allowed else [" ".join(allowed)])
lines = [line.split() for name in ("qt-enclave.sysusers", "qt-enclave.tmpfiles")
         for line in (root / "units" / name).read_text().splitlines() if line and not line.startswith("#")]
tap.point("sysusers and tmpfiles lines are whole", [" ".join(x) for x in lines if len(x) not in (4, 6)])
group = re.search(r"^SocketGroup=(.*)$", (root / "units/qt-enclaved.socket").read_text(), re.M).group(1)
tap.point("the socket's group is made", [] if ["g", group, "-", "-"] in lines else [group])
tap.end()
