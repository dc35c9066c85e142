/* SPDX-License-Identifier: Apache-2.0 */

/* socket(AF_VSOCK) and what is done with it. Listening, reading, writing, polling need no help: they work on
 * the UNIX sockets as they are. */

#include "base/cleanup.h"
#include "tests/programs/nitro_device/supervisor_private.h"
#include "tests/programs/nitro_device/target.h"
#include "tests/programs/nitro_device/vsock_names.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static struct vsock_socket *remember(struct supervisor *s, int fd) {
        struct vsock_socket *v = &s->sockets[s->n_sockets++ % SOCKETS_MAX];

        *v = (struct vsock_socket){ .identity = descriptor_identity(fd) };
        return v;
}

static struct vsock_socket *find(struct supervisor *s, uint64_t identity) {
        for (size_t i = 0; identity != 0 && i < SOCKETS_MAX; i++)
                if (s->sockets[i].identity == identity)
                        return &s->sockets[i];
        return NULL;
}

static void handle_socket(struct supervisor *s, const struct seccomp_notif *call) {
        int type = (int)call->data.args[1];
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | (type & SOCK_NONBLOCK) | SOCK_CLOEXEC, 0);

        if ((type & 0xf) != SOCK_STREAM)
                return target_answer(s->notify_fd, call->id, -ESOCKTNOSUPPORT);
        if (fd < 0)
                return target_answer(s->notify_fd, call->id, -errno);
        (void)remember(s, fd);
        target_answer_fd(s->notify_fd, call->id, fd, type & SOCK_CLOEXEC, -1);
}

static int read_address(const struct seccomp_notif *call, struct sockaddr_vm *ret) {
        if (call->data.args[2] < sizeof(*ret))
                return -EINVAL;
        if (target_read((pid_t)call->pid, call->data.args[1], ret, sizeof(*ret)) < 0)
                return -EFAULT;
        return ret->svm_family == AF_VSOCK ? 0 : -EAFNOSUPPORT;
}

static int write_address(const struct seccomp_notif *call, uint32_t cid, uint32_t port) {
        struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
        uint32_t length, whole = sizeof(address);
        pid_t pid = (pid_t)call->pid;

        if (call->data.args[1] == 0)
                return 0;
        if (target_read(pid, call->data.args[2], &length, sizeof(length)) < 0)
                return -EFAULT;
        if (target_write(pid, call->data.args[1], &address, length < whole ? length : whole) < 0)
                return -EFAULT;
        return target_write(pid, call->data.args[2], &whole, sizeof(whole));
}

static int do_bind(struct supervisor *s, const struct seccomp_notif *call, struct vsock_socket *v, int fd) {
        struct sockaddr_vm wanted;
        struct sockaddr_un name;
        socklen_t length;
        int r = read_address(call, &wanted);

        if (r < 0)
                return r;
        if (wanted.svm_cid != VMADDR_CID_ANY && wanted.svm_cid != NE_PARENT_CID)
                return -EADDRNOTAVAIL;
        r = ordered_fault(s, "bind");
        if (r < 0)
                return r;
        v->local_port = wanted.svm_port == VMADDR_PORT_ANY ? s->next_port++ : wanted.svm_port;
        length = vsock_name_listener(&name, getpid(), NE_PARENT_CID, v->local_port);
        return bind(fd, (const struct sockaddr *)&name, length) < 0 ? -errno : 0;
}

static int do_connect(struct supervisor *s, const struct seccomp_notif *call, struct vsock_socket *v,
                      int fd) {
        struct sockaddr_vm wanted;
        struct sockaddr_un name;
        socklen_t length;
        int r = read_address(call, &wanted);

        (void)s;
        if (r < 0)
                return r;
        length = vsock_name_listener(&name, getpid(), wanted.svm_cid, wanted.svm_port);
        if (connect(fd, (const struct sockaddr *)&name, length) < 0)
                return errno == ECONNREFUSED || errno == EAGAIN ? -ECONNRESET : -errno;
        v->peer_cid = wanted.svm_cid;
        v->peer_port = wanted.svm_port;
        return 0;
}

/* A program that waits in accept(2) itself would have to wait here: it is told to come back instead. */
static void do_accept(struct supervisor *s, const struct seccomp_notif *call,
                      const struct vsock_socket *listener, int fd) {
        int flags = call->data.nr == SYS_accept4 ? (int)call->data.args[3] : 0;
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        socklen_t length = sizeof(name);
        _cleanup_close_ int accepted = -1;
        uint32_t cid = 0, port = 0;
        struct vsock_socket *v;
        int r;

        if (poll(&waiting, 1, 0) <= 0)
                return target_answer(s->notify_fd, call->id, -EAGAIN);
        r = ordered_fault(s, "accept"); /* who waits goes on waiting */
        if (r < 0)
                return target_answer(s->notify_fd, call->id, r);
        accepted = accept4(fd, (struct sockaddr *)&name, &length, SOCK_CLOEXEC | (flags & SOCK_NONBLOCK));
        if (accepted < 0)
                return target_answer(s->notify_fd, call->id, -errno);
        (void)vsock_name_parse(&name, length, &cid, &port);
        v = remember(s, accepted);
        v->local_port = listener->local_port;
        v->peer_cid = cid;
        v->peer_port = port;
        if (write_address(call, cid, port) < 0)
                return target_answer(s->notify_fd, call->id, -EFAULT);
        target_answer_fd(s->notify_fd, call->id, accepted, flags & SOCK_CLOEXEC, -1);
}

bool sockets_handle(struct supervisor *s, const struct seccomp_notif *call) {
        _cleanup_close_ int fd = -1;
        struct vsock_socket *v;
        int r;

        if (call->data.nr == SYS_socket) {
                handle_socket(s, call);
                return true;
        }
        fd = target_take_fd((pid_t)call->pid, (int)call->data.args[0]);
        v = fd < 0 ? NULL : find(s, descriptor_identity(fd));
        if (!v)
                return false;
        switch (call->data.nr) {
        case SYS_accept:
        case SYS_accept4:
                do_accept(s, call, v, fd);
                return true;
        case SYS_bind:
                r = do_bind(s, call, v, fd);
                break;
        case SYS_connect:
                r = do_connect(s, call, v, fd);
                break;
        case SYS_getpeername:
                r = v->peer_port ? write_address(call, v->peer_cid, v->peer_port) : -ENOTCONN;
                break;
        case SYS_getsockname:
                r = write_address(call, NE_PARENT_CID, v->local_port);
                break;
        default: /* setsockopt of the family: sizes and time-outs */
                r = 0;
        }
        target_answer(s->notify_fd, call->id, r);
        return true;
}
