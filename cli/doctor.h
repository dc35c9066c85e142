/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What `qt-enclave doctor` finds: one finding for each thing that an enclave needs, with a verdict, what was
 * seen, and what to run. Facts come from files below a root directory, so that a machine can be invented or
 * an unpacked image looked at; what only the running machine can answer (does KVM run a guest, does the
 * daemon answer, who am I) is asked only when the root is "/".
 */

#include "base/options.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/stat.h>

enum verdict { VERDICT_OK, VERDICT_WARNING, VERDICT_WRONG, VERDICT_MAX };

struct doctor {
        const struct options *options; /* of the verb, for the way to the daemon */
        int root_fd;
        bool live;          /* the root is this machine's */
        json_t *findings;   /* {Verdict, Topic, Text, Remedy} each */
        bool other_machine; /* a hypervisor other than `local` is there: QEMU and KVM are not needed */
};

const char *verdict_name(enum verdict v);

/* remedy: a command or a short instruction, or NULL. The text is made as by printf. */
void doctor_find(struct doctor *d, enum verdict v, const char *topic, const char *remedy, const char *format,
                 ...) __attribute__((format(printf, 5, 6)));

/* A small file below the root without its last newline; false when it cannot be read. Paths have no leading
 * slash. */
bool doctor_read(const struct doctor *d, const char *path, char *ret, size_t size);
bool doctor_has(const struct doctor *d, const char *path);
bool doctor_link(const struct doctor *d, const char *path); /* one that may lead nowhere */

/* How many entries of a directory begin and end like that; 0 without the directory. */
unsigned doctor_count(const struct doctor *d, const char *path, const char *begin, const char *end);

/* A device that is there: may the caller open it, and if not, what helps? False without the device. */
bool doctor_device(struct doctor *d, const char *topic, const char *path);

/* The parts, in the order of their lines. */
void doctor_check_vendors(struct doctor *d); /* Nitro and QingTian parents; sets other_machine */
void doctor_check_local(struct doctor *d);   /* KVM, QEMU, the kernel for images */
void doctor_check_pages(struct doctor *d);   /* huge pages and fragmentation */
void doctor_check_service(struct doctor *d); /* unit, group, socket, daemon */
