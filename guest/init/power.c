/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/power.h"

#include <stdbool.h>
#include <sys/reboot.h>
#include <unistd.h>

static bool has_acpi;

void power_learn(void) {
        has_acpi = access("/sys/firmware/acpi", F_OK) == 0;
}

void power_off(void) {
        sync();
        /* Without ACPI "power off" only halts, and the virtual machine would stay for ever; each hypervisor
         * that runs enclaves ends one that resets. */
        if (has_acpi)
                (void)reboot(RB_POWER_OFF);
        (void)reboot(RB_AUTOBOOT);
        for (;;)
                (void)pause();
}
