# SPDX-License-Identifier: Apache-2.0
"""A fact stands in one place: errors of the table and of the interface, rows of the tables and their files agree."""
import pathlib
import re
import sys

from tap import Tap

root = pathlib.Path(sys.argv[1])
tap = Tap()

table = re.findall(r'^ERROR\(\w+, "(\w+)"', (root / "base/errors.def").read_text(), re.M)
interface = re.findall(r"^error (\w+)", (root / "proto/io.qtenclave.Manager.varlink").read_text(), re.M)
tap.point("the interface names every error of the table and no other",
          [f"only in base/errors.def: {e}" for e in table if e not in interface] +
          [f"only in the interface: {e}" for e in interface if e not in table])
tap.point("error names are unique", [e for e in set(table) if table.count(e) > 1])

rows = re.findall(r"^(?:DAEMON_)?VERB\((\w+)\)", (root / "cli/verbs.def").read_text(), re.M)
defined = {m for p in (root / "cli").glob("verb_*.c")
           for m in re.findall(r"^const struct verb verb_(\w+) =", p.read_text(), re.M)}
tap.point("every verb has a row and every row a verb", sorted(set(rows) ^ defined))

unit = {p.stem[5:] for p in (root / "tests/unit").glob("test_*.c")}
listed = set(re.findall(r"^\s*\['(\w+)'", (root / "tests/unit/meson.build").read_text(), re.M))
tap.point("every unit test is in the table of unit tests", sorted(unit ^ listed))

fuzz = {p.stem[5:] for p in (root / "tests/fuzz").glob("fuzz_*.c")}
listed = set(re.findall(r"^\s*\['(\w+)'", (root / "tests/fuzz/meson.build").read_text(), re.M))
tap.point("every fuzz target is in the table of fuzz targets", sorted(fuzz ^ listed))
tap.point("every fuzz target has a corpus",
          [f for f in sorted(fuzz) if not any((root / "tests/fuzz/corpus" / f).glob("*"))])
tap.end()
