/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The proxy's event loop: epoll, level-triggered, a batch at a time. A watch that is removed while its batch
 * is still being served is not called any more, and freed after it, so that one connection may end another.
 */

#include "base/cleanup.h"
#include "base/io.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;
struct watch;

typedef void (*watch_callback)(void *userdata, uint32_t events);

int loop_new(struct loop **ret);
void loop_free(struct loop *loop);
DEFINE_CLEANUP(struct loop *, loop_free)

/* fd stays the caller's and must live until watch_remove(). */
int loop_watch(struct loop *loop, int fd, uint32_t events, watch_callback callback, void *userdata,
               struct watch **ret);

/* events 0 takes the descriptor out of epoll: EPOLLHUP cannot be masked there and would spin. */
int watch_set(struct watch *watch, uint32_t events);
struct watch *watch_remove(struct watch *watch); /* returns NULL */

/* Serve events until loop_stop(); 0 or a negative errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Wall-clock time, which ends and dates are given in; base/io.h has the monotonic one. */
uint64_t now_realtime_usec(void);
