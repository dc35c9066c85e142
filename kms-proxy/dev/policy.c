/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/dev/policy.h"

#include "base/io.h"
#include "base/parse.h"
#include "kms/json.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>

#define FILE_MAX ((size_t)1 << 20)
#define PCR_SIZE 48

const struct kms_policy_action kms_policy_actions[KMS_OPERATION_MAX + 1] = {
        [KMS_DECRYPT] = { "kms:cmk:decrypt", "kms:Decrypt" },
        [KMS_DATAKEY] = { "kms:dek:create", "kms:GenerateDataKey" },
        [KMS_DATAKEY_DECRYPT] = { "kms:dek:decrypt", "kms:Decrypt" },
        [KMS_RANDOM] = { "kms:cmk:generate", "kms:GenerateRandom" },
        [KMS_POLICY_ENCRYPT] = { "kms:cmk:encrypt", "kms:Encrypt" },
};

static const char *const statement_members[] = { "Sid", "Effect", "Action", "Resource", "Condition", NULL };

/* "kms:RecipientAttestation/PCR8" (Huawei), "kms:RecipientAttestation:PCR8" and ":ImageSha384" (AWS). */
static int pcr_of_key(const char *key) {
        static const char prefix[] = "kms:RecipientAttestation";
        const char *rest = key + sizeof(prefix) - 1;
        uint32_t index;

        if (strncmp(key, prefix, sizeof(prefix) - 1) != 0 || (*rest != '/' && *rest != ':'))
                return -1;
        if (strcmp(rest, ":ImageSha384") == 0)
                return 0;
        if (strncmp(rest + 1, "PCR", 3) != 0 || parse_u32(rest + 4, 0, 31, &index) < 0)
                return -1;
        return (int)index;
}

/* A name, or the beginning of names and '*'. */
static bool pattern_matches(const char *pattern, const char *text) {
        size_t n = strlen(pattern);

        if (n && pattern[n - 1] == '*')
                return strncasecmp(pattern, text, n - 1) == 0;
        return strcasecmp(pattern, text) == 0;
}

static bool names_action(const char *pattern, const struct kms_policy_action *action) {
        return pattern_matches(pattern, action->huawei) || pattern_matches(pattern, action->aws);
}

static bool action_valid(const char *text, const json_t *keys _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(kms_policy_actions); i++)
                if (names_action(text, &kms_policy_actions[i]))
                        return true;
        return false;
}

static bool resource_valid(const char *text, const json_t *keys) {
        const char *id;
        json_t *value;

        json_object_foreach((json_t *)keys, id, value) {
                if (pattern_matches(text, id))
                        return true;
        }
        return false;
}

static bool measurement_valid(const char *text, const json_t *keys _unused_) {
        uint8_t pcr[PCR_SIZE];

        return parse_hex(text, pcr, sizeof(pcr)) >= 0;
}

/* A policy that is being looked at, and where in it. */
struct reading {
        const char *path;
        size_t statement;
        const json_t *keys;
        struct error *reterr;
};

static int refuse(const struct reading *p, const char *member, const char *item, const char *rule) {
        return error_set(p->reterr, ERROR_CONFIG_INVALID, "%s: statement %zu: %s%s%.128s%s %s", p->path,
                         p->statement, member, item ? " \"" : "", item ? item : "", item ? "\"" : "", rule);
}

/* A text, or a list of some. */
static int check_texts(const struct reading *p, const char *member, const json_t *value,
                       bool (*valid)(const char *text, const json_t *keys), const char *rule) {
        size_t n = json_is_array(value) ? json_array_size(value) : 1;

        for (size_t i = 0; i < n; i++) {
                const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
                const char *text = json_string_value(item);

                if (!text)
                        return refuse(p, member, NULL, "must be a text or a list of texts");
                if (!valid(text, p->keys))
                        return refuse(p, member, text, rule);
        }
        return n ? 0 : refuse(p, member, NULL, "must not be empty");
}

static int check_condition(const struct reading *p, const json_t *condition) {
        const char *operator_name, *key;
        json_t *tests, *value;

        if (condition && !json_is_object(condition))
                return refuse(p, "Condition", NULL, "must be an object");
        json_object_foreach((json_t *)condition, operator_name, tests) {
                if (strcmp(operator_name, "StringEqualsIgnoreCase") != 0 || !json_is_object(tests))
                        return refuse(p, "Condition", operator_name, "must be StringEqualsIgnoreCase: {…}");
                json_object_foreach(tests, key, value) {
                        int r = pcr_of_key(key) >= 0
                                        ? check_texts(p, key, value, measurement_valid,
                                                      "must be a measurement: 96 hexadecimal digits")
                                        : refuse(p, "Condition", key,
                                                 "must be on kms:RecipientAttestation/PCRn, or AWS's :PCRn "
                                                 "or :ImageSha384");

                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int check_statement(const struct reading *p, const json_t *s) {
        const char *effect = json_string_value(json_object_get(s, "Effect")), *other = NULL;
        const json_t *resource = json_object_get(s, "Resource");
        int r;

        if (!json_is_object(s) || !json_only(s, statement_members, &other))
                return refuse(p, "member", other,
                              "is not understood; it may have Effect, Action, Resource and Condition");
        if (!effect || (strcmp(effect, "Allow") != 0 && strcmp(effect, "Deny") != 0))
                return refuse(p, "Effect", effect, "must be Allow or Deny");
        r = check_texts(p, "Action", json_object_get(s, "Action"), action_valid,
                        "is no action of this service; qt-dev-kms(1) lists them");
        if (r >= 0 && resource)
                r = check_texts(p, "Resource", resource, resource_valid, "is the id of no key in keys.json");
        return r < 0 ? r : check_condition(p, json_object_get(s, "Condition"));
}

int kms_policy_load(const char *path, const json_t *keys, json_t **ret, struct error *reterr) {
        struct reading reading = { .path = path, .keys = keys, .reterr = reterr };
        _cleanup_json_ json_t *root = NULL;
        _cleanup_free_ char *text = NULL;
        const json_t *statements;
        size_t size, i;
        json_t *s;
        int r = read_text_file(AT_FDCWD, path, FILE_MAX, &text, &size);

        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read the policy %s", path);
        root = json_parse_own(text, size);
        statements = json_object_get(root, "Statement");
        if (!json_is_array(statements))
                return error_set(reterr, ERROR_CONFIG_INVALID, "%s: no JSON object with a Statement array",
                                 path);
        json_array_foreach(statements, i, s) {
                reading.statement = i + 1;
                r = check_statement(&reading, s);
                if (r < 0)
                        return r;
        }
        *ret = TAKE(root);
        return 0;
}

/* A text, or a list of which one must match. */
static bool any_matches(const json_t *value, const char *text) {
        json_t *item;
        size_t i;

        if (!json_is_array(value))
                return pattern_matches(json_string_value(value), text);
        json_array_foreach(value, i, item) {
                if (pattern_matches(json_string_value(item), text))
                        return true;
        }
        return false;
}

static bool pcr_matches(const json_t *value, const uint8_t *pcr) {
        char text[2 * PCR_SIZE + 1];

        if (!pcr)
                return false;
        format_hex(pcr, PCR_SIZE, text);
        return any_matches(value, text);
}

static bool conditions_match(const json_t *condition, const struct kms_policy_call *call) {
        const char *operator_name, *key;
        json_t *tests, *value;

        json_object_foreach((json_t *)condition, operator_name, tests) {
                json_object_foreach(tests, key, value) {
                        if (!pcr_matches(value, call->pcrs[pcr_of_key(key)]))
                                return false;
                }
        }
        return true;
}

static bool statement_matches(const json_t *s, const struct kms_policy_call *call) {
        const json_t *action = json_object_get(s, "Action"), *resource = json_object_get(s, "Resource");

        return (any_matches(action, call->action->huawei) || any_matches(action, call->action->aws)) &&
               (!resource || any_matches(resource, call->key_id ? call->key_id : "")) &&
               conditions_match(json_object_get(s, "Condition"), call);
}

bool kms_policy_allows(const json_t *policy, const struct kms_policy_call *call) {
        bool allowed = false;
        json_t *s;
        size_t i;

        json_array_foreach(json_object_get(policy, "Statement"), i, s) {
                if (!statement_matches(s, call))
                        continue;
                if (strcmp(json_string_value(json_object_get(s, "Effect")), "Deny") == 0)
                        return false;
                allowed = true;
        }
        return allowed;
}
