/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the api and creds listeners need beyond their configuration: the policy and roots that documents are
 * verified against, credentials, an upstream. One service for each listener, shared by its connections and,
 * for blocking work, by the workers' threads. References are counted in the loop only.
 */

#include "attest/attest.h"
#include "kms-proxy/audit.h"
#include "kms-proxy/config.h"
#include "kms-proxy/credentials.h"
#include "kms-proxy/http.h"
#include "kms/frame.h"

struct proxy;

struct api_service {
        struct api_service *next;
        unsigned references;
        struct config *config; /* a reference: keeps the listener */
        const struct listener *listener;
        struct http_pool *http;
        struct credential_source *credentials;
        struct qtattest_context *context;
        struct qtattest_policy *policy;
        char *host; /* of the Host header, ":port" included */
        char *base; /* "https://host:port" */
};

/* Make the services of a configuration, and keep them in place of the present ones, of which those with the
 * same source of credentials pass it on; on failure nothing changes. */
int api_services_renew(struct proxy *proxy, struct config *config, struct error *reterr);
/* Could they be made? And are the credentials what they must be, as far as that can be known without asking
 * anybody: in a file, not from the environment, the service manager or a metadata service of the real start.
 */
int api_services_check(struct config *config, struct error *reterr);
void api_services_free(struct api_service *services);
struct api_service *api_service_find(struct api_service *services, const struct listener *listener);
struct api_service *api_service_ref(struct api_service *service);
void api_service_unref(struct api_service *service);

/* One call of an enclave, worked on in a thread (blocking). What it found out goes into the audit. */
struct api_call {
        struct frame_request request;
        json_t *answer; /* the frame to send: answer, credentials or error */
        enum error_kind kind;
        const char *document_reason; /* why the document was refused; NULL: it was not */
        char document_sha256[65], pcr0[17], module_id[129], key_id[129], request_id[129], address[80];
        long http_status;
};

void api_call_work(struct api_service *service, struct api_call *call);
void api_call_done(struct api_call *call);
