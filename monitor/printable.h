/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A guest's bytes made fit for a terminal, a log and JSON: what is not printable ASCII becomes '?'; the copy
 * is cut where the room ends. Control characters of a guest must never reach somebody's terminal through an
 * error message.
 */

#include <stddef.h>

/* Always terminates; room includes the NUL and is at least 1. Returns the length of the copy. */
static inline size_t printable_copy(char *to, size_t room, const char *from, size_t n) {
        size_t length = n < room - 1 ? n : room - 1;

        for (size_t i = 0; i < length; i++)
                to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
        to[length] = '\0';
        return length;
}
