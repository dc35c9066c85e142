/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What /dev/nitro_enclaves refuses, for a person. The driver has errnos of its own (256 to 275, see
 * linux/nitro_enclaves.h), for which strerror(3) knows no text; each is a row with its name, what it means
 * and what to do.
 */

#include "base/error.h"

#define NITRO_ERROR_FIRST 256
#define NITRO_ERROR_LAST 275

/* Describes -r, the failure of the ioctl `what`, with the value that was refused; value may be "". r is a
 * negative errno, of the driver or of the system. */
int nitro_error_set(struct error *reterr, int r, const char *what, const char *value);

/* "NE_ERR_MEM_NOT_HUGE_PAGE", or NULL for an errno that is not the driver's own. */
const char *nitro_error_name(int errno_value);
