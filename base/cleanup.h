/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Scope-bound ownership: every owning local is declared with _cleanup_() and initialised, and leaves its
 * scope either through TAKE() (handed over) or through its destructor. Destructors accept "nothing" (NULL,
 * -1).
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))

/* Hand a pointer over: evaluates to its value and leaves NULL behind. */
#define TAKE(p)                                     \
        ({                                          \
                __typeof__(p) *take_from_ = &(p);   \
                __typeof__(p) taken_ = *take_from_; \
                *take_from_ = NULL;                 \
                taken_;                             \
        })

/* The same for a descriptor; leaves -1 behind. */
#define TAKE_FD(fd)                       \
        ({                                \
                int *take_from_ = &(fd);  \
                int taken_ = *take_from_; \
                *take_from_ = -1;         \
                taken_;                   \
        })

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))

/* Define type_freep() for _cleanup_() from a destructor that takes the pointer. */
#define DEFINE_CLEANUP(type, destroy)            \
        static inline void destroy##p(type *p) { \
                if (*p)                          \
                        (void)destroy(*p);       \
                *p = NULL;                       \
        }

static inline void freep(void *p) {
        free(*(void **)p);
        *(void **)p = NULL;
}

/* Close a descriptor without touching errno; returns -1, so that `fd = close_fd(fd)` reads well. */
int close_fd(int fd);

static inline void close_fdp(int *fd) {
        *fd = close_fd(*fd);
}

DEFINE_CLEANUP(FILE *, fclose)
DEFINE_CLEANUP(DIR *, closedir)

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(close_fdp)
