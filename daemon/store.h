/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Facts about enclaves on disk, below the runtime directory (a tmpfs: they live as long as the enclaves
 * could):
 *
 *   state/NAME.json     the daemon's own record, readable by nobody else
 *   enclaves/NAME/      the enclave's directory, owned by its monitor: config.json (a copy of what the
 * monitor got, and what of the record is for its whole life), monitor.sock, end (last facts), and the sockets
 * of its vsock
 *
 * Records are versioned; loading is tolerant: what is missing gets a default, what is broken is reported and
 * left out, and so is a record of a newer version: the monitor of an enclave that lives knows what it is.
 */

#include "daemon/enclave.h"

#define STORE_VERSION 1

/* Write the record of an enclave; a failure (disk full, read-only) is logged by the caller and costs nothing
 * but the memory of it after a restart. */
int store_save(int state_fd, const struct enclave *e);
void store_forget(int state_fd, const char *name);

/* From a record, or from the config.json of an enclave's directory. Fills plan, state, times and what else is
 * known. -EINVAL when it makes no sense, -ENOTSUP when it is of a newer version. Pure. */
int store_load(const json_t *record, struct enclave *e);
json_t *store_record(const struct enclave *e);

/* Of a record, what holds from the first start to the last: of which image, since when, and whether it is to
 * be started again. NULL: out of memory, or no record. */
json_t *store_lasting(const json_t *record);

/* Remove a directory that may have been filled by a stranger: no link is followed, depth and number are
 * bounded. */
void remove_directory(int parent_fd, const char *name);
