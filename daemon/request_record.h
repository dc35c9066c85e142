/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whoever asks for a change leaves one record, whether it was made or refused: who, what, what became of it.
 * In the journal it has the fields REQUEST_UID, REQUEST_METHOD, REQUEST_OUTCOME and ENCLAVE. */

#include <sys/types.h>

/* subject: the enclave; "pool"; or "-" when it is none, or all. outcome: a few words, or an error's stable
 * name. */
void request_record(uid_t uid, const char *method, const char *subject, const char *outcome);
