/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One stream between a port of the guest and a socket of this machine: its state, its credit in both
 * directions, and the bytes the socket did not take yet. Moves bytes to the socket; what goes to the guest is
 * decided here and packed by the device.
 *
 * Credit (virtio 1.2, 5.10.6.3): each end tells how large its receive buffer is and how many bytes have left
 * it; the other never has more in flight. So memory per connection is bounded by the buffer size that we
 * advertise.
 */

#include "monitor/vsock/byte_ring.h"
#include "monitor/vsock/device.h"
#include "monitor/vsock/list.h"
#include "monitor/vsock/packet.h"

enum connection_state {
        CONNECTION_DIALING,     /* the guest asked; the listener's backlog here is full, we ask again */
        CONNECTION_REQUESTED,   /* we asked the guest */
        CONNECTION_ESTABLISHED, /* open in at least one direction */
        CONNECTION_CLOSING,     /* the guest was told that both directions are over; its reset ends it */
        CONNECTION_DRAINING, /* over for the guest, out of the table; its last bytes still go to the socket */
        CONNECTION_DEAD,     /* closed, to be freed at the end of this turn */
};

/* What a connection owes the guest besides data. One bit each: however much happens, it needs no memory. */
enum connection_pending {
        PENDING_REQUEST = 1 << 0,
        PENDING_RESPONSE = 1 << 1,
        PENDING_RESET = 1 << 2,
        PENDING_CREDIT = 1 << 3,
};

struct connection_key {
        uint32_t local_cid; /* the address the guest dialled: it matches our packets by it */
        uint32_t local_port;
        uint32_t guest_port;
};

struct connection {
        struct connection *next_in_bucket;
        struct list all;   /* of the device */
        struct list ready; /* something for the guest */
        struct list timed; /* has a deadline */
        struct connection_key key;
        enum connection_state state;
        int fd;                   /* owned; -1 while dialing and once closed */
        unsigned pending;         /* enum connection_pending */
        bool readable;            /* edge-triggered: true until a read finds nothing */
        bool writable;            /* the same for writes */
        bool input_ending;        /* its end is near: read until it comes */
        bool hung_up;             /* the other end of fd is closed in both directions */
        bool end_of_input;        /* read to its end */
        bool output_broken;       /* nobody reads fd any more: the guest's bytes are dropped */
        bool output_closed;       /* the guest's half-close was passed on */
        unsigned guest_shutdown;  /* enum packet_shutdown: what the guest has told … */
        unsigned shutdown_wanted; /* … what we have to tell it … */
        unsigned shutdown_told;   /* … and have told */
        struct byte_ring output;  /* from the guest, not yet taken by fd */
        size_t read_hint;         /* how much the next read may well find */
        uint32_t buffer_size;     /* our receive buffer, as advertised */
        uint32_t received_bytes;  /* counters modulo 2^32, as in the packets */
        uint32_t forwarded_bytes;
        uint32_t forwarded_told; /* forwarded_bytes as the guest last heard it */
        uint32_t sent_bytes;
        uint32_t guest_buffer_size;
        uint32_t guest_forwarded_bytes;
        uint64_t deadline; /* monotonic milliseconds; only in list timed */
        vsock_connect_done_t done;
        void *done_userdata;
};

/* Takes fd (or -1). */
int connection_new(struct connection **ret, const struct connection_key *key, int fd, uint32_t buffer_size);
void connection_free(struct connection *c);
DEFINE_CLEANUP(struct connection *, connection_free)

/* Bytes of the guest, which counted them against our buffer. 0; -EPROTO: more than it had credit for; or
 * another error. A socket that nobody reads any more is no error, but something to tell the guest. */
int connection_forward(struct connection *c, const struct iovec *slices, size_t n_slices, size_t n_bytes);

/* Write what waits, then pass on a half-close. True: some of it went. */
bool connection_flush(struct connection *c);

/* How many bytes the guest can take now. */
uint32_t connection_credit(const struct connection *c);

/* Note credit and events that came in. */
void connection_heard(struct connection *c, const struct packet_header *header);
void connection_polled(struct connection *c, uint32_t epoll_events);

/* Act on the half-close in guest_shutdown. */
void connection_guest_shut(struct connection *c);

/* Whether the guest should hear something from this connection now. */
bool connection_has_news(const struct connection *c);

/* Whether the socket may be read for the guest. */
bool connection_may_read(const struct connection *c);

/* Read for the guest: how much, 0 when there is nothing (more). Notes the end of input. */
size_t connection_read(struct connection *c, struct iovec *slices, size_t n_slices, size_t n_bytes);

/* A header from this connection to the guest; telling it is noted. */
void connection_header(struct connection *c, uint64_t guest_cid, enum packet_op op, uint32_t length,
                       struct packet_header *ret);
