# SPDX-License-Identifier: Apache-2.0
"""What the scenarios about images share: points, the binary under test, the folder of test data."""
import json
import os
import pathlib
import subprocess
import sys
import traceback

BUILD = pathlib.Path(os.environ["QT_BUILD_ROOT"])
SOURCE = pathlib.Path(os.environ["QT_SOURCE_ROOT"])
VECTORS = pathlib.Path(os.environ.get("QT_VECTORS") or SOURCE / ".." / "shared" / "vectors") / "eif"


class Points:
    """TAP: check() is a point; run() makes one of a function and of whatever it raises."""

    def __init__(self):
        self.n = self.failed = 0

    def check(self, truth, claim, *details):
        self.n += 1
        self.failed += not truth
        print(f"{'ok' if truth else 'not ok'} {self.n} - {claim}")
        for detail in () if truth else details:
            print("#", str(detail).replace("\n", "\n# "))
        sys.stdout.flush()

    def skip(self, claim, why):
        self.n += 1
        print(f"ok {self.n} - {claim} # SKIP {why}")

    def run(self, function, *arguments):
        try:
            function(*arguments)
        except Exception:
            self.check(False, function.__name__, traceback.format_exc())

    def end(self):
        print(f"1..{self.n}")
        sys.stdout.flush()
        sys.exit(1 if self.failed else 0)


def qt(*arguments, **options):
    """qt-enclave with these arguments: the finished process, text captured."""
    return subprocess.run([BUILD / "cli" / "qt-enclave", *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, **options)


def qt_json(*arguments, status=0):
    done = qt(*arguments, "-o", "json")
    if done.returncode != status:
        raise AssertionError(f"{arguments}: status {done.returncode}, expected {status}: {done.stderr}")
    return json.loads(done.stdout)
