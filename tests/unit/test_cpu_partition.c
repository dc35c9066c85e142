/* SPDX-License-Identifier: Apache-2.0 */

/* What the kernel refuses, with files that refuse: the message names the file, the value and what to do. What
 * a partition does is tested where the kernel is real (pool_vm, service_enclave). */

#include "daemon/cpu_partition.h"
#include "tests/unit/invented_machine.h"

#define REFUSING "/dev/full"

/* A cgroup tree of version 2 where a partition of the name "pool" can be made. */
static int invent_cgroups(char **ret_path) {
        static const char *const files[][2] = {
                { "cgroup.controllers", "cpu cpuset memory\n" },
                { "cgroup.subtree_control", "" },
                { "pool/cpuset.cpus", "" },
                { "pool/cpuset.cpus.partition", "member\n" },
                { "pool/cgroup.subtree_control", "" },
                { "pool/one/cpuset.cpus", "" },
                { "pool/one/cgroup.procs", "" },
        };
        char *root = strdup("/tmp/test-cgroups-XXXXXX");
        int fd;

        assert_non_null(mkdtemp(root));
        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                machine_file(root, files[i][1], "fs/cgroup/%s", files[i][0]);
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        *ret_path = root;
        return fd;
}

static void refuse(int root_fd, const char *file) {
        char path[128];

        (void)snprintf(path, sizeof(path), "fs/cgroup/%s", file);
        assert_int_equal(unlinkat(root_fd, path, 0), 0);
        assert_int_equal(symlinkat(REFUSING, root_fd, path), 0);
}

static void a_refused_write_is_named(void **state _unused_) {
        static const struct {
                const char *file, *value;
        } writes[] = {
                { "cgroup.subtree_control", "\"+cpuset\"" },
                { "pool/cpuset.cpus", "\"2-3\"" },
                { "pool/cpuset.cpus.partition", "\"root\"" },
                { "pool/cgroup.subtree_control", "\"+cpuset\"" },
        };

        for (size_t i = 0; i < ELEMENTSOF(writes); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                struct cpu_partition p;
                struct cpu_list cpus;
                char *path, said[128];
                _cleanup_close_ int fd = invent_cgroups(&path);

                refuse(fd, writes[i].file);
                assert_int_equal(cpu_list_parse("2-3", &cpus), 0);
                cpu_partition_open(&p, fd, "pool");
                assert_true(cpu_partition_is_possible(&p));
                assert_true(cpu_partition_set(&p, &cpus, &e) < 0);
                (void)snprintf(said, sizeof(said), "%s to /sys/fs/cgroup/%s: No space left", writes[i].value,
                               writes[i].file);
                assert_non_null(strstr(e.message, "CPUs 2-3 cannot be taken"));
                assert_non_null(strstr(e.message, said));
                assert_non_null(strstr(p.why, said));
                assert_null(strchr(e.message, '\n'));
                assert_null(p.kind);
                cpu_partition_close(&p);
                machine_remove(path);
        }
}

/* The file was written, and the kernel does not mean it. */
static void an_invalid_partition_is_explained(void **state _unused_) {
        _cleanup_error_ struct error e = ERROR_NULL;
        struct cpu_partition p;
        struct cpu_list cpus;
        char *path;
        _cleanup_close_ int fd = invent_cgroups(&path);

        machine_file(path, "isolated invalid (Cpu list in cpuset.cpus not exclusive)\n",
                     "fs/cgroup/pool/cpuset.cpus.partition");
        assert_int_equal(cpu_list_parse("2-3", &cpus), 0);
        cpu_partition_open(&p, fd, "pool");
        assert_true(cpu_partition_set(&p, &cpus, &e) < 0);
        assert_int_equal(e.kind, ERROR_NO_CPUS);
        assert_non_null(strstr(e.message, "pool/cpuset.cpus.partition: the kernel says: isolated invalid"));
        assert_non_null(strstr(e.message, "AllowedCPUs="));
        cpu_partition_close(&p);
        machine_remove(path);
}

static void an_enclave_that_cannot_enter_is_told_why(void **state _unused_) {
        static const char *const files[] = { "pool/one/cpuset.cpus", "pool/one/cgroup.procs" };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                struct cpu_partition p;
                struct cpu_list cpus;
                char *path, file[128];
                _cleanup_close_ int fd = invent_cgroups(&path);

                (void)snprintf(file, sizeof(file), "fs/cgroup/%s", files[i]);
                assert_int_equal(unlinkat(fd, file, 0), 0);
                assert_int_equal(cpu_list_parse("2-3", &cpus), 0);
                cpu_partition_open(&p, fd, "pool");
                assert_true(cpu_partition_enter(&p, "one", &cpus, &e) < 0);
                assert_non_null(strstr(e.message, files[i]));
                cpu_partition_close(&p);
                machine_remove(path);
        }
}

/* Whoever has no cgroup v2 is told before anything is written. */
static void what_a_partition_needs_is_named(void **state _unused_) {
        static const struct {
                const char *controllers, *why;
        } machines[] = { { "cpu memory\n", "no controller cpuset" }, { NULL, "version 1" } };

        for (size_t i = 0; i < ELEMENTSOF(machines); i++) {
                struct cpu_partition p;
                char *path;
                _cleanup_close_ int fd = invent_cgroups(&path);

                if (machines[i].controllers)
                        machine_file(path, machines[i].controllers, "fs/cgroup/cgroup.controllers");
                else
                        assert_int_equal(unlinkat(fd, "fs/cgroup/cgroup.controllers", 0), 0);
                cpu_partition_open(&p, fd, "pool");
                assert_false(cpu_partition_is_possible(&p));
                assert_non_null(strstr(p.why, machines[i].why));
                machine_remove(path);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_refused_write_is_named),
                cmocka_unit_test(an_invalid_partition_is_explained),
                cmocka_unit_test(an_enclave_that_cannot_enter_is_told_why),
                cmocka_unit_test(what_a_partition_needs_is_named),
        };

        return unit_run("cpu_partition", tests);
}
