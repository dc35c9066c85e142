/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"

#include <errno.h>
#include <string.h>

#define SYSTEM_SOCKET "/run/qt-enclave/qt-enclaved.sock"

/* earlier: another path that was tried before, or NULL. */
static int connect_to(const char *path, const char *earlier, struct client *ret, struct error *reterr) {
        int fd = connect_unix(path, false);

        if (fd == -EACCES || fd == -EPERM)
                return error_set(reterr, ERROR_PERMISSION_DENIED,
                                 "you may not open %s; members of the group qt-enclave may", path);
        if (fd == -ENAMETOOLONG)
                return error_set(reterr, ERROR_USAGE, "%s is too long for a socket's address", path);
        if (fd < 0)
                return error_set_errno(
                        reterr, ERROR_DAEMON_UNREACHABLE, fd,
                        "no daemon answers on %s%s%s (start one with `qt-enclaved --user` or `systemctl "
                        "start qt-enclaved`, or give --socket)",
                        earlier ?: "", earlier ? " or " : "", path);
        fd = client_init(ret, fd);
        return fd < 0 ? error_set_errno(reterr, ERROR_INTERNAL, fd, "cannot use %s", path) : 0;
}

static char *user_socket(void) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        char *path = NULL;
        int r;

        if (runtime && *runtime == '/')
                r = asprintf(&path, "%s/qt-enclave/qt-enclaved.sock", runtime);
        else
                r = asprintf(&path, "/run/user/%u/qt-enclave/qt-enclaved.sock", getuid());
        return r < 0 ? NULL : path;
}

int daemon_connect(const struct options *o, struct client *ret, struct error *reterr) {
        const char *given = options_value(o, "socket");
        _cleanup_free_ char *path = NULL;

        given = given ? given : getenv("QT_ENCLAVE_SOCKET");
        if (given && *given)
                return connect_to(given, NULL, ret, reterr);
        path = user_socket();
        if (path && connect_to(path, NULL, ret, NULL) >= 0)
                return 0;
        return connect_to(SYSTEM_SOCKET, path, ret, reterr);
}

static void full_name(const char *method, char *ret, size_t size) {
        (void)snprintf(ret, size, "io.qtenclave.Manager.%s", method);
}

int daemon_call(const struct options *o, const char *method, json_t *parameters, struct reply *ret,
                struct error *reterr) {
        _cleanup_client_ struct client c = CLIENT_NULL;
        json_auto_t *owned = parameters;
        char full[64];
        int r;

        r = daemon_connect(o, &c, reterr);
        if (r < 0)
                return r;
        full_name(method, full, sizeof(full));
        return client_call(&c, full, TAKE(owned), ret, reterr);
}

int daemon_describe(const struct options *o, const char *name, bool all, json_t **ret, struct error *reterr) {
        _cleanup_client_ struct client c = CLIENT_NULL;
        json_auto_t *enclaves = json_array();
        bool more = true;
        int r;

        r = daemon_connect(o, &c, reterr);
        if (r >= 0)
                r = client_send(&c, "io.qtenclave.Manager.Describe",
                                json_pack("{s:s?, s:b}", "Name", name, "All", all), CALL_MORE, NULL, 0,
                                reterr);
        while (r >= 0 && more) {
                _cleanup_reply_ struct reply reply = REPLY_NULL;

                r = client_receive(&c, -1, &reply, reterr);
                if (r < 0)
                        break;
                (void)json_array_extend(enclaves, json_object_get(reply.parameters, "Enclaves"));
                more = reply.continues;
        }
        if (r < 0)
                return r;
        *ret = TAKE(enclaves);
        return 0;
}

bool daemon_may_return(unsigned *tries, const struct error *e) {
        enum { TRIES = 120, PAUSE_USEC = 500000 };

        if (e->kind != ERROR_DAEMON_UNREACHABLE || *tries == TRIES)
                return false;
        (*tries)++;
        (void)usleep(PAUSE_USEC);
        return true;
}

const char *member_text(const json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : "";
}

json_int_t member_number(const json_t *object, const char *key) {
        return json_integer_value(json_object_get(object, key));
}

void describe_reason(const json_t *enclave, char *ret, size_t size) {
        const json_t *reason = json_object_get(enclave, "Reason");
        const char *kind = member_text(reason, "Kind");

        if (json_object_get(reason, "Uid"))
                (void)snprintf(ret, size, "%s by uid %" JSON_INTEGER_FORMAT, kind,
                               member_number(reason, "Uid"));
        else if (json_object_get(reason, "ExitCode"))
                (void)snprintf(ret, size, "%s with code %" JSON_INTEGER_FORMAT, kind,
                               member_number(reason, "ExitCode"));
        else if (json_object_get(reason, "Signal"))
                (void)snprintf(ret, size, "%s by signal %" JSON_INTEGER_FORMAT, kind,
                               member_number(reason, "Signal"));
        else
                (void)snprintf(ret, size, "%s", kind);
}

bool ended_well(const json_t *enclave) {
        const json_t *reason = json_object_get(enclave, "Reason");
        const char *kind = member_text(reason, "Kind");

        return strcmp(kind, "stopped") == 0 ||
               (strcmp(kind, "exited") == 0 && member_number(reason, "ExitCode") == 0);
}

int print_json(const json_t *document, struct error *reterr) {
        if (json_dumpf(document, stdout, JSON_INDENT(2)) < 0 || putchar('\n') == EOF)
                return error_set(reterr, ERROR_OUTPUT_FAILED, "cannot write to standard output");
        return 0;
}
