/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/diff.h"

#include "base/parse.h"
#include "eif/ramdisk_list.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

struct diff {
        const struct eif *a, *b;
        const struct eif_difference_sink *sink;
        const char *section; /* being compared */
        const char *file;    /* in it, or NULL */
        uint64_t n;
        bool ended; /* the sink has seen enough */
};

static void report(struct diff *d, const char *attribute, const char *a, const char *b) {
        const struct eif_difference difference = {
                .section = d->section, .file = d->file, .attribute = attribute, .a = a, .b = b
        };

        if (d->ended)
                return;
        d->n++;
        d->ended = d->sink->take(d->sink->userdata, &difference) != 0;
}

static void report_number(struct diff *d, const char *attribute, bool octal, uint64_t a, uint64_t b) {
        char text_a[32], text_b[32];

        if (a == b)
                return;
        (void)snprintf(text_a, sizeof(text_a), octal ? "0%" PRIo64 : "%" PRIu64, a);
        (void)snprintf(text_b, sizeof(text_b), octal ? "0%" PRIo64 : "%" PRIu64, b);
        report(d, attribute, text_a, text_b);
}

static void compare_headers(struct diff *d) {
        const struct eif_header *a = eif_header(d->a), *b = eif_header(d->b);

        d->section = "header";
        report_number(d, "version", false, a->version, b->version);
        report_number(d, "flags", false, a->flags, b->flags);
        report_number(d, "default_mem", false, a->default_memory, b->default_memory);
        report_number(d, "default_cpus", false, a->default_cpus, b->default_cpus);
        report_number(d, "reserved", false, a->reserved, b->reserved);
        report_number(d, "unused", false, a->unused, b->unused);
        report_number(d, "num_sections", false, a->n_sections, b->n_sections);
}

/* The first byte in which two sections differ, or *ret_same. */
static int compare_bytes(const struct diff *d, size_t index_a, size_t index_b, uint64_t *ret_at,
                         bool *ret_same, struct error *reterr) {
        enum { PIECE = 128 << 10 };
        const struct eif_section *a = eif_section(d->a, index_a), *b = eif_section(d->b, index_b);
        uint64_t common = a->size < b->size ? a->size : b->size;
        _cleanup_free_ uint8_t *memory = malloc(2 * (size_t)PIECE);

        if (!memory)
                return error_wrap(reterr, -ENOMEM, "comparison");
        for (uint64_t at = 0; at < common; at += PIECE) {
                size_t n = common - at < PIECE ? (size_t)(common - at) : PIECE, i = 0;

                if (eif_read_at(d->a, a->offset + at, memory, n) < 0 ||
                    eif_read_at(d->b, b->offset + at, memory + PIECE, n) < 0)
                        return error_set(reterr, ERROR_FILE_UNREADABLE, "cannot read section %zu or %zu",
                                         index_a, index_b);
                if (memcmp(memory, memory + PIECE, n) == 0)
                        continue;
                while (memory[i] == memory[PIECE + i])
                        i++;
                *ret_at = at + i;
                *ret_same = false;
                return 0;
        }
        *ret_at = common;
        *ret_same = a->size == b->size;
        return 0;
}

static void report_bytes(struct diff *d, const char *attribute, uint64_t at, uint64_t size_a,
                         uint64_t size_b) {
        char text_a[96], text_b[96];

        (void)snprintf(text_a, sizeof(text_a), "%" PRIu64 " bytes, differs from byte %" PRIu64 " on", size_a,
                       at);
        (void)snprintf(text_b, sizeof(text_b), "%" PRIu64 " bytes", size_b);
        report(d, attribute, text_a, text_b);
}

static void compare_json(struct diff *d, const char *path, const json_t *a, const json_t *b) {
        _cleanup_free_ char *text_a = NULL, *text_b = NULL;
        const char *key;
        json_t *value;

        if (json_equal(a, b))
                return;
        if (!json_is_object(a) || !json_is_object(b)) {
                text_a = a ? json_dumps(a, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
                text_b = b ? json_dumps(b, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
                report(d, path, text_a ?: "absent", text_b ?: "absent");
                return;
        }
        for (int side = 0; side < 2; side++)
                json_object_foreach((json_t *)(side == 0 ? a : b), key, value) {
                        _cleanup_free_ char *below = NULL;

                        if (side == 1 && json_object_get(a, key))
                                continue;
                        if (asprintf(&below, "%s%s%s", path, *path ? "." : "", key) < 0)
                                return;
                        compare_json(d, below, json_object_get(a, key), json_object_get(b, key));
                }
}

/* By member, where both are JSON. Says whether it found anything. */
static bool compare_metadata(struct diff *d) {
        _cleanup_free_ char *text_a = NULL, *text_b = NULL;
        json_auto_t *a = NULL, *b = NULL;
        size_t size_a, size_b;
        uint64_t before = d->n;

        if (eif_read_metadata(d->a, &text_a, &size_a) < 0 || eif_read_metadata(d->b, &text_b, &size_b) < 0)
                return false;
        a = json_loadb(text_a, size_a, 0, NULL);
        b = json_loadb(text_b, size_b, 0, NULL);
        if (!a || !b)
                return false;
        compare_json(d, "", a, b);
        return d->n > before;
}

static bool compare_cmdlines(struct diff *d) {
        _cleanup_free_ char *a = NULL, *b = NULL;

        if (eif_read_cmdline(d->a, &a, NULL) < 0 || eif_read_cmdline(d->b, &b, NULL) < 0)
                return false;
        report(d, "text", a, b);
        return true;
}

static void compare_files(struct diff *d, const struct ramdisk_file *a, const struct ramdisk_file *b) {
        const struct {
                const char *name;
                bool octal;
                uint32_t a, b;
        } rows[] = {
                { "mode", true, a->mode, b->mode },
                { "uid", false, a->uid, b->uid },
                { "gid", false, a->gid, b->gid },
                { "mtime", false, a->mtime, b->mtime },
                { "links", false, a->links, b->links },
                { "size", false, a->size, b->size },
                { "rdev_major", false, a->rdev_major, b->rdev_major },
                { "rdev_minor", false, a->rdev_minor, b->rdev_minor },
        };
        char hash_a[2 * sizeof(a->hash) + 1], hash_b[2 * sizeof(b->hash) + 1];

        d->file = a->name;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                report_number(d, rows[i].name, rows[i].octal, rows[i].a, rows[i].b);
        if (memcmp(a->hash, b->hash, sizeof(a->hash)) != 0) {
                format_hex(a->hash, sizeof(a->hash), hash_a);
                format_hex(b->hash, sizeof(b->hash), hash_b);
                report(d, "sha256", hash_a, hash_b);
        }
        d->file = NULL;
}

static void report_lone_file(struct diff *d, const struct ramdisk_file *file, bool is_in_a) {
        d->file = file->name;
        report(d, "presence", is_in_a ? "present" : "absent", is_in_a ? "absent" : "present");
        d->file = NULL;
}

static void compare_lists(struct diff *d, const struct ramdisk_list *a, const struct ramdisk_list *b) {
        size_t i = 0, j = 0;

        while (!d->ended && (i < a->n || j < b->n)) {
                int order = i == a->n ? 1 : j == b->n ? -1 : strcmp(a->files[i].name, b->files[j].name);

                if (order < 0)
                        report_lone_file(d, &a->files[i++], true);
                else if (order > 0)
                        report_lone_file(d, &b->files[j++], false);
                else
                        compare_files(d, &a->files[i++], &b->files[j++]);
        }
}

/* What is no archive can only be compared by bytes; that is no failure. Says whether it found anything. */
static bool compare_ramdisks(struct diff *d, size_t index_a, size_t index_b) {
        _cleanup_ramdisk_list_ struct ramdisk_list a = RAMDISK_LIST_NULL, b = RAMDISK_LIST_NULL;
        uint64_t before = d->n;

        if (ramdisk_list_read(&a, d->a, index_a, NULL) < 0 || ramdisk_list_read(&b, d->b, index_b, NULL) < 0)
                return false;
        compare_lists(d, &a, &b);
        return d->n > before;
}

static int compare_sections(struct diff *d, size_t index_a, size_t index_b, struct error *reterr) {
        const struct eif_section *a = eif_section(d->a, index_a), *b = eif_section(d->b, index_b);
        const char *attribute = "contents";
        bool same = false, explained = false;
        uint64_t at = 0;
        int r;

        report_number(d, "flags", false, a->flags, b->flags);
        r = compare_bytes(d, index_a, index_b, &at, &same, reterr);
        if (r < 0 || same)
                return r;
        if (a->type == EIF_SECTION_RAMDISK) {
                explained = compare_ramdisks(d, index_a, index_b);
                attribute = "layout"; /* the same files in another order, with other padding or compression */
        } else if (a->type == EIF_SECTION_METADATA) {
                explained = compare_metadata(d);
        } else if (a->type == EIF_SECTION_CMDLINE) {
                explained = compare_cmdlines(d);
        }
        if (!explained)
                report_bytes(d, attribute, at, a->size, b->size);
        return 0;
}

/* The index of the nth section of that type; false when there are not so many. */
static bool find_nth(const struct eif *e, enum eif_section_type type, size_t n, size_t *ret) {
        for (size_t i = 0; i < eif_n_sections(e); i++)
                if (eif_section(e, i)->type == type && n-- == 0) {
                        *ret = i;
                        return true;
                }
        return false;
}

static int compare_type(struct diff *d, enum eif_section_type type, struct error *reterr) {
        for (size_t n = 0; !d->ended; n++) {
                size_t index_a = 0, index_b = 0;
                bool in_a = find_nth(d->a, type, n, &index_a), in_b = find_nth(d->b, type, n, &index_b);
                char name[32];
                int r = 0;

                if (!in_a && !in_b)
                        break;
                if (type == EIF_SECTION_RAMDISK)
                        (void)snprintf(name, sizeof(name), "ramdisk %zu", n);
                else
                        (void)snprintf(name, sizeof(name), "%s", eif_section_type_name(type));
                d->section = name;
                if (in_a && in_b)
                        r = compare_sections(d, index_a, index_b, reterr);
                else
                        report(d, "presence", in_a ? "present" : "absent", in_b ? "present" : "absent");
                d->section = NULL;
                if (r < 0)
                        return r;
        }
        return 0;
}

int eif_diff(const struct eif *a, const struct eif *b, const struct eif_difference_sink *sink,
             uint64_t *ret_n, struct error *reterr) {
        static const enum eif_section_type types[] = {
                EIF_SECTION_KERNEL,  EIF_SECTION_CMDLINE,   EIF_SECTION_METADATA,
                EIF_SECTION_RAMDISK, EIF_SECTION_SIGNATURE,
        };
        struct diff d = { .a = a, .b = b, .sink = sink };
        int r;

        compare_headers(&d);
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                r = compare_type(&d, types[i], reterr);
                if (r < 0)
                        return r;
        }
        *ret_n = d.n;
        return 0;
}
