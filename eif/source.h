/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where a root file system comes from, as "scheme:place":
 *
 *   dir:PATH                     a directory of this machine
 *   oci:DIR[:TAG]                an OCI image layout
 *   oci-archive:FILE[:TAG]       the same in a tar archive
 *   docker-archive:FILE[:TAG]    what docker save, podman save and skopeo copy write
 *   docker://REFERENCE           a registry, through skopeo
 *   scratch                      nothing
 *
 * None but the last needs a network, and none needs privilege or a daemon.
 */

#include "eif/format.h"
#include "eif/source_application.h"

#include <stdbool.h>

#define SOURCE_SIZE_DEFAULT ((uint64_t)8 << 30)

struct source_options {
        enum eif_arch arch;
        bool keep_owners;  /* dir: only */
        int64_t mtime;     /* of what has no time of its own, and the latest that any file may have */
        bool clamp_mtime;  /* ...when this is set (SOURCE_DATE_EPOCH) */
        uint64_t max_size; /* bytes of the unpacked layers */
};

/* What was found: the tree, and what the image says to run (nothing for dir:). */
struct source {
        struct source_tree *tree;
        struct application application;
        char *digest; /* "sha256:…" of the image's manifest or configuration; NULL for dir: */
        char *id; /* the image's, as docker images shows it: "sha256:…" of its configuration; NULL for dir: */
        char *name; /* the reference without its tag, when the image tells */
};

#define SOURCE_NULL ((struct source){ .tree = NULL })

int source_read(const char *spec, const struct source_options *options, struct source *ret,
                struct error *reterr);
void source_done(struct source *s);
#define _cleanup_source_ _cleanup_(source_done)
