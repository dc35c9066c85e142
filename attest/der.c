/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/der.h"

static struct span fail(struct der *d) {
        d->failed = true;
        return (struct span){ 0 };
}

/* Tag and length of the next element: where its content begins and how long it is. */
static bool read_header(struct der *d, uint8_t *ret_tag, size_t *ret_start, size_t *ret_size) {
        size_t at = d->position, length;
        uint8_t tag;

        if (d->failed || d->size - at < 2)
                return false;
        tag = d->data[at++];
        if ((tag & 0x1f) == 0x1f)
                return false;
        length = d->data[at++];
        if (length >= 0x80) {
                size_t n = length & 0x7f;

                /* No indefinite length; four bytes of length are more than any buffer here. */
                if (n == 0 || n > 4 || n > d->size - at || d->data[at] == 0)
                        return false;
                length = 0;
                for (; n > 0; n--)
                        length = length << 8 | d->data[at++];
                if (length < 0x80)
                        return false;
        }
        if (length > d->size - at)
                return false;
        *ret_tag = tag;
        *ret_start = at;
        *ret_size = length;
        return true;
}

struct span der_take_any(struct der *d) {
        size_t begin = d->position, start, size;
        uint8_t tag;

        if (!read_header(d, &tag, &start, &size))
                return fail(d);
        d->position = start + size;
        return (struct span){ d->data + begin, d->position - begin };
}

struct span der_take_whole(struct der *d, uint8_t tag) {
        if (der_peek(d) != tag)
                return fail(d);
        return der_take_any(d);
}

struct span der_take(struct der *d, uint8_t tag) {
        size_t start, size;
        uint8_t found;

        if (!read_header(d, &found, &start, &size) || found != tag)
                return fail(d);
        d->position = start + size;
        return (struct span){ d->data + start, size };
}

struct der der_enter(struct der *d, uint8_t tag) {
        struct der inner = der_over(der_take(d, tag));

        inner.failed = d->failed;
        return inner;
}

struct span der_take_oid(struct der *d) {
        struct span oid = der_take(d, DER_OID);
        bool starts = true;

        /* Each number is in groups of seven bits; a first group of zero would be padding. */
        for (size_t i = 0; i < oid.size; i++) {
                if (starts && oid.data[i] == 0x80)
                        return fail(d);
                starts = oid.data[i] < 0x80;
        }
        return oid.size > 0 && starts ? oid : fail(d);
}

struct span der_take_integer(struct der *d) {
        struct span number = der_take(d, DER_INTEGER);

        if (number.size == 0)
                return fail(d);
        if (number.size > 1 && ((number.data[0] == 0 && number.data[1] < 0x80) ||
                                (number.data[0] == 0xff && number.data[1] >= 0x80)))
                return fail(d);
        return number;
}

struct span der_take_unsigned(struct der *d) {
        struct span number = der_take_integer(d);

        if (number.size == 0 || number.data[0] >= 0x80)
                return fail(d);
        if (number.data[0] == 0 && number.size > 1) {
                number.data++;
                number.size--;
        }
        return number;
}

uint64_t der_take_u64(struct der *d) {
        struct span number = der_take_unsigned(d);
        uint64_t value = 0;

        if (number.size > sizeof(value)) {
                (void)fail(d);
                return 0;
        }
        for (size_t i = 0; i < number.size; i++)
                value = value << 8 | number.data[i];
        return value;
}

struct span der_take_octet_bits(struct der *d) {
        struct span bits = der_take(d, DER_BIT_STRING);

        if (bits.size == 0 || bits.data[0] != 0)
                return fail(d);
        return (struct span){ bits.data + 1, bits.size - 1 };
}

/* Two digits at p, or -1. */
static int two_digits(const uint8_t *p) {
        if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
                return -1;
        return (p[0] - '0') * 10 + (p[1] - '0');
}

static bool is_leap(int year) {
        return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month) {
        static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

        return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to the first of January of that year, in the Gregorian calendar. */
static int64_t days_to_year(int year) {
        int before = year - 1;

        return (int64_t)before * 365 + before / 4 - before / 100 + before / 400 - 719162;
}

/* "MMDDhhmmssZ" of that year. */
static bool calendar_seconds(int year, const uint8_t *rest, int64_t *ret) {
        int field[5];
        int64_t days = days_to_year(year);

        for (size_t i = 0; i < 5; i++)
                field[i] = two_digits(rest + 2 * i);
        if (field[0] < 1 || field[0] > 12 || field[1] < 1 || field[1] > days_in_month(year, field[0]) ||
            field[2] < 0 || field[2] > 23 || field[3] < 0 || field[3] > 59 || field[4] < 0 || field[4] > 59 ||
            rest[10] != 'Z')
                return false;
        for (int month = 1; month < field[0]; month++)
                days += days_in_month(year, month);
        days += field[1] - 1;
        *ret = ((days * 24 + field[2]) * 60 + field[3]) * 60 + field[4];
        return true;
}

int64_t der_take_time(struct der *d) {
        bool is_utc = der_peek(d) == DER_UTC_TIME;
        struct span text = der_take(d, is_utc ? DER_UTC_TIME : DER_GENERALIZED_TIME);
        int64_t seconds = 0;
        int high, low;

        if (text.size != (is_utc ? 13 : 15)) {
                (void)fail(d);
                return 0;
        }
        high = is_utc ? 0 : two_digits(text.data);
        low = two_digits(text.data + text.size - 13);
        if (high < 0 || low < 0) {
                (void)fail(d);
                return 0;
        }
        if (is_utc)
                high = low < 50 ? 20 : 19;
        if (high * 100 + low < 1 || !calendar_seconds(high * 100 + low, text.data + text.size - 11, &seconds))
                (void)fail(d);
        return seconds;
}
