/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/string_list.h"

#include <errno.h>
#include <string.h>

int string_list_add(struct string_list *l, const char *text) {
        char *copy = strdup(text), **larger;

        if (!copy)
                return -ENOMEM;
        larger = realloc(l->items, (l->n + 2) * sizeof(char *));
        if (!larger) {
                free(copy);
                return -ENOMEM;
        }
        l->items = larger;
        l->items[l->n++] = copy;
        l->items[l->n] = NULL;
        return 0;
}

int string_list_add_all(struct string_list *l, const struct string_list *more) {
        for (size_t i = 0; i < more->n; i++) {
                int r = string_list_add(l, more->items[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

void string_list_done(struct string_list *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->items[i]);
        free(l->items);
        *l = STRING_LIST_NULL;
}
