/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the application ramdisk holds beside /rootfs: /app.config (base/app_config.h), or in its place the
 * files /cmd and /env of images made for Nitro (one argument or NAME=VALUE a line), and /rootfs.xattrs.
 * Read, and removed from memory, before /rootfs becomes /.
 */

#include "base/app_config.h"

struct image {
        struct app_config config; /* points into config_bytes */
        uint8_t *config_bytes;
        char *attributes; /* NULL without any */
        size_t attributes_size;
};

#define IMAGE_NULL ((struct image){ .config_bytes = NULL })

int image_read(struct image *ret, struct error *reterr);
void image_done(struct image *i);

/* The bytes of an app.config that says what cmd and env say. Both are cut into lines in place; env may be
 * NULL. Empty lines of env, and the one that a final newline makes in cmd, are none. */
int image_config_from_lines(char *cmd, char *env, uint8_t **ret, size_t *ret_size, struct error *reterr);
