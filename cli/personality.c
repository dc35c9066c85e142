/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/personality.h"

#include <string.h>

static const struct personality *const personalities[] = { &personality_qt, &personality_nitro_cli };

const struct personality *personality_find(const char *program) {
        const char *slash = strrchr(program, '/');
        const char *name = slash ? slash + 1 : program;

        for (size_t i = 0; i < ELEMENTSOF(personalities); i++)
                if (strcmp(personalities[i]->name, name) == 0)
                        return personalities[i];
        return NULL;
}

const struct personality_command *personality_command(const struct personality *p, const char *name) {
        for (const struct personality_command *c = p->commands; c->name; c++)
                if (strcmp(c->name, name) == 0)
                        return c;
        return NULL;
}

void personality_list(const struct personality *p) {
        for (const struct personality_command *c = p->commands; c->name; c++) {
                (void)printf("%s\n", c->name);
                for (const struct option_spec *s = c->options; s->name; s++)
                        (void)printf("%s --%s\n", c->name, s->name);
        }
}

void personality_print_help(const char *prefix, const struct personality_command *c) {
        (void)printf("usage: %s%s %s\n\n%s\n\noptions:\n", prefix, c->name, c->synopsis, c->help);
        options_print(c->options, stdout);
}

static bool is_of(const struct error *e, const struct personality_code *row) {
        return row->kind == e->kind && (!row->limit || (e->limit && strcmp(row->limit, e->limit) == 0));
}

unsigned personality_code(const struct personality_code *table, const struct error *e) {
        while (table->kind != ERROR_NONE && !is_of(e, table))
                table++;
        return table->code;
}

int personality_require(const struct options *o, const char *name, unsigned number, unsigned *code,
                        struct error *reterr) {
        if (options_value(o, name))
                return 0;
        *code = number;
        return error_set(reterr, ERROR_USAGE, "the following arguments are required: --%s", name);
}
