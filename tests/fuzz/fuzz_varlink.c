/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever a client may send, through a real server with the real interface. The first byte chooses the size
 * of the pieces in which the rest arrives, so that messages are cut everywhere.
 */

#include "proto/server.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Calls that passed the check of the interface are answered by turns: with an error, a reply, or when asked
 * for with "more", several. */
static int handle(struct server_call *c, void *userdata, struct error *reterr) {
        unsigned *turn = userdata;

        (void)call_take_fd(c, json_integer_value(json_object_get(call_parameters(c), "Image")));
        if (call_wants_more(c))
                call_continue(c, json_pack("{s:[]}", "Enclaves"));
        if (++*turn % 2)
                return error_set(reterr, ERROR_NO_SUCH_ENCLAVE, "no enclave");
        call_reply(c, json_pack("{s:[]}", "Enclaves"), NULL, 0);
        return 0;
}

static const struct server_method methods[] = {
        { "Describe", 0, handle }, { "Run", 0, handle }, { "Terminate", 0, handle }, { NULL, 0, NULL }
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_server_ struct server *server = NULL;
        _cleanup_close_ int fd = -1;
        unsigned turn = 0;
        size_t step;
        int pair[2];

        if (size < 2 || sd_event_new(&event) < 0 ||
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return 0;
        fd = pair[0];
        if (server_new(&server, &(struct server_options){ .event = event,
                                                          .interface = interface_manager(),
                                                          .methods = methods,
                                                          .product = "fuzz",
                                                          .userdata = &turn }) < 0) {
                (void)close_fd(pair[1]);
                return 0;
        }
        if (server_add_connection(server, pair[1]) < 0)
                return 0;
        step = (size_t)data[0] + 1;
        for (size_t at = 1; at < size && server_connections(server) > 0; at += step) {
                char sink[4096];

                if (send(fd, data + at, size - at < step ? size - at : step, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                        break;
                while (sd_event_run(event, 0) > 0)
                        while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
                                ;
        }
        return 0;
}
