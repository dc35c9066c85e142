/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/ramdisk_cpio.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define BUFFER_SIZE (256U << 10)
#define HEADER_SIZE 110
#define TRAILER_NAME "TRAILER!!!"

struct cpio_writer {
        struct sink sink;
        struct cpio_numbering numbering;
        uint32_t next_inode;
        uint64_t size; /* of the archive, buffered bytes included */
        uint64_t due;  /* data that the present entry still has to get */
        size_t used;
        char buffer[BUFFER_SIZE];
};

struct cpio_writer *cpio_writer_new(const struct sink *sink, const struct cpio_numbering *numbering) {
        struct cpio_writer *w = malloc(sizeof(*w));

        if (!w)
                return NULL;
        w->sink = *sink;
        w->numbering = *numbering;
        w->next_inode = numbering->first_inode;
        w->size = w->due = 0;
        w->used = 0;
        return w;
}

struct cpio_writer *cpio_writer_free(struct cpio_writer *w) {
        free(w);
        return NULL;
}

uint32_t cpio_writer_next_inode(const struct cpio_writer *w) {
        return w->next_inode;
}

uint64_t cpio_writer_size(const struct cpio_writer *w) {
        return w->size;
}

static int flush(struct cpio_writer *w, struct error *reterr) {
        int r = 0;

        if (w->used > 0)
                r = sink_write(&w->sink, w->buffer, w->used, reterr);
        w->used = 0;
        return r;
}

static int put(struct cpio_writer *w, const void *data, size_t n, struct error *reterr) {
        const char *p = data;

        while (n > 0) {
                size_t chunk = n < BUFFER_SIZE - w->used ? n : BUFFER_SIZE - w->used;

                memcpy(w->buffer + w->used, p, chunk);
                w->used += chunk;
                w->size += chunk;
                p += chunk;
                n -= chunk;
                if (w->used == BUFFER_SIZE) {
                        int r = flush(w, reterr);

                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* Zeros up to a multiple of alignment (at most 512). */
static int pad(struct cpio_writer *w, size_t alignment, struct error *reterr) {
        static const char zeros[512];

        return put(w, zeros, (alignment - w->size % alignment) % alignment, reterr);
}

int cpio_writer_entry(struct cpio_writer *w, const struct cpio_entry *entry, struct error *reterr) {
        size_t name_size = strlen(entry->name) + 1;
        uint32_t inode = entry->inode ? entry->inode : w->next_inode;
        char header[HEADER_SIZE + 1];
        int n, r;

        assert(w->due == 0);
        if (name_size > CPIO_NAME_MAX + 1)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "path %.64s…: %zu bytes; a ramdisk can hold names of up to %d bytes",
                                 entry->name, name_size - 1, CPIO_NAME_MAX);
        if (entry->size > CPIO_FILE_SIZE_MAX)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                 "file %s: %" PRIu64 " bytes; a file in a ramdisk must be smaller than 4 GiB",
                                 entry->name, entry->size);
        n = snprintf(header, sizeof(header),
                     "070701%08" PRIx32 "%08" PRIx32 "%08" PRIx32 "%08" PRIx32 "%08" PRIx32 "%08" PRIx32
                     "%08" PRIx32 "%08" PRIx32 "%08" PRIx32 "%08" PRIx32 "%08" PRIx32 "%08" PRIx32 "%08x",
                     inode, entry->mode, entry->uid, entry->gid, entry->links, entry->mtime,
                     (uint32_t)entry->size, w->numbering.device_major, w->numbering.device_minor,
                     entry->device_major, entry->device_minor, (uint32_t)name_size, 0U);
        assert(n == HEADER_SIZE);
        r = put(w, header, HEADER_SIZE, reterr);
        if (r >= 0)
                r = put(w, entry->name, name_size, reterr);
        if (r >= 0)
                r = pad(w, 4, reterr);
        if (r < 0)
                return r;
        if (inode >= w->next_inode)
                w->next_inode = inode + 1;
        w->due = entry->size;
        return 0;
}

static int data_done(struct cpio_writer *w, uint64_t n, struct error *reterr) {
        w->due -= n;
        return w->due == 0 ? pad(w, 4, reterr) : 0;
}

int cpio_writer_data(struct cpio_writer *w, const void *data, size_t n, struct error *reterr) {
        int r;

        assert(n <= w->due);
        r = put(w, data, n, reterr);
        return r < 0 ? r : data_done(w, n, reterr);
}

/* Reads straight into the buffer. */
static int copy_chunk(struct cpio_writer *w, int fd, int64_t offset, uint64_t n, const char *what,
                      struct error *reterr) {
        size_t room = BUFFER_SIZE - w->used;
        ssize_t got;

        do {
                size_t ask = n < room ? (size_t)n : room;

                got = offset < 0 ? read(fd, w->buffer + w->used, ask)
                                 : pread(fd, w->buffer + w->used, ask, offset);
        } while (got < 0 && errno == EINTR);
        if (got < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "%s: cannot be read", what);
        if (got == 0)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "%s: became shorter while it was read; leave it alone during the build",
                                 what);
        w->used += (size_t)got;
        w->size += (uint64_t)got;
        if (w->used == BUFFER_SIZE) {
                int r = flush(w, reterr);

                if (r < 0)
                        return r;
        }
        return (int)got;
}

int cpio_writer_copy(struct cpio_writer *w, int fd, int64_t offset, uint64_t n, const char *what,
                     struct error *reterr) {
        uint64_t left = n;

        assert(n <= w->due);
        while (left > 0) {
                int got = copy_chunk(w, fd, offset, left, what, reterr);

                if (got < 0)
                        return got;
                left -= (uint64_t)got;
                if (offset >= 0)
                        offset += got;
        }
        return data_done(w, n, reterr);
}

int cpio_writer_file(struct cpio_writer *w, const struct cpio_entry *entry, const void *data, size_t n,
                     struct error *reterr) {
        int r = cpio_writer_entry(w, entry, reterr);

        assert(entry->size == n);
        return r < 0 ? r : cpio_writer_data(w, data, n, reterr);
}

int cpio_writer_finish(struct cpio_writer *w, struct error *reterr) {
        int r = cpio_writer_entry(w, &(struct cpio_entry){ .name = TRAILER_NAME, .links = 1 }, reterr);

        if (r >= 0)
                r = pad(w, 512, reterr);
        return r < 0 ? r : flush(w, reterr);
}
