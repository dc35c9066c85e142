# SPDX-License-Identifier: Apache-2.0
"""Forty starts at once on a pool for fewer: each succeeds, or fails with the exact shortage; and nothing is given twice."""
import pathlib
import shutil
import tempfile

from harness import PATIENCE, STANDIN, Daemon, check, done, wait_for
from invented_machine import invent

STARTS = 40
BIG = 4  # of each five one is three times as large


def memory_of(i, size):
    return 3 * size if BIG and i % 5 == BIG else size


def start_all(d, size, cpus=2):
    """(memory asked for, enclave or None, line on standard error) of each."""
    image = d.image("load=30 boot=30", "same.eif")
    started = [(memory_of(i, size), d.popen("run", "--eif", image, "--memory", str(memory_of(i, size)), "--cpus", str(cpus), "-o", "json"))
               for i in range(STARTS)]
    results = [(memory, p.communicate(timeout=PATIENCE), p.returncode) for memory, p in started]
    living = {e["EnclaveName"]: e for e in d.cli("describe", "-o", "json").json()}
    check(len(living) == sum(status == 0 for *_, status in results) and all(e["State"] == "running" for e in living.values()),
          "as many live as were told so", results, living)
    for key in ("EnclaveName", "EnclaveID", "EnclaveCID"):
        check(len({e[key] for e in living.values()}) == len(living), f"each with an own {key}", *living.values())
    cores = [cpu for e in living.values() for cpu in e["CPUIDs"]]
    check(len(set(cores)) == len(cores), "no CPU twice", cores)
    return list(living.values()), [(memory, err) for memory, (_, err), status in results if status == 7], \
        [(err, status) for _, (_, err), status in results if status not in (0, 7)]


def judge(d, what, living, n, refused, wrong, words):
    """So many live, all others were refused with these words (of the memory that each asked for)."""
    check(len(living) in n and not wrong, f"{what}: {' or '.join(map(str, n))} of {STARTS} start", len(living), *wrong)
    bad = [(memory, err) for memory, err in refused if not any(w in err for w in words(memory))]
    check(len(refused) == STARTS - len(living) and not bad, f"{what}: the others are told the exact shortage", *bad)
    d.ok("terminate", "--all", "--force")
    p = wait_for(lambda: (lambda p: p if p["Enclaves"] == 0 else None)(d.cli("pool", "show", "-o", "json").json()), "an empty pool")
    check(p["FreeMiB"] == p["MemoryMiB"] and not p["Shares"], f"{what}: all of it is free again", p)
    d.ok("forget")


def memory():
    """1000 MiB: a start is refused when what is left then is less than it asks for; 128 MiB find room to the end."""
    with Daemon(monitor=STANDIN, config="memory_mib:1000\nenclaves_max:64\n") as d:
        living, refused, wrong = start_all(d, 128)
        used = sum(e["MemoryMiB"] for e in living)
        check(1000 - used < 128, "until less is left than anybody asks for", used)
        left = [1000 - n for n in range(0, 1001, 128)]  # whatever lived when it was refused
        judge(d, "memory", living, (3, 5, 7), refused, wrong,
              lambda m: [f"NoMemory: {m} MiB of memory asked for; the pool has 1000 MiB, {n} MiB of it free" for n in left if n < m])


def cpus():
    """Eight CPUs of one node, six of which an enclave may have, and memory for all."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    conf = "mode:dedicated\nhugepage_size:2\nmemory_mib:8192\ncpu_count:8\nenclaves_max:64\n"
    with Daemon(monitor=STANDIN, config=conf, options=["--sysfs", str(invent(top))]) as d:
        living, refused, wrong = start_all(d, 128)
        judge(d, "CPUs", living, (4,), refused, wrong,
              lambda m: ["NoCpus: 2 CPUs asked for; the pool has at most 0 free in whole cores of one node, and an enclave leaves 2 of "
                         "its node: at most 0 would work"])
        living, refused, wrong = start_all(d, 128, 4)
        judge(d, "CPUs by fours", living, (2,), refused, wrong,
              lambda m: ["NoCpus: 4 CPUs asked for; the pool has at most 0 free", "NoCpus: 4 CPUs asked for; the pool has at most 4 free"])
    shutil.rmtree(top)


def pages():
    """CPUs for eight and huge pages for fewer."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    conf = "mode:dedicated\nhugepage_size:2\nmemory_mib:768\ncpu_count:16\nenclaves_max:64\n"
    with Daemon(monitor=STANDIN, config=conf, options=["--sysfs", str(invent(top, nodes=2, cores=10))]) as d:
        living, refused, wrong = start_all(d, 128)
        judge(d, "huge pages", living, (2, 4, 6), refused, wrong,
              lambda m: [f"NoMemory: {m} MiB asked for; the nodes with 2 free CPUs have at most {768 - n} MiB in free huge pages of 2 MiB"
                         for n in range(0, 769, 128) if 768 - n < m])
    shutil.rmtree(top)


def count():
    with Daemon(monitor=STANDIN, config="memory_mib:16384\nenclaves_max:9\n") as d:
        living, refused, wrong = start_all(d, 128)
        judge(d, "number of enclaves", living, (9,), refused, wrong,
              lambda m: ["LimitExceeded: 9 enclaves are alive and qingtian allows 9 on one parent; terminate one first"])
    with Daemon(monitor=STANDIN, config="memory_mib:16384\nenclaves_max:64\n") as d:
        living, refused, wrong = start_all(d, 128, 8)
        judge(d, "CPUs of all together", living, (7,), refused, wrong,
              lambda m: ["LimitExceeded: 8 CPUs asked for; all enclaves of a parent have at most 62, 56 of them are in use: at most 6 would work"])


for part in (memory, cpus, pages, count):
    print("#", part.__name__)
    part()
done()
