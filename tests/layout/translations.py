# SPDX-License-Identifier: Apache-2.0
"""The Chinese texts say what the English ones say, as far as a program can tell: headings, entries, options, examples.

Who changes an English page changes man/zh_CN too; what is missing there is named below the failed point.
"""
import collections
import pathlib
import re
import subprocess
import sys

from tap import Tap

root = pathlib.Path(sys.argv[1])
tap = Tap()


def differences(english, chinese):
    """What one list has and the other has not, counted."""
    a, b = collections.Counter(english), collections.Counter(chinese)
    return [f"only in English: {x}" for x in (a - b).elements()] + [f"only in Chinese: {x}" for x in (b - a).elements()]


def entries(text):
    return re.findall(r"^\.It (.*)$", text, re.M)


def options(text):
    return sorted(set(re.findall(r"\bFl (-?[\w-]+)", text)))


def references(text):
    return sorted(set(re.findall(r"^\.Xr (\S+ \d)", text, re.M)))


def examples(text):
    return re.findall(r"^\.Bd.*?^\.Ed", text, re.M | re.S)


def literals(text):
    """What is typed or printed as it stands; punctuation behind it differs."""
    return [re.sub(r"(\s+Ns)?\s*[.,:;、，。：；)）]+$", "", line) for line in re.findall(r"^\.((?:Ql|Pa|Cm|Ev) .*)$", text, re.M)]


def date(text):
    return re.findall(r"^\.Dd .*$", text, re.M)


def headings(text):
    return re.findall(r"^\.(S[hs]) ", text, re.M)


for page in sorted((root / "man/zh_CN").glob("*.[1-8]")):
    english, chinese = (root / "man" / page.name).read_text(), page.read_text()
    for what, find in (("entries", entries), ("options", options), ("references", references), ("examples", examples), ("literals", literals), ("date", date)):
        tap.point(f"zh_CN/{page.name} has the same {what}", differences(find(english), find(chinese)))
    tap.point(f"zh_CN/{page.name} has as many headings, in the same order",
              [] if headings(english) == headings(chinese) else [f"{headings(english)}", f"{headings(chinese)}"])
    bare = [line for line in chinese.splitlines() if re.match(r"\.Sh (NAME|SYNOPSIS|DESCRIPTION|SEE ALSO)$", line)]
    tap.point(f"zh_CN/{page.name} is in Chinese", bare or ([] if len(re.findall(r"[\u4e00-\u9fff]", chinese)) > 500 else ["few characters"]))

if tap.needs("mandoc", "mandoc finds nothing else in the Chinese pages"):
    found = []
    for page in sorted((root / "man/zh_CN").glob("*.[1-8]")):
        out = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)], capture_output=True, text=True)
        # It knows the names of sections in English only.
        found += [line for line in (out.stdout + out.stderr).splitlines()
                  if "first section is not" not in line and "outside NAME section" not in line]
    tap.point("mandoc finds nothing else in the Chinese pages", found)

english, chinese = (root / "README.md").read_text(), (root / "README.zh-CN.md").read_text()


def shape(text):
    return re.findall(r"^(#+) ", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)


def commands(text):
    return [re.sub(r"\s+#.*", "", line) for line in re.findall(r"^(?:\$ |    \./).*$", text, re.M)]


def folders(text):
    return re.findall(r"^\| (`.*?`) \| ", text, re.M)


def pages(text):
    return sorted(re.findall(r"\*([\w-]+\(\d\))\*", text))


tap.point("README.zh-CN.md has as many headings, in the same order", [] if shape(english) == shape(chinese) else ["they differ"])
for what, find in (("commands", commands), ("folders", folders), ("manual pages", pages)):
    tap.point(f"README.zh-CN.md has the same {what}", differences(find(english), find(chinese)))
tap.end()
