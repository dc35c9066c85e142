/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The frequency of this host's time stamp counter in kHz, measured against CLOCK_MONOTONIC_RAW for 20 ms.
 * TCG hands the host's counter to the guest, whose kernel cannot calibrate it on a busy host: microvm has no
 * HPET and no PM timer, and without being told the frequency the boot hangs. 0 on failure.
 */

#include <stdint.h>

uint64_t tsc_measure_khz(void);
