/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Images in one step, as the vendors' tools make and look at them. */

#include "cli/build_image.h"

#include <jansson.h>

/* Build what the request says into its output and, with a certificate and key (both or neither), sign it.
 * Certificate and key are checked before anything is built; the file appears complete or not at all. */
int image_build(const struct build_request *q, const char *certificate, const char *key,
                struct eif_measurements *ret, struct error *reterr);

/* Sign an image in place; it keeps permissions and owner. */
int image_sign(const char *path, const char *certificate, const char *key, struct eif_measurements *ret,
               struct error *reterr);

/* A build request for what these tools call a Docker URI: a source of build-eif (oci:DIR, docker-archive:FILE
 * …) is taken as it is, everything else is a reference to a registry, ":latest" when it has no tag. */
int image_request(struct build_request *q, const char *docker_uri, const char *output, struct error *reterr);

/* Whether image_request() would ask a registry. */
bool image_is_remote(const char *docker_uri);
