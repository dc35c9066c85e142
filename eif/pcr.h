/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The arithmetic of platform configuration registers, always SHA-384. All return 0 or -EIO (libcrypto
 * failed). */

#include "eif/format.h"

/* One extend of a register of zeros: SHA384(48 zero bytes, data). PCR3 is this over the role's ARN, PCR4 over
 * the instance id, both as plain text. */
int eif_pcr_extend(const void *data, size_t n, uint8_t ret[EIF_PCR_SIZE]);

/* The same over SHA384(data): how PCR8 follows from a certificate's DER, and what `pcr --input` prints. */
int eif_pcr_of_bytes(const void *data, size_t n, uint8_t ret[EIF_PCR_SIZE]);

/* The same over the rest of a file; a negative errno when it cannot be read. */
int eif_pcr_of_file(int fd, uint8_t ret[EIF_PCR_SIZE]);
