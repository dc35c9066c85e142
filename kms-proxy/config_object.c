/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a configuration, and questions to it. */

#include "kms-proxy/config.h"

#include <string.h>

static void text_list_done(struct text_list *list) {
        for (size_t i = 0; i < list->n; i++)
                free(list->items[i]);
        free(list->items);
        free(list->lines);
}

static void listener_done(struct listener *l) {
        char *texts[] = { l->name,    l->credentials, l->metadata, l->provider_name, l->region,
                          l->project, l->endpoint,    l->ca_file,  l->policy,        l->platform };
        struct text_list *lists[] = { &l->enclaves, &l->allow, &l->operations, &l->keys, &l->roots };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                free(texts[i]);
        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                text_list_done(lists[i]);
        for (size_t i = 0; i < l->n_rules; i++)
                allow_rule_done(&l->rules[i]);
        free(l->rules);
}

struct config *config_ref(struct config *config) {
        config->references++;
        return config;
}

void config_unref(struct config *config) {
        if (!config || --config->references > 0)
                return;
        for (size_t i = 0; i < config->n_listeners; i++)
                listener_done(&config->listeners[i]);
        free(config->listeners);
        free(config->enclaves);
        free(config->socket_name);
        free(config->daemon);
        free(config->audit_file);
        free(config->metrics_file);
        free(config);
}

const struct listener *config_listener(const struct config *config, uint32_t port) {
        for (size_t i = 0; i < config->n_listeners; i++)
                if (config->listeners[i].port == port)
                        return &config->listeners[i];
        return NULL;
}

bool listener_serves(const struct listener *listener, const char *enclave) {
        for (size_t i = 0; i < listener->enclaves.n; i++)
                if (strcmp(listener->enclaves.items[i], enclave) == 0)
                        return true;
        return listener->enclaves.n == 0;
}
