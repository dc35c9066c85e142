/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The root of the development PKI as it lies in its directory. Monitors that start at the same moment end up
 * with the same root: files appear whole and are never replaced. */

#include "base/error.h"
#include "monitor/secmod/issue.h"

#define ROOT_CERTIFICATE "root.pem"
#define ROOT_KEY "root.key"

/* Reads both files, making what is not there. Either is the caller's. */
int root_open(int directory_fd, EVP_PKEY **ret_key, X509 **ret_certificate, struct error *reterr);
