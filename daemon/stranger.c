/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/stranger.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/monitor_socket.h"
#include "daemon/spawn.h"
#include "proto/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIGURATION_MAX (64 * 1024)
#define ANSWER_MSEC 2000
#define END_MSEC 5000

static json_t *read_configuration(int fd) {
        _cleanup_free_ char *text = NULL;
        struct stat st;

        /* It came from a monitor: a pipe or a device would make us wait. */
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > CONFIGURATION_MAX)
                return NULL;
        text = malloc((size_t)st.st_size);
        if (!text || pread_exactly(fd, text, (size_t)st.st_size, 0) < 0)
                return NULL;
        return json_loadb(text, (size_t)st.st_size, JSON_REJECT_DUPLICATES, NULL);
}

json_t *stranger_configuration(int directory_fd) {
        _cleanup_error_ struct error problem = ERROR_NULL;
        _cleanup_client_ struct client client = CLIENT_NULL;
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        _cleanup_close_ int fd = -1;
        int socket_fd = monitor_connect(directory_fd);

        if (socket_fd < 0 || client_init(&client, socket_fd) < 0)
                return NULL;
        if (client_send(&client, "io.qtenclave.Monitor.Given", NULL, CALL_PLAIN, NULL, 0, &problem) < 0 ||
            client_receive(&client, ANSWER_MSEC, &reply, &problem) < 0 ||
            reply_take_fd(&reply, "Configuration", &fd, &problem) < 0)
                return NULL;
        return read_configuration(fd);
}

void stranger_end(int directory_fd, const char *name) {
        _cleanup_close_ int fd = monitor_connect(directory_fd), process = -1;
        struct ucred peer;
        socklen_t size = sizeof(peer);
        struct pollfd ended = { .events = POLLIN };

        if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.pid <= 1)
                return;
        /* Members of the proxy's group may put a socket there as well. */
        if (peer.uid != geteuid() && peer.uid < MONITOR_UID_BASE)
                return;
        process = ended.fd = pidfd_open(peer.pid, 0);
        if (process < 0 || pidfd_send_signal(process, SIGKILL, NULL, 0) < 0)
                return;
        log_record(LOG_WARNING, name, "its monitor (process %d) does not say what it is, killing it",
                   (int)peer.pid);
        (void)poll(&ended, 1, END_MSEC);
}
