/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A set of CPU numbers, and the kernel's way to write one: "0-3,8,10-11". Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_NUMBER_MAX 4096 /* numbers are below this */

struct cpu_list { /* not cpu_set_t's name, which is fixed at 1024 */
        uint64_t bits[CPU_NUMBER_MAX / 64];
};

static inline bool cpu_list_has(const struct cpu_list *l, unsigned cpu) {
        return cpu < CPU_NUMBER_MAX && l->bits[cpu / 64] >> cpu % 64 & 1;
}

static inline void cpu_list_add(struct cpu_list *l, unsigned cpu) {
        l->bits[cpu / 64] |= UINT64_C(1) << cpu % 64;
}

static inline void cpu_list_remove(struct cpu_list *l, unsigned cpu) {
        l->bits[cpu / 64] &= ~(UINT64_C(1) << cpu % 64);
}

unsigned cpu_list_count(const struct cpu_list *l);

/* The smallest member from `from` on, or CPU_NUMBER_MAX. */
unsigned cpu_list_next(const struct cpu_list *l, unsigned from);

/* Blanks and a final new line are fine, an empty text is the empty list; -EINVAL, -ERANGE. */
int cpu_list_parse(const char *text, struct cpu_list *ret);

/* Cut at the end of the buffer. */
void cpu_list_format(const struct cpu_list *l, char *ret, size_t size);
