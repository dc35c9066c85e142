/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Request signatures of the two clouds. One canonical form, three schemes that differ in few rules (table in
 * signing.c):
 *   SDK-HMAC-SHA256   Huawei: path ends in '/', key is the secret itself, no scope
 *   V11-HMAC-SHA256   Huawei: the same with a key derived by HKDF for date, region and service
 *   AWS4-HMAC-SHA256  AWS: path normalised, spaces inside values folded, key derived by four HMACs
 * Sources: the SDKs' published vectors (tests/unit/test_signing.c) and the rules of AWS's test suite.
 */

#include "kms/bytes.h"

#include <stdbool.h>

enum signing_scheme {
        SIGNING_SDK_HMAC_SHA256,
        SIGNING_V11_HMAC_SHA256,
        SIGNING_AWS4_HMAC_SHA256,
        SIGNING_SCHEME_MAX,
};

struct signing_pair {
        const char *name, *value;
};

/* What is signed: exactly these headers, in any order and case. The path and the query are not encoded yet.
 */
struct signable {
        const char *method;
        const char *path;
        const struct signing_pair *query;
        size_t n_query;
        const struct signing_pair *headers;
        size_t n_headers;
        const void *body;
        size_t body_size;
};

struct signing_key {
        const char *access_key;
        const char *secret_key;
        const char *region;  /* for the schemes with a scope */
        const char *service; /* likewise */
};

#define SIGNING_DATE_SIZE 17 /* "20200608T023900Z" and NUL */
#define SIGNING_HEADERS_MAX 32

/* Names of the header that carries the date, and of the one that carries the token of temporary credentials.
 */
const char *signing_date_header(enum signing_scheme scheme);
const char *signing_token_header(enum signing_scheme scheme);

void signing_format_date(uint64_t usec, char ret[static SIGNING_DATE_SIZE]);
/* Seconds since the epoch; -EINVAL. */
int signing_parse_date(const char *text, uint64_t *ret_sec);

/* The three steps, each for itself (tests compare them with the published intermediate values). */
int signing_canonical_request(enum signing_scheme scheme, const struct signable *s, struct bytes *ret);
int signing_string_to_sign(enum signing_scheme scheme, const struct signable *s,
                           const struct signing_key *key, const char *date, struct bytes *ret);
/* The value of the Authorization header. */
int signing_authorization(enum signing_scheme scheme, const struct signable *s, const struct signing_key *key,
                          const char *date, struct bytes *ret);

/* The receiving side: an Authorization header taken apart. Strings are owned copies in one block. */
struct signing_claim {
        enum signing_scheme scheme;
        const char *access_key, *date, *region, *service; /* the scope only where the scheme has one */
        const char *signed_headers;                       /* "host;x-sdk-date" */
        char *block;
};

int signing_claim_parse(const char *authorization, struct signing_claim *ret);
void signing_claim_done(struct signing_claim *c);
#define _cleanup_signing_claim_ _cleanup_(signing_claim_done)

/* Whether name (any case) is among the signed headers. */
bool signing_claim_covers(const struct signing_claim *c, const char *name);

/* 0 when the header is exactly what the key makes of the request, -EKEYREJECTED otherwise. s->headers holds
 * the headers of the claim and nothing else. */
int signing_check(const struct signing_claim *c, const char *authorization, const struct signable *s,
                  const struct signing_key *key, const char *date);
