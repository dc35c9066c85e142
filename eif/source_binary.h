/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Copy a program of this machine into a tree, with its interpreter and the closure of its shared libraries,
 * each under the path it has here. Libraries are found as ld.so(8) would: DT_RUNPATH, the cache, the standard
 * directories; nothing is executed. Libraries that a program opens by itself (dlopen(3), name services) are
 * not seen. A library that the tree has already under that path with other bytes is refused.
 */

#include "eif/format.h"
#include "eif/source_tree.h"

int source_binary_add(struct source_tree *t, const char *path, enum eif_arch arch, int64_t mtime,
                      struct error *reterr);
