/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container images in a blob store. Every document and layer is checked against the digest by which it is
 * named, and every layer also against the configuration's diff_id.
 */

#include "eif/source.h"
#include "eif/source_blob.h"

/* An OCI image layout. tag chooses by the annotation org.opencontainers.image.ref.name; NULL: the only image.
 */
int source_oci_read(const struct blob_store *store, const char *tag, const struct source_options *options,
                    struct source *s, struct error *reterr);

/* A docker-archive (manifest.json). tag is "name:tag" or "tag"; NULL: the only image. */
int source_docker_read(const struct blob_store *store, const char *tag, const struct source_options *options,
                       struct source *s, struct error *reterr);
