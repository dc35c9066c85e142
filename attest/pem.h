/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* PEM or DER to DER. */

#include "attest/span.h"

/* If the bytes hold one "-----BEGIN label-----" block, its decoded content; otherwise a copy of the bytes.
 * The caller frees. -EBADMSG for a malformed or a second block, -EFBIG beyond 1 MiB, -ENOMEM. */
int pem_or_der(const void *data, size_t size, const char *label, uint8_t **ret, size_t *ret_size);
