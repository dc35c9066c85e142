/* SPDX-License-Identifier: Apache-2.0 */

#include "base/wiping.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

void *wiping_malloc(size_t size) {
        return malloc(size);
}

void *wiping_calloc(size_t n, size_t size) {
        return calloc(n, size);
}

/* realloc(3) would leave the old block behind as it is. */
void *wiping_realloc(void *block, size_t size) {
        size_t old = malloc_usable_size(block);
        void *larger;

        if (block && size && size <= old)
                return block;
        larger = malloc(size);
        if (!larger)
                return NULL;
        if (block)
                memcpy(larger, block, old < size ? old : size);
        wiping_free(block);
        return larger;
}

char *wiping_strdup(const char *text) {
        return strdup(text);
}

void wiping_free(void *block) {
        if (block)
                explicit_bzero(block, malloc_usable_size(block));
        free(block);
}
