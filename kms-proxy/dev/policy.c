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

static bool condition_valid(const json_t *condition) {
        const char *operator_name, *key;
        json_t *tests, *value;

        json_object_foreach((json_t *)condition, operator_name, tests) {
                if (strcmp(operator_name, "StringEqualsIgnoreCase") != 0 || !json_is_object(tests))
                        return false;
                json_object_foreach(tests, key, value) {
                        if (pcr_of_key(key) < 0 || (!json_is_string(value) && !json_is_array(value)))
                                return false;
                }
        }
        return !condition || json_is_object(condition);
}

static bool statement_valid(const json_t *s) {
        const char *effect = json_string_value(json_object_get(s, "Effect")), *other;
        const json_t *action = json_object_get(s, "Action");

        return json_is_object(s) && json_only(s, statement_members, &other) && effect &&
               (strcmp(effect, "Allow") == 0 || strcmp(effect, "Deny") == 0) &&
               (json_is_string(action) || json_is_array(action)) &&
               condition_valid(json_object_get(s, "Condition"));
}

int kms_policy_load(const char *path, json_t **ret, struct error *reterr) {
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
                if (!statement_valid(s))
                        return error_set(
                                reterr, ERROR_CONFIG_INVALID,
                                "%s: statement %zu is not understood; it may have Effect, Action, Resource "
                                "and "
                                "a Condition StringEqualsIgnoreCase on kms:RecipientAttestation/PCRn",
                                path, i + 1);
        }
        *ret = TAKE(root);
        return 0;
}

static bool equals(const json_t *value, const char *text) {
        const char *single = json_string_value(value);

        return single && text && strcasecmp(single, text) == 0;
}

static bool equals_or_star(const json_t *value, const char *text) {
        const char *single = json_string_value(value);

        return (single && strcmp(single, "*") == 0) || equals(value, text);
}

/* A text, or a list of which one must match. */
static bool any_matches(const json_t *value, const char *text,
                        bool (*matches)(const json_t *value, const char *text)) {
        json_t *item;
        size_t i;

        if (!json_is_array(value))
                return matches(value, text);
        json_array_foreach(value, i, item) {
                if (matches(item, text))
                        return true;
        }
        return false;
}

static bool pcr_matches(const json_t *value, const uint8_t *pcr) {
        char text[2 * PCR_SIZE + 1];

        if (!pcr)
                return false;
        format_hex(pcr, PCR_SIZE, text);
        return any_matches(value, text, equals); /* of a measurement '*' is none: the operator is "equals" */
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

        return (any_matches(action, call->action[0], equals_or_star) ||
                any_matches(action, call->action[1], equals_or_star)) &&
               (!resource || any_matches(resource, call->key_id, equals_or_star)) &&
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
