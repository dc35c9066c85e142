# SPDX-License-Identifier: Apache-2.0
"""The manual pages are well-formed and list what the tables of the code have: every row, on its own page, and no other."""
import pathlib
import re
import subprocess
import sys

from tap import Tap

root, qt_enclave = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
build = qt_enclave.parents[1]
tap = Tap()
pages = sorted((root / "man").glob("*.[1-8]"))  # translations.py judges the others
text = {p.name: p.read_text().replace("\\-", "-") for p in pages}

if tap.needs("mandoc", "mandoc finds nothing in the manual pages"):
    found = []
    for page in pages:
        out = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)], capture_output=True, text=True)
        found += [line.replace(str(root) + "/", "") for line in (out.stdout + out.stderr).splitlines() if line]
    tap.point("mandoc finds nothing in the manual pages", found)


def run(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


def compare(claim, rows, listed):
    """Two sets of lines, the tables' and the page's."""
    tap.point(claim, [f"missing: {x}" for x in sorted(rows - listed)] + [f"in no table: {x}" for x in sorted(listed - rows)])


def named(page, macro):
    """What a page lists: ".It Cm a Ns : b" names a, ".It Ic a , b" both."""
    return {part.split()[0] for item in re.findall(rf"^\.It {macro} (.*)$", text[page], re.M) for part in item.split(" , ")}


def options_of(line):
    """The long ones: "Fl -a", "Fl Fl a", "Fl h , -help"."""
    found, dashes, before = set(), 0, ""
    for word in line.split():
        if word == "Fl":
            dashes = dashes + 1 if before == "Fl" else 1
        elif dashes == 2 or (dashes and word.startswith("-")):
            found.add(word.removeprefix("-"))
            dashes = min(dashes, 2) % 2  # "Fl Fl a" is one word, "Fl a , b" goes on
        elif word != "," and len(word) > 1:
            dashes = 0
        before = word
    return found


def described(page, verbs):
    """Of a page about these verbs: [(verbs, options)], an entry for each list item with options. Which verbs: those of the
    item itself (".It Cm run Fl -eif"), of the item that it stands in, of the subsection, or all of the page."""
    entries, depth, about = [], 0, {0: set(verbs)}
    for line in text[page].splitlines():
        words = line.split()
        if line.startswith((".Sh ", ".Ss ")):
            depth, name = 0, " ".join(words[1:])
            about = {0: {name} if name in verbs else set(verbs)}
        elif line.startswith(".Bl "):
            depth += 1
            about[depth] = about[depth - 1]
        elif line.startswith(".El"):
            depth -= 1
        elif line.startswith(".It "):
            if words[1] == "Cm":
                own = [v for v in (" ".join(words[2:4]), words[2]) if v in verbs]
                about[depth] = set(own[:1]) or about[depth - 1]
            entries.append((about[depth], options_of(line)))
    return entries


# --- the verbs ---

tables = run(qt_enclave, "--list-tables").splitlines()
table = {}
for row in tables:
    verb, _, option = row.partition(" --")
    table.setdefault(verb, set()).update({option} if option else set())
PAGES = {"build-eif": "qt-enclave-build-eif.1",
         **dict.fromkeys(("describe-eif", "verify-eif", "sign-eif", "extract-eif", "diff-eif", "pcr"), "qt-enclave-eif.1"),
         **dict.fromkeys((v for v in table if v.startswith("attest ")), "qt-enclave-attest.1")}
listed = {re.match(r"(?:(?!(?:Oo|Op|Fl|Ar)\b)[\w-]+ ?)+", part).group().strip()
          for item in re.findall(r"^\.It Cm (.*)$", text["qt-enclave.1"], re.M)
          for part in (item.split(" , ") if not re.search(r"\b(?:Oo|Op|Fl|Ar)\b", item) else [item])}
compare("qt-enclave(1) lists the verbs of the table and no other", set(table), listed)
for page in sorted({PAGES.get(v, "qt-enclave.1") for v in table}):
    verbs = [v for v in table if PAGES.get(v, "qt-enclave.1") == page]
    entries = described(page, verbs)
    rows = {f"{v} --{o}" for v in verbs for o in table[v]}
    known = {f"{v} --{o}" for about, options in entries for o in options for v in about}
    surplus = {f"--{o} of {', '.join(sorted(about))}" for about, options in entries for o in options
               if not any(o in table[v] for v in about)}
    compare(f"{page} lists every option of its verbs and no other", rows, (known & rows) | surplus)

# --- the other programs ---

PROGRAMS = {"qt-enclaved.8": "daemon/qt-enclaved", "qt-kms-proxy.8": "kms-proxy/qt-kms-proxy", "qt-dev-kms.1": "kms-proxy/qt-dev-kms",
            "qt-kms.1": "guest/qt-kms", "qt-attest.1": "guest/qt-attest"}
for page, program in PROGRAMS.items():
    options = set(re.findall(r"^ .*?--([\w-]+)", run(build / program, "--help").replace("usage:", "\nusage:"), re.M))
    compare(f"{page} lists every option of {program} and no other", options,
            {o for line in text[page].splitlines() if line.startswith(".It ") for o in options_of(line)})

# --- the libraries ---


def prototypes(path):
    """Of a public header, as words."""
    code = re.sub(r"/\*.*?\*/", "", (root / path).read_text(), flags=re.S)
    found = re.findall(r"^((?:const |struct |enum )*\w+ \*?)(qt\w+)\(([^)]*)\);", code, re.M)
    return {f"{kind.strip()} {name}({' '.join(arguments.split())})" for kind, name, arguments in found}


for page, headers in {"libqtattest.3": ("attest/attest.h", "attest/device.h"), "libqtkms.3": ("guest/kms/qtkms.h",)}.items():
    shown = re.findall(r'^\.Ft "?(.*?)"?\n\.Fn (\w+) "(.*)"$', text[page], re.M)
    compare(f"{page} lists every function of its headers, as it is declared there, and no other", set().union(*map(prototypes, headers)),
            {"{} {}({})".format(kind, name, arguments.replace('" "', ", ")) for kind, name, arguments in shown})

# --- configuration ---


def keys(path):
    """Each key of a table with the sentence that a page says of its values; none for a text."""
    sentences = {}
    for kind, key, rest in re.findall(r"^(NUMBER|TEXT|CHOICE)\((\w+), (.*)\)$", (root / path).read_text(), re.M):
        if kind == "NUMBER":
            fallback, low, high, _ = rest.split(", ", 3)
            sentences[key] = f"A whole number from {low} to {high}; the default is {fallback}."
        elif kind == "CHOICE":
            fallback, words = re.match(r'"(\w+)", "([\w ]+)"', rest).groups()
            *first, last = words.split()
            sentences[key] = f"One of {', '.join(first)} or {last}; the default is {fallback}."
        else:
            sentences[key] = None
    return sentences


items = dict(re.findall(r"^\.It Cm (\w+)\n(.*?)(?=^\.(?:It|El))", text["qt-enclaved.conf.5"], re.M | re.S))
config = keys("daemon/config.def")
compare("qt-enclaved.conf(5) lists the keys of the table and no other", set(config), named("qt-enclaved.conf.5", "Cm"))
tap.point("with their ranges and defaults", [f"{k}: {s}" for k, s in config.items() if s and s not in items.get(k, "")])
compare("and those of a declared enclave", set(keys("daemon/declared.def")), named("qt-enclaved.conf.5", "Ic"))


def limits():
    """Rule, qingtian's number and nitro's, as the page prints them."""
    rows = re.findall(r'^(?:LIMIT|DEFAULT)\((\w+), (\w+), (.*?), (.*?), "(.*)"\)', (root / "daemon/limits.def").read_text(), re.M)
    return {" | ".join((rule[0].upper() + rule[1:] + (" (MiB)" if "_mib" in name else ""),
                        *(re.sub("NO_.*", "none", value).replace("UINT32_MAX - 1", "4294967294") for value in (qingtian, nitro))))
            for name, kind, qingtian, nitro, rule in rows if kind != "bool"}


compare("and the limits of the platforms", limits(),
        {f"{rule} | {qingtian} | {nitro}" for qingtian, nitro, rule in
         re.findall(r"^\.It (\w+) Ta (\w+) Ta (.*)$", text["qt-enclaved.conf.5"], re.M)})

# --- the interface ---

interface = (root / "proto/io.qtenclave.Manager.varlink").read_text()
for kind, macro in (("method", "Cm"), ("error", "Er")):
    compare(f"io.qtenclave.Manager(7) lists every {kind} of the interface and no other",
            set(re.findall(rf"^{kind} (\w+)", interface, re.M)), named("io.qtenclave.Manager.7", macro))
explained = {(name, meaning) for name, meaning in re.findall(r'^ERROR\(\w+, "(\w+)", \w+, "(.*)"\)', (root / "base/errors.def").read_text(), re.M)}
written = re.findall(r"^\.It Er (\w+)\n(.*)\.$", text["io.qtenclave.Manager.7"], re.M)
compare("with the meaning that the table gives it", {f"{n}: {m}" for n, m in explained if n in dict(written)}, {f"{n}: {m}" for n, m in written if n in dict(explained)})
statuses = re.findall(r'^EXIT_STATUS\(\w+, (\d+), "(.*)"\)', (root / "base/exit_status.def").read_text(), re.M)
section = text["qt-enclave.1"].partition(".Sh EXIT STATUS")[2].partition(".Sh ")[0]
compare("qt-enclave(1) lists every exit status with its meaning and no other", {f"{s}: {m}" for s, m in statuses},
        {f"{s}: {m}" for s, m in re.findall(r"^\.It (\d+)\n(.*)$", section, re.M)})
tap.end()
