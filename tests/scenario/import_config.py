# SPDX-License-Identifier: Apache-2.0
"""import-config: files of the vendors' tools become files that our own programs accept; mistakes are refused by line."""
import json
import pathlib
import subprocess
import tempfile

from harness import BUILD, CLI, DAEMON, check, done
from invented_machine import invent

PROXY = str(BUILD / "kms-proxy/qt-kms-proxy")
ALLOCATOR = """---
# Enclave configuration file.
#
# How much memory to allocate for enclaves (in MiB).
memory_mib: 512
#
# How many CPUs to reserve for enclaves.
cpu_count: 2
#
# Alternatively, the exact CPUs to be reserved for the enclave can be explicitly
# cpu_pool: 2,3,6-9
"""
VSOCK_PROXY = """allowlist:
- {address: kms.us-east-1.amazonaws.com, port: 443}
- {address: kms-fips.us-east-1.amazonaws.com, port: 443}
- address: "secrets.example.com"
  port: 8443
"""
ENV = """# Which hugepage size to reserve
hugepage_size:2
# How much memory to allocate (in MiB)
memory_mib: 8192    # a blank after the colon
cpu_list:2,3
"""
BAD = (
    # what, text, words of the refusal
    ("an unknown key", "---\nmemory_mib: 512\ncpu_count: 2\ncpus: 2\n", ["line 4", "cpus"]),
    ("a key twice", "---\nmemory_mib: 512\nmemory_mib: 512\ncpu_count: 2\n", ["line 3", "line 2"]),
    ("a number that is none", "---\nmemory_mib: 1G\ncpu_count: 2\n", ["line 2", "1G"]),
    ("no memory", "---\nmemory_mib: 0\ncpu_count: 2\n", ["line 2"]),
    ("no CPUs", "---\nmemory_mib: 512\n", ["number or list"]),
    ("a number and a list", "---\nmemory_mib: 512\ncpu_count: 2\ncpu_pool: 2,3\n", ["line 4", "exclude"]),
    ("CPU 0", "---\nmemory_mib: 512\ncpu_pool: 0-3\n", ["line 3", "parent"]),
    ("a list that is none", "---\nmemory_mib: 512\ncpu_pool: 2;3\n", ["line 3", "2;3"]),
    ("a range upside down", "---\nmemory_mib: 512\ncpu_pool: 9-3\n", ["line 3"]),
    ("a mapping for a value", "---\nmemory_mib: {a: 1}\ncpu_count: 2\n", ["line 2"]),
    ("no YAML", "---\nmemory_mib: [\n", ["no YAML"]),
    ("two documents", ALLOCATOR + "---\nmemory_mib: 1\n", ["more than one document"]),
    ("an empty document", "---\n", ["no keys"]),
    ("sequences in sequences", "---\nmemory_mib: " + "[" * 30000 + "\n", ["no YAML"]),
    ("aliases of aliases", "---\na: &a [x, x]\nb: &b [*a, *a]\nmemory_mib: [*b, *b]\n", ["line 2", "key: value"]),
    ("an allowlist that is none", "allowlist: kms.example.com\n", ["line 1", "list"]),
    ("an empty allowlist", "allowlist: []\n", ["1 to 256"]),
    ("another key beside it", "allowlist:\n- {address: a.example, port: 1}\nworkers: 4\n", ["nothing else"]),
    ("an entry without port", "allowlist:\n- {address: a.example}\n", ["line 2", "missing"]),
    ("an entry with more", "allowlist:\n- {address: a.example, port: 1, user: x}\n", ["line 2", "nothing else"]),
    ("a port beyond 65535", "allowlist:\n- {address: a.example, port: 65536}\n", ["line 2", "65536"]),
    ("only addresses", 'allowlist:\n- {address: 10.0.0.1, port: 443}\n- {address: "::1", port: 443}\n', ["every entry is an address", "TLS"]),
    ("no address either", "allowlist:\n- {address: 10.0.0.256, port: 443}\n", ["line 2", "10.0.0.256"]),
    ("a name with a line in it", 'allowlist:\n- {address: "a.example:1\\nallow = *.com", port: 443}\n', ["line 2"]),
    ("an alias to itself", "allowlist: &a\n- *a\n", ["line 1"]),
    ("an unknown key of the vendor's service", "memory_mib:1024\ncpu_count:2\ncpu_pool:2\n", ["line 3", "cpu_pool"]),
    ("no colon", "memory_mib 1024\n", ["line 1"]),
    ("a page size that there is not", "hugepage_size:16\nmemory_mib:1024\ncpu_count:2\n", ["hugepage_size:16", "2 or 1024"]),
    ("no whole pages", "memory_mib:1000\ncpu_count:2\n", ["memory_mib:1000", "multiple"]),
    ("both", "memory_mib:1024\ncpu_count:2\ncpu_list:2,3\n", ["cpu_count", "exclude"]),
    ("a NUL", "memory_mib:1024\0\n", ["text"]),
)


def convert(*files, **more):
    return subprocess.run([CLI, "import-config", *map(str, files)], capture_output=True, text=True, **more)


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)

    def file(name, text):
        (folder / name).write_text(text)
        return folder / name

    sysfs = invent(folder / "sys")
    allocator, vsock_proxy, env = file("allocator.yaml", ALLOCATOR), file("vsock-proxy.yaml", VSOCK_PROXY), file("e.conf", ENV)
    for source, wanted in ((allocator, {"mode": "dedicated", "hypervisor": "nitro", "platform": "nitro", "memory_mib": "512", "cpu_count": "2", "hugepage_size": "2"}),
                           (env, {"mode": "shared", "hypervisor": "qingtian", "platform": "qingtian", "memory_mib": "8192"})):
        r = convert(source)
        checked = subprocess.run([DAEMON, "--check-config", "--config", file("ours", r.stdout), "--sysfs", sysfs], capture_output=True, text=True)
        found = dict(line.split(":", 1) for line in checked.stdout.splitlines() if ":" in line)
        check(r.returncode == 0 and checked.returncode == 0
              and {k: found[k] for k in wanted} == wanted, f"qt-enclaved accepts what becomes of {source.name}", r, checked)
    r = convert(file("short.yaml", "memory_mib: 2048\ncpu_count: 2\n"))
    check(r.returncode == 0 and "hypervisor:nitro\n" in r.stdout and "cpu_count:2\n" in r.stdout,
          "what is YAML by its name is AWS's, with or without the line that begins it", r)
    r = convert(vsock_proxy, "--port", "8001")
    checked = subprocess.run([PROXY, "--check", "--config", file("ours", r.stdout)], capture_output=True, text=True)
    check(r.returncode == 0 and checked.returncode == 0 and "port = 8001\n" in r.stdout
          and r.stdout.count("allow = ") == 3 and "allow = secrets.example.com:8443\n" in r.stdout,
          "qt-kms-proxy accepts what becomes of vsock-proxy.yaml", r, checked)
    r = convert(file("addresses.yaml", VSOCK_PROXY + '- {address: 10.0.0.1, port: 443}\n- {address: "fd00::1", port: 444}\n'))
    checked = subprocess.run([PROXY, "--check", "--config", file("ours", r.stdout)], capture_output=True, text=True)
    check(r.returncode == 0 and checked.returncode == 0 and r.stdout.count("allow = ") == 3
          and "# not imported: line 6, 10.0.0.1 port 443: " in r.stdout and "# not imported: line 7, fd00::1 port 444: " in r.stdout
          and r.stderr.count("\n") == 2 and "addresses.yaml: not imported: line 6, 10.0.0.1" in r.stderr,
          "entries that are addresses become comments and warnings, and the rest is converted", r, checked)
    r = convert(allocator, vsock_proxy, "-o", "json")
    check(r.returncode == 0 and set(json.loads(r.stdout)) == {"qt-enclaved.conf", "qt-kms-proxy.conf"}, "several files at once", r)
    r = convert(allocator, env)
    check(r.returncode == 2 and "qt-enclaved.conf" in r.stderr and not r.stdout, "but each of ours from one of theirs", r)
    r = convert(folder / "none")
    check(r.returncode == 3 and "none" in r.stderr, "a file that is not there", r)
    for what, text, words in BAD:
        r = convert(file("bad", text))
        check(r.returncode == 2 and r.stderr.startswith("qt-enclave: ConfigInvalid: ") and r.stderr.count("\n") == 1
              and not r.stdout and all(w in r.stderr for w in words), f"refused: {what}", words, r)
done()
