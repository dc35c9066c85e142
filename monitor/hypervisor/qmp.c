/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/qmp.h"

#include "monitor/json.h"
#include "monitor/printable.h"

#include <string.h>

int qmp_command(struct qmp *q, const char *name) {
        char text[96];
        int n = snprintf(text, sizeof(text), "{\"execute\":\"%s\"}\n", name);

        if (n < 0 || (size_t)n >= sizeof(text) || (size_t)n > sizeof(q->out) - q->n_out)
                return -ENOBUFS;
        memcpy(q->out + q->n_out, text, (size_t)n);
        q->n_out += (size_t)n;
        q->n_unanswered++;
        return 0;
}

static int violation(struct error *reterr, const char *what) {
        return error_set(reterr, ERROR_PROTOCOL, "QEMU's control channel: %s", what);
}

static int take_greeting(struct qmp *q, const json_t *message, struct error *reterr) {
        if (!json_is_object(json_object_get(message, "QMP")))
                return violation(reterr, "the first message is no greeting");
        q->state = QMP_NEGOTIATING;
        return qmp_command(q, "qmp_capabilities");
}

static void take_event(struct qmp *q, const char *name, const json_t *message) {
        const json_t *data = json_object_get(message, "data");
        const char *reason = json_string_value(json_object_get(data, "reason"));

        if (strcmp(name, "GUEST_PANICKED") == 0)
                q->guest_panicked = true;
        else if (strcmp(name, "SHUTDOWN") == 0)
                printable_copy(q->shutdown_reason, sizeof(q->shutdown_reason), reason ? reason : "unknown",
                               reason ? strlen(reason) : strlen("unknown"));
}

static int take_cpus(struct qmp *q, const json_t *list, struct error *reterr) {
        size_t n = json_array_size(list);

        if (n == 0 || n > QMP_MAX_CPUS)
                return violation(reterr, "the list of CPUs has a length that cannot be");
        memset(q->cpu_threads, 0, sizeof(q->cpu_threads));
        for (size_t i = 0; i < n; i++) {
                const json_t *cpu = json_array_get(list, i);
                const json_t *index = json_object_get(cpu, "cpu-index");
                const json_t *thread = json_object_get(cpu, "thread-id");

                if (!json_is_integer(index) || json_integer_value(index) < 0 ||
                    json_integer_value(index) >= (json_int_t)n || !json_is_integer(thread) ||
                    json_integer_value(thread) <= 0 || json_integer_value(thread) > (1 << 22))
                        return violation(reterr, "an entry of the list of CPUs is malformed");
                q->cpu_threads[json_integer_value(index)] = (pid_t)json_integer_value(thread);
        }
        q->n_cpu_threads = n;
        q->state = QMP_READY;
        return 0;
}

static int take_return(struct qmp *q, const json_t *value, struct error *reterr) {
        switch (q->state) {
        case QMP_NEGOTIATING:
                q->state = QMP_ASKING_CPUS;
                return qmp_command(q, "query-cpus-fast");
        case QMP_ASKING_CPUS:
                return take_cpus(q, value, reterr);
        case QMP_GREETING:
        case QMP_READY:
        default:
                return 0; /* that it answers is all that is asked for */
        }
}

static int take_message(struct qmp *q, const char *text, size_t n, struct error *reterr) {
        _cleanup_json_ json_t *message = json_loadb(text, n, 0, NULL);
        const json_t *value;

        if (!json_is_object(message))
                return violation(reterr, "a line is no JSON object");
        if (q->state == QMP_GREETING)
                return take_greeting(q, message, reterr);
        if ((value = json_object_get(message, "event")) && json_is_string(value)) {
                take_event(q, json_string_value(value), message);
                return 0;
        }
        value = json_object_get(message, "return");
        if (q->n_unanswered > 0 && (value || json_object_get(message, "error")))
                q->n_unanswered--;
        if (value)
                return take_return(q, value, reterr);
        if ((value = json_object_get(message, "error"))) {
                const char *text_of = json_string_value(json_object_get(value, "desc"));

                printable_copy(q->refusal, sizeof(q->refusal), text_of ? text_of : "",
                               text_of ? strlen(text_of) : 0);
                if (q->state != QMP_READY)
                        return violation(reterr, "a command of the set-up was refused");
                return 0;
        }
        return violation(reterr, "a message is neither event nor answer");
}

/* Room for n more bytes of an unfinished line; grows with what really arrived. */
static int reserve(struct qmp *q, size_t n) {
        size_t capacity = q->capacity ? q->capacity : 1024;
        char *line;

        if (q->capacity - q->used >= n)
                return 0;
        while (capacity - q->used < n)
                capacity *= 2;
        line = realloc(q->line, capacity);
        if (!line)
                return -ENOMEM;
        q->line = line;
        q->capacity = capacity;
        return 0;
}

int qmp_consume(struct qmp *q, const void *data, size_t n, struct error *reterr) {
        const char *p = data, *end = p + n;
        int r;

        while (p < end) {
                const char *newline = memchr(p, '\n', (size_t)(end - p));
                size_t part = (size_t)((newline ? newline : end) - p);

                if (part > QMP_MAX_LINE - q->used)
                        return violation(reterr, "a message is longer than 64 KiB");
                r = reserve(q, part + 1);
                if (r < 0)
                        return r;
                memcpy(q->line + q->used, p, part);
                q->used += part;
                p += part;
                if (!newline)
                        return 0;
                p++;
                part = q->used;
                q->used = 0;
                if (part > 0 && q->line[part - 1] == '\r')
                        part--;
                if (part == 0)
                        continue;
                r = take_message(q, q->line, part, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

void qmp_done(struct qmp *q) {
        free(q->line);
        *q = QMP_NULL;
}
