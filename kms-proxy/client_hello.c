/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/client_hello.h"

#include "base/buffer.h"
#include "kms-proxy/host_name.h"

enum {
        RECORD_HANDSHAKE = 22,
        HANDSHAKE_CLIENT_HELLO = 1,
        EXTENSION_SERVER_NAME = 0,
        EXTENSION_ENCRYPTED_SERVER_NAME = 0xffce, /* the drafts before it was called ECH */
        EXTENSION_ENCRYPTED_CLIENT_HELLO = 0xfe0d,
        NAME_TYPE_HOST = 0,
        EXTENSIONS_MAX = 64,
};

const char *client_hello_reason(enum client_hello_verdict verdict) {
        static const char *const names[CLIENT_HELLO_VERDICT_MAX] = {
                [CLIENT_HELLO_OK] = "ok",
                [CLIENT_HELLO_INCOMPLETE] = "incomplete-client-hello",
                [CLIENT_HELLO_NOT_TLS] = "not-tls",
                [CLIENT_HELLO_FRAGMENTED] = "fragmented-client-hello",
                [CLIENT_HELLO_MALFORMED] = "malformed-client-hello",
                [CLIENT_HELLO_NO_NAME] = "no-server-name",
                [CLIENT_HELLO_SEVERAL_NAMES] = "several-server-names",
                [CLIENT_HELLO_BAD_NAME] = "bad-server-name",
                [CLIENT_HELLO_HIDDEN_NAME] = "encrypted-client-hello",
                [CLIENT_HELLO_BYTES_BEHIND] = "bytes-behind-client-hello",
        };

        return names[verdict];
}

/* A part of r with a length in front, as a reader of its own. */
static struct reader take_vector(struct reader *r, size_t width) {
        size_t size = (size_t)reader_be(r, width);
        const uint8_t *data = reader_take(r, size);

        return data ? reader_over(data, size) : (struct reader){ .failed = true };
}

static enum client_hello_verdict parse_server_name(struct reader extension, char *ret_name) {
        struct reader list = take_vector(&extension, 2), name;

        if (extension.failed || reader_left(&extension) || reader_left(&list) == 0)
                return CLIENT_HELLO_MALFORMED;
        if (reader_be(&list, 1) != NAME_TYPE_HOST)
                return CLIENT_HELLO_NO_NAME;
        name = take_vector(&list, 2);
        if (list.failed || name.failed)
                return CLIENT_HELLO_MALFORMED;
        if (reader_left(&list))
                return CLIENT_HELLO_SEVERAL_NAMES;
        if (host_name_normalise((const char *)name.data, name.size, ret_name) < 0)
                return CLIENT_HELLO_BAD_NAME;
        return CLIENT_HELLO_OK;
}

static enum client_hello_verdict parse_extensions(struct reader extensions, char *ret_name) {
        enum client_hello_verdict verdict = CLIENT_HELLO_NO_NAME;
        uint16_t seen[EXTENSIONS_MAX];
        size_t n_seen = 0;

        while (reader_left(&extensions)) {
                uint16_t type = (uint16_t)reader_be(&extensions, 2);
                struct reader body = take_vector(&extensions, 2);

                if (extensions.failed || n_seen == EXTENSIONS_MAX)
                        return CLIENT_HELLO_MALFORMED;
                for (size_t i = 0; i < n_seen; i++)
                        if (seen[i] == type)
                                return type == EXTENSION_SERVER_NAME ? CLIENT_HELLO_SEVERAL_NAMES
                                                                     : CLIENT_HELLO_MALFORMED;
                seen[n_seen++] = type;
                if (type == EXTENSION_ENCRYPTED_CLIENT_HELLO || type == EXTENSION_ENCRYPTED_SERVER_NAME)
                        return CLIENT_HELLO_HIDDEN_NAME;
                if (type == EXTENSION_SERVER_NAME) {
                        verdict = parse_server_name(body, ret_name);
                        if (verdict != CLIENT_HELLO_OK)
                                return verdict;
                }
        }
        return verdict;
}

static enum client_hello_verdict parse_message(struct reader hello, char *ret_name) {
        struct reader session, suites, compression, extensions;

        (void)reader_take(&hello, 2 + 32); /* legacy_version, random */
        session = take_vector(&hello, 1);
        suites = take_vector(&hello, 2);
        compression = take_vector(&hello, 1);
        if (hello.failed || session.size > 32 || suites.size < 2 || suites.size % 2 || compression.size < 1)
                return CLIENT_HELLO_MALFORMED;
        if (!reader_left(&hello))
                return CLIENT_HELLO_NO_NAME;
        extensions = take_vector(&hello, 2);
        if (hello.failed || reader_left(&hello))
                return CLIENT_HELLO_MALFORMED;
        return parse_extensions(extensions, ret_name);
}

enum client_hello_verdict client_hello_parse(const void *data, size_t size,
                                             char ret_name[static HOST_NAME_MAX_SIZE]) {
        static const uint8_t start[] = { RECORD_HANDSHAKE, 3 };
        const uint8_t *p = data;
        enum client_hello_verdict verdict;
        struct reader record, message;
        size_t record_size;

        /* Whatever is wrong already is said at once: a client that does not speak TLS waits for us to speak.
         */
        for (size_t i = 0; i < size && i < sizeof(start); i++)
                if (p[i] != start[i])
                        return CLIENT_HELLO_NOT_TLS;
        if (size < 5)
                return CLIENT_HELLO_INCOMPLETE;
        record_size = (size_t)p[3] << 8 | p[4];
        if (p[2] > 4 || record_size == 0 || record_size > CLIENT_HELLO_MAX - 5)
                return CLIENT_HELLO_NOT_TLS;
        if (size >= 6 && p[5] != HANDSHAKE_CLIENT_HELLO)
                return CLIENT_HELLO_NOT_TLS;
        if (record_size < 4)
                return CLIENT_HELLO_FRAGMENTED;
        if (size >= 9 && ((size_t)p[6] << 16 | (size_t)p[7] << 8 | p[8]) > record_size - 4)
                return CLIENT_HELLO_FRAGMENTED;
        if (size < 5 + record_size)
                return CLIENT_HELLO_INCOMPLETE;
        record = reader_over(p + 5 + 1, record_size - 1);
        message = take_vector(&record, 3);
        if (message.failed || reader_left(&record))
                return CLIENT_HELLO_MALFORMED;
        verdict = parse_message(message, ret_name);
        /* Nor may anything follow behind the record: the client has to wait for the server now. (Early data
         * would be sent here; the servers this is for do not offer it.) */
        return verdict == CLIENT_HELLO_OK && size > 5 + record_size ? CLIENT_HELLO_BYTES_BEHIND : verdict;
}
