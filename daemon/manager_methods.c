/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of io.qtenclave.Manager. The server has checked the types of all parameters before. */

#include "base/enclave_name.h"
#include "daemon/close_elsewhere.h"
#include "daemon/manager.h"
#include "daemon/pool_change.h"
#include "daemon/pool_machine.h"
#include "daemon/request_record.h"
#include "daemon/store.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define GRACE_MSEC_DEFAULT 10000
#define ANSWER_BYTES 48000 /* of one answer of several: well below the limit of a message */

struct caller manager_caller(const struct manager *m, const struct server_call *call) {
        return (struct caller){ .uid = call_uid(call),
                                .in_group = m->has_group && call_in_group(call, m->group) };
}

static void record(const struct server_call *call, const char *subject, const char *outcome) {
        request_record(call_uid(call), call_method(call), subject, outcome);
}

int manager_authorize(struct server_call *call, const struct server_method *method, void *userdata,
                      struct error *reterr) {
        struct manager *m = userdata;
        struct caller caller = manager_caller(m, call);

        if (access_allows((enum access_class)method->access, &caller, m->uid))
                return 0;
        if (method->access == ACCESS_POOL)
                return error_set(reterr, ERROR_PERMISSION_DENIED,
                                 "uid %u may not call %s; only root and the daemon's user may", caller.uid,
                                 method->name);
        return error_set(reterr, ERROR_PERMISSION_DENIED, "uid %u may not call %s; members of group %s may",
                         caller.uid, method->name, m->config.group);
}

static const char *text_of(struct server_call *call, const char *member) {
        return json_string_value(json_object_get(call_parameters(call), member));
}

/* The enclave of that name, or of that number. */
static struct enclave *named(const struct manager *m, const char *name) {
        struct enclave *e = manager_find(m, name);
        char *end;

        if (!e && isdigit((unsigned char)name[0])) {
                unsigned long id = strtoul(name, &end, 10);

                e = *end || id > INT32_MAX ? NULL : manager_find_id(m, (unsigned)id);
        }
        return e;
}

/* Looking changes nothing, so only whoever may not even do that is remembered. */
void manager_refused(struct server_call *call, const struct server_method *method, const struct error *e,
                     void *userdata) {
        const char *name = text_of(call, "Name");
        bool is_new = strcmp(method->name, "Run") == 0; /* whose name is no number of another */
        const struct enclave *of = name && !is_new ? named(userdata, name) : NULL;

        if (method->access == ACCESS_OBSERVE && e->kind != ERROR_PERMISSION_DENIED)
                return;
        if (method->access == ACCESS_POOL)
                name = "pool";
        else if (of)
                name = of->plan.name;
        else if (name && !enclave_name_is_valid(name))
                name = NULL; /* anything may stand there, a line break as well */
        record(call, name ? name : "-", error_name(e->kind));
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

static int find_enclave(struct manager *m, struct server_call *call, enum access_class class,
                        struct enclave **ret, struct error *reterr) {
        struct caller caller = manager_caller(m, call);
        const char *name = text_of(call, "Name");
        struct enclave *e = named(m, name);

        if (!e)
                return error_set(reterr, ERROR_NO_SUCH_ENCLAVE,
                                 "no enclave is called %s; `qt-enclave describe --all` lists them", name);
        if (!access_allows_on(class, &caller, m->uid, e->plan.uid))
                return error_set(reterr, ERROR_PERMISSION_DENIED,
                                 "enclave %s belongs to uid %u; only they and root may do that", e->plan.name,
                                 e->plan.uid);
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

static int make_plan(struct manager *m, struct server_call *call, int image_fd, struct plan *plan,
                     struct error *reterr) {
        struct caller caller = manager_caller(m, call);
        const json_t *p = call_parameters(call);
        uint64_t cpus, memory_mib, cid;
        int r;

        r = number_of(call, "CPUs", 4096, 0, &cpus, reterr);
        if (r >= 0)
                r = number_of(call, "MemoryMiB", INT32_MAX, 0, &memory_mib, reterr);
        if (r >= 0)
                r = number_of(call, "CID", UINT32_MAX, 0, &cid, reterr);
        if (r < 0)
                return r;
        return plan_make(
                m,
                &(struct run_wish){
                        .name = text_of(call, "Name"),
                        .image_path = text_of(call, "ImagePath"),
                        .image_fd = image_fd,
                        .cpus = json_is_integer(json_object_get(p, "CPUs")) ? &cpus : NULL,
                        .cpu_list = text_of(call, "CPUList"),
                        .memory_mib = json_is_integer(json_object_get(p, "MemoryMiB")) ? &memory_mib : NULL,
                        .cid = cid,
                        .debug = flag_of(call, "Debug"),
                        .uid = call_uid(call),
                        .master = caller_is_master(&caller, m->uid),
                        .restart = restart_policy_from_name(text_of(call, "Restart")) },
                plan, reterr);
}

static int run_image(struct manager *m, struct server_call *call, int image_fd, struct error *reterr) {
        _cleanup_(plan_done) struct plan plan = { .name = NULL };
        struct enclave *e;
        int r;

        r = make_plan(m, call, image_fd, &plan, reterr);
        if (r >= 0)
                r = manager_run(m, &plan, image_fd, &e, reterr);
        if (r >= 0)
                r = waiter_add_run(m, e, call);
        if (r < 0)
                return r;
        record(call, e->plan.name, "starting");
        waiters_notify(m, e); /* what has happened so far */
        return 0;
}

static int handle_run(struct server_call *call, void *userdata, struct error *reterr) {
        int image_fd =
                call_take_fd(call, json_integer_value(json_object_get(call_parameters(call), "Image")));
        int r = run_image(userdata, call, image_fd, reterr);

        (void)close_elsewhere(image_fd, call_uid(call));
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

                if (one ? e != one : !all && !enclave_is_wanted(e))
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
        r = relay_stream(userdata, e, call, "Console", NULL, reterr);
        if (r >= 0)
                record(call, e->plan.name, "passed on");
        return r;
}

static int handle_metadata(struct server_call *call, void *userdata, struct error *reterr) {
        struct enclave *e;
        int r;

        r = find_enclave(userdata, call, ACCESS_OBSERVE, &e, reterr);
        if (r >= 0)
                r = need_alive(e, reterr);
        return r < 0 ? r : relay_stream(userdata, e, call, "Metadata", NULL, reterr);
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
        r = relay_stream(userdata, e, call, "Connect", json_pack("{s:I}", "Port", (json_int_t)port), reterr);
        if (r >= 0)
                record(call, e->plan.name, "passed on");
        return r;
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

static int handle_events(struct server_call *call, void *userdata, struct error *reterr) {
        if (!call_wants_more(call))
                return error_set(reterr, ERROR_INVALID_PARAMETER,
                                 "Events has many answers; call it with \"more\"");
        return waiter_add_events(userdata, call);
}

/* --- Terminate, Forget --- */

/* It has ended already; now it stays so. */
static void cancel_restart(struct server_call *call, struct enclave *e) {
        record(call, e->plan.name, "will not be restarted");
        enclave_cancel_restart(e);
}

/* What Terminate asks for. */
struct end_wish {
        uint64_t grace_msec;
        bool parent_shutdown;
};

static int stop_one(struct manager *m, struct server_call *call, const struct end_wish *w,
                    struct error *reterr) {
        struct enclave *e;
        int r;

        r = find_enclave(m, call, ACCESS_OPERATE, &e, reterr);
        if (r >= 0 && e->restart_timer) {
                cancel_restart(call, e);
                call_reply(call, json_pack("{s:[o]}", "Enclaves", enclave_to_json(e)), NULL, 0);
                return 0;
        }
        if (r >= 0)
                r = need_alive(e, reterr);
        if (r >= 0)
                r = waiter_add_end(m, &e, 1, call);
        if (r < 0)
                return r;
        record(call, e->plan.name, "stopping");
        enclave_stop(e, call_uid(call), w->grace_msec);
        return 0;
}

static int stop_all(struct manager *m, struct server_call *call, const struct end_wish *w) {
        struct caller caller = manager_caller(m, call);
        _cleanup_free_ struct enclave **mine = NULL;
        size_t n = 0, n_cancelled = 0;
        int r;

        for (struct enclave *e = m->enclaves; e; e = e->next)
                n++;
        mine = calloc(n + 1, sizeof(*mine));
        if (!mine)
                return -ENOMEM;
        n = 0;
        for (struct enclave *e = m->enclaves; e; e = e->next) {
                if (!access_allows_on(ACCESS_OPERATE, &caller, m->uid, e->plan.uid))
                        continue;
                if (e->restart_timer) {
                        cancel_restart(call, e);
                        n_cancelled++;
                }
                if (enclave_is_alive(e))
                        mine[n++] = e;
        }
        if (n == 0) {
                if (n_cancelled == 0)
                        record(call, "-", "nothing to stop");
                call_reply(call, json_pack("{s:[]}", "Enclaves"), NULL, 0);
                return 0;
        }
        r = waiter_add_end(m, mine, n, call);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                record(call, mine[i]->plan.name,
                       w->parent_shutdown ? "stopping, the parent shuts down" : "stopping");
                /* Who had asked before stays the reason. */
                mine[i]->parent_shutdown |= w->parent_shutdown && !mine[i]->stopping;
                enclave_stop(mine[i], call_uid(call), w->grace_msec);
        }
        return 0;
}

static int one_or_all(struct server_call *call, struct error *reterr) {
        if (!text_of(call, "Name") == flag_of(call, "All"))
                return 0;
        return error_set(reterr, ERROR_INVALID_PARAMETER, "either Name or All must be given");
}

/* Who may say that the machine shuts down. */
static int check_shutdown(const struct manager *m, struct server_call *call, struct error *reterr) {
        struct caller caller = manager_caller(m, call);

        if (!flag_of(call, "All"))
                return error_set(reterr, ERROR_INVALID_PARAMETER,
                                 "ParentShutdown is for All: a parent ends with all of its enclaves");
        if (caller_is_master(&caller, m->uid))
                return 0;
        return error_set(reterr, ERROR_PERMISSION_DENIED,
                         "uid %u may not say that the parent shuts down; only root and the daemon's user may",
                         caller.uid);
}

static int handle_terminate(struct server_call *call, void *userdata, struct error *reterr) {
        struct manager *m = userdata;
        struct end_wish wish = { .parent_shutdown = flag_of(call, "ParentShutdown") };
        int r;

        r = one_or_all(call, reterr);
        if (r >= 0)
                r = number_of(call, "GraceMSec", 3600 * 1000, GRACE_MSEC_DEFAULT, &wish.grace_msec, reterr);
        if (r >= 0 && wish.parent_shutdown)
                r = check_shutdown(m, call, reterr);
        if (r < 0)
                return r;
        if (flag_of(call, "Force"))
                wish.grace_msec = 0;
        return text_of(call, "Name") ? stop_one(m, call, &wish, reterr) : stop_all(m, call, &wish);
}

static void forget(struct manager *m, struct server_call *call, struct enclave *e, json_t *forgotten) {
        record(call, e->plan.name, "forgotten");
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
                if (enclave_is_wanted(e))
                        return error_set(reterr, ERROR_WRONG_STATE, "enclave %s is %s%s; terminate it first",
                                         e->plan.name, enclave_state_name(e->state),
                                         e->restart_timer ? " and will be restarted" : "");
                forgotten = json_array();
                forget(m, call, e, forgotten);
        } else {
                forgotten = json_array();
                for (e = m->enclaves; e; e = next) {
                        next = e->next;
                        if (!enclave_is_wanted(e) &&
                            access_allows_on(ACCESS_OPERATE, &caller, m->uid, e->plan.uid))
                                forget(m, call, e, forgotten);
                }
                if (json_array_size(forgotten) == 0)
                        record(call, "-", "nothing to forget");
        }
        call_reply(call, json_pack("{s:o}", "Forgotten", forgotten), NULL, 0);
        return 0;
}

/* --- the pool --- */

static int handle_pool_show(struct server_call *call, void *userdata, struct error *reterr _unused_) {
        pool_refresh(userdata);
        call_reply(call, json_pack("{s:o}", "Pool", pool_to_json(userdata)), NULL, 0);
        return 0;
}

static int handle_metrics(struct server_call *call, void *userdata, struct error *reterr _unused_) {
        _cleanup_free_ char *text = metrics_text(userdata);

        if (!text)
                return -ENOMEM;
        call_reply(call, json_pack("{s:s}", "Text", text), NULL, 0);
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
                r = number_of(call, "Node", CPU_NUMBER_MAX, UINT64_MAX, &node, reterr);
        if (r >= 0 && wish.cpu_list && wish.cpu_count != UINT64_MAX)
                r = error_set(reterr, ERROR_INVALID_PARAMETER,
                              "CPUCount and CPUList exclude each other; give one");
        if (r >= 0)
                r = find_node(userdata, node, &wish.node, reterr);
        if (r < 0)
                return r;
        /* It leaves the record when it is done. */
        return pool_change_start(userdata, &wish, call, reterr);
}

const struct server_method manager_methods[] = {
        { "Run", ACCESS_OPERATE, handle_run },
        { "Describe", ACCESS_OBSERVE, handle_describe },
        { "Wait", ACCESS_OBSERVE, handle_wait },
        { "Events", ACCESS_OBSERVE, handle_events },
        { "Metadata", ACCESS_OBSERVE, handle_metadata },
        { "Console", ACCESS_OPERATE, handle_console },
        { "Connect", ACCESS_OPERATE, handle_connect },
        { "Terminate", ACCESS_OPERATE, handle_terminate },
        { "Forget", ACCESS_OPERATE, handle_forget },
        { "PoolShow", ACCESS_OBSERVE, handle_pool_show },
        { "Metrics", ACCESS_OBSERVE, handle_metrics },
        { "PoolSet", ACCESS_POOL, handle_pool_set },
        { NULL, 0, NULL },
};
