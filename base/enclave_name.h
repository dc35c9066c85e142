/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The name of an enclave: a directory and two files are called after it, and configurations refer to it. */

#include <stdbool.h>

/* Letters, digits, '.', '_' and '-', at most 64, beginning with a letter or digit. */
bool enclave_name_is_valid(const char *name);
