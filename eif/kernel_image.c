/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/kernel_image.h"

#include "base/buffer.h"
#include "base/cleanup.h"

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

/* What lies about where kernels are built and installed: Debian's vmlinuz for arm64 is gzip, newer ones are a
 * packed EFI program. */
static const char *other_shape(const uint8_t *data, size_t size) {
        static const struct {
                size_t offset, n;
                const char *magic, *name;
        } rows[] = {
                { 0, 2, "\x1f\x8b", "gzip data" },
                { 0, 4, "\x28\xb5\x2f\xfd", "zstd data" },
                { 1, 5, "7zXZ", "xz data" },
                { 0, 4, "\177ELF", "an ELF file" },
                { 4, 4, "zimg", "a packed EFI program" },
                { 0, 2, "#!", "a script" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (size >= rows[i].offset + rows[i].n &&
                    memcmp(data + rows[i].offset, rows[i].magic, rows[i].n) == 0)
                        return rows[i].name;
        return NULL;
}

/* The real-mode sectors, 4 when it says 0, and what follows in units of 16 bytes. */
static uint64_t bzimage_size(const uint8_t *data, size_t size) {
        uint64_t sectors = le_at(data, size, 0x1f1, 1);

        return ((sectors ? sectors : 4) + 1) * 512 + le_at(data, size, 0x1f4, 4) * 16;
}

void kernel_image_probe(const uint8_t *data, size_t size, struct kernel_image *ret) {
        *ret = (struct kernel_image){ .is_known = false };
        if (size >= 0x264 && memcmp(data + 0x202, "HdrS", 4) == 0) {
                uint64_t version = le_at(data, size, 0x20e, 2);

                ret->is_known = true;
                ret->arch = EIF_ARCH_X86_64;
                ret->memory = le_at(data, size, 0x260, 4);
                ret->size = bzimage_size(data, size);
                if (version > 0)
                        copy_version(data, size, 0x200 + version, ret->version, sizeof(ret->version));
        } else if (size >= 64 && memcmp(data + 56, "ARM\x64", 4) == 0) {
                ret->is_known = true;
                ret->arch = EIF_ARCH_AARCH64;
                ret->memory = le_at(data, size, 16, 8);
        } else
                ret->other = other_shape(data, size);
}
