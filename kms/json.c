/* SPDX-License-Identifier: Apache-2.0 */

#include "kms/json.h"

#include "base/wiping.h"

#include <errno.h>
#include <string.h>

void json_wipe_when_freed(void) {
        json_set_alloc_funcs(wiping_malloc, wiping_free);
}

json_t *json_parse_own(const void *data, size_t size) {
        /* An object alone: the bytes behind it are an error of the decoder, as is an embedded NUL. */
        json_t *value = json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL);

        if (value && !json_is_object(value)) {
                json_decref(value);
                return NULL;
        }
        return value;
}

/* Every value but the first is the first or a further one of its container, and what would begin one in a
 * string does not count. What is no JSON is counted somehow. */
static bool has_many_values(const char *data, size_t size) {
        size_t n = 1;
        bool in_string = false;

        for (size_t i = 0; i < size && n <= JSON_VALUES_MAX; i++)
                switch (data[i]) {
                case '"':
                        in_string = !in_string;
                        break;
                case '\\':
                        i += in_string;
                        break;
                case '{':
                case '[':
                case ',':
                        n += !in_string;
                        break;
                default:
                        break;
                }
        return n > JSON_VALUES_MAX;
}

json_t *json_parse(const void *data, size_t size) {
        return has_many_values(data, size) ? NULL : json_parse_own(data, size);
}

static int append_chunk(const char *data, size_t size, void *user_data) {
        return bytes_append(user_data, data, size) < 0 ? -1 : 0;
}

int json_append(struct bytes *b, const json_t *value) {
        size_t before = b->size;

        if (json_dump_callback(value, append_chunk, b, JSON_COMPACT | JSON_SORT_KEYS) == 0)
                return 0;
        b->size = before;
        return -EMSGSIZE;
}

bool json_only(const json_t *object, const char *const *names, const char **ret_other) {
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)object, key, value) {
                size_t i = 0;

                while (names[i] && strcmp(names[i], key) != 0)
                        i++;
                if (!names[i]) {
                        *ret_other = key;
                        return false;
                }
        }
        return true;
}
