/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An enclave that is found when the daemon starts, and that has no record any more. Its plan stands in the
 * copy of its configuration too; if that is lost as well, its monitor is asked what it was given, and one
 * that does not answer is ended, since nobody could ever stop it and what it holds would be lost to the pool.
 *
 * The directory is the monitor's, and the monitor may be in the hands of its guest: the copy counts when this
 * user wrote it, and an answer for the enclave whose monitor has that uid, which brings no more than a
 * configuration has. Waiting is short, and only for what should not be.
 */

#include <jansson.h>

/* What the enclave in this directory is, in the shape of a record; or NULL. */
json_t *stranger_from_copy(int directory_fd);
json_t *stranger_from_monitor(int directory_fd);

/* End whoever listens in this directory, with its hypervisor. Nobody there is fine. */
void stranger_end(int directory_fd, const char *name);
