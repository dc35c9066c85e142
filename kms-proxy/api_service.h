/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the api and creds listeners need beyond their configuration: policies, roots, credentials, an
 * upstream. */

#include "kms-proxy/config.h"

struct api_service;
struct proxy;

/* Make the services of a configuration, and keep them in place of the present ones; on failure nothing
 * changes. */
int api_services_renew(struct proxy *proxy, const struct config *config, struct error *reterr);
void api_services_free(struct api_service *services);
