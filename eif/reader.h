/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Read an image that may be hostile. eif_open() looks at header and section headers only (a few hundred
 * bytes) and refuses everything that the platform or another reader would judge differently: after it
 * succeeded, the sections lie in the file in table order, side by side, up to its end. Nothing is allocated
 * by a size that the file claims.
 *
 * Files can change under a reader: whoever boots or signs uses eif/stream.h or eif/load.h, which measure the
 * very bytes they pass on.
 */

#include "base/error.h"
#include "eif/finding.h"
#include "eif/format.h"

#include <stdatomic.h>

struct eif;

struct eif_section {
        unsigned type; /* enum eif_section_type once eif_open() succeeded */
        uint16_t flags;
        uint64_t offset; /* of the data */
        uint64_t size;   /* of the data */
};

/* fd must be a regular or memory file; it is borrowed and must outlive *ret; its position is not used.
 * IMAGE_INVALID with the first broken rule, FILE_UNREADABLE when it cannot be read. */
int eif_open(struct eif **ret, int fd, struct error *reterr);

/* The same over bytes in memory, borrowed. */
int eif_open_buffer(struct eif **ret, const void *data, size_t size, struct error *reterr);

/* The same without refusing: whatever was found wrong stands in the list, and *ret exists even when nothing
 * of the image can be used (eif_is_readable() tells). Fails only when the file cannot be read at all. */
int eif_inspect(struct eif **ret, int fd, struct eif_findings *findings, struct error *reterr);
int eif_inspect_buffer(struct eif **ret, const void *data, size_t size, struct eif_findings *findings,
                       struct error *reterr);

struct eif *eif_free(struct eif *e);
DEFINE_CLEANUP(struct eif *, eif_free)
#define _cleanup_eif_ _cleanup_(eif_freep)

/* The sections can be located. Always true after eif_open(). */
bool eif_is_readable(const struct eif *e);

const struct eif_header *eif_header(const struct eif *e);
uint64_t eif_file_size(const struct eif *e);
size_t eif_n_sections(const struct eif *e);
const struct eif_section *eif_section(const struct eif *e, size_t index);

/* The first section of that type, or NULL; *ret_index is where it was. */
const struct eif_section *eif_find(const struct eif *e, enum eif_section_type type, size_t *ret_index);

/* A whole small section, with a NUL behind it that does not count. -ENOENT when there is none, -EFBIG beyond
 * max, -EIO when the file became shorter, or what pread(2) says. */
int eif_read_section(const struct eif *e, size_t index, size_t max, char **ret, size_t *ret_size);
int eif_read_cmdline(const struct eif *e, char **ret, size_t *ret_size);
int eif_read_metadata(const struct eif *e, char **ret, size_t *ret_size);

/* Once *cancelled is true, set by another thread, nothing can be read any more: -ECANCELED. The flag is
 * borrowed. */
void eif_set_cancel(struct eif *e, const atomic_bool *cancelled);

/* n bytes at an offset of the file. */
int eif_read_at(const struct eif *e, uint64_t offset, void *data, size_t n);
