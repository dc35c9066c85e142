/* SPDX-License-Identifier: Apache-2.0 */

#include "base/parse.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* Digits only; *end is left on the first character that is none. */
static int take_digits(const char *text, const char **end, uint64_t *ret) {
        uint64_t value = 0;
        const char *p = text;

        for (; *p >= '0' && *p <= '9'; p++)
                if (__builtin_mul_overflow(value, 10u, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
                        return -ERANGE;
        if (p == text)
                return -EINVAL;
        *end = p;
        *ret = value;
        return 0;
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret) {
        const char *end;
        uint64_t value;
        int r;

        r = take_digits(text, &end, &value);
        if (r < 0)
                return r;
        if (*end)
                return -EINVAL;
        if (value < min || value > max)
                return -ERANGE;
        *ret = value;
        return 0;
}

int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret) {
        uint64_t value;
        int r;

        r = parse_u64(text, min, max, &value);
        if (r < 0)
                return r;
        *ret = (uint32_t)value;
        return 0;
}

struct unit {
        const char *name;
        uint64_t factor;
};

static int parse_with_unit(const char *text, const struct unit *units, size_t n, uint64_t *ret) {
        const char *end;
        uint64_t value;
        int r;

        r = take_digits(text, &end, &value);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                if (strcasecmp(end, units[i].name) == 0)
                        return __builtin_mul_overflow(value, units[i].factor, ret) ? -ERANGE : 0;
        return -EINVAL;
}

int parse_mib(const char *text, uint64_t *ret_mib) {
        static const struct unit units[] = {
                { "", 1 },       { "M", 1 },           { "MiB", 1 },          { "G", 1024 },
                { "GiB", 1024 }, { "T", 1024 * 1024 }, { "TiB", 1024 * 1024 }
        };

        return parse_with_unit(text, units, sizeof(units) / sizeof(units[0]), ret_mib);
}

int parse_duration(const char *text, uint64_t *ret_usec) {
        static const struct unit units[] = { { "", 1000000 },     { "ms", 1000 },    { "s", 1000000 },
                                             { "min", 60000000 }, { "m", 60000000 }, { "h", 3600000000 },
                                             { "d", 86400000000 } };

        return parse_with_unit(text, units, sizeof(units) / sizeof(units[0]), ret_usec);
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int parse_hex(const char *text, uint8_t *ret, size_t n) {
        if (strlen(text) != 2 * n)
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

                if (high < 0 || low < 0)
                        return -EINVAL;
                ret[i] = (uint8_t)(high << 4 | low);
        }
        return 0;
}

void format_hex(const uint8_t *data, size_t n, char *ret) {
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < n; i++) {
                *ret++ = digits[data[i] >> 4];
                *ret++ = digits[data[i] & 15];
        }
        *ret = '\0';
}
