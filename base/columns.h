/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How many columns of a terminal UTF-8 text takes, for aligning what is printed: one for each character,
 * which holds for everything that our own texts are written with. */

#include <stddef.h>

static inline size_t text_columns(const char *text) {
        size_t n = 0;

        for (; *text; text++)
                n += ((unsigned char)*text & 0xc0) !=
                     0x80; /* not the second or a later byte of a character */
        return n;
}
