/* SPDX-License-Identifier: Apache-2.0 */

#include "kms/base64.h"

#include <errno.h>
#include <stdbool.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_append(struct bytes *b, const void *data, size_t n) {
        const uint8_t *p = data;
        int r = bytes_reserve(b, n / 3 * 4 + 4);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i += 3) {
                size_t left = n - i;
                uint32_t group = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                                 (left > 2 ? p[i + 2] : 0);
                uint8_t *out = b->data + b->size;

                out[0] = (uint8_t)digits[group >> 18];
                out[1] = (uint8_t)digits[group >> 12 & 63];
                out[2] = left > 1 ? (uint8_t)digits[group >> 6 & 63] : '=';
                out[3] = left > 2 ? (uint8_t)digits[group & 63] : '=';
                b->size += 4;
        }
        b->data[b->size] = '\0';
        return 0;
}

/* No table look-up: the text may be a secret, and an index into a table shows in the cache. */
static int digit_value(uint8_t c) {
        int value = -1;

        value = c >= 'A' && c <= 'Z' ? c - 'A' : value;
        value = c >= 'a' && c <= 'z' ? c - 'a' + 26 : value;
        value = c >= '0' && c <= '9' ? c - '0' + 52 : value;
        value = c == '+' ? 62 : value;
        return c == '/' ? 63 : value;
}

int base64_decode(const char *text, size_t length, struct bytes *ret) {
        size_t padding = 0;
        int r;

        if (length % 4 != 0)
                return -EINVAL;
        while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
                padding++;
        r = bytes_reserve(ret, length / 4 * 3);
        if (r < 0)
                return r;
        for (size_t i = 0; i < length; i += 4) {
                bool last = i + 4 == length;
                size_t n = last ? 4 - padding : 4;
                uint32_t group = 0;

                for (size_t k = 0; k < 4; k++) {
                        int value = k < n ? digit_value((uint8_t)text[i + k]) : 0;

                        if (value < 0)
                                return -EINVAL;
                        group = group << 6 | (uint32_t)value;
                }
                if (group & ((1u << (8 * (4 - n))) - 1))
                        return -EINVAL;
                for (size_t k = 0; k < n - 1; k++)
                        ret->data[ret->size++] = (uint8_t)(group >> (16 - 8 * k));
        }
        ret->data[ret->size] = '\0';
        return 0;
}
