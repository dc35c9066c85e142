/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One pass over an image that eif_open() accepted: measures it, sums up its CRC, and hands the very bytes
 * that were measured to a sink. Sections come in measuring order: kernel, cmdline, ramdisks, then the others
 * in file order.
 */

#include "eif/measure.h"
#include "eif/reader.h"

struct eif_sink {
        /* The next n bytes of section index; negative with *reterr set ends the pass. NULL: nothing to pass
         * on. */
        int (*take)(void *userdata, size_t index, const uint8_t *data, size_t n, struct error *reterr);
        void *userdata;
};

struct eif_pass {
        struct eif_measurements measurements;   /* pcr8 is not filled, is_signed is */
        uint32_t crc;                           /* of the bytes; the header's own is in eif_header() */
        uint32_t section_crc[EIF_SECTIONS_MAX]; /* of each section's data */
};

/* sink may be NULL. FILE_UNREADABLE when the file ends or fails on the way, or what the sink says. */
int eif_stream(const struct eif *e, enum eif_measure_what what, const struct eif_sink *sink,
               struct eif_pass *ret, struct error *reterr);
