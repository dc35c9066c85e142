/* SPDX-License-Identifier: Apache-2.0 */

#include "kms/http_message.h"

#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static bool stays_in_line(const char *text) {
        while ((unsigned char)*text >= ' ' && *text != 0x7f)
                text++;
        return !*text;
}

static int append_header(struct bytes *b, const struct signing_pair *header) {
        if (!stays_in_line(header->name) || !stays_in_line(header->value))
                return -EINVAL;
        return bytes_printf(b, "%s: %s\r\n", header->name, header->value);
}

int http_message_append(struct bytes *b, const char *path, const struct signing_pair *headers,
                        size_t n_headers, const void *body, size_t size) {
        int r = stays_in_line(path) && !strchr(path, ' ') ? bytes_printf(b, "POST %s HTTP/1.1\r\n", path)
                                                          : -EINVAL;

        for (size_t i = 0; i < n_headers && r >= 0; i++)
                r = append_header(b, &headers[i]);
        if (r >= 0)
                r = bytes_printf(b, "Content-Length: %zu\r\nConnection: close\r\n\r\n", size);
        return r < 0 ? r : bytes_append(b, body, size);
}

void http_message_done(struct http_message *m) {
        bytes_done(&m->body);
        *m = HTTP_MESSAGE_NULL;
}

/* What is still to be read. */
struct input {
        const char *p, *end;
};

/* One line without its CR LF, as text; -EAGAIN when its end is not there yet. */
static int take_line(struct input *in, char *ret, size_t size) {
        const char *feed = memchr(in->p, '\n', (size_t)(in->end - in->p));
        size_t n;

        if (!feed)
                return (size_t)(in->end - in->p) >= size ? -EMSGSIZE : -EAGAIN;
        n = (size_t)(feed - in->p);
        if (n == 0 || in->p[n - 1] != '\r' || memchr(in->p, '\0', n))
                return -EBADMSG;
        if (--n >= size)
                return -EMSGSIZE;
        memcpy(ret, in->p, n);
        ret[n] = '\0';
        in->p = feed + 1;
        return 0;
}

struct framing {
        bool chunked, has_length;
        uint64_t length;
};

static int take_status(struct input *in, long *ret) {
        char line[512];
        int r = take_line(in, line, sizeof(line));

        if (r < 0)
                return r;
        if (strncmp(line, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)line[7]) || line[8] != ' ' ||
            !isdigit((unsigned char)line[9]) || !isdigit((unsigned char)line[10]) ||
            !isdigit((unsigned char)line[11]) || (line[12] && line[12] != ' '))
                return -EBADMSG;
        *ret = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
        return *ret < 200 ? -EBADMSG : 0;
}

static int take_header(char *line, struct framing *f) {
        char *colon = strchr(line, ':'), *value;
        size_t n;

        if (!colon || colon == line || isspace((unsigned char)line[0]) || isspace((unsigned char)colon[-1]))
                return -EBADMSG;
        *colon = '\0';
        value = colon + 1 + strspn(colon + 1, " \t");
        n = strlen(value);
        while (n && strchr(" \t", value[n - 1]))
                value[--n] = '\0';
        if (strcasecmp(line, "Content-Length") == 0) {
                if (f->has_length || parse_u64(value, 0, UINT32_MAX, &f->length) < 0)
                        return -EBADMSG;
                f->has_length = true;
        } else if (strcasecmp(line, "Transfer-Encoding") == 0) {
                if (f->chunked || strcasecmp(value, "chunked") != 0)
                        return -EBADMSG;
                f->chunked = true;
        }
        return 0;
}

static int take_headers(struct input *in, struct framing *f) {
        const char *start = in->p;
        char line[4096];

        for (;;) {
                int r = take_line(in, line, sizeof(line));

                if (r < 0)
                        return r;
                if ((size_t)(in->p - start) > HTTP_HEADERS_MAX)
                        return -EMSGSIZE;
                if (!*line)
                        return f->chunked && f->has_length ? -EBADMSG : 0;
                r = take_header(line, f);
                if (r < 0)
                        return r;
        }
}

static int take_chunk_size(struct input *in, size_t *ret) {
        char line[64];
        size_t size = 0, n;
        int r = take_line(in, line, sizeof(line));

        if (r < 0)
                return r;
        line[strcspn(line, ";")] = '\0'; /* extensions mean nothing to us */
        n = strlen(line);
        if (n == 0 || n > 8 || line[strspn(line, "0123456789abcdefABCDEF")])
                return -EBADMSG;
        for (size_t i = 0; i < n; i++) {
                char c = (char)tolower((unsigned char)line[i]);

                size = size << 4 | (size_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        *ret = size;
        return 0;
}

static int take_chunked(struct input *in, struct bytes *ret) {
        char line[4096];
        size_t size;
        int r;

        for (;;) {
                r = take_chunk_size(in, &size);
                if (r < 0 || size == 0)
                        break;
                if ((size_t)(in->end - in->p) < size + 2)
                        return size > BYTES_MAX_DEFAULT ? -EMSGSIZE : -EAGAIN;
                if (memcmp(in->p + size, "\r\n", 2) != 0)
                        return -EBADMSG;
                r = bytes_append(ret, in->p, size);
                if (r < 0)
                        return r;
                in->p += size + 2;
        }
        while (r >= 0 && (r = take_line(in, line, sizeof(line))) >= 0 && *line)
                continue; /* trailers */
        return r;
}

static int take_body(struct input *in, const struct framing *f, bool ended, size_t max, struct bytes *ret) {
        size_t left = (size_t)(in->end - in->p);

        ret->max = max;
        if (f->chunked)
                return take_chunked(in, ret);
        if (f->has_length) {
                if (f->length > max)
                        return -EMSGSIZE;
                return left < f->length ? -EAGAIN : bytes_append(ret, in->p, (size_t)f->length);
        }
        if (left > max)
                return -EMSGSIZE;
        return ended ? bytes_append(ret, in->p, left) : -EAGAIN;
}

int http_message_parse(const void *data, size_t size, bool ended, size_t body_max, struct http_message *ret) {
        struct input in = { data, (const char *)data + size };
        _cleanup_http_message_ struct http_message m = HTTP_MESSAGE_NULL;
        struct framing framing = { .chunked = false };
        int r = take_status(&in, &m.status);

        if (r >= 0)
                r = take_headers(&in, &framing);
        if (r >= 0)
                r = take_body(&in, &framing, ended, body_max, &m.body);
        if (r == -EAGAIN && ended)
                r = -EBADMSG;
        if (r < 0)
                return r;
        *ret = m;
        m = HTTP_MESSAGE_NULL;
        return 0;
}
