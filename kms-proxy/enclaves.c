/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/enclaves.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "kms-proxy/loop.h"
#include "kms/json.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define REPLY_MAX ((size_t)64 << 10)
#define KEEP_USEC 1000000
#define ASK_USEC 50000
#define REST_USEC 2000000

int enclaves_init(struct enclaves *e, const char *socket) {
        *e = (struct enclaves){ .socket = strdup(socket) };
        return e->socket ? 0 : -ENOMEM;
}

void enclaves_done(struct enclaves *e) {
        free(e->socket);
        *e = (struct enclaves){ .socket = NULL };
}

static int connect_daemon(const char *path) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const struct timeval wait = { .tv_usec = 500000 };

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0 ||
            connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* One call, one reply, each ending in a NUL. */
static int call_describe(int fd, struct bytes *reply) {
        static const char call[] = "{\"method\":\"io.qtenclave.Manager.Describe\",\"parameters\":{}}";
        int r = write_all(fd, call, sizeof(call));

        reply->max = REPLY_MAX;
        while (r >= 0 && (reply->size == 0 || reply->data[reply->size - 1] != '\0')) {
                ssize_t n;

                r = bytes_reserve(reply, 4096);
                if (r < 0)
                        break;
                n = read(fd, reply->data + reply->size, 4096);
                if (n <= 0)
                        return n < 0 ? -errno : -EPIPE;
                reply->size += (size_t)n;
        }
        return r;
}

/* On this host's vsock is what runs as another virtual machine of this kernel. An enclave of the hypervisor
 * `local` is not: it comes through its socket, and its CID may be anybody's here. Nor is one that has no
 * machine now: waiting for its start, or at its end. */
static bool is_on_vsock(const json_t *enclave) {
        static const char *const alive[] = { "booting", "running", "stopping" };
        const char *hypervisor = json_string_value(json_object_get(enclave, "Hypervisor"));
        const char *state = json_string_value(json_object_get(enclave, "State"));
        bool lives = false;

        for (size_t i = 0; i < ELEMENTSOF(alive) && state; i++)
                lives = lives || strcmp(state, alive[i]) == 0;
        return lives && hypervisor && strcmp(hypervisor, "local") != 0;
}

static int ask(struct enclaves *e) {
        _cleanup_close_ int fd = connect_daemon(e->socket);
        _cleanup_bytes_ struct bytes reply = BYTES_NULL;
        _cleanup_json_ json_t *answer = NULL;
        json_t *enclave;
        size_t i;
        int r;

        if (fd < 0)
                return fd;
        r = call_describe(fd, &reply);
        if (r < 0)
                return r;
        answer = json_parse_own(reply.data, reply.size - 1);
        if (!answer)
                return -EBADMSG;
        e->n = 0;
        json_array_foreach(json_object_get(json_object_get(answer, "parameters"), "Enclaves"), i, enclave) {
                const char *name = json_string_value(json_object_get(enclave, "EnclaveName"));
                json_int_t cid = json_integer_value(json_object_get(enclave, "EnclaveCID"));

                if (!name || !is_on_vsock(enclave) || cid <= 3 || cid > UINT32_MAX || e->n == ENCLAVES_MAX ||
                    strlen(name) >= sizeof(e->known[0].name))
                        continue;
                e->known[e->n].cid = (uint32_t)cid;
                memcpy(e->known[e->n].name, name, strlen(name) + 1);
                e->n++;
        }
        e->asked_usec = now_monotonic_usec();
        return 0;
}

static int find(const struct enclaves *e, uint32_t cid, char *ret, size_t size) {
        for (size_t i = 0; i < e->n; i++)
                if (e->known[i].cid == cid && strlen(e->known[i].name) < size) {
                        memcpy(ret, e->known[i].name, strlen(e->known[i].name) + 1);
                        return 0;
                }
        return -ENOENT;
}

/* The loop waits for the answer, so a daemon that hangs is not asked again at once. */
static int ask_again(struct enclaves *e, uint64_t now) {
        int r;

        if (e->failed_usec && now - e->failed_usec < REST_USEC)
                return -EHOSTDOWN;
        r = ask(e);
        e->failed_usec = r < 0 ? now_monotonic_usec() : 0;
        if (r < 0)
                e->n = 0;
        return r;
}

int enclaves_name_of(struct enclaves *e, uint32_t cid, char *ret, size_t size) {
        uint64_t now = now_monotonic_usec();
        bool fresh = e->asked_usec && now - e->asked_usec <= KEEP_USEC;

        if (fresh && find(e, cid, ret, size) == 0)
                return 0;
        /* It may have started since; but strangers do not make a question of each connection. */
        if (!fresh || now - e->asked_usec > ASK_USEC) {
                int r = ask_again(e, now);

                if (r < 0)
                        return r;
        }
        return find(e, cid, ret, size);
}
