/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The measurements of an image: PCR0 over kernel, cmdline and all ramdisks, PCR1 over kernel, cmdline and the
 * first ramdisk, PCR2 over the other ramdisks; SHA-384 and one extend from zeros, eif_pcr_extend(SHA384(…)).
 *
 * A measurer is a ring of buffers between its owner, who fills them in measuring order, and two threads that
 * hash: one PCR0 (and PCR1 on the way), one PCR2. So the whole costs the time of one hash where there are two
 * processors, and the memory of the ring whatever the size of the image.
 */

#include "base/cleanup.h"
#include "eif/format.h"

struct eif_measurements {
        uint8_t pcr0[EIF_PCR_SIZE];
        uint8_t pcr1[EIF_PCR_SIZE];
        uint8_t pcr2[EIF_PCR_SIZE];
        uint8_t pcr8[EIF_PCR_SIZE]; /* of the signing certificate; zero when not signed */
        bool is_signed;
};

/* What a buffer holds. Kernel and cmdline come first, each once, then the ramdisks. */
enum eif_measured_part {
        EIF_PART_COMMON,        /* kernel and cmdline: PCR0 and PCR1 */
        EIF_PART_FIRST_RAMDISK, /* PCR0 and PCR1 */
        EIF_PART_APPLICATION,   /* further ramdisks: PCR0 and PCR2 */
};

#define EIF_MEASURE_BUFFER_SIZE (256U << 10)

enum eif_measure_what {
        EIF_MEASURE_ALL,
        EIF_MEASURE_PCR0, /* leaves PCR1 and PCR2 zero and saves a processor */
};

struct eif_measurer;

/* 0, -ENOMEM, or what pthread_create() says. */
int eif_measurer_new(struct eif_measurer **ret, enum eif_measure_what what);
/* Waits for the threads. */
struct eif_measurer *eif_measurer_free(struct eif_measurer *m);
DEFINE_CLEANUP(struct eif_measurer *, eif_measurer_free)
#define _cleanup_eif_measurer_ _cleanup_(eif_measurer_freep)

/* The buffer to fill next, EIF_MEASURE_BUFFER_SIZE bytes; the same one until it is submitted. Waits while
 * all are being hashed. */
uint8_t *eif_measurer_buffer(struct eif_measurer *m);

/* Hand the first n bytes of that buffer to the hashes; it must not be touched afterwards. */
void eif_measurer_submit(struct eif_measurer *m, size_t n, enum eif_measured_part part);

/* Wait for the hashes; fills pcr0, pcr1 and pcr2 only. The measurer can only be freed afterwards. -EIO when
 * the hash itself failed. */
int eif_measurer_finish(struct eif_measurer *m, struct eif_measurements *ret);
