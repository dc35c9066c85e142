/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Base64 of RFC 4648 §4, strict: padded, no white space, unused bits zero. */

#include "kms/bytes.h"

int base64_append(struct bytes *b, const void *data, size_t n);

/* -EINVAL when text is not exactly that form, -EMSGSIZE beyond ret->max. */
int base64_decode(const char *text, size_t length, struct bytes *ret);
