/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the parent sees of its CPUs in a tree like /sys (tests/scenario/invented_machine.py makes one): those
 * in the driver's pool are offline, their topology is not there, and no node lists them.
 */

#include "tests/programs/nitro_device/device_model.h"

/* Make the tree show the pool as it is now. Nothing happens without a tree (NULL). */
int parent_cpus_show(const struct ne_device *d, const char *tree);
