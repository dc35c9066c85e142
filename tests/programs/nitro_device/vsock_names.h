/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * AF_VSOCK played with UNIX sockets in the abstract namespace, for no kernel of a test machine shall open a
 * real one. A listener on PORT of CID has one name; who connects has another one that carries its CID, which
 * only this program gives out, so that a peer's CID is as certain as the kernel makes it.
 */

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* owner: the process that plays the kernel, so that two of them never meet. */
socklen_t vsock_name_listener(struct sockaddr_un *ret, int owner, uint32_t cid, uint32_t port);
socklen_t vsock_name_caller(struct sockaddr_un *ret, int owner, uint32_t cid, uint32_t port);

/* -ENOENT: not the name of a caller. */
int vsock_name_parse(const struct sockaddr_un *address, socklen_t length, uint32_t *ret_cid,
                     uint32_t *ret_port);

/* Blocking helpers for the guest's side; negative errno. */
int vsock_listen(int owner, uint32_t cid, uint32_t port);
int vsock_dial(int owner, uint32_t from_cid, uint32_t cid, uint32_t port);
