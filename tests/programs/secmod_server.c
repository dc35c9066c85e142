/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The local security module on a UNIX socket, for tests without a virtual machine:
 * secmod_server SOCKET PKI-DIRECTORY nitro|qingtian [debug]. PCR0, 1, 2 and 8 are filled with a0, a1, a2 and
 * a8. Prints a line once it listens; ends with its parent or on SIGTERM.
 */

#include "monitor/secmod/secmod.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int on_accept(sd_event_source *source _unused_, int fd, uint32_t events _unused_, void *userdata) {
        int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (accepted >= 0)
                (void)secmod_serve(userdata, accepted);
        return 0;
}

static int listen_at(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
                return -1;
        memcpy(address.sun_path, path, strlen(path));
        if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0)
                return -1;
        return TAKE_FD(fd);
}

int main(int argc, char **argv) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_close_ int directory = -1, listening = -1;
        struct secmod_config config = { .enclave_id = 1 };
        struct secmod *m = NULL;
        int r;

        if (argc < 4)
                return 2;
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        directory = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        listening = listen_at(argv[1]);
        config.pki_directory_fd = directory;
        config.platform = strcmp(argv[3], "nitro") == 0 ? SECMOD_NITRO : SECMOD_QINGTIAN;
        config.debug = argc > 4;
        memset(config.measurements.pcr0, 0xa0, 48);
        memset(config.measurements.pcr1, 0xa1, 48);
        memset(config.measurements.pcr2, 0xa2, 48);
        memset(config.measurements.pcr8, 0xa8, 48);
        if (directory < 0 || listening < 0 || sd_event_new(&event) < 0)
                return 1;
        r = secmod_new(&m, event, &config, &e);
        if (r >= 0)
                r = sd_event_add_io(event, NULL, listening, EPOLLIN, on_accept, m);
        if (r < 0) {
                (void)fprintf(stderr, "%s\n", e.message ? e.message : "no event loop");
                return 1;
        }
        (void)puts("listening");
        (void)fflush(stdout);
        (void)sd_event_loop(event);
        m = secmod_free(m);
        return 0;
}
