/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of io.qtenclave.Manager. The server has checked the types of all parameters before. */

#include "base/log.h"
#include "daemon/manager.h"
#include "daemon/pool_change.h"
#include "daemon/quota.h"
#include "daemon/store.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define GRACE_MSEC_DEFAULT 10000
#define ANSWER_BYTES 48000 /* of one answer of several: well below the limit of a message */

struct caller manager_caller(const struct manager *m, const struct server_call *call) {
        return (struct caller){ .uid = call_uid(call),
                                .in_group = m->has_group && call_in_group(call, m->group) };
}

int manager_authorize(struct server_call *call, const struct server_method *method, void *userdata,
                      struct error *reterr) {
        struct manager *m = userdata;
        struct caller caller = manager_caller(m, call);

        if (access_allows((enum access_class)method->access, &caller, m->uid))
                return 0;
        log_notice("uid %u may not call %s", caller.uid, method->name);
        return error_set(reterr, ERROR_PERMISSION_DENIED, "uid %u may not call %s; members of group %s may",
                         caller.uid, method->name, method->access == ACCESS_POOL ? "root" : m->config.group);
}

/* What changes something leaves a record: who, what, what became of it. */
static void log_request(const struct server_call *call, const char *name, const char *outcome) {
        char message[256], uid[32], method[64], enclave[96];
        const char *fields[] = { uid, method, enclave, NULL };

        (void)snprintf(message, sizeof(message), "uid %u: %s %s: %s", call_uid(call), call_method(call), name,
                       outcome);
        (void)snprintf(uid, sizeof(uid), "REQUEST_UID=%u", call_uid(call));
        (void)snprintf(method, sizeof(method), "REQUEST_METHOD=%s", call_method(call));
        (void)snprintf(enclave, sizeof(enclave), "ENCLAVE=%s", name);
        log_fields(LOG_NOTICE, message, fields);
}

static const char *text_of(struct server_call *call, const char *member) {
        return json_string_value(json_object_get(call_parameters(call), member));
}

static bool flag_of(struct server_call *call, const char *member) {
        return json_is_true(json_object_get(call_parameters(call), member));
}

/* A whole number that was given, within [0, max]; fallback when it was not. */
static int number_of(struct server_call *call, const char *member, uint64_t max, uint64_t fallback,
                     uint64_t *ret, struct error *reterr) {
        const json_t *value = json_object_get(call_parameters(call), member);
        json_int_t number;

        *ret = fallback;
        if (!json_is_integer(value))
                return 0;
        number = json_integer_value(value);
        if (number < 0 || (uint64_t)number > max)
                return error_set(reterr, ERROR_INVALID_PARAMETER,
                                 "parameter %s is %" JSON_INTEGER_FORMAT
                                 "; it must be from 0 to %" JSON_INTEGER_FORMAT,
                                 member, number, (json_int_t)max);
        *ret = (uint64_t)number;
        return 0;
}

/* The enclave of that name, or of that number. */
static int find_enclave(struct manager *m, struct server_call *call, enum access_class class,
                        struct enclave **ret, struct error *reterr) {
        struct caller caller = manager_caller(m, call);
        const char *name = text_of(call, "Name");
        struct enclave *e = manager_find(m, name);
        char *end;

        if (!e && isdigit((unsigned char)name[0])) {
                unsigned long id = strtoul(name, &end, 10);

                e = *end || id > INT32_MAX ? NULL : manager_find_id(m, (unsigned)id);
        }
        if (!e)
                return error_set(reterr, ERROR_NO_SUCH_ENCLAVE,
                                 "no enclave is called %s; `qt-enclave describe --all` lists them", name);
        if (!access_allows_on(class, &caller, m->uid, e->plan.uid)) {
                log_request(call, e->plan.name, "denied");
                return error_set(reterr, ERROR_PERMISSION_DENIED,
                                 "enclave %s belongs to uid %u; only they and root may do that", e->plan.name,
                                 e->plan.uid);
        }
        *ret = e;
        return 0;
}

static int need_alive(const struct enclave *e, struct error *reterr) {
        if (enclave_is_alive(e))
                return 0;
        return error_set(reterr, ERROR_WRONG_STATE,
                         "enclave %s is %s; `qt-enclave describe %s --all` says why", e->plan.name,
                         enclave_state_name(e->state), e->plan.name);
}

/* --- Run --- */

/* "…/my app.eif" names my-app, or my-app_1 when that is taken. */
static int choose_name(const struct manager *m, const char *image_path, char *ret, size_t size) {
        const char *slash = image_path ? strrchr(image_path, '/') : NULL;
        char base[48];
        size_t n;

        (void)snprintf(base, sizeof(base), "%s", slash ? slash + 1 : image_path ? image_path : "enclave");
        n = strlen(base);
        if (n > 4 && strcmp(base + n - 4, ".eif") == 0)
                base[n - 4] = '\0';
        for (char *p = base; *p; p++)
                if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
                        *p = '-';
        if (!name_is_valid(base))
                (void)snprintf(base, sizeof(base), "enclave");
        (void)snprintf(ret, size, "%s", base);
        for (unsigned i = 1; i < 10000; i++) {
                const struct enclave *e = manager_find(m, ret);

                if (!e || !enclave_is_alive(e))
                        return 0;
                (void)snprintf(ret, size, "%s_%u", base, i);
        }
        return -EEXIST;
}

static int plan_name(struct manager *m, struct server_call *call, struct plan *plan, struct error *reterr) {
        const char *given = text_of(call, "Name"), *path = text_of(call, "ImagePath");
        const struct enclave *e = given ? manager_find(m, given) : NULL;
        char name[80];

        if (given && !name_is_valid(given))
                return error_set(
                        reterr, ERROR_NAME_INVALID,
                        "\"%s\" cannot be a name: letters, digits, '.', '_' and '-' are allowed, at most 64, "
                        "beginning with a letter or digit",
                        given);
        if (e && enclave_is_alive(e))
                return error_set(reterr, ERROR_NAME_IN_USE,
                                 "an enclave called %s is %s already; choose another --name or terminate it",
                                 given, enclave_state_name(e->state));
        if (!given && choose_name(m, path, name, sizeof(name)) < 0)
                return error_set(reterr, ERROR_NAME_IN_USE, "no free name for %s; choose one with --name",
                                 path);
        plan->name = strdup(given ? given : name);
        plan->image_path = path ? strndup(path, 4096) : NULL;
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

/* The image as the caller opened it. The daemon only looks at its type and size, and never waits for a file
 * system that may be the caller's own. */
static int plan_image(int fd, struct plan *plan, struct error *reterr) {
        struct statx st;
        int flags;

        flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
        if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
                return error_set(reterr, ERROR_INVALID_PARAMETER,
                                 "no descriptor of the image, open for reading, came "
                                 "with the call");
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE, &st) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot look at the image");
        if (!S_ISREG(st.stx_mode) || st.stx_size == 0)
                return error_set(reterr, ERROR_FILE_UNREADABLE, "the image is empty or no regular file");
        plan->image_size = st.stx_size;
        return 0;
}

static void count_in_use(const struct manager *m, uid_t uid, struct limits_situation *s, struct quota *used) {
        for (const struct enclave *e = m->enclaves; e; e = e->next) {
                if (!enclave_is_alive(e))
                        continue;
                s->enclaves++;
                s->cpus_in_use += e->plan.cpus;
                if (e->plan.uid != uid)
                        continue;
                used->enclaves++;
                used->cpus += e->plan.cpus;
                used->memory_mib += e->plan.memory_mib;
        }
}

static int check_plan(const struct manager *m, const struct server_call *call, const struct plan *plan,
                      struct error *reterr) {
        const struct quota limit = { m->config.quota_enclaves, m->config.quota_cpus,
                                     m->config.quota_memory_mib };
        const struct quota wanted = { 1, plan->cpus, plan->memory_mib };
        struct limits_situation situation = { .dedicated = m->pool.mode == POOL_DEDICATED,
                                              .page_mib = page_mib(m->pool.page),
                                              .enclaves_max = (unsigned)m->config.enclaves_max };
        struct caller caller = manager_caller(m, call);
        struct quota used = { 0, 0, 0 };
        int r;

        for (unsigned node = 0; node < m->pool.topology.n_nodes; node++) {
                unsigned cpus = cpu_list_count(&m->pool.topology.nodes[node].cpus);

                situation.node_cpus = cpus > situation.node_cpus ? cpus : situation.node_cpus;
        }
        count_in_use(m, plan->uid, &situation, &used);
        r = limits_check(m->limits,
                         &(struct limits_request){ .cpus = plan->cpus,
                                                   .memory_mib = plan->memory_mib,
                                                   .image_size = plan->image_size,
                                                   .cid = plan->cid },
                         &situation, reterr);
        if (r < 0 || caller_is_master(&caller, m->uid))
                return r;
        return quota_check(&limit, &used, &wanted, plan->uid, reterr);
}

static int make_plan(struct manager *m, struct server_call *call, int image_fd, struct plan *plan,
                     struct error *reterr) {
        uint64_t cpus, memory_mib, cid;
        int r;

        r = number_of(call, "CPUs", 4096, m->limits->default_cpus, &cpus, reterr);
        if (r >= 0)
                r = number_of(call, "MemoryMiB", INT32_MAX, m->limits->default_memory_mib, &memory_mib,
                              reterr);
        if (r >= 0)
                r = number_of(call, "CID", UINT32_MAX, 0, &cid, reterr);
        if (r >= 0)
                r = plan_image(image_fd, plan, reterr);
        if (r >= 0)
                r = plan_name(m, call, plan, reterr);
        if (r >= 0)
                r = plan_cid(m, cid, plan, reterr);
        if (r < 0)
                return r;
        plan->cpus = (unsigned)cpus;
        plan->memory_mib = memory_mib;
        plan->debug = flag_of(call, "Debug");
        plan->uid = call_uid(call);
        while (manager_find_id(m, plan->id))
                plan->id++;
        return check_plan(m, call, plan, reterr);
}

static int run_plan(struct manager *m, struct server_call *call, int image_fd, struct plan *plan,
                    struct error *reterr) {
        struct enclave *e = manager_find(m, plan->name);
        int r;

        if (e)
                manager_forget(m, e); /* an ended one, whose name is wanted again */
        r = enclave_new(&e, m, plan);
        if (r < 0)
                return r;
        r = enclave_start(e, image_fd, reterr);
        if (r < 0) {
                manager_forget(m, e);
                return r;
        }
        r = waiter_add_run(m, e, call);
        if (r >= 0)
                waiters_notify(m, e); /* what has happened so far */
        return r;
}

static int handle_run(struct server_call *call, void *userdata, struct error *reterr) {
        struct manager *m = userdata;
        _cleanup_close_ int image_fd =
                call_take_fd(call, json_integer_value(json_object_get(call_parameters(call), "Image")));
        _cleanup_(plan_done)
        struct plan plan = { .name = NULL };
        int r;

        r = make_plan(m, call, image_fd, &plan, reterr);
        if (r >= 0) {
                log_request(call, plan.name, "starting");
                return run_plan(m, call, image_fd, &plan, reterr);
        }
        log_request(call, plan.name ? plan.name : "?",
                    r == ERROR_DESCRIBED ? error_name(reterr->kind) : "failed");
        return r;
}

/* --- Describe --- */

static int handle_describe(struct server_call *call, void *userdata, struct error *reterr) {
        struct manager *m = userdata;
        bool all = flag_of(call, "All");
        struct enclave *one = NULL;
        json_t *list;
        size_t bytes = 0;
        int r;

        if (text_of(call, "Name")) {
                r = find_enclave(m, call, ACCESS_OBSERVE, &one, reterr);
                if (r < 0)
                        return r;
        }
        list = json_array();
        for (struct enclave *e = m->enclaves; e; e = e->next) {
                json_t *object;

                if (one ? e != one : !all && !enclave_is_alive(e))
                        continue;
                object = enclave_to_json(e);
                bytes += object ? json_dumpb(object, NULL, 0, JSON_COMPACT) : 0;
                if (bytes > ANSWER_BYTES && call_wants_more(call)) {
                        call_continue(call, json_pack("{s:o}", "Enclaves", list));
                        list = json_array();
                        bytes = 0;
                }
                (void)json_array_append_new(list, object);
        }
        call_reply(call, json_pack("{s:o}", "Enclaves", list), NULL, 0);
        return 0;
}

/* --- Console, Connect --- */

static int handle_console(struct server_call *call, void *userdata, struct error *reterr) {
        struct enclave *e;
        int r;

        r = find_enclave(userdata, call, ACCESS_OPERATE, &e, reterr);
        if (r >= 0)
                r = need_alive(e, reterr);
        if (r < 0)
                return r;
        if (!e->plan.debug)
                return error_set(
                        reterr, ERROR_NOT_DEBUG,
                        "enclave %s was not started with --debug; its console is closed to everybody",
                        e->plan.name);
        log_request(call, e->plan.name, "passed on");
        return relay_stream(userdata, e, call, "Console", NULL, reterr);
}

static int handle_connect(struct server_call *call, void *userdata, struct error *reterr) {
        struct enclave *e;
        uint64_t port;
        int r;

        r = find_enclave(userdata, call, ACCESS_OPERATE, &e, reterr);
        if (r >= 0)
                r = need_alive(e, reterr);
        if (r >= 0)
                r = number_of(call, "Port", UINT32_MAX - 1, 0, &port, reterr);
        if (r < 0)
                return r;
        log_request(call, e->plan.name, "passed on");
        return relay_stream(userdata, e, call, "Connect", json_pack("{s:I}", "Port", (json_int_t)port),
                            reterr);
}

static int handle_wait(struct server_call *call, void *userdata, struct error *reterr) {
        const char *until = text_of(call, "For");
        struct enclave *e;
        int r;

        r = find_enclave(userdata, call, ACCESS_OBSERVE, &e, reterr);
        if (r < 0)
                return r;
        return waiter_add_until(userdata, e,
                                strcmp(until, "running") == 0 ? UNTIL_RUNNING
                                : strcmp(until, "ready") == 0 ? UNTIL_READY
                                                              : UNTIL_EXITED,
                                call);
}

/* --- Terminate, Forget --- */

static int stop_one(struct manager *m, struct server_call *call, uint64_t grace, struct error *reterr) {
        struct enclave *e;
        int r;

        r = find_enclave(m, call, ACCESS_OPERATE, &e, reterr);
        if (r >= 0)
                r = need_alive(e, reterr);
        if (r >= 0)
                r = waiter_add_end(m, &e, 1, call);
        if (r < 0)
                return r;
        log_request(call, e->plan.name, "stopping");
        enclave_stop(e, call_uid(call), grace);
        return 0;
}

static int stop_all(struct manager *m, struct server_call *call, uint64_t grace) {
        struct caller caller = manager_caller(m, call);
        _cleanup_free_ struct enclave **mine = NULL;
        size_t n = 0;
        int r;

        for (struct enclave *e = m->enclaves; e; e = e->next)
                n++;
        mine = calloc(n + 1, sizeof(*mine));
        if (!mine)
                return -ENOMEM;
        n = 0;
        for (struct enclave *e = m->enclaves; e; e = e->next)
                if (enclave_is_alive(e) && access_allows_on(ACCESS_OPERATE, &caller, m->uid, e->plan.uid))
                        mine[n++] = e;
        if (n == 0) {
                call_reply(call, json_pack("{s:[]}", "Enclaves"), NULL, 0);
                return 0;
        }
        r = waiter_add_end(m, mine, n, call);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                log_request(call, mine[i]->plan.name, "stopping");
                enclave_stop(mine[i], call_uid(call), grace);
        }
        return 0;
}

static int one_or_all(struct server_call *call, struct error *reterr) {
        if (!text_of(call, "Name") == flag_of(call, "All"))
                return 0;
        return error_set(reterr, ERROR_INVALID_PARAMETER, "either Name or All must be given");
}

static int handle_terminate(struct server_call *call, void *userdata, struct error *reterr) {
        struct manager *m = userdata;
        uint64_t grace;
        int r;

        r = one_or_all(call, reterr);
        if (r >= 0)
                r = number_of(call, "GraceMSec", 3600 * 1000, GRACE_MSEC_DEFAULT, &grace, reterr);
        if (r < 0)
                return r;
        if (flag_of(call, "Force"))
                grace = 0;
        return text_of(call, "Name") ? stop_one(m, call, grace, reterr) : stop_all(m, call, grace);
}

static void forget(struct manager *m, struct server_call *call, struct enclave *e, json_t *forgotten) {
        log_request(call, e->plan.name, "forgotten");
        (void)json_array_append_new(forgotten, json_string(e->plan.name));
        manager_forget(m, e);
}

static int handle_forget(struct server_call *call, void *userdata, struct error *reterr) {
        struct manager *m = userdata;
        struct caller caller = manager_caller(m, call);
        struct enclave *e, *next;
        json_t *forgotten;
        int r;

        if (text_of(call, "Name")) {
                r = find_enclave(m, call, ACCESS_OPERATE, &e, reterr);
                if (r < 0)
                        return r;
                if (enclave_is_alive(e))
                        return error_set(reterr, ERROR_WRONG_STATE, "enclave %s is %s; terminate it first",
                                         e->plan.name, enclave_state_name(e->state));
                forgotten = json_array();
                forget(m, call, e, forgotten);
        } else {
                forgotten = json_array();
                for (e = m->enclaves; e; e = next) {
                        next = e->next;
                        if (!enclave_is_alive(e) &&
                            access_allows_on(ACCESS_OPERATE, &caller, m->uid, e->plan.uid))
                                forget(m, call, e, forgotten);
                }
        }
        call_reply(call, json_pack("{s:o}", "Forgotten", forgotten), NULL, 0);
        return 0;
}

/* --- the pool --- */

static int handle_pool_show(struct server_call *call, void *userdata, struct error *reterr _unused_) {
        call_reply(call, json_pack("{s:o}", "Pool", pool_to_json(userdata)), NULL, 0);
        return 0;
}

static int find_node(const struct manager *m, uint64_t id, unsigned *ret, struct error *reterr) {
        *ret = NODE_UNKNOWN;
        for (unsigned i = 0; id != UINT64_MAX && i < m->pool.topology.n_nodes; i++)
                if (m->pool.topology.nodes[i].id == id)
                        *ret = i;
        if (id == UINT64_MAX || *ret != NODE_UNKNOWN)
                return 0;
        return error_set(reterr, ERROR_INVALID_PARAMETER, "this machine has no node %u", (unsigned)id);
}

static int handle_pool_set(struct server_call *call, void *userdata, struct error *reterr) {
        struct pool_wish wish = { .cpu_list = text_of(call, "CPUList") };
        uint64_t node;
        int r;

        r = number_of(call, "CPUCount", CPU_NUMBER_MAX, UINT64_MAX, &wish.cpu_count, reterr);
        if (r >= 0)
                r = number_of(call, "MemoryMiB", INT32_MAX, UINT64_MAX, &wish.memory_mib, reterr);
        if (r >= 0)
                r = number_of(call, "Node", TOPOLOGY_NODES_MAX, UINT64_MAX, &node, reterr);
        if (r >= 0 && wish.cpu_list && wish.cpu_count != UINT64_MAX)
                r = error_set(reterr, ERROR_INVALID_PARAMETER,
                              "CPUCount and CPUList exclude each other; give one");
        if (r >= 0)
                r = find_node(userdata, node, &wish.node, reterr);
        if (r >= 0)
                r = pool_change_start(userdata, &wish, call, reterr);
        log_request(call, "pool", r >= 0 ? "changing" : "refused");
        return r;
}

const struct server_method manager_methods[] = {
        { "Run", ACCESS_OPERATE, handle_run },         { "Describe", ACCESS_OBSERVE, handle_describe },
        { "Wait", ACCESS_OBSERVE, handle_wait },       { "Console", ACCESS_OPERATE, handle_console },
        { "Connect", ACCESS_OPERATE, handle_connect }, { "Terminate", ACCESS_OPERATE, handle_terminate },
        { "Forget", ACCESS_OPERATE, handle_forget },   { "PoolShow", ACCESS_OBSERVE, handle_pool_show },
        { "PoolSet", ACCESS_POOL, handle_pool_set },   { NULL, 0, NULL },
};
