/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A directory of this machine as a source of a root file system.
 *
 * Owners and times of files on a developer's disk say nothing about the enclave and differ between machines,
 * so everything belongs to root and carries one time, unless owners are asked to be kept. Kept are types,
 * permissions, hard links, device nodes, file capabilities and user.* attributes. Sockets are left out: they
 * are the traces of running programs. The top itself is always 0755: mkdtemp(3) makes private directories, in
 * which no user of the enclave but root could do anything.
 */

#include "eif/source_tree.h"

#include <stdbool.h>

struct source_directory_options {
        bool keep_owners;
        int64_t mtime;
};

/* Read the names and attributes of everything below path into an empty tree, which keeps the directory open;
 * contents are read when the ramdisk is written, and refused when they have changed by then. */
int source_directory_scan(struct source_tree *t, const char *path,
                          const struct source_directory_options *options, struct error *reterr);
