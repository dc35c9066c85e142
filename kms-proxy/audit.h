/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One record for each connection and each call, in the journal and, when asked for, in a file of JSON lines
 * in which every line carries the SHA-256 of the one before: a line that was changed, taken out or put in
 * breaks the chain. What was cut off at the end shows only against a head that was kept elsewhere (audit
 * verify --head). Never in a record: keys, tokens, bodies, documents.
 */

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

struct audit;

/* Texts may be NULL, numbers -1 or 0 when they mean nothing for this record. */
struct audit_record {
        uint64_t connection;
        const char *enclave;
        uint32_t cid, peer_port;
        uid_t peer_uid; /* of a local user who is not the enclave */
        const char *mode, *listener, *verdict, *reason;
        const char *name;    /* where to: server name */
        const char *address; /* and the address: taken, or else last tried, or first refused */
        const char *error;   /* what the system said about it or the name */
        uint64_t repeated;   /* so many of this kind since the record before */
        uint64_t bytes_out, bytes_in, duration_usec;
        /* api */
        const char *operation, *key_id, *document_sha256, *module_id, *pcr0, *document_reason;
        long http_status;
        const char *request_id;
};

/* path NULL: the journal only. The file is locked: whoever else writes there is refused. */
int audit_open(const char *path, struct audit **ret, struct error *reterr);
/* Whoever moved the file away gets a new one at its path, in which the chain goes on. When that fails, the
 * file that is open stays. */
int audit_reopen(struct audit *audit, struct error *reterr);
void audit_close(struct audit *audit);
DEFINE_CLEANUP(struct audit *, audit_close)
/* A record that cannot be written into the file is counted in the next one that can (lost). */
void audit_write(struct audit *audit, const struct audit_record *record);
uint64_t audit_failures(const struct audit *audit); /* records that the file lacks, since the start */

struct audit_chain {
        uint64_t n_records, n_following; /* following: behind the head that was given */
        uint64_t n_lost;                 /* could not be written, as later records say */
        char head[65];                   /* hash of the last record */
};

/* 0 when the chain is whole, begins after that hash (the head of the file before; NULL: it is the first one)
 * and has the given head: the hash of any of its records, or NULL. */
int audit_verify(const char *path, const char *after, const char *head, struct audit_chain *ret,
                 struct error *reterr);
