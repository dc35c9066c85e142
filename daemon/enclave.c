/* SPDX-License-Identifier: Apache-2.0 */

/* An enclave's life as the daemon sees it, from the facts of its monitor to its end. */

#include "daemon/enclave.h"

#include "base/io.h"
#include "base/log.h"
#include "daemon/close_elsewhere.h"
#include "daemon/enclave_internal.h"
#include "daemon/facts.h"
#include "daemon/manager.h"
#include "daemon/spawn.h"
#include "daemon/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define END_FILE_MAX (64 * 1024)

void plan_done(struct plan *p) {
        free(p->name);
        free(p->image_path);
        *p = (struct plan){ .name = NULL };
}

uint64_t realtime_usec(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void enclave_join(struct enclave *e) {
        struct enclave **p;

        for (p = &e->manager->enclaves; *p; p = &(*p)->next)
                ;
        e->next = NULL;
        *p = e;
}

void enclave_leave(struct enclave *e) {
        for (struct enclave **p = &e->manager->enclaves; *p; p = &(*p)->next)
                if (*p == e) {
                        *p = e->next;
                        return;
                }
}

int enclave_new(struct enclave **ret, struct manager *m, struct plan *plan) {
        struct enclave *e = calloc(1, sizeof(*e));

        if (!e)
                return -ENOMEM;
        e->manager = m;
        e->image_fd = e->status_fd = -1;
        e->place = PLACE_NULL;
        e->monitor = e->hypervisor = PROCESS_NULL;
        e->plan = *plan;
        *plan = (struct plan){ .name = NULL };
        e->created_usec = e->since_usec = realtime_usec();
        enclave_join(e);
        *ret = e;
        return 0;
}

struct enclave *enclave_free(struct enclave *e) {
        if (!e)
                return NULL;
        enclave_leave(e);
        pool_release(&e->manager->pool, &e->share);
        (void)async_call_free(e->watch);
        (void)async_call_free(e->stop);
        (void)async_call_free(e->given);
        enclave_clear_deadline(e);
        process_done(&e->monitor);
        process_done(&e->hypervisor);
        sd_event_source_disable_unref(e->restart_timer);
        (void)close_elsewhere(e->image_fd, e->plan.uid);
        (void)close_fd(e->status_fd);
        json_decref(e->facts);
        json_decref(e->reason);
        json_decref(e->verdict);
        free(e->pcr0);
        plan_done(&e->plan);
        free(e);
        return NULL;
}

static void log_step(const struct enclave *e) {
        const char *reason = json_string_value(json_object_get(e->reason, "Text"));
        const char *kind = json_string_value(json_object_get(e->reason, "Kind"));
        char message[256], name[96], state[48], cid[32], uid[32], why[64];
        const char *fields[] = { name, state, cid, uid, kind ? why : NULL, NULL };

        (void)snprintf(message, sizeof(message), "%s: %s%s%s", e->plan.name, enclave_state_name(e->state),
                       reason ? ": " : "", reason ? reason : "");
        (void)snprintf(name, sizeof(name), "ENCLAVE=%s", e->plan.name);
        (void)snprintf(state, sizeof(state), "ENCLAVE_STATE=%s", enclave_state_name(e->state));
        (void)snprintf(cid, sizeof(cid), "ENCLAVE_CID=%u", e->plan.cid);
        (void)snprintf(uid, sizeof(uid), "ENCLAVE_UID=%u", e->plan.uid);
        (void)snprintf(why, sizeof(why), "ENCLAVE_REASON=%s", kind ? kind : "");
        log_fields(LOG_INFO, message, fields);
}

void enclave_save(struct enclave *e) {
        int r = store_save(e->manager->state_fd, e);

        if (r < 0)
                log_record(LOG_WARNING, e->plan.name, "cannot save its state, continuing without: %s",
                           strerror(-r));
}

void enclave_set_state(struct enclave *e, enum enclave_state state) {
        enum enclave_state from = e->state;

        assert(enclave_step_is_legal(from, state));
        e->state = state;
        e->since_usec = realtime_usec();
        if (state == ENCLAVE_RUNNING)
                e->running_usec = e->since_usec;
        if (state == ENCLAVE_RUNNING && e->plan.restart == RESTART_NO)
                e->image_fd = close_elsewhere(e->image_fd, e->plan.uid); /* was kept for another try */
        metrics_step(&e->manager->metrics, from, state,
                     json_string_value(json_object_get(e->reason, "Kind")));
        log_step(e);
        enclave_set_deadline(e);
        enclave_save(e);
        manager_enclave_changed(e->manager, e);
}

/* The monitor was told to stop, and not by whom. */
static void name_who_asked(struct enclave *e) {
        if (!e->parent_shutdown) {
                (void)json_object_set_new(e->reason, "Uid", json_integer(e->stop_uid));
                return;
        }
        (void)json_object_set_new(e->reason, "Kind", json_string("parent-shutdown"));
        (void)json_object_set_new(e->reason, "Text", json_string("stopped because the parent shuts down"));
}

/* Everything it held goes back; only the record stays. */
void enclave_release(struct enclave *e) {
        e->watch = async_call_free(e->watch);
        e->stop = async_call_free(e->stop);
        e->given = async_call_free(e->given);
        enclave_clear_deadline(e);
        e->status_fd = close_fd(e->status_fd);
        process_done(&e->monitor);
        process_done(&e->hypervisor);
        remove_directory(e->manager->enclaves_fd, e->plan.name);
        pool_release(&e->manager->pool, &e->share);
        e->place = PLACE_NULL;
}

void enclave_end(struct enclave *e, json_t *reason) {
        const char *kind = json_string_value(json_object_get(reason, "Kind"));
        bool good = kind && (strcmp(kind, "exited") == 0 || strcmp(kind, "stopped") == 0 ||
                             strcmp(kind, "parent-shutdown") == 0);

        enclave_release(e);
        json_decref(e->reason);
        e->reason = reason;
        if (kind && strcmp(kind, "stopped") == 0 && e->stopping)
                name_who_asked(e);
        enclave_set_state(e, good ? ENCLAVE_STOPPED : ENCLAVE_FAILED);
        enclave_restart_later(e);
        if (e->plan.restart == RESTART_NO)
                e->image_fd = close_elsewhere(e->image_fd, e->plan.uid);
        if (e->restart_timer)
                enclave_save(e);
}

bool enclave_facts_ended(const struct enclave *e) {
        return e->facts && enclave_state_is_end(facts_state(e->facts));
}

/* The last words in the directory. It belongs to the monitor: a link, a device or an endless file are not
 * words. */
static json_t *read_end_file(const struct enclave *e) {
        _cleanup_close_ int directory = -1, fd = -1;
        _cleanup_free_ char *text = NULL;
        json_auto_t *raw = NULL;
        struct stat st;
        ssize_t n;

        directory = openat(e->manager->enclaves_fd, e->plan.name,
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (directory < 0)
                return NULL;
        fd = openat(directory, "end", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return NULL;
        text = malloc(END_FILE_MAX);
        n = text ? read_up_to(fd, text, END_FILE_MAX) : 0;
        if (n <= 0)
                return NULL;
        raw = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
        return facts_accept(raw);
}

/* Its process ended before it was the monitor. */
static json_t *find_start_problem(const struct enclave *e) {
        int problem = spawn_problem(e->status_fd);
        char text[512];

        if (problem == 0)
                return NULL;
        (void)snprintf(text, sizeof(text), "cannot start %s: %s", e->manager->monitor_program,
                       strerror(-problem));
        return reason_new("start-failed", text);
}

static json_t *find_reason(struct enclave *e) {
        json_t *reason = NULL;

        if (!enclave_facts_ended(e)) {
                json_t *last = read_end_file(e);

                if (last) {
                        json_decref(e->facts);
                        e->facts = last;
                }
        }
        if (enclave_facts_ended(e))
                reason = facts_reason(e->facts);
        if (!reason)
                reason = find_start_problem(e);
        if (!reason)
                reason = TAKE(e->verdict);
        return reason
                       ?: reason_new("monitor-lost",
                                     "the monitor ended without a word; the kernel's log may tell why");
}

static void on_hypervisor_end(void *userdata, const siginfo_t *info _unused_) {
        enclave_gone(userdata);
}

/* A monitor that was killed takes its hypervisor along, which may have much memory to give back. */
static bool hypervisor_lives(struct enclave *e) {
        json_int_t pid = json_integer_value(json_object_get(e->facts, "HypervisorPID"));

        if (process_is_followed(&e->hypervisor))
                return true;
        if (enclave_facts_ended(e) || pid <= 1 || pid > INT32_MAX || e->hypervisor.userdata == e)
                return false;
        return process_follow_number(&e->hypervisor, e->manager->event, (pid_t)pid, on_hypervisor_end, e) >=
               0;
}

void enclave_gone(struct enclave *e) {
        json_t *reason;

        if (!enclave_is_alive(e))
                return;
        e->watch = async_call_free(e->watch);
        if (process_is_followed(&e->monitor) || hypervisor_lives(e)) {
                /* What it has is not free before. */
                enclave_set_exit_deadline(e);
                return;
        }
        if (e->given) /* its answer lies in the socket still: it has the image for the next life */
                return;
        reason = find_reason(e);
        if (enclave_try_next_cid(e))
                json_decref(reason);
        else
                enclave_end(e, reason);
}

void enclave_name_cpus(struct enclave *e) {
        struct cpu_list cpus = facts_cpus(e->facts);

        pool_name_cpus(&e->manager->pool, &e->share, &cpus);
}

void enclave_take_facts(struct enclave *e, json_t *facts) {
        enum enclave_state state = facts_state(facts);

        e->status_fd = close_fd(e->status_fd);
        json_decref(e->facts);
        e->facts = facts;
        enclave_name_cpus(e);
        if (state == ENCLAVE_STATE_INVALID)
                return;
        if (enclave_state_is_end(state)) {
                /* It ends when its monitor is gone: until then it holds memory and its sockets. */
                if (e->state != ENCLAVE_STOPPING)
                        enclave_set_state(e, ENCLAVE_STOPPING);
                enclave_set_exit_deadline(e);
        } else if (state != e->state && enclave_step_is_legal(e->state, state))
                enclave_set_state(e, state);
        else {
                enclave_save(e);
                manager_enclave_changed(e->manager, e);
        }
}

void enclave_on_monitor_end(void *userdata, const siginfo_t *info) {
        struct enclave *e = userdata;

        if (!info || (info->si_code == CLD_EXITED && info->si_status == 0))
                log_record(LOG_DEBUG, e->plan.name, "its monitor ended");
        else
                log_record(LOG_WARNING, e->plan.name, "its monitor %s %d",
                           info->si_code == CLD_EXITED ? "ended with status" : "was killed by signal",
                           info->si_status);
        if (e->watch) /* its last words may still wait in the socket, and their end will tell */
                enclave_set_exit_deadline(e);
        else
                enclave_gone(e);
}

bool enclave_has_run(const struct enclave *e) {
        const char *kind = json_string_value(json_object_get(e->reason, "Kind"));

        return e->running_usec > 0 || (kind && (strcmp(kind, "exited") == 0 || strcmp(kind, "killed") == 0));
}

static void on_stop_answer(struct async_call *call, int r, struct reply *reply _unused_,
                           const struct error *error, void *userdata) {
        struct enclave *e = userdata;

        if (r == ERROR_DESCRIBED)
                log_record(LOG_WARNING, e->plan.name, "its monitor refuses to stop it: %s",
                           error->message ? error->message : error_name(error->kind));
        assert(call == e->stop);
        e->stop = async_call_free(call);
}

void enclave_stop(struct enclave *e, uid_t uid, uint64_t grace_msec) {
        _cleanup_error_ struct error error = ERROR_NULL;
        int r;

        e->stopping = true;
        e->stop_uid = uid;
        e->grace_msec = grace_msec;
        e->stop = async_call_free(e->stop);
        r = enclave_call(e, "Stop", json_pack("{s:I}", "GraceMSec", (json_int_t)grace_msec), 0,
                         on_stop_answer, e, &e->stop, &error);
        if (r < 0)
                log_record(LOG_WARNING, e->plan.name, "%s", error.message);
        if (e->state != ENCLAVE_STOPPING)
                enclave_set_state(e, ENCLAVE_STOPPING);
        else if (!enclave_facts_ended(e))
                enclave_set_deadline(e); /* somebody has less patience, or more */
}
