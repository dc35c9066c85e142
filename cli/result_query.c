/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/result_query.h"

#include <stdint.h>
#include <string.h>

#define STEPS_MAX 32

enum step_kind { STEP_MEMBER, STEP_ELEMENT, STEP_EACH, STEP_FLATTEN };

struct step {
        enum step_kind kind;
        const char *name; /* STEP_MEMBER: in the query, without quotes */
        size_t length;
        long index; /* STEP_ELEMENT; negative from the end */
};

struct query {
        const char *text, *p;
        struct step steps[STEPS_MAX];
        size_t n;
};

static int refuse(const struct query *q, struct error *reterr) {
        return error_set(
                reterr, ERROR_USAGE,
                "--query %s: character %td is not understood here; of JMESPath, names, dots, [n], [*] "
                "and [] are",
                q->text, q->p - q->text + 1);
}

static bool is_name(char c, bool first) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
               (!first && c >= '0' && c <= '9');
}

static int parse_name(struct query *q, struct step *s, struct error *reterr) {
        const char *start = q->p;

        s->kind = STEP_MEMBER;
        if (*q->p == '"') {
                size_t n = strcspn(start + 1, "\"\\");

                if (start[1 + n] != '"')
                        return refuse(q, reterr);
                s->name = start + 1;
                s->length = n;
                q->p += n + 2;
                return 0;
        }
        if (!is_name(*q->p, true))
                return refuse(q, reterr);
        while (is_name(*q->p, false))
                q->p++;
        s->name = start;
        s->length = (size_t)(q->p - start);
        return 0;
}

/* At '['. */
static int parse_bracket(struct query *q, struct step *s, struct error *reterr) {
        bool negative;

        q->p++;
        s->kind = *q->p == ']' ? STEP_FLATTEN : STEP_EACH;
        if (*q->p == '*')
                q->p++;
        else if (*q->p != ']') {
                s->kind = STEP_ELEMENT;
                negative = *q->p == '-';
                q->p += negative;
                if (*q->p < '0' || *q->p > '9')
                        return refuse(q, reterr);
                for (; *q->p >= '0' && *q->p <= '9'; q->p++) {
                        s->index = s->index * 10 + (*q->p - '0');
                        if (s->index > INT32_MAX)
                                return refuse(q, reterr);
                }
                if (negative)
                        s->index = -s->index;
        }
        if (*q->p != ']')
                return refuse(q, reterr);
        q->p++;
        return 0;
}

static int parse(struct query *q, struct error *reterr) {
        while (q->n == 0 || *q->p) {
                struct step *s = &q->steps[q->n];
                int r;

                if (q->n == STEPS_MAX)
                        return refuse(q, reterr);
                if (*q->p == '[')
                        r = parse_bracket(q, s, reterr);
                else {
                        if (q->n > 0 && *q->p != '.')
                                return refuse(q, reterr);
                        q->p += q->n > 0;
                        r = parse_name(q, s, reterr);
                }
                if (r < 0)
                        return r;
                q->n++;
        }
        return 0;
}

static json_t *evaluate(const struct step *steps, size_t n, const json_t *value);

/* The rest of the steps for each element; what gives null is left out, as the language says. */
static json_t *project(const struct step *steps, size_t n, const json_t *array) {
        json_t *result = json_array();

        for (size_t i = 0; i < json_array_size(array); i++) {
                json_t *found = evaluate(steps, n, json_array_get(array, i));

                if (json_is_null(found))
                        json_decref(found);
                else
                        (void)json_array_append_new(result, found);
        }
        return result;
}

static json_t *flatten(const json_t *array) {
        json_t *result = json_array();

        for (size_t i = 0; i < json_array_size(array); i++) {
                json_t *e = json_array_get(array, i);

                if (json_is_array(e))
                        (void)json_array_extend(result, e);
                else
                        (void)json_array_append(result, e);
        }
        return result;
}

static json_t *evaluate(const struct step *steps, size_t n, const json_t *value) {
        long index;

        /* [] ends the projections before it: what they give together is flattened, then goes on. */
        for (size_t i = n; i > 0; i--)
                if (steps[i - 1].kind == STEP_FLATTEN) {
                        json_auto_t *left = evaluate(steps, i - 1, value), *flat = NULL;

                        if (!json_is_array(left))
                                return json_null();
                        flat = flatten(left);
                        return project(steps + i, n - i, flat);
                }
        if (n == 0)
                return value ? json_incref((json_t *)value) : json_null();
        switch (steps->kind) {
        case STEP_MEMBER:
                return evaluate(steps + 1, n - 1, json_object_getn(value, steps->name, steps->length));
        case STEP_ELEMENT:
                index = steps->index + (steps->index < 0 ? (long)json_array_size(value) : 0);
                return evaluate(steps + 1, n - 1, index < 0 ? NULL : json_array_get(value, (size_t)index));
        case STEP_EACH:
                return json_is_array(value) ? project(steps + 1, n - 1, value) : json_null();
        case STEP_FLATTEN:
                break;
        }
        return json_null();
}

int result_query(const json_t *document, const char *query, json_t **ret, struct error *reterr) {
        struct query q = { .text = query, .p = query };
        int r = parse(&q, reterr);

        if (r < 0)
                return r;
        *ret = evaluate(q.steps, q.n, document);
        return *ret ? 0 : error_set(reterr, ERROR_INTERNAL, "out of memory");
}
