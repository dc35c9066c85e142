/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/metrics.h"

#include "base/cleanup.h"
#include "daemon/manager.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

/* Reason.Kind of io.qtenclave.Manager. */
static const char *const reasons[METRICS_REASONS_MAX] = {
        "exited",          "killed",       "kernel-panic",    "out-of-memory", "boot-timeout", "stopped",
        "hypervisor-died", "monitor-lost", "parent-shutdown", "start-failed",  "other",
};

void metrics_step(struct metrics *m, enum enclave_state from, enum enclave_state state, const char *reason) {
        unsigned i = 0;

        m->starts += state == ENCLAVE_ALLOCATING;
        m->restarts += state == ENCLAVE_CREATED; /* back to there goes only a restart */
        m->boots += state == ENCLAVE_RUNNING;
        if (!enclave_state_is_end(state) || from == ENCLAVE_CREATED) /* what was refused never began */
                return;
        while (i + 1 < METRICS_REASONS_MAX && (!reason || strcmp(reasons[i], reason) != 0))
                i++;
        m->ends[i]++;
}

static void head(FILE *f, const char *name, const char *type, const char *help) {
        (void)fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(FILE *f, const char *name, const char *type, const char *help, uint64_t value) {
        head(f, name, type, help);
        (void)fprintf(f, "%s %" PRIu64 "\n", name, value);
}

static void write_lifecycle(FILE *f, const struct manager *m) {
        uint64_t states[ENCLAVE_STATE_MAX] = { 0 };

        for (const struct enclave *e = m->enclaves; e; e = e->next)
                states[e->state]++;
        head(f, "qt_enclave_enclaves", "gauge",
             "Enclaves in each state, ended ones until they are forgotten.");
        for (int s = 0; s < ENCLAVE_STATE_MAX; s++)
                (void)fprintf(f, "qt_enclave_enclaves{state=\"%s\"} %" PRIu64 "\n",
                              enclave_state_name((enum enclave_state)s), states[s]);
        one(f, "qt_enclave_starts_total", "counter", "Starts that were begun, restarts included.",
            m->metrics.starts);
        one(f, "qt_enclave_restarts_total", "counter", "Restarts by policy.", m->metrics.restarts);
        one(f, "qt_enclave_boots_total", "counter", "Enclaves that came to run.", m->metrics.boots);
        head(f, "qt_enclave_ends_total", "counter", "Enclaves that ended, by the reason's kind.");
        for (unsigned i = 0; i < METRICS_REASONS_MAX; i++)
                (void)fprintf(f, "qt_enclave_ends_total{reason=\"%s\"} %" PRIu64 "\n", reasons[i],
                              m->metrics.ends[i]);
}

static void write_pool(FILE *f, const struct manager *m) {
        const struct pool *p = &m->pool;

        one(f, "qt_enclave_pool_free_bytes", "gauge", "Memory that enclaves could still have.",
            pool_free_mib(p) * MIB);
        one(f, "qt_enclave_pool_reserved_bytes", "gauge", "Memory that enclaves have.",
            p->reserved_mib * MIB);
        one(f, "qt_enclave_pool_reserved_cpus", "gauge", "vCPUs that enclaves have.", p->reserved_cpus);
        if (p->mode != POOL_DEDICATED)
                return;
        head(f, "qt_enclave_pool_pages", "gauge", "Huge pages of the pool on each node.");
        for (unsigned i = 0; i < p->topology.n_nodes; i++)
                (void)fprintf(f, "qt_enclave_pool_pages{node=\"%u\",size_mib=\"%u\"} %" PRIu64 "\n",
                              p->topology.nodes[i].id, page_mib(p->page), p->pages[i].ours);
        head(f, "qt_enclave_pool_pages_used", "gauge", "Of these, the ones that enclaves have.");
        for (unsigned i = 0; i < p->topology.n_nodes; i++)
                (void)fprintf(f, "qt_enclave_pool_pages_used{node=\"%u\",size_mib=\"%u\"} %" PRIu64 "\n",
                              p->topology.nodes[i].id, page_mib(p->page), p->pages[i].used);
}

char *metrics_text(const struct manager *m) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        head(f, "qt_enclave_build_info", "gauge", "The version of the daemon.");
        (void)fputs("qt_enclave_build_info{version=\"" PROJECT_VERSION "\"} 1\n", f);
        write_lifecycle(f, m);
        write_pool(f, m);
        if (fclose(f) == 0)
                return text;
        free(text);
        return NULL;
}
