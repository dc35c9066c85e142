/* SPDX-License-Identifier: Apache-2.0 */

/* The interface descriptions themselves, compiled in by embed.py from the .varlink files. */

#include "proto/interface.h"

#include <assert.h>
#include <string.h>

#include "proto/interface_texts.h"

static const struct interface *parse_once(const struct interface **cache, const char *text, size_t size) {
        struct interface *parsed = NULL;
        int r;

        if (!*cache) {
                r = interface_parse(text, size, &parsed, NULL);
                assert(r >= 0);
                *cache = parsed;
        }
        return *cache;
}

const struct interface *interface_manager(void) {
        static const struct interface *cache;

        return parse_once(&cache, text_io_qtenclave_Manager, sizeof(text_io_qtenclave_Manager) - 1);
}

const struct interface *interface_monitor(void) {
        static const struct interface *cache;

        return parse_once(&cache, text_io_qtenclave_Monitor, sizeof(text_io_qtenclave_Monitor) - 1);
}

const struct interface *interface_service(void) {
        static const struct interface *cache;

        return parse_once(&cache, text_org_varlink_service, sizeof(text_org_varlink_service) - 1);
}
