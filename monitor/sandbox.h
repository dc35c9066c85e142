/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The monitor's own cage: it parses what a hostile guest sends, so once the hypervisor runs it gives up every
 * system call that its loop does not need: no new programs, no new threads, no network, no ptrace. A call
 * outside the list ends the process, and QEMU with it.
 */

#include "base/error.h"

/* ERROR_INTERNAL when the kernel has no seccomp filters. Irrevocable. native_vsock: sockets of AF_VSOCK may
 * be made too, to reach an enclave of real hardware. */
int sandbox_enter(bool native_vsock, struct error *reterr);
