/* SPDX-License-Identifier: Apache-2.0 */

/* The two modules that speak the NSM's CBOR: /dev/nsm through an ioctl, the local one through a stream of
 * frames. */

#include "attest/device_backend.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define LOCAL_PORT 1U
#define FRAME_HEADER 4

/* linux/nsm.h is newer than the kernels whose headers Debian 12 has; the module of AWS's older images has the
 * same. */
struct nsm_iovec {
        uint64_t address;
        uint64_t length;
};

struct nsm_raw {
        struct nsm_iovec request;
        struct nsm_iovec response;
};

#define NSM_IOCTL_RAW _IOWR(0x0A, 0x0, struct nsm_raw)

static int encode(const struct nsm_request *request, uint8_t bytes[NSM_MAX_REQUEST], struct span *ret) {
        struct cbor_writer w = cbor_into(bytes, NSM_MAX_REQUEST);

        nsm_request_encode(&w, request);
        if (w.overflow)
                return -EMSGSIZE;
        *ret = cbor_written(&w);
        return 0;
}

static int decode(struct span bytes, const struct nsm_request *request, struct nsm_response *answer) {
        return nsm_response_decode(bytes, request->operation, answer) ? 0 : -EBADMSG;
}

static int ask_nsm(struct qtattest_device *device, const struct nsm_request *request, uint8_t *buffer,
                   size_t size, struct nsm_response *answer) {
        uint8_t bytes[NSM_MAX_REQUEST];
        struct nsm_raw raw = { .response = { (uintptr_t)buffer,
                                             size < NSM_MAX_RESPONSE ? size : NSM_MAX_RESPONSE } };
        struct span encoded;
        int r;

        r = encode(request, bytes, &encoded);
        if (r < 0)
                return r;
        raw.request = (struct nsm_iovec){ (uintptr_t)encoded.data, encoded.size };
        if (ioctl(device->fd, NSM_IOCTL_RAW, &raw) < 0)
                return -errno;
        /* The driver cuts a longer answer without a word; then it does not decode. */
        return raw.response.length <= size
                       ? decode((struct span){ buffer, raw.response.length }, request, answer)
                       : -EBADMSG;
}

/* Zero to try again after a send or recv of the module's stream that failed. */
static int again(const struct qtattest_device *device, short events) {
        if (errno == EINTR)
                return 0;
        if (errno != EAGAIN)
                return -errno;
        return wait_until_ready(device->fd, events, device->deadline_usec);
}

static int send_frame(const struct qtattest_device *device, struct span bytes) {
        uint8_t frame[FRAME_HEADER + NSM_MAX_REQUEST];
        size_t n = FRAME_HEADER + bytes.size, done = 0;

        put_le(frame, FRAME_HEADER, bytes.size);
        memcpy(frame + FRAME_HEADER, bytes.data, bytes.size);
        while (done < n) {
                ssize_t sent = send(device->fd, frame + done, n - done, MSG_NOSIGNAL | MSG_DONTWAIT);
                int r = sent < 0 ? again(device, POLLOUT) : 0;

                if (r < 0)
                        return r;
                if (sent > 0)
                        done += (size_t)sent;
        }
        return 0;
}

static int receive(const struct qtattest_device *device, void *ret, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t received = recv(device->fd, (uint8_t *)ret + done, n - done, MSG_DONTWAIT);
                int r = received < 0 ? again(device, POLLIN) : 0;

                if (r < 0)
                        return r;
                if (received == 0)
                        return -ECONNRESET;
                if (received > 0)
                        done += (size_t)received;
        }
        return 0;
}

static int ask_local(struct qtattest_device *device, const struct nsm_request *request, uint8_t *buffer,
                     size_t size, struct nsm_response *answer) {
        uint8_t bytes[NSM_MAX_REQUEST], header[FRAME_HEADER];
        struct span encoded;
        struct reader reader;
        size_t n;
        int r;

        r = encode(request, bytes, &encoded);
        if (r >= 0)
                r = send_frame(device, encoded);
        if (r >= 0)
                r = receive(device, header, sizeof(header));
        if (r < 0)
                return r;
        reader = reader_over(header, sizeof(header));
        n = (size_t)reader_le(&reader, FRAME_HEADER);
        if (n > size)
                return -EBADMSG;
        r = receive(device, buffer, n);
        return r < 0 ? r : decode((struct span){ buffer, n }, request, answer);
}

static void close_descriptor(struct qtattest_device *device) {
        device->fd = close_fd(device->fd);
}

static const struct device_backend nsm_backend = { "nsm", ask_nsm, close_descriptor };
static const struct device_backend local_backend = { "local", ask_local, close_descriptor };

int device_open_nsm(struct qtattest_device *device) {
        int fd = open("/dev/nsm", O_RDWR | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        device->fd = fd;
        device->backend = &nsm_backend;
        return 0;
}

void device_use_stream(struct qtattest_device *device, int fd) {
        device->fd = fd;
        device->deadline_usec = UINT64_MAX;
        device->backend = &local_backend;
}

void device_set_deadline(struct qtattest_device *device, uint64_t deadline_usec) {
        device->deadline_usec = deadline_usec;
}

int device_open_local(struct qtattest_device *device) {
        const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                             .svm_cid = VMADDR_CID_HYPERVISOR,
                                             .svm_port = LOCAL_PORT };
        _cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        /* No vsock at all, or nobody at that address: this is no enclave of ours. */
        if (fd < 0)
                return errno == EAFNOSUPPORT ? -ENOENT : -errno;
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return errno == ENODEV || errno == ECONNRESET || errno == ECONNREFUSED ? -ENOENT : -errno;
        device_use_stream(device, TAKE_FD(fd));
        return 0;
}
