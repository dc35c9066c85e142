/* SPDX-License-Identifier: Apache-2.0 */

/* The receiving side of signing.h: what an Authorization header claims, and whether it is so. */

#include "base/parse.h"
#include "kms/signing.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <string.h>
#include <time.h>

void signing_format_date(uint64_t usec, char ret[static SIGNING_DATE_SIZE]) {
        time_t sec = (time_t)(usec / 1000000);
        struct tm tm;

        if (!gmtime_r(&sec, &tm) || strftime(ret, SIGNING_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) == 0)
                ret[0] = '\0';
}

int signing_parse_date(const char *text, uint64_t *ret_sec) {
        struct tm tm = { .tm_isdst = 0 };
        const char *end;
        time_t sec;

        if (strlen(text) != SIGNING_DATE_SIZE - 1)
                return -EINVAL;
        end = strptime(text, "%Y%m%dT%H%M%SZ", &tm);
        if (!end || *end)
                return -EINVAL;
        sec = timegm(&tm);
        if (sec < 0)
                return -EINVAL;
        *ret_sec = (uint64_t)sec;
        return 0;
}

static int claim_scheme(const char *word, enum signing_scheme *ret) {
        static const char *const names[] = { "SDK-HMAC-SHA256", "V11-HMAC-SHA256", "AWS4-HMAC-SHA256" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strcmp(word, names[i]) == 0) {
                        *ret = (enum signing_scheme)i;
                        return 0;
                }
        return -EINVAL;
}

/* "AK/20150830/us-east-1/service[/aws4_request]": cuts the text in place. */
static int claim_scope(char *text, struct signing_claim *c) {
        char *rest = text, *end;

        c->access_key = strsep(&rest, "/");
        c->date = strsep(&rest, "/");
        c->region = strsep(&rest, "/");
        c->service = strsep(&rest, "/");
        end = rest;
        if (!c->service)
                return -EINVAL;
        if (c->scheme == SIGNING_AWS4_HMAC_SHA256)
                return end && strcmp(end, "aws4_request") == 0 ? 0 : -EINVAL;
        return end ? -EINVAL : 0;
}

/* The value behind "word" at *rest, up to ", " or the end; moves on. NULL when the word is not there. */
static char *claim_part(char **rest, const char *word) {
        size_t n = strlen(word);
        char *value, *end;

        if (!*rest || strncmp(*rest, word, n) != 0)
                return NULL;
        value = *rest + n;
        end = strstr(value, ", ");
        if (end) {
                *end = '\0';
                *rest = end + 2;
        } else
                *rest = NULL;
        return value;
}

int signing_claim_parse(const char *authorization, struct signing_claim *ret) {
        _cleanup_free_ char *block = strdup(authorization);
        struct signing_claim c = { .block = NULL };
        char *rest = block, *word, *key;
        int r;

        if (!block)
                return -ENOMEM;
        word = strsep(&rest, " ");
        r = claim_scheme(word, &c.scheme);
        if (r < 0 || !rest)
                return -EINVAL;
        key = claim_part(&rest, c.scheme == SIGNING_SDK_HMAC_SHA256 ? "Access=" : "Credential=");
        c.signed_headers = claim_part(&rest, "SignedHeaders=");
        if (!key || !c.signed_headers || !claim_part(&rest, "Signature=") || rest)
                return -EINVAL;
        if (c.scheme == SIGNING_SDK_HMAC_SHA256)
                c.access_key = key;
        else {
                r = claim_scope(key, &c);
                if (r < 0)
                        return r;
        }
        c.block = TAKE(block);
        *ret = c;
        return 0;
}

void signing_claim_done(struct signing_claim *c) {
        free(c->block);
        *c = (struct signing_claim){ .block = NULL };
}

bool signing_claim_covers(const struct signing_claim *c, const char *name) {
        size_t n = strlen(name);

        for (const char *p = c->signed_headers; p; p = strchr(p, ';')) {
                p += *p == ';';
                if (strncasecmp(p, name, n) == 0 && (p[n] == ';' || p[n] == '\0'))
                        return true;
        }
        return false;
}

int signing_check(const struct signing_claim *c, const char *authorization, const struct signable *s,
                  const struct signing_key *key, const char *date) {
        _cleanup_bytes_ struct bytes expected = BYTES_NULL;
        int r;

        if (strcmp(c->access_key, key->access_key) != 0 || (c->date && strncmp(c->date, date, 8) != 0))
                return -EKEYREJECTED;
        r = signing_authorization(c->scheme, s, key, date, &expected);
        if (r < 0)
                return r;
        if (expected.size != strlen(authorization) ||
            CRYPTO_memcmp(expected.data, authorization, expected.size) != 0)
                return -EKEYREJECTED;
        return 0;
}
