/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The roots that are pinned from the start, as data: adding a partition is adding a row. */

#include "attest/attest.h"
#include "attest/span.h"

struct builtin_root {
        const char *name;
        enum qtattest_profile profile;
        const char *sha256; /* of the certificate, in hexadecimal, as its owner publishes it */
        struct span certificate;
};

#define BUILTIN_ROOTS 2
extern const struct builtin_root builtin_roots[BUILTIN_ROOTS];
