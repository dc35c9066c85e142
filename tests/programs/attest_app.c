/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An application inside a test enclave: on vsock port 7000 it reads a line "api HEX" or "program HEX" and
 * answers with an attestation document that carries that nonce, got through the library or from /qt-attest.
 */

#include "attest/device.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PORT 7000

static int by_api(const char *hex, int fd) {
        _cleanup_free_ uint8_t *document = NULL;
        struct qtattest_document_fields fields = { 0 };
        struct qtattest_device *device = NULL;
        uint8_t nonce[64];
        size_t size, n = strlen(hex) / 2;
        int r;

        if (n > sizeof(nonce) || parse_hex(hex, nonce, n) < 0)
                return -EINVAL;
        fields.nonce = (struct qtattest_field){ nonce, n };
        r = qtattest_device_open(QTATTEST_DEVICE_AUTO, &device);
        if (r < 0)
                return r;
        r = qtattest_device_document(device, &fields, &document, &size);
        if (r >= 0)
                r = write_all(fd, document, size);
        qtattest_device_close(device);
        return r;
}

static int by_program(const char *hex, int fd) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                (void)dup2(fd, STDOUT_FILENO);
                (void)execl("/qt-attest", "qt-attest", "document", "--nonce", hex, NULL);
                _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
                return -errno;
        return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static void serve(int fd) {
        char line[160];
        size_t n = 0;
        int r;

        while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
                n++;
        line[n] = '\0';
        if (strncmp(line, "api ", 4) == 0)
                r = by_api(line + 4, fd);
        else
                r = strncmp(line, "program ", 8) == 0 ? by_program(line + 8, fd) : -EINVAL;
        if (r < 0)
                (void)dprintf(fd, "failed: %s\n", strerror(-r));
        (void)printf("%s: %d\n", line, r);
        (void)fflush(stdout);
}

int main(void) {
        const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                             .svm_cid = VMADDR_CID_ANY,
                                             .svm_port = PORT };
        int listening = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (listening < 0 || bind(listening, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(listening, 4) < 0) {
                perror("cannot listen");
                return 1;
        }
        for (;;) {
                int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

                if (fd < 0)
                        continue;
                serve(fd);
                (void)close(fd);
        }
}
