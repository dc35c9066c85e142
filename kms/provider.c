/* SPDX-License-Identifier: Apache-2.0 */

#include "kms/provider.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static const struct provider *const providers[] = { &provider_huawei, &provider_aws };

const struct provider *provider_find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(providers); i++)
                if (strcmp(providers[i]->name, name) == 0)
                        return providers[i];
        return NULL;
}

/* "plain_text", "Plaintext" and "PLAIN-TEXT" are one name. */
static bool same_word(const char *a, const char *b) {
        for (;;) {
                a += strspn(a, "_-");
                b += strspn(b, "_-");
                if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
                        return false;
                if (!*a)
                        return true;
                a++;
                b++;
        }
}

bool provider_names_plaintext(const char *member) {
        for (size_t i = 0; i < ELEMENTSOF(providers); i++)
                for (size_t k = 0; providers[i]->plaintext[k]; k++)
                        if (same_word(providers[i]->plaintext[k], member))
                                return true;
        return false;
}

int provider_operation(const struct provider *p, const char *name, enum kms_operation *ret) {
        for (int i = 0; i < KMS_OPERATION_MAX; i++)
                if (p->operations[i] && strcmp(p->operations[i], name) == 0) {
                        *ret = (enum kms_operation)i;
                        return 0;
                }
        return -ENOENT;
}

void credentials_done(struct credentials *c) {
        secret_text_free(c->access_key);
        secret_text_free(c->secret_key);
        secret_text_free(c->token);
        *c = CREDENTIALS_NULL;
}

int credentials_copy(struct credentials *to, const struct credentials *from) {
        _cleanup_credentials_ struct credentials copy = { .expires_usec = from->expires_usec };

        copy.access_key = from->access_key ? strdup(from->access_key) : NULL;
        copy.secret_key = from->secret_key ? strdup(from->secret_key) : NULL;
        copy.token = from->token ? strdup(from->token) : NULL;
        if ((from->access_key && !copy.access_key) || (from->secret_key && !copy.secret_key) ||
            (from->token && !copy.token))
                return -ENOMEM;
        *to = copy;
        copy = CREDENTIALS_NULL;
        return 0;
}

bool credential_is_valid(const char *text, size_t length) {
        for (size_t i = 0; i < length; i++)
                if (text[i] <= ' ' || text[i] > '~')
                        return false;
        return length > 0;
}

static bool all_valid(const struct credentials *c) {
        return credential_is_valid(c->access_key, strlen(c->access_key)) &&
               credential_is_valid(c->secret_key, strlen(c->secret_key)) &&
               (!c->token || credential_is_valid(c->token, strlen(c->token)));
}

int credentials_from_environment(struct credentials *ret) {
        static const char *const names[][3] = {
                { "HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN" },
                { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN" },
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const struct credentials found = { getenv(names[i][0]), getenv(names[i][1]),
                                                   getenv(names[i][2]), 0 };

                if (found.access_key && found.secret_key)
                        return all_valid(&found) ? credentials_copy(ret, &found) : -EINVAL;
        }
        return -ENOENT;
}
