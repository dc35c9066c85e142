/* SPDX-License-Identifier: Apache-2.0 */

/* The pool of a QingTian parent, on machines that are not here. */

#include "daemon/pool.h"
#include "tests/unit/invented_machine.h"

#include <errno.h>

/* A parent whose service's file says this, with so many pages of each size on each of its two nodes. */
struct parent {
        const char *file; /* NULL: none */
        bool active;
        unsigned pages; /* of 2 MiB, on node 0 only */
        const char *online;
};

static int read_parent(const struct parent *parent, struct vendor_pool *ret, struct error *reterr) {
        const struct machine machine = { .nodes = 1, .cores = 8, .threads = 1, .online = parent->online };
        _cleanup_topology_ struct topology t = TOPOLOGY_NULL;
        char *path, conf[128], number[16];
        _cleanup_close_ int fd = machine_invent(&machine, &path), below = -1;
        int r;

        /* The service manager's directory is looked for beside sysfs. */
        machine_file(path, "", "sys/nothing");
        (void)snprintf(number, sizeof(number), "%u\n", parent->pages);
        machine_file(path, number, "devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages");
        machine_file(path, number, "devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages");
        if (parent->active)
                machine_file(path, "", "run/systemd/units/invocation:qt-enclave-env.service");
        if (parent->file)
                machine_file(path, parent->file, "conf");
        (void)snprintf(conf, sizeof(conf), "%s/conf", path);
        below = openat(fd, "sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(topology_read(fd, &t, NULL), 0);
        r = vendor_pool_read(ret, conf, below, &t, reterr);
        machine_remove(path);
        return r;
}

static void files_are_read_as_the_service_reads_them(void **state _unused_) {
        static const struct {
                const char *file;
                unsigned cpus;
                uint64_t mib;
                unsigned page;
                const char *problem; /* a word of the refusal; then there are no numbers */
        } rows[] = {
                { "# comment\nhugepage_size:2\nmemory_mib: 512\ncpu_count:4\n# cpu_list:2,3\n", 4, 512, 2,
                  NULL },
                { "memory_mib:8192\ncpu_list:2-3,6,7\n", 4, 8192, 1024, NULL },
                { "\n", 2, 1024, 1024, NULL }, /* the defaults of the user guide */
                { "hugepage_size:4\n", 0, 0, 0, "2 or 1024" },
                { "memory_mib:1000\n", 0, 0, 0, "multiple" },
                { "cpu_count:2\ncpu_list:2,3\n", 0, 0, 0, "exclude" },
                { "cpu_list:0,1\n", 0, 0, 0, "without CPU 0" },
                { "cpu_list:2;3\n", 0, 0, 0, "list of CPUs" },
                { "memory_mib\n", 0, 0, 0, "line 1" },
                { "cpu_count:0\n", 0, 0, 0, "line 1" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct parent parent = { .file = rows[i].file };
                _cleanup_error_ struct error e = ERROR_NULL;
                struct vendor_pool v;

                assert_int_equal(read_parent(&parent, &v, &e) < 0, rows[i].problem != NULL);
                if (rows[i].problem) {
                        assert_int_equal(e.kind, ERROR_CONFIG_INVALID);
                        assert_non_null(strstr(e.message, rows[i].problem));
                        continue;
                }
                assert_int_equal(v.asked_cpus, rows[i].cpus);
                assert_int_equal(v.asked_mib, rows[i].mib);
                assert_int_equal(page_mib(v.page), rows[i].page);
        }
}

static void what_is_there_is_told_from_what_was_asked_for(void **state _unused_) {
        static const char file[] = "hugepage_size:2\nmemory_mib:512\ncpu_count:2\n";
        static const struct {
                struct parent parent;
                uint64_t mib;
                const char *problem; /* a word of it, or NULL */
        } rows[] = {
                { { file, true, 256, "0-5" }, 512, NULL },
                { { file, true, 400, "0-5" }, 512, NULL }, /* others have huge pages too */
                { { file, true, 100, "0-5" }, 200, "200 of 512" },
                { { file, true, 256, "0-7" }, 512, "taken away" },
                { { file, false, 0, "0-7" }, 0, "systemctl start" },
                { { file, false, 256, "0-5" }, 512, "systemctl start" },
                /* It has run, and the kernel shows nothing: then its tool knows better than we. */
                { { file, true, 0, "0-5" }, 512, "0 of 512" },
        };
        struct vendor_pool v;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                assert_int_equal(read_parent(&rows[i].parent, &v, NULL), 0);
                assert_int_equal(vendor_pool_mib(&v), rows[i].mib);
                assert_int_equal(*v.problem != '\0', rows[i].problem != NULL);
                if (rows[i].problem)
                        assert_non_null(strstr(v.problem, rows[i].problem));
        }
        assert_int_equal(read_parent(&(struct parent){ .file = NULL }, &v, NULL), -ENOENT);
}

static void shares_are_counted(void **state _unused_) {
        struct pool p = { .mode = POOL_VENDOR,
                          .limits = &platform_qingtian,
                          .page = PAGE_2M,
                          .memory_mib = 1024,
                          .vendor = { .active = true, .asked_cpus = 4, .asked_mib = 1024 } };
        _cleanup_error_ struct error cpus = ERROR_NULL, memory = ERROR_NULL;
        struct share a, b, c;
        struct pool_largest l = pool_largest(&p, 0);

        assert_int_equal(l.cpus, 4);
        assert_int_equal(l.memory_mib, 512); /* of 2 MiB pages */
        assert_int_equal(pool_reserve(&p, 2, 600, &a, NULL), 0);
        assert_int_equal(pool_reserve(&p, 4, 256, &b, &cpus), ERROR_DESCRIBED);
        assert_int_equal(cpus.kind, ERROR_NO_CPUS);
        assert_non_null(strstr(cpus.message, "at most 2 would work"));
        assert_int_equal(pool_reserve(&p, 2, 512, &b, &memory), ERROR_DESCRIBED);
        assert_int_equal(memory.kind, ERROR_NO_MEMORY);
        assert_non_null(strstr(memory.message, "at most 424 would work"));
        pool_adopt(&p, 2, 424, &PLACE_NULL, &c);
        assert_int_equal(pool_free_mib(&p), 0);
        assert_int_equal(pool_largest(&p, 0).cpus, 0);
        pool_release(&p, &a);
        pool_release(&p, &c);
        assert_int_equal(pool_free_mib(&p), 1024);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(files_are_read_as_the_service_reads_them),
                cmocka_unit_test(what_is_there_is_told_from_what_was_asked_for),
                cmocka_unit_test(shares_are_counted),
        };

        return unit_run("vendor_pool", tests);
}
