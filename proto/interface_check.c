/* SPDX-License-Identifier: Apache-2.0 */

#include "proto/interface.h"

#include <string.h>

#define CHECK_DEPTH_MAX 32

static const char *json_type_name(const json_t *value) {
        static const char *const names[] = { [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
                                             [JSON_STRING] = "a string",  [JSON_INTEGER] = "a whole number",
                                             [JSON_REAL] = "a fraction",  [JSON_TRUE] = "true",
                                             [JSON_FALSE] = "false",      [JSON_NULL] = "null" };

        return names[json_typeof(value)];
}

static const char *idl_kind_name(enum idl_kind kind) {
        static const char *const names[] = {
                [IDL_BOOL] = "true or false", [IDL_INT] = "a whole number", [IDL_FLOAT] = "a number",
                [IDL_STRING] = "a string",    [IDL_ANY] = "an object",      [IDL_ENUM] = "one of its words",
                [IDL_STRUCT] = "an object",   [IDL_ARRAY] = "an array",     [IDL_MAP] = "an object",
                [IDL_NAMED] = "an object"
        };

        return names[kind];
}

static bool kind_matches(enum idl_kind kind, const json_t *value) {
        switch (kind) {
        case IDL_BOOL:
                return json_is_boolean(value);
        case IDL_INT:
                return json_is_integer(value);
        case IDL_FLOAT:
                return json_is_number(value);
        case IDL_STRING:
        case IDL_ENUM:
                return json_is_string(value);
        case IDL_ARRAY:
                return json_is_array(value);
        case IDL_ANY:
        case IDL_STRUCT:
        case IDL_MAP:
                return json_is_object(value);
        case IDL_NAMED:
                break;
        }
        return false;
}

static const struct idl_field *find_field(const struct idl_type *t, const char *name) {
        for (const struct idl_field *f = t->fields; f; f = f->next)
                if (strcmp(f->name, name) == 0)
                        return f;
        return NULL;
}

static int check(const struct idl_type *t, const json_t *value, const char *path, unsigned depth,
                 struct error *reterr);

/* A member's path for messages; cut short when somebody nests long names. */
static void member_path(char *ret, size_t size, const char *path, const char *name) {
        (void)snprintf(ret, size, "%s%s%s", path, *path ? "." : "", name);
}

static int check_struct(const struct idl_type *t, const json_t *value, const char *path, unsigned depth,
                        struct error *reterr) {
        json_t *object = (json_t *)value, *member; /* jansson's iterators are not for constants */
        char inner[128];
        int r;

        for (const struct idl_field *f = t->fields; f; f = f->next) {
                member = json_object_get(value, f->name);
                member_path(inner, sizeof(inner), path, f->name);
                if (!member && f->type->nullable)
                        continue;
                if (!member)
                        return error_set(reterr, ERROR_INVALID_PARAMETER, "parameter %s is missing", inner);
                r = check(f->type, member, inner, depth + 1, reterr);
                if (r < 0)
                        return r;
        }
        for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
                if (find_field(t, json_object_iter_key(i)))
                        continue;
                member_path(inner, sizeof(inner), path, json_object_iter_key(i));
                return error_set(reterr, ERROR_INVALID_PARAMETER, "parameter %s is unknown", inner);
        }
        return 0;
}

static int check_array(const struct idl_type *t, const json_t *value, const char *path, unsigned depth,
                       struct error *reterr) {
        char inner[128];
        int r;

        for (size_t i = 0; i < json_array_size(value); i++) {
                (void)snprintf(inner, sizeof(inner), "%s[%zu]", path, i);
                r = check(t->element, json_array_get(value, i), inner, depth + 1, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_map(const struct idl_type *t, const json_t *value, const char *path, unsigned depth,
                     struct error *reterr) {
        json_t *object = (json_t *)value;
        char inner[128];
        int r;

        for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
                member_path(inner, sizeof(inner), path, json_object_iter_key(i));
                r = check(t->element, json_object_iter_value(i), inner, depth + 1, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check(const struct idl_type *t, const json_t *value, const char *path, unsigned depth,
                 struct error *reterr) {
        bool nullable = t->nullable;

        if (depth > CHECK_DEPTH_MAX)
                return error_set(reterr, ERROR_INVALID_PARAMETER, "parameter %s is nested deeper than %d",
                                 path, CHECK_DEPTH_MAX);
        for (unsigned hops = 0; t->kind == IDL_NAMED && hops < CHECK_DEPTH_MAX; hops++) {
                t = t->resolved;
                nullable = nullable || t->nullable;
        }
        if (nullable && json_is_null(value))
                return 0;
        if (!kind_matches(t->kind, value))
                return error_set(reterr, ERROR_INVALID_PARAMETER, "parameter %s is %s; it must be %s", path,
                                 json_type_name(value), idl_kind_name(t->kind));
        switch (t->kind) {
        case IDL_ENUM:
                if (!find_field(t, json_string_value(value)))
                        return error_set(reterr, ERROR_INVALID_PARAMETER,
                                         "parameter %s is \"%.64s\", which is none of its words", path,
                                         json_string_value(value));
                return 0;
        case IDL_STRUCT:
                return check_struct(t, value, path, depth, reterr);
        case IDL_ARRAY:
                return check_array(t, value, path, depth, reterr);
        case IDL_MAP:
                return check_map(t, value, path, depth, reterr);
        case IDL_BOOL:
        case IDL_INT:
        case IDL_FLOAT:
        case IDL_STRING:
        case IDL_ANY:
        case IDL_NAMED:
                break;
        }
        return 0;
}

int interface_check(const struct idl_type *type, const json_t *value, struct error *reterr) {
        json_auto_t *empty = NULL;

        if (!value) {
                value = empty = json_object();
                if (!empty)
                        return error_set(reterr, ERROR_INTERNAL, "out of memory");
        }
        if (!json_is_object(value))
                return error_set(reterr, ERROR_INVALID_PARAMETER, "parameters are %s; they must be an object",
                                 json_type_name(value));
        return check(type, value, "", 0, reterr);
}
