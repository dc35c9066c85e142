/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/secmod/module.h"

#include "attest/digest.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#define SYSTEM_PCRS 0x0000ffffu /* 0 to 15: the platform's, locked from the start */
#define MAX_DOCUMENT (NSM_MAX_RESPONSE - 64)

/* Bytes of the three fields of an Attestation request. libqtsm's constants; AWS's text says 512 for two of
 * them, its device takes 1024. */
static const struct {
        size_t user_data, nonce, public_key;
} limits[] = {
        [SECMOD_NITRO] = { 1024, 1024, 1024 },
        [SECMOD_QINGTIAN] = { 512, 512, 1024 },
};

/* QingTian measures into PCR0 and PCR8 only. In debug mode it reports zero for every system PCR, Nitro for
 * those of the image alone. */
int module_init(struct module *m, const struct secmod_config *config, struct error *reterr) {
        const struct secmod_measurements *measured = &config->measurements;
        bool nitro = config->platform == SECMOD_NITRO;
        struct pki_chain chain;
        struct span instance;
        int r;

        *m = (struct module){ .platform = config->platform, .locked = SYSTEM_PCRS };
        r = pki_new(&m->pki, config->pki_directory_fd, config->platform, config->enclave_id, reterr);
        if (r < 0)
                return r;
        /* Made now, what fails later would be the enclave's first request. */
        if (pki_chain(m->pki, time(NULL), &chain) < 0) {
                module_done(m);
                return error_set(reterr, ERROR_INTERNAL, "the development PKI cannot issue certificates");
        }
        instance = (struct span){ (const uint8_t *)pki_instance(m->pki), strlen(pki_instance(m->pki)) };
        if (nitro || !config->debug)
                if (!digest_first_extend(instance, m->pcrs[4])) {
                        module_done(m);
                        return -ENOMEM;
                }
        if (config->debug)
                return 0;
        memcpy(m->pcrs[0], measured->pcr0, NSM_PCR_BYTES);
        memcpy(m->pcrs[8], measured->pcr8, NSM_PCR_BYTES);
        if (nitro) {
                memcpy(m->pcrs[1], measured->pcr1, NSM_PCR_BYTES);
                memcpy(m->pcrs[2], measured->pcr2, NSM_PCR_BYTES);
        }
        return 0;
}

void module_done(struct module *m) {
        pki_free(m->pki);
        m->pki = NULL;
}

static enum nsm_error describe_pcr(struct module *m, const struct nsm_request *q, struct nsm_response *a) {
        if (q->index >= NSM_PCRS)
                return NSM_ERROR_INVALID_INDEX;
        a->locked = (m->locked & 1u << q->index) != 0;
        a->data = (struct span){ m->pcrs[q->index], NSM_PCR_BYTES };
        return NSM_ERROR_SUCCESS;
}

static enum nsm_error extend_pcr(struct module *m, const struct nsm_request *q, struct nsm_response *a) {
        struct span parts[2];

        if (q->index >= NSM_PCRS)
                return NSM_ERROR_INVALID_INDEX;
        if (m->locked & 1u << q->index)
                return NSM_ERROR_READ_ONLY_INDEX;
        parts[0] = (struct span){ m->pcrs[q->index], NSM_PCR_BYTES };
        parts[1] = q->data;
        if (!digest_sha384(parts, 2, m->pcrs[q->index]))
                return NSM_ERROR_INTERNAL_ERROR;
        a->data = (struct span){ m->pcrs[q->index], NSM_PCR_BYTES };
        return NSM_ERROR_SUCCESS;
}

static enum nsm_error lock_pcr(struct module *m, uint16_t index) {
        if (index >= NSM_PCRS)
                return NSM_ERROR_INVALID_INDEX;
        if (m->locked & 1u << index)
                return NSM_ERROR_READ_ONLY_INDEX;
        m->locked |= 1u << index;
        return NSM_ERROR_SUCCESS;
}

/* [0, range) */
static enum nsm_error lock_pcrs(struct module *m, uint16_t range) {
        if (range > NSM_PCRS)
                return NSM_ERROR_INVALID_INDEX;
        m->locked |= range == NSM_PCRS ? UINT32_MAX : (1u << range) - 1;
        return NSM_ERROR_SUCCESS;
}

static enum nsm_error describe_module(struct module *m, struct nsm_response *a) {
        const char *id = pki_module_id(m->pki);

        a->version[0] = 1;
        a->module_id = (struct span){ (const uint8_t *)id, strlen(id) };
        a->max_pcrs = NSM_PCRS;
        a->locked_pcrs = m->locked;
        return NSM_ERROR_SUCCESS;
}

static enum nsm_error attest(struct module *m, const struct nsm_request *q, struct cbor_writer *document,
                             struct nsm_response *a) {
        struct timespec now;
        enum nsm_error error;

        if (q->user_data.size > limits[m->platform].user_data || q->nonce.size > limits[m->platform].nonce ||
            q->public_key.size > limits[m->platform].public_key)
                return NSM_ERROR_INPUT_TOO_LARGE;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        error = module_make_document(m, q, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, document);
        a->data = cbor_written(document);
        return error;
}

static enum nsm_error get_random(uint8_t *bytes, struct nsm_response *a) {
        if (getrandom(bytes, NSM_RANDOM_BYTES, 0) != NSM_RANDOM_BYTES)
                return NSM_ERROR_INTERNAL_ERROR;
        a->data = (struct span){ bytes, NSM_RANDOM_BYTES };
        return NSM_ERROR_SUCCESS;
}

/* scratch: room for what the answer points to. */
static enum nsm_error carry_out(struct module *m, const struct nsm_request *q, uint8_t scratch[MAX_DOCUMENT],
                                struct nsm_response *a) {
        struct cbor_writer document = cbor_into(scratch, MAX_DOCUMENT);

        switch (q->operation) {
        case NSM_DESCRIBE_PCR:
                return describe_pcr(m, q, a);
        case NSM_EXTEND_PCR:
                return extend_pcr(m, q, a);
        case NSM_LOCK_PCR:
                return lock_pcr(m, q->index);
        case NSM_LOCK_PCRS:
                return lock_pcrs(m, q->index);
        case NSM_DESCRIBE_NSM:
                return describe_module(m, a);
        case NSM_ATTESTATION:
                return attest(m, q, &document, a);
        case NSM_GET_RANDOM:
                return get_random(scratch, a);
        case NSM_OPERATION_MAX:
                break;
        }
        return NSM_ERROR_INVALID_OPERATION;
}

size_t module_answer(struct module *m, struct span request, uint8_t response[NSM_MAX_RESPONSE]) {
        uint8_t scratch[MAX_DOCUMENT];
        struct cbor_writer w = cbor_into(response, NSM_MAX_RESPONSE);
        struct nsm_request q = { 0 };
        struct nsm_response a = { 0 };

        a.error = nsm_request_decode(request, &q);
        if (a.error == NSM_ERROR_SUCCESS)
                a.error = carry_out(m, &q, scratch, &a);
        nsm_response_encode(&w, q.operation, &a);
        return w.used;
}
