/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/vsock/vhost_user.h"

#include "base/buffer.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum request {
        REQUEST_GET_FEATURES = 1,
        REQUEST_SET_FEATURES = 2,
        REQUEST_SET_OWNER = 3,
        REQUEST_RESET_OWNER = 4,
        REQUEST_SET_MEM_TABLE = 5,
        REQUEST_SET_VRING_NUM = 8,
        REQUEST_SET_VRING_ADDR = 9,
        REQUEST_SET_VRING_BASE = 10,
        REQUEST_GET_VRING_BASE = 11,
        REQUEST_SET_VRING_KICK = 12,
        REQUEST_SET_VRING_CALL = 13,
        REQUEST_SET_VRING_ERR = 14,
        REQUEST_GET_PROTOCOL_FEATURES = 15,
        REQUEST_SET_PROTOCOL_FEATURES = 16,
        REQUEST_GET_QUEUE_NUM = 17,
        REQUEST_SET_VRING_ENABLE = 18,
        REQUEST_GET_CONFIG = 24,
        REQUEST_SET_CONFIG = 25,
        REQUEST_RESET_DEVICE = 34,
        REQUEST_GET_MAX_MEM_SLOTS = 36,
        REQUEST_ADD_MEM_REG = 37,
        REQUEST_REM_MEM_REG = 38,
        REQUEST_MAX,
};

#define FLAG_VERSION_MASK 0x3U
#define FLAG_VERSION 0x1U
#define FLAG_REPLY 0x4U
#define FLAG_NEED_REPLY 0x8U

#define FEATURE_PROTOCOL (1ULL << 30)
#define FEATURES_OFFERED                                                \
        (1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX | \
         1ULL << VIRTIO_RING_F_INDIRECT_DESC | FEATURE_PROTOCOL)

#define PROTOCOL_FEATURE_REPLY_ACK (1ULL << 3)
#define PROTOCOL_FEATURE_CONFIG (1ULL << 9)
#define PROTOCOL_FEATURE_RESET_DEVICE (1ULL << 13)
#define PROTOCOL_FEATURE_CONFIGURE_MEM_SLOTS (1ULL << 15)
#define PROTOCOL_FEATURES_OFFERED                                                               \
        (PROTOCOL_FEATURE_REPLY_ACK | PROTOCOL_FEATURE_CONFIG | PROTOCOL_FEATURE_RESET_DEVICE | \
         PROTOCOL_FEATURE_CONFIGURE_MEM_SLOTS)

#define VRING_INDEX_MASK 0xffU
#define VRING_NO_FD 0x100U

#define CONFIG_SIZE 8U /* the CID, little-endian */
#define REGION_SIZE 32U

void vhost_user_message_done(struct vhost_user_message *message) {
        for (size_t i = 0; i < message->n_fds; i++)
                message->fds[i] = close_fd(message->fds[i]);
        message->n_fds = 0;
}

void vhost_user_init(struct vhost_user *vhost, int fd, uint64_t guest_cid, const struct vhost_user_ops *ops,
                     void *userdata) {
        *vhost = (struct vhost_user){ .fd = fd, .guest_cid = guest_cid, .ops = ops, .userdata = userdata };
        for (size_t i = 0; i < VSOCK_QUEUE_MAX; i++) {
                vhost->queues[i] = VIRTQUEUE_NULL;
                vhost->queues[i].memory = &vhost->memory;
        }
}

/* Put another kick descriptor (owned, or -1) in place of the present one. */
static int queue_set_kick(struct vhost_user *vhost, enum vsock_queue i, int fd) {
        struct virtqueue *q = &vhost->queues[i];
        int r;

        r = vhost->ops->kick_changes(vhost->userdata, i, q->kick_fd, fd);
        (void)close_fd(q->kick_fd);
        q->kick_fd = fd;
        return r;
}

static void queues_reset(struct vhost_user *vhost) {
        for (size_t i = 0; i < VSOCK_QUEUE_MAX; i++) {
                struct virtqueue *q = &vhost->queues[i];

                (void)queue_set_kick(vhost, (enum vsock_queue)i, -1);
                virtqueue_unmap(q);
                q->size = 0;
                q->next_available = 0;
                q->enabled = false;
                q->broken = false;
        }
        vhost->ops->driver_resets(vhost->userdata);
}

void vhost_user_done(struct vhost_user *vhost) {
        for (size_t i = 0; i < VSOCK_QUEUE_MAX; i++) {
                (void)queue_set_kick(vhost, (enum vsock_queue)i, -1);
                virtqueue_done(&vhost->queues[i]);
        }
        guest_memory_done(&vhost->memory);
        vhost_user_message_done(&vhost->message);
        vhost->fd = close_fd(vhost->fd);
}

static int answer_u64(struct vhost_user_message *message, uint64_t value) {
        put_le(message->payload, 8, value);
        message->size = 8;
        return 1;
}

static uint64_t payload_u64(const struct vhost_user_message *message) {
        struct reader r = reader_over(message->payload, message->size);

        return reader_le(&r, 8);
}

/* The queue that a message names by its first word, or NULL. */
static struct virtqueue *message_queue(struct vhost_user *vhost, const struct vhost_user_message *message,
                                       uint32_t mask, enum vsock_queue *ret) {
        struct reader r = reader_over(message->payload, message->size);
        uint64_t index = reader_le(&r, 4) & mask;

        if (r.failed || index >= VSOCK_QUEUE_MAX)
                return NULL;
        *ret = (enum vsock_queue)index;
        return &vhost->queues[index];
}

static int set_features(struct vhost_user *vhost, const struct vhost_user_message *message) {
        uint64_t features = payload_u64(message);

        if (features & ~FEATURES_OFFERED)
                return -EINVAL;
        vhost->features = features;
        for (size_t i = 0; i < VSOCK_QUEUE_MAX; i++) {
                vhost->queues[i].event_index = features & 1ULL << VIRTIO_RING_F_EVENT_IDX;
                /* Without the extension there is no message to enable a ring: its kick starts it. */
                if (!(features & FEATURE_PROTOCOL))
                        vhost->queues[i].enabled = true;
        }
        return 0;
}

/* Rings that were mapped are found again in the new memory; one that is not there any more stops. */
static void queues_remap(struct vhost_user *vhost, const bool *mapped) {
        for (size_t i = 0; i < VSOCK_QUEUE_MAX; i++)
                if (mapped[i])
                        (void)virtqueue_map(&vhost->queues[i]);
}

static void queues_unmap(struct vhost_user *vhost, bool *ret_mapped) {
        for (size_t i = 0; i < VSOCK_QUEUE_MAX; i++) {
                ret_mapped[i] = vhost->queues[i].descriptors != NULL;
                virtqueue_unmap(&vhost->queues[i]);
        }
}

static int read_region(struct reader *r, struct guest_region *ret, uint64_t *ret_offset) {
        *ret = (struct guest_region){ 0 };
        ret->guest_address = reader_le(r, 8);
        ret->size = reader_le(r, 8);
        ret->vmm_address = reader_le(r, 8);
        *ret_offset = reader_le(r, 8);
        return r->failed ? -EPROTO : 0;
}

static int set_memory_table(struct vhost_user *vhost, const struct vhost_user_message *message) {
        struct reader reader = reader_over(message->payload, message->size);
        bool mapped[VSOCK_QUEUE_MAX];
        uint64_t n = reader_le(&reader, 4);
        int r = 0;

        (void)reader_le(&reader, 4); /* padding */
        if (reader.failed || n != message->n_fds || reader_left(&reader) < n * REGION_SIZE)
                return -EPROTO;
        queues_unmap(vhost, mapped);
        guest_memory_done(&vhost->memory);
        for (size_t i = 0; i < n && r == 0; i++) {
                struct guest_region region;
                uint64_t offset;

                r = read_region(&reader, &region, &offset);
                if (r == 0)
                        r = guest_memory_add(&vhost->memory, &region, offset, message->fds[i]);
        }
        queues_remap(vhost, mapped);
        return r;
}

static int change_memory_region(struct vhost_user *vhost, const struct vhost_user_message *message) {
        struct reader reader = reader_over(message->payload, message->size);
        bool mapped[VSOCK_QUEUE_MAX];
        struct guest_region region;
        uint64_t offset;
        int r;

        (void)reader_le(&reader, 8); /* padding */
        r = read_region(&reader, &region, &offset);
        if (r < 0)
                return r;
        if (message->request == REQUEST_ADD_MEM_REG && message->n_fds != 1)
                return -EPROTO;
        queues_unmap(vhost, mapped);
        if (message->request == REQUEST_ADD_MEM_REG)
                r = guest_memory_add(&vhost->memory, &region, offset, message->fds[0]);
        else
                r = guest_memory_remove(&vhost->memory, &region);
        queues_remap(vhost, mapped);
        return r;
}

static int set_vring_number(struct virtqueue *q, uint64_t n) {
        if (n == 0 || n > VIRTQUEUE_SIZE_MAX || (n & (n - 1)) != 0)
                return -EINVAL;
        virtqueue_unmap(q); /* the rings checked so far were of another size */
        q->size = (uint32_t)n;
        return 0;
}

static int set_vring_address(struct virtqueue *q, const struct vhost_user_message *message) {
        struct reader r = reader_over(message->payload, message->size);

        (void)reader_le(&r, 4); /* queue */
        (void)reader_le(&r, 4); /* flags: logging, never offered */
        q->descriptors_at = reader_le(&r, 8);
        q->used_at = reader_le(&r, 8);
        q->available_at = reader_le(&r, 8);
        if (r.failed)
                return -EPROTO;
        return virtqueue_map(q);
}

/* A driver that goes on where we stopped was only paused; any other start is one from nothing. */
static void set_vring_base(struct vhost_user *vhost, struct virtqueue *q, uint16_t base) {
        if (base != q->next_available)
                vhost->ops->driver_resets(vhost->userdata);
        q->next_available = base;
        q->broken = false;
}

/* Writing to anything but an eventfd could block or raise a signal. The kernel shows those as files of no
 * type. */
static bool is_eventfd(int fd) {
        struct stat st;
        int flags;

        if (fstat(fd, &st) < 0 || (st.st_mode & S_IFMT) != 0)
                return false;
        flags = fcntl(fd, F_GETFL);
        return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* The eventfd of a KICK, CALL or ERR message, or -1 when it says that there is none. */
static int take_eventfd(struct vhost_user_message *message, int *ret) {
        bool none = payload_u64(message) & VRING_NO_FD;

        if (message->n_fds != (none ? 0 : 1) || (!none && !is_eventfd(message->fds[0])))
                return -EPROTO;
        *ret = none ? -1 : TAKE_FD(message->fds[0]);
        return 0;
}

static int set_vring_fd(struct vhost_user *vhost, enum vsock_queue i, struct vhost_user_message *message) {
        struct virtqueue *q = &vhost->queues[i];
        int fd, r;

        r = take_eventfd(message, &fd);
        if (r < 0)
                return r;
        switch (message->request) {
        case REQUEST_SET_VRING_KICK:
                return queue_set_kick(vhost, i, fd);
        case REQUEST_SET_VRING_CALL:
                (void)close_fd(q->call_fd);
                q->call_fd = fd;
                return 0;
        default:
                (void)close_fd(q->error_fd);
                q->error_fd = fd;
                return 0;
        }
}

static int handle_vring(struct vhost_user *vhost, struct vhost_user_message *message) {
        bool fd_message =
                message->request >= REQUEST_SET_VRING_KICK && message->request <= REQUEST_SET_VRING_ERR;
        struct reader r = reader_over(message->payload, message->size);
        enum vsock_queue i;
        struct virtqueue *q = message_queue(vhost, message, fd_message ? VRING_INDEX_MASK : UINT32_MAX, &i);
        uint64_t value;

        if (!q || message->size < 8)
                return -EPROTO;
        if (fd_message)
                return set_vring_fd(vhost, i, message);
        (void)reader_le(&r, 4);
        value = reader_le(&r, 4);
        switch (message->request) {
        case REQUEST_SET_VRING_NUM:
                return set_vring_number(q, value);
        case REQUEST_SET_VRING_ADDR:
                return set_vring_address(q, message);
        case REQUEST_SET_VRING_BASE:
                set_vring_base(vhost, q, (uint16_t)value);
                return 0;
        case REQUEST_SET_VRING_ENABLE:
                q->enabled = value != 0;
                return 0;
        default: /* GET_VRING_BASE stops the ring */
                (void)queue_set_kick(vhost, i, -1);
                virtqueue_unmap(q);
                put_le(message->payload + 4, 4, q->next_available);
                message->size = 8;
                return 1;
        }
}

/* The configuration space is the CID; reads beyond it yield zeroes. */
static int get_config(const struct vhost_user *vhost, struct vhost_user_message *message) {
        struct reader r = reader_over(message->payload, message->size);
        uint8_t config[CONFIG_SIZE];
        uint64_t offset = reader_le(&r, 4), size = reader_le(&r, 4);

        (void)reader_le(&r, 4); /* flags */
        if (r.failed || size > reader_left(&r)) {
                message->size = 0; /* the protocol's "no" */
                return 1;
        }
        put_le(config, CONFIG_SIZE, vhost->guest_cid);
        for (uint64_t i = 0; i < size; i++)
                message->payload[12 + i] = offset + i < CONFIG_SIZE ? config[offset + i] : 0;
        return 1;
}

static int set_protocol_features(struct vhost_user *vhost, uint64_t features) {
        if (features & ~PROTOCOL_FEATURES_OFFERED)
                return -EINVAL;
        vhost->protocol_features = features;
        return 0;
}

int vhost_user_handle(struct vhost_user *vhost, struct vhost_user_message *message) {
        switch (message->request) {
        case REQUEST_GET_FEATURES:
                return answer_u64(message, FEATURES_OFFERED);
        case REQUEST_SET_FEATURES:
                return message->size < 8 ? -EPROTO : set_features(vhost, message);
        case REQUEST_SET_OWNER:
                return 0;
        case REQUEST_RESET_OWNER:
        case REQUEST_RESET_DEVICE:
                queues_reset(vhost);
                return 0;
        case REQUEST_SET_MEM_TABLE:
                return set_memory_table(vhost, message);
        case REQUEST_ADD_MEM_REG:
        case REQUEST_REM_MEM_REG:
                return change_memory_region(vhost, message);
        case REQUEST_SET_VRING_NUM:
        case REQUEST_SET_VRING_ADDR:
        case REQUEST_SET_VRING_BASE:
        case REQUEST_GET_VRING_BASE:
        case REQUEST_SET_VRING_KICK:
        case REQUEST_SET_VRING_CALL:
        case REQUEST_SET_VRING_ERR:
        case REQUEST_SET_VRING_ENABLE:
                return handle_vring(vhost, message);
        case REQUEST_GET_PROTOCOL_FEATURES:
                return answer_u64(message, PROTOCOL_FEATURES_OFFERED);
        case REQUEST_SET_PROTOCOL_FEATURES:
                return message->size < 8 ? -EPROTO : set_protocol_features(vhost, payload_u64(message));
        case REQUEST_GET_QUEUE_NUM:
                return answer_u64(message, VSOCK_QUEUE_MAX);
        case REQUEST_GET_MAX_MEM_SLOTS:
                return answer_u64(message, GUEST_REGIONS_MAX);
        case REQUEST_GET_CONFIG:
                return get_config(vhost, message);
        default: /* nothing else goes with what was offered */
                return -EPROTO;
        }
}

/* Receive up to n bytes of the message and any descriptors that come with them. */
static ssize_t receive_some(struct vhost_user *vhost, void *data, size_t n) {
        union {
                char data[CMSG_SPACE(sizeof(int) * VHOST_USER_FDS_MAX)];
                struct cmsghdr align;
        } control;
        struct iovec iov = { data, n };
        struct msghdr msg = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        struct vhost_user_message *message = &vhost->message;
        bool too_many = false;
        ssize_t r;

        r = recvmsg(vhost->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (r < 0)
                return -errno;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
                        if (message->n_fds < VHOST_USER_FDS_MAX)
                                message->fds[message->n_fds++] = fd;
                        else
                                too_many = close_fd(fd) < 0;
                }
        }
        if (too_many || (msg.msg_flags & MSG_CTRUNC))
                return -EPROTO;
        return r == 0 ? -EPIPE : r;
}

/* Read on: first the header, then exactly its payload. 1: the message is complete. */
static int receive_message(struct vhost_user *vhost) {
        struct vhost_user_message *message = &vhost->message;
        uint8_t header[VHOST_USER_HEADER_SIZE];

        _Static_assert(offsetof(struct vhost_user_message, payload) == VHOST_USER_HEADER_SIZE,
                       "the header is received in place");
        for (;;) {
                size_t whole = VHOST_USER_HEADER_SIZE;
                ssize_t n;

                if (vhost->received >= VHOST_USER_HEADER_SIZE) {
                        memcpy(header, message, sizeof(header));
                        if (message->size > VHOST_USER_PAYLOAD_MAX ||
                            (message->flags & FLAG_VERSION_MASK) != FLAG_VERSION)
                                return -EPROTO;
                        whole += message->size;
                        if (vhost->received == whole)
                                return 1;
                }
                n = receive_some(vhost, (uint8_t *)message + vhost->received, whole - vhost->received);
                if (n == -EINTR)
                        continue;
                if (n < 0)
                        return n == -EAGAIN ? 0 : (int)n;
                vhost->received += (size_t)n;
        }
}

static int send_answer(struct vhost_user *vhost, struct vhost_user_message *message) {
        size_t n = VHOST_USER_HEADER_SIZE + message->size;
        ssize_t r;

        message->flags = FLAG_VERSION | FLAG_REPLY;
        r = send(vhost->fd, message, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (r < 0)
                return errno == EPIPE || errno == ECONNRESET ? -EPIPE : -errno;
        return (size_t)r == n ? 0 : -EPROTO; /* a VMM that lets answers pile up */
}

int vhost_user_dispatch(struct vhost_user *vhost) {
        struct vhost_user_message *message = &vhost->message;
        bool acknowledge;
        int r, failure = 0;

        r = receive_message(vhost);
        if (r <= 0)
                return r == -ECONNRESET ? -EPIPE : r;
        acknowledge =
                (message->flags & FLAG_NEED_REPLY) && (vhost->protocol_features & PROTOCOL_FEATURE_REPLY_ACK);
        r = vhost_user_handle(vhost, message);
        if (r < 0)
                failure = r;
        if (r <= 0 && acknowledge)
                r = answer_u64(message, r < 0);
        if (r > 0)
                r = send_answer(vhost, message);
        vhost_user_message_done(message);
        vhost->received = 0;
        if (failure < 0)
                return failure;
        return r < 0 ? r : 1;
}
