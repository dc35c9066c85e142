/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A ring of nodes embedded in their objects; the head is a node too. A node that is in no list points at
 * itself, so that removing it twice is harmless.
 */

#include <stdbool.h>
#include <stddef.h>

struct list {
        struct list *previous;
        struct list *next;
};

#define list_object(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *l) {
        l->previous = l;
        l->next = l;
}

static inline bool list_is_empty(const struct list *l) {
        return l->next == l;
}

static inline void list_remove(struct list *node) {
        node->previous->next = node->next;
        node->next->previous = node->previous;
        list_init(node);
}

/* Put node, which is in no list, at the end. */
static inline void list_append(struct list *l, struct list *node) {
        node->previous = l->previous;
        node->next = l;
        l->previous->next = node;
        l->previous = node;
}
