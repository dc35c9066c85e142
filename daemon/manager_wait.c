/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Calls that are answered when enclaves get somewhere: Run waits until its enclave is running, Terminate
 * until all of its enclaves have ended. A waiter holds its enclaves by number: one that was forgotten
 * meanwhile has ended.
 */

#include "daemon/manager.h"

#include <errno.h>
#include <string.h>

enum wait_kind { WAIT_RUN, WAIT_END, WAIT_UNTIL, WAIT_EVENTS };

struct waiter {
        struct waiter *next;
        struct manager *manager;
        enum wait_kind kind;
        struct server_call *call;
        json_t *ended;         /* what Terminate will answer */
        struct error problem;  /* or why it failed */
        enum wait_until until; /* what Wait waits for */
        size_t n_ids;
        unsigned ids[];
};

static void waiter_free(struct waiter *w) {
        struct waiter **p;

        for (p = &w->manager->waiters; *p; p = &(*p)->next)
                if (*p == w) {
                        *p = w->next;
                        break;
                }
        json_decref(w->ended);
        error_done(&w->problem);
        free(w);
}

static void on_gone(struct server_call *call _unused_, void *userdata) {
        waiter_free(userdata);
}

static struct waiter *waiter_add(struct manager *m, enum wait_kind kind, size_t n, struct server_call *call) {
        struct waiter *w = calloc(1, sizeof(*w) + n * sizeof(w->ids[0]));

        if (!w)
                return NULL;
        *w = (struct waiter){ .next = m->waiters, .manager = m, .kind = kind, .call = call, .n_ids = n };
        m->waiters = w;
        call_on_gone(call, on_gone, w);
        return w;
}

/* Why an enclave ended before it was running, as an error of its own kind. */
static void fail_run(struct server_call *call, const struct enclave *e) {
        _cleanup_error_ struct error error = ERROR_NULL;
        const char *kind = json_string_value(json_object_get(e->reason, "Kind"));
        const char *text = json_string_value(json_object_get(e->reason, "Text"));
        const char *name = json_string_value(json_object_get(e->facts, "ErrorName"));
        enum error_kind as = ERROR_BOOT_FAILED;

        if (name && error_from_name(name) != ERROR_NONE)
                as = error_from_name(name); /* the monitor knows it better: no QEMU, no image, … */
        else if (kind && strcmp(kind, "boot-timeout") == 0)
                as = ERROR_BOOT_TIMEOUT;
        else if (kind && strcmp(kind, "start-failed") == 0)
                as = ERROR_HYPERVISOR_MISSING;
        else if (kind && (strcmp(kind, "hypervisor-died") == 0 || strcmp(kind, "monitor-lost") == 0))
                as = ERROR_HYPERVISOR_FAILED;
        (void)error_set(&error, as, "enclave %s ended before it was running: %s", e->plan.name,
                        text ? text : "?");
        call_fail(call, &error);
}

static void notify_run(struct waiter *w, struct enclave *e) {
        struct server_call *call = w->call;
        json_t *answer;

        if (w->ids[0] != e->plan.id)
                return;
        if (e->state == ENCLAVE_CREATED || e->state == ENCLAVE_ALLOCATING || e->state == ENCLAVE_LOADING ||
            e->state == ENCLAVE_BOOTING || e->state == ENCLAVE_STOPPING) {
                if (call_wants_more(call))
                        call_continue(call, json_pack("{s:o}", "Enclave", enclave_to_json(e)));
                return;
        }
        waiter_free(w);
        if (!enclave_is_alive(e) && !enclave_has_run(e)) {
                fail_run(call, e);
                return;
        }
        answer = json_pack("{s:o}", "Enclave", enclave_to_json(e));
        call_reply(call, answer, NULL, 0);
}

/* All ends are what Terminate wanted, but that of a record whose enclave the vendor's tool could not end. */
static void note_survivor(struct waiter *w, const struct enclave *e) {
        const char *kind = json_string_value(json_object_get(e->reason, "Kind"));
        const char *text = json_string_value(json_object_get(e->reason, "Text"));

        if (strcmp(e->manager->config.hypervisor, "qingtian") == 0 && !w->problem.message &&
            (e->left_behind || (kind && strcmp(kind, "hypervisor-died") == 0)))
                (void)error_set(&w->problem, ERROR_HYPERVISOR_FAILED, "enclave %s could not be ended: %s",
                                e->plan.name, text ? text : "?");
}

static void notify_end(struct waiter *w, struct enclave *e) {
        _cleanup_error_ struct error problem = ERROR_NULL;
        struct server_call *call = w->call;
        json_t *ended;

        if (enclave_is_alive(e))
                return;
        for (size_t i = 0; i < w->n_ids; i++)
                if (w->ids[i] == e->plan.id) {
                        w->ids[i] = w->ids[--w->n_ids];
                        (void)json_array_append_new(w->ended, enclave_to_json(e));
                        note_survivor(w, e);
                        break;
                }
        if (w->n_ids > 0)
                return;
        ended = json_incref(w->ended);
        problem = w->problem;
        w->problem = ERROR_NULL;
        waiter_free(w);
        if (problem.message) {
                json_decref(ended);
                call_fail(call, &problem);
        } else
                call_reply(call, json_pack("{s:o}", "Enclaves", ended), NULL, 0);
}

static void notify_until(struct waiter *w, struct enclave *e) {
        _cleanup_error_ struct error error = ERROR_NULL;
        struct server_call *call = w->call;
        bool ended = !enclave_is_alive(e), reached = false;

        if (w->ids[0] != e->plan.id)
                return;
        switch (w->until) {
        case UNTIL_RUNNING:
                reached = e->state == ENCLAVE_RUNNING;
                break;
        case UNTIL_READY:
                reached = e->state == ENCLAVE_RUNNING &&
                          (json_is_true(json_object_get(e->facts, "Ready")) ||
                           json_is_true(json_object_get(e->facts, "ReadyAssumed")));
                break;
        case UNTIL_EXITED:
                reached = ended;
                break;
        }
        if (!reached && !ended)
                return;
        waiter_free(w);
        if (reached) {
                call_reply(call, json_pack("{s:o}", "Enclave", enclave_to_json(e)), NULL, 0);
                return;
        }
        (void)error_set(&error, ERROR_WRONG_STATE, "enclave %s ended before: %s", e->plan.name,
                        json_string_value(json_object_get(e->reason, "Text")) ?: "?");
        call_fail(call, &error);
}

void waiters_notify(struct manager *m, struct enclave *e) {
        struct waiter *next;

        for (struct waiter *w = m->waiters; w; w = next) {
                next = w->next;
                if (w->kind == WAIT_RUN)
                        notify_run(w, e);
                else if (w->kind == WAIT_END)
                        notify_end(w, e);
                else if (w->kind == WAIT_UNTIL)
                        notify_until(w, e);
                else
                        call_continue(w->call, json_pack("{s:o}", "Enclave", enclave_to_json(e)));
        }
}

int waiter_add_run(struct manager *m, struct enclave *e, struct server_call *call) {
        struct waiter *w = waiter_add(m, WAIT_RUN, 1, call);

        if (!w)
                return -ENOMEM;
        w->ids[0] = e->plan.id;
        return 0;
}

int waiter_add_until(struct manager *m, struct enclave *e, enum wait_until until, struct server_call *call) {
        struct waiter *w = waiter_add(m, WAIT_UNTIL, 1, call);

        if (!w)
                return -ENOMEM;
        w->ids[0] = e->plan.id;
        w->until = until;
        notify_until(w, e); /* it may be there already */
        return 0;
}

int waiter_add_events(struct manager *m, struct server_call *call) {
        return waiter_add(m, WAIT_EVENTS, 0, call) ? 0 : -ENOMEM;
}

int waiter_add_end(struct manager *m, struct enclave *const *enclaves, size_t n, struct server_call *call) {
        struct waiter *w = waiter_add(m, WAIT_END, n, call);

        if (!w)
                return -ENOMEM;
        w->ended = json_array();
        for (size_t i = 0; i < n; i++)
                w->ids[i] = enclaves[i]->plan.id;
        return 0;
}

/* The server is gone already, and with it the calls. */
void waiters_free(struct manager *m) {
        while (m->waiters)
                waiter_free(m->waiters);
}
