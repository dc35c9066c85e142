/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A growing list of strings, ended by NULL like argv and environ. */

#include "base/cleanup.h"

#include <stddef.h>

struct string_list {
        char **items; /* n strings and a NULL; NULL when it never had any. Owned. */
        size_t n;
};

#define STRING_LIST_NULL ((struct string_list){ .items = NULL })

/* Copy a string to the end; 0 or -ENOMEM. */
int string_list_add(struct string_list *l, const char *text);
int string_list_add_all(struct string_list *l, const struct string_list *more);
void string_list_done(struct string_list *l);
#define _cleanup_string_list_ _cleanup_(string_list_done)
