/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a daemon with this configuration would have as its pool on this machine, in lines that begin with "#".
 * Nothing is changed; huge pages are promised as far as the numbers of now go, which the kernel may miss by
 * then.
 */

#include "daemon/config.h"

#include <stdio.h>

/* The error is the first thing that could not be had; all are printed. */
int pool_preview(const struct config *config, const char *runtime_path, const char *sysfs, FILE *f,
                 struct error *reterr);
