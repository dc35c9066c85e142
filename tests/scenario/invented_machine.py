# SPDX-License-Identifier: Apache-2.0
"""A tree like /sys of a machine that is not there."""


def invent(top, nodes=2, cores=4, threads=2, pages=0, ids=None, interleaved=False):
    """A tree like /sys: threads of a core are nodes * cores apart. Nodes may have any numbers, and CPUs take turns."""
    def put(path, text):
        path = top / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    n, ids = nodes * cores, ids or range(nodes)
    put("devices/system/cpu/present", f"0-{n * threads - 1}")
    put("devices/system/cpu/online", f"0-{n * threads - 1}")
    put("devices/system/node/online", ",".join(map(str, ids)))
    for cpu in range(n * threads):
        put(f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list",
            ",".join(str(cpu % n + t * n) for t in range(threads)))
    for index, node in enumerate(ids):
        here = [str((c * nodes + index if interleaved else index * cores + c) + t * n) for t in range(threads) for c in range(cores)]
        put(f"devices/system/node/node{node}/cpulist", ",".join(here))
        put(f"devices/system/node/node{node}/meminfo", f"Node {node} MemTotal: 16777216 kB")
        put(f"devices/system/node/node{node}/distance", " ".join(str(10 if i == index else 20 + abs(i - index)) for i in range(nodes)))
        for size in (2048, 1048576):
            put(f"devices/system/node/node{node}/hugepages/hugepages-{size}kB/nr_hugepages", pages if size == 2048 else 0)
            # Files do not react, so all that may ever be given back is free from the beginning.
            put(f"devices/system/node/node{node}/hugepages/hugepages-{size}kB/free_hugepages", 1 << 20)
    return top
