/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What runs inside an enclave: the file /app.config of the application ramdisk. Written when an image is
 * built, measured with it, read by qt-init.
 *
 * The file is a row of records, each ended by one NUL byte (so that an argument may hold spaces, newlines,
 * quotes or nothing at all, and no quoting rule can ever change what is executed):
 *
 *   arg=TEXT       one element of argv; in order; at least one, and the first is not empty
 *   env=NAME=TEXT  one element of the environment; a name stands once and is not empty
 *   workdir=/PATH  where the application starts; at most once, absolute; / when missing
 *   user=NAME[:GROUP] or UID[:GID], mixed as you like; at most once; root when missing
 *
 * Any other key is refused: an old qt-init must not quietly drop what a newer builder asked for.
 */

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define APP_CONFIG_PATH "/app.config"

/* The kernel takes no string beyond 128 KiB (MAX_ARG_STRLEN) and, with the usual 8 MiB stack, 2 MiB of them
 * together; half of that leaves room for what qt-init adds. */
#define APP_CONFIG_SIZE_MAX ((size_t)1 << 20)
#define APP_CONFIG_TEXT_MAX ((size_t)(128 << 10) - 1) /* value of one record, without its NUL */
#define APP_CONFIG_LIST_MAX 4096                      /* arguments; and, on their own, environment entries */
#define APP_CONFIG_WORKDIR_MAX 4095
#define APP_CONFIG_USER_MAX 255

/* The arrays end with NULL. As filled by the parser the arrays are owned, and every string points into the
 * buffer that was parsed, which must outlive this. */
struct app_config {
        char **arguments;
        char **environment; /* "NAME=TEXT" */
        const char *workdir;
        const char *user;
};

#define APP_CONFIG_NULL ((struct app_config){ .arguments = NULL })

/* Fails with IMAGE_INVALID (IMAGE_TOO_LARGE beyond a limit), naming the record. */
int app_config_parse(struct app_config *ret, const void *data, size_t size, struct error *reterr);
void app_config_done(struct app_config *c);
#define _cleanup_app_config_ _cleanup_(app_config_done)

/* The bytes of the file, for the caller to free. workdir and user may be NULL or empty (left out),
 * environment may be NULL. Of two environment entries with one name the later one counts, as when an image's
 * environment is followed by that of the command line. The same rules as the parser's, the same errors. */
int app_config_encode(const struct app_config *c, uint8_t **ret, size_t *ret_size, struct error *reterr);

/* Split "NAME[:GROUP]" at its colon and check both halves' alphabet and length: neither may be empty, nor
 * hold a colon, a slash, or anything outside printable ASCII. *ret_group is "" when there is none. */
int app_config_split_user(const char *user, char *ret_name, char *ret_group, struct error *reterr);
