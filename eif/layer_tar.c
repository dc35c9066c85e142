/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/layer_tar.h"

#include "base/buffer.h"
#include "base/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define XATTR_PREFIX "SCHILY.xattr."
#define EXTENSIONS_MAX 64 /* extension headers in front of one member */

/* Where the fields stand in a header; all numbers are octal text unless the first bit is set. */
enum {
        NAME = 0,
        MODE = 100,
        UID = 108,
        GID = 116,
        SIZE = 124,
        MTIME = 136,
        CHECKSUM = 148,
        TYPE = 156,
        LINK = 157,
        MAGIC = 257,
        MAJOR = 329,
        MINOR = 337,
        PREFIX = 345,
};

struct tar_reader {
        struct byte_source source;
        const char *what;
        struct source_work *work;
        uint64_t position;
        uint64_t left;    /* data of the present member */
        uint64_t padding; /* behind it */
        uint8_t header[TAR_BLOCK];
        char name[PATH_MAX + 1], target[PATH_MAX + 1];

        /* What extension headers said of the coming member. */
        struct {
                bool has_name, has_target, has_size, has_uid, has_gid, has_mtime;
                uint64_t size, uid, gid;
                int64_t mtime;
        } extended;
        struct source_inode *attributes;
};

struct tar_reader *tar_reader_new(const struct byte_source *source, const char *what,
                                  struct source_work *work) {
        struct tar_reader *t = calloc(1, sizeof(*t));

        if (!t)
                return NULL;
        t->source = *source;
        t->what = what;
        t->work = work;
        return t;
}

struct tar_reader *tar_reader_free(struct tar_reader *t) {
        if (!t)
                return NULL;
        if (t->attributes)
                source_inode_unref(t->attributes);
        free(t);
        return NULL;
}

uint64_t tar_reader_position(const struct tar_reader *t) {
        return t->position;
}

static int invalid(const struct tar_reader *t, const char *rule, struct error *reterr) {
        return error_set(reterr, ERROR_SOURCE_INVALID, "%s: no valid tar archive: %s (near byte %" PRIu64 ")",
                         t->what, rule, t->position);
}

/* Exactly n bytes, or fewer at the end of the archive; the count. */
static int64_t read_bytes(struct tar_reader *t, void *data, size_t n, struct error *reterr) {
        size_t done = 0;

        while (done < n) {
                int64_t got = t->source.read(t->source.userdata, (char *)data + done, n - done, reterr);

                if (got < 0)
                        return got;
                if (got == 0)
                        break;
                done += (size_t)got;
        }
        t->position += done;
        return (int64_t)done;
}

static int skip(struct tar_reader *t, uint64_t n, struct error *reterr) {
        uint8_t waste[4096];

        while (n > 0) {
                size_t chunk = n < sizeof(waste) ? (size_t)n : sizeof(waste);
                int64_t got = read_bytes(t, waste, chunk, reterr);

                if (got < 0)
                        return (int)got;
                if ((size_t)got != chunk)
                        return invalid(t, "it ends within a member", reterr);
                n -= chunk;
        }
        return 0;
}

int64_t tar_reader_data(struct tar_reader *t, void *data, size_t n, struct error *reterr) {
        size_t chunk = t->left < n ? (size_t)t->left : n;
        int64_t got = read_bytes(t, data, chunk, reterr);

        if (got < 0)
                return got;
        if ((size_t)got != chunk)
                return invalid(t, "it ends within a member", reterr);
        t->left -= chunk;
        return (int64_t)chunk;
}

/* Octal digits between optional spaces, or GNU's and star's base-256. */
static int read_number(const uint8_t *p, size_t n, uint64_t max, uint64_t *ret) {
        uint64_t value = 0;
        size_t i = 0;

        if (p[0] & 0x80) {
                for (i = 1; i < n; i++) {
                        if (value > UINT64_MAX >> 8)
                                return -ERANGE;
                        value = value << 8 | p[i];
                }
                if (p[0] != 0x80)
                        return -ERANGE; /* negative, or too large for anybody */
        } else {
                while (i < n && p[i] == ' ')
                        i++;
                for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
                        value = value << 3 | (uint64_t)(p[i] - '0'); /* at most 12 digits */
                for (; i < n; i++)
                        if (p[i] != ' ' && p[i] != '\0')
                                return -EINVAL;
        }
        if (value > max)
                return -ERANGE;
        *ret = value;
        return 0;
}

/* Base-256 before 1970 begins with this byte; such a time is taken for 1970. */
static int read_mtime(const uint8_t *p, uint64_t *ret) {
        if (p[0] == 0xff) {
                *ret = 0;
                return 0;
        }
        return read_number(p, 12, INT64_MAX, ret);
}

static bool checksum_is_right(const uint8_t *h) {
        uint64_t claimed, sum = 0, signed_sum = 0;

        if (read_number(h + CHECKSUM, 8, UINT32_MAX, &claimed) < 0)
                return false;
        for (size_t i = 0; i < TAR_BLOCK; i++) {
                bool own = i >= CHECKSUM && i < CHECKSUM + 8;

                sum += own ? ' ' : h[i];
                signed_sum += own ? ' ' : (uint64_t)(int64_t)(int8_t)h[i];
        }
        return claimed == sum || claimed == signed_sum;
}

static bool is_zero(const uint8_t *h) {
        for (size_t i = 0; i < TAR_BLOCK; i++)
                if (h[i])
                        return false;
        return true;
}

/* A header into t->header: 1, or 0 at the end. One block of zeros ends it as two do: some tools write one. */
static int read_header(struct tar_reader *t, struct error *reterr) {
        int64_t got = read_bytes(t, t->header, TAR_BLOCK, reterr);

        if (got < 0)
                return (int)got;
        if (got == 0 && t->position > 0)
                return 0;
        if (got != TAR_BLOCK)
                return invalid(t, "it ends within a header", reterr);
        if (is_zero(t->header))
                return 0;
        if (!checksum_is_right(t->header))
                return invalid(t, "the checksum of a header is wrong", reterr);
        return 1;
}

static int header_size(struct tar_reader *t, uint64_t max, uint64_t *ret, struct error *reterr) {
        if (read_number(t->header + SIZE, 12, max, ret) < 0)
                return invalid(t, "a member is too large or its size is no number", reterr);
        return 0;
}

static int set_text(struct tar_reader *t, char *to, const char *text, size_t n, struct error *reterr) {
        if (n > PATH_MAX || memchr(text, '\0', n))
                return invalid(t, "a name is too long or holds a NUL", reterr);
        memcpy(to, text, n);
        to[n] = '\0';
        return 0;
}

/* "123.456" seconds, maybe negative; the fraction is cut towards the past. */
static int parse_time(const char *text, int64_t *ret) {
        bool negative = *text == '-';
        char whole[24];
        uint64_t value;
        size_t n;

        text += negative;
        n = strcspn(text, ".");
        if (n == 0 || n >= sizeof(whole) || strspn(text + n, ".0123456789") != strlen(text + n))
                return -EINVAL;
        memcpy(whole, text, n);
        whole[n] = '\0';
        if (parse_u64(whole, 0, INT64_MAX, &value) < 0)
                return -EINVAL;
        *ret = negative ? -(int64_t)value - (text[n] != '\0') : (int64_t)value;
        return 0;
}

static int set_xattr(struct tar_reader *t, const char *name, const char *value, size_t n,
                     struct error *reterr) {
        int r;

        /* Marks of an overlay file system belong to the machine that made the layer. */
        if (strncmp(name, "trusted.overlay.", 16) == 0 || strncmp(name, "user.overlay.", 13) == 0)
                return 0;
        if (!*name || strlen(name) > 255)
                return invalid(t, "the name of an extended attribute is empty or too long", reterr);
        t->work->done += 1 + t->attributes->n_xattrs;
        r = source_work_check(t->work, t->what, reterr);
        if (r < 0)
                return r;
        r = source_inode_set_xattr(t->attributes, name, value, n);
        if (r == -E2BIG)
                return invalid(t, "the extended attributes of a member are too many or too large", reterr);
        return r < 0 ? error_set(reterr, ERROR_INTERNAL, "out of memory") : 0;
}

static int take_record(struct tar_reader *t, const char *key, char *value, size_t n, struct error *reterr) {
        int r = 0;

        if (strcmp(key, "path") == 0) {
                t->extended.has_name = n > 0;
                return set_text(t, t->name, value, n, reterr);
        }
        if (strcmp(key, "linkpath") == 0) {
                t->extended.has_target = n > 0;
                return set_text(t, t->target, value, n, reterr);
        }
        if (strncmp(key, "GNU.sparse.", 11) == 0)
                return invalid(t, "sparse files are not supported; write the layer without them", reterr);
        if (strncmp(key, XATTR_PREFIX, sizeof(XATTR_PREFIX) - 1) == 0)
                return set_xattr(t, key + sizeof(XATTR_PREFIX) - 1, value, n, reterr);
        if (strcmp(key, "size") == 0) {
                r = parse_u64(value, 0, INT64_MAX, &t->extended.size);
                t->extended.has_size = true;
        } else if (strcmp(key, "uid") == 0) {
                r = parse_u64(value, 0, UINT32_MAX, &t->extended.uid);
                t->extended.has_uid = true;
        } else if (strcmp(key, "gid") == 0) {
                r = parse_u64(value, 0, UINT32_MAX, &t->extended.gid);
                t->extended.has_gid = true;
        } else if (strcmp(key, "mtime") == 0) {
                r = parse_time(value, &t->extended.mtime);
                t->extended.has_mtime = true;
        }
        return r < 0 ? invalid(t, "a pax record holds a bad number", reterr) : 0;
}

/* Records "LENGTH KEY=VALUE\n", LENGTH counting all of it. */
static int take_pax(struct tar_reader *t, char *data, size_t size, struct error *reterr) {
        for (size_t at = 0; at < size;) {
                uint64_t length = 0;
                size_t i = at;
                char *equals, *end;
                int r;

                while (i < size && data[i] >= '0' && data[i] <= '9' && length < TAR_EXTENSION_MAX)
                        length = 10 * length + (uint64_t)(data[i++] - '0');
                if (i == at || i >= size || data[i] != ' ' || length > size - at || length < i - at + 3)
                        return invalid(t, "a pax record has a bad length", reterr);
                end = data + at + length - 1;
                i++;
                equals = memchr(data + i, '=', (size_t)(end - (data + i)));
                if (*end != '\n' || !equals || memchr(data + i, '\0', (size_t)(equals - (data + i))))
                        return invalid(t, "a pax record is not KEY=VALUE and a newline", reterr);
                *equals = *end = '\0';
                r = take_record(t, data + i, equals + 1, (size_t)(end - equals - 1), reterr);
                if (r < 0)
                        return r;
                at += length;
        }
        return 0;
}

/* A pax header ('x'), one for all members ('g', whose only common content is a comment), or a GNU long name.
 */
static int take_extension(struct tar_reader *t, char type, struct error *reterr) {
        _cleanup_free_ char *data = NULL;
        uint64_t size;
        int64_t got;
        int r;

        r = header_size(t, TAR_EXTENSION_MAX, &size, reterr);
        if (r < 0)
                return r;
        data = malloc(size + 1);
        if (!data)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        got = read_bytes(t, data, size, reterr);
        if (got < 0)
                return (int)got;
        if ((uint64_t)got != size)
                return invalid(t, "it ends within a member", reterr);
        data[size] = '\0';
        r = skip(t, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK, reterr);
        if (r < 0 || type == 'g')
                return r;
        if (type == 'x')
                return take_pax(t, data, size, reterr);
        if (type == 'L')
                t->extended.has_name = true;
        else
                t->extended.has_target = true;
        return set_text(t, type == 'L' ? t->name : t->target, data, strlen(data), reterr);
}

static int take_type(struct tar_reader *t, struct tar_member *m, struct error *reterr) {
        size_t n = strlen(t->name);

        switch (t->header[TYPE]) {
        case '\0':
        case '0':
        case '7':
                /* As before POSIX: a name that ends in a slash is a directory. */
                m->type = n > 0 && t->name[n - 1] == '/' ? TAR_DIRECTORY : TAR_FILE;
                return 0;
        case '1':
                m->type = TAR_HARD_LINK;
                return 0;
        case '2':
                m->type = TAR_SYMLINK;
                return 0;
        case '3':
                m->type = TAR_CHARACTER;
                return 0;
        case '4':
                m->type = TAR_BLOCK_DEVICE;
                return 0;
        case '5':
                m->type = TAR_DIRECTORY;
                return 0;
        case '6':
                m->type = TAR_FIFO;
                return 0;
        default:
                return invalid(t, "a member has a type that layers cannot hold (a sparse file, or a volume)",
                               reterr);
        }
}

static int take_names(struct tar_reader *t, struct error *reterr) {
        const char *h = (const char *)t->header;
        bool is_posix = memcmp(h + MAGIC,
                               "ustar\0"
                               "00",
                               8) == 0;

        if (!t->extended.has_name) {
                size_t prefix = is_posix ? strnlen(h + PREFIX, 155) : 0, n = strnlen(h + NAME, 100);

                memcpy(t->name, h + PREFIX, prefix);
                if (prefix > 0)
                        t->name[prefix++] = '/';
                memcpy(t->name + prefix, h + NAME, n);
                t->name[prefix + n] = '\0';
        }
        if (!t->extended.has_target) {
                size_t n = strnlen(h + LINK, 100);

                memcpy(t->target, h + LINK, n);
                t->target[n] = '\0';
        }
        return *t->name ? 0 : invalid(t, "a member has no name", reterr);
}

static int take_numbers(struct tar_reader *t, struct tar_member *m, struct error *reterr) {
        const uint8_t *h = t->header;
        uint64_t mode, uid, gid, mtime, size, major = 0, minor = 0;

        if (read_number(h + MODE, 8, UINT32_MAX, &mode) < 0 ||
            read_number(h + UID, 8, UINT32_MAX, &uid) < 0 || read_number(h + GID, 8, UINT32_MAX, &gid) < 0 ||
            read_mtime(h + MTIME, &mtime) < 0 || read_number(h + SIZE, 12, INT64_MAX, &size) < 0)
                return invalid(t, "a number of a header is malformed or too large", reterr);
        if (m->type == TAR_CHARACTER || m->type == TAR_BLOCK_DEVICE)
                if (read_number(h + MAJOR, 8, 0xfff, &major) < 0 ||
                    read_number(h + MINOR, 8, 0xfffff, &minor) < 0)
                        return invalid(t, "a device number is malformed or too large", reterr);
        m->mode = (uint32_t)mode & 07777;
        m->uid = (uint32_t)(t->extended.has_uid ? t->extended.uid : uid);
        m->gid = (uint32_t)(t->extended.has_gid ? t->extended.gid : gid);
        m->mtime = t->extended.has_mtime ? t->extended.mtime : (int64_t)mtime;
        m->device_major = (uint32_t)major;
        m->device_minor = (uint32_t)minor;
        t->left = t->extended.has_size ? t->extended.size : size;
        /* Links and directories may claim a size that stands for nothing. pax allows data behind a hard link.
         */
        if (m->type != TAR_FILE && m->type != TAR_HARD_LINK)
                t->left = 0;
        t->padding = (TAR_BLOCK - t->left % TAR_BLOCK) % TAR_BLOCK;
        m->size = m->type == TAR_FILE ? t->left : 0;
        return 0;
}

/* 1, or 0 when the archive ends here: umoci writes layers that stop right behind the last file's data, and
 * container engines take them. */
static int skip_padding(struct tar_reader *t, struct error *reterr) {
        uint8_t waste[TAR_BLOCK];
        int64_t got = read_bytes(t, waste, (size_t)t->padding, reterr);

        return got < 0 ? (int)got : (uint64_t)got == t->padding;
}

int tar_reader_next(struct tar_reader *t, struct tar_member *ret, struct error *reterr) {
        struct tar_member m = { .name = t->name, .target = t->target };
        int r;

        r = skip(t, t->left, reterr);
        if (r >= 0)
                r = skip_padding(t, reterr);
        if (r <= 0)
                return r;
        t->left = t->padding = 0;
        memset(&t->extended, 0, sizeof(t->extended));
        if (t->attributes)
                source_inode_unref(t->attributes);
        t->attributes = source_inode_new(0, 0, 0, 0);
        if (!t->attributes)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        for (unsigned extensions = 0;; extensions++) {
                r = read_header(t, reterr);
                if (r <= 0)
                        return r;
                if (!t->header[TYPE] || !strchr("xgLK", t->header[TYPE]))
                        break;
                if (extensions == EXTENSIONS_MAX)
                        return invalid(t, "too many extension headers in front of one member", reterr);
                r = take_extension(t, (char)t->header[TYPE], reterr);
                if (r < 0)
                        return r;
        }
        r = take_names(t, reterr);
        if (r >= 0)
                r = take_type(t, &m, reterr);
        if (r >= 0)
                r = take_numbers(t, &m, reterr);
        if (r < 0)
                return r;
        m.attributes = t->attributes;
        *ret = m;
        return 1;
}
