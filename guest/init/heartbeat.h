/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * "The enclave has booted": one byte to the parent's port 9000, which sends it back. The same as Nitro's and
 * QingTian's own images do, so that each parent understands each image.
 */

#include "base/error.h"

#define HEARTBEAT_BYTE 0xb7

/* The transport may appear a moment after its driver, and a busy parent may be late: tried again for so long.
 * After that the enclave ends: without its one channel nobody could ever use it. */
#define HEARTBEAT_PATIENCE_MSEC 20000

int heartbeat_send(struct error *reterr);
