/* SPDX-License-Identifier: Apache-2.0 */

/*
 * measure COMMAND [ARGUMENT…]: run it once and print "wall user system peak", seconds and KiB, on standard
 * error's line of its own. A program so small that the peak is the command's: memory before exec counts as
 * the child's own.
 */

#include "base/cleanup.h"

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double seconds(struct timeval t) {
        return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv) {
        struct timespec from, to;
        struct rusage usage;
        int status;
        pid_t pid;

        if (argc < 2)
                return 2;
        (void)clock_gettime(CLOCK_MONOTONIC, &from);
        if (posix_spawnp(&pid, argv[1], NULL, NULL, argv + 1, environ) != 0)
                return 127;
        if (wait4(pid, &status, 0, &usage) < 0)
                return 127;
        (void)clock_gettime(CLOCK_MONOTONIC, &to);
        (void)fprintf(stderr, "%.4f %.4f %.4f %ld\n",
                      (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9,
                      seconds(usage.ru_utime), seconds(usage.ru_stime), usage.ru_maxrss);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
