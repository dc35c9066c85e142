/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The pool as a picture for the terminal: nodes, cores, pages, and who has what. */

#include <jansson.h>

void print_pool(const json_t *pool);

/* Only the largest enclave that would start now, for each node. */
void print_pool_largest(const json_t *pool);
json_t *pool_largest_json(const json_t *pool);
