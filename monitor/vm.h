/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The one virtual machine of this monitor: its state, what is known of it, and why it ended.
 *
 *   loading → booting → running → stopping → stopped | failed
 *
 * One table of legal steps and one setter. Everything happens on one sd_event; `changed` is called after each
 * change, `ended` once, when state is stopped or failed and the reason is known.
 */

#include "base/error.h"
#include "monitor/config.h"
#include "monitor/hypervisor.h"
#include "monitor/image.h"
#include "monitor/reason.h"

#include <stdint.h>
#include <systemd/sd-event.h>

enum vm_state { VM_LOADING, VM_BOOTING, VM_RUNNING, VM_STOPPING, VM_STOPPED, VM_FAILED, VM_STATE_MAX };

/* Steps of the start, in the order in which they are reached. */
enum vm_step {
        STEP_CREATED,   /* the monitor came to life */
        STEP_LOADED,    /* the image was read and measured */
        STEP_LAUNCHED,  /* the hypervisor was started */
        STEP_FIRMWARE,  /* the machine runs */
        STEP_KERNEL,    /* the kernel started; known only when the guest tells its uptime */
        STEP_INIT,      /* the guest's vsock driver is up: its first process is at work */
        STEP_HEARTBEAT, /* port 9000 */
        STEP_STARTED,   /* the application was started */
        STEP_READY,     /* and said that it is ready */
        STEP_MAX,
};

struct console;
struct guest_channels;
struct loading;
struct secmod;

struct vm_observer {
        void (*changed)(void *userdata);
        void (*begun)(void *userdata); /* the start is over, whatever came of it, and so is its thread */
        void (*ended)(void *userdata);
};

struct vm {
        sd_event *event;
        const struct monitor_config *config;
        int directory_fd; /* borrowed */
        const struct vm_observer *observer;
        void *userdata;

        enum vm_state state;
        uint64_t since_usec;
        uint64_t steps[STEP_MAX]; /* realtime microseconds, 0: not reached */
        struct image image;       /* until STEP_LOADED the thread's: see vm_image() */
        struct loading *loading;  /* while that lasts */
        int image_fd;
        struct hypervisor_instance *prepared; /* the thread's, and then */
        const struct hypervisor *hypervisor;
        struct hypervisor_instance *instance;
        struct console *console; /* debug only */
        struct guest_channels *channels;
        struct secmod *secmod;
        sd_event_source *timer;   /* boot timeout, then grace */
        sd_event_source *silence; /* from the heartbeat on: will it open a lifecycle channel? */
        bool ready_assumed;       /* it did not: it cannot say that it is ready, and nobody waits for it */

        struct evidence evidence;
        char failure[200]; /* what evidence.failure points to */
        struct reason reason;
        bool gave_up;                /* whatever the end looks like, the reason is known already */
        enum error_kind start_error; /* with reason start-failed, or ERROR_NONE */
        char *console_tail;
};

/* config, directory_fd and observer are borrowed. */
int vm_new(struct vm **ret, sd_event *event, const struct monitor_config *config, int directory_fd,
           const struct vm_observer *observer, void *userdata);
struct vm *vm_free(struct vm *vm);

/* Load the image and start it; every failure becomes the reason of an ended machine. Takes image_fd. */
void vm_start(struct vm *vm, int image_fd);

/* A machine that was started, but may not be: the monitor is not what it must be. It is powered off, with the
 * reason start-failed. */
void vm_give_up(struct vm *vm, const struct error *why);

/* What was loaded; nothing at all until then. */
const struct image *vm_image(const struct vm *vm);

bool vm_is_over(const struct vm *vm);

/* Ask the application to end and power off after grace; 0, or a guest that cannot be asked: at once.
 * WRONG_STATE when the machine is over already. */
enum stop_cause {
        STOP_REQUESTED,   /* by an operator */
        STOP_PARENT,      /* the monitor was told to end, nobody asked for this enclave */
        STOP_UNREACHABLE, /* nobody could find the monitor any more */
};
int vm_stop(struct vm *vm, uint64_t grace_msec, enum stop_cause cause, struct error *reterr);

/* A stream of the console; NOT_DEBUG without one. */
int vm_console(struct vm *vm, int *ret_fd, struct error *reterr);

/* Connect the stream socket fd (taken on success) to a port of the guest; done hears the result later. */
int vm_connect(struct vm *vm, uint32_t port, int fd, hypervisor_connect_done done, void *userdata,
               struct error *reterr);

/* A stream that the daemon accepted from this enclave on port 9000 or 9001; fd is taken on success. */
int vm_adopt(struct vm *vm, uint32_t port, int fd, struct error *reterr);

const char *vm_state_name(enum vm_state state); /* "booting" */
const char *vm_step_name(enum vm_step step);    /* "heartbeat" */
