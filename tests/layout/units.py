# SPDX-License-Identifier: Apache-2.0
"""The daemon's units: their exposure stays low, and what is installed beside them is well-formed."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from tap import Tap

root, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
tap = Tap()
LIMITS = {"qt-enclaved.service": 3.0, "qt-enclave-shutdown.service": 3.6, "qt-enclave@.service": 2.0, "qt-kms-proxy.service": 2.0}

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
for name in ("qt-enclaved.service", "qt-enclaved-user.service"):
    has = (root / f"units/{name}.in").read_text().splitlines()
    wanted = {"the daemon's end is not the enclaves'": ["KillMode=process"], "nor one enclave's, killed for its memory, all others'": ["OOMPolicy=continue"],
              "and it comes back however often it fails": ["Restart=on-failure", "RestartSec=1s", "StartLimitIntervalSec=0"]}
    for claim, settings in wanted.items():
        tap.point(f"{name}: {claim}", [f"{x} is missing" for x in settings if x not in has])
allowed = re.search(r"^SystemCallFilter=(.*)$", text, re.M).group(1).split()
tap.point("the daemon's filter lets monitors and QEMU install theirs", [] if "seccomp" in allowed else [" ".join(allowed)])
wanted = ["DeviceAllow=/dev/qtbox_service0 rw", "DeviceAllow=/dev/sandbox-log-0 r"]
writable = re.search(r"^ReadWritePaths=(.*)$", text, re.M).group(1).split() if "ReadWritePaths=" in text else []
tap.point("a QingTian parent's tool has its devices and the directories that it writes",
          [x for x in wanted if x not in text.splitlines()]
          + [x for x in ("/run/enclave", "/var/log/qingtian_enclaves") if "-" + x not in writable or x not in text.split("ExecStart=")[0]])
lines = [line.split() for name in ("qt-enclave.sysusers", "qt-enclave.tmpfiles")
         for line in (root / "units" / name).read_text().splitlines() if line and not line.startswith("#")]
tap.point("sysusers and tmpfiles lines are whole", [" ".join(x) for x in lines if len(x) not in (4, 6)])
group = re.search(r"^SocketGroup=(.*)$", (root / "units/qt-enclaved.socket").read_text(), re.M).group(1)
tap.point("the socket's group is made", [] if ["g", group, "-", "-"] in lines else [group])

text = (root / "units/qt-enclave@.service.in").read_text() + (root / "units/qt-enclaved.service.in").read_text()
used = {str(pathlib.PurePath(p).parent) for p in re.findall(r"/(?:etc|var/lib)/qt-enclave/[\w%./]+", text)}
made = {line[1] for line in lines if line[0] == "d"}
tap.point("tmpfiles makes every directory that the units read", sorted(used - made) or ([] if len(used) > 1 else ["none found"]))

plan = json.loads((build / "meson-info/intro-install_plan.json").read_text())
installed = {pathlib.PurePath(entry["destination"]).name: entry["destination"] for entry in plan["targets"].values()}
started = {p for name in LIMITS for p in re.findall(r"^Exec\w+=-?(/\S+)", (build / "units" / name).read_text(), re.M)}
tap.point("the programs that units start are installed where users find them",
          [p for p in sorted(started) if installed.get(pathlib.PurePath(p).name) != "{bindir}/" + pathlib.PurePath(p).name]
          or ([] if len(started) == 3 else sorted(started)))

# Whatever the example has behind a "#" without a blank is meant to be taken in.
example = re.sub(r"^#(?=[\w[])", "", (root / "units/qt-kms-proxy.conf.example").read_text(), flags=re.M)
with tempfile.TemporaryDirectory() as d:
    policy = pathlib.Path(d) / "policy.json"
    policy.write_text(json.dumps({"PcrSets": [{"PCR0": "ab" * 48}]}))
    for claim, text in (("the example for qt-kms-proxy is a good configuration as it is",
                         (root / "units/qt-kms-proxy.conf.example").read_text()),
                        ("and with all that it offers", example.replace("/etc/qt-enclave/wallet.policy.json", str(policy)))):
        (pathlib.Path(d) / "conf").write_text(text)
        out = subprocess.run([build / "kms-proxy/qt-kms-proxy", "--check", "--config", pathlib.Path(d) / "conf"], capture_output=True,
                             text=True)
        tap.point(claim, [] if out.returncode == 0 else [out.stdout + out.stderr])
tap.end()
