/* SPDX-License-Identifier: Apache-2.0 */

#include "kms/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int bytes_reserve(struct bytes *b, size_t n) {
        size_t max = b->max ? b->max : BYTES_MAX_DEFAULT, capacity;
        uint8_t *larger;

        if (n > max || b->size > max - n)
                return -EMSGSIZE;
        if (b->data && b->size + n < b->capacity)
                return 0;
        capacity = b->capacity ? b->capacity : 256;
        while (capacity <= b->size + n)
                capacity *= 2;
        /* Not realloc(): it would leave a copy of the secret in freed memory. */
        larger = malloc(capacity);
        if (!larger)
                return -ENOMEM;
        if (b->data) {
                memcpy(larger, b->data, b->size);
                explicit_bzero(b->data, b->size);
                free(b->data);
        }
        larger[b->size] = '\0';
        b->data = larger;
        b->capacity = capacity;
        return 0;
}

int bytes_append(struct bytes *b, const void *data, size_t n) {
        int r = bytes_reserve(b, n);

        if (r < 0)
                return r;
        if (n)
                memcpy(b->data + b->size, data, n);
        b->size += n;
        b->data[b->size] = '\0';
        return 0;
}

int bytes_text(struct bytes *b, const char *text) {
        return bytes_append(b, text, strlen(text));
}

int bytes_printf(struct bytes *b, const char *format, ...) {
        va_list ap;
        int n, r;

        va_start(ap, format);
        n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        if (n < 0)
                return -EINVAL;
        r = bytes_reserve(b, (size_t)n);
        if (r < 0)
                return r;
        va_start(ap, format);
        (void)vsnprintf((char *)b->data + b->size, (size_t)n + 1, format, ap);
        va_end(ap);
        b->size += (size_t)n;
        return 0;
}

void bytes_drop(struct bytes *b, size_t n) {
        if (n >= b->size) {
                bytes_clear(b);
                return;
        }
        memmove(b->data, b->data + n, b->size - n);
        explicit_bzero(b->data + b->size - n, n);
        b->size -= n;
}

void bytes_clear(struct bytes *b) {
        if (b->data)
                explicit_bzero(b->data, b->capacity);
        b->size = 0;
}

void bytes_done(struct bytes *b) {
        bytes_clear(b);
        free(b->data);
        *b = BYTES_NULL;
}

void secret_text_free(char *text) {
        if (text)
                explicit_bzero(text, strlen(text));
        free(text);
}
