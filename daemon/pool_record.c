/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/pool_record.h"

#include "base/io.h"
#include "base/log.h"
#include "daemon/driver_pool.h"
#include "daemon/pool_growth.h"

#include <errno.h>
#include <string.h>

#define RECORD "pool.json"
#define RECORD_MAX (64 * 1024)

/* What cannot be read from the machine again while the driver has these CPUs, and what is still to come. */
static void save_driver_pool(const struct manager *m, json_t *record) {
        const struct driver_pool *d = &m->driver_pool;
        char queued[512];

        (void)json_object_set_new(record, "Cores", driver_pool_cores(&m->pool.topology, &d->cpus));
        if (!d->has_queued)
                return;
        cpu_list_format(&d->queued, queued, sizeof(queued));
        (void)json_object_set_new(record, "QueuedCPUs", json_string(queued));
}

/* What is left of the pool in another size or mode. */
static void save_former(const struct pool *p, unsigned node, json_t *object) {
        json_t *former = json_array();
        uint64_t sum = 0;

        for (int size = 0; size < PAGE_SIZE_MAX; size++) {
                sum += p->former[size][node];
                (void)json_array_append_new(former, json_integer((json_int_t)p->former[size][node]));
        }
        if (sum > 0)
                (void)json_object_set(object, "Former", former);
        json_decref(former);
}

/* With pending, the numbers before a change that is about to happen: whoever finds them there must look how
 * far it came. */
static void save(const struct manager *m, const struct pool_plan *pending) {
        const struct pool *p = &m->pool;
        char cpus[512];
        json_auto_t *record = NULL;
        _cleanup_free_ char *text = NULL;
        int r = -ENOMEM;

        cpu_list_format(p->mode == POOL_DEDICATED ? &p->cpus : &p->former_cpus, cpus, sizeof(cpus));
        record = json_pack("{s:i, s:i, s:s, s:[]}", "Version", 1, "PageMiB", (int)page_mib(p->page), "CPUs",
                           cpus, "Nodes");
        for (unsigned node = 0; record && node < p->topology.n_nodes; node++) {
                json_t *object = json_pack("{s:I}", "Pages", (json_int_t)p->pages[node].ours);

                for (size_t i = 0; pending && i < pending->n; i++)
                        if (pending->pages[i].node == node) {
                                (void)json_object_set_new(
                                        object, "Pages",
                                        json_integer((json_int_t)pending->ours_before[node]));
                                (void)json_object_set_new(object, "TotalBefore",
                                                          json_integer((json_int_t)pending->pages[i].before));
                        }
                save_former(p, node, object);
                (void)json_array_append_new(json_object_get(record, "Nodes"), object);
        }
        if (record && p->pages_unknown)
                (void)json_object_set_new(record, "PagesUnknown", json_true());
        if (record && driver_pool_is_used(m))
                save_driver_pool(m, record);
        text = record ? json_dumps(record, JSON_INDENT(1)) : NULL;
        if (text)
                r = replace_file(m->lock_fd, RECORD, text, strlen(text), 0600);
        if (r < 0)
                log_warning("cannot remember which huge pages are ours: %s", strerror(-r));
}

void pool_remember(const struct manager *m) {
        save(m, NULL);
}

void pool_remember_before(const struct manager *m, const struct pool_plan *pending) {
        save(m, pending);
}

static void load_driver_pool(struct manager *m, const json_t *record) {
        const char *queued = json_string_value(json_object_get(record, "QueuedCPUs"));
        struct cpu_list cpus;

        driver_pool_recall(&m->pool.topology, json_object_get(record, "Cores"), &m->driver_pool.cpus);
        if (m->event && queued && cpu_list_parse(queued, &cpus) >= 0) /* a mere look queues nothing */
                driver_pool_queue(m, &cpus);
}

static uint64_t at_most(json_int_t pages, uint64_t total) {
        return pages < 0 ? 0 : (uint64_t)pages > total ? total : (uint64_t)pages;
}

/* What it had in pages of the present size, in whichever mode, is the pool's; the rest is of a former one. */
static void load_node(struct pool *p, unsigned node, const json_t *object, enum page_size page) {
        const struct page_count *counts = p->topology.nodes[node].pages;
        const json_t *before = json_object_get(object, "TotalBefore");
        json_int_t ours = json_integer_value(json_object_get(object, "Pages"));

        if (before)
                ours += (json_int_t)counts[page].total - json_integer_value(before);
        for (int size = 0; size < PAGE_SIZE_MAX; size++) {
                json_int_t pages =
                        json_integer_value(json_array_get(json_object_get(object, "Former"), (size_t)size));

                p->former[size][node] = at_most(pages + ((int)page == size ? ours : 0), counts[size].total);
        }
        if (p->mode != POOL_DEDICATED)
                return;
        p->pages[node].ours = p->former[p->page][node];
        p->former[p->page][node] = 0;
}

static void load_pages(struct pool *p, const json_t *record) {
        json_int_t page = json_integer_value(json_object_get(record, "PageMiB"));

        p->pages_unknown = json_is_true(json_object_get(record, "PagesUnknown"));
        for (unsigned node = 0; node < p->topology.n_nodes; node++)
                load_node(p, node, json_array_get(json_object_get(record, "Nodes"), node),
                          page == page_mib(PAGE_2M) ? PAGE_2M : PAGE_1G);
}

void pool_recall(struct manager *m) {
        struct pool *p = &m->pool;
        _cleanup_free_ char *text = NULL;
        json_auto_t *record = NULL;
        const char *cpus;
        int r;

        r = m->lock_fd < 0 ? -ENOENT : read_text_file(m->lock_fd, RECORD, RECORD_MAX, &text, NULL);
        p->record_missing = r == -ENOENT;
        if (r == -ENOENT)
                return;
        record = r < 0 ? NULL : json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_array(json_object_get(record, "Nodes"))) {
                log_warning("cannot use the record " RECORD " of the pool: %s",
                            strerror(r < 0 ? -r : EBADMSG));
                p->pages_unknown = true;
                return;
        }
        cpus = json_string_value(json_object_get(record, "CPUs"));
        if (cpus)
                (void)cpu_list_parse(cpus, p->mode == POOL_DEDICATED
                                                   ? &p->cpus /* checked with the rest when it is used */
                                                   : &p->former_cpus);
        if (driver_pool_is_used(m))
                load_driver_pool(m, record);
        load_pages(p, record);
}

/* No daemon was here since boot: the free pages are those that the kernel reserved then, and the
 * configuration says for whom. Pages of 1 GiB are sure to be had only there: later the kernel itself may lie
 * anywhere. */
static void adopt_boot_pages(struct manager *m) {
        struct pool *p = &m->pool;
        uint64_t most = m->config.memory_mib > 0 ? m->config.memory_mib / page_mib(p->page) : UINT64_MAX;

        if (strcmp(m->config.boot_pages, "pool") == 0 && most > pool_ours(p))
                pool_take_idle(p, most - pool_ours(p), NODE_UNKNOWN);
}

void pool_settle(struct manager *m) {
        struct pool *p = &m->pool;
        uint64_t strange = 0, used = 0;

        for (unsigned node = 0; node < p->topology.n_nodes; node++) {
                struct node_pages *pages = &p->pages[node];

                used += pages->used;
                pages->ours = pages->ours > pages->used ? pages->ours : pages->used;
                strange += pool_node_strange(p, node);
        }
        if (p->record_missing && used == 0)
                adopt_boot_pages(m);
        else if (p->record_missing)
                p->pages_unknown = true; /* who has the pages that enclaves use has had more, perhaps */
        if (strange == 0)
                p->pages_unknown = false;
}
