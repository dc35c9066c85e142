/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* HTTPS on a loopback address, by libmicrohttpd: a few threads, a limit on the size of a request. */

#include "kms-proxy/dev/kms.h"

struct server;

/* certificate, key: PEM texts. port 0: any; *ret_port says which. */
int server_start(struct dev_kms *kms, uint16_t port, const char *certificate, const char *key,
                 struct server **ret, uint16_t *ret_port, struct error *reterr);
void server_stop(struct server *server);
DEFINE_CLEANUP(struct server *, server_stop)
