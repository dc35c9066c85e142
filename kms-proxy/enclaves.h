/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which enclaves this host runs, as qt-enclaved says: one Varlink call (io.qtenclave.Manager.Describe), kept
 * for a second; one that is not among them is asked for at once. The socket is local and the daemon trusted;
 * still no call waits much longer than half a second, and after one that failed nobody is known for a while,
 * which is logged.
 */

#include <stddef.h>
#include <stdint.h>

#define ENCLAVES_MAX 64
#define COMPLAINT_MAX 160

struct enclaves {
        char *socket;
        uint64_t asked_usec, failed_usec; /* monotonic; 0: never */
        char complaint[COMPLAINT_MAX];    /* why the daemon does not answer, as logged last; "": it does */
        size_t n;
        struct {
                uint32_t cid;
                char name[128];
        } known[ENCLAVES_MAX];
};

int enclaves_init(struct enclaves *e, const char *socket);
void enclaves_done(struct enclaves *e);

/* -ENOENT: no running enclave has this CID. Other errors: the daemon does not answer, and nobody is served.
 */
int enclaves_name_of(struct enclaves *e, uint32_t cid, char *ret, size_t size);
