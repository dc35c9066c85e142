/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The files that make up a container image: in a directory (OCI layout) or in a tar archive (docker-archive,
 * oci-archive), which may be packed with gzip or zstd. Names are paths inside; links in the archive are
 * followed within it, links in the directory not at all.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define BLOB_MEMBERS_MAX 100000U /* of an archive */

struct blob_store;

/* what: the path, or what messages call it in its place. */
int blob_store_open_directory(struct blob_store **ret, const char *path, const char *what,
                              struct error *reterr);
/* max_size: bytes that a packed archive may unpack to. */
int blob_store_open_archive(struct blob_store **ret, const char *path, uint64_t max_size,
                            struct error *reterr);
struct blob_store *blob_store_free(struct blob_store *s);
DEFINE_CLEANUP(struct blob_store *, blob_store_free)

/* size bytes of fd from offset on. */
struct blob {
        int fd;
        uint64_t offset, size;
        bool owned;
};
#define BLOB_NULL ((struct blob){ .fd = -1 })

bool blob_store_has(const struct blob_store *s, const char *name);
int blob_store_open(const struct blob_store *s, const char *name, struct blob *ret, struct error *reterr);
void blob_done(struct blob *b);

/* A whole small file as a NUL-terminated string for the caller to free; IMAGE_TOO_LARGE beyond max. */
int blob_store_read(const struct blob_store *s, const char *name, size_t max, char **ret, size_t *ret_size,
                    struct error *reterr);
