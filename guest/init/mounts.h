/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The file systems of an enclave: those that booting needs, the move of the image's root to /, and those that
 * an application expects to find, as a container engine would have made them.
 */

#include "base/error.h"

/* /dev, /proc and /sys of the bootstrap ramdisk, and the console. */
int mounts_for_boot(struct error *reterr);

/* /rootfs becomes /; nothing of the bootstrap ramdisk can be reached by a path afterwards. */
int mounts_enter_image(struct error *reterr);

/* /dev, /proc, /sys and so on of the image; missing directories are made. */
int mounts_for_application(struct error *reterr);
