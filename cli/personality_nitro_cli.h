/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the commands of nitro-cli share. */

#include "cli/personality.h"
#include "cli/verb.h"

#include <jansson.h>

/* Of nitro_codes.def, what commands name themselves. */
enum {
        NITRO_MISSING = 1,
        NITRO_CONFLICT = 2,
        NITRO_INVALID = 3,
        NITRO_JSON = 17,
        NITRO_CPU_TWICE = 20,
        NITRO_CPU_NOT_FREE = 21,
        NITRO_MEMORY = 26,
        NITRO_DOCKERFILE = 49,
        NITRO_CERTIFICATE = 59,
        NITRO_SIGNING = 60,
};

#define NITRO_OPTIONS_END                          \
        { "help", 'h', NULL, "show this help" }, { \
                NULL, 0, NULL, NULL                \
        }

/* ERROR_USAGE and *code = number. */
int nitro_refuse(unsigned number, unsigned *code, struct error *reterr, const char *format, ...)
        _printf_(4, 5);

/* ERROR_USAGE unless exactly one of these options (NULL at the end) was given. */
int nitro_require_one(const struct options *o, const char *const *names, unsigned *code,
                      struct error *reterr);

/* "i-0123456789abcdef0-enc60f1e2d3c4b5a": the instance's id and, in place of the driver's slot, the time of
 * creation in microseconds, so that no id ever names two enclaves. */
#define NITRO_ID_SIZE 96
void nitro_enclave_id(const json_t *enclave, char ret[NITRO_ID_SIZE]);

/* The living enclave of --enclave-id or --enclave-name. */
int nitro_find(const struct options *o, json_t **ret, unsigned *code, struct error *reterr);

/* What run-enclave prints of an enclave and what describe-enclaves begins with. */
json_t *nitro_enclave_json(const json_t *enclave);

int nitro_run_enclave(const struct options *o, unsigned *code, struct error *reterr);
int nitro_terminate_enclave(const struct options *o, unsigned *code, struct error *reterr);
int nitro_describe_enclaves(const struct options *o, unsigned *code, struct error *reterr);
int nitro_console(const struct options *o, unsigned *code, struct error *reterr);
int nitro_build_enclave(const struct options *o, unsigned *code, struct error *reterr);
int nitro_describe_eif(const struct options *o, unsigned *code, struct error *reterr);
int nitro_sign_eif(const struct options *o, unsigned *code, struct error *reterr);
int nitro_pcr(const struct options *o, unsigned *code, struct error *reterr);
int nitro_explain(const struct options *o, unsigned *code, struct error *reterr);
