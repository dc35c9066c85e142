/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/enclave_calls.h"

#include "base/io.h"
#include "cli/client.h"
#include "cli/eif_output.h"
#include "eif/format.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

int enclave_open_image(const char *path, int *ret_fd, struct error *reterr) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat st;

        if (fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot open the image %s",
                                       path);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_set(reterr, ERROR_FILE_UNREADABLE, "the image %s is no regular file", path);
        if (st.st_size == 0)
                return error_set(reterr, ERROR_FILE_UNREADABLE, "the image %s is empty; build it again",
                                 path);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int enclave_start(const struct options *o, const char *path, json_t *parameters, json_t **ret_enclave,
                  struct error *reterr) {
        _cleanup_client_ struct client client = CLIENT_NULL;
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        json_auto_t *owned = parameters;
        _cleanup_close_ int fd = -1;
        int r;

        if (!owned || json_object_set_new(owned, "Image", json_integer(0)) < 0 ||
            json_object_set_new(owned, "ImagePath", json_string(path)) < 0)
                return error_set(reterr, ERROR_USAGE, "the name or path is not valid UTF-8");
        r = enclave_open_image(path, &fd, reterr);
        if (r >= 0)
                r = daemon_connect(o, &client, reterr);
        if (r >= 0)
                r = client_send(&client, "io.qtenclave.Manager.Run", TAKE(owned), CALL_PLAIN, &fd, 1, reterr);
        if (r >= 0)
                r = client_receive(&client, -1, &reply, reterr);
        if (r < 0)
                return r;
        *ret_enclave = json_incref(json_object_get(reply.parameters, "Enclave"));
        return *ret_enclave ? 0 : error_set(reterr, ERROR_PROTOCOL, "the daemon's answer names no enclave");
}

int enclave_stop(const struct options *o, const char *name, struct error *reterr) {
        _cleanup_reply_ struct reply stopped = REPLY_NULL, forgotten = REPLY_NULL;
        int r;

        r = daemon_call(o, "Terminate", json_pack("{s:s}", "Name", name), &stopped, reterr);
        if (r >= 0) /* somebody else may have collected it already */
                (void)daemon_call(o, "Forget", json_pack("{s:s}", "Name", name), &forgotten, NULL);
        return r;
}

int enclave_console(const struct options *o, const char *name, int *ret_fd, struct error *reterr) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r = daemon_call(o, "Console", json_pack("{s:s}", "Name", name), &reply, &e);

        if (r < 0 && e.kind == ERROR_NOT_DEBUG) /* the daemon's words name an option of our own */
                return error_set(
                        reterr, ERROR_NOT_DEBUG,
                        "enclave %s was not started with --debug-mode, and only then has it a console", name);
        return r < 0 ? error_move(reterr, r, &e) : reply_take_fd(&reply, "Stream", ret_fd, reterr);
}

int enclave_metadata(const struct options *o, const char *name, json_t *document, struct error *reterr) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -1;
        ssize_t n;
        int r;

        r = daemon_call(o, "Metadata", json_pack("{s:s}", "Name", name), &reply, &e);
        if (r >= 0)
                r = reply_take_fd(&reply, "Stream", &fd, &e);
        /* It has none, has just ended, or its monitor is older than this question. */
        if (r < 0 && (e.kind == ERROR_WRONG_STATE || e.kind == ERROR_NO_SUCH_ENCLAVE ||
                      e.kind == ERROR_METHOD_NOT_FOUND))
                return 0;
        if (r < 0)
                return error_move(reterr, r, &e);
        text = malloc(EIF_METADATA_MAX);
        n = text ? read_up_to(fd, text, EIF_METADATA_MAX) : -ENOMEM;
        if (n < 0)
                return error_set_errno(reterr, ERROR_PROTOCOL, (int)n, "the metadata of %s cannot be read",
                                       name);
        eif_set_metadata(document, text, (size_t)n);
        return 0;
}

json_t *enclave_pick(const json_t *enclave, const char *const *members) {
        json_t *picked = json_object();

        for (; *members; members++)
                (void)json_object_set(picked, *members, json_object_get(enclave, *members));
        return picked;
}
