/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "kms/http_message.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#define OK_LINE "HTTP/1.1 200 OK\r\n"

static void answers(void **state _unused_) {
        static const struct {
                const char *text;
                bool ended;
                int r;
                const char *body;
        } rows[] = {
                { OK_LINE "Content-Length: 2\r\n\r\nhi", false, 0, "hi" },
                { OK_LINE "content-length:2  \r\n\r\nhi", false, 0, "hi" },
                { OK_LINE "Content-Length: 2\r\n\r\nh", false, -EAGAIN, NULL },
                { OK_LINE "Content-Length: 2\r\n\r\nh", true, -EBADMSG, NULL },
                { OK_LINE "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\n ho\r\n0\r\n\r\n", false, 0,
                  "hi ho" },
                { OK_LINE "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", false, -EAGAIN, NULL },
                { OK_LINE "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nTrailer: 1\r\n\r\n", false, 0,
                  "hi" },
                { OK_LINE "Transfer-Encoding: chunked\r\n\r\n2\r\nhixx", true, -EBADMSG, NULL },
                { OK_LINE "Transfer-Encoding: chunked\r\n\r\nx\r\n", false, -EBADMSG, NULL },
                { OK_LINE "Transfer-Encoding: chunked\r\n\r\n-1\r\n", false, -EBADMSG, NULL },
                { OK_LINE "Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", false, -EMSGSIZE, NULL },
                { OK_LINE "\r\nhi", false, -EAGAIN, NULL },
                { OK_LINE "\r\nhi", true, 0, "hi" },
                { "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", false, 0, "" },
                { "HTTP/1.1 100 Continue\r\n\r\n", false, -EBADMSG, NULL },
                { "HTTP/2 200\r\n\r\n", false, -EBADMSG, NULL },
                { "HTTP/1.1 200OK\r\n\r\n", false, -EBADMSG, NULL },
                { "SSH-2.0-x\r\n", false, -EBADMSG, NULL },
                { "HTTP/1.1 200 OK\n\n", false, -EBADMSG, NULL },
                { OK_LINE "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", false, -EBADMSG, NULL },
                { OK_LINE "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi", false, -EBADMSG,
                  NULL },
                { OK_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n", false, -EBADMSG, NULL },
                { OK_LINE "Content-Length: +2\r\n\r\nhi", false, -EBADMSG, NULL },
                { OK_LINE "Content-Length : 2\r\n\r\nhi", false, -EBADMSG, NULL },
                { OK_LINE " folded\r\n\r\n", false, -EBADMSG, NULL },
                { OK_LINE "Content-Length: 65\r\n\r\n", false, -EMSGSIZE, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_http_message_ struct http_message m = HTTP_MESSAGE_NULL;

                print_message("# row %zu\n", i);
                assert_int_equal(
                        http_message_parse(rows[i].text, strlen(rows[i].text), rows[i].ended, 64, &m),
                        rows[i].r);
                if (rows[i].body && *rows[i].body)
                        assert_string_equal((char *)m.body.data, rows[i].body);
                else
                        assert_int_equal(m.body.size, 0);
        }
}

/* A value that held a line's end would become a header, or a request, of its own. */
static void one_request(void **state _unused_) {
        static const struct {
                const char *path, *name, *value;
                int r;
        } rows[] = {
                { "/p", "X-Token", "t t~\xc3\xa9", 0 },
                { "/p", "X-Token", "t\r\nContent-Length: 2\r\n\r\n{}POST /other HTTP/1.1", -EINVAL },
                { "/p", "X-Token", "t\n", -EINVAL },
                { "/p", "X-Token", "t\x7f", -EINVAL },
                { "/p", "X\r\nY", "t", -EINVAL },
                { "/p\r\n", "X-Token", "t", -EINVAL },
                { "/p HTTP/1.1", "X-Token", "t", -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct signing_pair header = { rows[i].name, rows[i].value };
                _cleanup_bytes_ struct bytes b = BYTES_NULL;

                print_message("# row %zu\n", i);
                assert_int_equal(http_message_append(&b, rows[i].path, &header, 1, "{}", 2), rows[i].r);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(answers), cmocka_unit_test(one_request) };

        return unit_run("http_message", tests);
}
