# SPDX-License-Identifier: Apache-2.0
"""qt and nitro-cli: what they print, byte for byte (tests/golden), exit statuses, and programs that parse it.

Run with QT_UPDATE_GOLDEN=1 to write the golden files anew, then read the difference before it is committed.
"""
import hashlib
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading

import eif_bytes as eif
import oci_compose as oci
from harness import PATIENCE, SOURCE, STANDIN, BUILD, Daemon, check, done, wait_for

GOLDEN = SOURCE / "tests/golden"
CONFIG = "enclaves_max:8\nplatform:qingtian\n"


class Session:
    """Commands of one personality in a directory of their own, and the transcript of it all."""

    def __init__(self, d, name):
        self.d, self.name, self.lines = d, name, []
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=d.home))
        (self.folder / "bin").mkdir()
        os.symlink(d.cli_program(), self.folder / "bin" / name)
        self.env = {**d.environment, "QT_ENCLAVE_SOCKET": d.socket, "LC_ALL": "C", "TZ": "UTC",
                    "PATH": f"{self.folder}/bin:/usr/bin:/bin", "QT_ENCLAVE_KERNEL_DIR": str(self.folder / "kernel"),
                    "QT_ENCLAVE_INIT": str(BUILD / "guest/qt-init"), "SOURCE_DATE_EPOCH": "0"}
        for variable in ("NITRO_CLI_BLOBS", "NITRO_CLI_LOGS_PATH"):
            self.env.pop(variable, None)
        self.ids, self.pids = {}, set()

    def run(self, line, quiet=False, **env):
        """A line as a script has it (no shell: split at blanks); into the transcript unless quiet."""
        p = subprocess.run(line.split(), cwd=self.folder, env={**self.env, **env}, stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=PATIENCE)
        if not quiet:
            self.lines += [f"$ {line}", self.plain(p.stdout).rstrip("\n")] if p.stdout else [f"$ {line}"]
            if p.stderr:
                self.lines += [f"! {text}" for text in self.plain(p.stderr).rstrip("\n").split("\n")]
            if p.returncode:
                self.lines.append(f"= {p.returncode}")
        return p

    def plain(self, text):
        """Without what differs from one run to the next."""
        text = text.replace(str(self.folder), "HERE").replace(self.d.socket, "SOCKET")
        self.pids.update(re.findall(r'"ProcessID":\s*(\d+)', text))
        text = re.sub(r"\b\d+\b( *)", lambda m: f"{'PID':{len(m[0]) if m[1] else 3}}" if m[0].strip() in self.pids else m[0], text)
        # What is wrong is the daemon's sentence, which may change; its number and kind may not.
        text = re.sub(r"(\[ E\d\d \] [^.]+\. (?!Usage|NotDebug)\w+: ).*", r"\1...", text)
        text = re.sub(r"(error \d\d: [^.]+\. ).*( \(\w+\))", r"\1...\2", text)
        return re.sub(r"i-[0-9a-f]+-enc[0-9a-f]+", lambda m: self.ids.setdefault(m[0], f"ID{len(self.ids)}"), text)

    def compare(self):
        golden = GOLDEN / f"{self.name}.txt"
        text = "\n".join(self.lines) + "\n"
        if os.environ.get("QT_UPDATE_GOLDEN"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(text)
        want = golden.read_text()
        different = [f"line {i + 1}: wanted {a!r}, got {b!r}" for i, (a, b) in
                     enumerate(zip(want.splitlines(), text.splitlines())) if a != b]
        check(text == want, f"{self.name} prints what {golden.name} says", *different[:20],
              f"{len(want.splitlines())} and {len(text.splitlines())} lines")


def files(s):
    """Images and what they are made of."""
    for name in ("app.eif", "other.eif"):
        (s.folder / name).write_text("run until stopped\n")
    (s.folder / "dies.eif").write_text("at=booting end=kernel-panic\n")
    (s.folder / "real.eif").write_bytes(eif.compose([
        (eif.KERNEL, b"KERNEL"), (eif.CMDLINE, b"console=ttyS0"),
        (eif.METADATA, json.dumps({"ImageName": "real", "ImageVersion": "1", "BuildMetadata": {"BuildTool": "x"}}).encode()),
        (eif.RAMDISK, b"RD0"), (eif.RAMDISK, b"RD1")]))
    (s.folder / "kernel").mkdir()
    for name, text in (("vmlinuz", "a kernel of no known shape" * 40), ("bzImage", "KERNEL"), ("init", "INIT"), ("nsm.ko", "NSM"),
                       ("cmdline", "console=ttyS0\n")):
        (s.folder / "kernel" / name).write_text(text)
    layers = [oci.layer(oci.member("app", b"\x7fELF not really", mode=0o755))]
    oci.docker_archive(s.folder / "app.tar", layers, oci.make_config(layers, Cmd=["/app"]))
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1", "-nodes", "-subj", "/CN=t",
               "-days", "30", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(openssl, cwd=s.folder, check=True, capture_output=True)


def pcr8(s):
    der = subprocess.run(["openssl", "x509", "-in", "cert.pem", "-outform", "DER"], cwd=s.folder, check=True,
                         capture_output=True).stdout
    return eif.extend(hashlib.sha384(der).digest())


def qt(d):
    s = Session(d, "qt")
    files(s)
    for line in ("qt", "qt enclave", "qt enclave -h", "qt enclave imagine", "qt enclave start", "qt enclave query",
                 "qt enclave start --eif app.eif --debug-mode", "qt enclave start --eif app.eif", "qt enclave start --eif none.eif",
                 "qt enclave start --eif other.eif --cpus 4 --mem 512 --cid 77", "qt enclave start --eif app.eif --cid 3",
                 "qt enclave start --eif app.eif --cid 9 --cpus 3", "qt enclave start --eif app.eif --cid 9 --mem 100",
                 "qt enclave start --eif dies.eif --cid 8",
                 "qt enclave start --eif app.eif --imagine", "qt enclave query app",
                 "qt enclave query", "qt enclave query --enclave-id 1", "qt enclave query --enclave-id 99",
                 "qt enclave query --enclave-id app", "qt enclave query -o tsv", "qt enclave query -o table", "qt enclave query -o yaml",
                 "qt enclave query --query [0] -o table", "qt enclave query --query [*].EnclaveCID -o table",
                 "qt enclave query --query [7] -o table", "qt enclave query --query none",
                 "qt enclave query -o jsonc", "qt enclave query -o yamlc", "qt enclave query -o none", "qt enclave query -o xml",
                 "qt enclave query --query [*].EnclaveID -o=TSV", "qt enclave query --query [0].EnclaveID -o JSON",
                 "qt enclave query --query [0].EnclaveCID", "qt enclave query --query [*].EnclaveID -o tsv",
                 "qt enclave query --query [?EnclaveID]", "qt enclave query --query [].LaunchMode -o yaml", "qt enclave query --debug",
                 "qt enclave console --enclave-id 1", "qt enclave stop", "qt enclave stop --enclave-id 99",
                 "qt enclave stop --enclave-id 1 --query EnclaveID", "qt enclave stop --enclave-id 0", "qt enclave query -o table",
                 "qt enclave query-eif --eif real.eif", "qt enclave query-eif --eif kernel/init",
                 "qt enclave query-eif --eif real.eif --query PCR8 -o tsv", "qt enclave query-eif --eif real.eif --query PCR8 -o yaml", "qt enclave make-img --docker-uri docker-archive:app.tar",
                 "qt enclave make-img --docker-uri docker-archive:app.tar --eif made.eif --private-key key.pem",
                 "qt enclave make-img --docker-uri oci:none --eif made.eif", "qt --version"):
        s.run(line)
    s.compare()
    made = s.run("qt enclave make-img --docker-uri docker-archive:app.tar --eif made.eif", quiet=True)
    found = s.run("qt enclave query-eif --eif made.eif", quiet=True)
    check(made.returncode == 0 and made.stdout == found.stdout and json.loads(made.stdout)["PCR8"] == "0" * 96,
          "query-eif says of an image what make-img said", made, found)
    signed = s.run("qt enclave make-img --docker-uri docker-archive:app.tar --eif made.eif --private-key key.pem --signing-certificate cert.pem",
                   quiet=True)
    check(signed.returncode == 0 and json.loads(signed.stdout) == {**json.loads(made.stdout), "PCR8": pcr8(s)},
          "make-img signs", signed)
    before = (s.folder / "made.eif").read_bytes()
    bad = s.run("qt enclave make-img --docker-uri docker-archive:app.tar --eif made.eif --private-key cert.pem --signing-certificate cert.pem",
                quiet=True)
    check(bad.returncode == 1 and "error" in bad.stderr and (s.folder / "made.eif").read_bytes() == before,
          "a key that is none: nothing is replaced", bad)
    as_option = subprocess.run([d.cli_program(), "--as", "qt", "enclave", "query"], env=s.env, capture_output=True, text=True)
    check(as_option.returncode == 0 and as_option.stdout == "[]\n", "qt-enclave --as qt is the same", as_option)


def nitro(d):
    s = Session(d, "nitro-cli")
    files(s)
    (s.folder / "run.json").write_text(json.dumps({"enclave_name": "conf", "cpu_count": 2, "memory_mib": 256, "eif_path": "app.eif",
                                                   "debug_mode": True}))
    (s.folder / "both.json").write_text('{"cpu_count": 2, "cpu_ids": [2, 3], "memory_mib": 256, "eif_path": "app.eif"}')
    (s.folder / "twice.json").write_text('{"cpu_ids": [2, 3, 2], "memory_mib": 256, "eif_path": "app.eif"}')
    (s.folder / "words.json").write_text('{"cpu_ids": [2, "3"], "memory_mib": 256, "eif_path": "app.eif"}')
    (s.folder / "neither.json").write_text('{"memory_mib": 256, "eif_path": "app.eif"}')
    (s.folder / "unknown.json").write_text('{"cpus": 2}')
    (s.folder / "nothing.json").write_text('{"cpu_count": 2, "memory_mib": 0, "eif_path": "app.eif"}')
    (s.folder / "negative.json").write_text('{"cpu_count": 2, "memory_mib": -256, "eif_path": "app.eif"}')
    (s.folder / "hungry.json").write_text('{"cpu_count": 2, "memory_mib": null, "eif_path": "app.eif"}')
    with open(s.folder / "big.eif", "wb") as f:
        f.truncate(100 << 20)
    base = "--memory 256 --eif-path app.eif"
    for line in ("nitro-cli", "nitro-cli --version", "nitro-cli imagine", "nitro-cli describe-enclaves",
                 f"nitro-cli run-enclave {base}", f"nitro-cli run-enclave --cpu-count 2 --cpu-ids 2 3 {base}",
                 "nitro-cli run-enclave --cpu-count 2 --eif-path app.eif", "nitro-cli run-enclave --cpu-count 2 --memory 256",
                 "nitro-cli run-enclave --cpu-count 2 --memory 256K --eif-path app.eif",
                 f"nitro-cli run-enclave --cpu-count two {base}", f"nitro-cli run-enclave --cpu-count 2 {base} --enclave-cid 2",
                 f"nitro-cli run-enclave --cpu-ids 2 2 {base}", f"nitro-cli run-enclave --cpu-ids=2 3 {base}", "nitro-cli run-enclave --cpu-count 2 --memory 399 --eif-path big.eif",
                 "nitro-cli run-enclave --cpu-count 2 --memory 256 --eif-path none.eif",
                 *(f"nitro-cli run-enclave --cpu-count 2 --memory {m} --eif-path app.eif" for m in ("64", "51200000")),
                 *(f"nitro-cli run-enclave --cpu-count {n} {base}" for n in (4000, 3)),
                 f"nitro-cli run-enclave --cpu-count 2 {base} --enclave-cid 0 --debug-mode", f"nitro-cli run-enclave --cpu-ids 2 3 {base}",
                 f"nitro-cli run-enclave --cpu-count 2 {base} --enclave-name app --enclave-cid 4", "nitro-cli run-enclave --config run.json",
                 f"nitro-cli run-enclave --cpu-count 2 {base} --enclave-name conf",
                 "nitro-cli run-enclave --config run.json --cpu-count 2", "nitro-cli run-enclave --config both.json",
                 "nitro-cli run-enclave --config twice.json", "nitro-cli run-enclave --config words.json",
                 "nitro-cli run-enclave --config neither.json", "nitro-cli run-enclave --config unknown.json",
                 "nitro-cli run-enclave --config none.json",
                 *(f"nitro-cli run-enclave --config {n}.json" for n in ("nothing", "negative", "hungry")),
                 "nitro-cli run-enclave --cpu-count 2 --memory 256 --eif-path dies.eif",
                 f"nitro-cli run-enclave --cpu-count 2 {base} --enclave-name a/b",
                 "nitro-cli describe-enclaves", "nitro-cli describe-enclaves --metadata",
                 "nitro-cli console --enclave-name app_1", "nitro-cli console --enclave-name nobody", "nitro-cli console",
                 "nitro-cli console --enclave-name app --disconnect-timeout 1",
                 "nitro-cli terminate-enclave", "nitro-cli terminate-enclave --enclave-name nobody",
                 "nitro-cli terminate-enclave --enclave-name app --all", "nitro-cli terminate-enclave --enclave-name app",
                 "nitro-cli terminate-enclave --all", "nitro-cli describe-enclaves",
                 "nitro-cli describe-eif --eif-path real.eif", "nitro-cli describe-eif --eif-path kernel/init",
                 "nitro-cli pcr --input kernel/init", "nitro-cli pcr", "nitro-cli pcr --input a --signing-certificate b",
                 "nitro-cli sign-eif --eif-path real.eif",
                 "nitro-cli sign-eif --eif-path real.eif --signing-certificate none.pem --private-key key.pem",
                 "nitro-cli sign-eif --eif-path real.eif --signing-certificate cert.pem --private-key none.pem",
                 "nitro-cli sign-eif --eif-path none.eif --signing-certificate cert.pem --private-key key.pem",
                 "nitro-cli sign-eif --eif-path real.eif --signing-certificate cert.pem --private-key cert.pem", "nitro-cli build-enclave --docker-uri docker-archive:app.tar",
                 "nitro-cli build-enclave --docker-uri docker-archive:app.tar --output-file x.eif --private-key key.pem",
                 "nitro-cli build-enclave --docker-uri docker-archive:app.tar --output-file x.eif --private-key key.pem"
                 " --signing-certificate none.pem", "nitro-cli build-enclave --docker-uri docker-archive:none.tar --output-file x.eif",
                 "nitro-cli build-enclave --docker-uri app:1 --docker-dir . --output-file x.eif",
                 "nitro-cli explain --error-code E26", "nitro-cli explain --error-code E61", "nitro-cli explain",
                 *(f"nitro-cli {c}" for c in (
                     "terminate-enclave --enclave-id x --enclave-name y", "console --enclave-id a --enclave-name b", "describe-eif",
                     "build-enclave --output-file x.eif", "sign-eif --signing-certificate cert.pem --private-key key.pem",
                     "pcr --input none.bin", "pcr --signing-certificate none.pem",
                     f"run-enclave --cpu-count 2 {base} --enclave-cid 4294967295", "describe-enclaves --all")),
                 "nitro-cli help pcr"):
        s.run(line)
    s.compare()
    r = s.run(f"nitro-cli run-enclave --cpu-count 2 {base}", quiet=True)
    one = json.loads(r.stdout)
    check(re.fullmatch(r"i-[0-9a-f]{8,17}-enc[0-9a-f]+", one["EnclaveID"]), "an enclave's id has nitro-cli's form", one)
    r = s.run(f"nitro-cli terminate-enclave --enclave-id {one['EnclaveID']}", quiet=True)
    check(r.returncode == 0 and json.loads(r.stdout)["Terminated"] is True, "and ends it", r)
    r = s.run(f"nitro-cli terminate-enclave --enclave-id {one['EnclaveID']}", quiet=True)
    check(r.returncode == 40 and "[ E40 ]" in r.stderr, "once", r)
    numbers = [s.run(f"nitro-cli explain --error-code E{n:02}", quiet=True) for n in range(61)]
    check(all(r.returncode == 0 and r.stdout.startswith(f"E{n:02}: ") and r.stdout.count("\n") == 2 for n, r in enumerate(numbers)),
          "explain knows E00 to E60", *(r.stdout for r in numbers))
    nitro_images(s)
    logs = s.folder / "logs"
    logs.mkdir()
    r = s.run("nitro-cli console --enclave-name nobody", quiet=True, NITRO_CLI_LOGS_PATH=str(logs))
    check(len(list(logs.iterdir())) == 1 and str(list(logs.iterdir())[0]) in r.stderr
          and "[ E40 ]" in list(logs.iterdir())[0].read_text(), "NITRO_CLI_LOGS_PATH gets a file for an error", r)
    s.run("nitro-cli console --enclave-name nobody", quiet=True, NITRO_CLI_LOGS_PATH=str(logs))
    r = s.run("nitro-cli console --enclave-name nobody", quiet=True, NITRO_CLI_LOGS_PATH=str(logs / "absent"))
    check("[ E40 ]" in r.stderr and f"NITRO_CLI_LOGS_PATH is {logs}/absent: cannot write" in r.stderr and "support ticket" not in r.stderr,
          "one that cannot be written is told", r)
    check(len(list(logs.iterdir())) == 2 and all(re.fullmatch(r"err\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z\.log", f.name)
                                                  for f in logs.iterdir()), "and another one for the next", *logs.iterdir())
    (s.folder / "made.eif").chmod(0o664)
    again = s.run("nitro-cli sign-eif --eif-path made.eif --signing-certificate cert.pem --private-key key.pem", quiet=True)
    check((s.folder / "made.eif").stat().st_mode & 0o7777 == 0o664, "signing in place keeps the permissions")
    check(again.returncode == 0 and json.loads(again.stdout)["Measurements"]["PCR8"] == pcr8(s), "a signed image can be signed again", again)


def unnamed(s):
    """ImageName and ImageVersion as nitro-cli has them by default: the reference up to its colon, and docker's id."""
    layers = [oci.layer(oci.member("app", b"\x7fELF not really", mode=0o755))]
    config = oci.make_config(layers, Cmd=["/app"])
    layout = oci.Layout(s.folder / "layout")
    layout.add_image(layers, config, tag="sample:1")
    layout.save()
    for source in ("docker-archive:app.tar", "oci:layout"):
        made = s.run(f"nitro-cli build-enclave --docker-uri {source} --output-file unnamed.eif", quiet=True, NITRO_CLI_BLOBS=str(s.folder / "kernel"))
        e = json.loads(s.run("nitro-cli describe-eif --eif-path unnamed.eif", quiet=True).stdout)
        check(made.returncode == 0 and (e["ImageName"], e["ImageVersion"]) == ("sample", oci.digest(json.dumps(config).encode())[7:]),
              f"the default name and version of {source}", made, e)


def nitro_images(s):
    build = "nitro-cli build-enclave --docker-uri docker-archive:app.tar --output-file made.eif --name n --version 2"
    made = s.run(build, quiet=True, NITRO_CLI_BLOBS=str(s.folder / "kernel"))
    found = s.run("nitro-cli describe-eif --eif-path made.eif", quiet=True)
    check(made.returncode == 0 and found.returncode == 0 and made.stderr.splitlines()[0] == "Start building the Enclave Image..."
          and made.stderr.splitlines()[-1] == "Enclave Image successfully created.", "build-enclave with NITRO_CLI_BLOBS", made, found)
    m, e = json.loads(made.stdout), json.loads(found.stdout)
    sections = eif.sections((s.folder / "made.eif").read_bytes())
    check(m["Measurements"] == e["Measurements"] and e["ImageName"] == "n" and e["ImageVersion"] == "2" and e["CheckCRC"] is True
          and e["IsSigned"] is False and sections[0] == (eif.KERNEL, b"KERNEL") and sections[1] == (eif.CMDLINE, b"console=ttyS0"),
          "its kernel and command line are the blobs'", e)
    unnamed(s)
    signed = s.run("nitro-cli sign-eif --eif-path made.eif --signing-certificate cert.pem --private-key key.pem", quiet=True)
    of_pcr = s.run("nitro-cli pcr --signing-certificate cert.pem", quiet=True)
    check(signed.returncode == 0 and signed.stderr == "Enclave Image successfully signed.\n"
          and json.loads(signed.stdout)["Measurements"] == {**m["Measurements"], "PCR8": pcr8(s)}
          and json.loads(of_pcr.stdout) == {"PCR8": pcr8(s)}, "sign-eif and pcr agree with openssl on PCR8", signed, of_pcr)
    both = s.run(build + " --signing-certificate cert.pem --private-key key.pem", quiet=True, NITRO_CLI_BLOBS=str(s.folder / "kernel"))
    check(both.returncode == 0 and json.loads(both.stdout) == json.loads(signed.stdout), "build-enclave signs as sign-eif does", both)


def first_number(text):
    """sscanf(text, "%*[^:]:%u"): what follows the first colon."""
    m = re.match(r"[^:]+:\s*(\d+)", text)
    return int(m[1]) if m else None


def secgear(d):
    """A caller as the secGear framework is one: popen() of these exact lines, and a scan of standard output."""
    s = Session(d, "qt")
    files(s)

    def call(line):
        p = subprocess.Popen(line, shell=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=s.folder, env=s.env)
        return p.communicate(timeout=PATIENCE)[0]

    def member(text, name):
        for line in text.splitlines():
            if len(line) < 512 and name in line:
                at = line.index(name)
                return first_number(line[at:])
        return None

    out = call("qt enclave start --eif app.eif --debug-mode --cpus 2 --mem 256 --cid 5")
    check("error" not in out and member(out, "EnclaveID") == 0 and member(out, "EnclaveCID") == 5, "start is understood", out)
    out = call("qt enclave start --eif app.eif --cpus 2 --mem 256 --cid 5")
    check("error" in out and "The cid has already been used." in out, "a taken CID is an error in what popen() reads, so that it tries the next", out)
    out = call("qt enclave start --eif app.eif --cpus 2 --mem 256 --cid 6")
    check(member(out, "EnclaveID") == 1, "and gets it", out)
    out = call("qt enclave query")
    entries = [e for e in out.split("}") if "EnclaveID" in e]
    check([(member(e, "EnclaveID"), member(e, "EnclaveCID")) for e in entries] == [(0, 5), (1, 6)] and len(out) < 5 << 10,
          "query falls into its entries", out)
    check(re.search(r'"Status":.*"Running"', out), "and tells that they run", out)
    for number in (0, 1):
        out = call(f"qt enclave stop --enclave-id {number}")
        check("success" in out, f"stop {number} says success", out)
    check("success" not in call("qt enclave stop --enclave-id 0"), "and does not when there is nothing to stop")
    check(call("qt enclave query").strip() == "[]", "none is left")


def stubborn_daemon(path, calls):
    """Answers as a daemon with three enclaves would, of which the second does not end."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)
    while True:
        connection, _ = listener.accept()
        data = b""
        while part := connection.recv(65536):
            data += part
            while b"\0" in data:
                message, _, data = data.partition(b"\0")
                call = json.loads(message)
                name, method = call.get("parameters", {}).get("Name"), call["method"].rpartition(".")[2]
                calls.append((method, name))
                answer = {"parameters": {"Enclaves": [{"EnclaveName": n, "Uid": os.getuid(), "CreatedUSec": i + 1} for i, n in enumerate("abc")]}}
                if method == "Terminate" and name == "b":
                    answer = {"error": "io.qtenclave.Manager.Timeout", "parameters": {"Message": "it does not end"}}
                connection.sendall(json.dumps(answer).encode() + b"\0")
        connection.close()


def terminate_all(d):
    """One that does not end keeps none of the others alive, and is told."""
    s, calls = Session(d, "nitro-cli"), []
    threading.Thread(target=stubborn_daemon, args=(s.folder / "sock", calls), daemon=True).start()
    wait_for((s.folder / "sock").exists, "the socket")
    r = s.run("nitro-cli terminate-enclave --all", quiet=True, QT_ENCLAVE_SOCKET=str(s.folder / "sock"))
    check([n for m, n in calls if m == "Terminate"] == ["a", "b", "c"] and r.returncode != 0 and "it does not end" in r.stderr
          and r.stderr.count("Successfully terminated enclave") == 2
          and [(e["EnclaveName"], e["Terminated"]) for e in json.loads(r.stdout)] == [("a", True), ("c", True)],
          "nitro-cli terminate-enclave --all goes on after one that fails", r, calls)


for scenario in (qt, nitro, secgear, terminate_all):
    with Daemon(monitor=STANDIN, config=CONFIG) as daemon:
        scenario(daemon)
done()
