/* SPDX-License-Identifier: Apache-2.0 */

/* Calls that the monitor answers with a stream: the descriptor goes to the caller, its bytes never pass
 * through here. */

#include "daemon/close_elsewhere.h"
#include "daemon/manager.h"

#include <errno.h>

#define RELAY_TIMEOUT_USEC (30 * 1000000ull)

struct relay {
        struct relay *next;
        struct manager *manager;
        struct server_call *call;
        struct async_call *asked;
        uid_t owner; /* of the enclave */
};

static void relay_free(struct relay *relay) {
        struct relay **p;

        for (p = &relay->manager->relays; *p; p = &(*p)->next)
                if (*p == relay) {
                        *p = relay->next;
                        break;
                }
        (void)async_call_free(relay->asked);
        free(relay);
}

static void on_gone(struct server_call *call _unused_, void *userdata) {
        relay_free(userdata);
}

static void on_answer(struct async_call *asked _unused_, int r, struct reply *reply, const struct error *e,
                      void *userdata) {
        _cleanup_error_ struct error error = ERROR_NULL;
        struct relay *relay = userdata;
        struct server_call *call = relay->call;
        uid_t owner = relay->owner;
        int fd = -1;

        if (r == -ECONNRESET)
                r = error_set(&error, ERROR_WRONG_STATE, "the enclave ended before it answered");
        else if (r == -ETIMEDOUT)
                r = error_set(&error, ERROR_TIMEOUT,
                              "the enclave's monitor did not answer within 30 seconds");
        else if (r == ERROR_DESCRIBED)
                (void)error_set(&error, e->kind, "%s", e->message ? e->message : error_meaning(e->kind));
        else if (r < 0)
                (void)error_wrap(&error, r, "asking the enclave's monitor");
        else
                r = reply_take_fd(reply, "Stream", &fd, &error);
        relay_free(relay);
        if (r < 0)
                call_fail(call, &error);
        else
                call_reply(call, json_pack("{s:i}", "Stream", 0), &fd, 1);
        (void)close_elsewhere(fd, owner);
}

int relay_stream(struct manager *m, struct enclave *e, struct server_call *call, const char *method,
                 json_t *parameters, struct error *reterr) {
        struct relay *relay = calloc(1, sizeof(*relay));
        int r;

        if (!relay) {
                json_decref(parameters);
                return -ENOMEM;
        }
        relay->manager = m;
        relay->call = call;
        relay->owner = e->plan.uid;
        r = enclave_call(e, method, parameters, RELAY_TIMEOUT_USEC, on_answer, relay, &relay->asked, reterr);
        if (r < 0) {
                free(relay);
                return r;
        }
        relay->next = m->relays;
        m->relays = relay;
        call_on_gone(call, on_gone, relay);
        return 0;
}

void relays_free(struct manager *m) {
        while (m->relays)
                relay_free(m->relays);
}
