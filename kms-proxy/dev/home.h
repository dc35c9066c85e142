/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The folder of a development KMS:
 *   keys.json         {"keys": {"dev-key": …}}
 *   credentials.json  of the one caller, in the form of qt-kms-proxy's "credentials = file:"
 *   policy.json       who may do what; at first nobody may decrypt
 *   tls.pem, tls.key  a certificate for localhost, to be pinned by callers (ca-file)
 */

#include "base/error.h"

#define HOME_KEYS "keys.json"
#define HOME_CREDENTIALS "credentials.json"
#define HOME_POLICY "policy.json"
#define HOME_CERTIFICATE "tls.pem"
#define HOME_CERTIFICATE_KEY "tls.key"
#define HOME_KEY_ID "dev-key"

/* Makes the folder and what is missing in it; what is there stays. */
int home_init(const char *path, struct error *reterr);

/* "PATH/NAME", which the caller frees; NULL: out of memory. */
char *home_path(const char *path, const char *name);
