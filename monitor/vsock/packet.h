/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The 44-byte header in front of every vsock packet (virtio 1.2, 5.10.6), little-endian on the ring. Parsing
 * takes bytes already copied out of guest memory: the guest may change its copy at any time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_HEADER_SIZE 44U

enum packet_type {
        PACKET_TYPE_STREAM = 1,
};

enum packet_op {
        PACKET_OP_INVALID,
        PACKET_OP_REQUEST,
        PACKET_OP_RESPONSE,
        PACKET_OP_RST,
        PACKET_OP_SHUTDOWN,
        PACKET_OP_RW,
        PACKET_OP_CREDIT_UPDATE,
        PACKET_OP_CREDIT_REQUEST,
        PACKET_OP_MAX,
};

/* Flags of PACKET_OP_SHUTDOWN: what the sender of the packet will not do any more. */
enum packet_shutdown {
        PACKET_SHUTDOWN_RECEIVE = 1,
        PACKET_SHUTDOWN_SEND = 2,
        PACKET_SHUTDOWN_BOTH = 3,
};

struct packet_header {
        uint64_t source_cid;
        uint64_t destination_cid;
        uint32_t source_port;
        uint32_t destination_port;
        uint32_t length; /* bytes of payload behind the header */
        uint16_t type;
        uint16_t op;
        uint32_t flags;
        uint32_t buffer_size;     /* the sender's receive buffer for this connection … */
        uint32_t forwarded_bytes; /* … and how many bytes have left it, modulo 2^32 */
};

/* What to do with a packet of a guest, before any connection is looked up. */
enum packet_verdict {
        PACKET_ACCEPT,
        PACKET_IGNORE, /* malformed or forged: no answer could reach the right one */
        PACKET_RESET,  /* well-formed, for nobody here */
};

/* data must hold PACKET_HEADER_SIZE bytes. */
void packet_header_parse(struct packet_header *header, const uint8_t *data);
void packet_header_format(const struct packet_header *header, uint8_t *data);

/* payload is how many bytes the descriptor chain has behind the header. */
enum packet_verdict packet_check(const struct packet_header *header, uint64_t guest_cid, size_t payload);
