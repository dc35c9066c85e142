/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The hypervisor `local`: QEMU's machine microvm as a child, under KVM where that really runs guests, else
 * under TCG, with our own vsock device at the other end of vhost-user. QEMU and the device are one unit: QEMU
 * does not notice when its vsock device dies, the guest would only freeze, so the end of one is the end of
 * both. The machine has no disk, so that killing QEMU is how it is powered off: nothing can resist it.
 */

#include "base/cleanup.h"
#include "base/log.h"
#include "monitor/hypervisor.h"
#include "base/kvm_probe.h"
#include "monitor/hypervisor/qemu_argv.h"
#include "monitor/hypervisor/qemu_process.h"
#include "monitor/hypervisor/qmp.h"
#include "monitor/hypervisor/tsc.h"
#include "monitor/image.h"
#include "monitor/printable.h"
#include "monitor/vsock/device.h"
#include "monitor/vsock/host_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define CHUNK 16384
#define DRAIN_ROUNDS 256 /* bounded: a descriptor that somebody else still holds never ends */
#define HOST_SOCKET_NAME "vsock.sock"
#define PINGS 3 /* unanswered, before QEMU counts as hung */

struct channel {
        int fd;
        sd_event_source *source;
};

struct hypervisor_instance {
        struct hypervisor_request request;
        bool kvm;
        const char *why_not_kvm;
        char *cmdline;
        pid_t pid; /* 0: none, or reaped */
        bool runs;
        bool driver_ready;
        struct qmp qmp;
        struct channel qmp_channel, console, errors, child;
        struct vsock_device *device;
        struct host_socket *host;
        struct channel device_channel, host_channel; /* their descriptors are borrowed */
        char last_errors[512];
        size_t n_last_errors;
        sd_event_source *pulse; /* the next time to ask whether QEMU still answers */
        unsigned n_silent;      /* times in a row that it had not answered */
};

static void channel_close(struct channel *c) {
        c->source = sd_event_source_disable_unref(c->source);
        c->fd = close_fd(c->fd);
}

static int channel_watch(struct channel *c, struct hypervisor_instance *i, sd_event_io_handler_t handler) {
        return sd_event_add_io(i->request.event, &c->source, c->fd, EPOLLIN, handler, i);
}

static void local_power_off(struct hypervisor_instance *i) {
        if (i->pid > 0)
                (void)kill(i->pid, SIGKILL); /* not reaped yet, so the number is still its own */
}

/* QEMU's standard error: the last bytes, for the text of a failure. */
static void keep_errors(struct hypervisor_instance *i, const char *data, size_t n) {
        size_t room = sizeof(i->last_errors);

        if (n > room) {
                data += n - room;
                n = room;
        }
        if (i->n_last_errors + n > room) {
                size_t drop = i->n_last_errors + n - room;

                memmove(i->last_errors, i->last_errors + drop, i->n_last_errors - drop);
                i->n_last_errors -= drop;
        }
        memcpy(i->last_errors + i->n_last_errors, data, n);
        i->n_last_errors += n;
}

static void note_failure(struct hypervisor_instance *i, const char *what) {
        keep_errors(i, what, strlen(what));
        local_power_off(i);
}

static int on_errors(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct hypervisor_instance *i = userdata;
        char data[512];
        ssize_t n = read(fd, data, sizeof(data));

        (void)source;
        (void)revents;
        if (n > 0)
                keep_errors(i, data, (size_t)n);
        else if (n == 0 || errno != EAGAIN)
                channel_close(&i->errors);
        return 0;
}

static int on_console(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct hypervisor_instance *i = userdata;
        char data[CHUNK];
        ssize_t n = read(fd, data, sizeof(data));

        (void)source;
        (void)revents;
        if (n > 0)
                i->request.handlers->console(i->request.userdata, data, (size_t)n);
        else if (n == 0 || errno != EAGAIN)
                channel_close(&i->console);
        return 0;
}

/* Dedicated CPUs: each vCPU's thread on the host CPU that is its own. */
static void pin_cpus(struct hypervisor_instance *i) {
        const struct monitor_config *config = i->request.config;

        for (size_t n = 0; n < config->n_cpu_ids && n < i->qmp.n_cpu_threads; n++) {
                cpu_set_t *set = CPU_ALLOC(config->cpu_ids[n] + 1);
                size_t size = CPU_ALLOC_SIZE(config->cpu_ids[n] + 1);

                if (!set)
                        return note_failure(i, "out of memory while pinning vCPUs");
                CPU_ZERO_S(size, set);
                CPU_SET_S(config->cpu_ids[n], size, set);
                if (sched_setaffinity(i->qmp.cpu_threads[n], size, set) < 0)
                        note_failure(i, "a vCPU cannot be pinned to its dedicated CPU");
                CPU_FREE(set);
        }
}

static void qmp_send(struct hypervisor_instance *i) {
        ssize_t n = (ssize_t)i->qmp.n_out;

        if (n > 0 && send(i->qmp_channel.fd, i->qmp.out, i->qmp.n_out, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
                note_failure(i, "QEMU does not read its control channel");
        i->qmp.n_out = 0;
}

static uint64_t pulse_usec(const struct hypervisor_instance *i) {
        return i->request.config->hypervisor_timeout_msec * 1000 / PINGS;
}

/* QEMU's process may be there and its main loop not: stopped, or stuck. Then the guest stands still, and
 * nothing else would tell. Counted and not measured: who was itself stopped for a while has not asked
 * meanwhile. */
static int on_pulse(sd_event_source *source, uint64_t usec, void *userdata) {
        struct hypervisor_instance *i = userdata;
        char text[96];

        (void)usec;
        i->n_silent = i->qmp.n_unanswered > 0 ? i->n_silent + 1 : 0;
        if (i->n_silent >= PINGS) {
                (void)snprintf(text, sizeof(text), "it had not answered its monitor for %" PRIu64 " s",
                               (i->request.config->hypervisor_timeout_msec + 500) / 1000);
                note_failure(i, text);
                return 0;
        }
        if (i->qmp.n_unanswered == 0 && qmp_command(&i->qmp, "query-status") >= 0)
                qmp_send(i);
        (void)sd_event_source_set_time_relative(source, pulse_usec(i));
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void qmp_advance(struct hypervisor_instance *i, const char *data, size_t n) {
        _cleanup_error_ struct error problem = ERROR_NULL;
        enum qmp_state before = i->qmp.state;

        if (qmp_consume(&i->qmp, data, n, &problem) < 0)
                return note_failure(i, problem.message ? problem.message : "out of memory");
        qmp_send(i);
        if (before == QMP_READY || i->qmp.state != QMP_READY)
                return;
        /* The greeting comes early, answers only once the machine is complete. */
        i->runs = true;
        i->request.handlers->machine_runs(i->request.userdata);
        pin_cpus(i);
        if (sd_event_add_time_relative(i->request.event, &i->pulse, CLOCK_MONOTONIC, pulse_usec(i),
                                       pulse_usec(i) / 10, on_pulse, i) < 0)
                note_failure(i, "out of memory while QEMU was given a pulse");
}

static int on_qmp(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct hypervisor_instance *i = userdata;
        char data[4096];
        ssize_t n = read(fd, data, sizeof(data));

        (void)source;
        (void)revents;
        if (n > 0)
                qmp_advance(i, data, (size_t)n);
        else if (n == 0 || errno != EAGAIN)
                channel_close(&i->qmp_channel);
        return 0;
}

static void device_gone(struct hypervisor_instance *i) {
        i->device_channel.source = sd_event_source_disable_unref(i->device_channel.source);
        i->host_channel.source = sd_event_source_disable_unref(i->host_channel.source);
        vsock_device_free(TAKE(i->device));
        host_socket_free(TAKE(i->host));
}

static void check_driver(struct hypervisor_instance *i) {
        if (i->driver_ready || !i->device || !vsock_device_ready(i->device))
                return;
        i->driver_ready = true;
        i->request.handlers->driver_ready(i->request.userdata);
}

static int on_device(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct hypervisor_instance *i = userdata;
        int r = vsock_device_dispatch(i->device);

        (void)source;
        (void)fd;
        (void)revents;
        check_driver(i);
        if (r < 0) {
                device_gone(i);
                if (r != -EPIPE)
                        note_failure(i, "QEMU broke the rules of the vsock device");
                local_power_off(i);
        }
        return 0;
}

static int on_host(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct hypervisor_instance *i = userdata;

        (void)fd;
        (void)revents;
        if (host_socket_dispatch(i->host) < 0) {
                log_warning("%s is of no more use", HOST_SOCKET_NAME);
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        }
        return 0;
}

/* The process is gone, but its last words may still lie in the sockets: read them before judging. */
static void drain(struct hypervisor_instance *i) {
        for (int rounds = 0; i->device && rounds < DRAIN_ROUNDS; rounds++)
                if (vsock_device_dispatch(i->device) < 0)
                        break;
        for (int rounds = 0; i->qmp_channel.fd >= 0 && rounds < DRAIN_ROUNDS; rounds++)
                (void)on_qmp(NULL, i->qmp_channel.fd, 0, i);
        for (int rounds = 0; i->errors.fd >= 0 && rounds < DRAIN_ROUNDS; rounds++)
                (void)on_errors(NULL, i->errors.fd, 0, i);
        for (int rounds = 0; i->console.fd >= 0 && rounds < DRAIN_ROUNDS; rounds++)
                (void)on_console(NULL, i->console.fd, 0, i);
}

static int on_child(sd_event_source *source, const siginfo_t *si, void *userdata) {
        struct hypervisor_instance *i = userdata;
        struct hypervisor_end end = { .shutdown = "" };

        (void)source;
        i->pid = 0; /* sd-event reaps it */
        i->pulse = sd_event_source_disable_unref(i->pulse);
        drain(i);
        end.shutdown = i->qmp.shutdown_reason;
        end.panicked = i->qmp.guest_panicked;
        end.started = i->runs;
        end.signal = si->si_code == CLD_EXITED ? 0 : si->si_status;
        end.status = si->si_code == CLD_EXITED ? si->si_status : 0;
        while (i->n_last_errors > 0 && i->last_errors[i->n_last_errors - 1] == '\n')
                i->n_last_errors--;
        (void)printable_copy(end.errors, sizeof(end.errors), i->last_errors, i->n_last_errors);
        i->request.handlers->ended(i->request.userdata, &end);
        return 0;
}

static int on_dial(void *userdata, uint32_t cid, uint32_t port) {
        struct hypervisor_instance *i = userdata;

        return i->request.handlers->dial(i->request.userdata, cid, port);
}

static const struct vsock_device_ops device_ops = { .dial = on_dial };

/* A stream between the monitor (non-blocking) and QEMU. */
static int make_pair(int *ret_ours, int *ret_theirs) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
                int r = -errno;

                (void)close_fd(pair[0]);
                (void)close_fd(pair[1]);
                return r;
        }
        *ret_ours = pair[0];
        *ret_theirs = pair[1];
        return 0;
}

static int make_device(struct hypervisor_instance *i, int vhost_user_fd) {
        const struct hypervisor_request *q = &i->request;
        int r, listen_fd;

        r = vsock_device_new(&i->device, vhost_user_fd, (uint32_t)q->config->cid, &device_ops, i);
        if (r < 0)
                return r;
        listen_fd = host_socket_listen(q->directory_fd, HOST_SOCKET_NAME);
        if (listen_fd < 0)
                return listen_fd;
        r = host_socket_new(&i->host, listen_fd, i->device);
        if (r < 0)
                return r;
        r = sd_event_add_io(q->event, &i->device_channel.source, vsock_device_fd(i->device), EPOLLIN,
                            on_device, i);
        if (r < 0)
                return r;
        return sd_event_add_io(q->event, &i->host_channel.source, host_socket_fd(i->host), EPOLLIN, on_host,
                               i);
}

/* Descriptors that go to QEMU; ours stay in the instance. */
struct handed {
        int qmp, vsock, console, errors;
};

static void handed_close(struct handed *h) {
        h->qmp = close_fd(h->qmp);
        h->vsock = close_fd(h->vsock);
        h->console = close_fd(h->console);
        h->errors = close_fd(h->errors);
}

static int make_channels(struct hypervisor_instance *i, struct handed *h) {
        int vsock = -1, r;

        r = make_pair(&i->qmp_channel.fd, &h->qmp);
        if (r >= 0)
                r = make_pair(&i->errors.fd, &h->errors);
        if (r >= 0 && i->request.config->debug)
                r = make_pair(&i->console.fd, &h->console);
        if (r >= 0)
                r = make_pair(&vsock, &h->vsock);
        if (r >= 0)
                r = make_device(i, vsock);
        if (r >= 0)
                r = channel_watch(&i->qmp_channel, i, on_qmp);
        if (r >= 0)
                r = channel_watch(&i->errors, i, on_errors);
        if (r >= 0 && i->console.fd >= 0)
                r = channel_watch(&i->console, i, on_console);
        return r;
}

static int launch(struct hypervisor_instance *i, const char *program, const struct handed *h,
                  struct error *reterr) {
        const struct monitor_config *config = i->request.config;
        const struct image *image = i->request.image;
        const int fds[] = { h->qmp, h->vsock, h->console, image->kernel_fd, image->initrd_fd };
        struct qemu_plan plan = {
                .program = program,
                .enclave_id = config->enclave_id,
                .cpus = (unsigned)config->cpus,
                .memory_mib = config->memory_mib,
                .huge_page_mib = (unsigned)config->huge_page_mib,
                .node = (int)config->node,
                .kvm = i->kvm,
                .pinned = config->n_cpu_ids > 0,
                .acpi = image->acpi,
                .qmp_fd = h->qmp,
                .vsock_fd = h->vsock,
                .console_fd = h->console,
                .kernel_fd = image->kernel_fd,
                .initrd_fd = image->initrd_fd,
        };
        _cleanup_(argv_freep) char **argv = NULL;
        int r;

        r = guest_cmdline(image->cmdline, &plan, i->kvm ? 0 : tsc_measure_khz(), &i->cmdline);
        if (r == -E2BIG)
                return error_set(
                        reterr, ERROR_IMAGE_INVALID,
                        "the image's kernel command line of %zu bytes leaves no room for what the hypervisor "
                        "must add: the kernel takes at most %d in all",
                        strlen(image->cmdline), KERNEL_CMDLINE_MAX);
        if (r < 0)
                return r;
        plan.cmdline = i->cmdline;
        argv = qemu_argv(&plan);
        if (!argv)
                return -ENOMEM;
        return qemu_spawn(argv, fds, ELEMENTSOF(fds), h->errors, &i->pid, reterr);
}

static int local_probe(struct error *reterr) {
        _cleanup_free_ char *program = NULL;

        return qemu_find(&program, reterr);
}

static void local_free(struct hypervisor_instance *i) {
        if (!i)
                return;
        i->child.source = sd_event_source_disable_unref(i->child.source);
        i->pulse = sd_event_source_disable_unref(i->pulse);
        if (i->pid > 0) {
                local_power_off(i);
                (void)waitpid(i->pid, NULL, 0);
        }
        device_gone(i);
        channel_close(&i->qmp_channel);
        channel_close(&i->console);
        channel_close(&i->errors);
        qmp_done(&i->qmp);
        free(i->cmdline);
        free(i);
}

static struct hypervisor_instance *local_new(const struct hypervisor_request *request) {
        struct hypervisor_instance *i = calloc(1, sizeof(*i));

        if (!i)
                return NULL;
        i->request = *request;
        i->qmp = QMP_NULL;
        i->qmp_channel.fd = i->console.fd = i->errors.fd = i->child.fd = -1;
        return i;
}

static int local_prepare(struct hypervisor_instance **ret, const struct hypervisor_request *request,
                         const atomic_bool *cancelled, struct error *reterr) {
        int r = image_load(request->image_fd, cancelled, request->image, reterr);

        if (r >= 0)
                r = image_check_memory(request->image, request->config->memory_mib, reterr);
        if (r >= 0)
                r = image_check_identity(request->image, request->config->pcr0, reterr);
        if (r < 0)
                return r;
        *ret = local_new(request);
        return *ret ? 0 : -ENOMEM;
}

static int local_start(struct hypervisor_instance *i, struct error *reterr) {
        _cleanup_(handed_close) struct handed h = { -1, -1, -1, -1 };
        _cleanup_free_ char *program = NULL;
        int r;

        r = qemu_find(&program, reterr);
        if (r < 0)
                return r;
        i->kvm = kvm_probe(&i->why_not_kvm);
        r = make_channels(i, &h);
        if (r < 0)
                return error_set_errno(reterr, ERROR_HYPERVISOR_FAILED, r,
                                       "cannot make the channels of the virtual machine");
        r = launch(i, program, &h, reterr);
        if (r < 0)
                return r;
        return sd_event_add_child(i->request.event, &i->child.source, i->pid, WEXITED, on_child, i);
}

/* The device reports (userdata, result, port, fd); the table's users want the result only. */
struct pending_connect {
        hypervisor_connect_done done;
        void *userdata;
};

static void on_connected(void *userdata, int result, uint32_t host_port, int fd) {
        struct pending_connect *p = userdata;

        (void)host_port;
        (void)fd;
        p->done(p->userdata, result, -1);
        free(p);
}

static int local_connect(struct hypervisor_instance *i, uint32_t port, int fd, hypervisor_connect_done done,
                         void *userdata) {
        struct pending_connect *p;
        int r;

        if (!i->device)
                return -ENOTCONN;
        p = malloc(sizeof(*p));
        if (!p)
                return -ENOMEM;
        *p = (struct pending_connect){ .done = done, .userdata = userdata };
        r = vsock_device_connect(i->device, port, fd, on_connected, p);
        if (r < 0)
                free(p);
        return r;
}

static void local_describe(const struct hypervisor_instance *i, struct hypervisor_facts *ret) {
        *ret = (struct hypervisor_facts){
                .pid = i->pid,
                .accelerator = i->kvm ? "kvm" : "tcg",
                .accelerator_reason = i->kvm ? NULL : i->why_not_kvm,
                .cmdline = i->cmdline,
        };
}

const struct hypervisor hypervisor_local = {
        .name = "local",
        .probe = local_probe,
        .prepare = local_prepare,
        .start = local_start,
        .connect = local_connect,
        .power_off = local_power_off,
        .describe = local_describe,
        .free = local_free,
};

const struct hypervisor *hypervisor_find(const char *name) {
        static const struct hypervisor *const known[] = { &hypervisor_local, &hypervisor_nitro,
                                                          &hypervisor_qingtian };

        for (size_t n = 0; n < ELEMENTSOF(known); n++)
                if (strcmp(known[n]->name, name) == 0)
                        return known[n];
        return NULL;
}
