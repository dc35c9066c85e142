# SPDX-License-Identifier: Apache-2.0
"""The little TAP that the layout checks print: one point for each claim, the offenders below it."""
import shutil
import sys


class Tap:
    def __init__(self):
        self.n = 0

    def point(self, claim, offenders=()):
        offenders = list(offenders)
        self.n += 1
        print(f"{'not ok' if offenders else 'ok'} {self.n} - {claim}")
        for line in offenders:
            print("#", line)

    def skip(self, claim, why):
        self.n += 1
        print(f"ok {self.n} - {claim} # SKIP {why}")

    def needs(self, program, claim):
        """True when the program is there; else the claim is skipped, loudly."""
        if shutil.which(program):
            return True
        self.skip(claim, f"{program} is not installed")
        return False

    def end(self):
        print(f"1..{self.n}")
        sys.stdout.flush()
