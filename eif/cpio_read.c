/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/cpio_read.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define TRAILER "TRAILER!!!"

enum { MAGIC_SIZE = 6, FIELD_SIZE = 8, N_FIELDS = 13, HEADER_SIZE = MAGIC_SIZE + N_FIELDS * FIELD_SIZE };

void cpio_reader_init(struct cpio_reader *r, const struct byte_source *source) {
        *r = (struct cpio_reader){ .source = *source };
}

static int take(struct cpio_reader *r, void *data, size_t n, const char *what, struct error *reterr) {
        for (size_t done = 0; done < n;) {
                ssize_t got = r->source.read(r->source.userdata, (char *)data + done, n - done, reterr);

                if (got < 0)
                        return (int)got;
                if (got == 0)
                        return error_set(reterr, ERROR_SOURCE_INVALID,
                                         "the cpio archive ends at byte %" PRIu64
                                         " within %s: it is truncated",
                                         r->position, what);
                done += (size_t)got;
                r->position += (uint64_t)got;
        }
        return 0;
}

static int skip(struct cpio_reader *r, size_t n, const char *what, struct error *reterr) {
        uint8_t nowhere[16384];

        while (n > 0) {
                size_t piece = n < sizeof(nowhere) ? n : sizeof(nowhere);
                int error = take(r, nowhere, piece, what, reterr);

                if (error < 0)
                        return error;
                n -= piece;
        }
        return 0;
}

/* Eight hexadecimal digits, nothing else. */
static bool parse_field(const char *text, uint32_t *ret) {
        uint32_t value = 0;

        for (size_t i = 0; i < FIELD_SIZE; i++) {
                char c = text[i];
                uint32_t digit;

                if (c >= '0' && c <= '9')
                        digit = (uint32_t)(c - '0');
                else if (c >= 'a' && c <= 'f')
                        digit = (uint32_t)(c - 'a' + 10);
                else if (c >= 'A' && c <= 'F')
                        digit = (uint32_t)(c - 'A' + 10);
                else
                        return false;
                value = value << 4 | digit;
        }
        *ret = value;
        return true;
}

static int parse_header(const char *header, struct cpio_record *ret, uint32_t *ret_name_size) {
        uint32_t check = 0, *const fields[N_FIELDS] = {
                &ret->inode,      &ret->mode,         &ret->uid,
                &ret->gid,        &ret->links,        &ret->mtime,
                &ret->size,       &ret->device_major, &ret->device_minor,
                &ret->rdev_major, &ret->rdev_minor,   ret_name_size,
                &check,
        };

        if (memcmp(header, "070701", MAGIC_SIZE) != 0 && memcmp(header, "070702", MAGIC_SIZE) != 0)
                return -EBADMSG;
        for (size_t i = 0; i < N_FIELDS; i++)
                if (!parse_field(header + MAGIC_SIZE + i * FIELD_SIZE, fields[i]))
                        return -EBADMSG;
        return 0;
}

static uint8_t padding(uint64_t size) {
        return (uint8_t)(-size & 3);
}

static int read_name(struct cpio_reader *r, struct cpio_record *ret, uint32_t size, struct error *reterr) {
        int error;

        if (size == 0 || size > CPIO_READ_NAME_MAX)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "the cpio archive has a name of %" PRIu32 " bytes at byte %" PRIu64
                                 "; a name has 1 to %u",
                                 size, r->position, CPIO_READ_NAME_MAX);
        error = take(r, ret->name, size, "a name", reterr);
        if (error < 0)
                return error;
        if (strnlen(ret->name, size) != size - 1)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "the cpio archive has a name that ends elsewhere than it says before byte "
                                 "%" PRIu64,
                                 r->position);
        return skip(r, padding(HEADER_SIZE + (uint64_t)size), "a name", reterr);
}

int cpio_reader_next(struct cpio_reader *r, struct cpio_record *ret, struct error *reterr) {
        char header[HEADER_SIZE];
        uint32_t name_size;
        uint64_t start;
        int error;

        error = skip(r, r->data_left, "a file", reterr);
        if (error >= 0)
                error = skip(r, r->padding, "the padding of a file", reterr);
        if (error < 0)
                return error;
        r->data_left = r->padding = 0;
        start = r->position;
        error = take(r, header, sizeof(header), "an entry's header", reterr);
        if (error < 0)
                return error;
        if (parse_header(header, ret, &name_size) < 0)
                return error_set(
                        reterr, ERROR_SOURCE_INVALID,
                        "no entry of a cpio archive (070701 or 070702, then hexadecimal digits) at byte "
                        "%" PRIu64,
                        start);
        error = read_name(r, ret, name_size, reterr);
        if (error < 0)
                return error;
        if (strcmp(ret->name, TRAILER) == 0)
                return 0;
        r->data_left = ret->size;
        r->padding = padding(ret->size);
        return 1;
}

ssize_t cpio_reader_data(struct cpio_reader *r, void *data, size_t n, struct error *reterr) {
        int error;

        if (n > r->data_left)
                n = r->data_left;
        if (n == 0)
                return 0;
        error = take(r, data, n, "a file", reterr);
        if (error < 0)
                return error;
        r->data_left -= (uint32_t)n;
        return (ssize_t)n;
}
