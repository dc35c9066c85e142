/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A Varlink interface description, parsed: which methods and errors there are and what their parameters must
 * look like. The .varlink files of this folder are the single source; they are compiled in as text and parsed
 * at start, so that what introspection shows is exactly what is enforced.
 *
 * The grammar is that of varlink.org/Interface-Definition, with limits of our own: text up to 256 KiB, types
 * nested up to 16 deep, JSON checked up to 32 deep.
 */

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>

enum idl_kind {
        IDL_BOOL,
        IDL_INT,
        IDL_FLOAT,
        IDL_STRING,
        IDL_ANY,
        IDL_ENUM,
        IDL_STRUCT,
        IDL_ARRAY,
        IDL_MAP,
        IDL_NAMED
};

struct idl_field {
        struct idl_field *next;
        const char *name;
        const struct idl_type *type; /* NULL for a value of an enum */
};

struct idl_type {
        enum idl_kind kind;
        bool nullable;
        struct idl_type *element;        /* of an array or map */
        const char *name;                /* of a named type */
        const struct idl_type *resolved; /* what the name stands for */
        struct idl_field *fields;        /* of a struct or enum, in the order of the text */
};

enum idl_member_kind { IDL_TYPE, IDL_METHOD, IDL_ERROR };

struct idl_member {
        struct idl_member *next;
        enum idl_member_kind kind;
        const char *name;
        const struct idl_type *type;  /* parameters of a method or an error, or the type itself */
        const struct idl_type *reply; /* of a method */
};

struct interface {
        const char *name;
        char *text; /* as it was parsed */
        struct idl_member *members;
        struct idl_allocation *allocations; /* owns everything above */
};

int interface_parse(const char *text, size_t size, struct interface **ret, struct error *reterr);
struct interface *interface_free(struct interface *i);
DEFINE_CLEANUP(struct interface *, interface_free)
#define _cleanup_interface_ _cleanup_(interface_freep)

const struct idl_member *interface_find(const struct interface *i, enum idl_member_kind kind,
                                        const char *name);

/* Does the value have this type? Unknown members are refused, null or absence is legal only for "?". The
 * description names the member, what was given and what is expected, with kind INVALID_PARAMETER. A missing
 * object (NULL) counts as an empty one. */
int interface_check(const struct idl_type *type, const json_t *value, struct error *reterr);

/* The interfaces of this project, parsed once at first use; they live as long as the program. A mistake in
 * them is a bug that the unit test finds. */
const struct interface *interface_manager(void);
const struct interface *interface_monitor(void);
const struct interface *interface_service(void); /* org.varlink.service */
