/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/lifecycle.h"

#include "monitor/json.h"
#include "monitor/printable.h"

#include <string.h>

static const char *const kind_names[] = {
        [LIFECYCLE_STARTED] = "started",
        [LIFECYCLE_READY] = "ready",
        [LIFECYCLE_EXITED] = "exited",
        [LIFECYCLE_FAILED] = "failed",
};

/* An optional number: 0 and *ret untouched when absent. */
static int take_number(const json_t *object, const char *name, json_int_t min, json_int_t max,
                       json_int_t *ret) {
        const json_t *value = json_object_get(object, name);

        if (!value)
                return 0;
        if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
                return -EBADMSG;
        *ret = json_integer_value(value);
        return 0;
}

static enum lifecycle_kind kind_from_name(const char *name) {
        for (size_t i = 1; i < ELEMENTSOF(kind_names); i++)
                if (strcmp(kind_names[i], name) == 0)
                        return (enum lifecycle_kind)i;
        return LIFECYCLE_UNKNOWN;
}

int lifecycle_parse(const char *line, size_t n, struct lifecycle_event *ret) {
        _cleanup_json_ json_t *object = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
        json_int_t code = -1, number = 0, uptime = 0;
        struct lifecycle_event event = { .code = -1 };
        const json_t *message;

        if (!json_is_object(object) || !json_is_string(json_object_get(object, "event")))
                return -EBADMSG;
        event.kind = kind_from_name(json_string_value(json_object_get(object, "event")));
        if (take_number(object, "code", 0, 255, &code) < 0 ||
            take_number(object, "signal", 1, 64, &number) < 0 ||
            take_number(object, "uptime_usec", 0, INT64_MAX, &uptime) < 0)
                return -EBADMSG;
        if (event.kind == LIFECYCLE_EXITED && (code >= 0) == (number > 0))
                return -EBADMSG; /* one of the two, or it says nothing */
        event.code = (int)code;
        event.signal = (int)number;
        event.uptime_usec = (uint64_t)uptime;
        event.out_of_memory = json_is_true(json_object_get(object, "out_of_memory"));
        message = json_object_get(object, "message");
        if (json_is_string(message))
                printable_copy(event.message, sizeof(event.message), json_string_value(message),
                               json_string_length(message));
        *ret = event;
        return 0;
}

int lifecycle_consume(struct lifecycle_stream *s, const void *data, size_t n,
                      void (*handler)(void *userdata, const struct lifecycle_event *event), void *userdata) {
        const char *p = data, *end = p + n;

        while (p < end) {
                const char *newline = memchr(p, '\n', (size_t)(end - p));
                size_t part = (size_t)((newline ? newline : end) - p);
                struct lifecycle_event event;
                int r;

                if (part > sizeof(s->line) - s->used)
                        return -EMSGSIZE;
                memcpy(s->line + s->used, p, part);
                s->used += part;
                p += part;
                if (!newline)
                        break;
                p++;
                part = s->used;
                s->used = 0;
                if (part == 0)
                        continue;
                r = lifecycle_parse(s->line, part, &event);
                if (r < 0)
                        return r;
                if (event.kind != LIFECYCLE_UNKNOWN)
                        handler(userdata, &event);
        }
        return 0;
}
