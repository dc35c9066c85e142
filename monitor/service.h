/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The interface io.qtenclave.Monitor on the enclave's socket monitor.sock. */

#include "monitor/vm.h"

struct service;

/* listen_fd is taken, vm borrowed (it must outlive the service). */
int service_new(struct service **ret, sd_event *event, int listen_fd, struct vm *vm);
struct service *service_free(struct service *s);

/* Something changed: tell those who watch; the end is the last that they hear. */
void service_announce(struct service *s);
