/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The pool as a picture for the terminal: nodes, cores, pages, and who has what. */

#include <jansson.h>

void print_pool(const json_t *pool);
