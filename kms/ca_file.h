/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A file of certificates in PEM, as TLS takes it to know whom to believe: is it one? */

#include <stdbool.h>
#include <stddef.h>

bool ca_file_is_valid(const char *text, size_t size);
