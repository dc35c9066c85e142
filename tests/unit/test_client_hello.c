/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "kms-proxy/client_hello.h"
#include "tests/unit/unit.h"

#include <openssl/ssl.h>
#include <string.h>

/* What libssl says first, with this server name (or none). */
static size_t real_hello(const char *name, uint8_t *ret, size_t size) {
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        SSL *ssl = SSL_new(context);
        BIO *out = BIO_new(BIO_s_mem());
        int n;

        SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
        if (name)
                assert_true(SSL_set_tlsext_host_name(ssl, name));
        assert_true(SSL_connect(ssl) < 0);
        n = BIO_read(out, ret, (int)size);
        assert_true(n > 9);
        SSL_free(ssl);
        SSL_CTX_free(context);
        return (size_t)n;
}

static void real_client(void **state _unused_) {
        uint8_t hello[4096];
        char name[HOST_NAME_MAX_SIZE] = "";
        size_t n = real_hello("KMS.Example.com", hello, sizeof(hello));

        /* Every shorter piece asks for more; so does TCP deliver it. */
        for (size_t i = 0; i < n; i++)
                assert_int_equal(client_hello_parse(hello, i, name), CLIENT_HELLO_INCOMPLETE);
        assert_int_equal(client_hello_parse(hello, n, name), CLIENT_HELLO_OK);
        assert_string_equal(name, "kms.example.com");
        n = real_hello(NULL, hello, sizeof(hello));
        assert_int_equal(client_hello_parse(hello, n, name), CLIENT_HELLO_NO_NAME);
}

/* A hello around these extensions, in one record. */
static size_t made_hello(const uint8_t *extensions, size_t size, uint8_t *ret) {
        size_t n = 0, body = 2 + 32 + 1 + 4 + 2 + 2 + size;

        ret[n++] = 22;
        ret[n++] = 3;
        ret[n++] = 1;
        ret[n++] = (uint8_t)((body + 4) >> 8);
        ret[n++] = (uint8_t)(body + 4);
        ret[n++] = 1;
        ret[n++] = 0;
        ret[n++] = (uint8_t)(body >> 8);
        ret[n++] = (uint8_t)body;
        ret[n++] = 3;
        ret[n++] = 3;
        memset(ret + n, 7, 32);
        n += 32;
        memcpy(ret + n, "\0\0\2\x13\x01\1\0", 7);
        n += 7;
        ret[n++] = (uint8_t)(size >> 8);
        ret[n++] = (uint8_t)size;
        memcpy(ret + n, extensions, size);
        return n + size;
}

static void extensions(void **state _unused_) {
        static const struct {
                const char *what, *data;
                size_t size;
                enum client_hello_verdict verdict;
        } rows[] = {
#define ROW(what, data, verdict) { what, data, sizeof(data) - 1, verdict }
                ROW("one name", "\0\0\0\x08\0\x06\0\0\3a.b", CLIENT_HELLO_OK),
                ROW("none", "", CLIENT_HELLO_NO_NAME),
                ROW("another extension", "\0\x17\0\0", CLIENT_HELLO_NO_NAME),
                ROW("two names in the list", "\0\0\0\x0e\0\x0c\0\0\3a.b\0\0\3c.d",
                    CLIENT_HELLO_SEVERAL_NAMES),
                ROW("the extension twice", "\0\0\0\x08\0\x06\0\0\3a.b\0\0\0\x08\0\x06\0\0\3a.b",
                    CLIENT_HELLO_SEVERAL_NAMES),
                ROW("another extension twice", "\0\x17\0\0\0\x17\0\0", CLIENT_HELLO_MALFORMED),
                ROW("encrypted client hello", "\0\0\0\x08\0\x06\0\0\3a.b\xfe\x0d\0\0",
                    CLIENT_HELLO_HIDDEN_NAME),
                ROW("encrypted server name", "\xff\xce\0\0", CLIENT_HELLO_HIDDEN_NAME),
                ROW("another name type", "\0\0\0\x08\0\x06\1\0\3a.b", CLIENT_HELLO_NO_NAME),
                ROW("an address",
                    "\0\0\0\x0c\0\x0a\0\0\x07"
                    "1.2.3.4",
                    CLIENT_HELLO_BAD_NAME),
                ROW("a short address",
                    "\0\0\0\x0a\0\x08\0\0\5"
                    "127.1",
                    CLIENT_HELLO_BAD_NAME),
                ROW("a number",
                    "\0\0\0\x0b\0\x09\0\0\x06"
                    "012345",
                    CLIENT_HELLO_BAD_NAME),
                ROW("a NUL", "\0\0\0\x08\0\x06\0\0\3a\0b", CLIENT_HELLO_BAD_NAME),
                ROW("a dot at the end", "\0\0\0\x07\0\x05\0\0\2a.", CLIENT_HELLO_BAD_NAME),
                ROW("an empty name", "\0\0\0\x05\0\x03\0\0\0", CLIENT_HELLO_BAD_NAME),
                ROW("an empty list", "\0\0\0\x02\0\0", CLIENT_HELLO_MALFORMED),
                ROW("no list", "\0\0\0\0", CLIENT_HELLO_MALFORMED),
                ROW("a list beyond its extension", "\0\0\0\x08\0\x07\0\0\3a.b", CLIENT_HELLO_MALFORMED),
                ROW("bytes behind the list", "\0\0\0\x09\0\x06\0\0\3a.bx", CLIENT_HELLO_MALFORMED),
                ROW("an extension beyond the message", "\0\x17\0\x05", CLIENT_HELLO_MALFORMED),
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint8_t hello[512];
                char name[HOST_NAME_MAX_SIZE];
                size_t n = made_hello((const uint8_t *)rows[i].data, rows[i].size, hello);

                print_message("# row %s\n", rows[i].what);
                assert_int_equal(client_hello_parse(hello, n, name), rows[i].verdict);
        }
}

static void not_one_record(void **state _unused_) {
        static const uint8_t extension[] = "\0\0\0\x08\0\x06\0\0\3a.b";
        uint8_t hello[512], split[520];
        char name[HOST_NAME_MAX_SIZE];
        size_t n = made_hello(extension, sizeof(extension) - 1, hello);

        /* The same message in two records: the second header in the middle. */
        memcpy(split, hello, 5 + 20);
        split[3] = 0;
        split[4] = 20;
        memcpy(split + 25, "\x16\x03\x01", 3);
        split[28] = 0;
        split[29] = (uint8_t)(n - 25);
        memcpy(split + 30, hello + 25, n - 25);
        assert_int_equal(client_hello_parse(split, n + 5, name), CLIENT_HELLO_FRAGMENTED);

        assert_int_equal(client_hello_parse("GET / HTTP/1.1\r\n", 16, name), CLIENT_HELLO_NOT_TLS);
        assert_int_equal(client_hello_parse("S", 1, name), CLIENT_HELLO_NOT_TLS);
        assert_int_equal(client_hello_parse("\x80\x2e\x01\x03\x01", 5, name),
                         CLIENT_HELLO_NOT_TLS); /* SSLv2 */
        assert_int_equal(client_hello_parse("\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, name),
                         CLIENT_HELLO_NOT_TLS);
        assert_int_equal(client_hello_parse("\x16\x03\x01\xff\xff", 5, name), CLIENT_HELLO_NOT_TLS);
        assert_int_equal(client_hello_parse("\x16\x03\x01\x00\x00", 5, name), CLIENT_HELLO_NOT_TLS);
}

/* The client has to wait for the server: whatever comes with its first message is nothing that was looked at.
 */
static void bytes_behind(void **state _unused_) {
        uint8_t hello[4096], again[4096];
        char name[HOST_NAME_MAX_SIZE];
        size_t n = real_hello("kms.example.com", hello, sizeof(hello)),
               m = real_hello("other.example.com", again, sizeof(again));

        assert_true(n + m < sizeof(hello));
        memcpy(hello + n, again, m);
        for (size_t i = n + 1; i <= n + m; i++)
                assert_int_equal(client_hello_parse(hello, i, name), CLIENT_HELLO_BYTES_BEHIND);
        memcpy(hello + n, "\x14\x03\x03\x00\x01\x01", 6); /* with which a client's early data begins */
        assert_int_equal(client_hello_parse(hello, n + 6, name), CLIENT_HELLO_BYTES_BEHIND);
        assert_string_equal(client_hello_reason(CLIENT_HELLO_BYTES_BEHIND), "bytes-behind-client-hello");
        /* What is wrong with the message itself is said first. */
        n = real_hello(NULL, hello, sizeof(hello));
        hello[n] = 0;
        assert_int_equal(client_hello_parse(hello, n + 1, name), CLIENT_HELLO_NO_NAME);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(real_client),
                cmocka_unit_test(extensions),
                cmocka_unit_test(not_one_record),
                cmocka_unit_test(bytes_behind),
        };

        return unit_run("client_hello", tests);
}
