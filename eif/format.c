/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/format.h"

#include "base/buffer.h"

#include <errno.h>
#include <string.h>

enum {
        AT_MAGIC = 0x000,
        AT_VERSION = 0x004,
        AT_FLAGS = 0x006,
        AT_DEFAULT_MEMORY = 0x008,
        AT_DEFAULT_CPUS = 0x010,
        AT_RESERVED = 0x018,
        AT_N_SECTIONS = 0x01a,
        AT_OFFSETS = 0x01c,
        AT_SIZES = 0x11c,
        AT_UNUSED = 0x21c,
};

void eif_header_encode(const struct eif_header *h, uint8_t ret[EIF_HEADER_SIZE]) {
        put_be(ret + AT_MAGIC, 4, EIF_MAGIC);
        put_be(ret + AT_VERSION, 2, h->version);
        put_be(ret + AT_FLAGS, 2, h->flags);
        put_be(ret + AT_DEFAULT_MEMORY, 8, h->default_memory);
        put_be(ret + AT_DEFAULT_CPUS, 8, h->default_cpus);
        put_be(ret + AT_RESERVED, 2, h->reserved);
        put_be(ret + AT_N_SECTIONS, 2, h->n_sections);
        for (size_t i = 0; i < EIF_SECTIONS_MAX; i++) {
                put_be(ret + AT_OFFSETS + 8 * i, 8, h->offsets[i]);
                put_be(ret + AT_SIZES + 8 * i, 8, h->sizes[i]);
        }
        put_be(ret + AT_UNUSED, 4, h->unused);
        put_be(ret + EIF_CRC_OFFSET, 4, h->crc);
}

bool eif_header_decode(const uint8_t data[EIF_HEADER_SIZE], struct eif_header *ret) {
        struct reader r = reader_over(data, EIF_HEADER_SIZE);
        bool magic = reader_be(&r, 4) == EIF_MAGIC;

        ret->version = (uint16_t)reader_be(&r, 2);
        ret->flags = (uint16_t)reader_be(&r, 2);
        ret->default_memory = reader_be(&r, 8);
        ret->default_cpus = reader_be(&r, 8);
        ret->reserved = (uint16_t)reader_be(&r, 2);
        ret->n_sections = (uint16_t)reader_be(&r, 2);
        for (size_t i = 0; i < EIF_SECTIONS_MAX; i++)
                ret->offsets[i] = reader_be(&r, 8);
        for (size_t i = 0; i < EIF_SECTIONS_MAX; i++)
                ret->sizes[i] = reader_be(&r, 8);
        ret->unused = (uint32_t)reader_be(&r, 4);
        ret->crc = (uint32_t)reader_be(&r, 4);
        return magic;
}

void eif_section_header_encode(uint16_t type, uint16_t flags, uint64_t size,
                               uint8_t ret[EIF_SECTION_HEADER_SIZE]) {
        put_be(ret, 2, type);
        put_be(ret + 2, 2, flags);
        put_be(ret + 4, 8, size);
}

bool eif_ramdisk_is_plain(const char magic[EIF_RAMDISK_MAGIC_SIZE]) {
        return memcmp(magic, "0707", EIF_RAMDISK_MAGIC_SIZE) == 0;
}

const char *eif_arch_name(enum eif_arch arch) {
        return arch == EIF_ARCH_AARCH64 ? "aarch64" : "x86_64";
}

int eif_arch_from_name(const char *name, enum eif_arch *ret) {
        static const struct {
                const char *name;
                enum eif_arch arch;
        } names[] = {
                { "x86_64", EIF_ARCH_X86_64 },
                { "amd64", EIF_ARCH_X86_64 },
                { "aarch64", EIF_ARCH_AARCH64 },
                { "arm64", EIF_ARCH_AARCH64 },
        };

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (strcmp(name, names[i].name) == 0) {
                        *ret = names[i].arch;
                        return 0;
                }
        return -EINVAL;
}

const char *eif_section_type_name(unsigned type) {
        static const char *const names[EIF_SECTION_TYPE_MAX] = {
                [EIF_SECTION_INVALID] = "invalid",     [EIF_SECTION_KERNEL] = "kernel",
                [EIF_SECTION_CMDLINE] = "cmdline",     [EIF_SECTION_RAMDISK] = "ramdisk",
                [EIF_SECTION_SIGNATURE] = "signature", [EIF_SECTION_METADATA] = "metadata",
        };

        return type < EIF_SECTION_TYPE_MAX ? names[type] : "unknown";
}
