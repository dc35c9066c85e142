/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/vm.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "monitor/console.h"
#include "monitor/guest_channels.h"
#include "monitor/hypervisor.h"
#include "monitor/last_words.h"
#include "monitor/loading.h"
#include "monitor/security_module.h"
#include "monitor/vsock/device.h"
#include "monitor/vsock/host_socket.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define CONSOLE_TAIL_TEXT 4096
#define GRACE_MAX_MSEC (3600 * 1000)
/* qt-init opens its lifecycle channel at once after the heartbeat. */
#define LIFECYCLE_PATIENCE_USEC (10 * 1000 * 1000)

static const char *const state_names[VM_STATE_MAX] = {
        [VM_LOADING] = "loading",   [VM_BOOTING] = "booting", [VM_RUNNING] = "running",
        [VM_STOPPING] = "stopping", [VM_STOPPED] = "stopped", [VM_FAILED] = "failed",
};

static const char *const step_names[STEP_MAX] = {
        [STEP_CREATED] = "created",     [STEP_LOADED] = "loaded",   [STEP_LAUNCHED] = "launched",
        [STEP_FIRMWARE] = "firmware",   [STEP_KERNEL] = "kernel",   [STEP_INIT] = "init",
        [STEP_HEARTBEAT] = "heartbeat", [STEP_STARTED] = "started", [STEP_READY] = "ready",
};

#define STEP_TO(state) (1u << (state))
static const unsigned legal_steps[VM_STATE_MAX] = {
        [VM_LOADING] = STEP_TO(VM_BOOTING) | STEP_TO(VM_STOPPED) | STEP_TO(VM_FAILED),
        [VM_BOOTING] = STEP_TO(VM_RUNNING) | STEP_TO(VM_STOPPING) | STEP_TO(VM_STOPPED) | STEP_TO(VM_FAILED),
        [VM_RUNNING] = STEP_TO(VM_STOPPING) | STEP_TO(VM_STOPPED) | STEP_TO(VM_FAILED),
        [VM_STOPPING] = STEP_TO(VM_STOPPED) | STEP_TO(VM_FAILED),
};

const char *vm_state_name(enum vm_state state) {
        return state_names[state];
}

const char *vm_step_name(enum vm_step step) {
        return step_names[step];
}

bool vm_is_over(const struct vm *vm) {
        return vm->state == VM_STOPPED || vm->state == VM_FAILED;
}

static uint64_t now_usec(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void set_state(struct vm *vm, enum vm_state state) {
        assert(legal_steps[vm->state] & STEP_TO(state));
        log_record(LOG_INFO, vm->config->name, "%s, was %s", state_names[state], state_names[vm->state]);
        vm->state = state;
        vm->since_usec = now_usec();
        vm->observer->changed(vm->userdata);
}

/* Only the first time counts: a guest may repeat itself. */
static bool reach(struct vm *vm, enum vm_step step) {
        if (vm->steps[step])
                return false;
        vm->steps[step] = now_usec();
        return true;
}

static void read_console_tail(struct vm *vm) {
        char text[CONSOLE_TAIL_TEXT];

        if (!vm->console || vm->console_tail)
                return;
        if (console_last(vm->console, text, sizeof(text)) > 0)
                vm->console_tail = strdup(text);
        vm->evidence.console = vm->console_tail;
}

static void finish(struct vm *vm) {
        vm->timer = sd_event_source_disable_unref(vm->timer);
        log_record(LOG_NOTICE, vm->config->name, "ended: %s", vm->reason.text);
        set_state(vm, reason_is_success(&vm->reason) ? VM_STOPPED : VM_FAILED);
        if (vm->console)
                console_end(vm->console);
        vm->observer->ended(vm->userdata);
}

/* The hypervisor's handlers. */

static void on_machine_runs(void *userdata) {
        struct vm *vm = userdata;

        if (reach(vm, STEP_FIRMWARE))
                vm->observer->changed(vm->userdata);
}

static void on_driver_ready(void *userdata) {
        struct vm *vm = userdata;

        if (reach(vm, STEP_INIT))
                vm->observer->changed(vm->userdata);
}

static void on_console(void *userdata, const void *data, size_t n) {
        struct vm *vm = userdata;

        if (vm->console && console_feed(vm->console, data, n) < 0)
                log_record(LOG_WARNING, vm->config->name,
                           "console output was lost: the memory file cannot grow");
}

/* The guest asks its hypervisor for an attestation document: CID 0, which no program of the parent can sit
 * on. This is where the security module takes its connections. */
static int dial_security_module(struct vm *vm, uint32_t port) {
        return vm->secmod && port == SECMOD_PORT ? secmod_dial(vm->secmod) : -ECONNREFUSED;
}

static int on_dial(void *userdata, uint32_t cid, uint32_t port) {
        struct vm *vm = userdata;

        if (cid == VSOCK_CID_HYPERVISOR)
                return dial_security_module(vm, port);
        if (port == GUEST_PORT_HEARTBEAT || port == GUEST_PORT_LIFECYCLE)
                return guest_channels_dial(vm->channels, port);
        return host_socket_dial(vm->directory_fd, "vsock.sock", port);
}

static void on_ended(void *userdata, const struct hypervisor_end *end) {
        struct vm *vm = userdata;
        struct evidence *e = &vm->evidence;

        guest_channels_drain(vm->channels);
        read_console_tail(vm);
        if (vm->gave_up)
                return finish(vm);
        e->had_lifecycle = guest_channels_had_lifecycle(vm->channels);
        e->shutdown = end->shutdown;
        e->panicked = end->panicked;
        e->machine_started = end->started;
        e->hypervisor_signal = end->signal;
        e->hypervisor_status = end->status;
        e->errors = end->errors;
        e->lost = end->started && end->error != ERROR_NONE;
        reason_conclude(e, &vm->reason);
        if (end->error != ERROR_NONE &&
            (vm->reason.kind == REASON_START_FAILED || vm->reason.kind == REASON_HYPERVISOR_DIED))
                (void)snprintf(vm->reason.text, sizeof(vm->reason.text), "%s", end->errors);
        if (vm->reason.kind == REASON_START_FAILED)
                vm->start_error = end->error != ERROR_NONE ? end->error
                                  : end->started           ? ERROR_BOOT_FAILED
                                                           : ERROR_HYPERVISOR_FAILED;
        finish(vm);
}

static void on_heartbeat(void *userdata);

static const struct hypervisor_handlers hypervisor_handlers = {
        .machine_runs = on_machine_runs,
        .heartbeat = on_heartbeat,
        .driver_ready = on_driver_ready,
        .console = on_console,
        .dial = on_dial,
        .ended = on_ended,
};

/* What the guest tells. */

/* A stock image knows the heartbeat alone. Whoever waits until it is ready would do so for ever. */
static int on_silence(sd_event_source *source, uint64_t usec, void *userdata) {
        struct vm *vm = userdata;

        (void)source;
        (void)usec;
        vm->silence = sd_event_source_disable_unref(vm->silence);
        if (guest_channels_had_lifecycle(vm->channels) || vm->state != VM_RUNNING)
                return 0;
        vm->ready_assumed = true;
        vm->observer->changed(vm->userdata);
        return 0;
}

static void expect_lifecycle(struct vm *vm) {
        if (!guest_channels_had_lifecycle(vm->channels) &&
            sd_event_add_time_relative(vm->event, &vm->silence, CLOCK_MONOTONIC, LIFECYCLE_PATIENCE_USEC,
                                       10000, on_silence, vm) < 0)
                log_record(LOG_WARNING, vm->config->name,
                           "no timer: an image without a lifecycle channel will not be taken as ready");
}

static void on_heartbeat(void *userdata) {
        struct vm *vm = userdata;

        vm->evidence.heartbeat = true;
        if (!reach(vm, STEP_HEARTBEAT) || vm->state != VM_BOOTING)
                return;
        vm->timer = sd_event_source_disable_unref(vm->timer);
        expect_lifecycle(vm);
        set_state(vm, VM_RUNNING);
}

/* The guest's uptime dates the start of its kernel, if it can be true at all. */
static void note_kernel_start(struct vm *vm, uint64_t uptime_usec) {
        uint64_t now = now_usec();

        if (vm->steps[STEP_KERNEL] || uptime_usec == 0 || uptime_usec > now)
                return;
        if (now - uptime_usec >= vm->steps[STEP_LAUNCHED])
                vm->steps[STEP_KERNEL] = now - uptime_usec;
}

static void on_lifecycle(void *userdata, const struct lifecycle_event *event) {
        struct vm *vm = userdata;
        struct evidence *e = &vm->evidence;
        bool news = false;

        vm->ready_assumed = false; /* a late one that can speak after all */
        note_kernel_start(vm, event->uptime_usec);
        switch (event->kind) {
        case LIFECYCLE_STARTED:
                news = reach(vm, STEP_STARTED);
                break;
        case LIFECYCLE_READY:
                news = reach(vm, STEP_READY);
                break;
        case LIFECYCLE_EXITED:
                if (e->exited)
                        break;
                e->exited = true;
                e->code = event->code;
                e->signal = event->signal;
                e->out_of_memory = event->out_of_memory;
                break;
        case LIFECYCLE_FAILED:
                if (e->failure)
                        break;
                memcpy(vm->failure, event->message, sizeof(vm->failure));
                e->failure = vm->failure;
                break;
        case LIFECYCLE_UNKNOWN:
        default:
                break;
        }
        if (news)
                vm->observer->changed(vm->userdata);
}

static const struct guest_channels_handlers channel_handlers = {
        .heartbeat = on_heartbeat,
        .lifecycle = on_lifecycle,
};

/* Time. */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct vm *vm = userdata;

        (void)source;
        (void)usec;
        vm->timer = sd_event_source_disable_unref(vm->timer);
        if (vm->state == VM_BOOTING)
                vm->evidence.boot_timed_out = true;
        vm->hypervisor->power_off(vm->instance);
        return 0;
}

static int arm_timer(struct vm *vm, uint64_t msec) {
        vm->timer = sd_event_source_disable_unref(vm->timer);
        return sd_event_add_time_relative(vm->event, &vm->timer, CLOCK_MONOTONIC, msec * 1000u, 10000,
                                          on_timer, vm);
}

int vm_new(struct vm **ret, sd_event *event, const struct monitor_config *config, int directory_fd,
           const struct vm_observer *observer, void *userdata) {
        struct vm *vm = calloc(1, sizeof(*vm));
        int r;

        if (!vm)
                return -ENOMEM;
        vm->event = sd_event_ref(event);
        vm->config = config;
        vm->directory_fd = directory_fd;
        vm->observer = observer;
        vm->userdata = userdata;
        vm->image = IMAGE_NULL;
        vm->image_fd = -1;
        vm->evidence = (struct evidence){ .code = -1, .boot_timeout_msec = config->boot_timeout_msec };
        vm->since_usec = now_usec();
        (void)reach(vm, STEP_CREATED);
        r = guest_channels_new(&vm->channels, event, &channel_handlers, vm);
        if (r >= 0 && config->debug)
                r = console_new(&vm->console, event);
        if (r < 0) {
                vm_free(vm);
                return r;
        }
        *ret = vm;
        return 0;
}

struct vm *vm_free(struct vm *vm) {
        if (!vm)
                return NULL;
        vm->timer = sd_event_source_disable_unref(vm->timer);
        vm->silence = sd_event_source_disable_unref(vm->silence);
        vm->loading = loading_free(vm->loading);
        if (vm->hypervisor) {
                vm->hypervisor->free(vm->prepared);
                vm->hypervisor->free(vm->instance);
        }
        vm->image_fd = close_fd(vm->image_fd);
        vm->channels = guest_channels_free(vm->channels);
        vm->secmod = secmod_free(vm->secmod);
        vm->console = console_free(vm->console);
        image_done(&vm->image);
        free(vm->console_tail);
        sd_event_unref(vm->event);
        free(vm);
        return NULL;
}

static struct hypervisor_request request_of(struct vm *vm) {
        return (struct hypervisor_request){
                .event = vm->event,
                .config = vm->config,
                .image = &vm->image,
                .image_fd = vm->image_fd,
                .directory_fd = vm->directory_fd,
                .handlers = &hypervisor_handlers,
                .userdata = vm,
        };
}

/* In a thread: vm->image and vm->prepared are its own, and of the rest it only reads what never changes. */
static int prepare(void *userdata, const atomic_bool *cancelled, struct error *reterr) {
        struct vm *vm = userdata;
        struct hypervisor_request request = request_of(vm);

        return vm->hypervisor->prepare(&vm->prepared, &request, cancelled, reterr);
}

static int start_prepared(struct vm *vm, struct error *reterr) {
        int r = 0;

        (void)reach(vm, STEP_LOADED);
        if (!vm->hypervisor->native)
                r = security_module_new(&vm->secmod, vm->event, vm->config, &vm->image, vm->directory_fd,
                                        reterr);
        if (r >= 0)
                r = vm->hypervisor->start(vm->prepared, reterr);
        if (r < 0)
                return r;
        vm->instance = TAKE(vm->prepared);
        (void)reach(vm, STEP_LAUNCHED);
        image_release_files(&vm->image);
        return arm_timer(vm, vm->config->boot_timeout_msec);
}

static void set_start_failure(struct vm *vm, const struct error *why) {
        vm->reason = (struct reason){ .kind = REASON_START_FAILED, .code = -1 };
        (void)snprintf(vm->reason.text, sizeof(vm->reason.text), "%s",
                       why->message ? why->message : "out of memory");
        vm->start_error = why->kind;
}

static void fail_start(struct vm *vm, int r, struct error *problem) {
        if (!problem->message)
                (void)error_wrap(problem, r, "the virtual machine cannot be started");
        set_start_failure(vm, problem);
        finish(vm);
}

static void on_prepared(void *userdata, int r, struct error *problem) {
        struct vm *vm = userdata;
        bool stopped;

        vm->loading = loading_free(vm->loading);
        vm->image_fd = close_fd(vm->image_fd);
        stopped = vm->evidence.stop_requested || vm->evidence.monitor_asked || vm->evidence.unreachable;
        if (r >= 0 && !stopped)
                r = start_prepared(vm, problem);
        vm->hypervisor->free(TAKE(vm->prepared)); /* what has not become the instance */
        if (stopped) {
                reason_conclude(&vm->evidence, &vm->reason);
                finish(vm);
        } else if (r >= 0)
                set_state(vm, VM_BOOTING);
        else
                fail_start(vm, r, problem);
        vm->observer->begun(vm->userdata);
}

static int begin_loading(struct vm *vm, struct error *reterr) {
        int r;

        vm->hypervisor = hypervisor_find(vm->config->hypervisor);
        if (!vm->hypervisor)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "there is no hypervisor \"%s\"; this version has: local, nitro, qingtian",
                                 vm->config->hypervisor);
        r = last_words_reserve(vm->directory_fd);
        if (r < 0)
                return error_set_errno(
                        reterr, ERROR_OUTPUT_FAILED, r,
                        "there is no room for the facts of its end in the enclave's directory");
        r = vm->hypervisor->probe(reterr);
        return r < 0 ? r : loading_new(&vm->loading, vm->event, prepare, on_prepared, vm);
}

void vm_start(struct vm *vm, int image_fd) {
        _cleanup_error_ struct error problem = ERROR_NULL;
        int r;

        vm->image_fd = image_fd;
        r = begin_loading(vm, &problem);
        if (r >= 0)
                return;
        fail_start(vm, r, &problem);
        vm->observer->begun(vm->userdata);
}

const struct image *vm_image(const struct vm *vm) {
        static const struct image none = { .kernel_fd = -1, .initrd_fd = -1 };

        return vm->steps[STEP_LOADED] ? &vm->image : &none;
}

void vm_give_up(struct vm *vm, const struct error *why) {
        set_start_failure(vm, why);
        vm->gave_up = true;
        vm->hypervisor->power_off(vm->instance);
}

int vm_stop(struct vm *vm, uint64_t grace_msec, enum stop_cause cause, struct error *reterr) {
        bool asked = false;

        if (vm_is_over(vm))
                return error_set(reterr, ERROR_WRONG_STATE, "the enclave %s is %s already", vm->config->name,
                                 state_names[vm->state]);
        vm->evidence.stop_requested |= cause == STOP_REQUESTED;
        vm->evidence.monitor_asked |= cause == STOP_PARENT;
        vm->evidence.unreachable |= cause == STOP_UNREACHABLE;
        if (!vm->instance) { /* still loading: on_prepared() finds the request */
                if (vm->loading)
                        loading_cancel(vm->loading);
                return 0;
        }
        if (grace_msec > 0 && vm->state != VM_BOOTING)
                asked = guest_channels_send_stop(vm->channels, grace_msec) >= 0;
        if (vm->state != VM_STOPPING)
                set_state(vm, VM_STOPPING);
        if (asked && arm_timer(vm, grace_msec < GRACE_MAX_MSEC ? grace_msec : GRACE_MAX_MSEC) >= 0)
                return 0;
        vm->hypervisor->power_off(vm->instance);
        return 0;
}

int vm_console(struct vm *vm, int *ret_fd, struct error *reterr) {
        int r;

        if (!vm->console)
                return error_set(reterr, ERROR_NOT_DEBUG,
                                 "the enclave %s has no console: it was started without debug mode",
                                 vm->config->name);
        r = console_add_reader(vm->console, ret_fd);
        if (r == -EUSERS)
                return error_set(reterr, ERROR_QUOTA_EXCEEDED, "the console of %s has %d readers already",
                                 vm->config->name, CONSOLE_MAX_READERS);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r,
                                       "cannot open another stream of the console");
        return 0;
}

int vm_connect(struct vm *vm, uint32_t port, int fd, hypervisor_connect_done done, void *userdata,
               struct error *reterr) {
        int r = -ENOTCONN;

        if (vm->instance && !vm_is_over(vm))
                r = vm->hypervisor->connect(vm->instance, port, fd, done, userdata);
        if (r == -ENOTCONN)
                return error_set(reterr, ERROR_WRONG_STATE,
                                 "the enclave %s is %s and takes no connections; wait until it is running",
                                 vm->config->name, state_names[vm->state]);
        if (r == -ENOSPC)
                return error_set(reterr, ERROR_QUOTA_EXCEEDED, "the enclave %s has too many connections",
                                 vm->config->name);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r,
                                       "cannot connect to port %u of the enclave %s", port, vm->config->name);
        return 0;
}

int vm_adopt(struct vm *vm, uint32_t port, int fd, struct error *reterr) {
        int r;

        if (!vm->hypervisor || !vm->hypervisor->native)
                return error_set(
                        reterr, ERROR_WRONG_STATE,
                        "the enclave %s takes its connections itself: only a native hypervisor's are "
                        "handed over",
                        vm->config->name);
        if (vm_is_over(vm))
                return error_set(reterr, ERROR_WRONG_STATE, "the enclave %s is %s already", vm->config->name,
                                 state_names[vm->state]);
        r = guest_channels_adopt(vm->channels, port, fd);
        if (r < 0)
                return error_set_errno(reterr, ERROR_WRONG_STATE, r,
                                       "the enclave %s cannot take one more connection to its port %u",
                                       vm->config->name, port);
        return 0;
}
