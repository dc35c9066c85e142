/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Measure an image, or take it apart for a hypervisor that boots it. */

#include "eif/measure.h"
#include "eif/reader.h"

/* Everything but the CRC verdict comes from the bytes; a wrong CRC is no failure here. */
int eif_measure(const struct eif *e, struct eif_measurements *ret, bool *ret_crc_ok, struct error *reterr);

/*
 * Copy the kernel and the joined ramdisks into two empty memory files (or -1: do not copy) and measure
 * exactly what was copied, in one pass: a file that changes meanwhile cannot be booted under another's
 * measurements.
 *
 * Refused: a wrong CRC, header flags whose effect on PCR0 is unknown, a cmdline with a NUL (IMAGE_INVALID), a
 * signature that does not hold now (SIGNATURE_INVALID). On failure the contents of the two files are
 * unspecified. *ret_cmdline is the caller's.
 */
int eif_load(const struct eif *e, int kernel_fd, int initrd_fd, char **ret_cmdline,
             struct eif_measurements *ret, struct error *reterr);
