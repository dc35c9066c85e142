/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Changing how many huge pages nodes have: several steps that all succeed or are all taken back. The kernel
 * may need long for it and may give less than was asked for, so the daemon runs this in a child.
 */

#include "daemon/topology.h"

struct page_change {
        unsigned node; /* index of the topology */
        enum page_size size;
        uint64_t before, after; /* pages of that node in all, other users' among them */
        uint64_t got;           /* what there is now; after a failure: what could have been had */
};

#define PAGES_TRIES 4

/* For each node up to PAGES_TRIES tries, with memory compacted in between. Returns 0, or -ENOMEM when the
 * kernel gave less and everything is as it was before (as far as the kernel lets it), or another errno. */
int pages_apply(int root_fd, const struct topology *t, struct page_change *changes, size_t n,
                void (*compact)(int root_fd));

/* The kernel's: moves what can be moved, so that free memory lies together. Only where the tree is the real
 * one. */
void pages_compact(int root_fd);
