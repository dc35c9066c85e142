/* SPDX-License-Identifier: Apache-2.0 */

/* From what somebody wants to a plan that keeps every rule: name, CID, image, limits, quota. */

#include "base/enclave_name.h"
#include "daemon/enclave_internal.h"
#include "daemon/manager.h"
#include "daemon/quota.h"
#include "daemon/store.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* A name is free again after the end of its enclave, whose record goes then; but only its owner's to take. */
static bool is_name_taken(const struct enclave *e, const struct run_wish *w) {
        return e && (enclave_is_wanted(e) || (!w->master && e->plan.uid != w->uid));
}

/* "…/my app.eif" names my-app, or my-app_1 when that is taken. */
static int choose_name(const struct manager *m, const struct run_wish *w, char *ret, size_t size) {
        const char *image_path = w->image_path, *slash = image_path ? strrchr(image_path, '/') : NULL;
        char base[48];
        size_t n;

        (void)snprintf(base, sizeof(base), "%s", slash ? slash + 1 : image_path ? image_path : "enclave");
        n = strlen(base);
        if (n > 4 && strcmp(base + n - 4, ".eif") == 0)
                base[n - 4] = '\0';
        for (char *p = base; *p; p++)
                if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
                        *p = '-';
        if (!enclave_name_is_valid(base))
                (void)snprintf(base, sizeof(base), "enclave");
        (void)snprintf(ret, size, "%s", base);
        for (unsigned i = 1; i < 10000; i++) {
                if (!is_name_taken(manager_find(m, ret), w))
                        return 0;
                (void)snprintf(ret, size, "%s_%u", base, i);
        }
        return -EEXIST;
}

static int plan_name(const struct manager *m, const struct run_wish *w, struct plan *plan,
                     struct error *reterr) {
        const struct enclave *e = w->name ? manager_find(m, w->name) : NULL;
        char name[80];

        if (w->name && !enclave_name_is_valid(w->name))
                return error_set(
                        reterr, ERROR_NAME_INVALID,
                        "\"%s\" cannot be a name: letters, digits, '.', '_' and '-' are allowed, at most 64, "
                        "beginning with a letter or digit",
                        w->name);
        if (e && enclave_is_wanted(e))
                return error_set(
                        reterr, ERROR_NAME_IN_USE,
                        "an enclave called %s is %s already%s; choose another --name or terminate it",
                        w->name, enclave_state_name(e->state),
                        e->restart_timer ? " and will be restarted" : "");
        if (is_name_taken(e, w))
                return error_set(
                        reterr, ERROR_NAME_IN_USE,
                        "%s was an enclave of uid %u, who has not forgotten it; choose another --name",
                        w->name, e->plan.uid);
        if (w->image_path && strlen(w->image_path) > PATH_MAX)
                return error_set(reterr, ERROR_INVALID_PARAMETER,
                                 "the image's path of %zu bytes is longer than any path may be (%d)",
                                 strlen(w->image_path), PATH_MAX);
        if (!w->name && choose_name(m, w, name, sizeof(name)) < 0)
                return error_set(reterr, ERROR_NAME_IN_USE, "no free name for %s; choose one with --name",
                                 w->image_path);
        plan->name = strdup(w->name ? w->name : name);
        plan->image_path = w->image_path ? strdup(w->image_path) : NULL;
        return plan->name ? 0 : -ENOMEM;
}

static int plan_cid(const struct manager *m, uint64_t wanted, struct plan *plan, struct error *reterr) {
        const struct enclave *e;

        plan->cid = (uint32_t)wanted;
        if (wanted > 0) {
                e = manager_find_cid(m, plan->cid);
                return e ? error_set(reterr, ERROR_CID_IN_USE,
                                     "CID %u belongs to enclave %s; choose another --cid or leave it out",
                                     plan->cid, e->plan.name)
                         : 0;
        }
        for (plan->cid = m->limits->cid_min; manager_find_cid(m, plan->cid); plan->cid++)
                ;
        return 0;
}

static int plan_cpus(const struct manager *m, const struct run_wish *w, struct plan *plan,
                     struct error *reterr) {
        const char *hypervisor = m->config.hypervisor;

        plan->cpus = w->cpus ? (unsigned)*w->cpus : m->limits->default_cpus;
        if (!w->cpu_list)
                return 0;
        if (strcmp(hypervisor, "nitro") != 0 &&
            (m->pool.mode == POOL_SHARED || strcmp(hypervisor, "qingtian") == 0))
                return error_set(reterr, ERROR_WRONG_STATE,
                                 "CPUs %s cannot be chosen: with hypervisor:%s and mode:%s an enclave has no "
                                 "CPUs of its own choice; ask for a number of them with --cpus",
                                 w->cpu_list, hypervisor, m->config.mode);
        if (cpu_list_parse(w->cpu_list, &plan->cpu_ids) < 0 || cpu_list_count(&plan->cpu_ids) == 0)
                return error_set(reterr, ERROR_INVALID_PARAMETER,
                                 "\"%s\" is no list of CPUs such as 2,10 or 2-3,10-11", w->cpu_list);
        if (w->cpus && plan->cpus != cpu_list_count(&plan->cpu_ids))
                return error_set(reterr, ERROR_INVALID_PARAMETER,
                                 "%u CPUs asked for, but %s are %u; leave --cpus out or name as many",
                                 plan->cpus, w->cpu_list, cpu_list_count(&plan->cpu_ids));
        plan->cpus = cpu_list_count(&plan->cpu_ids);
        return 0;
}

/* The image as the caller opened it. The daemon only looks at its type and size, and never waits for a file
 * system that may be the caller's own. */
int plan_image(int fd, const char *path, struct plan *plan, struct error *reterr) {
        struct statx st;
        int flags;

        flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
        if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
                return error_set(reterr, ERROR_INVALID_PARAMETER,
                                 "no descriptor of the image, open for reading, came "
                                 "with the call");
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE | STATX_INO, &st) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot look at the image");
        if (!S_ISREG(st.stx_mode) || st.stx_size == 0)
                return error_set(reterr, ERROR_FILE_UNREADABLE, "the image %s is %s",
                                 path ? path : "that came with the call",
                                 S_ISREG(st.stx_mode) ? "empty" : "no regular file");
        plan->image_size = st.stx_size;
        plan->image_device = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
        plan->image_inode = st.stx_ino;
        return 0;
}

/* The parent has room again when an enclave has ended; its owner's quota, when it will not be restarted. */
static void count_in_use(const struct manager *m, uid_t uid, struct limits_situation *s, struct quota *used) {
        for (const struct enclave *e = m->enclaves; e; e = e->next) {
                if (enclave_is_alive(e)) {
                        s->enclaves++;
                        s->cpus_in_use += e->plan.cpus;
                }
                if (!enclave_is_wanted(e) || e->plan.uid != uid)
                        continue;
                used->enclaves++;
                used->cpus += e->plan.cpus;
                used->memory_mib += e->plan.memory_mib;
        }
}

static int check_plan(const struct manager *m, const struct plan *plan, struct error *reterr) {
        const struct caller owner = { .uid = plan->uid };
        const struct quota limit = { m->config.quota_enclaves, m->config.quota_cpus,
                                     m->config.quota_memory_mib };
        const struct quota wanted = { 1, plan->cpus, plan->memory_mib };
        struct limits_situation situation = { .bare_metal = m->bare_metal,
                                              .dedicated = m->pool.mode != POOL_SHARED,
                                              .page_mib = page_mib(m->pool.page),
                                              .threads = m->pool.topology.threads,
                                              .enclaves_max = (unsigned)m->config.enclaves_max };
        struct quota used = { 0, 0, 0 };
        int r;

        for (unsigned node = 0; node < m->pool.topology.n_nodes; node++) {
                unsigned cpus = cpu_list_count(&m->pool.topology.nodes[node].cpus);

                situation.node_cpus = cpus > situation.node_cpus ? cpus : situation.node_cpus;
        }
        if (m->pool.mode == POOL_VENDOR) /* which node what is offline belongs to, nobody tells */
                situation.node_cpus += cpu_list_count(&m->pool.vendor.offline);
        count_in_use(m, plan->uid, &situation, &used);
        r = limits_check(m->limits,
                         &(struct limits_request){ .cpus = plan->cpus,
                                                   .memory_mib = plan->memory_mib,
                                                   .image_size = plan->image_size,
                                                   .cid = plan->cid },
                         &situation, reterr);
        if (r < 0 || caller_is_master(&owner, m->uid))
                return r;
        return quota_check(&limit, &used, &wanted, plan->uid, reterr);
}

int plan_make(const struct manager *m, const struct run_wish *w, struct plan *plan, struct error *reterr) {
        int r;

        r = plan_image(w->image_fd, w->image_path, plan, reterr);
        if (r >= 0)
                r = plan_name(m, w, plan, reterr);
        if (r >= 0)
                r = plan_cid(m, w->cid, plan, reterr);
        if (r >= 0)
                r = plan_cpus(m, w, plan, reterr);
        if (r < 0)
                return r;
        plan->memory_mib = w->memory_mib ? *w->memory_mib : m->limits->default_memory_mib;
        plan->any_cid = w->cid == 0;
        plan->debug = w->debug;
        plan->uid = w->uid;
        plan->restart = w->restart;
        plan->declared = w->declared;
        while (manager_find_id(m, plan->id))
                plan->id++;
        return check_plan(m, plan, reterr);
}

int plan_refresh(const struct manager *m, int image_fd, struct plan *plan, struct error *reterr) {
        const struct enclave *other = manager_find_cid(m, plan->cid);
        int r;

        r = plan_image(image_fd, plan->image_path, plan, reterr);
        if (r < 0)
                return r;
        if (other && &other->plan != plan) {
                r = plan_cid(m, 0, plan, reterr);
                if (r < 0)
                        return r;
        }
        return check_plan(m, plan, reterr);
}

int manager_run(struct manager *m, struct plan *plan, int image_fd, struct enclave **ret,
                struct error *reterr) {
        struct enclave *former = manager_find(m, plan->name), *e;
        int r;

        r = enclave_new(&e, m, plan);
        if (r < 0)
                return r;
        if (former)
                enclave_leave(former); /* an ended one, whose name is wanted again */
        if ((e->plan.restart != RESTART_NO || e->plan.any_cid) && !e->plan.declared)
                e->image_fd = fcntl(image_fd, F_DUPFD_CLOEXEC, 3);
        r = enclave_start(e, image_fd, reterr);
        if (r < 0 && !e->plan.declared) {
                manager_forget(m, e);
                if (former) { /* why it ended is still to be read: the name is taken by a start, not by a try
                               */
                        enclave_join(former);
                        enclave_save(former);
                }
                return r;
        }
        (void)enclave_free(former);
        *ret = e;
        return r;
}
