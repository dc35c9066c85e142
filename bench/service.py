# SPDX-License-Identifier: Apache-2.0
"""`qt-enclave describe` over `systemctl is-active`, both as commands, in one parent where systemd runs. Not a test.

usage: QT_BUILD_ROOT=build QT_ENCLAVE_KERNEL_DIR=… python3 bench/service.py [ROUNDS]

The parent is emulated, so the figures are large and only the ratio says something. Rounds take turns, so that what else
the machine does hits both alike.
"""
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/scenario"))
from parent_vm import ParentVM  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 7
CALLS = 10
COMMANDS = {"describe": "qt-enclave describe", "is-active": "systemctl is-active --quiet qt-enclaved", "floor": "/bin/true"}


def seconds(vm, command):
    """Of one call, by the machine's own clock."""
    clock = "cut -d' ' -f1 /proc/uptime"
    out = vm.ok(f"{clock}; i=0; while [ $i -lt {CALLS} ]; do {command} >/dev/null; i=$((i+1)); done; {clock}").out.split()
    return (float(out[1]) - float(out[0])) / CALLS


with ParentVM() as vm:
    vm.ok("systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload && systemctl start qt-enclaved")
    times = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            times[name].append(seconds(vm, command))
    median = {name: statistics.median(t) for name, t in times.items()}
    print("  ".join(f"{name} {value * 1e3:.0f} ms" for name, value in median.items()))
    print(f"describe over systemctl is-active: {median['describe'] / median['is-active']:.2f} (limit 0.5)")
