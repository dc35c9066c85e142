/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whether /dev/kvm really runs guests. That it exists and opens proves nothing: a nested or para-virtual KVM
 * may interpret instructions one by one and die on the first that its interpreter does not know. So a
 * virtual machine is made that executes `lock cmpxchg16b; hlt` in 64-bit mode, which every Linux kernel
 * needs; anything but a halt means no.
 *
 * false writes the reason for a person into *ret_why (static text).
 */

#include <stdbool.h>

bool kvm_probe(const char **ret_why);
