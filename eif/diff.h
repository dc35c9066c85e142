/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What differs between two images: header fields, sections, and inside ramdisks the files by name, mode,
 * owner, time, size and contents.
 */

#include "eif/reader.h"

struct eif_difference {
        const char *section;   /* "header", "kernel", "ramdisk 1" */
        const char *file;      /* inside the ramdisk; or NULL */
        const char *attribute; /* "version", "presence", "mode", "contents", "layout", … */
        const char *a, *b;     /* the values as text */
};

struct eif_difference_sink {
        /* Returns 0 to go on, else the comparison ends. The strings live until it returns. */
        int (*take)(void *userdata, const struct eif_difference *d);
        void *userdata;
};

/* Both are images that eif_open() accepted. *ret_n is how many differences were reported; 0: every byte is
 * the same, but for a CRC that is wrong in one of them. */
int eif_diff(const struct eif *a, const struct eif *b, const struct eif_difference_sink *sink,
             uint64_t *ret_n, struct error *reterr);
