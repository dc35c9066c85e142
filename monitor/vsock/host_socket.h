/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How programs of the parent reach a guest's vsock, and are reached, without a vsock of their own kernel:
 *
 *   parent to guest: connect to the UNIX socket NAME, send "CONNECT P\n", read "OK n\n" (n: the port at this
 * end), then the stream is the guest's. Nobody listens there: the connection ends without an answer. guest to
 * parent: a program listens on the UNIX socket NAME_P; a guest's connection to port P arrives there.
 *
 * These are the conventions of Firecracker's and vhost-device's hybrid sockets, so that their tools work
 * here.
 */

#include "base/cleanup.h"

#include <stdint.h>

struct host_socket;
struct vsock_device;

/* A listening socket, close-on-exec and non-blocking, bound to name below dir_fd; a stale socket of that name
 * is replaced. Returns the descriptor or a negative errno. */
int host_socket_listen(int dir_fd, const char *name);

/* Connect to NAME_port below dir_fd, whatever the length of the directory's path: a non-blocking socket, or a
 * negative errno (-ECONNREFUSED also when there is no such file; -EAGAIN: the listener's backlog is full). */
int host_socket_dial(int dir_fd, const char *name, uint32_t port);

/* Serve the parent-to-guest side on a listening socket, which is taken (also on failure). The device is
 * borrowed: free it first (its pending connects then report back here), then this. */
int host_socket_new(struct host_socket **ret, int listen_fd, struct vsock_device *device);

/* Poll for input, then dispatch: the same contract as the device's. Dispatch fails only when the listener is
 * unusable. */
int host_socket_fd(const struct host_socket *socket);
int host_socket_dispatch(struct host_socket *socket);

void host_socket_free(struct host_socket *socket);
DEFINE_CLEANUP(struct host_socket *, host_socket_free)
