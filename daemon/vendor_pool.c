/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/vendor_pool.h"

#include "base/cleanup.h"
#include "base/enclave_env.h"
#include "base/io.h"
#include "base/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

/* systemd keeps this symbolic link for as long as a unit is active, a one-shot that has ended included. */
#define ACTIVE "../run/systemd/units/invocation:" VENDOR_SERVICE ".service"

static int read_file(struct vendor_pool *v, const char *path, struct error *reterr) {
        _cleanup_free_ char *text = NULL;
        struct enclave_env env;
        size_t size;
        int r;

        r = read_text_file(AT_FDCWD, path, KEY_FILE_MAX, &text, &size);
        if (r == -ENOENT)
                return r;
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read %s", path);
        r = enclave_env_parse(path, text, size, &env, reterr);
        if (r < 0)
                return r;
        v->page = env.hugepage_mib == 2 ? PAGE_2M : PAGE_1G;
        v->asked_mib = env.memory_mib;
        v->asked_cpus = env.cpu_count;
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
