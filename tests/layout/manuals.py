# SPDX-License-Identifier: Apache-2.0
"""The manual pages are well-formed and name every verb and option of the tables."""
import pathlib
import re
import subprocess
import sys

from tap import Tap

root, qt_enclave = pathlib.Path(sys.argv[1]), sys.argv[2]
tap = Tap()
pages = sorted((root / "man").glob("*.[1-8]"))  # translations.py judges the others

if tap.needs("mandoc", "mandoc finds nothing in the manual pages"):
    found = []
    for page in pages:
        out = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)], capture_output=True, text=True)
        found += [line.replace(str(root) + "/", "") for line in (out.stdout + out.stderr).splitlines() if line]
    tap.point("mandoc finds nothing in the manual pages", found)


def named(page, macro):
    """What a page lists: ".It Cm a , b" names a and b, and so do arguments behind it."""
    items = re.findall(rf"^\.It {macro} (.*)$", (root / "man" / page).read_text(), re.M)
    return {word.strip(' "') for item in items for word in item.split(" ,")} | {item.split(" Ar ")[0] for item in items}


text = {p.name: p.read_text().replace("\\-", "-") for p in pages}
everything = "\n".join(text.values())
rows = subprocess.run([qt_enclave, "--list-tables"], capture_output=True, text=True, check=True).stdout.splitlines()
verbs = [r for r in rows if "--" not in r]
options = sorted({tuple(r.split(" --")) for r in rows if " --" in r})
listed = " , ".join(re.findall(r"^\.It Cm (.*)$", text["qt-enclave.1"], re.M))
tap.point("qt-enclave(1) names every verb", [v for v in verbs if not re.search(rf"(^| , ){re.escape(v)}\b", listed)])
tap.point("the manual names every option of every verb",
          sorted({f"{verb} --{o}" for verb, o in options if not re.search(rf"Fl (?:-|Fl ){re.escape(o)}\b", everything)}))

keys = re.findall(r"^(?:NUMBER|TEXT|CHOICE)\((\w+),", (root / "daemon/config.def").read_text(), re.M)
tap.point("qt-enclaved.conf(5) has the keys of the table and no other",
          sorted(set(keys) ^ named("qt-enclaved.conf.5", "Cm")))

def limits():
    """Rule, qingtian's number and nitro's, as the page prints them."""
    table = re.findall(r'^(?:LIMIT|DEFAULT)\((\w+), (\w+), (.*?), (.*?), "(.*)"\)', (root / "daemon/limits.def").read_text(), re.M)
    return {(rule[0].upper() + rule[1:] + (" (MiB)" if "_mib" in name else ""),
             *(re.sub("NO_.*", "none", value).replace("UINT32_MAX - 1", "4294967294") for value in (qingtian, nitro)))
            for name, kind, qingtian, nitro, rule in table if kind != "bool"}


tap.point("qt-enclaved.conf(5) has the limits of the table and no other",
          sorted(limits() ^ set(re.findall(r"^\.It (.*) Ta (\w+) Ta (\w+)$", text["qt-enclaved.conf.5"], re.M))))
interface = (root / "proto/io.qtenclave.Manager.varlink").read_text()
for kind, macro in (("method", "Cm"), ("error", "Er")):
    tap.point(f"io.qtenclave.Manager(7) has every {kind} of the interface and no other",
              sorted(set(re.findall(rf"^{kind} (\w+)", interface, re.M)) ^ named("io.qtenclave.Manager.7", macro)))
tap.end()
