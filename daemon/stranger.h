/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A monitor that is found when the daemon starts, and that no file tells anything about: its record and the
 * copy of its configuration are lost. It is asked for the configuration that it was given; one that does not
 * answer is ended, since nobody could ever stop it and what it holds would be lost to the pool.
 *
 * Both wait, but not long, and only for what should not be.
 */

#include <jansson.h>

/* What the enclave in this directory is, in the shape of a config.json; or NULL. */
json_t *stranger_configuration(int directory_fd);

/* End whoever listens in this directory, with its hypervisor. Nobody there is fine. */
void stranger_end(int directory_fd, const char *name);
