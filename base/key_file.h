/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Files of lines "key:value" (a blank after the colon is fine), "#" starts a comment: the vendor's syntax. A
 * table of keys says where in a structure each value goes and what it may be. The parser takes a buffer and
 * does no I/O; every mistake is an error that names file, line, key and rule; nothing is skipped.
 */

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define KEY_FILE_MAX (64 * 1024)
#define KEY_FILE_KEYS_MAX 64

enum key_type { KEY_NUMBER, KEY_TEXT, KEY_CHOICE };

struct key {
        const char *name;
        enum key_type type;
        size_t offset;             /* of a uint64_t, or of a char * that the structure owns */
        uint64_t number, min, max; /* a number's default and range */
        const char *text,
                *words; /* the default of the others, and the words of a choice, separated by blanks */
};

struct key_table {
        const struct key *keys; /* at most KEY_FILE_KEYS_MAX */
        size_t n;
        const char *help; /* behind "no key is called so" */
};

/* All defaults; -ENOMEM. */
int key_file_init(const struct key_table *t, void *object);
void key_file_done(const struct key_table *t, void *object);

/* name is for messages only. ret_lines, one for each key or NULL: where the text sets it, 0: nowhere. */
int key_file_parse(const struct key_table *t, void *object, const char *name, const char *text, size_t size,
                   unsigned *ret_lines, struct error *reterr);

/* "key:value" lines of everything. */
void key_file_print(const struct key_table *t, const void *object, FILE *f);
