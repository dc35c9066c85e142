/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/kernel_image.h"

#include "base/buffer.h"

#include <string.h>

static uint64_t le_at(const uint8_t *data, size_t size, size_t offset, size_t width) {
        struct reader r = reader_over(data, size);

        (void)reader_take(&r, offset);
        return reader_le(&r, width);
}

/* "6.1.0-56-cloud-amd64 (builder@host) …": the first word, printable characters only. */
static void copy_version(const uint8_t *data, size_t size, size_t offset, char *ret, size_t ret_size) {
        size_t n = 0;

        while (offset + n < size && n + 1 < ret_size && data[offset + n] > ' ' && data[offset + n] < 0x7f &&
               data[offset + n] != '"' && data[offset + n] != '\\') {
                ret[n] = (char)data[offset + n];
                n++;
        }
        ret[n] = '\0';
}

void kernel_image_probe(const uint8_t *data, size_t size, struct kernel_image *ret) {
        *ret = (struct kernel_image){ .is_known = false };
        if (size >= 0x264 && memcmp(data + 0x202, "HdrS", 4) == 0) {
                uint64_t version = le_at(data, size, 0x20e, 2);

                ret->is_known = true;
                ret->arch = EIF_ARCH_X86_64;
                ret->memory = le_at(data, size, 0x260, 4);
                if (version > 0)
                        copy_version(data, size, 0x200 + version, ret->version, sizeof(ret->version));
        } else if (size >= 64 && memcmp(data + 56, "ARM\x64", 4) == 0) {
                ret->is_known = true;
                ret->arch = EIF_ARCH_AARCH64;
                ret->memory = le_at(data, size, 16, 8);
        }
}
