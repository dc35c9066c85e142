/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An allocator that wipes what it gives back, for libraries that copy secrets into buffers of their own and
 * take allocation functions: malloc(3)'s blocks, so that free(3) does for one that has left the library.
 */

#include <stddef.h>

void *wiping_malloc(size_t size);
void *wiping_calloc(size_t n, size_t size);
void *wiping_realloc(void *block, size_t size);
char *wiping_strdup(const char *text);
void wiping_free(void *block);
