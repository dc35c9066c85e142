/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a hypervisor does for a monitor: make one virtual machine of a loaded image, carry its vsock, and tell
 * how it ended. `local` is QEMU with our vsock device; `nitro` (ioctls on /dev/nitro_enclaves) and `qingtian`
 * (the vendor's control tool) fit the same table: they take the image's descriptor, AF_VSOCK is their vsock.
 *
 * One instance is one virtual machine, made in two steps: prepare() takes its time in a thread of its own,
 * everything else is asynchronous on the caller's sd_event; handlers are called from there and never from
 * inside a call of the table, except that start() may already `dial`.
 */

#include "base/error.h"
#include "monitor/config.h"

#include <stdatomic.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct image;

/* How the virtual machine ended, as far as the hypervisor can know. */
struct hypervisor_end {
        const char
                *shutdown; /* "guest-shutdown", "guest-reset", "guest-panic", "host-…"; "": it did not say */
        bool panicked;     /* the guest's kernel announced its panic */
        bool started;      /* the machine had begun to run */
        int signal;        /* that killed the hypervisor, or 0 */
        int status;        /* its exit status */
        char errors[512];  /* the last of what it wrote to standard error, printable; may be empty */
        /* Not ERROR_NONE: it was never started, or was lost, and `errors` is the whole sentence that says why
         */
        enum error_kind error;
};

struct hypervisor_handlers {
        void (*machine_runs)(void *userdata); /* firmware or kernel execute */
        void (*heartbeat)(void *userdata);    /* the platform's own tool has heard it on port 9000 */
        void (*driver_ready)(void *userdata); /* the guest's vsock driver is up */
        void (*console)(void *userdata, const void *data, size_t n);
        /* The guest dials: as dial in vsock_device_ops. */
        int (*dial)(void *userdata, uint32_t cid, uint32_t port);
        /* Once; nothing else is called afterwards. */
        void (*ended)(void *userdata, const struct hypervisor_end *end);
};

struct hypervisor_request {
        sd_event *event;
        const struct monitor_config *config;
        struct image *image;
        int image_fd;     /* borrowed during prepare() */
        int directory_fd; /* where the vsock sockets are made */
        const struct hypervisor_handlers *handlers;
        void *userdata;
};

struct hypervisor_facts {
        int pid; /* 0: none of its own */
        const char *accelerator;
        const char *accelerator_reason; /* why not a faster one; or NULL */
        const char *cmdline;            /* as the kernel got it */
        const unsigned *cpu_ids;        /* the machine's CPUs that the enclave has for its own; or NULL */
        size_t n_cpu_ids;
};

/* result 0 or a negative errno. fd -1: the stream is the socket that was given to connect(); else this one is
 * it (the handler owns it), and the one that was given is of no more use. */
typedef void (*hypervisor_connect_done)(void *userdata, int result, int fd);

struct hypervisor_instance;

struct hypervisor {
        const char *name;
        /* Enclaves of real hardware: vsock is the parent kernel's (the daemon accepts and hands over), the
         * security module the platform's own. */
        bool native;
        /* Is it there at all? ERROR_HYPERVISOR_MISSING says what to install. */
        int (*probe)(struct error *reterr);
        /* In a thread, as monitor/loading.h has it: load and measure the image, which completes
         * request->image, and get what the machine needs. */
        int (*prepare)(struct hypervisor_instance **ret, const struct hypervisor_request *request,
                       const atomic_bool *cancelled, struct error *reterr);
        /* Then, on the loop. A failure leaves an instance that can only be freed. */
        int (*start)(struct hypervisor_instance *i, struct error *reterr);
        /* Connect the stream socket fd to a port of the guest. Negative errno: fd is still the caller's. */
        int (*connect)(struct hypervisor_instance *i, uint32_t port, int fd, hypervisor_connect_done done,
                       void *userdata);
        void (*power_off)(struct hypervisor_instance *i); /* at once; `ended` follows. Idempotent. */
        void (*describe)(const struct hypervisor_instance *i, struct hypervisor_facts *ret);
        void (*free)(struct hypervisor_instance *i); /* takes a living machine down with it; NULL is fine */
};

extern const struct hypervisor hypervisor_local, hypervisor_nitro, hypervisor_qingtian;

/* By its name in the configuration, or NULL. */
const struct hypervisor *hypervisor_find(const char *name);
