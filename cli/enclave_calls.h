/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What `run` and both personalities ask the daemon for. o is a command's options; its table has --socket. */

#include "base/options.h"

#include <jansson.h>

/* With the user's own rights; the daemon gets only the descriptor. */
int enclave_open_image(const char *path, int *ret_fd, struct error *reterr);

/* Method "Run": the image is opened with the user's own rights. parameters hold all but Image and ImagePath,
 * and are stolen. Returns when the enclave is running; *ret_enclave is the caller's. */
int enclave_start(const struct options *o, const char *path, json_t *parameters, json_t **ret_enclave,
                  struct error *reterr);

/* End a living enclave and forget it, as the vendors' tools do. */
int enclave_stop(const struct options *o, const char *name, struct error *reterr);

/* The console of a debug-mode enclave, for stream_print_for(). */
int enclave_console(const struct options *o, const char *name, int *ret_fd, struct error *reterr);

/* ImageName, ImageVersion and Metadata of a living enclave's image into document, as eif_set_metadata() has
 * them; nothing of one that has none, or none yet. */
int enclave_metadata(const struct options *o, const char *name, json_t *document, struct error *reterr);

/* {member: value} with these members of the enclave, in this order; NULL ends the names. A member that the
 * daemon did not send is left out. */
json_t *enclave_pick(const json_t *enclave, const char *const *members);
