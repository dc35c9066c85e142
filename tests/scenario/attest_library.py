# SPDX-License-Identifier: Apache-2.0
"""libqtattest as others see it: what it exports, and the examples of its manual, taken from there, compiled and run."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ["QT_BUILD_ROOT"])
SOURCE = pathlib.Path(os.environ["QT_SOURCE_ROOT"])
LIBRARY = BUILD / "attest/libqtattest.so.0"
n = 0

MAIN = """
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t read_file(const char *path, char *ret, size_t size)
{
        int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, ret, size);

        close(fd);
        return n < 0 ? 0 : (size_t)n;
}

/* ROOT POLICY DOCUMENT NONCE. Asking a module is for an enclave: the scenario attest_enclave does. */
int main(int argc, char **argv)
{
        static char root[65536], json[65536], document[65536];
        struct qtattest_context *context;
        struct qtattest_policy *policy;
        bool ours;
        size_t n;

        if (argc != 5)
                return 2;
        if (qtattest_context_new(64, QTATTEST_CACHE_LEAVES, &context) < 0)
                return 2;
        n = read_file(argv[1], root, sizeof(root));
        if (qtattest_context_add_root(context, QTATTEST_ANY, root, n) < 0)
                return 2;
        n = read_file(argv[2], json, sizeof(json));
        if (qtattest_policy_parse(json, n, &policy, NULL, 0) < 0)
                return 2;
        n = read_file(argv[3], document, sizeof(document));
        ours = is_our_enclave(document, n, policy, context, argv[4], strlen(argv[4]));
        ours = is_our_enclave(document, n, policy, context, argv[4], strlen(argv[4])) && ours;
        qtattest_policy_free(policy);
        qtattest_context_free(context);
        return !ours;
}
"""


def point(ok, what, *lines):
    global n
    n += 1
    print(f"{'ok' if ok else 'not ok'} {n} - {what}")
    if not ok:
        for line in lines:
            print("#", str(line).replace("\n", "\n# "))


def skip(what, why):
    global n
    n += 1
    print(f"ok {n} - {what} # SKIP {why}")


def exports():
    found = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True).stdout
    names = {line.split()[2].split("@")[0] for line in found.splitlines() if line.split()[1] == "T"}
    headers = (SOURCE / "attest/attest.h").read_text() + (SOURCE / "attest/device.h").read_text()
    promised = set(re.findall(r"\b(qtattest_\w+)\(", re.sub(r"/\*.*?\*/", "", headers, flags=re.S)))
    point(names == promised, "the library exports what its headers promise, and nothing else", names ^ promised)
    name = subprocess.run(["readelf", "-d", LIBRARY], capture_output=True, text=True, check=True).stdout
    point("[libqtattest.so.0]" in name, "its soname has a version", name)


def examples():
    page = (SOURCE / "man/libqtattest.3").read_text().split(".Sh EXAMPLES")[1]
    found = [text.replace("\\e", "\\") for text in re.findall(r"\.Bd -literal[^\n]*\n(.*?)\.Ed", page, re.S)]
    if len(found) != 2:
        raise AssertionError("the manual has other examples than this test knows")
    return "\n".join(found)


def compiled(directory):
    for header, installed in (("attest.h", "qtattest.h"), ("device.h", "qtattest-device.h")):
        shutil.copy(SOURCE / "attest" / header, directory / installed)
    (directory / "example.c").write_text(examples() + MAIN)
    program = directory / "example"
    done = subprocess.run(["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-missing-prototypes", "-I", directory,
                           "-o", program, directory / "example.c", LIBRARY, f"-Wl,-rpath,{LIBRARY.parent}"],
                          capture_output=True, text=True)
    point(done.returncode == 0, "the examples of the manual compile without a warning", done.stderr)
    return program


def runs(directory, program):
    try:
        import attest_forge as forge
    except ImportError as missing:
        return skip("the examples run", f"{missing}: install python3-cryptography")
    import datetime
    forge.NOW = datetime.datetime.now(forge.UTC)
    pki = forge.Pki(forge.NITRO)
    (directory / "root.pem").write_bytes(pki.root_pem())
    (directory / "policy.json").write_text('{"PcrSets": [{"PCR0": "%s"}]}' % forge.pcr("pcr0").hex())
    (directory / "document").write_bytes(forge.changed(pki, nonce=b"nonce", timestamp=forge.seconds(forge.NOW) * 1000))
    for nonce, status in (("nonce", 0), ("other", 1)):
        done = subprocess.run([program, directory / "root.pem", directory / "policy.json", directory / "document", nonce],
                              capture_output=True, text=True)
        point(done.returncode == status and ("nonce-mismatch" in done.stderr) == (status == 1),
              f"the example says {'yes' if status == 0 else 'no'} to the nonce {nonce!r}", done.returncode, done.stderr)


exports()
if "sanitize" in (BUILD / "meson-info/intro-buildoptions.json").read_text() and \
        "__asan_init" in subprocess.run(["nm", "-D", LIBRARY], capture_output=True, text=True).stdout:
    skip("the examples of the manual", "a sanitized library needs a sanitized program")
elif not shutil.which("cc"):
    skip("the examples of the manual", "there is no cc")
else:
    with tempfile.TemporaryDirectory(prefix="qt-attest-") as made:
        runs(pathlib.Path(made), compiled(pathlib.Path(made)))
print(f"1..{n}")
