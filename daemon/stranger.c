/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/stranger.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/close_elsewhere.h"
#include "daemon/monitor_socket.h"
#include "daemon/spawn.h"
#include "daemon/store.h"
#include "proto/client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIGURATION_MAX ((size_t)16 << 10)
#define ANSWER_MSEC 2000
#define END_MSEC 5000

/* The plan of a configuration: what make_config() has of it, and nothing that a record may have besides. */
static json_t *plan_of(const json_t *configuration) {
        static const char *const members[] = { "Name",      "EnclaveID", "CID",       "CPUs", "CPUIDs",
                                               "MemoryMiB", "Debug",     "ClientUid", "Node", "PCR0" };
        json_t *plan = json_is_object(configuration) ? json_object() : NULL;

        for (size_t i = 0; plan && i < ELEMENTSOF(members); i++) {
                json_t *value = json_object_get(configuration, members[i]);

                if (value)
                        (void)json_object_set(plan, members[i], value);
        }
        return plan;
}

static json_t *parse_plan(const char *text, size_t size) {
        json_auto_t *configuration = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);

        return plan_of(configuration);
}

/* Of the copy, which this user wrote: the lasting part of the record as well. */
static json_t *parse_copy(const char *text, size_t size) {
        json_auto_t *copy = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        json_auto_t *lasting = store_lasting(json_object_get(copy, "Record"));
        json_t *plan = plan_of(copy);

        if (plan && lasting)
                (void)json_object_update_missing(plan, lasting);
        return plan;
}

json_t *stranger_from_copy(int directory_fd) {
        _cleanup_close_ int fd =
                openat(directory_fd, "config.json", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        char text[CONFIGURATION_MAX];
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
                return NULL;
        n = read_up_to(fd, text, sizeof(text));
        return n <= 0 || (size_t)n == sizeof(text) ? NULL : parse_copy(text, (size_t)n);
}

/* Sealed as a memory file is, reading it neither waits for anybody nor changes under our hands. */
static json_t *read_given(int fd) {
        char text[CONFIGURATION_MAX];
        int seals = fcntl(fd, F_GET_SEALS);
        struct stat st;

        if (seals < 0 || !(seals & F_SEAL_WRITE) || fstat(fd, &st) < 0 || st.st_size <= 0 ||
            (size_t)st.st_size > sizeof(text) || pread_exactly(fd, text, (size_t)st.st_size, 0) < 0)
                return NULL;
        return parse_plan(text, (size_t)st.st_size);
}

static bool is_monitor_of(int socket_fd, const json_t *plan) {
        json_int_t id = json_integer_value(json_object_get(plan, "EnclaveID"));
        struct ucred peer;
        socklen_t size = sizeof(peer);

        return getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) >= 0 &&
               (peer.uid == geteuid() || (id >= 0 && peer.uid == MONITOR_UID_BASE + (uint64_t)id));
}

json_t *stranger_from_monitor(int directory_fd) {
        _cleanup_error_ struct error problem = ERROR_NULL;
        _cleanup_client_ struct client client = CLIENT_NULL;
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        int socket_fd = monitor_connect(directory_fd);
        json_auto_t *plan = NULL;
        int fd;

        if (socket_fd < 0 || client_init(&client, socket_fd) < 0)
                return NULL;
        if (client_send(&client, "io.qtenclave.Monitor.Given", NULL, CALL_PLAIN, NULL, 0, &problem) < 0 ||
            client_receive(&client, ANSWER_MSEC, &reply, &problem) < 0 ||
            reply_take_fd(&reply, "Configuration", &fd, &problem) < 0)
                return NULL;
        plan = read_given(fd);
        (void)close_elsewhere(fd, WIRE_PEER_UNKNOWN);
        return plan && is_monitor_of(socket_fd, plan) ? TAKE(plan) : NULL;
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
