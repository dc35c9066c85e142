/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/vendor_pool.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "daemon/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>

/* systemd keeps this symbolic link for as long as a unit is active, a one-shot that has ended included. */
#define ACTIVE "../run/systemd/units/invocation:" VENDOR_SERVICE ".service"
#define CPUS_DEFAULT 2

struct vendor_file {
        uint64_t hugepage_size, memory_mib, cpu_count;
        char *cpu_list;
};

/* Its defaults are those of the user guide. */
static const struct key keys[] = {
        { "hugepage_size", KEY_NUMBER, offsetof(struct vendor_file, hugepage_size), 1024, 2, 1024, NULL,
          NULL },
        { "memory_mib", KEY_NUMBER, offsetof(struct vendor_file, memory_mib), 1024, 1, 16777216, NULL, NULL },
        { "cpu_count", KEY_NUMBER, offsetof(struct vendor_file, cpu_count), 0, 1, CPU_NUMBER_MAX, NULL,
          NULL },
        { "cpu_list", KEY_TEXT, offsetof(struct vendor_file, cpu_list), 0, 0, 0, "", NULL },
};

static const struct key_table table = { keys, ELEMENTSOF(keys) };

static void vendor_file_done(struct vendor_file *f) {
        key_file_done(&table, f);
}

/* The service itself does not start with what is refused here. */
static int check_file(const struct vendor_file *f, const char *path, struct cpu_list *ret,
                      struct error *reterr) {
        if (f->hugepage_size != 2 && f->hugepage_size != 1024)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: hugepage_size:%" PRIu64 " must be 2 or 1024", path, f->hugepage_size);
        if (f->memory_mib % f->hugepage_size)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: memory_mib:%" PRIu64 " must be a multiple of hugepage_size:%" PRIu64,
                                 path, f->memory_mib, f->hugepage_size);
        if (f->cpu_count > 0 && *f->cpu_list)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: cpu_count and cpu_list exclude each other; keep one", path);
        if (cpu_list_parse(f->cpu_list, ret) < 0 || cpu_list_has(ret, 0))
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: cpu_list:%s must be a list of CPUs such as 2,3 without CPU 0", path,
                                 f->cpu_list);
        return 0;
}

static int read_file(struct vendor_pool *v, const char *path, struct error *reterr) {
        _cleanup_(vendor_file_done) struct vendor_file f = { .cpu_list = NULL };
        _cleanup_free_ char *text = NULL;
        struct cpu_list list = { { 0 } };
        size_t size;
        int r;

        r = read_text_file(AT_FDCWD, path, KEY_FILE_MAX, &text, &size);
        if (r == -ENOENT)
                return r;
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read %s", path);
        r = key_file_init(&table, &f);
        if (r >= 0)
                r = key_file_parse(&table, &f, path, text, size, reterr);
        if (r >= 0)
                r = check_file(&f, path, &list, reterr);
        if (r < 0)
                return r;
        v->page = f.hugepage_size == 2 ? PAGE_2M : PAGE_1G;
        v->asked_mib = f.memory_mib;
        v->asked_cpus = *f.cpu_list       ? cpu_list_count(&list)
                        : f.cpu_count > 0 ? (unsigned)f.cpu_count
                                          : CPUS_DEFAULT;
        return 0;
}

static void find_problem(struct vendor_pool *v) {
        uint64_t there = v->pages * page_mib(v->page);

        v->problem[0] = '\0';
        if (!v->active)
                (void)snprintf(v->problem, sizeof(v->problem),
                               VENDOR_SERVICE " has not run: systemctl start " VENDOR_SERVICE
                                              ", best right after boot");
        else if (there < v->asked_mib)
                (void)snprintf(v->problem, sizeof(v->problem),
                               "only %" PRIu64 " of %" PRIu64
                               " MiB are reserved, the memory was too scattered: restart " VENDOR_SERVICE
                               " right after boot",
                               there, v->asked_mib);
        else if (cpu_list_count(&v->offline) < v->asked_cpus)
                (void)snprintf(v->problem, sizeof(v->problem),
                               "of %u CPUs the kernel shows %u taken away: systemctl status " VENDOR_SERVICE,
                               v->asked_cpus, cpu_list_count(&v->offline));
}

int vendor_pool_read(struct vendor_pool *ret, const char *path, int sysfs_fd, const struct topology *t,
                     struct error *reterr) {
        struct vendor_pool v = { .active = faccessat(sysfs_fd, ACTIVE, F_OK, AT_SYMLINK_NOFOLLOW) == 0 };
        int r = read_file(&v, path, reterr);

        if (r < 0)
                return r;
        for (unsigned node = 0; node < t->n_nodes; node++) {
                v.pages += t->nodes[node].pages[v.page].total;
                v.free_pages += t->nodes[node].pages[v.page].free;
        }
        for (size_t w = 0; w < ELEMENTSOF(v.offline.bits); w++)
                v.offline.bits[w] = t->present.bits[w] & ~t->online.bits[w];
        find_problem(&v);
        *ret = v;
        return 0;
}

uint64_t vendor_pool_mib(const struct vendor_pool *v) {
        uint64_t there = v->pages * page_mib(v->page);

        return there < v->asked_mib && (there > 0 || !v->active) ? there : v->asked_mib;
}
