/* SPDX-License-Identifier: Apache-2.0 */

/* The text form of a policy, qt-attestation-policy(5). Nothing is guessed and nothing is passed over. */

#include "attest/certificate.h"
#include "attest/digest.h"
#include "attest/pem.h"
#include "attest/policy.h"
#include "base/cleanup.h"
#include "base/parse.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#define MAX_FILE (1 << 20)

/* Where the sentence about a wrong policy goes. */
struct complaint {
        char *text;
        size_t size;
};

static int complain(const struct complaint *c, const char *format, ...) _printf_(2, 3);

static int complain(const struct complaint *c, const char *format, ...) {
        va_list arguments;

        if (c->text && c->size > 0) {
                va_start(arguments, format);
                (void)vsnprintf(c->text, c->size, format, arguments);
                va_end(arguments);
        }
        return -EBADMSG;
}

/* Text without NUL inside, so that a C string is all of it. */
static const char *plain_text(const json_t *value) {
        const char *text = json_string_value(value);

        return text && strlen(text) == json_string_length(value) ? text : NULL;
}

/* "2027-01-31T12:00:00Z" is GeneralizedTime with punctuation. */
bool parse_rfc3339(const char *text, int64_t *ret_ms) {
        static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
        uint8_t element[17] = { DER_GENERALIZED_TIME, 15 };
        struct der d = der_over((struct span){ element, sizeof(element) });
        size_t n = 2;
        int64_t seconds;

        if (strlen(text) != sizeof(form) - 1)
                return false;
        for (size_t i = 0; form[i]; i++) {
                if (form[i] == 'd')
                        element[n++] = (uint8_t)text[i];
                else if (text[i] != form[i])
                        return false;
        }
        element[n] = 'Z';
        seconds = der_take_time(&d);
        *ret_ms = seconds * 1000;
        return der_done(&d);
}

static int read_profile(const json_t *value, unsigned *ret, const struct complaint *c) {
        const char *text = plain_text(value);

        if (text && strcmp(text, "nitro") == 0)
                *ret = QTATTEST_NITRO;
        else if (text && strcmp(text, "qingtian") == 0)
                *ret = QTATTEST_QINGTIAN;
        else
                return complain(c, "Profile is neither \"nitro\" nor \"qingtian\"");
        return 0;
}

static int read_names(const char *member, const json_t *value, struct name_list *ret,
                      const struct complaint *c) {
        size_t n = json_array_size(value);

        if (!json_is_array(value) || n == 0 || n > POLICY_MAX_NAMES)
                return complain(c, "%s must be a list of 1 to %d texts", member, POLICY_MAX_NAMES);
        for (size_t i = 0; i < n; i++) {
                const char *text = plain_text(json_array_get(value, i));

                if (!text || !*text)
                        return complain(c, "%s holds something that is no text", member);
                ret->names[ret->n] = strdup(text);
                if (!ret->names[ret->n])
                        return -ENOMEM;
                ret->n++;
        }
        return 0;
}

static int pin_pcr(struct pcr_set *set, unsigned index, const uint8_t *value, size_t size,
                   const struct complaint *c) {
        if (set->pinned & 1u << index)
                return complain(c, "a PCR set names PCR%u twice (Role is PCR3, Instance is PCR4)", index);
        set->pinned |= 1u << index;
        set->sizes[index] = (uint8_t)size;
        memcpy(set->values[index], value, size);
        return 0;
}

static int read_pcr(struct pcr_set *set, const char *member, const json_t *value, const struct complaint *c) {
        const char *text = plain_text(value);
        uint8_t bytes[64];
        uint32_t index;
        size_t size;

        /* "PCR07" would be a second name for the same. */
        if (parse_u32(member + 3, 0, DOCUMENT_PCRS - 1, &index) < 0 ||
            strlen(member + 3) != (index < 10 ? 1 : 2))
                return complain(c, "a PCR set has a member %s; PCR0 to PCR31 exist", member);
        size = text ? strlen(text) / 2 : 0;
        if ((size != 32 && size != 48 && size != 64) || parse_hex(text, bytes, size) < 0)
                return complain(c, "%s must be 64, 96 or 128 hexadecimal digits", member);
        return pin_pcr(set, index, bytes, size, c);
}

/* PCR3 or PCR4 from the text that the platform extends it with. */
static int read_derived(struct pcr_set *set, unsigned index, const char *member, const json_t *value,
                        const struct complaint *c) {
        const char *text = plain_text(value);
        uint8_t bytes[SHA384_BYTES];

        if (!text || !*text)
                return complain(c, "%s must be a text", member);
        if (!digest_first_extend((struct span){ (const uint8_t *)text, strlen(text) }, bytes))
                return -ENOMEM;
        return pin_pcr(set, index, bytes, sizeof(bytes), c);
}

static int read_set(const json_t *object, struct pcr_set *set, const struct complaint *c) {
        const char *member;
        json_t *value;

        if (!json_is_object(object))
                return complain(c, "PcrSets holds something that is no object");
        set->profiles = QTATTEST_ANY;
        json_object_foreach((json_t *)object, member, value) {
                int r;

                if (strcmp(member, "Name") == 0) {
                        const char *name = plain_text(value);

                        if (!name || !*name || strlen(name) >= RESULT_MAX_NAME)
                                return complain(c, "the Name of a PCR set must be a text under %d bytes",
                                                RESULT_MAX_NAME);
                        set->name = strdup(name);
                        r = set->name ? 0 : -ENOMEM;
                } else if (strcmp(member, "Profile") == 0)
                        r = read_profile(value, &set->profiles, c);
                else if (strcmp(member, "Role") == 0)
                        r = read_derived(set, 3, member, value, c);
                else if (strcmp(member, "Instance") == 0)
                        r = read_derived(set, 4, member, value, c);
                else if (strncmp(member, "PCR", 3) == 0)
                        r = read_pcr(set, member, value, c);
                else
                        return complain(c, "a PCR set has an unknown member %s", member);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_sets(const json_t *value, struct qtattest_policy *p, const struct complaint *c) {
        size_t n = json_array_size(value);

        if (!json_is_array(value) || n > POLICY_MAX_SETS)
                return complain(c, "PcrSets must be a list of at most %d objects", POLICY_MAX_SETS);
        p->sets = calloc(n ? n : 1, sizeof(*p->sets));
        if (!p->sets)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                int r;

                p->n_sets = i + 1;
                r = read_set(json_array_get(value, i), &p->sets[i], c);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_required(const char *member, const json_t *value, bool *ret, const struct complaint *c) {
        const char *text = plain_text(value);

        if (!text || strcmp(text, "required") != 0)
                return complain(c, "%s must be \"required\"", member);
        *ret = true;
        return 0;
}

static int read_public_key(const json_t *value, struct qtattest_policy *p, const struct complaint *c) {
        const char *text = plain_text(value);

        if (text && strcmp(text, "rsa") == 0)
                p->needs_rsa_key = true;
        else if (text && strcmp(text, "required") == 0)
                p->needs_public_key = true;
        else
                return complain(c, "PublicKey must be \"required\" or \"rsa\"");
        return 0;
}

static int read_times(const char *member, const json_t *value, struct qtattest_policy *p,
                      const struct complaint *c) {
        const char *text = plain_text(value);
        uint64_t usec;

        if (strcmp(member, "Expires") == 0) {
                if (!text || !parse_rfc3339(text, &p->expires_ms))
                        return complain(c, "Expires must be a time such as \"2027-01-31T12:00:00Z\"");
                return 0;
        }
        if (!text || parse_duration(text, &usec) < 0 || usec < 1000)
                return complain(c, "MaxAge must be a duration such as \"5min\"");
        p->max_age_ms = usec / 1000;
        return 0;
}

static int read_member(const char *member, const json_t *value, struct qtattest_policy *p,
                       const struct complaint *c) {
        if (strcmp(member, "Version") == 0) {
                if (!json_is_integer(value) || json_integer_value(value) != 1)
                        return complain(c, "Version must be 1");
                return 0;
        }
        /* For the reader of the file, who copies them into a cloud's console. */
        if (strcmp(member, "Conditions") == 0)
                return json_is_object(value) ? 0 : complain(c, "Conditions must be an object");
        if (strcmp(member, "Profile") == 0)
                return read_profile(value, &p->profiles, c);
        if (strcmp(member, "Expires") == 0 || strcmp(member, "MaxAge") == 0)
                return read_times(member, value, p, c);
        if (strcmp(member, "PcrSets") == 0)
                return read_sets(value, p, c);
        if (strcmp(member, "ModuleIds") == 0)
                return read_names(member, value, &p->module_ids, c);
        if (strcmp(member, "Regions") == 0)
                return read_names(member, value, &p->regions, c);
        if (strcmp(member, "Nonce") == 0)
                return read_required(member, value, &p->needs_nonce, c);
        if (strcmp(member, "UserData") == 0)
                return read_required(member, value, &p->needs_user_data, c);
        if (strcmp(member, "PublicKey") == 0)
                return read_public_key(value, p, c);
        return complain(c, "the policy has an unknown member %s", member);
}

static void free_names(struct name_list *list) {
        for (size_t i = 0; i < list->n; i++)
                free(list->names[i]);
}

void qtattest_policy_free(struct qtattest_policy *policy) {
        if (!policy)
                return;
        for (size_t i = 0; i < policy->n_sets; i++)
                free(policy->sets[i].name);
        free(policy->sets);
        free_names(&policy->module_ids);
        free_names(&policy->regions);
        free(policy);
}

DEFINE_CLEANUP(struct qtattest_policy *, qtattest_policy_free)

int qtattest_policy_parse(const char *json, size_t size, struct qtattest_policy **ret, char *error,
                          size_t error_size) {
        _cleanup_(qtattest_policy_freep) struct qtattest_policy *p = NULL;
        struct complaint c = { error, error_size };
        json_auto_t *root = NULL;
        json_error_t where;
        const char *member;
        json_t *value;

        if (size > MAX_FILE)
                return complain(&c, "the policy is larger than 1 MiB");
        root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &where);
        if (!root)
                return complain(&c, "line %d: %s", where.line, where.text);
        if (!json_is_object(root))
                return complain(&c, "the policy is no JSON object");
        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        p->profiles = QTATTEST_ANY;
        p->expires_ms = INT64_MAX;
        json_object_foreach(root, member, value) {
                int r = read_member(member, value, p, &c);

                if (r < 0)
                        return r;
        }
        *ret = TAKE(p);
        return 0;
}

int qtattest_policy_check_signature(const void *json, size_t size, const void *signature,
                                    size_t signature_size, const void *public_key, size_t public_key_size) {
        _cleanup_free_ uint8_t *der = NULL;
        struct span signed_part = { json, size }, point;
        struct signature numbers;
        struct p384 *curve;
        uint8_t hash[SHA384_BYTES];
        size_t der_size;
        struct der file;
        int r;

        r = pem_or_der(public_key, public_key_size, "PUBLIC KEY", &der, &der_size);
        if (r < 0)
                return r;
        file = der_over((struct span){ der, der_size });
        point = public_key_point(der_enter(&file, DER_SEQUENCE));
        if (!point.data || !der_done(&file) ||
            !signature_parse((struct span){ signature, signature_size }, &numbers))
                return -EBADMSG;
        if (!digest_sha384(&signed_part, 1, hash))
                return -ENOMEM;
        r = p384_new(&curve);
        if (r < 0)
                return r;
        r = p384_verify(curve, point.data, hash, numbers.r, numbers.s) ? 0 : -EKEYREJECTED;
        p384_free(curve);
        return r;
}
