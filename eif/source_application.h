/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What an image says to run, by the rules of container engines: the program is Entrypoint followed by Cmd;
 * who sets another entrypoint drops the image's Cmd; who sets another Cmd keeps the entrypoint; environments
 * add up, the later value of a name counts, and there is always a PATH; a missing working directory is made.
 */

#include "eif/format.h"
#include "eif/source_tree.h"
#include "eif/string_list.h"

#define APPLICATION_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct application {
        struct string_list entrypoint, command, environment;
        char *workdir, *user; /* owned; NULL: / and root */
};

#define APPLICATION_NULL ((struct application){ .workdir = NULL })

void application_done(struct application *a);
#define _cleanup_application_ _cleanup_(application_done)

/* Fit the tree to it and refuse what could only fail in the enclave: a program that is not there or cannot be
 * executed, is for another machine or lacks its interpreter, a working directory that is a file, an unknown
 * user. Makes the working directory. */
int application_settle(const struct application *a, struct source_tree *t, enum eif_arch arch, int64_t mtime,
                       struct error *reterr);

/* The file /app.config (base/app_config.h), for the caller to free. */
int application_encode(const struct application *a, uint8_t **ret, size_t *ret_size, struct error *reterr);
