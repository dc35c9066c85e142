/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Is this machine one that no hypervisor stands behind? root_fd is "/", or a directory that looks like it.
 * False when nothing tells.
 */

#include <stdbool.h>

bool machine_is_bare_metal(int root_fd);
