# SPDX-License-Identifier: Apache-2.0
"""The pool: an invented machine with nodes and cores, then this machine's real 2 MiB huge pages, live."""
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading

from harness import DAEMON, PATIENCE, STANDIN, Daemon, check, done, skip, wait_for
from huge_pages import lock_huge_pages
from invented_machine import invent

PAGES = pathlib.Path("/sys/devices/system/node/node0/hugepages/hugepages-2048kB")


def invented_machine():
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    invent(top, pages=100)
    shutil.chown(top, os.getuid())
    nr = top / "devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"
    conf = "hugepage_size:2\nmemory_mib: 512\ncpu_count:4\n"
    with Daemon(monitor=STANDIN, config=conf, options=["--sysfs", str(top)]) as d:
        pool = d.cli("pool", "show", "-o", "json").json()
        node = {n["Node"]: n for n in pool["Nodes"]}
        check(pool["Mode"] == "dedicated" and pool["PageMiB"] == 2 and pool["MemoryMiB"] == pool["FreeMiB"] == 512,
              "the vendor's keys size the pool", pool)
        check(node[1]["PoolCPUs"] == [6, 7, 14, 15] and node[0]["PoolCPUs"] == [], "whole cores of one node", node)
        check(sum(p["Total"] for n in pool["Nodes"] for p in n["Pages"] if p["SizeMiB"] == 2) == 200 + 256,
              "beside what others have", pool)
        check(node[1]["LargestCPUs"] == 4 and node[1]["LargestMemoryMiB"] == 512, "and says what would fit", node)
        e = d.ok("run", "--eif", d.image(), "--name", "first", "--memory", "256", "-o", "json").json()
        check(e["CPUIDs"] == [6, 14] and e["Node"] == 1 and e["PageMiB"] == 2, "an enclave has its own core and pages", e)
        text = d.ok("pool", "show").out
        check("[6A 14A]" in text and "[7- 15-]" in text and "[0. 8.]" in text and "A  first" in text,
              "the picture shows who has what", text)
        small = ("run", "--eif", d.image(), "--memory", "128", "--cpu-ids")
        d.refused("another enclave's CPUs by number", 7, "NoCpus", *small, "6,14", contains="CPU 6 belongs to another enclave")
        d.refused("half a core by number", 7, "NoCpus", *small, "7,14", contains=["CPU 7", "CPU 15"])
        d.refused("CPUs beside the pool", 7, "NoCpus", *small, "2,10", contains="CPU 2 is not in the pool")
        d.refused("another number of CPUs than are named", 2, "InvalidParameter", *small, "7,15", "--cpus", "4", contains=["4 CPUs", "are 2"])
        d.refused("no CPUs", 2, "InvalidParameter", *small, "seven", contains="seven")
        e = d.ok(*small, "7,15", "--name", "named", "-o", "json").json()
        check(e["CPUIDs"] == [7, 15] and e["NumberOfCPUs"] == 2 and e["Node"] == 1, "CPUs by number", e)
        d.ok("terminate", "named", "--force")
        d.ok("forget", "named")
        d.refused("more memory than is free", 7, "NoMemory", "run", "--eif", d.image(), "--memory", "258",
                  contains=["258 MiB", "256 MiB"])
        d.refused("more cores than are free", 7, "NoCpus", "run", "--eif", d.image(), "--memory", "128", "--cpus", "4",
                  contains=["4 CPUs", "at most 2"])
        d.refused("more than 2 MiB pages allow", 7, "LimitExceeded", "run", "--eif", d.image(), "--memory", "514",
                  contains=["512"])
        d.refused("no multiple of a page", 7, "LimitExceeded", "run", "--eif", d.image(), "--memory", "129",
                  contains=["130"])
        d.refused("CPU 0 for the pool", 7, "NoCpus", "pool", "set", "--cpu-list", "0,8", contains="CPU 0")
        d.refused("half a core", 7, "NoCpus", "pool", "set", "--cpu-list", "6,14,7", contains=["7", "15"])
        d.refused("taking an enclave's CPUs", 7, "NoCpus", "pool", "set", "--cpus", "0", contains="make")
        d.refused("taking an enclave's pages", 7, "NoMemory", "pool", "set", "--memory", "128", contains="256 MiB can go")
        d.refused("a node that is not there", 2, "InvalidParameter", "pool", "set", "--memory", "2", "--node", "7",
                  contains="7")
        pool = d.ok("pool", "set", "--cpu-list", "5-7,13-15", "--memory", "1G", "-o", "json").json()
        check(pool["MemoryMiB"] == 1024 and pool["Nodes"][1]["PoolCPUs"] == [5, 6, 7, 13, 14, 15], "grow, live", pool)
        before = d.cli("pool", "show", "-o", "json").json()
        d.kill()
        (d.top / "conf").write_text("mode:dedicated\nhugepage_size:2\n")
        d.start()
        after = d.cli("pool", "show", "-o", "json").json()
        check(after["MemoryMiB"] == 1024 and after["Shares"] == before["Shares"],
              "after kill -9 the pages are still ours and the share is the enclave's", before, after)
        check(after["Nodes"][1]["PoolCPUs"] == before["Nodes"][1]["PoolCPUs"], "and so are the CPUs", after)
        d.ok("terminate", "first")
        pool = d.ok("pool", "set", "--memory", "0", "-o", "json").json()
        check(pool["MemoryMiB"] == 0 and nr.read_text().strip() == "100", "all of ours given back, others' untouched", pool)
        log = d.log_text()
        told = [line for line in log.splitlines() if "do not leave the parent" in line]
        check("the pool's CPUs (6-7,14-15) do not leave the parent" in log and "CPUs ()" not in log
              and not any(line.endswith(": ") for line in told), "that CPUs stay with the parent is told of CPUs only, and why", log)
    shutil.rmtree(top)


SMALL_PAGES = "devices/system/node/node{}/hugepages/hugepages-2048kB/{}_hugepages"


def pages_of(top, node=1):
    return int((top / SMALL_PAGES.format(node, "nr")).read_text())


def free_pages(top, number, node=1):
    (top / SMALL_PAGES.format(node, "free")).write_text(f"{number}\n")


def give_back(d, top, total):
    """All enclaves end and the pool with them: of the machine's pages only the 100 of others are left."""
    d.ok("terminate", "--all")
    free_pages(top, total)
    d.ok("pool", "set", "--memory", "0")
    check(pages_of(top) == 100, "all of ours go back, others' are left")


def all_in_use():
    """Enclaves have all of our pages, others have 100 free ones, and the next configuration wants a smaller pool."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    invent(top, pages=100, cores=8)
    shutil.chown(top, os.getuid())
    conf = "mode:dedicated\nhugepage_size:2\ncpu_count:8\nmemory_mib:{}\n"
    with Daemon(monitor=STANDIN, config=conf.format(1024), options=["--sysfs", str(top)]) as d:
        check(pages_of(top) == 612, "a pool of 512 pages beside 100")
        for name in ("first", "second"):
            d.ok("run", "--eif", d.image(), "--name", name, "--memory", "512")
        free_pages(top, 100)
        d.kill()
        (d.top / "conf").write_text(conf.format(824))
        d.start()
        pool = d.ok("pool", "show", "-o", "json").json()
        check((pages_of(top), pool["MemoryMiB"], pool["FreeMiB"]) == (612, 1024, 0), "the next daemon takes nothing of others", pool)
        check("200 MiB to be given back" in d.log_text(), "and says why the pool is not smaller", d.log_text())
        d.refused("nor does a live change", 7, "NoMemory", "pool", "set", "--memory", "624", contains="at most 0 MiB can go")
        check(pages_of(top) == 612, "which changes nothing")
        give_back(d, top, 612)
    shutil.rmtree(top)


def lost_record():
    """Without the record nobody can tell our free pages from others'; the living have theirs, and an operator decides."""
    for damage in (lambda p: p.unlink(), lambda p: p.write_text('{"Versi'), lambda p: p.write_text("{}")):
        top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
        invent(top, pages=100, cores=8)
        shutil.chown(top, os.getuid())
        with Daemon(monitor=STANDIN, config="mode:dedicated\nhugepage_size:2\ncpu_count:8\nmemory_mib:1024\n",
                    options=["--sysfs", str(top)]) as d:
            d.ok("run", "--eif", d.image(), "--name", "alive", "--memory", "512")
            free_pages(top, 100 + 256)
            d.kill()
            damage(d.runtime / "pool.json")
            for _ in range(2):
                d.start()
                pool = d.ok("pool", "show", "-o", "json").json()
                check((pages_of(top), pool["MemoryMiB"], pool["FreeMiB"]) == (612, 512, 0), "none is asked for blindly", pool)
                check("record was lost" in d.log_text(), "which the log says", d.log_text())
                (d.top / "log").write_text("")
                d.kill()
            d.start()
            pool = d.ok("pool", "set", "--memory", "1024", "-o", "json").json()
            check((pages_of(top), pool["MemoryMiB"], pool["FreeMiB"]) == (612, 1024, 512), "an operator makes them the pool's again", pool)
            d.restart()
            check(d.ok("pool", "show", "-o", "json").json()["MemoryMiB"] == 1024, "for the next daemon as well")
            give_back(d, top, 612)
        shutil.rmtree(top)


def shared_meanwhile():
    """What an enclave was given at its start stays its own while the pool is another."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    invent(top)
    shutil.chown(top, os.getuid())
    conf = "mode:dedicated\nhugepage_size:2\ncpu_count:4\nmemory_mib:512\n"
    with Daemon(monitor=STANDIN, config=conf, options=["--sysfs", str(top)]) as d:
        d.ok("run", "--eif", d.image(), "--name", "old", "--memory", "128")
        before = d.ok("pool", "show", "-o", "json").json()["Shares"]
        for text in ("mode:shared\n", conf):
            d.stop()
            (d.top / "conf").write_text(text)
            d.start()
        check(d.ok("pool", "show", "-o", "json").json()["Shares"] == before, "its CPUs and its node are known again", before)
        e = d.ok("run", "--eif", d.image(), "--name", "new", "--memory", "128", "-o", "json").json()
        check(not set(e["CPUIDs"]) & set(before[0]["CPUIDs"]), "and are no other enclave's", before, e)
    shutil.rmtree(top)


def former_pages():
    """A pool of another size or mode leaves no page behind; what an enclave uses goes back after its end."""
    for other in ("mode:shared\n", "mode:dedicated\nhugepage_size:1024\n"):
        top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
        invent(top, pages=100)
        shutil.chown(top, os.getuid())
        with Daemon(monitor=STANDIN, config="mode:dedicated\nhugepage_size:2\ncpu_count:4\nmemory_mib:512\n",
                    options=["--sysfs", str(top)]) as d:
            d.ok("run", "--eif", d.image(), "--name", "old", "--memory", "128")
            check(pages_of(top) == 356, "256 pages beside 100")

            def begin(config, free, total, what):
                d.stop()
                (d.top / "conf").write_text(config)
                free_pages(top, free)
                d.start()
                check(pages_of(top) == total, what, pages_of(top), d.log_text())
            begin(other, 100 + 192, 164, f"{other.split()[-1]}: pages that no enclave uses are given back")
            check("enclaves still use 128 MiB" in d.log_text(), "and the log says what stays", d.log_text())
            begin("mode:dedicated\nhugepage_size:2\n", 100, 164, "in the old mode again")
            pool = d.ok("pool", "show", "-o", "json").json()
            check((pool["MemoryMiB"], pool["FreeMiB"], pool["Nodes"][1]["PoolCPUs"]) == (128, 0, [6, 7, 14, 15]), "these are the pool's", pool)
            begin(other, 100, 164, "and not to be given back in the other one")
            d.ok("terminate", "old")
            begin(other, 164, 100, "until their enclave has ended")
            begin(other, 100, 100, "others' pages are left")
        shutil.rmtree(top)


def machine_changes():
    """Somebody else takes pages away and switches CPUs off: the pool is what the machine says."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    invent(top)
    shutil.chown(top, os.getuid())
    with Daemon(monitor=STANDIN, config="mode:dedicated\nhugepage_size:2\ncpu_count:4\nmemory_mib:512\n", options=["--sysfs", str(top)]) as d:
        (top / SMALL_PAGES.format(1, "nr")).write_text("128\n")
        (top / "devices/system/cpu/online").write_text("0-14\n")
        shutil.rmtree(top / "devices/system/cpu/cpu15")
        (top / "devices/system/cpu/cpu7/topology/thread_siblings_list").write_text("7\n")
        pool = d.ok("pool", "show", "-o", "json").json()
        node = pool["Nodes"][1]
        check((pool["MemoryMiB"], pool["FreeMiB"], node["FreeCPUs"]) == (256, 256, [6, 7, 14]), "pool show sees both", pool)
        check("256 MiB in huge pages of the pool are gone" in d.log_text(), "the log too", d.log_text())
        small = ("run", "--eif", d.image(), "--memory", "128", "--cpu-ids")
        d.refused("a CPU that is offline", 7, "NoCpus", *small, "7,15", contains="CPU 15 is offline")
        d.refused("more memory than there is now", 7, "NoMemory", "run", "--eif", d.image(), "--memory", "384", contains="256 MiB")
        e = d.ok("run", "--eif", d.image(), "--name", "on", "--memory", "128", "-o", "json").json()
        check(e["CPUIDs"] == [6, 14], "an enclave gets CPUs that are online", e)
        d.refused("none that are not", 7, "NoCpus", "run", "--eif", d.image(), "--memory", "128", contains="at most 1 free")
        d.ok("terminate", "on")
        d.ok("pool", "set", "--memory", "0")
        check(pages_of(top) == 0, "what was left goes back")
    shutil.rmtree(top)


def killed_while_changing():
    """The child that changes pages outlives its daemon; a lease on the kernel's file holds it up as a busy kernel would."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    invent(top, pages=100)
    shutil.chown(top, os.getuid())
    began = threading.Event()
    signal.signal(signal.SIGIO, lambda *_: began.set())
    with Daemon(monitor=STANDIN, config="mode:dedicated\nhugepage_size:2\ncpu_count:4\n", options=["--sysfs", str(top)]) as d:
        fd = os.open(top / SMALL_PAGES.format(1, "nr"), os.O_RDONLY)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        asking = d.popen("pool", "set", "--memory", "512")
        wait_for(began.is_set, "the child to open the file")
        d.kill()
        asking.communicate()
        starting = threading.Thread(target=d.start)
        starting.start()
        wait_for(lambda: "waiting for the change" in d.log_text(), "the next daemon to wait")
        check(pages_of(top) == 100 and starting.is_alive(), "the next daemon waits for the change that the last one began")
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        os.close(fd)
        starting.join()
        pool = d.ok("pool", "show", "-o", "json").json()
        check((pages_of(top), pool["MemoryMiB"]) == (356, 512), "and then knows whose pages these are", pool)
        d.ok("pool", "set", "--memory", "0")
        check(pages_of(top) == 100, "so that they go back")
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    shutil.rmtree(top)


def reserved_at_boot():
    """Free pages of before the first daemon: of 1 GiB, 2 on node 0 and 3 on node 1."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    invent(top)
    shutil.chown(top, os.getuid())
    for node, pages in ((0, 2), (1, 3)):
        for name in ("nr", "free"):
            (top / f"devices/system/node/node{node}/hugepages/hugepages-1048576kB/{name}_hugepages").write_text(f"{pages}\n")

    def pool_with(line):
        """(MiB of the pool, pages of each node)"""
        conf = "mode:dedicated\nhugepage_size:1024\ncpu_count:4\n" + line
        with Daemon(monitor=STANDIN, config=conf, options=["--sysfs", str(top)]) as d:
            first = d.ok("pool", "show", "-o", "json").json()
            d.restart()
            check(d.ok("pool", "show", "-o", "json").json() == first, "the next daemon counts them once")
            return first["MemoryMiB"], [p["Total"] for n in first["Nodes"] for p in n["Pages"] if p["SizeMiB"] == 1024]

    for line, mib, what in (("", 0, "pages that were reserved at boot are others'"), ("boot_pages:pool\n", 5120, "with boot_pages:pool they are the pool's"),
                            ("boot_pages:pool\nmemory_mib:4096\n", 4096, "up to its memory")):
        got = pool_with(line)
        check(got == (mib, [2, 3]), f"{what}, and none is asked for", got)
    got = pool_with("boot_pages:pool\nmemory_mib:7168\n")
    check(got[0] == 7168 and sum(got[1]) == 7, "what is missing is asked of the kernel", got)
    shutil.rmtree(top)


def numbers_with_holes():
    """Nodes 0, 2 and 70, and each next CPU on the next of them: the numbers that people see are the machine's."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    invent(top, nodes=3, cores=4, threads=1, pages=100, ids=(0, 2, 70), interleaved=True)

    def total(node):
        return int((top / f"devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages").read_text())
    conf = "mode:dedicated\nhugepage_size:2\nmemory_mib:512\ncpu_count:2\n"
    with Daemon(monitor=STANDIN, config=conf, options=["--sysfs", str(top)]) as d:
        pool = {n["Node"]: n for n in d.cli("pool", "show", "-o", "json").json()["Nodes"]}
        check(sorted(pool) == [0, 2, 70] and pool[70]["PoolCPUs"] == [8, 11] and total(70) == 356, "CPUs and pages of one node", pool)
        check("node 70" in d.ok("pool", "show").out, "which is called by its number")
        e = d.ok("run", "--eif", d.image(), "--name", "far", "--memory", "128", "-o", "json").json()
        check((e["CPUIDs"], e["Node"]) == ([8, 11], 70), "and so is an enclave's", e)
        d.kill()
        d.start()
        share = d.cli("pool", "show", "-o", "json").json()["Shares"][0]
        check(d.describe("far")["Node"] == 70 and (share["CPUIDs"], share["Node"]) == ([8, 11], 70), "for the next daemon as well", share)
        d.refused("a number between", 2, "InvalidParameter", "pool", "set", "--memory", "64", "--node", "1", contains="no node 1")
        d.ok("pool", "set", "--memory", "64", "--node", "2")
        check((total(0), total(2), total(70)) == (100, 132, 356), "memory of a node by its number")
        d.ok("pool", "set", "--memory", "640", "--node", "70")
        check((total(0), total(2), total(70)) == (100, 132, 420), "and of one beyond the number of nodes")
        d.ok("terminate", "far")
        d.ok("pool", "set", "--memory", "0")
        check((total(0), total(2), total(70)) == (100, 100, 100), "each has its own back")
    with Daemon(monitor=STANDIN, config=conf.replace("cpu_count:2", "cpu_list:4,7"), options=["--sysfs", str(top)]) as d:
        d.ok("run", "--eif", d.image(), "--name", "near", "--memory", "128")
        before = d.cli("pool", "show", "-o", "json").json()
        d.kill()
        (d.runtime / "state/near.json").unlink()
        d.start()
        after = d.cli("pool", "show", "-o", "json").json()
        check(d.describe("near")["Node"] == 2 and after["Shares"] == before["Shares"] and after["Nodes"] == before["Nodes"],
              "without its record it is where its monitor says, by number", before, after)
        d.ok("terminate", "near")
    shutil.rmtree(top)


def shared_cpus():
    with Daemon(monitor=STANDIN, config="mode:shared\n") as d:
        d.refused("CPUs by number of a shared pool", 6, "WrongState", "run", "--eif", d.image(), "--cpu-ids", "2,3",
                  contains=["mode:shared", "--cpus"])


def real_pages():
    if os.getuid() != 0 or not os.access(PAGES / "nr_hugepages", os.W_OK):
        skip("real huge pages", "needs root and a kernel with 2 MiB pages per node")
        return
    def total():
        return int((PAGES / "nr_hugepages").read_text())
    with lock_huge_pages():
        change_real_pages(total)


def change_real_pages(total):
    before = total()
    with Daemon(monitor=STANDIN, config="mode:dedicated\nhugepage_size:2\n") as d:
        try:
            d.ok("pool", "set", "--memory", "64")
            wait_for(lambda: total() >= before + 32, "32 pages more")
            pool = d.cli("pool", "show", "-o", "json").json()
            check(pool["MemoryMiB"] == 64, "64 MiB of real huge pages", pool)
            d.kill()
            d.start()
            check(d.cli("pool", "show", "-o", "json").json()["MemoryMiB"] == 64, "known to be ours after kill -9")
            d.refused("more than the machine has", 7, "NoMemory", "pool", "set", "--memory", "16T",
                      contains=["the parent keeps 512", "at most"])
            d.ok("pool", "set", "--memory", "32")
        finally:
            d.cli("pool", "set", "--memory", "0")
    wait_for(lambda: total() <= before, "all pages back")
    check(total() == before, "every page was given back")


def shared():
    with Daemon(monitor=STANDIN, config="memory_mib:2048\n") as d:
        d.ok("run", "--eif", d.image(), "--name", "a", "--memory", "1536")
        d.refused("more than is left", 7, "NoMemory", "run", "--eif", d.image(), contains=["2048 MiB", "512 MiB"])
        text = d.ok("pool", "show").out
        check("pool shared" in text and "2048 MiB, 512 MiB free; 1 of 2 enclaves" in text, "a shared pool", text)
        d.refused("a shared pool has no size of its own", 6, "WrongState", "pool", "set", "--memory", "64",
                  contains="mode:dedicated")
        d.refused("nothing to set", 2, "Usage", "pool", "set")


def check_file(path, text, sysfs):
    path.write_text(text)
    return subprocess.run([DAEMON, "--check-config", "--config", str(path), "--runtime-dir", str(path.parent / "none"),
                           "--sysfs", str(sysfs)], capture_output=True, text=True, timeout=PATIENCE)


VENDORS = "# Which hugepage size\nhugepage_size:1024\nmemory_mib: 8192\ncpu_count:2\n# cpu_list:2,3\n"


def check_config():
    """2 is a file that no machine can take; 7 one that this machine cannot, with all that it could."""
    with tempfile.TemporaryDirectory() as t:
        top = pathlib.Path(t)
        sysfs = invent(top / "sys")
        before = {p: p.read_text() for p in sysfs.rglob("*") if p.is_file()}
        for text, status, words in (
                (VENDORS, 0, ["mode:dedicated", "CPUs: 7,15", "memory: 8192 MiB in pages of 1024 MiB: 8192 on node 1"]),
                ("mode:shared\n" + VENDORS, 0, ["# hugepage_size and cpu_count are ignored: mode:shared", "shared: "]),
                ("", 0, ["mode:shared", "# The pool on this machine, shared: "]),
                ("cpu_count:2\ncpu_list:2,3\n", 2, ["line 2", "exclude each other"]),
                ("hugepage_size:512\n", 2, ["line 1", "2 or 1024"]), ("no such line\n", 2, ["line 1"]),
                ("hugepage_size:1024\nmemory_mib:1000\n", 2, ["line 2", "no multiple", "1024"]),
                ("cpu_list:0,8\n", 2, ["line 1", "CPU 0"]),
                ("hugepage_size:2\nmemory_mib:512\ncpu_count:3\n", 7,
                 ["NoCpus", "CPUs: NoCpus: 3 CPUs", "memory: 512 MiB in pages of 2 MiB"]),
                ("memory_mib:1048576\ncpu_list:7,15\n", 7, ["NoMemory", "CPUs: 7,15", "memory: NoMemory: 1048576 MiB more"]),
                ("cpu_list:7\n", 7, ["NoCpus", "CPU 15"])):
            r = check_file(top / "qt-enclave-env.conf", text, sysfs)
            check(r.returncode == status and all(w in r.stdout + r.stderr for w in words), f"--check-config: {words}", r)
            if status != 2:
                again = check_file(top / "printed", r.stdout, sysfs)
                check(again.returncode == status and [line for line in again.stdout.splitlines() if line[:1] != "#"]
                      == [line for line in r.stdout.splitlines() if line[:1] != "#"], "and what it prints is a configuration", again)
        check(before == {p: p.read_text() for p in sysfs.rglob("*") if p.is_file()} and not (top / "none").exists(),
              "--check-config changes nothing")
        tool = top / "qt"
        shutil.copy("/bin/true", tool)
        r = check_file(top / "conf", f"{VENDORS}qingtian_tool:{tool}\nqingtian_env:{top}/qt-enclave-env.conf\n", sysfs)
        check(r.returncode == 0 and "hypervisor:qingtian" in r.stdout and "mode:shared" in r.stdout
              and "# hugepage_size and cpu_count are ignored: hypervisor:qingtian" in r.stdout,
              "where the vendor's tool is, its service has what the vendor's file asks for", r)


def one_refusal():
    """CPUs that cannot be had cost no memory, and the other way round; the log says both."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="qt-sys-"))
    invent(top)
    shutil.chown(top, os.getuid())
    for conf, cpus, memory, words in (
            ("hugepage_size:2\nmemory_mib:512\ncpu_count:3\n", [], 512, ["pool's CPUs are not what", "3 CPUs"]),
            ("hugepage_size:2\nmemory_mib:1048576\ncpu_count:2\n", [7, 15], 0, ["pool's memory is not what", "1048576 MiB"])):
        with Daemon(monitor=STANDIN, config=conf, options=["--sysfs", str(top)]) as d:
            pool = d.cli("pool", "show", "-o", "json").json()
            found = [c for n in pool["Nodes"] for c in n["PoolCPUs"]]
            check((found, pool["MemoryMiB"]) == (cpus, memory) and all(w in d.log_text() for w in words), f"one refusal: {words}",
                  found, pool["MemoryMiB"], d.log_text())
            d.cli("pool", "set", "--memory", "0")
    with Daemon(monitor=STANDIN, config="mode:shared\ncpu_count:2\n") as d:
        check("cpu_count is ignored: mode:shared" in d.log_text(), "a key without effect is said at the start", d.log_text())
    shutil.rmtree(top)


for part in (invented_machine, all_in_use, lost_record, shared_meanwhile, former_pages, machine_changes, killed_while_changing, reserved_at_boot, numbers_with_holes, shared, shared_cpus, check_config, one_refusal, real_pages):
    print("#", part.__name__)
    part()
done()
