/* SPDX-License-Identifier: Apache-2.0 */

#include "base/app_config.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum key {
        KEY_ARGUMENT,
        KEY_ENVIRONMENT,
        KEY_WORKDIR,
        KEY_USER,
        KEY_MAX,
};

static const char *const key_names[KEY_MAX] = {
        [KEY_ARGUMENT] = "arg=",
        [KEY_ENVIRONMENT] = "env=",
        [KEY_WORKDIR] = "workdir=",
        [KEY_USER] = "user=",
};

/* A value may be hostile and long: show a piece of it. */
#define SHOWN 40

static int check_name_part(const char *part, size_t length, const char *user, struct error *reterr) {
        if (length == 0)
                return error_set(
                        reterr, ERROR_IMAGE_INVALID,
                        "user \"%.*s\": a part of it is empty; write NAME, NAME:GROUP, UID or UID:GID", SHOWN,
                        user);
        for (size_t i = 0; i < length; i++)
                if (part[i] <= 0x20 || part[i] >= 0x7f || part[i] == '/' || part[i] == ':')
                        return error_set(
                                reterr, ERROR_IMAGE_INVALID,
                                "user \"%.*s\": only printable ASCII without space, slash and a second "
                                "colon is allowed; write NAME, NAME:GROUP, UID or UID:GID",
                                SHOWN, user);
        return 0;
}

int app_config_split_user(const char *user, char *ret_name, char *ret_group, struct error *reterr) {
        const char *colon = strchr(user, ':');
        size_t length = strlen(user), name_length = colon ? (size_t)(colon - user) : length;
        int r;

        if (length > APP_CONFIG_USER_MAX)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE, "user: %zu bytes, the limit is %d", length,
                                 APP_CONFIG_USER_MAX);
        r = check_name_part(user, name_length, user, reterr);
        if (r == 0 && colon)
                r = check_name_part(colon + 1, length - name_length - 1, user, reterr);
        if (r < 0)
                return r;
        if (ret_name) {
                memcpy(ret_name, user, name_length);
                ret_name[name_length] = 0;
        }
        if (ret_group) {
                size_t group_length = colon ? length - name_length - 1 : 0;

                if (colon)
                        memcpy(ret_group, colon + 1, group_length);
                ret_group[group_length] = 0;
        }
        return 0;
}

static int check_value(enum key key, const char *value, struct error *reterr) {
        size_t length = strlen(value);

        if (length > APP_CONFIG_TEXT_MAX)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE, "%s\"%.*s…\": %zu bytes, the limit is %zu",
                                 key_names[key], SHOWN, value, length, APP_CONFIG_TEXT_MAX);
        switch (key) {
        case KEY_ENVIRONMENT:
                if (value[0] == '=' || !strchr(value, '='))
                        return error_set(
                                reterr, ERROR_IMAGE_INVALID,
                                "environment \"%.*s\": write NAME=VALUE with a name that is not empty", SHOWN,
                                value);
                return 0;
        case KEY_WORKDIR:
                if (value[0] != '/')
                        return error_set(reterr, ERROR_IMAGE_INVALID,
                                         "workdir \"%.*s\": must be absolute, starting with /", SHOWN, value);
                if (length > APP_CONFIG_WORKDIR_MAX)
                        return error_set(reterr, ERROR_IMAGE_TOO_LARGE, "workdir: %zu bytes, the limit is %d",
                                         length, APP_CONFIG_WORKDIR_MAX);
                return 0;
        case KEY_USER:
                return app_config_split_user(value, NULL, NULL, reterr);
        default:
                return 0;
        }
}

/* Of two "NAME=TEXT"; stops at the first difference, as a hostile file may hold thousands of long names. */
static bool same_name(const char *a, const char *b) {
        for (; *a == *b; a++, b++)
                if (*a == '=' || !*a)
                        return true;
        return false;
}

static size_t list_length(char *const *list) {
        size_t n = 0;

        while (list && list[n])
                n++;
        return n;
}

static int check_arguments(char *const *arguments, struct error *reterr) {
        if (!arguments || !arguments[0] || !arguments[0][0])
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "no program to run: the first argument is missing or empty");
        return 0;
}

/* Which key a record starts with, or KEY_MAX. */
static enum key record_key(const char *record) {
        for (int key = 0; key < KEY_MAX; key++)
                if (strncmp(record, key_names[key], strlen(key_names[key])) == 0)
                        return (enum key)key;
        return KEY_MAX;
}

static int count_records(const char *data, size_t size, size_t count[static KEY_MAX], struct error *reterr) {
        if (size > APP_CONFIG_SIZE_MAX)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE, "%zu bytes, the limit is %zu", size,
                                 APP_CONFIG_SIZE_MAX);
        if (size > 0 && data[size - 1] != 0)
                return error_set(reterr, ERROR_IMAGE_INVALID, "the last record does not end with a NUL byte");
        for (size_t at = 0; at < size; at += strlen(data + at) + 1) {
                enum key key = record_key(data + at);

                if (key == KEY_MAX)
                        return error_set(reterr, ERROR_IMAGE_INVALID,
                                         "unknown record \"%.*s\" at byte %zu; known are arg=, env=, "
                                         "workdir= and user=",
                                         SHOWN, data + at, at);
                count[key]++;
        }
        for (int key = 0; key < KEY_MAX; key++) {
                size_t limit = key == KEY_ARGUMENT || key == KEY_ENVIRONMENT ? APP_CONFIG_LIST_MAX : 1;

                if (count[key] > limit)
                        return error_set(reterr, ERROR_IMAGE_INVALID, "%zu records %s, the limit is %zu",
                                         count[key], key_names[key], limit);
        }
        return 0;
}

static int add_environment(struct app_config *c, size_t n, char *value, struct error *reterr) {
        for (size_t i = 0; i < n; i++)
                if (same_name(c->environment[i], value))
                        return error_set(reterr, ERROR_IMAGE_INVALID, "environment \"%.*s\" is given twice",
                                         SHOWN, value);
        c->environment[n] = value;
        return 0;
}

static int parse_records(struct app_config *c, char *data, size_t size, struct error *reterr) {
        size_t n_arguments = 0, n_environment = 0;
        int r;

        for (size_t at = 0; at < size; at += strlen(data + at) + 1) {
                enum key key = record_key(data + at);
                char *value = data + at + strlen(key_names[key]);

                r = check_value(key, value, reterr);
                if (r < 0)
                        return r;
                switch (key) {
                case KEY_ARGUMENT:
                        c->arguments[n_arguments++] = value;
                        break;
                case KEY_ENVIRONMENT:
                        r = add_environment(c, n_environment++, value, reterr);
                        if (r < 0)
                                return r;
                        break;
                case KEY_WORKDIR:
                        c->workdir = value;
                        break;
                default:
                        c->user = value;
                        break;
                }
        }
        return check_arguments(c->arguments, reterr);
}

int app_config_parse(struct app_config *ret, const void *data, size_t size, struct error *reterr) {
        _cleanup_free_ char **arguments = NULL, **environment = NULL;
        struct app_config c = APP_CONFIG_NULL;
        size_t count[KEY_MAX] = {};
        int r;

        r = count_records(data, size, count, reterr);
        if (r < 0)
                return r;
        /* Each entry stands for a record of at least five bytes that was really there. */
        arguments = calloc(count[KEY_ARGUMENT] + 1, sizeof(char *));
        environment = calloc(count[KEY_ENVIRONMENT] + 1, sizeof(char *));
        if (!arguments || !environment)
                return -ENOMEM;
        c.arguments = arguments;
        c.environment = environment;
        /* execve() wants char *const *; nothing here or there writes through it. */
        r = parse_records(&c, (char *)data, size, reterr);
        if (r < 0)
                return r;
        *ret = c;
        arguments = environment = NULL;
        return 0;
}

void app_config_done(struct app_config *c) {
        free(c->arguments);
        free(c->environment);
        *c = APP_CONFIG_NULL;
}

/* The file in the making. With bytes NULL it only counts. */
struct sink {
        uint8_t *bytes;
        size_t size;
};

static void sink_put(struct sink *s, const char *data, size_t n) {
        if (s->bytes)
                memcpy(s->bytes + s->size, data, n);
        s->size += n;
}

static int put_record(struct sink *s, enum key key, const char *value, struct error *reterr) {
        int r;

        r = check_value(key, value, reterr);
        if (r < 0)
                return r;
        sink_put(s, key_names[key], strlen(key_names[key]));
        sink_put(s, value, strlen(value) + 1);
        if (s->size > APP_CONFIG_SIZE_MAX)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                 "arguments and environment take more than %zu bytes together",
                                 APP_CONFIG_SIZE_MAX);
        return 0;
}

static bool overridden_later(char *const *rest, const char *entry) {
        for (; *rest; rest++)
                if (same_name(*rest, entry))
                        return true;
        return false;
}

static int put_all(struct sink *s, const struct app_config *c, struct error *reterr) {
        int r;

        for (char *const *a = c->arguments; *a; a++) {
                r = put_record(s, KEY_ARGUMENT, *a, reterr);
                if (r < 0)
                        return r;
        }
        for (char *const *e = c->environment; e && *e; e++) {
                if (overridden_later(e + 1, *e))
                        continue;
                r = put_record(s, KEY_ENVIRONMENT, *e, reterr);
                if (r < 0)
                        return r;
        }
        if (c->workdir && c->workdir[0]) {
                r = put_record(s, KEY_WORKDIR, c->workdir, reterr);
                if (r < 0)
                        return r;
        }
        return c->user && c->user[0] ? put_record(s, KEY_USER, c->user, reterr) : 0;
}

int app_config_encode(const struct app_config *c, uint8_t **ret, size_t *ret_size, struct error *reterr) {
        size_t n_arguments = list_length(c->arguments), n_environment = list_length(c->environment);
        _cleanup_free_ uint8_t *bytes = NULL;
        struct sink counted = {}, written = {};
        int r;

        r = check_arguments(c->arguments, reterr);
        if (r < 0)
                return r;
        if (n_arguments > APP_CONFIG_LIST_MAX || n_environment > APP_CONFIG_LIST_MAX)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                 "%zu arguments and %zu environment entries, the limit is %d each",
                                 n_arguments, n_environment, APP_CONFIG_LIST_MAX);
        r = put_all(&counted, c, reterr);
        if (r < 0)
                return r;
        bytes = malloc(counted.size);
        if (!bytes)
                return -ENOMEM;
        written.bytes = bytes;
        r = put_all(&written, c, reterr);
        if (r < 0)
                return r;
        *ret_size = written.size;
        *ret = TAKE(bytes);
        return 0;
}
