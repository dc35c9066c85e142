# SPDX-License-Identifier: Apache-2.0
"""What the command says when something is missing or wrong: which thing, and what to do; and that -o does what it offers."""
import json
import os
import re
import subprocess

from harness import PATIENCE, STANDIN, Daemon, check, done


def arguments(d):
    """Every verb that wants arguments says which one is missing, and which one is too many."""
    for verb, missing in (("attest verify", "FILE"), ("attest show", "FILE"), ("connect", "NAME"), ("console", "NAME"),
                          ("describe-eif", "FILE"), ("diff-eif", "A"), ("extract-eif", "FILE"), ("import-config", "FILE"),
                          ("logs", "NAME"), ("sign-eif", "FILE"), ("verify-eif", "FILE"), ("wait", "NAME")):
        d.refused(f"{verb}: {missing} is missing", 2, "Usage", *verb.split(), contains=[f": {missing} is missing: qt-enclave {verb} "])
    d.refused("the second image", 2, "Usage", "diff-eif", "one.eif", contains="B is missing: qt-enclave diff-eif [-o json] A B")
    d.refused("the port", 2, "Usage", "connect", "demo", contains="PORT is missing")
    d.refused("an image without --eif", 2, "Usage", "run", "app.eif",
              contains="the argument app.eif is one too many: qt-enclave run --eif FILE")
    for word, verbs in (("pool", "pool show, pool set"), ("attest", "attest verify, attest show, attest policy")):
        d.refused(f"{word} alone", 2, "Usage", word, contains=f"no verb is called {word}; those that begin so are: {verbs}")
        d.refused(f"{word} with another word", 2, "Usage", word, "imagine", contains=[f"called {word} imagine; ", verbs])
    d.refused("no verb at all begins so", 2, "Usage", "poo", contains="no verb is called poo; `qt-enclave --help` lists them")
    d.refused("a tool without its name", 2, "Usage", "--as", contains="--as needs the name of a tool: qt or nitro-cli")
    check("`qt-enclave --version`" in d.ok("--help").out, "--help names --version")
    helps(d)
    rows = [line for line in d.ok("--as", "nitro-cli", "run-enclave", "--help").out.splitlines() if re.match(r"  .*--", line)]
    starts = {re.search(r"(?<=\S)  +(?=\S)", row.lstrip().rjust(len(row), "x")).end() for row in rows}
    check(any("--cpu-ids N… " in row for row in rows) and len(starts) == 1, "the texts of its help stand below each other", *rows)


def helps(d):
    """Of everything, of the verbs that begin alike, of one verb; whichever way it is asked for."""
    whole = d.cli("help").out
    check(whole == d.cli("--help").out == d.cli("-h").out, "help is --help")
    for word, others in (("attest", "pool"), ("pool", "attest")):
        rows = [line for line in whole.splitlines() if line.startswith(f"  {word} ")]
        r = d.ok(word, "--help")
        check(len(rows) > 1 and rows == [line for line in r.out.splitlines() if line.startswith("  ")], f"{word} --help lists its verbs and no other", r)
        check(d.cli("help", word).out == d.cli(word, "-h").out == r.out, f"as help {word} does")
    for verb in ("run", "describe", "attest verify", "pool set"):
        check(d.ok("help", *verb.split()).out == d.cli(*verb.split(), "--help").out, f"help {verb} is {verb} --help")
    d.refused("help about no verb", 2, "Usage", "help", "poo", contains="no verb is called poo")
    d.refused("help about no verb of a group", 2, "Usage", "help", "pool", "imagine", contains=["called pool imagine; ", "pool show"])
    for words in (("--help",), ("--version",), ("help", "run"), ("describe", "--help"), ("explain",)):
        with open("/dev/full", "w", encoding="utf-8") as full:
            p = d.popen(*words, stdout=full)
            error = p.communicate(timeout=PATIENCE)[1]
        check(p.returncode == 12 and error.startswith("qt-enclave: OutputFailed: "), f"{' '.join(words)} that cannot be printed is an error", p.returncode, error)


def images(d):
    d.refused("run --ready-when without --wait", 2, "Usage", "run", "--eif", d.image(), "--ready-when", "ready", contains="there is no --wait")
    empty = d.image(name="empty.eif")
    os.truncate(empty, 0)
    d.refused("an empty image", 3, "FileUnreadable", "run", "--eif", empty, contains=f"the image {empty} is empty")
    d.refused("no file", 3, "FileUnreadable", "run", "--eif", "/dev/null", contains="the image /dev/null is no regular file")
    r = d.cli("run", "--eif", d.image(), "--name", "sized", "--memory", "1G")
    check(r.status == 0 and d.describe("sized")["MemoryMiB"] == 1024, "run --memory takes a unit", r)
    for option, value, limit in (("--memory", "64", "memory_mib_min"), ("--memory", "512T", "memory_mib_max"), ("--cpus", "64", "cpus_max"),
                                 ("--cpus", "3", "cpu_multiple")):
        r = d.cli("run", "--eif", d.image(), option, value, "-o", "json")
        check(r.status == 7 and r.json()["Error"]["Limit"] == limit, f"run {option} {value}: the limit {limit} by name", r)
    r = d.refused("a size that is none", 2, "Usage", "run", "--eif", d.image(), "--memory", "1K", contains=["--memory 1K", "4G"])


def waiting(d):
    r = d.ok("wait", "sized", "--for", "ready")
    check(r.out == "sized is ready\n", "wait --for ready says ready", r)
    check(d.ok("wait", "sized", "--for", "running").out == "sized is running\n", "and --for running says running")


def events(d):
    seen, read = d.follow("events"), d.follow("events", "-o", "text")
    d.ok("run", "--eif", d.image(), "--name", "seen")
    d.ok("terminate", "seen")
    text = ""
    while "seen is stopped" not in text:
        text += read.stdout.readline()
    check(all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  seen is .+", line) for line in text.splitlines())
          and re.search(r"seen is stopped: stopped by uid \d+$", text, re.M), "events -o text is for a person", text)
    check(json.loads(seen.stdout.readline())["EnclaveName"] == "seen", "and JSON without it")
    for p in (seen, read):
        p.kill()
        p.communicate()


def explain(d):
    table = d.ok("explain").out.splitlines()[1:]
    rows = d.ok("explain", "-o", "json").json()
    check([[r["Name"], str(r["ExitStatus"]), r["Meaning"]] for r in rows] == [line.split(None, 2) for line in table] and len(rows) > 30,
          "explain -o json is the table", rows)
    check(d.ok("explain", "NoCpus", "-o", "json").json() == next(r for r in rows if r["Name"] == "NoCpus"), "or one of it")
    d.refused("a number of nitro-cli's", 2, "Usage", "explain", "E22", contains="`qt-enclave --as nitro-cli explain --error-code E22`")
    d.refused("an unknown error", 2, "Usage", "explain", "Imagined", contains="no error is called Imagined")
    check("E22: Too few CPUs" in d.ok("--as", "nitro-cli", "explain", "--error-code", "E22").out, "that is what explains it")


def logs(d):
    d.refused("logs of nobody", 5, "NoSuchEnclave", "logs", "nobody", contains=["the journal", "nobody"])
    as_journalctl = subprocess.run(["journalctl", "--output=short-iso", "--no-pager", "ENCLAVE=sized"], capture_output=True, text=True,
                                   timeout=PATIENCE)
    number = str(d.describe("sized")["EnclaveID"])
    for name in ("sized", number):
        r = d.cli("logs", name)
        check((r.status, r.out, r.err) == (as_journalctl.returncode, as_journalctl.stdout, as_journalctl.stderr),
              f"logs {name}: what journalctl has of it", r, as_journalctl)


def pool(d):
    d.refused("a number and a list of CPUs", 2, "Usage", "pool", "set", "--cpus", "2", "--cpu-list", "2,3",
              contains="--cpus and --cpu-list exclude each other")
    d.refused("a size that is none", 2, "Usage", "pool", "set", "--memory", "1K", contains="--memory 1K: must be a size")


with Daemon(monitor=STANDIN) as daemon:
    for part in (arguments, images, waiting, events, explain, logs, pool):
        print("#", part.__name__)
        part(daemon)
done()
