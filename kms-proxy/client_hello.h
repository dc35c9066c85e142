/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The first message of a TLS client (RFC 8446 §4.1.2, RFC 6066 §3): which server it wants. The proxy reads
 * this much of a stream and nothing else. A client that hides or doubles the name is refused: two readers
 * could understand it differently, and the gate would guard the wrong door.
 */

#include <stddef.h>
#include <stdint.h>

#define CLIENT_HELLO_MAX (5 + 16384)
#define HOST_NAME_MAX_SIZE 254 /* with the NUL */

enum client_hello_verdict {
        CLIENT_HELLO_OK,
        CLIENT_HELLO_INCOMPLETE, /* read on */
        CLIENT_HELLO_NOT_TLS,    /* no handshake record of TLS 1.x */
        CLIENT_HELLO_FRAGMENTED, /* one message over several records: a way around gates, used by nothing else
                                  */
        CLIENT_HELLO_MALFORMED,  /* lengths that do not add up, an extension twice */
        CLIENT_HELLO_NO_NAME,    /* no server_name, or one without host_name */
        CLIENT_HELLO_SEVERAL_NAMES,
        CLIENT_HELLO_BAD_NAME,     /* an address, or not the characters of a host name */
        CLIENT_HELLO_HIDDEN_NAME,  /* encrypted_client_hello, or its earlier form */
        CLIENT_HELLO_BYTES_BEHIND, /* it is not all that was sent: another one, or early data (0-RTT) */
        CLIENT_HELLO_VERDICT_MAX,
};

/* On CLIENT_HELLO_OK ret_name is the host name in lower case. */
enum client_hello_verdict client_hello_parse(const void *data, size_t size,
                                             char ret_name[static HOST_NAME_MAX_SIZE]);

const char *
client_hello_reason(enum client_hello_verdict verdict); /* "no-server-name": stable, for the audit */
