/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Extended attributes, which a cpio archive cannot carry: the file /rootfs.xattrs of the application ramdisk,
 * a row of records
 *
 *   PATH NUL NAME NUL LENGTH NUL VALUE
 *
 * PATH is a path of the image (with or without its leading slash, no ".." in it), LENGTH the decimal number
 * of bytes of VALUE. File capabilities (security.capability) are what this is mostly for.
 */

#include "base/buffer.h"
#include "base/error.h"

#define ATTRIBUTES_PATH "/rootfs.xattrs"
#define ATTRIBUTES_FILE_MAX ((size_t)16 << 20)
#define ATTRIBUTES_VALUE_MAX 65536 /* XATTR_SIZE_MAX */
#define ATTRIBUTES_NAME_MAX 255    /* XATTR_NAME_MAX */
#define ATTRIBUTES_PATH_MAX 4095

struct attribute {
        const char *path; /* into the buffer, without leading slashes */
        const char *name;
        const uint8_t *value;
        size_t size;
};

/* The next record: 1, 0 at the end, or IMAGE_INVALID. */
int attribute_next(struct reader *r, struct attribute *ret, struct error *reterr);

/* Give all of them to the files below /. What this kernel's memory file system cannot hold is counted in a
 * line on the console; anything else that fails is an error. */
int attributes_apply(const void *data, size_t size, struct error *reterr);
