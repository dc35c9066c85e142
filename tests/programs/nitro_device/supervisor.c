/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/programs/nitro_device/supervisor.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "tests/programs/nitro_device/pages.h"
#include "tests/programs/nitro_device/parent_cpus.h"
#include "tests/programs/nitro_device/supervisor_private.h"
#include "tests/programs/nitro_device/target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nitro_enclaves.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#define DEVICE_PATH "/dev/nitro_enclaves"
#define POOL_PATH "module/nitro_enclaves/parameters/ne_cpus" /* below /sys, or a tree that plays it */
#define SYSFS_PATH "/sys/devices/system"
#define EIF_HEADER 548

/* --- opening --- */

static void open_device(struct supervisor *s, const struct seccomp_notif *call, bool close_on_exec) {
        _cleanup_close_ int ours = -1, theirs = -1;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return target_answer(s->notify_fd, call->id, -errno);
        ours = pair[0];
        theirs = pair[1];
        s->device_identity[s->n_devices++ % ELEMENTSOF(s->device_identity)] = descriptor_identity(theirs);
        target_answer_fd(s->notify_fd, call->id, theirs, close_on_exec, -1);
}

static void open_pool(struct supervisor *s, const struct seccomp_notif *call, int flags) {
        _cleanup_close_ int fd = memfd_create("ne_cpus", MFD_CLOEXEC);
        char list[sizeof(s->device.parameter) + 1];

        ne_get_pool(&s->device, list, sizeof(list));
        if (fd < 0 || write_all(fd, list, strlen(list)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
                return target_answer(s->notify_fd, call->id, -EIO);
        if ((flags & O_ACCMODE) != O_RDONLY)
                s->pool_identity = descriptor_identity(fd);
        target_answer_fd(s->notify_fd, call->id, fd, flags & O_CLOEXEC,
                         (flags & O_ACCMODE) == O_RDONLY ? -1 : TARGET_POOL_FD);
}

static void open_sysfs(struct supervisor *s, const struct seccomp_notif *call, const char *path, int flags) {
        char real[1024];
        _cleanup_close_ int fd = -1;

        (void)snprintf(real, sizeof(real), "%s%s", s->options.sysfs_path, path + strlen(SYSFS_PATH));
        fd = open(real, flags | O_CLOEXEC);
        if (fd < 0)
                return target_answer(s->notify_fd, call->id, -errno);
        target_answer_fd(s->notify_fd, call->id, fd, flags & O_CLOEXEC, -1);
}

static bool ends_with(const char *path, const char *end) {
        size_t n = strlen(path), m = strlen(end);

        return n >= m && strcmp(path + n - m, end) == 0;
}

static void handle_open(struct supervisor *s, const struct seccomp_notif *call) {
        bool at = call->data.nr == SYS_openat;
        int flags = (int)call->data.args[at ? 2 : 1];
        char path[512];

        if (target_read_text((pid_t)call->pid, call->data.args[at ? 1 : 0], path, sizeof(path)) < 0)
                return target_continue(s->notify_fd, call->id);
        if (strcmp(path, DEVICE_PATH) == 0)
                open_device(s, call, flags & O_CLOEXEC);
        else if (ends_with(path, POOL_PATH))
                open_pool(s, call, flags);
        else if (s->options.sysfs_path && strncmp(path, SYSFS_PATH, strlen(SYSFS_PATH)) == 0)
                open_sysfs(s, call, path, flags);
        else
                target_continue(s->notify_fd, call->id);
}

static void handle_pool_write(struct supervisor *s, const struct seccomp_notif *call) {
        _cleanup_close_ int fd = target_take_fd((pid_t)call->pid, (int)call->data.args[0]);
        size_t n = (size_t)call->data.args[2];
        char list[1024];
        int r;

        if (fd < 0 || descriptor_identity(fd) != s->pool_identity)
                return target_continue(s->notify_fd, call->id);
        if (n >= sizeof(list) || target_read((pid_t)call->pid, call->data.args[1], list, n) < 0)
                return target_answer(s->notify_fd, call->id, -EINVAL);
        list[n] = '\0';
        r = ne_set_pool(&s->device, list, target_may_administer((pid_t)call->pid));
        if (parent_cpus_show(&s->device, s->options.machine_path) < 0)
                r = -EIO;
        target_answer(s->notify_fd, call->id, r < 0 ? r : (int64_t)n);
}

/* --- enclaves --- */

int ordered_fault(const struct supervisor *s, const char *name) {
        _cleanup_free_ char *text = NULL;
        char wanted[32];
        size_t size;
        const char *p;

        if (!s->options.faults_path ||
            read_text_file(AT_FDCWD, s->options.faults_path, 4096, &text, &size) < 0)
                return 0;
        (void)snprintf(wanted, sizeof(wanted), "%s ", name);
        p = strstr(text, wanted);
        if (!p)
                return 0;
        if (truncate(s->options.faults_path, 0) < 0)
                return -errno;
        return -(int)strtol(p + strlen(wanted), NULL, 10);
}

static struct running *find_running(struct supervisor *s, uint64_t identity) {
        for (size_t i = 0; i < NE_SLOTS_MAX; i++)
                if (s->running[i].enclave && s->running[i].identity == identity)
                        return &s->running[i];
        return NULL;
}

static bool is_device(const struct supervisor *s, uint64_t identity) {
        for (size_t i = 0; i < ELEMENTSOF(s->device_identity); i++)
                if (s->device_identity[i] == identity)
                        return true;
        return false;
}

static void handle_create(struct supervisor *s, const struct seccomp_notif *call) {
        int r = ordered_fault(s, "create"), pair[2];
        _cleanup_close_ int theirs = -1;
        struct ne_enclave *e = NULL;
        struct running *running = NULL;

        if (r == 0)
                r = ne_create(&s->device, &e);
        if (r < 0)
                return target_answer(s->notify_fd, call->id, r);
        if (target_write((pid_t)call->pid, call->data.args[2], &e->slot_uid, sizeof(e->slot_uid)) < 0 ||
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
                ne_release(&s->device, e);
                return target_answer(s->notify_fd, call->id, -EFAULT);
        }
        theirs = pair[1];
        for (size_t i = 0; i < NE_SLOTS_MAX && !running; i++)
                if (!s->running[i].enclave)
                        running = &s->running[i];
        *running = (struct running){ .enclave = e,
                                     .identity = descriptor_identity(theirs),
                                     .creator = target_process((pid_t)call->pid),
                                     .peer = pair[0],
                                     .closing = -1 };
        target_answer_fd(s->notify_fd, call->id, theirs, true, -1);
}

static int do_load_info(struct supervisor *s, struct running *running, const struct seccomp_notif *call) {
        struct ne_image_load_info info;
        pid_t pid = (pid_t)call->pid;
        uint64_t offset;
        int r = ordered_fault(s, "load_info");

        if (r < 0)
                return r;
        if (target_read(pid, call->data.args[2], &info, sizeof(info)) < 0)
                return -EFAULT;
        r = ne_load_info(running->enclave, info.flags, &offset);
        if (r < 0)
                return r;
        info.memory_offset = offset;
        return target_write(pid, call->data.args[2], &info, sizeof(info));
}

static int do_add_memory(struct supervisor *s, struct running *running, const struct seccomp_notif *call) {
        bool same = target_shares_memory(running->creator, (pid_t)call->pid);
        _cleanup_free_ struct ne_page *pages = NULL;
        struct ne_user_memory_region region;
        size_t n_pages = 0;
        int r = ordered_fault(s, "add_memory");

        if (r < 0)
                return r;
        if (target_read((pid_t)call->pid, call->data.args[2], &region, sizeof(region)) < 0)
                return -EFAULT;
        r = ne_check_memory(running->enclave, same, region.flags, region.userspace_addr, region.memory_size);
        if (r >= 0)
                r = pages_inspect((pid_t)call->pid, region.userspace_addr, region.memory_size, &pages,
                                  &n_pages);
        if (r < 0)
                return r;
        return ne_add_memory(&s->device, running->enclave, same, region.flags, region.userspace_addr,
                             region.memory_size, pages, n_pages);
}

static int do_add_vcpu(struct supervisor *s, struct running *running, const struct seccomp_notif *call) {
        pid_t pid = (pid_t)call->pid;
        uint32_t id;
        int r = ordered_fault(s, "add_vcpu");

        if (r < 0)
                return r;
        if (target_read(pid, call->data.args[2], &id, sizeof(id)) < 0)
                return -EFAULT;
        r = ne_add_vcpu(&s->device, running->enclave, target_shares_memory(running->creator, pid), &id);
        return r < 0 ? r : target_write(pid, call->data.args[2], &id, sizeof(id));
}

/* Guest memory is the regions one behind the other. */
static int read_guest(const struct running *running, uint64_t offset, uint8_t *data, uint64_t n) {
        const struct ne_enclave *e = running->enclave;

        for (size_t i = 0; i < e->n_regions && n > 0; i++) {
                const struct ne_region *region = &e->regions[i];
                uint64_t part;

                if (offset >= region->size) {
                        offset -= region->size;
                        continue;
                }
                part = region->size - offset < n ? region->size - offset : n;
                if (target_read(running->creator, region->address + offset, data, part) < 0)
                        return -EFAULT;
                data += part;
                n -= part;
                offset = 0;
        }
        return n == 0 ? 0 : -EFBIG;
}

static uint64_t big_endian(const uint8_t *p, size_t n) {
        uint64_t value = 0;

        for (size_t i = 0; i < n; i++)
                value = value << 8 | p[i];
        return value;
}

/* The length of the image from its own tables, and then its bytes. */
static int read_image(const struct running *running, uint8_t **ret, size_t *ret_size) {
        uint8_t header[EIF_HEADER], *image;
        uint64_t end = EIF_HEADER;
        int r = read_guest(running, NE_IMAGE_OFFSET, header, sizeof(header));

        if (r < 0)
                return r;
        for (size_t i = 0; i < big_endian(header + 0x1a, 2) && i < 32; i++) {
                uint64_t offset = big_endian(header + 0x1c + 8 * i, 8);
                uint64_t size = big_endian(header + 0x11c + 8 * i, 8);

                if (offset > running->enclave->memory || size > running->enclave->memory)
                        return -EBADMSG;
                end = offset + 12 + size > end ? offset + 12 + size : end;
        }
        image = malloc((size_t)end);
        r = image ? read_guest(running, NE_IMAGE_OFFSET, image, end) : -ENOMEM;
        if (r < 0) {
                free(image);
                return r;
        }
        *ret = image;
        *ret_size = (size_t)end;
        return 0;
}

static int do_start(struct supervisor *s, struct running *running, const struct seccomp_notif *call) {
        _cleanup_free_ uint8_t *image = NULL;
        struct ne_enclave *e = running->enclave;
        struct ne_enclave_start_info info;
        struct guest_request request;
        pid_t pid = (pid_t)call->pid;
        size_t size = 0;
        int r = ordered_fault(s, "start");

        if (r < 0)
                return r;
        if (target_read(pid, call->data.args[2], &info, sizeof(info)) < 0)
                return -EFAULT;
        r = ne_start(&s->device, e, target_shares_memory(running->creator, pid), info.flags,
                     (uint64_t *)&info.enclave_cid);
        if (r < 0)
                return r;
        if (read_image(running, &image, &size) >= 0) {
                request = (struct guest_request){ .owner = getpid(),
                                                  .cid = (uint32_t)e->cid,
                                                  .debug = e->debug,
                                                  .image = image,
                                                  .image_size = size,
                                                  .over_fd = s->over_write,
                                                  .index = (uint8_t)(running - s->running) };
                r = guest_start(&running->guest, &request);
        } else
                r = -EBADMSG;
        if (r < 0) {
                e->state = NE_INIT; /* the hypervisor refuses the image */
                return -EINVAL;
        }
        return target_write(pid, call->data.args[2], &info, sizeof(info));
}

/* "late MS" among the faults: the device takes its time over the next call that gives it memory. */
static bool answer_late(struct supervisor *s, const struct seccomp_notif *call, int value) {
        int msec = s->late.timer_fd < 0 ? -ordered_fault(s, "late") : 0;
        struct itimerspec when = { .it_value = { msec / 1000, (long)(msec % 1000) * 1000000 } };

        if (msec <= 0)
                return false;
        s->late.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        s->late.id = call->id;
        s->late.value = value;
        return s->late.timer_fd >= 0 && timerfd_settime(s->late.timer_fd, 0, &when, NULL) >= 0;
}

static void handle_ioctl(struct supervisor *s, const struct seccomp_notif *call) {
        _cleanup_close_ int fd = target_take_fd((pid_t)call->pid, (int)call->data.args[0]);
        uint64_t identity = fd < 0 ? 0 : descriptor_identity(fd);
        struct running *running = find_running(s, identity);
        unsigned request = (unsigned)call->data.args[1];
        int r = -ENOTTY;

        if (is_device(s, identity) && request == NE_CREATE_VM)
                return handle_create(s, call);
        if (!running && !is_device(s, identity))
                return target_continue(s->notify_fd, call->id);
        if (running && request == NE_GET_IMAGE_LOAD_INFO)
                r = do_load_info(s, running, call);
        else if (running && request == NE_SET_USER_MEMORY_REGION)
                r = do_add_memory(s, running, call);
        else if (running && request == NE_ADD_VCPU)
                r = do_add_vcpu(s, running, call);
        else if (running && request == NE_START_ENCLAVE)
                r = do_start(s, running, call);
        if (request != NE_SET_USER_MEMORY_REGION || !answer_late(s, call, r))
                target_answer(s->notify_fd, call->id, r);
}

/* --- ends --- */

/* The guest has ended: hang up. From now on only a descriptor in the program's receive queue tells us when it
 * closes its own. */
static void hang_up(struct running *running) {
        _cleanup_close_ int marker = -1;
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = { .space = { 0 } };
        struct iovec data = { (void *)"", 1 };
        struct msghdr message = {
                .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        int pair[2];

        running->guest = guest_free(running->guest);
        ne_stop(running->enclave);
        if (running->peer < 0 || pipe2(pair, O_CLOEXEC) < 0)
                return;
        running->closing = pair[0];
        marker = pair[1];
        control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                           .cmsg_type = SCM_RIGHTS,
                                           .cmsg_len = CMSG_LEN(sizeof(int)) };
        memcpy(CMSG_DATA(&control.header), &marker, sizeof(marker));
        (void)sendmsg(running->peer, &message, MSG_NOSIGNAL);
        running->peer = close_fd(running->peer);
}

/* The program has closed it, or died. */
static void release(struct supervisor *s, struct running *running) {
        running->guest = guest_free(running->guest);
        ne_release(&s->device, running->enclave);
        (void)close_fd(running->peer);
        (void)close_fd(running->closing);
        *running = (struct running){ .peer = -1, .closing = -1 };
}

static int handle_call(struct supervisor *s) {
        struct seccomp_notif call = { .id = 0 };

        if (ioctl(s->notify_fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
                return errno == ENOENT || errno == EINTR ? 0 : -errno;
        switch (call.data.nr) {
        case SYS_open:
        case SYS_openat:
                handle_open(s, &call);
                break;
        case SYS_ioctl:
                handle_ioctl(s, &call);
                break;
        case SYS_write:
                handle_pool_write(s, &call);
                break;
        default:
                if (!sockets_handle(s, &call))
                        target_continue(s->notify_fd, call.id);
        }
        return 0;
}

size_t supervisor_poll(const struct supervisor *s, struct pollfd *ret) {
        size_t n = 0;

        ret[n++] = (struct pollfd){ .fd = s->notify_fd, .events = POLLIN };
        ret[n++] = (struct pollfd){ .fd = s->over_read, .events = POLLIN };
        ret[n++] = (struct pollfd){ .fd = s->late.timer_fd, .events = POLLIN };
        for (size_t i = 0; i < NE_SLOTS_MAX; i++) {
                ret[n++] = (struct pollfd){ .fd = s->running[i].peer, .events = POLLIN };
                ret[n++] = (struct pollfd){ .fd = s->running[i].closing, .events = POLLIN };
        }
        return n;
}

int supervisor_dispatch(struct supervisor *s, const struct pollfd *events, size_t n) {
        uint8_t index;

        /* Ends before calls: whoever asks shall see what has happened. */
        for (size_t i = 3; i < n; i++)
                if (events[i].revents && s->running[(i - 3) / 2].enclave)
                        release(s, &s->running[(i - 3) / 2]);
        if (events[2].revents) {
                s->late.timer_fd = close_fd(s->late.timer_fd);
                target_answer(s->notify_fd, s->late.id, s->late.value);
        }
        if (events[1].revents && read(s->over_read, &index, 1) == 1 && index < NE_SLOTS_MAX &&
            s->running[index].guest)
                hang_up(&s->running[index]);
        if (events[0].revents & POLLIN)
                return handle_call(s);
        return events[0].revents & (POLLHUP | POLLERR) ? -EPIPE : 0;
}

int supervisor_new(struct supervisor **ret, const struct supervisor_options *options, int notify_fd) {
        struct supervisor *s = calloc(1, sizeof(*s));
        int pair[2], r;

        if (!s)
                return -ENOMEM;
        s->options = *options;
        s->notify_fd = notify_fd;
        s->next_port = 50000;
        s->over_read = s->over_write = s->late.timer_fd = -1;
        for (size_t i = 0; i < NE_SLOTS_MAX; i++)
                s->running[i].peer = s->running[i].closing = -1;
        ne_device_init(&s->device, &options->machine);
        s->device.race_length = options->race_length;
        r = *options->pool ? ne_set_pool(&s->device, options->pool, true) : 0;
        if (r >= 0)
                r = parent_cpus_show(&s->device, options->machine_path);
        if (r >= 0 && pipe2(pair, O_CLOEXEC) < 0)
                r = -errno;
        if (r < 0) {
                supervisor_free(s);
                return r;
        }
        s->over_read = pair[0];
        s->over_write = pair[1];
        *ret = s;
        return 0;
}

struct supervisor *supervisor_free(struct supervisor *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < NE_SLOTS_MAX; i++)
                if (s->running[i].enclave)
                        release(s, &s->running[i]);
        ne_device_done(&s->device);
        (void)close_fd(s->late.timer_fd);
        (void)close_fd(s->over_read);
        (void)close_fd(s->over_write);
        (void)close_fd(s->notify_fd);
        free(s);
        return NULL;
}
