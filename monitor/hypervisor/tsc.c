/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/tsc.h"

#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>

#define MEASURE_NSEC 20000000LL
#define ATTEMPTS 8

struct moment {
        uint64_t tsc;
        int64_t nsec;
};

/* A reading of both clocks as close together as can be had: being scheduled away between the two readings
 * would falsify the frequency, so the tightest of several pairs counts. */
static struct moment read_clocks(void) {
        struct moment best = { 0 };
        uint64_t best_width = UINT64_MAX;

        for (int i = 0; i < ATTEMPTS; i++) {
                struct timespec t;
                uint64_t before = __rdtsc(), after;

                if (clock_gettime(CLOCK_MONOTONIC_RAW, &t) < 0)
                        return best;
                after = __rdtsc();
                if (after - before >= best_width)
                        continue;
                best_width = after - before;
                best.tsc = before + best_width / 2;
                best.nsec = t.tv_sec * 1000000000LL + t.tv_nsec;
        }
        return best;
}

uint64_t tsc_measure_khz(void) {
        struct moment start = read_clocks(), end;
        struct timespec wait = { .tv_nsec = MEASURE_NSEC };

        (void)nanosleep(&wait, NULL);
        end = read_clocks();
        if (start.tsc == 0 || end.nsec <= start.nsec || end.tsc <= start.tsc)
                return 0;
        return (uint64_t)((__extension__(unsigned __int128)(end.tsc - start.tsc) * 1000000u) /
                          (uint64_t)(end.nsec - start.nsec));
}
#else
uint64_t tsc_measure_khz(void) {
        return 0;
}
#endif
