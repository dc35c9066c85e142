/* SPDX-License-Identifier: Apache-2.0 */

#include "base/enclave_env.h"

#include "base/key_file.h"

#include <inttypes.h>

#define CPUS_DEFAULT 2

struct file {
        uint64_t hugepage_size, memory_mib, cpu_count;
        char *cpu_list;
};

static const struct key keys[] = {
        { "hugepage_size", KEY_NUMBER, offsetof(struct file, hugepage_size), 1024, 2, 1024, NULL, NULL },
        { "memory_mib", KEY_NUMBER, offsetof(struct file, memory_mib), 1024, 1, 16777216, NULL, NULL },
        { "cpu_count", KEY_NUMBER, offsetof(struct file, cpu_count), 0, 1, CPU_NUMBER_MAX, NULL, NULL },
        { "cpu_list", KEY_TEXT, offsetof(struct file, cpu_list), 0, 0, 0, "", NULL },
};

static const struct key_table table = { keys, ELEMENTSOF(keys),
                                        "hugepage_size, memory_mib, cpu_count and cpu_list are known" };

static void file_done(struct file *f) {
        key_file_done(&table, f);
}

static int check(const struct file *f, const char *name, struct cpu_list *ret, struct error *reterr) {
        if (f->hugepage_size != 2 && f->hugepage_size != 1024)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: hugepage_size:%" PRIu64 " must be 2 or 1024", name, f->hugepage_size);
        if (f->memory_mib % f->hugepage_size)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: memory_mib:%" PRIu64 " must be a multiple of hugepage_size:%" PRIu64,
                                 name, f->memory_mib, f->hugepage_size);
        if (f->cpu_count > 0 && *f->cpu_list)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: cpu_count and cpu_list exclude each other; keep one", name);
        if (cpu_list_parse(f->cpu_list, ret) < 0 || cpu_list_has(ret, 0))
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: cpu_list:%s must be a list of CPUs such as 2,3 without CPU 0", name,
                                 f->cpu_list);
        return 0;
}

int enclave_env_parse(const char *name, const char *text, size_t size, struct enclave_env *ret,
                      struct error *reterr) {
        _cleanup_(file_done) struct file f = { .cpu_list = NULL };
        struct cpu_list cpus = { { 0 } };
        int r = key_file_init(&table, &f);

        if (r >= 0)
                r = key_file_parse(&table, &f, name, text, size, NULL, reterr);
        if (r >= 0)
                r = check(&f, name, &cpus, reterr);
        if (r < 0)
                return r;
        *ret = (struct enclave_env){ .hugepage_mib = f.hugepage_size,
                                     .memory_mib = f.memory_mib,
                                     .cpu_count = *f.cpu_list       ? cpu_list_count(&cpus)
                                                  : f.cpu_count > 0 ? (unsigned)f.cpu_count
                                                                    : CPUS_DEFAULT,
                                     .cpus = cpus };
        return 0;
}
