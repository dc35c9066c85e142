/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/config.h"
#include "tests/unit/unit.h"

#include <string.h>

static void files_are_read_or_refused(void **state _unused_) {
        static const struct {
                const char *text;
                const char *problem; /* part of the message, or NULL when it is good */
        } rows[] = {
                { "", NULL },
                { "# nothing\n\n   \n", NULL },
                /* the vendor's own file, as its documents print it */
                { "# Which hugepage size to reserve, can only configure it by 2 (2MB) or 1024 (1GB)\n"
                  "hugepage_size:1024\n# How much memory to allocate (in MiB).\nmemory_mib: 8192\n"
                  "# cpu_count and cpu_list conflict with each other\ncpu_count:2\n#cpu_list:2,3\n",
                  NULL },
                { "hugepage_size:2\r\nmemory_mib:512\r\n", NULL },
                { "cpu_list:2-5,8 # but not 0", NULL },
                { "cpu_count:2\ncpu_list:2,3", "line 2: cpu_count:2 and cpu_list:2,3 exclude each other" },
                { "cpu_list:2,3\n\ncpu_count:2", "line 3: cpu_count:2 and cpu_list:2,3 exclude each other" },
                { "\nhugepage_size:3", "line 2: hugepage_size:3 must be 2 or 1024" },
                { "hugepage_size:1024\nmemory_mib:1000\n", "line 2: memory_mib:1000 is no multiple" },
                { "cpu_count:2\nmemory_mib:1025\n", "line 2: memory_mib:1025 is no multiple" },
                { "memory_mib:511\nhugepage_size:2\n", "the next that would work is 512" },
                { "mode:dedicated\nmemory_mib:1000\n", "line 2: memory_mib:1000 is no multiple" },
                { "memory_mib:1000\n", NULL }, /* shared: any number */
                { "mode:shared\nhugepage_size:1024\nmemory_mib:1000\n", NULL },
                { "cpu_list:0,1", "line 1: cpu_list:0,1 has CPU 0" },
                { "mode:shared\ncpu_list:0-3", "line 2: cpu_list:0-3 has CPU 0" },
                { "memory_mib:0\ncpu_list:seven", "line 2: cpu_list:seven is no list of CPUs" },
                { "cpu_list:2,4096", "below 4096" },
                { "mode:dedicated\nhypervisor:qingtian", "line 2: mode:dedicated and hypervisor:qingtian" },
                { "hypervisor:qingtian\nhugepage_size:2\ncpu_count:2", NULL }, /* the service has them */
                { "hugepage_size:", "whole number" },
                { "memory_mib:-1", "line 1" },
                { "memory_mib:99999999999999999999", "from 0 to 16777216" },
                { "\n\nmemory:5", "line 3: no key is called memory" },
                { "memory_mib 5", "key:value" },
                { "memory_mib:5\nmemory_mib:6", "line 2: memory_mib is set twice, in line 1 before" },
                { "mode:exclusive", "shared dedicated" },
                { "mode:", "one of" },
                { "mode:share", "one of" },
                { "platform:nitro\nmode:dedicated", NULL },
                { ":", "no key" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_config_ struct config c;
                _cleanup_error_ struct error e = ERROR_NULL;
                int r;

                assert_int_equal(config_init(&c), 0);
                r = config_parse(&c, "file", rows[i].text, strlen(rows[i].text), &e);
                if ((r < 0) != !!rows[i].problem || (r < 0 && !strstr(e.message, rows[i].problem)))
                        fail_msg("%s: %s", rows[i].text, e.message ? e.message : "was accepted");
                if (r < 0 && e.kind != ERROR_CONFIG_INVALID)
                        fail_msg("%s: %s", rows[i].text, error_name(e.kind));
        }
}

static void values_arrive(void **state _unused_) {
        static const char text[] = "hugepage_size:2\nmemory_mib: 512\ncpu_list: 2,3 \ngroup:\n";
        _cleanup_config_ struct config c, again;
        _cleanup_free_ char *printed = NULL;
        size_t size;
        FILE *f = open_memstream(&printed, &size);

        assert_int_equal(config_init(&c), 0);
        assert_int_equal(config_parse(&c, "file", text, strlen(text), NULL), 0);
        assert_int_equal(c.hugepage_size, 2);
        assert_int_equal(c.memory_mib, 512);
        assert_int_equal(c.boot_timeout, 60);
        assert_string_equal(c.cpu_list, "2,3");
        assert_string_equal(c.mode, "dedicated");
        assert_string_equal(c.group, "");
        /* What is printed can be read again. */
        config_print(&c, f);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(config_init(&again), 0);
        assert_int_equal(config_parse(&again, "printed", printed, size, NULL), 0);
        assert_string_equal(again.cpu_list, "2,3");
        assert_int_equal(again.memory_mib, 512);
}

/* Who asks for what only a dedicated pool has, has asked for one; what has no effect all the same is said. */
static void mode_follows_the_keys(void **state _unused_) {
        static const struct {
                const char *text, *mode, *hypervisor, *with_tool, *ignored;
        } rows[] = {
                { "", "shared", "local", "local", NULL },
                { "memory_mib:4096", "shared", "local", "local", NULL },
                { "cpu_count:0", "shared", "local", "local", NULL },
                { "hugepage_size:1024\nmemory_mib:8192\ncpu_count:2", "dedicated", "local", "qingtian",
                  NULL },
                { "cpu_count:2", "dedicated", "local", "qingtian", NULL },
                { "cpu_list:2,3", "dedicated", "local", "qingtian", NULL },
                { "hugepage_size:2", "dedicated", "local", "qingtian", NULL },
                { "hypervisor:nitro\ncpu_list:2,3", "dedicated", "nitro", "nitro", NULL },
                { "hypervisor:local\ncpu_count:2", "dedicated", "local", "local", NULL },
                { "cpu_count:2\nmode:dedicated", "dedicated", "local", "local", NULL },
                { "mode:shared\ncpu_count:2", "shared", "local", "local",
                  "cpu_count is ignored: mode:shared" },
                { "cpu_list:2\nhugepage_size:2\nmode:shared", "shared", "local", "local",
                  "hugepage_size and cpu_list are ignored: mode:shared" },
                { "hypervisor:qingtian\ncpu_count:2", "shared", "qingtian", "qingtian",
                  "cpu_count is ignored: hypervisor:qingtian, the pool is its service's and "
                  "/etc/qingtian/enclave/qt-enclave-env.conf" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_config_ struct config c;
                char ignored[256];

                assert_int_equal(config_init(&c), 0);
                assert_int_equal(config_parse(&c, "file", rows[i].text, strlen(rows[i].text), NULL), 0);
                assert_string_equal(c.mode, rows[i].mode);
                assert_string_equal(c.hypervisor, rows[i].hypervisor);
                assert_int_equal(config_ignored(&c, ignored, sizeof(ignored)), !!rows[i].ignored);
                if (rows[i].ignored)
                        assert_string_equal(ignored, rows[i].ignored);
                assert_int_equal(config_follow_vendor(&c), 0);
                assert_string_equal(c.hypervisor, rows[i].with_tool);
                if (strcmp(c.hypervisor, "qingtian") == 0)
                        assert_string_equal(c.mode, "shared");
        }
}

static void no_text_no_configuration(void **state _unused_) {
        _cleanup_config_ struct config c;

        assert_int_equal(config_init(&c), 0);
        assert_int_equal(config_parse(&c, "file", "mode:shared\0x", 13, NULL), ERROR_DESCRIBED);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(files_are_read_or_refused),
                cmocka_unit_test(values_arrive),
                cmocka_unit_test(mode_follows_the_keys),
                cmocka_unit_test(no_text_no_configuration),
        };

        return unit_run("config", tests);
}
