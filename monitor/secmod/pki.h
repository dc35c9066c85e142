/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The development PKI of a host: root, region, zone, instance and leaf, as both platforms have them
 * (lifetimes and path lengths are theirs). The root is made on first use and kept in a directory: root.pem
 * for everybody, root.key for its owner only. The rest lives in memory, is made anew by each monitor and
 * renewed before it expires; every subject says "development, not for production".
 */

#include "attest/span.h"
#include "base/error.h"

#include <openssl/types.h>

#define PKI_BUNDLE 4 /* root, region, zone, instance */

enum secmod_platform { SECMOD_NITRO, SECMOD_QINGTIAN };

struct pki;

/* Opens or makes the root in that directory, which must exist; the descriptor is duplicated. enclave_id: the
 * part of the module id that tells the enclaves of a host apart. FILE_UNREADABLE, OUTPUT_FAILED,
 * PERMISSION_DENIED (a root.key that others can read), SIGNATURE_INVALID (a root.key that is none). */
int pki_new(struct pki **ret, int directory_fd, enum secmod_platform platform, uint64_t enclave_id,
            struct error *reterr);
void pki_free(struct pki *pki);

/* The chain at this moment, renewed as needed; borrowed until the next call. Negative errno. */
struct pki_chain {
        struct span bundle[PKI_BUNDLE];
        struct span leaf;
        EVP_PKEY *leaf_key;
};
int pki_chain(struct pki *pki, int64_t now, struct pki_chain *ret);

/* "i-<17 digits>" or a UUID, made of the root's hash: the same for all enclaves of a host. */
const char *pki_instance(const struct pki *pki);

/* "i-…-enc<16 digits>" or "<UUID>.enc-<16 digits>". */
const char *pki_module_id(const struct pki *pki);
