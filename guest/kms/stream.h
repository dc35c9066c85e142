/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A stream to the parent with a deadline for everything that happens on it: a peer that sends a byte now and
 * then does not hold the enclave up. Addresses: "vsock:CID:PORT", or "unix:PATH" where the vsock is somebody
 * else's kernel.
 */

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

struct stream {
        int fd;
        SSL_CTX *context;
        struct bio_method_st *method; /* writes without SIGPIPE */
        SSL *ssl;                     /* NULL: bytes as they are */
        uint64_t deadline_usec;       /* monotonic */
        const char *address;          /* for messages; borrowed */
};

#define STREAM_NULL ((struct stream){ .fd = -1 })

/* The time for everything that has that long from now on, over however many streams. */
uint64_t stream_deadline(uint64_t timeout_usec);
int stream_open(struct stream *s, const char *address, uint64_t deadline_usec, struct error *reterr);
void stream_close(struct stream *s);
#define _cleanup_stream_ _cleanup_(stream_close)

/* TLS from here on: 1.2 or newer, the server's certificate chained to that file and no other, its name
 * checked. */
int stream_start_tls(struct stream *s, const char *host, const char *ca_file, struct error *reterr);

int stream_write(struct stream *s, const void *data, size_t size, struct error *reterr);
/* Bytes read, at least one; 0: the peer has ended. */
int stream_read(struct stream *s, void *data, size_t size, size_t *ret, struct error *reterr);
