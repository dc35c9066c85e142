/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/refusals.h"

#include "kms-proxy/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS_MAX 1024
#define REPORT_USEC UINT64_C(1000000)
#define TEXT_SIZE 128

struct refusal {
        struct refusal *next;
        char enclave[PEER_NAME_MAX], listener[TEXT_SIZE], reason[TEXT_SIZE];
        const char *mode;
        uint32_t cid;
        uid_t uid;
        uint64_t reported_usec; /* monotonic */
        uint64_t unreported;
};

static bool is_of_kind(const struct audit_record *r, const struct refusal *kind) {
        return r->cid == kind->cid && r->peer_uid == kind->uid && strcmp(r->reason, kind->reason) == 0 &&
               strcmp(r->listener, kind->listener) == 0 && strcmp(r->enclave, kind->enclave) == 0;
}

static void report(struct refusal *kind, struct audit *audit, uint64_t now_usec) {
        const struct audit_record record = { .enclave = kind->enclave,
                                             .cid = kind->cid,
                                             .peer_uid = kind->uid,
                                             .mode = kind->mode,
                                             .listener = kind->listener,
                                             .verdict = "refused",
                                             .reason = kind->reason,
                                             .repeated = kind->unreported };

        if (kind->unreported)
                audit_write(audit, &record);
        kind->reported_usec = now_usec;
        kind->unreported = 0;
}

/* The last of the list goes. */
static void make_room(struct refusals *refusals, struct audit *audit) {
        struct refusal **link = &refusals->kinds;

        while ((*link)->next)
                link = &(*link)->next;
        report(*link, audit, 0);
        free(*link);
        *link = NULL;
        refusals->n--;
}

void refusals_add(struct refusals *refusals, struct audit *audit, const struct audit_record *record) {
        struct refusal *kind = refusals->kinds;

        while (kind && !is_of_kind(record, kind))
                kind = kind->next;
        if (kind) {
                kind->unreported++;
                return;
        }
        audit_write(audit, record);
        if (refusals->n == KINDS_MAX)
                make_room(refusals, audit);
        kind = calloc(1, sizeof(*kind));
        if (!kind)
                return;
        (void)snprintf(kind->enclave, sizeof(kind->enclave), "%s", record->enclave);
        (void)snprintf(kind->listener, sizeof(kind->listener), "%s", record->listener);
        (void)snprintf(kind->reason, sizeof(kind->reason), "%s", record->reason);
        kind->mode = record->mode;
        kind->cid = record->cid;
        kind->uid = record->peer_uid;
        kind->reported_usec = monotonic_usec();
        kind->next = refusals->kinds;
        refusals->kinds = kind;
        refusals->n++;
}

void refusals_report(struct refusals *refusals, struct audit *audit, uint64_t now_usec) {
        struct refusal **link = &refusals->kinds;

        while (*link) {
                struct refusal *kind = *link;
                bool forget = kind->unreported == 0 || now_usec == UINT64_MAX;

                if (now_usec - kind->reported_usec < REPORT_USEC) {
                        link = &kind->next;
                        continue;
                }
                report(kind, audit, now_usec);
                if (forget) {
                        *link = kind->next;
                        free(kind);
                        refusals->n--;
                } else
                        link = &kind->next;
        }
}
