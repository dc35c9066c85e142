# SPDX-License-Identifier: Apache-2.0
"""libqtkms as others see it: what it exports, and the example of its manual, taken from there, compiled and run through the
proxy against a KMS that enforces PCR policy; and a parent that hangs up, which must not end the process."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from harness import BUILD, check, done, wait_for
from kms_rig import (OTHER_PCR0, PCR0, Rig, WrongServer, huawei_statements, in_hours, memory_holds, read_frame, send_frame,
                     unix_listener)

SOURCE = pathlib.Path(os.environ["QT_SOURCE_ROOT"])
LIBRARY = BUILD / "guest/libqtkms.so.0"
SECRET = b"the secret of the enclave\n"

MAIN = """
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int print(const uint8_t *secret, size_t size)
{
        return write(1, secret, size) == (ssize_t)size ? 0 : -5;
}

static struct qtkms_client *client_of(char **argv, bool accept)
{
        const struct qtkms_config config = { .struct_size = sizeof(config), .proxy = argv[2], .module = argv[3],
                                             .cache_seconds = 30, .accept_unauthenticated = accept };
        struct qtkms_client *client;

        return qtkms_client_new(&config, &client) < 0 ? NULL : client;
}

/* A data key and the same out of its wrapped form; random twice; all in one client with a cache. */
static int others(char **argv)
{
        struct qtkms_request q = { .struct_size = sizeof(q), .key_id = "dev-key", .context = "a", .n_bytes = 48 };
        struct qtkms_client *strict = client_of(argv, false), *client = client_of(argv, true);
        struct qtkms_secret first = { 0 }, second = { 0 };
        char *wrapped = NULL;

        if (!strict || !client || qtkms_datakey(strict, &q, &first, &wrapped) != -22)
                return 10;
        if (qtkms_datakey(client, &q, &first, &wrapped) < 0 || first.size != 48 || !wrapped)
                return 11;
        q.ciphertext = wrapped;
        if (qtkms_datakey_open(strict, &q, &second) != -22 || second.data)
                return 17;
        if (qtkms_datakey_open(client, &q, &second) < 0 || second.size != 48 || memcmp(first.data, second.data, 48) != 0)
                return 12;
        q.context = "b";
        qtkms_secret_done(&second);
        if (qtkms_datakey_open(client, &q, &second) != -13 || second.data)
                return 13;
        free(wrapped);
        qtkms_secret_done(&first);
        if (qtkms_random(client, &q, &first) < 0 || qtkms_random(client, &q, &second) < 0 || first.size != 48 ||
            memcmp(first.data, second.data, 48) == 0)
                return 14;
        q.n_bytes = 4096;
        if (qtkms_random(client, &q, &second) != -22)
                return 15;
        q.struct_size--;
        if (qtkms_random(client, &q, &second) != -22)
                return 16;
        qtkms_secret_done(&first);
        qtkms_secret_done(&second);
        qtkms_client_free(strict);
        qtkms_client_free(client);
        return 0;
}

/* What pipe mode cannot do without, left out one by one; nothing but the last gets as far as a call. */
static int left_out(char **argv)
{
        const struct qtkms_config whole = { .struct_size = sizeof(whole), .mode = QTKMS_PIPE, .proxy = argv[2],
                .module = argv[3], .region = "r", .project = "p", .ca_file = argv[4], .credentials = "unix:/nobody" };
        const struct qtkms_request q = { .struct_size = sizeof(q), .ciphertext = "QUJD" };
        struct qtkms_config configs[] = { whole, whole, whole, whole, whole, whole, whole };
        const int results[] = { -22, -22, -22, -22, 0, 0, -22 };

        configs[0].region = NULL;
        configs[1].ca_file = NULL;
        configs[2].credentials = NULL;
        configs[3].project = NULL;
        configs[4].project = NULL;
        configs[4].provider = "aws";
        configs[6].mode = QTKMS_API;
        for (int i = 0; i < 7; i++) {
                struct qtkms_secret secret = { 0 };
                struct qtkms_client *client = NULL;

                if (qtkms_client_new(&configs[i], &client) != results[i])
                        return 10 + i;
                if (client && qtkms_decrypt(client, &q, &secret) != -113)
                        return 20 + i;
                qtkms_client_free(client);
        }
        return 0;
}

/* TLS to somebody who hangs up at once, again and again. */
static int hung_up(char **argv)
{
        const struct qtkms_config config = { .struct_size = sizeof(config), .mode = QTKMS_PIPE, .proxy = argv[2],
                .module = argv[3], .region = "r", .project = "p", .endpoint = "localhost:1", .ca_file = argv[4],
                .credentials = "environment", .cache_seconds = 60 };
        const struct qtkms_request q = { .struct_size = sizeof(q), .ciphertext = "QUJD" };
        struct qtkms_secret secret = { 0 };
        struct qtkms_client *client;

        setenv("HUAWEICLOUD_SDK_AK", "a", 1);
        setenv("HUAWEICLOUD_SDK_SK", "s", 1);
        if (qtkms_client_new(&config, &client) < 0)
                return 1;
        for (int i = 0; i < 300; i++)
                if (qtkms_decrypt(client, &q, &secret) != -113)
                        return 2;
        qtkms_client_free(client);
        return 0;
}

/* A call with credentials of a listener, whose answer is bad; and then nothing until somebody has looked. */
static int credentials(char **argv)
{
        const struct qtkms_config config = { .struct_size = sizeof(config), .mode = QTKMS_PIPE, .proxy = argv[2],
                .module = argv[3], .region = "r", .project = "p", .endpoint = "localhost:1", .ca_file = argv[4],
                .credentials = argv[5] };
        const struct qtkms_request q = { .struct_size = sizeof(q), .ciphertext = "QUJD" };
        struct qtkms_secret secret = { 0 };
        struct qtkms_client *client;
        char byte;

        if (qtkms_client_new(&config, &client) < 0 || qtkms_decrypt(client, &q, &secret) != -113)
                return 1;
        if (write(1, "called", 6) != 6 || read(0, &byte, 1) != 0)
                return 2;
        qtkms_client_free(client);
        return 0;
}

/* A call every so often with what a listener lends, which has an end; the result of each call is a line. */
static int lent(char **argv)
{
        const struct qtkms_config config = { .struct_size = sizeof(config), .mode = QTKMS_PIPE, .proxy = argv[2],
                .module = argv[3], .region = "r", .project = "p", .endpoint = argv[6], .ca_file = argv[4],
                .credentials = argv[5] };
        const struct qtkms_request q = { .struct_size = sizeof(q), .key_id = "dev-key" };
        struct qtkms_client *client;
        char byte;

        if (qtkms_client_new(&config, &client) < 0)
                return 1;
        while (read(0, &byte, 1) == 1 && byte == 'c') {
                struct qtkms_secret secret = { 0 };

                dprintf(1, "%d\\n", qtkms_random(client, &q, &secret));
                qtkms_secret_done(&secret);
        }
        qtkms_client_free(client);
        dprintf(1, "freed\\n");
        return read(0, &byte, 1) == 0 ? 0 : 2;
}

int main(int argc, char **argv)
{
        if (strcmp(argv[1], "lent") == 0)
                return lent(argv);
        if (strcmp(argv[1], "credentials") == 0)
                return credentials(argv);
        if (strcmp(argv[1], "others") == 0)
                return others(argv);
        if (strcmp(argv[1], "left-out") == 0)
                return left_out(argv);
        if (strcmp(argv[1], "hung-up") == 0)
                return hung_up(argv);
        return argc == 5 ? -with_secret(argv[2], argv[3], argv[4], print) : 1;
}
"""


def exports():
    found = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True).stdout
    names = {line.split()[2].split("@")[0] for line in found.splitlines() if line.split()[1] == "T"}
    header = re.sub(r"/\*.*?\*/", "", (SOURCE / "guest/kms/qtkms.h").read_text(), flags=re.S)
    promised = set(re.findall(r"\b(qtkms_\w+)\(", header))
    page = set(re.findall(r"^\.Fn (qtkms_\w+) ", (SOURCE / "man/libqtkms.3").read_text(), re.M))
    check(names == promised == page, "the library exports what its header and its manual promise, and nothing else",
          names ^ promised, page ^ promised)


def compiled(directory):
    page = (SOURCE / "man/libqtkms.3").read_text().split(".Sh EXAMPLES")[1]
    example = re.search(r"\.Bd -literal[^\n]*\n(.*?)\.Ed", page, re.S).group(1).replace("\\e", "\\")
    shutil.copy(SOURCE / "guest/kms/qtkms.h", directory / "qtkms.h")
    (directory / "example.c").write_text(example + MAIN)
    program = directory / "example"
    out = subprocess.run(["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I", directory, "-o", program,
                          directory / "example.c", LIBRARY, f"-Wl,-rpath,{LIBRARY.parent}"], capture_output=True, text=True)
    check(out.returncode == 0, "the example of the manual compiles without a warning", out.stderr)
    return program


def runs(rig, program):
    module, other = rig.module("good", "qingtian", PCR0), rig.module("other", "qingtian", OTHER_PCR0)
    rig.policy([{"Effect": "Allow", "Action": ["kms:cmk:decrypt", "kms:dek:create", "kms:dek:decrypt", "kms:cmk:generate"],
                 "Condition": {"StringEqualsIgnoreCase": {"kms:RecipientAttestation/PCR0": PCR0}}}])
    rig.attest_policy(PCR0, OTHER_PCR0)
    _, port = rig.dev_kms("qingtian", "--reuse", "60s")
    rig.proxy(rig.proxy_section() + rig.api_section("kms", 8001, port, more="bind-request = no\n"), 8001)
    proxy, ciphertext = f"unix:{rig.socket(8001)}", rig.encrypt(SECRET).decode().strip()
    out = rig.run(program, "decrypt", proxy, module, ciphertext)
    check(out.status == 0 and out.out == SECRET, "the example decrypts in the measured enclave", out)
    out = rig.run(program, "decrypt", proxy, other, ciphertext)
    check(out.status == 13 and not out.out and "policy denies" in out.err, "and in no other: EACCES, and one line why", out)
    out = rig.run(program, "decrypt", f"unix:{rig.top}/nobody", module, ciphertext)
    check(out.status == 113 and not out.out, "no proxy: EHOSTUNREACH", out)
    out = rig.run(program, "others", proxy, module)
    check(out.status == 0, "data keys, random, limits, and one key and document for several calls", out)
    out = rig.run(program, "left-out", proxy, module, rig.home / "tls.pem")
    check(out.status == 0, "pipe mode without region, CA file, credentials or Huawei's project, api mode with them: EINVAL", out)
    path = rig.top / "hang-up.sock"
    WrongServer(unix_listener(path), lambda stream: None)
    out = rig.run(program, "hung-up", f"unix:{path}", module, rig.home / "tls.pem")
    check(out.status == 0, "a parent that hangs up is an error and no SIGPIPE", out, -signal.SIGPIPE)


def wiped(rig, program):
    """The library is in somebody else's program, whose allocator wipes nothing."""
    keys = {"access_key": "an-access-key", "secret_key": "secret-" + os.urandom(16).hex(), "security_token": "token-" + os.urandom(200).hex()}
    module, pipe, creds, asked = rig.module("wiped", "qingtian", PCR0), rig.top / "no-pipe.sock", rig.top / "creds.sock", []
    WrongServer(unix_listener(creds), lambda stream: (asked.append(read_frame(stream)), send_frame(stream, {"credentials": keys})))
    process = rig.start("wiped-program", program, "credentials", f"unix:{pipe}", module, rig.home / "tls.pem", f"unix:{creds}",
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    said = process.stdout.read(6)
    left = [f"{name} from {at}" for name in ("secret_key", "security_token") for at in range(0, len(keys[name]) - 12, 6)
            if memory_holds(process.pid, keys[name][at:at + 12].encode())]
    check(said == b"called" and asked and memory_holds(process.pid, b"no-pipe.sock") and not left,
          "after a call the memory of a program that uses the library holds no piece of the credentials", said, asked, left)
    process.stdin.close()
    check(process.wait(60) == 0, "and it ends well")


class Caller:
    """A program that makes a call when it is told to."""

    def __init__(self, rig, program, *arguments):
        self.process = rig.start("caller", program, "lent", *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def call(self):
        self.process.stdin.write(b"c")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def free(self):
        self.process.stdin.write(b"f")
        self.process.stdin.flush()
        return self.process.stdout.readline()


def lent(rig, program):
    """What a listener lent serves until shortly before its end: it lends no more than once a second."""
    keys = {**json.loads((rig.home / "credentials.json").read_text()), "security_token": "token-" + os.urandom(100).hex()}
    (rig.home / "credentials.json").write_text(json.dumps(keys))
    statements = huawei_statements(PCR0)
    rig.policy(statements)
    module, file, asked, life, lending = rig.module("lent", "qingtian", PCR0), rig.top / "lent.json", [], [3600], {}
    kms, port = rig.dev_kms("qingtian")
    rig.proxy(rig.proxy_section() + f"""[pipe tls]
port = 8000
allow = localhost:{port}
private-addresses = yes
[creds lent]
port = 8002
enclave = one
credentials = file:{file}
""", 8002)

    def lend(stream):
        asked.append(read_frame(stream))
        send_frame(stream, {"credentials": {**keys, **lending, "expires_usec": int((time.time() + life[0]) * 1e6)}})

    def caller(creds):
        return Caller(rig, program, f"unix:{rig.socket(8000)}", module, rig.home / "tls.pem", f"unix:{creds}", f"localhost:{port}")

    def lend_file(hours):
        file.touch(0o600)
        file.write_text(json.dumps({**keys, "expires_at": in_hours(hours)}))

    lend_file(1)
    one = caller(rig.socket(8002))
    results = [one.call() for _ in range(6)]
    check(results == [0] * 6, "six calls on credentials that the proxy lent", results)
    one.free()
    lend_file(30 / 3600)
    one = caller(rig.socket(8002))
    wait_for(lambda: one.call() == -11, "a call that is one too many for the listener")
    check(wait_for(lambda: one.call() == 0, "one that is not"), "what ends soon is asked for anew: EAGAIN when that is too often")
    one.free()

    WrongServer(unix_listener(rig.top / "lender.sock"), lend)
    one, lending["secret_key"] = caller(rig.top / "lender.sock"), "another"
    results = [one.call()]
    lending["secret_key"] = keys["secret_key"]
    results += [one.call() for _ in range(3)]
    check(results == [-13, 0, 0, 0] and len(asked) == 2, "what the KMS refused is asked for anew, and then kept", results, asked)
    token, pid = keys["security_token"][10:40].encode(), one.process.pid
    check(memory_holds(pid, token), "while it is kept, it is in the memory")
    check(one.free() == b"freed\n" and not memory_holds(pid, token), "and when the client is freed, it is not")
    one, life[0] = caller(rig.top / "lender.sock"), 50
    results = [one.call() for _ in range(2)]
    check(results == [0, 0] and len(asked) == 4, "what has less than a minute is for one call", results, asked)


exports()
if "__asan_init" in subprocess.run(["nm", "-D", LIBRARY], capture_output=True, text=True).stdout:
    check(True, "the example needs an unsanitized library # SKIP a sanitized library needs a sanitized program")
else:
    with Rig() as rig:
        program = compiled(rig.top)
        runs(rig, program)
        wiped(rig, program)
        with Rig() as another:
            lent(another, program)
done()
