/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/clock.h"
#include "guest/init/console.h"

#include "base/io.h"

#include <fcntl.h>
#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define USEC_PER_SEC 1000000
#define EARLIEST (1704067200ull * USEC_PER_SEC) /* 2024-01-01 */
#define LATEST (7258118400ull * USEC_PER_SEC)   /* 2200-01-01 */
#define TOLERATED_USEC 1000
#define SLEWED_USEC 500000

enum clock_action clock_decide(uint64_t parent_usec, int64_t offset_usec, bool application_runs) {
        if (parent_usec < EARLIEST || parent_usec >= LATEST)
                return CLOCK_REFUSED;
        if (offset_usec >= -TOLERATED_USEC && offset_usec <= TOLERATED_USEC)
                return CLOCK_KEPT;
        if (!application_runs)
                return CLOCK_SET;
        if (offset_usec >= -SLEWED_USEC && offset_usec <= SLEWED_USEC)
                return CLOCK_SLEWED;
        return offset_usec > 0 ? CLOCK_SET : CLOCK_REFUSED;
}

const char *clock_action_name(enum clock_action action) {
        static const char *const names[CLOCK_ACTION_MAX] = {
                [CLOCK_KEPT] = "kept",
                [CLOCK_SLEWED] = "slewed",
                [CLOCK_SET] = "set",
                [CLOCK_REFUSED] = "refused",
        };

        return names[action];
}

int clock_follow(uint64_t parent_usec, bool application_runs, enum clock_action *ret,
                 int64_t *ret_offset_usec, struct error *reterr) {
        struct timespec now, wanted;
        struct timeval slew;
        int64_t offset;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        /* parent_usec is at most INT64_MAX (command_parse), and our own clock is nowhere near its end. */
        offset = (int64_t)parent_usec - ((int64_t)now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000);
        *ret_offset_usec = offset;
        *ret = clock_decide(parent_usec, offset, application_runs);
        switch (*ret) {
        case CLOCK_SET:
                wanted = (struct timespec){ .tv_sec = (time_t)(parent_usec / USEC_PER_SEC),
                                            .tv_nsec = (long)(parent_usec % USEC_PER_SEC) * 1000 };
                if (clock_settime(CLOCK_REALTIME, &wanted) < 0)
                        return error_set_errno(reterr, ERROR_INTERNAL, errno, "the clock cannot be set");
                return 0;
        case CLOCK_SLEWED:
                slew = (struct timeval){ .tv_usec = offset };
                if (adjtime(&slew, NULL) < 0)
                        return error_set_errno(reterr, ERROR_INTERNAL, errno, "the clock cannot be slewed");
                return 0;
        default:
                return 0;
        }
}

void clock_check_source(void) {
        _cleanup_free_ char *source = NULL;

        if (read_text_file(AT_FDCWD, "/sys/devices/system/clocksource/clocksource0/current_clocksource", 256,
                           &source, NULL) < 0)
                return;
        source[strcspn(source, "\n")] = 0;
        if (strcmp(source, "jiffies") == 0 || strcmp(source, "refined-jiffies") == 0)
                console_say("the kernel's clock source is %s: times are only good to some milliseconds",
                            source);
}
