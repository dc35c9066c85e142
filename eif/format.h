/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The AWS enclave image format (EIF), versions 2 to 4. All numbers are big-endian and packed.
 *
 *   header (548 bytes) | section header (12 bytes) + data | section header + data | …
 *
 * The header's table gives for each section the absolute offset of its section header and the size of its
 * data; the section header repeats the size. The CRC-32 (ISO-HDLC, zlib's) covers the whole file but its own
 * four bytes. Rules: man/eif.5; they are what the Nitro platform, nitro-cli and QEMU refuse, taken together.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EIF_MAGIC 0x2e656966U /* ".eif" */
#define EIF_VERSION_MIN 2     /* the first with a CRC */
#define EIF_VERSION 4         /* with metadata; what is written */
#define EIF_HEADER_SIZE 548U
#define EIF_CRC_OFFSET 544U
#define EIF_SECTION_HEADER_SIZE 12U
#define EIF_SECTIONS_MIN 2U
#define EIF_SECTIONS_MAX 32U

#define EIF_FLAG_AARCH64 0x0001U /* clear: x86_64 */
#define EIF_FLAGS_KNOWN 0x0001U  /* any other bit may be folded into PCR0 in a way that is not published */
#define EIF_DEFAULT_MEMORY (1ULL << 30) /* what AWS's builder writes; nobody reads it */
#define EIF_DEFAULT_CPUS 2ULL

/* Bounds of our own on what has to be held in memory at once. */
#define EIF_CMDLINE_MAX 65536U
#define EIF_METADATA_MAX (1U << 20)
#define EIF_SIGNATURE_MAX 32768U /* the platform's */

#define EIF_PCR_SIZE 48U /* SHA-384 */

enum eif_arch { EIF_ARCH_X86_64, EIF_ARCH_AARCH64, EIF_ARCH_MAX };

enum eif_section_type {
        EIF_SECTION_INVALID = 0,
        EIF_SECTION_KERNEL = 1,
        EIF_SECTION_CMDLINE = 2,
        EIF_SECTION_RAMDISK = 3,
        EIF_SECTION_SIGNATURE = 4, /* since version 3 */
        EIF_SECTION_METADATA = 5,  /* since version 4, where it is mandatory */
        EIF_SECTION_TYPE_MAX,
};

struct eif_header {
        uint16_t version;
        uint16_t flags;
        uint64_t default_memory; /* bytes */
        uint64_t default_cpus;
        uint16_t reserved;
        uint16_t n_sections; /* as claimed; may exceed EIF_SECTIONS_MAX */
        uint64_t offsets[EIF_SECTIONS_MAX];
        uint64_t sizes[EIF_SECTIONS_MAX];
        uint32_t unused;
        uint32_t crc;
};

/* The magic is not part of the structure: decode returns whether it was there. */
void eif_header_encode(const struct eif_header *h, uint8_t ret[EIF_HEADER_SIZE]);
bool eif_header_decode(const uint8_t data[EIF_HEADER_SIZE], struct eif_header *ret);

void eif_section_header_encode(uint16_t type, uint16_t flags, uint64_t size,
                               uint8_t ret[EIF_SECTION_HEADER_SIZE]);

static inline enum eif_arch eif_flags_arch(uint16_t flags) {
        return flags & EIF_FLAG_AARCH64 ? EIF_ARCH_AARCH64 : EIF_ARCH_X86_64;
}

/* "0707": a ramdisk that is not compressed. Ramdisks are joined as they are, and the kernel looks for such a
 * one at multiples of 4 only; a compressed one may start anywhere. */
#define EIF_RAMDISK_MAGIC_SIZE 4
bool eif_ramdisk_is_plain(const char magic[EIF_RAMDISK_MAGIC_SIZE]);

const char *eif_arch_name(enum eif_arch arch);                /* "x86_64", "aarch64" */
int eif_arch_from_name(const char *name, enum eif_arch *ret); /* also "amd64", "arm64"; or -EINVAL */
const char *eif_section_type_name(unsigned type);             /* "kernel"; "unknown" outside the list */
