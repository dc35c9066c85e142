/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The local security module: what /dev/nsm or QingTian's module is on their platforms, for an enclave that
 * runs on a laptop or in CI. It answers the NSM request set (attest/nsm.h) with documents of exactly the
 * chosen platform's shape, signed by a development PKI that no verifier trusts unless it is told to.
 *
 * The enclave reaches it on vsock CID 0, port SECMOD_PORT: no program of the parent can sit there. On that
 * stream a request is its length (u32, little-endian) and its CBOR, and so is the answer. One request at a
 * time is read from each of few sessions, and a bucket of tokens bounds them all; whoever asks faster waits.
 */

#include "base/error.h"
#include "monitor/secmod/pki.h"

#include <systemd/sd-event.h>

#define SECMOD_PORT 1U
#define SECMOD_SESSIONS_MAX 8

/* SHA-384 of what was really loaded; pcr8 all zero for an image without signature. */
struct secmod_measurements {
        uint8_t pcr0[48], pcr1[48], pcr2[48], pcr8[48];
};

struct secmod_config {
        enum secmod_platform platform;
        uint64_t enclave_id;
        bool debug;
        struct secmod_measurements measurements;
        int pki_directory_fd; /* where the development root is or will be; borrowed */
};

struct secmod;

/* As pki_new(). */
int secmod_new(struct secmod **ret, sd_event *event, const struct secmod_config *config,
               struct error *reterr);
struct secmod *secmod_free(struct secmod *m);

/* Answer on this connected stream socket, which is taken, also on failure. -EAGAIN when there are
 * SECMOD_SESSIONS_MAX already. */
int secmod_serve(struct secmod *m, int fd);

/* The enclave dials: the other end of a new session, for the caller to own. -EAGAIN when all are taken. */
int secmod_dial(struct secmod *m);
