/* SPDX-License-Identifier: Apache-2.0 */

/* The local security module on a UNIX socket, where a scenario needs an enclave's documents without an
 * enclave: secmod-socket SOCKET PKI-DIRECTORY nitro|qingtian PCR0-HEX|debug [PCR8-HEX] One connection at a
 * time, one request each; ends with its standard input. */

#include "base/buffer.h"
#include "base/io.h"
#include "base/parse.h"
#include "monitor/secmod/module.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LENGTH_SIZE 4

static int listen_on(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof(address.sun_path))
                return -1;
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0)
                return close_fd(fd);
        return fd;
}

static void serve(struct module *m, int fd) {
        uint8_t header[LENGTH_SIZE], request[NSM_MAX_REQUEST], response[LENGTH_SIZE + NSM_MAX_RESPONSE];
        struct reader r = reader_over(header, sizeof(header));
        size_t size;

        if (read_exactly(fd, header, sizeof(header)) < 0)
                return;
        size = (size_t)reader_le(&r, LENGTH_SIZE);
        if (size > sizeof(request) || read_exactly(fd, request, size) < 0)
                return;
        size = module_answer(m, (struct span){ request, size }, response + LENGTH_SIZE);
        put_le(response, LENGTH_SIZE, size);
        (void)write_all(fd, response, LENGTH_SIZE + size);
}

static int run(struct module *m, const char *path) {
        _cleanup_close_ int listener = listen_on(path);
        struct pollfd fds[2] = { { .fd = listener, .events = POLLIN },
                                 { .fd = STDIN_FILENO, .events = POLLIN } };

        if (listener < 0)
                return 1;
        while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
                _cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

                serve(m, fd);
        }
        return 0;
}

int main(int argc, char **argv) {
        struct secmod_config config = { .enclave_id = 1 };
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_close_ int directory = -1;
        struct module module;
        int r;

        if (argc != 5 && argc != 6)
                return 2;
        config.platform = strcmp(argv[3], "nitro") == 0 ? SECMOD_NITRO : SECMOD_QINGTIAN;
        config.debug = strcmp(argv[4], "debug") == 0;
        if (!config.debug &&
            parse_hex(argv[4], config.measurements.pcr0, sizeof(config.measurements.pcr0)) < 0)
                return 2;
        if (argc == 6 && parse_hex(argv[5], config.measurements.pcr8, sizeof(config.measurements.pcr8)) < 0)
                return 2;
        directory = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
        config.pki_directory_fd = directory;
        if (directory < 0 || module_init(&module, &config, &e) < 0) {
                (void)fprintf(stderr, "secmod-socket: %s\n", e.message ? e.message : "cannot start");
                return 1;
        }
        r = run(&module, argv[1]);
        module_done(&module);
        return r;
}
