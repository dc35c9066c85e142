/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The security module without its transport: bytes in, bytes out. */

#include "attest/nsm.h"
#include "monitor/secmod/secmod.h"

struct module {
        struct pki *pki;
        enum secmod_platform platform;
        uint8_t pcrs[NSM_PCRS][NSM_PCR_BYTES];
        uint32_t locked; /* bit i: PCR i */
};

/* As pki_new(). *m is undefined on failure. */
int module_init(struct module *m, const struct secmod_config *config, struct error *reterr);
void module_done(struct module *m);

/* Answers one request; always writes an answer. Returns its size. */
size_t module_answer(struct module *m, struct span request, uint8_t response[NSM_MAX_RESPONSE]);

/* document.c: a signed document of what the module holds at this time. NSM_ERROR_INTERNAL_ERROR when it
 * cannot be made, NSM_ERROR_BUFFER_TOO_SMALL when it does not fit. */
enum nsm_error module_make_document(struct module *m, const struct nsm_request *request, int64_t time_ms,
                                    struct cbor_writer *w);
