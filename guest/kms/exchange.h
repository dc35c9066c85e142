/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A call and its answer through the proxy, in either mode. Both end in the same kms_answer, which carries no
 * plaintext. The deadline is stream_deadline()'s. */

#include "guest/kms/client.h"
#include "kms/call.h"

int exchange_api(const struct kms_client_config *config, uint64_t deadline_usec, const char *operation,
                 const json_t *body, const struct bytes *document, struct kms_answer *ret,
                 struct error *reterr);

/* Credentials for a call in pipe mode. A listener lends to nobody twice a second: what it lent, with an end
 * that is not near, is taken again from kept. */
int exchange_credentials(const struct kms_client_config *config, uint64_t deadline_usec,
                         struct credentials *kept, struct error *reterr);
int exchange_pipe(const struct kms_client_config *config, uint64_t deadline_usec,
                  enum kms_operation operation, const json_t *body, const struct bytes *document,
                  const struct credentials *credentials, struct kms_answer *ret, struct error *reterr);
