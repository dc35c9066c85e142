/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The interface io.qtenclave.Monitor on the enclave's socket monitor.sock. */

#include "monitor/vm.h"

struct service;

/* What the daemon gave at the start and may ask for again; -1: not kept. */
struct given {
        int config_fd, image_fd;
};

/* listen_fd is taken, vm and given borrowed (they must outlive the service). */
int service_new(struct service **ret, sd_event *event, int listen_fd, struct vm *vm,
                const struct given *given);
struct service *service_free(struct service *s);

/* Something changed: tell those who watch; the end is the last that they hear. */
void service_announce(struct service *s);

/* Did a daemon hear of the end, or come for what was given? Else the next one still has to. */
bool service_was_heard(const struct service *s);

/* Is anybody connected who would miss the enclave? */
bool service_has_watchers(const struct service *s);

/* Call f when the last of them has gone. */
void service_on_alone(struct service *s, void (*f)(void *userdata), void *userdata);
