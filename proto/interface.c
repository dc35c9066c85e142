/* SPDX-License-Identifier: Apache-2.0 */

#include "proto/interface.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define IDL_TEXT_MAX (256 * 1024)
#define IDL_DEPTH_MAX 16

struct idl_allocation {
        struct idl_allocation *next;
        max_align_t data[];
};

/* A cursor over the text; line is for messages only. */
struct parser {
        const char *position, *end;
        unsigned line;
        struct interface *interface;
        struct error *reterr;
};

static void *idl_allocate(struct interface *i, size_t size) {
        struct idl_allocation *a = calloc(1, sizeof(*a) + size);

        if (!a)
                return NULL;
        a->next = i->allocations;
        i->allocations = a;
        return a->data;
}

struct interface *interface_free(struct interface *i) {
        if (!i)
                return NULL;
        while (i->allocations) {
                struct idl_allocation *a = i->allocations;

                i->allocations = a->next;
                free(a);
        }
        free(i->text);
        free(i);
        return NULL;
}

static int out_of_memory(struct parser *p) {
        return error_set(p->reterr, ERROR_INTERNAL, "out of memory");
}

static int expected(struct parser *p, const char *what) {
        return error_set(p->reterr, ERROR_PROTOCOL, "interface description, line %u: expected %s", p->line,
                         what);
}

static void skip_space(struct parser *p) {
        bool comment = false;

        for (; p->position < p->end; p->position++) {
                char c = *p->position;

                if (c == '\n') {
                        p->line++;
                        comment = false;
                } else if (c == '#')
                        comment = true;
                else if (!comment && c != ' ' && c != '\t' && c != '\r')
                        break;
        }
}

static bool at(const struct parser *p, char c) {
        return p->position < p->end && *p->position == c;
}

static bool accept_char(struct parser *p, char c) {
        skip_space(p);
        if (!at(p, c))
                return false;
        p->position++;
        return true;
}

static int require_char(struct parser *p, char c) {
        char what[4] = { '\'', c, '\'', '\0' };

        return accept_char(p, c) ? 0 : expected(p, what);
}

/* A word of letters, digits and the characters of `more`; it begins with a letter. */
static int take_word(struct parser *p, const char *more, const char *what, const char **ret) {
        const char *start;
        char *word;

        skip_space(p);
        start = p->position;
        if (start >= p->end || !isalpha((unsigned char)*start))
                return expected(p, what);
        while (p->position < p->end && *p->position &&
               (isalnum((unsigned char)*p->position) || strchr(more, *p->position)))
                p->position++;
        word = idl_allocate(p->interface, (size_t)(p->position - start) + 1);
        if (!word)
                return out_of_memory(p);
        memcpy(word, start, (size_t)(p->position - start));
        *ret = word;
        return 0;
}

static int parse_type(struct parser *p, unsigned depth, struct idl_type **ret);

static bool has_field(const struct idl_type *t, const char *name) {
        for (const struct idl_field *f = t->fields; f; f = f->next)
                if (strcmp(f->name, name) == 0)
                        return true;
        return false;
}

/* "name: type" of a struct or "name" of an enum; the first one decides which it is. */
static int parse_field(struct parser *p, unsigned depth, struct idl_type *t, struct idl_field ***tail) {
        struct idl_field *f = idl_allocate(p->interface, sizeof(*f));
        struct idl_type *type;
        bool first = !t->fields;
        int r;

        if (!f)
                return out_of_memory(p);
        r = take_word(p, "_", "a field name", &f->name);
        if (r < 0)
                return r;
        if (has_field(t, f->name))
                return error_set(p->reterr, ERROR_PROTOCOL, "interface description, line %u: field %s twice",
                                 p->line, f->name);
        if (accept_char(p, ':')) {
                if (!first && t->kind == IDL_ENUM)
                        return expected(p, "a value of an enum, not a field with a type");
                r = parse_type(p, depth + 1, &type);
                if (r < 0)
                        return r;
                f->type = type;
        } else if (first)
                t->kind = IDL_ENUM;
        else if (t->kind == IDL_STRUCT)
                return expected(p, "':' and the type of the field");
        **tail = f;
        *tail = &f->next;
        return 0;
}

/* What follows the opening parenthesis. */
static int parse_fields(struct parser *p, unsigned depth, struct idl_type *t) {
        struct idl_field **tail = &t->fields;
        int r;

        t->kind = IDL_STRUCT;
        if (accept_char(p, ')'))
                return 0;
        do {
                r = parse_field(p, depth, t, &tail);
                if (r < 0)
                        return r;
        } while (accept_char(p, ','));
        return require_char(p, ')');
}

static int parse_name(struct parser *p, struct idl_type *t) {
        static const struct {
                const char *name;
                enum idl_kind kind;
        } basic[] = { { "bool", IDL_BOOL },
                      { "int", IDL_INT },
                      { "float", IDL_FLOAT },
                      { "string", IDL_STRING },
                      { "object", IDL_ANY } };
        int r;

        r = take_word(p, "", "a type", &t->name);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(basic); i++)
                if (strcmp(basic[i].name, t->name) == 0) {
                        t->kind = basic[i].kind;
                        return 0;
                }
        t->kind = IDL_NAMED;
        return 0;
}

/* "[]type" or "[string]type", after the bracket. */
static int parse_container(struct parser *p, unsigned depth, struct idl_type *t) {
        const char *key;
        int r;

        t->kind = IDL_ARRAY;
        if (!accept_char(p, ']')) {
                r = take_word(p, "", "']' or 'string]'", &key);
                if (r < 0)
                        return r;
                if (strcmp(key, "string") != 0)
                        return expected(p, "a map of strings, [string]");
                t->kind = IDL_MAP;
                r = require_char(p, ']');
                if (r < 0)
                        return r;
        }
        return parse_type(p, depth + 1, &t->element);
}

static int parse_type(struct parser *p, unsigned depth, struct idl_type **ret) {
        struct idl_type *t;

        if (depth > IDL_DEPTH_MAX)
                return error_set(p->reterr, ERROR_PROTOCOL,
                                 "interface description, line %u: types nested deeper than %d", p->line,
                                 IDL_DEPTH_MAX);
        t = idl_allocate(p->interface, sizeof(*t));
        if (!t)
                return out_of_memory(p);
        *ret = t;
        t->nullable = accept_char(p, '?');
        if (accept_char(p, '['))
                return parse_container(p, depth, t);
        if (accept_char(p, '('))
                return parse_fields(p, depth, t);
        return parse_name(p, t);
}

static int parse_parameters(struct parser *p, const struct idl_type **ret) {
        struct idl_type *t;
        int r;

        skip_space(p);
        if (!at(p, '('))
                return expected(p, "'('");
        r = parse_type(p, 0, &t);
        if (r < 0)
                return r;
        *ret = t;
        return 0;
}

static int parse_member(struct parser *p, struct idl_member ***tail) {
        struct idl_member *m = idl_allocate(p->interface, sizeof(*m));
        const char *keyword;
        int r;

        if (!m)
                return out_of_memory(p);
        r = take_word(p, "", "type, method or error", &keyword);
        if (r < 0)
                return r;
        if (strcmp(keyword, "type") == 0)
                m->kind = IDL_TYPE;
        else if (strcmp(keyword, "method") == 0)
                m->kind = IDL_METHOD;
        else if (strcmp(keyword, "error") == 0)
                m->kind = IDL_ERROR;
        else
                return expected(p, "type, method or error");
        r = take_word(p, "", "a name", &m->name);
        if (r < 0)
                return r;
        if (interface_find(p->interface, m->kind, m->name))
                return error_set(p->reterr, ERROR_PROTOCOL, "interface description, line %u: %s %s twice",
                                 p->line, keyword, m->name);
        r = parse_parameters(p, &m->type);
        if (r < 0)
                return r;
        if (m->kind != IDL_TYPE && m->type->kind != IDL_STRUCT)
                return expected(p, "parameters with types");
        if (m->kind == IDL_METHOD) {
                skip_space(p);
                if (p->end - p->position < 2 || memcmp(p->position, "->", 2) != 0)
                        return expected(p, "'->'");
                p->position += 2;
                r = parse_parameters(p, &m->reply);
                if (r < 0)
                        return r;
                if (m->reply->kind != IDL_STRUCT)
                        return expected(p, "reply members with types");
        }
        **tail = m;
        *tail = &m->next;
        return 0;
}

/* Let every named type point to its definition. */
static int resolve(struct parser *p, struct idl_type *t) {
        const struct idl_member *m;
        int r;

        if (t->kind == IDL_NAMED) {
                m = interface_find(p->interface, IDL_TYPE, t->name);
                if (!m)
                        return error_set(p->reterr, ERROR_PROTOCOL,
                                         "interface description: type %s is not defined", t->name);
                t->resolved = m->type;
                return 0;
        }
        if (t->element)
                return resolve(p, t->element);
        for (struct idl_field *f = t->fields; f; f = f->next) {
                /* The tree is ours until the parser is done; the outside sees it as constant. */
                r = f->type ? resolve(p, (struct idl_type *)f->type) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_interface(struct parser *p) {
        struct idl_member **tail = &p->interface->members;
        const char *keyword;
        int r;

        r = take_word(p, "", "interface", &keyword);
        if (r < 0)
                return r;
        if (strcmp(keyword, "interface") != 0)
                return expected(p, "interface");
        r = take_word(p, ".-", "the name of the interface", &p->interface->name);
        if (r < 0)
                return r;
        for (skip_space(p); p->position < p->end; skip_space(p)) {
                r = parse_member(p, &tail);
                if (r < 0)
                        return r;
        }
        for (struct idl_member *m = p->interface->members; m; m = m->next) {
                r = resolve(p, (struct idl_type *)m->type);
                if (r >= 0 && m->reply)
                        r = resolve(p, (struct idl_type *)m->reply);
                if (r < 0)
                        return r;
        }
        return 0;
}

int interface_parse(const char *text, size_t size, struct interface **ret, struct error *reterr) {
        _cleanup_interface_ struct interface *i = NULL;
        struct parser p;
        int r;

        if (size > IDL_TEXT_MAX)
                return error_set(reterr, ERROR_PROTOCOL,
                                 "interface description of %zu bytes; the limit is %d", size, IDL_TEXT_MAX);
        i = calloc(1, sizeof(*i));
        if (!i || !(i->text = strndup(text, size)))
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        p = (struct parser){
                .position = text, .end = text + size, .line = 1, .interface = i, .reterr = reterr
        };
        r = parse_interface(&p);
        if (r < 0)
                return r;
        *ret = TAKE(i);
        return 0;
}

const struct idl_member *interface_find(const struct interface *i, enum idl_member_kind kind,
                                        const char *name) {
        for (const struct idl_member *m = i->members; m; m = m->next)
                if (m->kind == kind && strcmp(m->name, name) == 0)
                        return m;
        return NULL;
}
