/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/metrics.h"

#include "base/io.h"
#include "kms/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

struct row {
        const char *name, *type, *help;
        size_t offset;
};

struct listener_metrics *metrics_find(const struct metrics *metrics, const char *name, const char *mode) {
        struct listener_metrics *l = metrics->listeners;

        while (l && (strcmp(l->name, name) != 0 || strcmp(l->mode, mode) != 0))
                l = l->next;
        return l;
}

int metrics_add(struct metrics *metrics, const char *name, const char *mode) {
        struct listener_metrics **end = &metrics->listeners;

        if (metrics_find(metrics, name, mode))
                return 0;
        while (*end)
                end = &(*end)->next;
        *end = calloc(1, sizeof(**end));
        if (!*end)
                return -ENOMEM;
        (void)snprintf((*end)->name, sizeof((*end)->name), "%s", name);
        (*end)->mode = mode;
        return 0;
}

void metrics_done(struct metrics *metrics) {
        while (metrics->listeners) {
                struct listener_metrics *l = metrics->listeners;

                metrics->listeners = l->next;
                free(l);
        }
}

static uint64_t value_of(const void *object, const struct row *row) {
        return *(const uint64_t *)(const void *)((const char *)object + row->offset);
}

static int write_head(struct bytes *text, const struct row *row) {
        return bytes_printf(text, "# HELP qt_kms_proxy_%s %s\n# TYPE qt_kms_proxy_%s %s\n", row->name,
                            row->help, row->name, row->type);
}

/* A section's name needs no quoting: it is of letters, digits, '-', '_' and '.'. */
static int write_listeners(struct bytes *text, const struct metrics *metrics, const struct row *row) {
        int r = write_head(text, row);

        for (const struct listener_metrics *l = metrics->listeners; l && r >= 0; l = l->next)
                r = bytes_printf(text, "qt_kms_proxy_%s{listener=\"%s\",mode=\"%s\"} %" PRIu64 "\n",
                                 row->name, l->name, l->mode, value_of(l, row));
        return r;
}

static int write_own(struct bytes *text, const struct metrics *metrics, const struct row *row) {
        int r = write_head(text, row);

        return r < 0 ? r
                     : bytes_printf(text, "qt_kms_proxy_%s %" PRIu64 "\n", row->name, value_of(metrics, row));
}

int metrics_write(const struct metrics *metrics, const char *path) {
#define LISTENER_ROW(field, type, help) { #field, #type, help, offsetof(struct listener_metrics, field) },
#define PROXY_ROW(field, type, help) { #field, #type, help, offsetof(struct metrics, field) },
        static const struct row of_listeners[] = { LISTENER_METRICS(LISTENER_ROW) };
        static const struct row of_proxy[] = { PROXY_METRICS(PROXY_ROW) };
        _cleanup_bytes_ struct bytes text = BYTES_NULL;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(of_listeners) && r >= 0; i++)
                r = write_listeners(&text, metrics, &of_listeners[i]);
        for (size_t i = 0; i < ELEMENTSOF(of_proxy) && r >= 0; i++)
                r = write_own(&text, metrics, &of_proxy[i]);
        return r < 0 ? r : publish_file(AT_FDCWD, path, text.data, text.size, 0644);
}
