/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/cbor.h"

#define INDEFINITE 31
#define BREAK 0xff

static bool fail(struct cbor_reader *r, enum cbor_error error) {
        if (r->error == CBOR_OK)
                r->error = error;
        return false;
}

static size_t left(const struct cbor_reader *r) {
        return r->size - r->position;
}

/* The argument of a head: in the first byte, or in the 1, 2, 4 or 8 after it. */
static bool read_argument(struct cbor_reader *r, uint8_t low, struct cbor_item *item) {
        uint64_t value = 0;

        if (low < 24) {
                item->width = 0;
                item->value = low;
                return true;
        }
        if (low > 27)
                return fail(r, CBOR_MALFORMED);
        item->width = (uint8_t)(1u << (low - 24));
        if (left(r) < item->width)
                return fail(r, CBOR_TRUNCATED);
        for (unsigned i = 0; i < item->width; i++)
                value = value << 8 | r->data[r->position++];
        item->value = value;
        return true;
}

static bool read_string(struct cbor_reader *r, struct cbor_item *item) {
        if (item->value > left(r))
                return fail(r, CBOR_TRUNCATED);
        item->string = (struct span){ r->data + r->position, (size_t)item->value };
        r->position += (size_t)item->value;
        if (item->type == CBOR_TEXT && !utf8_valid(item->string))
                return fail(r, CBOR_BAD_UTF8);
        return true;
}

bool cbor_next(struct cbor_reader *r, struct cbor_item *ret) {
        struct cbor_item item = { 0 };
        uint8_t first, low;

        if (r->error != CBOR_OK)
                return false;
        if (left(r) == 0)
                return fail(r, CBOR_TRUNCATED);
        first = r->data[r->position++];
        low = first & 31;
        item.type = (enum cbor_type)(first >> 5);
        if (low == INDEFINITE) {
                if (item.type == CBOR_BYTES || item.type == CBOR_TEXT)
                        return fail(r, CBOR_INDEFINITE_STRING);
                if (item.type != CBOR_ARRAY && item.type != CBOR_MAP)
                        return fail(r, CBOR_MALFORMED);
                item.indefinite = true;
        } else if (!read_argument(r, low, &item))
                return false;
        /* Two bytes for a simple value that has a one-byte form are malformed, unlike long integers. */
        if (item.type == CBOR_SIMPLE && item.width == 1 && item.value < 32)
                return fail(r, CBOR_MALFORMED);
        if ((item.type == CBOR_BYTES || item.type == CBOR_TEXT) && !read_string(r, &item))
                return false;
        *ret = item;
        return true;
}

static bool get(struct cbor_reader *r, enum cbor_type type, struct cbor_item *ret) {
        struct cbor_item item;

        if (!cbor_next(r, &item))
                return false;
        if (item.type != type)
                return fail(r, CBOR_WRONG_TYPE);
        *ret = item;
        return true;
}

bool cbor_get_uint(struct cbor_reader *r, uint64_t *ret) {
        struct cbor_item item;

        if (!get(r, CBOR_UINT, &item))
                return false;
        *ret = item.value;
        return true;
}

bool cbor_get_bytes(struct cbor_reader *r, struct span *ret) {
        struct cbor_item item;

        if (!get(r, CBOR_BYTES, &item))
                return false;
        *ret = item.string;
        return true;
}

bool cbor_get_text(struct cbor_reader *r, struct span *ret) {
        struct cbor_item item;

        if (!get(r, CBOR_TEXT, &item))
                return false;
        *ret = item.string;
        return true;
}

bool cbor_get_bool(struct cbor_reader *r, bool *ret) {
        struct cbor_item item;

        if (!get(r, CBOR_SIMPLE, &item))
                return false;
        if (item.width > 1 || (item.value != CBOR_FALSE && item.value != CBOR_TRUE))
                return fail(r, CBOR_WRONG_TYPE);
        *ret = item.value == CBOR_TRUE;
        return true;
}

static bool get_container(struct cbor_reader *r, enum cbor_type type, struct cbor_container *ret) {
        struct cbor_item item;

        if (!get(r, type, &item))
                return false;
        *ret = (struct cbor_container){ .indefinite = item.indefinite, .left = item.value };
        return true;
}

bool cbor_get_array(struct cbor_reader *r, struct cbor_container *ret) {
        return get_container(r, CBOR_ARRAY, ret);
}

bool cbor_get_map(struct cbor_reader *r, struct cbor_container *ret) {
        return get_container(r, CBOR_MAP, ret);
}

bool cbor_take_null(struct cbor_reader *r) {
        if (r->error != CBOR_OK || left(r) == 0 || r->data[r->position] != (CBOR_SIMPLE << 5 | CBOR_NULL))
                return false;
        r->position++;
        return true;
}

bool cbor_more(struct cbor_reader *r, struct cbor_container *c) {
        if (r->error != CBOR_OK)
                return false;
        if (!c->indefinite) {
                if (c->left == 0)
                        return false;
                c->left--;
                return true;
        }
        if (left(r) == 0)
                return fail(r, CBOR_TRUNCATED);
        if (r->data[r->position] != BREAK)
                return true;
        r->position++;
        /* Asked once more, the answer stays no. */
        *c = (struct cbor_container){ .left = 0 };
        return false;
}

static bool check_item(struct cbor_reader *r, unsigned depth);

/* Keys are compared by what they mean: 0 and 0 written in two bytes are one key. */
static bool same_key(const struct cbor_item *a, const struct cbor_item *b) {
        if (a->type != b->type)
                return false;
        if (a->type == CBOR_BYTES || a->type == CBOR_TEXT)
                return span_equal(a->string, b->string);
        return a->value == b->value;
}

static bool check_map(struct cbor_reader *r, struct cbor_container *map, unsigned depth) {
        struct cbor_item keys[CBOR_MAX_KEYS];
        size_t n = 0;

        while (cbor_more(r, map)) {
                struct cbor_item key;

                if (!cbor_next(r, &key))
                        return false;
                if (key.type > CBOR_TEXT)
                        return fail(r, CBOR_BAD_KEY);
                for (size_t i = 0; i < n; i++)
                        if (same_key(&keys[i], &key))
                                return fail(r, CBOR_DUPLICATE_KEY);
                if (n == CBOR_MAX_KEYS)
                        return fail(r, CBOR_TOO_MANY_KEYS);
                keys[n++] = key;
                if (!check_item(r, depth))
                        return false;
        }
        return r->error == CBOR_OK;
}

static bool check_item(struct cbor_reader *r, unsigned depth) {
        struct cbor_container container;
        struct cbor_item item;

        if (depth == CBOR_MAX_DEPTH)
                return fail(r, CBOR_TOO_DEEP);
        if (!cbor_next(r, &item))
                return false;
        container = (struct cbor_container){ .indefinite = item.indefinite, .left = item.value };
        if (item.type == CBOR_TAG)
                return check_item(r, depth + 1);
        if (item.type == CBOR_MAP)
                return check_map(r, &container, depth + 1);
        if (item.type == CBOR_ARRAY)
                while (cbor_more(r, &container))
                        if (!check_item(r, depth + 1))
                                return false;
        return r->error == CBOR_OK;
}

enum cbor_error cbor_check(struct span bytes) {
        struct cbor_reader r = cbor_over(bytes);

        if (check_item(&r, 0) && r.position != r.size)
                (void)fail(&r, CBOR_TRAILING);
        return r.error;
}

bool cbor_skip(struct cbor_reader *r) {
        return check_item(r, 0);
}

/* The continuation bytes of a sequence and the smallest code point that needs them. */
static size_t utf8_sequence(uint8_t first, uint32_t *ret_code, uint32_t *ret_least) {
        if (first < 0x80) {
                *ret_code = first;
                *ret_least = 0;
                return 0;
        }
        if (first >= 0xc2 && first <= 0xdf) {
                *ret_code = first & 0x1f;
                *ret_least = 0x80;
                return 1;
        }
        if (first >= 0xe0 && first <= 0xef) {
                *ret_code = first & 0x0f;
                *ret_least = 0x800;
                return 2;
        }
        if (first >= 0xf0 && first <= 0xf4) {
                *ret_code = first & 0x07;
                *ret_least = 0x10000;
                return 3;
        }
        return SIZE_MAX;
}

bool utf8_valid(struct span text) {
        for (size_t i = 0; i < text.size;) {
                uint32_t code = 0, least = 0;
                size_t n = utf8_sequence(text.data[i++], &code, &least);

                if (n > text.size - i)
                        return false;
                for (; n > 0; n--, i++) {
                        if ((text.data[i] & 0xc0) != 0x80)
                                return false;
                        code = code << 6 | (text.data[i] & 0x3f);
                }
                if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
                        return false;
        }
        return true;
}
