/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/enclaves.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "kms-proxy/loop.h"
#include "kms/json.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define INPUT_MAX ((size_t)128 << 10) /* a message has at most 64 KiB; and what was read behind it */
#define ANSWER_USEC 500000
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
        const struct timeval wait = { .tv_usec = ANSWER_USEC };

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0 ||
            connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* The next of the replies, each of which ends in a NUL. */
static int read_reply(int fd, uint64_t deadline_usec, struct bytes *input, json_t **ret) {
        const uint8_t *end;
        ssize_t n = 0;
        int r;

        while (!(end = input->size ? memchr(input->data, '\0', input->size) : NULL)) {
                r = bytes_reserve(input, 4096);
                if (r < 0)
                        return r;
                n = monotonic_usec() < deadline_usec ? read(fd, input->data + input->size, 4096) : -1;
                if (n < 0)
                        return errno == EAGAIN || monotonic_usec() >= deadline_usec ? -ETIMEDOUT : -errno;
                if (n == 0)
                        return -EPIPE;
                input->size += (size_t)n;
        }
        *ret = json_parse_own(input->data, (size_t)(end - input->data));
        bytes_drop(input, (size_t)(end - input->data) + 1);
        return *ret ? 0 : -EBADMSG;
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

static void take_list(struct enclaves *e, const json_t *list) {
        json_t *enclave;
        size_t i;

        json_array_foreach(list, i, enclave) {
                const char *name = json_string_value(json_object_get(enclave, "EnclaveName"));
                json_int_t cid = json_integer_value(json_object_get(enclave, "EnclaveCID"));

                if (!name || !is_on_vsock(enclave) || cid <= 3 || cid > UINT32_MAX || e->n == ENCLAVES_MAX ||
                    strlen(name) >= sizeof(e->known[0].name))
                        continue;
                e->known[e->n].cid = (uint32_t)cid;
                memcpy(e->known[e->n].name, name, strlen(name) + 1);
                e->n++;
        }
}

/* A list that does not fit into one message comes in several. */
static int ask(struct enclaves *e, char refusal[static COMPLAINT_MAX]) {
        static const char call[] =
                "{\"method\":\"io.qtenclave.Manager.Describe\",\"parameters\":{},\"more\":true}";
        uint64_t deadline_usec = monotonic_usec() + ANSWER_USEC;
        _cleanup_close_ int fd = connect_daemon(e->socket);
        _cleanup_bytes_ struct bytes input = { .max = INPUT_MAX };
        bool continues = true;
        int r;

        if (fd < 0)
                return fd;
        r = write_all(fd, call, sizeof(call));
        for (e->n = 0; r >= 0 && continues;) {
                _cleanup_json_ json_t *reply = NULL;
                const json_t *error, *list;

                r = read_reply(fd, deadline_usec, &input, &reply);
                if (r < 0)
                        break;
                error = json_object_get(reply, "error");
                list = json_object_get(json_object_get(reply, "parameters"), "Enclaves");
                if (json_is_string(error))
                        (void)snprintf(refusal, COMPLAINT_MAX, "it answers %s", json_string_value(error));
                if (error || !json_is_array(list))
                        return -EBADMSG;
                take_list(e, list);
                continues = json_is_true(json_object_get(reply, "continues"));
        }
        if (r >= 0)
                e->asked_usec = monotonic_usec();
        return r;
}

/* Once for each change, not for each connection. */
static void tell_change(struct enclaves *e, const char *complaint) {
        if (strcmp(e->complaint, complaint) == 0)
                return;
        if (*complaint)
                log_warning(
                        "cannot ask qt-enclaved at %s: %s; enclaves on vsock are refused until it answers",
                        e->socket, complaint);
        else
                log_notice("qt-enclaved at %s answers again", e->socket);
        (void)snprintf(e->complaint, sizeof(e->complaint), "%s", complaint);
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
        char refusal[COMPLAINT_MAX] = "";
        int r;

        if (e->failed_usec && now - e->failed_usec < REST_USEC)
                return -EHOSTDOWN;
        r = ask(e, refusal);
        e->failed_usec = r < 0 ? monotonic_usec() : 0;
        if (r < 0)
                e->n = 0;
        tell_change(e, r >= 0 ? "" : *refusal ? refusal : strerror(-r));
        return r;
}

int enclaves_name_of(struct enclaves *e, uint32_t cid, char *ret, size_t size) {
        uint64_t now = monotonic_usec();
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
