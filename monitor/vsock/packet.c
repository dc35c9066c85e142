/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/vsock/packet.h"

#include "base/buffer.h"
#include "monitor/vsock/device.h"

void packet_header_parse(struct packet_header *header, const uint8_t *data) {
        struct reader r = reader_over(data, PACKET_HEADER_SIZE);

        header->source_cid = reader_le(&r, 8);
        header->destination_cid = reader_le(&r, 8);
        header->source_port = (uint32_t)reader_le(&r, 4);
        header->destination_port = (uint32_t)reader_le(&r, 4);
        header->length = (uint32_t)reader_le(&r, 4);
        header->type = (uint16_t)reader_le(&r, 2);
        header->op = (uint16_t)reader_le(&r, 2);
        header->flags = (uint32_t)reader_le(&r, 4);
        header->buffer_size = (uint32_t)reader_le(&r, 4);
        header->forwarded_bytes = (uint32_t)reader_le(&r, 4);
}

void packet_header_format(const struct packet_header *header, uint8_t *data) {
        put_le(data, 8, header->source_cid);
        put_le(data + 8, 8, header->destination_cid);
        put_le(data + 16, 4, header->source_port);
        put_le(data + 20, 4, header->destination_port);
        put_le(data + 24, 4, header->length);
        put_le(data + 28, 2, header->type);
        put_le(data + 30, 2, header->op);
        put_le(data + 32, 4, header->flags);
        put_le(data + 36, 4, header->buffer_size);
        put_le(data + 40, 4, header->forwarded_bytes);
}

enum packet_verdict packet_check(const struct packet_header *header, uint64_t guest_cid, size_t payload) {
        /* A reset carries nothing and is never answered: two ends would reset each other for ever. */
        bool reset = header->op == PACKET_OP_RST;

        if (header->source_cid != guest_cid)
                return PACKET_IGNORE;
        if (header->length > payload)
                return PACKET_IGNORE;
        if (header->type != PACKET_TYPE_STREAM)
                return reset ? PACKET_IGNORE : PACKET_RESET;
        if (header->op == PACKET_OP_INVALID || header->op >= PACKET_OP_MAX)
                return PACKET_RESET;
        if (header->destination_cid != VSOCK_CID_HYPERVISOR && header->destination_cid != VSOCK_CID_HOST &&
            header->destination_cid != VSOCK_CID_PARENT)
                return reset ? PACKET_IGNORE : PACKET_RESET;
        return PACKET_ACCEPT;
}
