/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/api_service.h"

#include "kms-proxy/proxy.h"

int api_services_renew(struct proxy *proxy _unused_, const struct config *config, struct error *reterr) {
        for (size_t i = 0; i < config->n_listeners; i++)
                if (config->listeners[i].mode != LISTENER_PIPE)
                        return error_set(reterr, ERROR_CONFIG_INVALID,
                                         "[%s %s]: this build serves pipe listeners only",
                                         listener_mode_name(config->listeners[i].mode),
                                         config->listeners[i].name);
        return 0;
}

void api_services_free(struct api_service *services _unused_) {
}

int call_connection_start(struct proxy *proxy _unused_, const struct listener *listener _unused_, int fd,
                          const struct peer *peer _unused_) {
        return close_fd(fd);
}
