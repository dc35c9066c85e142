/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A build request made certain: every input found and open, the root file system read, defaults filled in.
 * All that can be refused without writing anything is refused here.
 */

#include "cli/build_request.h"
#include "eif/format.h"
#include "eif/ramdisk_compress.h"
#include "eif/source_application.h"

#define KERNEL_CMDLINE_MAX 2047U /* what x86 and arm64 kernels read */

/* A file that goes into the image as it is. */
struct build_input {
        char *path; /* owned */
        int fd;     /* owned */
        uint64_t size;
        bool is_plain; /* of a ramdisk: not compressed */
};

struct build_plan {
        const struct build_request *request; /* borrowed */
        enum eif_arch arch;
        int64_t time; /* SOURCE_DATE_EPOCH, or 0 */
        bool time_is_given;
        struct build_input kernel;
        char *kernel_version;   /* "6.1.0-…" from the kernel itself; NULL when it does not tell */
        uint64_t kernel_memory; /* bytes that the kernel takes unpacked */
        char *cmdline;
        char *init;        /* NULL when only ready-made ramdisks are wanted */
        char *modules_dir; /* NULL: none */
        bool as_nitro_cli; /* --compat nitro-cli: the ramdisks of eif/ramdisk_nitro.h */
        char *nsm;         /* then: nsm.ko for the boot ramdisk; NULL: our own boot ramdisk */
        struct source_tree *tree;
        struct application application;
        uint8_t *app_config;
        size_t app_config_size;
        struct build_input *ramdisks;
        size_t n_ramdisks;
        enum ramdisk_compression compression;
        char *name, *version; /* for the metadata */
        char *image_id;       /* "sha256:…" of its configuration; or NULL */
        char *image_digest;   /* "sha256:…" of a container image's manifest or configuration; or NULL */
};

#define BUILD_PLAN_NULL ((struct build_plan){ .kernel = { .fd = -1 } })

int build_plan_make(struct build_plan *p, const struct build_request *q, struct error *reterr);
void build_plan_done(struct build_plan *p);
#define _cleanup_build_plan_ _cleanup_(build_plan_done)
