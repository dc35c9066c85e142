/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the time of a start went, as a picture: a bar for each step from the request on. */

#include <jansson.h>
#include <stdio.h>

/* -ENODATA when the enclave has no steps yet. */
int timeline_print(const json_t *enclave, FILE *f);
int timeline_print_svg(const json_t *enclave, FILE *f);
