/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/restart.h"

#include "base/log.h"
#include "daemon/close_elsewhere.h"
#include "daemon/enclave_internal.h"
#include "daemon/facts.h"
#include "daemon/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define MINUTE_USEC (60 * UINT64_C(1000000))
#define FOREIGN_CIDS_MAX 4 /* a parent runs no more enclaves */

static const char *const names[RESTART_POLICY_MAX] = {
#define POLICY(id, name) [RESTART_##id] = name,
        RESTART_POLICIES(POLICY)
#undef POLICY
};

const char *restart_policy_name(enum restart_policy policy) {
        return names[policy];
}

enum restart_policy restart_policy_from_name(const char *name) {
        for (int i = 0; name && i < RESTART_POLICY_MAX; i++)
                if (strcmp(names[i], name) == 0)
                        return (enum restart_policy)i;
        return RESTART_NO;
}

struct restart_decision restart_decide(const struct restart_end *end) {
        struct restart_decision d = { .n_quick = end->ran_usec < MINUTE_USEC ? end->n_quick + 1 : 0 };

        if (end->requested || end->policy == RESTART_NO || (end->policy == RESTART_ON_FAILURE && end->good))
                return (struct restart_decision){ .restart = false };
        if (d.n_quick > end->limit) {
                d.crash_loop = true;
                return d;
        }
        d.restart = true;
        d.delay_usec = end->delay_usec;
        for (unsigned i = 1; i < d.n_quick && d.delay_usec < MINUTE_USEC; i++)
                d.delay_usec *= 2;
        if (d.delay_usec > MINUTE_USEC)
                d.delay_usec = MINUTE_USEC;
        return d;
}

/* The descriptor that the caller gave, as long as we have it; of a declared enclave, the file as it is now.
 */
static int open_image(struct enclave *e, struct error *reterr) {
        int fd;

        if (e->image_fd >= 0)
                return 0;
        if (!e->plan.declared)
                return error_set(reterr, ERROR_FILE_UNREADABLE,
                                 "the image was handed to an earlier daemon and is not known any more");
        fd = open(e->plan.image_path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot open %s",
                                       e->plan.image_path);
        e->image_fd = fd;
        return 0;
}

static void forget_last_life(struct enclave *e) {
        const char *pcr0 = json_string_value(json_object_get(e->facts, "PCR0"));

        if (enclave_keeps_image(e) && !e->pcr0 && pcr0 && strlen(pcr0) == PCR0_LENGTH)
                e->pcr0 = strdup(pcr0);
        json_decref(e->facts);
        json_decref(e->reason);
        json_decref(e->verdict);
        e->facts = e->reason = e->verdict = NULL;
        e->grace_msec = 0;
        e->stopping = e->parent_shutdown = e->left_behind = false;
        e->running_usec = 0;
}

static int restart_now(struct enclave *e, struct error *reterr) {
        struct manager *m = e->manager;
        int r;

        r = open_image(e, reterr);
        if (r >= 0)
                r = plan_refresh(m, e->image_fd, &e->plan, reterr);
        if (r < 0)
                return r;
        forget_last_life(e);
        e->restarts++;
        e->n_foreign_cids = 0;
        enclave_set_state(e, ENCLAVE_CREATED);
        r = enclave_start(e, e->image_fd, reterr);
        if (e->plan.declared)
                e->image_fd =
                        close_elsewhere(e->image_fd, e->plan.uid); /* the next life may be of a newer file */
        return r;
}

bool enclave_try_next_cid(struct enclave *e) {
        const char *name = json_string_value(json_object_get(e->facts, "ErrorName"));
        _cleanup_error_ struct error error = ERROR_NULL;
        uint32_t cid = e->plan.cid;
        int r;

        if (!e->plan.any_cid || e->stopping || !name || strcmp(name, error_name(ERROR_CID_IN_USE)) != 0 ||
            e->n_foreign_cids == FOREIGN_CIDS_MAX || open_image(e, &error) < 0)
                return false;
        do
                cid++;
        while (manager_find_cid(e->manager, cid));
        log_record(LOG_INFO, e->plan.name,
                   "CID %u belongs to an enclave that was not started from here, trying %u", e->plan.cid,
                   cid);
        enclave_release(e);
        forget_last_life(e);
        e->n_foreign_cids++;
        e->plan.cid = cid;
        if (e->state != ENCLAVE_STOPPING)
                enclave_set_state(e, ENCLAVE_STOPPING);
        enclave_set_state(e, ENCLAVE_CREATED);
        r = enclave_start(e, e->image_fd, &error);
        if (e->plan.declared)
                e->image_fd = close_elsewhere(e->image_fd, e->plan.uid);
        if (r < 0)
                log_record(LOG_WARNING, e->plan.name, "%s", error.message ? error.message : "out of memory");
        return true;
}

/* Somebody wanted it to end: who asked the daemon, or who shuts the machine down and asked the monitors. */
static bool was_asked_to_end(const struct enclave *e) {
        const char *kind = json_string_value(json_object_get(e->reason, "Kind"));

        return e->stopping || (kind && strcmp(kind, "parent-shutdown") == 0);
}

static bool ended_well(const struct enclave *e) {
        const char *kind = json_string_value(json_object_get(e->reason, "Kind"));

        return kind && (strcmp(kind, "stopped") == 0 ||
                        (strcmp(kind, "exited") == 0 &&
                         json_integer_value(json_object_get(e->reason, "ExitCode")) == 0));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void wait_for_restart(struct enclave *e, uint64_t delay_usec) {
        if (!e->plan.declared && e->image_fd < 0) {
                log_record(
                        LOG_WARNING, e->plan.name,
                        "will not be restarted: its image was handed to an earlier daemon and went with it");
                return;
        }
        if (sd_event_add_time_relative(e->manager->event, &e->restart_timer, CLOCK_MONOTONIC, delay_usec, 0,
                                       on_timer, e) < 0)
                return;
        e->restart_usec = realtime_usec() + delay_usec;
        log_record(LOG_INFO, e->plan.name, "will be restarted in %" PRIu64 " ms", delay_usec / 1000);
}

/* Another life may follow, or not. */
static void restart_after(struct enclave *e, uint64_t ran_usec) {
        const struct config *config = &e->manager->config;
        struct restart_decision d;

        d = restart_decide(&(struct restart_end){ .policy = e->plan.restart,
                                                  .good = ended_well(e),
                                                  .requested = was_asked_to_end(e),
                                                  .ran_usec = ran_usec,
                                                  .n_quick = e->n_quick,
                                                  .delay_usec = config->restart_delay * 1000,
                                                  .limit = (unsigned)config->restart_limit });
        e->n_quick = d.n_quick;
        e->crash_loop = d.crash_loop;
        if (d.crash_loop)
                log_record(
                        LOG_ERR, e->plan.name,
                        "ended or could not begin %u times in quick succession: a crash loop, it stays down",
                        d.n_quick);
        if (d.restart)
                wait_for_restart(e, d.delay_usec);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        _cleanup_error_ struct error error = ERROR_NULL;
        struct enclave *e = userdata;
        unsigned before = e->restarts;

        e->restart_timer = sd_event_source_disable_unref(e->restart_timer);
        if (restart_now(e, &error) >= 0)
                return 0;
        log_record(LOG_ERR, e->plan.name, "cannot be restarted: %s",
                   error.message ? error.message : "out of memory");
        if (enclave_is_alive(e))
                enclave_end(e, reason_new("start-failed", error.message ? error.message : "out of memory"));
        else if (e->restarts == before) { /* not even begun: the next try may find what is missing */
                restart_after(e, 0);
                enclave_save(e);
                manager_enclave_ended(e->manager, e);
        }
        return 0;
}

void enclave_restart_later(struct enclave *e) {
        bool ran = e->running_usec > 0 && e->since_usec > e->running_usec;

        /* Whoever runs an image by hand sees its first start fail; what is declared has nobody to see it. */
        if (e->plan.declared || enclave_has_run(e) || e->restarts > 0)
                restart_after(e, ran ? e->since_usec - e->running_usec : 0);
        manager_enclave_ended(e->manager, e);
}

void enclave_resume_restart(struct enclave *e, uint64_t at_usec) {
        uint64_t now = realtime_usec(), delay = at_usec > now ? at_usec - now : 0;

        wait_for_restart(e, delay < MINUTE_USEC ? delay : MINUTE_USEC); /* the clock may have been set */
        enclave_save(e);
}

void enclave_cancel_restart(struct enclave *e) {
        if (!e->restart_timer)
                return;
        e->restart_timer = sd_event_source_disable_unref(e->restart_timer);
        enclave_save(e);
        manager_enclave_ended(e->manager, e);
}
