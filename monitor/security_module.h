/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The security module of one virtual machine: secmod/ with this monitor's configuration, and the measurements
 * of what was really loaded. */

#include "monitor/config.h"
#include "monitor/image.h"
#include "monitor/secmod/secmod.h"

/* directory_fd: the monitor's own, which holds the development PKI when the configuration names no other
 * place. *ret is NULL when the platform's hypervisor brings a module of its own. CONFIG_INVALID, and as
 * secmod_new(). */
int security_module_new(struct secmod **ret, sd_event *event, const struct monitor_config *config,
                        const struct image *image, int directory_fd, struct error *reterr);
