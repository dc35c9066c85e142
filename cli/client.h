/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A verb's way to the daemon: which socket, a call, and what the answers look like to a person. */

#include "base/options.h"
#include "proto/client.h"

/* The socket of --socket, else of $QT_ENCLAVE_SOCKET, else the user's own daemon, else the system's. When
 * nobody answers, the error says how to start one. */
int daemon_connect(const struct options *o, struct client *ret, struct error *reterr);

/* One call of io.qtenclave.Manager on a connection of its own; parameters (may be NULL) are stolen. */
int daemon_call(const struct options *o, const char *method, json_t *parameters, struct reply *ret,
                struct error *reterr);

/* "Describe" in as many answers as it takes; the caller owns the array. name may be NULL. */
int daemon_describe(const struct options *o, const char *name, bool all, json_t **ret, struct error *reterr);

/* Is a call that failed so worth another try? Then a moment has passed. Enclaves outlive their daemon, and so
 * does whoever waits for one; but a minute without any daemon is no restart. *tries is 0 at first. */
bool daemon_may_return(unsigned *tries, const struct error *e);

/* Members of an answer, with something harmless when they are absent or of another type. Strings are cleaned
 * of control characters by print functions, not here. */
const char *member_text(const json_t *object, const char *key);
json_int_t member_number(const json_t *object, const char *key);

/* "exited with code 3", "stopped by uid 0": why an enclave ended, or "" while it has not. */
void describe_reason(const json_t *enclave, char *ret, size_t size);

/* Did it end as it should: stopped on request, or by itself with code 0? */
bool ended_well(const json_t *enclave);

/* A document for -o json: indented, one line at the end. */
int print_json(const json_t *document, struct error *reterr);
