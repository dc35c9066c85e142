/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the daemon tells a monitor at its birth: one JSON object in a sealed memory file. Unknown members are
 * refused, so that a daemon and a monitor of different versions never half-understand each other.
 */

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONFIG_MAX_BYTES (64 * 1024)
#define CONFIG_MAX_CPUS 64

struct monitor_config {
        char *name;
        char *hypervisor;      /* "local" when not given */
        char *tool;            /* the vendor's control program, for the hypervisor qingtian */
        char *platform;        /* "qingtian" when not given */
        char *development_pki; /* directory of the host's development root; not given: one in the own
                                  directory */
        char *pcr0;            /* that the image must have, or NULL: this is a restart of the very same */
        uint64_t enclave_id;
        uint64_t cid; /* never below 4: 0 to 2 are reserved and 3 is what guests call their parent */
        uint64_t cpus;
        uint64_t memory_mib;
        uint64_t boot_timeout_msec;
        uint64_t hypervisor_timeout_msec; /* that it may be silent while it runs */
        uint64_t client_uid;
        uint64_t daemon_uid;
        uint64_t huge_page_mib; /* 0: ordinary pages; 2 or 1024 */
        int64_t node;           /* NUMA node of the memory, -1: any */
        bool debug;
        bool keep_image;                   /* a later daemon will ask for it, to start the enclave again */
        unsigned cpu_ids[CONFIG_MAX_CPUS]; /* host CPUs, one for each vCPU; none in shared mode */
        size_t n_cpu_ids;
};

#define MONITOR_CONFIG_NULL ((struct monitor_config){ .name = NULL, .node = -1 })

/* ERROR_CONFIG_INVALID names the member. *c must be MONITOR_CONFIG_NULL; on failure it is so again. */
int config_parse(const char *text, size_t length, struct monitor_config *c, struct error *reterr);
void config_done(struct monitor_config *c);
#define _cleanup_config_ _cleanup_(config_done)
