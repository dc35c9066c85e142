# SPDX-License-Identifier: Apache-2.0
"""scripts/fetch-kernel without any network: what it leaves alone, what it notices, what it refuses. (That it fetches is
seen by whoever runs the tests that need the kernel.)"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import vsock_vm

SCRIPT = vsock_vm.SOURCE_ROOT / "scripts/fetch-kernel"
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def run(*arguments, **environment):
    """With a PATH that has everything but apt, so that a need to fetch shows as its absence."""
    with tempfile.TemporaryDirectory(prefix="qtf-") as tools:
        for tool in ("sh cat dirname mkdir mktemp sed sha256sum rm find id ls head tr grep sort mv cp sync".split()):
            os.symlink(shutil.which(tool), pathlib.Path(tools) / tool)
        return subprocess.run([shutil.which("sh"), SCRIPT, *map(str, arguments)], capture_output=True, text=True,
                              env={"PATH": tools, **environment})


def expect(done, status, words):
    if done.returncode != status or words not in done.stdout + done.stderr:
        raise AssertionError(f"status {done.returncode}, {done.stdout!r}, {done.stderr!r}; expected {status}, {words!r}")


def contents(directory):
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*"))


@test
def complete_is_left_alone(place):
    before = contents(place)
    expect(run("--output", place / "kernel"), 0, "already")
    expect(run(f"--output={place}/kernel"), 0, "already")
    expect(run(QT_ENCLAVE_KERNEL_DIR=str(place / "kernel")), 0, "already")
    if contents(place) != before:
        raise AssertionError("something was left behind")


@test
def damage_is_noticed(place):
    with open(place / "kernel/vmlinuz", "r+b") as f:
        f.seek(100000)
        f.write(b"x")
    expect(run("--output", place / "kernel"), 9, "apt-get is missing")
    if contents(place)[0] != "kernel" or any(".fetch-kernel" in p for p in contents(place)):
        raise AssertionError("a temporary directory was left behind")


@test
def missing_file_is_noticed(place):
    os.unlink(place / "kernel/config")
    expect(run("--output", place / "kernel"), 9, "apt-get is missing")


@test
def other_peoples_directory_is_refused(place):
    (place / "mine").mkdir()
    (place / "mine/letter").write_text("dear")
    expect(run("--output", place / "mine"), 2, "name an empty or new directory")
    (place / "file").write_text("dear")
    expect(run("--output", place / "file"), 2, "name an empty or new directory")
    if (place / "mine/letter").read_text() != "dear":
        raise AssertionError("touched")


@test
def wrong_usage(place):
    expect(run("--output"), 2, "--output needs a directory")
    expect(run("--output", ""), 2, "--output is empty")
    expect(run("--output", "/"), 2, "not a place for a kernel")
    expect(run("--directory", place), 2, "unknown argument --directory")
    expect(run("--help"), 0, "manifest.json")


reason = vsock_vm.reason_to_skip()
if reason:
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)
print(f"1..{len(TESTS)}")
for number, function in enumerate(TESTS, 1):
    with tempfile.TemporaryDirectory(prefix="qtf-") as directory:
        shutil.copytree(vsock_vm.kernel_directory(), pathlib.Path(directory) / "kernel")
        try:
            function(pathlib.Path(directory))
            print(f"ok {number} - {function.__name__}", flush=True)
        except Exception as e:  # whatever it is, the next test must run
            print(f"not ok {number} - {function.__name__}\n# {e}", flush=True)
