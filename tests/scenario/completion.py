# SPDX-License-Identifier: Apache-2.0
"""bash completes what --help shows: each verb, each option, the words of choices, files, and the names of enclaves."""
import os
import pathlib
import re
import subprocess
import tempfile

from harness import CLI, SOURCE, STANDIN, Daemon, check, done

SCRIPT = SOURCE / "cli/qt-enclave.bash"
NOWHERE = {"QT_ENCLAVE_SOCKET": "/nonexistent/socket"}


def complete(*words, directory="/", environment=None):
    """What bash would offer for the last of these words, cut as readline cuts them."""
    cut = [part for word in words for part in re.findall(r"[=:]+|[^=:]+", word) or [""]]
    program = 'source "$1"; CLI=$2; shift 2; COMP_WORDS=(qt-enclave "$@"); COMP_CWORD=$#; _qt_enclave "$CLI" "${@: -1}" ""; ' \
              'complete -p qt-enclave >/dev/null && printf "%s\\n" "${COMPREPLY[@]}"'
    run = subprocess.run(["bash", "--norc", "--noprofile", "-c", program, "bash", str(SCRIPT), CLI, *cut], cwd=directory, text=True,
                         capture_output=True, env={**os.environ, **NOWHERE, **(environment or {})}, check=False)
    return sorted(filter(None, run.stdout.splitlines())) if run.returncode == 0 and not run.stderr else [run.stderr]


def help_of(*words):
    return subprocess.run([CLI, *words, "--help"], capture_output=True, text=True, check=True).stdout


def offers(words, wanted, what, **more):
    got = complete(*words, **more)
    check(got == sorted(wanted), what, f"words: {words}", f"wanted: {sorted(wanted)}", f"offered: {got}")


def verbs_and_options():
    verbs = re.findall(r"^  (\w[\w-]*(?: \w+)?)  ", help_of(), re.M)
    offers([""], {v.split()[0] for v in verbs}, f"the first words of the {len(verbs)} verbs")
    for first in sorted({v.split()[0] for v in verbs if " " in v}):
        offers([first, ""], {v.split()[1] for v in verbs if v.startswith(first + " ")}, f"the second words of {first}")
        offers(["help", first, ""], {v.split()[1] for v in verbs if v.startswith(first + " ")}, f"and after help {first}")
    for verb in verbs:
        shown = re.findall(r"^  (?:-\w, |    )(--[\w-]+)", help_of(*verb.split()), re.M)
        offers([*verb.split(), "--"], shown, f"the {len(shown)} options of {verb}")
    offers(["run", "--cp"], ["--cpus", "--cpu-ids"], "what begins as the word does")
    offers(["attest", "v"], ["verify"], "and of second words")
    offers(["no-such-verb", ""], [], "nothing after what is no verb")


def values():
    offers(["describe", "-o", ""], ["text", "json"], "the words of a choice after a letter")
    offers(["run", "--restart", "o"], ["on-failure"], "the words of a choice")
    offers(["run", "--restart=o"], ["on-failure"], "after an equals sign too, without what stands already")
    offers(["run", "--restart="], ["no", "on-failure", "always"], "all after the sign")
    offers(["attest", "verify", "--time", ""], ["now", "document"], "not the placeholder of a value")
    offers(["build-eif", "--image", "oci"], ["oci:", "oci-archive:"], "the schemes of image sources")
    offers(["run", "--memory", ""], [], "nothing where a number stands")
    offers(["explain", "CidI"], ["CidInUse"], "the names of errors")


def files():
    with tempfile.TemporaryDirectory() as top:
        for name in ("one.eif", "two words.eif", "other"):
            pathlib.Path(top, name).touch()
        offers(["run", "--eif", "o"], ["one.eif", "other"], "files for an option", directory=top)
        offers(["run", "--eif=t"], ["two words.eif"], "after an equals sign, with a space in the name", directory=top)
        offers(["verify-eif", "one"], ["one.eif"], "files for an argument", directory=top)
        offers(["verify-eif", "other", ""], [], "but not for one argument too many", directory=top)
        offers(["diff-eif", "other", "one"], ["one.eif"], "and for a second that there may be", directory=top)
        offers(["build-eif", "--image", "dir:oth"], ["other"], "after a scheme", directory=top)
        offers(["attest", "verify", "--root", "nitro:oth"], ["other"], "after a profile", directory=top)
        offers(["attest", "verify", "--nonce", "@oth"], ["@other"], "after an at sign", directory=top)


def enclaves():
    with Daemon(monitor=STANDIN) as d:
        here = {"QT_ENCLAVE_SOCKET": d.socket}
        for name in ("web", "mail"):
            d.ok("run", "--eif", d.image(), "--name", name, "--memory", "128")
        offers(["terminate", "w"], ["web"], "names of enclaves", environment=here)
        offers(["describe", ""], ["web", "mail"], "where the name may be left out", environment=here)
        offers(["console", "--socket", d.socket, "m"], ["mail"], "of the daemon that is named")
        offers(["connect", "mail", ""], [], "no name where a port stands", environment=here)
    offers(["terminate", ""], [], "no names and no complaint without a daemon")


verbs_and_options()
values()
files()
enclaves()
done()
