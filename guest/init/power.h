/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The end of the virtual machine. Never returns. Needs no mounted file system, but must be asked what the
 * firmware can before /sys goes away. */

void power_learn(void);
_Noreturn void power_off(void);
