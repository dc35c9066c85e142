/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where qt-kms puts a secret and a data key's wrapped form. All is looked at before a call is spent on it. */

#include "base/error.h"
#include "kms/bytes.h"

#define OUTPUT_DESCRIPTOR_MAX 1024

struct outputs {
        int fd;                   /* of the secret, unless there is a file */
        const char *file;         /* borrowed, or NULL */
        const char *wrapped_file; /* likewise; where given, there has to be a wrapped form */
};

/* A descriptor that is open for writing: a number that is not would be that of a connection a moment later.
 */
int outputs_check(const struct outputs *o, struct error *reterr);

/* Both or neither: the wrapped form comes first, as data under a key without it is lost, and goes again when
 * the secret cannot be written. */
int outputs_write(const struct outputs *o, const struct bytes *secret, const char *wrapped,
                  struct error *reterr);
