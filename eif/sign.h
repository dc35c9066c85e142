/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Sign an image that exists: every byte but the header's table and CRC stays as it is, an old signature goes,
 * the new one comes last. One pass: what is copied is what is measured, what is measured is what is signed.
 */

#include "eif/measure.h"
#include "eif/signer.h"
#include "eif/stream.h"

/* Write the signed image to out_fd (empty; a struct output's, to be committed on success only). Refuses a
 * damaged image (IMAGE_INVALID) and one of version 2, which has no signatures. Signing needs PCR0 only; with
 * EIF_MEASURE_PCR0 the others of *ret but pcr8 are zero, and a processor is free for the copying. watch is
 * told of all bytes, or NULL. */
int eif_sign(const struct eif *e, int out_fd, const struct eif_signer *signer, enum eif_measure_what what,
             const struct eif_sink *watch, struct eif_measurements *ret, struct error *reterr);

/* PCR0 of an undamaged image, for eif_signer_to_be_signed(). */
int eif_sign_measure(const struct eif *e, uint8_t ret_pcr0[EIF_PCR_SIZE], struct error *reterr);
