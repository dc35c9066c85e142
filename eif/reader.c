/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/reader.h"

#include "base/buffer.h"
#include "base/io.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

struct eif {
        int fd;              /* or -1: */
        const uint8_t *data; /* bytes in memory */
        uint64_t size;       /* of the file */
        bool readable;
        struct eif_header header;
        struct eif_section sections[EIF_SECTIONS_MAX];
        size_t n_sections;            /* located */
        const atomic_bool *cancelled; /* or NULL */
};

struct eif *eif_free(struct eif *e) {
        free(e);
        return NULL;
}

bool eif_is_readable(const struct eif *e) {
        return e->readable;
}

const struct eif_header *eif_header(const struct eif *e) {
        return &e->header;
}

uint64_t eif_file_size(const struct eif *e) {
        return e->size;
}

size_t eif_n_sections(const struct eif *e) {
        return e->n_sections;
}

const struct eif_section *eif_section(const struct eif *e, size_t index) {
        return &e->sections[index];
}

const struct eif_section *eif_find(const struct eif *e, enum eif_section_type type, size_t *ret_index) {
        for (size_t i = 0; i < e->n_sections; i++)
                if (e->sections[i].type == type) {
                        if (ret_index)
                                *ret_index = i;
                        return &e->sections[i];
                }
        return NULL;
}

void eif_set_cancel(struct eif *e, const atomic_bool *cancelled) {
        e->cancelled = cancelled;
}

int eif_read_at(const struct eif *e, uint64_t offset, void *data, size_t n) {
        if (e->cancelled && atomic_load(e->cancelled))
                return -ECANCELED;
        if (offset > e->size || n > e->size - offset)
                return -EIO;
        if (e->fd >= 0)
                return pread_exactly(e->fd, data, n, offset);
        memcpy(data, e->data + offset, n);
        return 0;
}

int eif_read_section(const struct eif *e, size_t index, size_t max, char **ret, size_t *ret_size) {
        const struct eif_section *s = &e->sections[index];
        _cleanup_free_ char *text = NULL;
        int r;

        if (s->size > max)
                return -EFBIG;
        text = malloc((size_t)s->size + 1);
        if (!text)
                return -ENOMEM;
        r = eif_read_at(e, s->offset, text, (size_t)s->size);
        if (r < 0)
                return r;
        text[s->size] = '\0';
        if (ret_size)
                *ret_size = (size_t)s->size;
        *ret = TAKE(text);
        return 0;
}

static int read_only(const struct eif *e, enum eif_section_type type, size_t max, char **ret,
                     size_t *ret_size) {
        size_t index;

        if (!eif_find(e, type, &index))
                return -ENOENT;
        return eif_read_section(e, index, max, ret, ret_size);
}

int eif_read_cmdline(const struct eif *e, char **ret, size_t *ret_size) {
        return read_only(e, EIF_SECTION_CMDLINE, EIF_CMDLINE_MAX, ret, ret_size);
}

int eif_read_metadata(const struct eif *e, char **ret, size_t *ret_size) {
        return read_only(e, EIF_SECTION_METADATA, EIF_METADATA_MAX, ret, ret_size);
}

static void check_header(const struct eif *e, struct eif_findings *f) {
        const struct eif_header *h = &e->header;

        if (h->version < EIF_VERSION_MIN || h->version > EIF_VERSION)
                eif_findings_add(f, EIF_FINDING_BAD_VERSION, "the header says version %u", h->version);
        if (h->flags & ~EIF_FLAGS_KNOWN)
                eif_findings_add(f, EIF_FINDING_UNKNOWN_FLAGS, "the header's flags are 0x%04x", h->flags);
        if (h->reserved != 0 || h->unused != 0)
                eif_findings_add(f, EIF_FINDING_RESERVED_FIELD,
                                 "the header's reserved fields hold 0x%x and 0x%x", h->reserved, h->unused);
        for (size_t i = h->n_sections; i < EIF_SECTIONS_MAX; i++)
                if (h->offsets[i] != 0 || h->sizes[i] != 0) {
                        eif_findings_add(f, EIF_FINDING_UNUSED_SLOT,
                                         "table entry %zu of %u sections holds offset %" PRIu64
                                         " and size %" PRIu64,
                                         i, h->n_sections, h->offsets[i], h->sizes[i]);
                        break;
                }
}

/* Locate section i, which must start at *position, and move *position behind it. Returns 1 when it could be
 * located, 0 when not, or a negative errno. */
static int locate(struct eif *e, size_t i, uint64_t *position, struct eif_findings *f) {
        uint64_t offset = e->header.offsets[i], size = e->header.sizes[i], claimed;
        uint8_t encoded[EIF_SECTION_HEADER_SIZE];
        struct reader r = reader_over(encoded, sizeof(encoded));
        struct eif_section *s = &e->sections[i];
        int error;

        if (offset != *position) {
                eif_findings_add(f, offset < *position ? EIF_FINDING_OVERLAP : EIF_FINDING_GAP,
                                 "section %zu starts at byte %" PRIu64 ", the one before it ends at %" PRIu64,
                                 i, offset, *position);
                return 0;
        }
        if (e->size - offset < EIF_SECTION_HEADER_SIZE) { /* offset is *position, which is within the file */
                eif_findings_add(f, EIF_FINDING_TRUNCATED,
                                 "section %zu starts at byte %" PRIu64 " of a file of %" PRIu64, i, offset,
                                 e->size);
                return 0;
        }
        error = eif_read_at(e, offset, encoded, sizeof(encoded));
        if (error < 0)
                return error;
        s->type = (unsigned)reader_be(&r, 2);
        s->flags = (uint16_t)reader_be(&r, 2);
        claimed = reader_be(&r, 8);
        s->offset = offset + EIF_SECTION_HEADER_SIZE;
        s->size = size;
        if (claimed != size) {
                eif_findings_add(f, EIF_FINDING_SIZE_MISMATCH,
                                 "section %zu (%s) has %" PRIu64 " bytes by the table, %" PRIu64
                                 " by its own header",
                                 i, eif_section_type_name(s->type), size, claimed);
                return 0;
        }
        if (size > e->size - s->offset) {
                eif_findings_add(f, EIF_FINDING_TRUNCATED,
                                 "section %zu (%s) claims %" PRIu64 " bytes, %" PRIu64
                                 " are left in the file",
                                 i, eif_section_type_name(s->type), size, e->size - s->offset);
                return 0;
        }
        *position = s->offset + size;
        return 1;
}

static uint64_t size_limit(unsigned type) {
        switch (type) {
        case EIF_SECTION_CMDLINE:
                return EIF_CMDLINE_MAX;
        case EIF_SECTION_METADATA:
                return EIF_METADATA_MAX;
        case EIF_SECTION_SIGNATURE:
                return EIF_SIGNATURE_MAX;
        default:
                return UINT64_MAX;
        }
}

static void check_section(const struct eif *e, size_t i, const unsigned *seen, struct eif_findings *f) {
        const struct eif_section *s = &e->sections[i];
        const char *name = eif_section_type_name(s->type);

        if (s->type == EIF_SECTION_INVALID || s->type >= EIF_SECTION_TYPE_MAX) {
                eif_findings_add(f, EIF_FINDING_UNKNOWN_TYPE, "section %zu has type %u", i, s->type);
                return;
        }
        if (s->flags != 0)
                eif_findings_add(f, EIF_FINDING_SECTION_FLAGS, "section %zu (%s) has flags 0x%04x", i, name,
                                 s->flags);
        if ((s->type == EIF_SECTION_SIGNATURE && e->header.version < 3) ||
            (s->type == EIF_SECTION_METADATA && e->header.version < 4))
                eif_findings_add(f, EIF_FINDING_SECTION_TOO_NEW, "section %zu is a %s, the image version %u",
                                 i, name, e->header.version);
        if (s->type != EIF_SECTION_RAMDISK && seen[s->type] > 0)
                eif_findings_add(f, EIF_FINDING_DUPLICATE, "section %zu is another %s", i, name);
        if (s->type == EIF_SECTION_RAMDISK && seen[EIF_SECTION_KERNEL] == 0)
                eif_findings_add(f, EIF_FINDING_ORDER, "section %zu is a ramdisk before the kernel", i);
        if (s->type == EIF_SECTION_KERNEL && s->size == 0)
                eif_findings_add(f, EIF_FINDING_EMPTY_SECTION, "section %zu (kernel) is empty", i);
        if (s->size > size_limit(s->type))
                eif_findings_add(f, EIF_FINDING_TOO_LARGE, "section %zu (%s) has %" PRIu64 " bytes", i, name,
                                 s->size);
}

static void check_set(const struct eif *e, struct eif_findings *f) {
        static const struct {
                enum eif_section_type type;
                unsigned since;
        } mandatory[] = {
                { EIF_SECTION_KERNEL, 0 },
                { EIF_SECTION_CMDLINE, 0 },
                { EIF_SECTION_RAMDISK, 0 },
                { EIF_SECTION_METADATA, 4 },
        };
        unsigned seen[EIF_SECTION_TYPE_MAX] = { 0 };

        for (size_t i = 0; i < e->n_sections; i++) {
                check_section(e, i, seen, f);
                if (e->sections[i].type < EIF_SECTION_TYPE_MAX)
                        seen[e->sections[i].type]++;
        }
        for (size_t i = 0; i < ELEMENTSOF(mandatory); i++)
                if (seen[mandatory[i].type] == 0 && e->header.version >= mandatory[i].since)
                        eif_findings_add(f, EIF_FINDING_MISSING, "the image has no %s section",
                                         eif_section_type_name(mandatory[i].type));
}

/* Fill *e from the file; what is wrong goes into the list. Negative only when reading failed. */
static int inspect(struct eif *e, struct eif_findings *f) {
        uint8_t encoded[EIF_HEADER_SIZE];
        uint64_t position = EIF_HEADER_SIZE;
        int r;

        if (e->size < EIF_HEADER_SIZE) {
                eif_findings_add(f, EIF_FINDING_TOO_SHORT, "the file has %" PRIu64 " bytes", e->size);
                return 0;
        }
        r = eif_read_at(e, 0, encoded, sizeof(encoded));
        if (r < 0)
                return r;
        if (!eif_header_decode(encoded, &e->header)) {
                eif_findings_add(f, EIF_FINDING_BAD_MAGIC, "the file starts with %02x %02x %02x %02x",
                                 encoded[0], encoded[1], encoded[2], encoded[3]);
                return 0;
        }
        check_header(e, f);
        if (e->header.n_sections < EIF_SECTIONS_MIN || e->header.n_sections > EIF_SECTIONS_MAX) {
                eif_findings_add(f, EIF_FINDING_SECTION_COUNT, "the header says %u sections",
                                 e->header.n_sections);
                return 0;
        }
        while (e->n_sections < e->header.n_sections) {
                r = locate(e, e->n_sections, &position, f);
                if (r <= 0)
                        return r;
                e->n_sections++;
        }
        if (position < e->size) {
                eif_findings_add(f, EIF_FINDING_TRAILING_BYTES, "%" PRIu64 " bytes follow the last section",
                                 e->size - position);
                return 0;
        }
        e->readable = true;
        check_set(e, f);
        return 0;
}

static int inspect_source(struct eif **ret, struct eif source, struct eif_findings *findings,
                          struct error *reterr) {
        _cleanup_eif_ struct eif *e = NULL;
        int r;

        e = malloc(sizeof(*e));
        if (!e)
                return error_wrap(reterr, -ENOMEM, "image reader");
        *e = source;
        r = inspect(e, findings);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read the image");
        *ret = TAKE(e);
        return 0;
}

int eif_inspect_buffer(struct eif **ret, const void *data, size_t size, struct eif_findings *findings,
                       struct error *reterr) {
        return inspect_source(ret, (struct eif){ .fd = -1, .data = data, .size = size }, findings, reterr);
}

int eif_inspect(struct eif **ret, int fd, struct eif_findings *findings, struct error *reterr) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot examine the image");
        if (!S_ISREG(st.st_mode))
                return error_set(
                        reterr, ERROR_FILE_UNREADABLE,
                        "not a regular file; an image is read at any offset, so it cannot come from a "
                        "pipe, directory or device");
        return inspect_source(ret, (struct eif){ .fd = fd, .size = (uint64_t)st.st_size }, findings, reterr);
}

static int refuse(struct eif **ret, struct eif *e, struct eif_findings *findings, struct error *reterr) {
        _cleanup_eif_ struct eif *owned = e;
        int r;

        r = eif_findings_refuse(findings, reterr);
        if (r < 0)
                return r;
        *ret = TAKE(owned);
        return 0;
}

int eif_open(struct eif **ret, int fd, struct error *reterr) {
        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
        struct eif *e = NULL;
        int r;

        r = eif_inspect(&e, fd, &findings, reterr);
        if (r < 0)
                return r;
        return refuse(ret, e, &findings, reterr);
}

int eif_open_buffer(struct eif **ret, const void *data, size_t size, struct error *reterr) {
        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
        struct eif *e = NULL;
        int r;

        r = eif_inspect_buffer(&e, data, size, &findings, reterr);
        if (r < 0)
                return r;
        return refuse(ret, e, &findings, reterr);
}
