/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cpu_list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

unsigned cpu_list_count(const struct cpu_list *l) {
        unsigned n = 0;

        for (size_t i = 0; i < sizeof(l->bits) / sizeof(l->bits[0]); i++)
                n += (unsigned)__builtin_popcountll(l->bits[i]);
        return n;
}

unsigned cpu_list_next(const struct cpu_list *l, unsigned from) {
        while (from < CPU_NUMBER_MAX && !cpu_list_has(l, from))
                from++;
        return from;
}

static int take_number(const char **text, unsigned *ret) {
        unsigned value = 0;
        const char *p = *text;

        if (*p < '0' || *p > '9')
                return -EINVAL;
        for (; *p >= '0' && *p <= '9'; p++) {
                value = value * 10 + (unsigned)(*p - '0');
                if (value >= CPU_NUMBER_MAX)
                        return -ERANGE;
        }
        *text = p;
        *ret = value;
        return 0;
}

int cpu_list_parse(const char *text, struct cpu_list *ret) {
        struct cpu_list list = { { 0 } };
        int r;

        text += strspn(text, " \t\n");
        while (*text) {
                unsigned first, last;

                r = take_number(&text, &first);
                if (r < 0)
                        return r;
                last = first;
                if (*text == '-') {
                        text++;
                        r = take_number(&text, &last);
                        if (r < 0)
                                return r;
                }
                if (last < first)
                        return -EINVAL;
                for (unsigned cpu = first; cpu <= last; cpu++)
                        cpu_list_add(&list, cpu);
                text += strspn(text, " \t\n");
                if (!*text)
                        break;
                if (*text++ != ',')
                        return -EINVAL;
                text += strspn(text, " \t");
                if (!*text)
                        return -EINVAL;
        }
        *ret = list;
        return 0;
}

void cpu_list_format(const struct cpu_list *l, char *ret, size_t size) {
        size_t used = 0;

        ret[0] = '\0';
        for (unsigned first = cpu_list_next(l, 0); first < CPU_NUMBER_MAX && used < size;) {
                unsigned last = first;

                while (cpu_list_has(l, last + 1))
                        last++;
                used += (size_t)snprintf(ret + used, size - used, last > first ? "%s%u-%u" : "%s%u",
                                         used ? "," : "", first, last);
                first = cpu_list_next(l, last + 1);
        }
}
