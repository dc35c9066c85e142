/* SPDX-License-Identifier: Apache-2.0 */

#include "kms/signing.h"

#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/sha.h>
#include <string.h>

/* Where the schemes differ. */
static const struct scheme_rules {
        const char *name;
        const char *key_word; /* in front of the access key in the header */
        const char *date_header, *token_header;
        const char *scope_end; /* last element of the scope, or "" */
        bool scope;
        bool slash_after_path;     /* always, also when the request has none */
        bool normalise;            /* resolve "." and "..", fold slashes */
        bool fold_spaces;          /* runs of spaces inside a header's value */
        bool skip_underscore_name; /* a header with '_' in its name is never signed */
} rules[SIGNING_SCHEME_MAX] = {
        [SIGNING_SDK_HMAC_SHA256] = { "SDK-HMAC-SHA256", "Access=", "X-Sdk-Date", "X-Security-Token",
                                      .slash_after_path = true, .skip_underscore_name = true },
        [SIGNING_V11_HMAC_SHA256] = { "V11-HMAC-SHA256", "Credential=", "X-Sdk-Date", "X-Security-Token", "",
                                      .scope = true, .slash_after_path = true, .skip_underscore_name = true },
        [SIGNING_AWS4_HMAC_SHA256] = { "AWS4-HMAC-SHA256", "Credential=", "X-Amz-Date",
                                       "X-Amz-Security-Token", "/aws4_request", .scope = true,
                                       .normalise = true, .fold_spaces = true },
};

const char *signing_date_header(enum signing_scheme scheme) {
        return rules[scheme].date_header;
}

const char *signing_token_header(enum signing_scheme scheme) {
        return rules[scheme].token_header;
}

/* RFC 3986: everything but the unreserved characters, in upper-case hexadecimal. */
static int append_encoded(struct bytes *b, const char *text, size_t n) {
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++) {
                unsigned char c = (unsigned char)text[i];

                if ((c < 0x80 && isalnum(c)) || (c && strchr("-_.~", c)))
                        r = bytes_append(b, &c, 1);
                else
                        r = bytes_printf(b, "%%%02X", c);
        }
        return r;
}

/* Take the last segment off again ("..": the path never leaves its root). */
static void drop_segment(struct bytes *b, size_t start) {
        while (b->size > start && b->data[b->size - 1] != '/')
                b->size--;
        if (b->size > start)
                b->size--;
}

static int append_path(struct bytes *b, const struct scheme_rules *rule, const char *path) {
        size_t start = b->size;
        bool open = true; /* the path as given ends in a slash, or in "." or ".." */
        int r = 0;

        for (const char *p = path; *p && r >= 0;) {
                size_t n;

                p += *p == '/';
                n = strcspn(p, "/");
                open = n == 0;
                if (rule->normalise && (n == 0 || (n == 1 && p[0] == '.')))
                        open = true;
                else if (rule->normalise && n == 2 && p[0] == '.' && p[1] == '.') {
                        drop_segment(b, start);
                        open = true;
                } else if (n > 0 || p[n] == '/') {
                        r = bytes_text(b, "/");
                        if (r >= 0)
                                r = append_encoded(b, p, n);
                }
                p += n;
        }
        if (r >= 0 && (open || rule->slash_after_path || b->size == start))
                r = bytes_text(b, "/");
        return r;
}

static int compare_text(const char *a, const char *b) {
        return strcmp(a, b);
}

static int compare_pairs(const void *a, const void *b) {
        const struct signing_pair *x = a, *y = b;
        int r = compare_text(x->name, y->name);

        return r ? r : compare_text(x->value, y->value);
}

static int append_query(struct bytes *b, const struct signable *s) {
        _cleanup_free_ struct signing_pair *sorted = NULL;
        int r = 0;

        if (s->n_query == 0)
                return 0;
        sorted = calloc(s->n_query, sizeof(*sorted));
        if (!sorted)
                return -ENOMEM;
        memcpy(sorted, s->query, s->n_query * sizeof(*sorted));
        qsort(sorted, s->n_query, sizeof(*sorted), compare_pairs);
        for (size_t i = 0; i < s->n_query && r >= 0; i++) {
                r = i ? bytes_text(b, "&") : 0;
                if (r >= 0)
                        r = append_encoded(b, sorted[i].name, strlen(sorted[i].name));
                if (r >= 0)
                        r = bytes_text(b, "=");
                if (r >= 0)
                        r = append_encoded(b, sorted[i].value, strlen(sorted[i].value));
        }
        return r;
}

/* The position of a header among the given ones keeps the order of repeated names. */
struct sorted_header {
        const struct signing_pair *pair;
        size_t position;
};

static int compare_headers(const void *a, const void *b) {
        const struct sorted_header *x = a, *y = b;
        int r = strcasecmp(x->pair->name, y->pair->name);

        return r ? r : (x->position > y->position) - (x->position < y->position);
}

static int sort_headers(const struct scheme_rules *rule, const struct signable *s,
                        struct sorted_header sorted[static SIGNING_HEADERS_MAX]) {
        int n = 0;

        if (s->n_headers > SIGNING_HEADERS_MAX)
                return -E2BIG;
        for (size_t i = 0; i < s->n_headers; i++)
                if (!rule->skip_underscore_name || !strchr(s->headers[i].name, '_'))
                        sorted[n++] = (struct sorted_header){ &s->headers[i], i };
        qsort(sorted, (size_t)n, sizeof(*sorted), compare_headers);
        return n;
}

static int append_lower(struct bytes *b, const char *text) {
        int r = 0;

        for (; *text && r >= 0; text++) {
                char c = (char)tolower((unsigned char)*text);

                r = bytes_append(b, &c, 1);
        }
        return r;
}

static int append_value(struct bytes *b, const struct scheme_rules *rule, const char *value) {
        size_t n = strlen(value);
        int r = 0;

        for (; n && isspace((unsigned char)*value); value++)
                n--;
        while (n && isspace((unsigned char)value[n - 1]))
                n--;
        for (size_t i = 0; i < n && r >= 0; i++)
                if (!rule->fold_spaces || value[i] != ' ' || value[i - 1] != ' ')
                        r = bytes_append(b, value + i, 1);
        return r;
}

static int append_signed_headers(struct bytes *b, const struct sorted_header *sorted, int n) {
        int r = 0;

        for (int i = 0; i < n && r >= 0; i++) {
                if (i && strcasecmp(sorted[i].pair->name, sorted[i - 1].pair->name) == 0)
                        continue;
                r = i ? bytes_text(b, ";") : 0;
                if (r >= 0)
                        r = append_lower(b, sorted[i].pair->name);
        }
        return r;
}

static int append_headers(struct bytes *b, const struct scheme_rules *rule,
                          const struct sorted_header *sorted, int n) {
        int r = 0;

        for (int i = 0; i < n && r >= 0; i++) {
                bool repeated = i && strcasecmp(sorted[i].pair->name, sorted[i - 1].pair->name) == 0;
                bool more = i + 1 < n && strcasecmp(sorted[i].pair->name, sorted[i + 1].pair->name) == 0;

                r = repeated ? bytes_text(b, ",") : append_lower(b, sorted[i].pair->name);
                if (r >= 0 && !repeated)
                        r = bytes_text(b, ":");
                if (r >= 0)
                        r = append_value(b, rule, sorted[i].pair->value);
                if (r >= 0 && !more)
                        r = bytes_text(b, "\n");
        }
        return r;
}

static int append_sha256(struct bytes *b, const void *data, size_t n) {
        uint8_t digest[SHA256_DIGEST_LENGTH];
        char text[2 * sizeof(digest) + 1];

        (void)SHA256(n ? data : "", n, digest);
        format_hex(digest, sizeof(digest), text);
        return bytes_text(b, text);
}

int signing_canonical_request(enum signing_scheme scheme, const struct signable *s, struct bytes *ret) {
        const struct scheme_rules *rule = &rules[scheme];
        struct sorted_header sorted[SIGNING_HEADERS_MAX];
        int n = sort_headers(rule, s, sorted), r;

        if (n < 0)
                return n;
        r = bytes_printf(ret, "%s\n", s->method);
        if (r >= 0)
                r = append_path(ret, rule, s->path);
        if (r >= 0)
                r = bytes_text(ret, "\n");
        if (r >= 0)
                r = append_query(ret, s);
        if (r >= 0)
                r = bytes_text(ret, "\n");
        if (r >= 0)
                r = append_headers(ret, rule, sorted, n);
        if (r >= 0)
                r = bytes_text(ret, "\n");
        if (r >= 0)
                r = append_signed_headers(ret, sorted, n);
        if (r >= 0)
                r = bytes_text(ret, "\n");
        return r < 0 ? r : append_sha256(ret, s->body, s->body_size);
}

/* "20150830/us-east-1/service/aws4_request" */
static int append_scope(struct bytes *b, const struct scheme_rules *rule, const struct signing_key *key,
                        const char *date) {
        return bytes_printf(b, "%.8s/%s/%s%s", date, key->region, key->service, rule->scope_end);
}

int signing_string_to_sign(enum signing_scheme scheme, const struct signable *s,
                           const struct signing_key *key, const char *date, struct bytes *ret) {
        const struct scheme_rules *rule = &rules[scheme];
        _cleanup_bytes_ struct bytes canonical = BYTES_NULL;
        int r = signing_canonical_request(scheme, s, &canonical);

        if (r >= 0)
                r = bytes_printf(ret, "%s\n%s\n", rule->name, date);
        if (r >= 0 && rule->scope)
                r = append_scope(ret, rule, key, date);
        if (r >= 0 && rule->scope)
                r = bytes_text(ret, "\n");
        return r < 0 ? r : append_sha256(ret, canonical.data, canonical.size);
}

static int hmac(const void *key, size_t key_size, const void *data, size_t n,
                uint8_t ret[static SHA256_DIGEST_LENGTH]) {
        return HMAC(EVP_sha256(), key, (int)key_size, data, n, ret, NULL) ? 0 : -EIO;
}

/* HKDF with the access key as salt; the result is used as its hexadecimal text. */
static int derive_v11(const struct signing_key *key, const char *date, struct bytes *ret) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
        uint8_t derived[SHA256_DIGEST_LENGTH];
        char text[2 * sizeof(derived) + 1], scope[256];
        size_t n = sizeof(derived);
        int r = -EIO;

        if (snprintf(scope, sizeof(scope), "%.8s/%s/%s", date, key->region, key->service) >=
            (int)sizeof(scope))
                r = -EINVAL;
        else if (context && EVP_PKEY_derive_init(context) > 0 &&
                 EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) > 0 &&
                 EVP_PKEY_CTX_set1_hkdf_salt(context, (const uint8_t *)key->access_key,
                                             (int)strlen(key->access_key)) > 0 &&
                 EVP_PKEY_CTX_set1_hkdf_key(context, (const uint8_t *)key->secret_key,
                                            (int)strlen(key->secret_key)) > 0 &&
                 EVP_PKEY_CTX_add1_hkdf_info(context, (const uint8_t *)scope, (int)strlen(scope)) > 0 &&
                 EVP_PKEY_derive(context, derived, &n) > 0) {
                format_hex(derived, sizeof(derived), text);
                r = bytes_text(ret, text);
        }
        EVP_PKEY_CTX_free(context);
        explicit_bzero(derived, sizeof(derived));
        explicit_bzero(text, sizeof(text));
        return r;
}

static int derive_aws4(const struct signing_key *key, const char *date, struct bytes *ret) {
        _cleanup_bytes_ struct bytes secret = BYTES_NULL;
        const char *steps[] = { key->region, key->service, "aws4_request" };
        uint8_t derived[SHA256_DIGEST_LENGTH];
        int r = bytes_printf(&secret, "AWS4%s", key->secret_key);

        if (r >= 0)
                r = hmac(secret.data, secret.size, date, 8, derived);
        for (size_t i = 0; i < ELEMENTSOF(steps) && r >= 0; i++)
                r = hmac(derived, sizeof(derived), steps[i], strlen(steps[i]), derived);
        if (r >= 0)
                r = bytes_append(ret, derived, sizeof(derived));
        explicit_bzero(derived, sizeof(derived));
        return r;
}

static int signing_secret(enum signing_scheme scheme, const struct signing_key *key, const char *date,
                          struct bytes *ret) {
        switch (scheme) {
        case SIGNING_V11_HMAC_SHA256:
                return derive_v11(key, date, ret);
        case SIGNING_AWS4_HMAC_SHA256:
                return derive_aws4(key, date, ret);
        default:
                return bytes_text(ret, key->secret_key);
        }
}

int signing_authorization(enum signing_scheme scheme, const struct signable *s, const struct signing_key *key,
                          const char *date, struct bytes *ret) {
        const struct scheme_rules *rule = &rules[scheme];
        _cleanup_bytes_ struct bytes to_sign = BYTES_NULL, secret = BYTES_NULL;
        struct sorted_header sorted[SIGNING_HEADERS_MAX];
        uint8_t signature[SHA256_DIGEST_LENGTH];
        char text[2 * sizeof(signature) + 1];
        int n = sort_headers(rule, s, sorted), r;

        if (n < 0)
                return n;
        if (strlen(date) != SIGNING_DATE_SIZE - 1 || (rule->scope && (!key->region || !key->service)))
                return -EINVAL;
        r = signing_string_to_sign(scheme, s, key, date, &to_sign);
        if (r >= 0)
                r = signing_secret(scheme, key, date, &secret);
        if (r >= 0)
                r = hmac(secret.data, secret.size, to_sign.data, to_sign.size, signature);
        if (r < 0)
                return r;
        format_hex(signature, sizeof(signature), text);
        r = bytes_printf(ret, "%s %s%s%s", rule->name, rule->key_word, key->access_key,
                         rule->scope ? "/" : "");
        if (r >= 0 && rule->scope)
                r = append_scope(ret, rule, key, date);
        if (r >= 0)
                r = bytes_text(ret, ", SignedHeaders=");
        if (r >= 0)
                r = append_signed_headers(ret, sorted, n);
        return r < 0 ? r : bytes_printf(ret, ", Signature=%s", text);
}
