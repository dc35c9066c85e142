/* SPDX-License-Identifier: Apache-2.0 */

/* One call: from a JSON object to a handler, and its answers back. */

#include "proto/server_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Queue one answer. What cannot be sent ends the connection: an answer that is silently left out would let
 * the caller wait for ever. */
static int send_answer(struct server_call *c, json_t *answer, const int *fds, size_t n_fds) {
        struct connection *connection = c->connection;
        int r;

        if (connection->doomed)
                return 0;
        r = answer ? wire_queue(&connection->wire, answer, fds, n_fds) : -ENOMEM;
        if (r == -EMSGSIZE)
                return r;
        if (r < 0) {
                connection->server->n_refused++;
                connection_doom(connection);
        } else
                server_connection_flush(connection);
        return 0;
}

static void finish(struct server_call *c) {
        c->active = false;
        c->gone = NULL;
        c->parameters = NULL;
        wire_message_done(&c->message);
        c->connection->server->n_calls++;
        server_connection_flush(c->connection); /* read on */
}

/* An error by its full name; parameters are stolen. */
static void send_error(struct server_call *c, const char *interface, const char *name, json_t *parameters) {
        char full[160];
        json_auto_t *answer = NULL;

        (void)snprintf(full, sizeof(full), "%s.%s", interface, name);
        answer = json_pack("{s:s, s:o}", "error", full, "parameters", parameters);
        if (!c->oneway)
                (void)send_answer(c, answer, NULL, 0);
        finish(c);
}

static void send_service_error(struct server_call *c, const char *name, const char *parameter,
                               const char *value) {
        send_error(c, "org.varlink.service", name, json_pack("{s:s}", parameter, value));
}

void call_fail(struct server_call *c, const struct error *e) {
        enum error_kind kind = e->kind == ERROR_NONE ? ERROR_INTERNAL : e->kind;
        const char *text = e->message ? e->message : error_meaning(kind);

        /* An interface may know fewer errors than the program. */
        if (!interface_find(c->interface, IDL_ERROR, error_name(kind)))
                kind = ERROR_INTERNAL;
        /* Half a character at the end of a text that was cut must not cost the whole answer. */
        send_error(c, c->interface->name, error_name(kind),
                   json_pack("{s:o, s:s*}", "Message", json_string(text) ?: json_string(error_meaning(kind)),
                             "Limit", kind == ERROR_LIMIT_EXCEEDED ? e->limit : NULL));
}

static void fail(struct server_call *c, enum error_kind kind, const char *text) {
        call_fail(c, &(struct error){ .kind = kind, .message = (char *)text });
}

/* parameters are stolen; NULL when they break the interface, which would be our own mistake. */
static json_t *checked_answer(struct server_call *c, json_t *parameters, bool continues,
                              struct error *reterr) {
        json_t *answer;

        if (!parameters)
                parameters = json_object();
        if (interface_check(c->method->reply, parameters, reterr) < 0) {
                json_decref(parameters);
                return NULL;
        }
        answer = json_pack("{s:o}", "parameters", parameters);
        if (answer && continues)
                (void)json_object_set_new(answer, "continues", json_true());
        return answer;
}

void call_reply(struct server_call *c, json_t *parameters, const int *fds, size_t n_fds) {
        _cleanup_error_ struct error e = ERROR_NULL;
        json_auto_t *answer = NULL;

        assert(c->active);
        answer = checked_answer(c, parameters, false, &e);
        if (!answer) {
                (void)error_wrap(&e, e.kind == ERROR_NONE ? -ENOMEM : ERROR_DESCRIBED, "malformed answer");
                fail(c, ERROR_INTERNAL, e.message);
                return;
        }
        if (!c->oneway && send_answer(c, answer, fds, n_fds) == -EMSGSIZE) {
                fail(c, ERROR_INTERNAL, "the answer is over 64 KiB; ask for less, or with \"more\"");
                return;
        }
        finish(c);
}

void call_continue(struct server_call *c, json_t *parameters) {
        json_auto_t *answer = NULL;

        assert(c->active && c->more);
        answer = checked_answer(c, parameters, true, NULL);
        if (send_answer(c, answer, NULL, 0) < 0)
                connection_doom(c->connection);
}

/* --- the service's own interface --- */

static void answer_get_info(struct server_call *c) {
        const struct server_options *o = &c->connection->server->options;

        call_reply(c,
                   json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", "qt-enclave", "product", o->product,
                             "version", PROJECT_VERSION, "url", "https://varlink.org", "interfaces",
                             interface_service()->name, o->interface->name),
                   NULL, 0);
}

static void answer_get_description(struct server_call *c) {
        const char *name = json_string_value(json_object_get(c->parameters, "interface"));
        const struct interface *known[] = { interface_service(), c->connection->server->options.interface };

        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (strcmp(known[i]->name, name) == 0) {
                        call_reply(c, json_pack("{s:s}", "description", known[i]->text), NULL, 0);
                        return;
                }
        send_service_error(c, "InterfaceNotFound", "interface", name);
}

static void dispatch_service(struct server_call *c) {
        _cleanup_error_ struct error e = ERROR_NULL;

        if (interface_check(c->method->type, c->parameters, &e) < 0)
                send_service_error(c, "InvalidParameter", "parameter", e.message);
        else if (strcmp(c->method->name, "GetInfo") == 0)
                answer_get_info(c);
        else
                answer_get_description(c);
}

/* --- dispatch --- */

static const struct server_method *find_row(const struct server_call *c) {
        const struct server_method *m = c->connection->server->options.methods;

        while (m->name && strcmp(m->name, c->method->name) != 0)
                m++;
        return m->name ? m : NULL;
}

static void refuse(struct server_call *c, const struct server_method *m, const struct error *e) {
        const struct server_options *o = &c->connection->server->options;

        if (o->refused)
                o->refused(c, m, e, o->userdata);
        call_fail(c, e);
}

static void dispatch_program(struct server_call *c) {
        _cleanup_error_ struct error e = ERROR_NULL;
        const struct server_options *o = &c->connection->server->options;
        const struct server_method *m = find_row(c);
        int r;

        if (!m) {
                send_service_error(c, "MethodNotImplemented", "method", c->method->name);
                return;
        }
        r = interface_check(c->method->type, c->parameters, &e);
        if (r >= 0 && o->authorize)
                r = o->authorize(c, m, o->userdata, &e);
        if (r >= 0)
                r = m->handler(c, o->userdata, &e);
        if (r >= 0)
                return; /* answered, or later */
        assert(c->active);
        if (r != ERROR_DESCRIBED)
                (void)error_wrap(&e, r, "%s failed", m->name);
        refuse(c, m, &e);
}

/* Split "interface.Method" and find both; answers by itself when there is none. */
static bool find_method(struct server_call *c, const char *full) {
        const struct interface *known[] = { c->connection->server->options.interface, interface_service() };
        const char *dot = strrchr(full, '.');

        c->method = NULL;
        for (size_t i = 0; dot && i < ELEMENTSOF(known); i++) {
                if (strlen(known[i]->name) != (size_t)(dot - full) ||
                    strncmp(known[i]->name, full, (size_t)(dot - full)) != 0)
                        continue;
                c->interface = known[i];
                c->method = interface_find(known[i], IDL_METHOD, dot + 1);
                if (!c->method)
                        send_service_error(c, "MethodNotFound", "method", full);
                return c->method;
        }
        send_service_error(c, "InterfaceNotFound", "interface", full);
        return false;
}

/* The frame around the parameters. "upgrade" is not offered; anything unknown is refused. */
static int unpack_frame(struct server_call *c, const char **ret_method) {
        int more = 0, oneway = 0, upgrade = 0;

        c->parameters = NULL;
        if (json_unpack_ex(c->message.object, NULL, JSON_STRICT, "{s:s, s?o, s?b, s?b, s?b}", "method",
                           ret_method, "parameters", &c->parameters, "more", &more, "oneway", &oneway,
                           "upgrade", &upgrade) < 0 ||
            upgrade || (more && oneway))
                return -EBADMSG;
        if (json_is_null(c->parameters))
                c->parameters = NULL;
        if (!c->parameters) {
                c->parameters = json_object();
                if (!c->parameters || json_object_set_new(c->message.object, "parameters", c->parameters) < 0)
                        return -ENOMEM;
        }
        c->more = more;
        c->oneway = oneway;
        return 0;
}

void call_dispatch(struct server_call *c) {
        const char *method;

        c->active = true;
        c->more = c->oneway = false;
        c->interface = c->connection->server->options.interface;
        if (unpack_frame(c, &method) < 0) {
                fail(c, ERROR_PROTOCOL, "a call must be an object of method, parameters, more and oneway");
                return;
        }
        if (!find_method(c, method))
                return;
        if (c->interface == interface_service())
                dispatch_service(c);
        else
                dispatch_program(c);
}

uid_t call_uid(const struct server_call *c) {
        return c->connection->credentials.uid;
}

pid_t call_pid(const struct server_call *c) {
        return c->connection->credentials.pid;
}

bool call_in_group(const struct server_call *c, gid_t gid) {
        if (c->connection->credentials.gid == gid)
                return true;
        for (size_t i = 0; i < c->connection->n_groups; i++)
                if (c->connection->groups[i] == gid)
                        return true;
        return false;
}

const char *call_method(const struct server_call *c) {
        return c->method->name;
}

bool call_wants_more(const struct server_call *c) {
        return c->more;
}

json_t *call_parameters(struct server_call *c) {
        return c->parameters;
}

int call_take_fd(struct server_call *c, json_int_t index) {
        if (index < 0 || (size_t)index >= c->message.n_fds)
                return -1;
        return TAKE_FD(c->message.fds[index]);
}

void call_on_gone(struct server_call *c, void (*gone)(struct server_call *c, void *userdata),
                  void *userdata) {
        c->gone = gone;
        c->gone_userdata = userdata;
}
