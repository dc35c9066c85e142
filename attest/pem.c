/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/pem.h"

#include "base/cleanup.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

#define MAX_FILE (1 << 20)

static const uint8_t *find(const uint8_t *data, size_t size, const char *text) {
        return size > 0 ? memmem(data, size, text, strlen(text)) : NULL;
}

/* Base64 without its line ends; EVP_DecodeBlock() wants groups of four only. */
static int decode(const uint8_t *data, size_t size, uint8_t **ret, size_t *ret_size) {
        _cleanup_free_ uint8_t *text = malloc(size + 1), *der = malloc(size + 1);
        size_t n = 0, padding = 0;
        int length;

        if (!text || !der)
                return -ENOMEM;
        for (size_t i = 0; i < size; i++)
                if (data[i] != '\n' && data[i] != '\r')
                        text[n++] = data[i];
        while (padding < 2 && padding < n && text[n - 1 - padding] == '=')
                padding++;
        length = EVP_DecodeBlock(der, text, (int)n);
        if (n == 0 || n % 4 != 0 || length < (int)padding)
                return -EBADMSG;
        *ret_size = (size_t)length - padding;
        *ret = TAKE(der);
        return 0;
}

int pem_or_der(const void *data, size_t size, const char *label, uint8_t **ret, size_t *ret_size) {
        char begin[64], end[64];
        const uint8_t *start, *stop;
        size_t left;

        if (size > MAX_FILE)
                return -EFBIG;
        (void)snprintf(begin, sizeof(begin), "-----BEGIN %s-----", label);
        (void)snprintf(end, sizeof(end), "-----END %s-----", label);
        start = find(data, size, begin);
        if (!start) {
                *ret = malloc(size ? size : 1);
                if (!*ret)
                        return -ENOMEM;
                if (size > 0)
                        memcpy(*ret, data, size);
                *ret_size = size;
                return 0;
        }
        start += strlen(begin);
        left = size - (size_t)(start - (const uint8_t *)data);
        stop = find(start, left, end);
        /* Two certificates in one file: which one did the operator mean? */
        if (!stop || find(start, left, "-----BEGIN"))
                return -EBADMSG;
        return decode(start, (size_t)(stop - start), ret, ret_size);
}
