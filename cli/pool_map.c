/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/pool_map.h"

#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/table.h"

#include <string.h>

#define CORES_IN_LINE 8
#define BAR_WIDTH 32

static bool has_number(const json_t *array, json_int_t number) {
        for (size_t i = 0; i < json_array_size(array); i++)
                if (json_integer_value(json_array_get(array, i)) == number)
                        return true;
        return false;
}

/* One letter for each CPU: its enclave's, or free in the pool, or the parent's. */
static char cpu_mark(const json_t *pool, const json_t *node, json_int_t cpu) {
        const json_t *shares = json_object_get(pool, "Shares");

        for (size_t i = 0; i < json_array_size(shares); i++)
                if (has_number(json_object_get(json_array_get(shares, i), "CPUIDs"), cpu))
                        return (char)('A' + i % 26);
        if (has_number(json_object_get(node, "FreeCPUs"), cpu))
                return '-';
        return has_number(json_object_get(node, "PoolCPUs"), cpu) ? '+' : '.';
}

static void print_cores(const json_t *pool, const json_t *node) {
        const json_t *cores = json_object_get(node, "Cores");

        for (size_t i = 0; i < json_array_size(cores); i++) {
                const json_t *core = json_array_get(cores, i);

                if (i % CORES_IN_LINE == 0)
                        (void)printf("%s  %-8s", i ? "\n" : "", i ? "" : "cores");
                (void)putchar('[');
                for (size_t j = 0; j < json_array_size(core); j++) {
                        json_int_t cpu = json_integer_value(json_array_get(core, j));

                        (void)printf("%s%" JSON_INTEGER_FORMAT "%c", j ? " " : "", cpu,
                                     cpu_mark(pool, node, cpu));
                }
                (void)printf("] ");
        }
        (void)putchar('\n');
}

static void print_pages(const json_t *node) {
        const json_t *sizes = json_object_get(node, "Pages");

        for (size_t i = 0; i < json_array_size(sizes); i++) {
                const json_t *p = json_array_get(sizes, i);
                json_int_t total = member_number(p, "Total"), mib = member_number(p, "SizeMiB");
                json_int_t pool = member_number(p, "Pool"), used = member_number(p, "Used");

                if (total == 0)
                        continue;
                (void)printf("  %4" JSON_INTEGER_FORMAT " MiB [", mib);
                for (json_int_t x = 0; x < BAR_WIDTH; x++) {
                        json_int_t page = x * total / BAR_WIDTH;

                        (void)putchar(page < used ? '#' : page < pool ? '-' : '.');
                }
                (void)printf("] %" JSON_INTEGER_FORMAT " pages: %" JSON_INTEGER_FORMAT
                             " the pool's (%" JSON_INTEGER_FORMAT " used), %" JSON_INTEGER_FORMAT
                             " others'\n",
                             total, pool, used, total - pool);
        }
}

static void print_shares(const json_t *pool) {
        static const char *const titles[] = { "", "ENCLAVE", "UID", "NODE", "CPUS", "MEMORY", NULL };
        const json_t *shares = json_object_get(pool, "Shares");
        _cleanup_(table_done) struct table t = TABLE_NULL;

        table_init(&t, titles);
        for (size_t i = 0; i < json_array_size(shares); i++) {
                const json_t *s = json_array_get(shares, i);

                table_row(&t);
                table_cell(&t, "%c", (char)('A' + i % 26));
                table_cell(&t, "%s", member_text(s, "EnclaveName"));
                table_cell(&t, "%" JSON_INTEGER_FORMAT, member_number(s, "Uid"));
                if (member_number(s, "Node") < 0)
                        table_cell(&t, "-");
                else
                        table_cell(&t, "%" JSON_INTEGER_FORMAT, member_number(s, "Node"));
                table_cell(&t, "%" JSON_INTEGER_FORMAT, member_number(s, "NumberOfCPUs"));
                table_cell(&t, "%" JSON_INTEGER_FORMAT " MiB", member_number(s, "MemoryMiB"));
        }
        if (json_array_size(shares) > 0)
                table_print(&t, stdout);
}

/* What somebody else has set aside, and what is the matter with it. */
static void print_service(const json_t *s) {
        const json_t *offline = json_object_get(s, "OfflineCPUs");

        if (!s)
                return;
        (void)printf("%s: %s; %s asks for %" JSON_INTEGER_FORMAT " MiB and %" JSON_INTEGER_FORMAT
                     " CPUs; the kernel shows %" JSON_INTEGER_FORMAT
                     " MiB in such pages, %" JSON_INTEGER_FORMAT " unused, and %zu CPUs offline\n",
                     member_text(s, "Name"),
                     json_is_true(json_object_get(s, "Active")) ? "has run" : "has not run",
                     member_text(s, "File"), member_number(s, "AskedMiB"), member_number(s, "AskedCPUs"),
                     member_number(s, "ReservedMiB"), member_number(s, "UnusedMiB"),
                     json_array_size(offline));
        if (*member_text(s, "Problem"))
                (void)printf("! %s\n", member_text(s, "Problem"));
}

/* How far the pool's CPUs are from the parent. */
static void print_isolation(const json_t *pool) {
        const char *problem = member_text(pool, "IsolationProblem"), *kind = member_text(pool, "Isolation");

        if (*problem)
                (void)printf("CPUs are only pinned to, the parent's programs may use them too: %s\n",
                             problem);
        else if (strcmp(kind, "driver") == 0)
                (void)puts("CPUs of the pool are offline for the parent (driver nitro_enclaves)");
        else if (strcmp(kind, "service") == 0)
                (void)puts("CPUs of the pool are taken by the vendor's qt-enclave-env.service");
        else if (strcmp(kind, "isolated") == 0 || strcmp(kind, "root") == 0)
                (void)printf("CPUs of the pool have left the parent (cpuset partition, %s)\n", kind);
}

void print_pool_largest(const json_t *pool) {
        static const char *const titles[] = { "NODE", "CPUS", "MEMORY", "WHY NOT MORE", NULL };
        const json_t *nodes = json_object_get(pool, "Nodes");
        bool dedicated = strcmp(member_text(pool, "Mode"), "dedicated") == 0;
        _cleanup_(table_done) struct table t = TABLE_NULL;

        table_init(&t, titles);
        for (size_t i = 0; i < (dedicated ? json_array_size(nodes) : 1); i++) {
                const json_t *node = json_array_get(nodes, i);

                table_row(&t);
                if (dedicated)
                        table_cell(&t, "%" JSON_INTEGER_FORMAT, member_number(node, "Node"));
                else
                        table_cell(&t, "-");
                table_cell(&t, "%" JSON_INTEGER_FORMAT, member_number(node, "LargestCPUs"));
                table_cell(&t, "%" JSON_INTEGER_FORMAT " MiB", member_number(node, "LargestMemoryMiB"));
                table_cell(&t, "%s", member_text(node, "Why"));
        }
        table_print(&t, stdout);
}

json_t *pool_largest_json(const json_t *pool) {
        const json_t *nodes = json_object_get(pool, "Nodes");
        json_t *array = json_array();

        for (size_t i = 0; i < json_array_size(nodes); i++) {
                const json_t *node = json_array_get(nodes, i);

                (void)json_array_append_new(
                        array, json_pack("{s:O, s:O, s:O, s:O}", "Node", json_object_get(node, "Node"),
                                         "LargestCPUs", json_object_get(node, "LargestCPUs"),
                                         "LargestMemoryMiB", json_object_get(node, "LargestMemoryMiB"), "Why",
                                         json_object_get(node, "Why")));
        }
        return array;
}

void print_pool(const json_t *pool) {
        const json_t *nodes = json_object_get(pool, "Nodes");
        bool dedicated = strcmp(member_text(pool, "Mode"), "dedicated") == 0;

        (void)printf("pool %s, limits of %s, hypervisor %s\n", member_text(pool, "Mode"),
                     member_text(pool, "Platform"), member_text(pool, "Hypervisor"));
        (void)printf("%" JSON_INTEGER_FORMAT " MiB%s, %" JSON_INTEGER_FORMAT
                     " MiB free; %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " enclaves\n",
                     member_number(pool, "MemoryMiB"),
                     member_number(pool, "PageMiB") > 0 ? " in huge pages" : "",
                     member_number(pool, "FreeMiB"), member_number(pool, "Enclaves"),
                     member_number(pool, "EnclavesMax"));
        print_service(json_object_get(pool, "Service"));
        print_isolation(pool);
        for (size_t i = 0; i < json_array_size(nodes); i++) {
                const json_t *node = json_array_get(nodes, i);

                (void)printf("\nnode %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT " MiB\n",
                             member_number(node, "Node"), member_number(node, "MemoryMiB"));
                print_cores(pool, node);
                print_pages(node);
                if (dedicated || i == 0)
                        (void)printf("  fits    %" JSON_INTEGER_FORMAT " CPUs, %" JSON_INTEGER_FORMAT
                                     " MiB: %s\n",
                                     member_number(node, "LargestCPUs"),
                                     member_number(node, "LargestMemoryMiB"), member_text(node, "Why"));
        }
        (void)printf("\n. the parent's%s\n", dedicated ? "   - free in the pool   A, B, … or # in use" : "");
        print_shares(pool);
}
