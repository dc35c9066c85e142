/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The JSON documents of container images: index, manifest and configuration of OCI and of Docker's schema 2,
 * and the manifest.json of docker-archive. Strict about what is used, blind to what is not. All take (text,
 * size) of at most OCI_DOCUMENT_MAX bytes and fail with SOURCE_INVALID.
 */

#include "base/error.h"
#include "eif/source_application.h"

#include <stdbool.h>
#include <stdint.h>

#define OCI_DOCUMENT_MAX ((size_t)4 << 20)
#define OCI_LIST_MAX 1000U /* manifests of an index, layers of a manifest, images of an archive */
#define OCI_DIGEST_SIZE 72 /* "sha256:", 64 lower-case digits, NUL */

enum oci_media {
        OCI_MEDIA_OTHER, /* or not told */
        OCI_MEDIA_INDEX,
        OCI_MEDIA_MANIFEST,
        OCI_MEDIA_CONFIG,
        OCI_MEDIA_LAYER,
};

struct oci_descriptor {
        enum oci_media media;
        char *media_type; /* as written; NULL: none */
        char digest[OCI_DIGEST_SIZE];
        uint64_t size;
        char *architecture, *os; /* of an index's entry; NULL: not told */
        char *tag;               /* org.opencontainers.image.ref.name; NULL: none */
};

struct oci_index {
        struct oci_descriptor *manifests;
        size_t n;
};

struct oci_manifest {
        struct oci_descriptor config;
        struct oci_descriptor *layers;
        size_t n_layers;
};

struct oci_config {
        char *architecture, *os; /* NULL: not told */
        struct application application;
        struct string_list diff_ids; /* digests of the unpacked layers */
};

/* One image of a docker-archive: names of its members. */
struct docker_image {
        char *config;
        struct string_list tags, layers;
};

struct docker_images {
        struct docker_image *images;
        size_t n;
};

int oci_index_parse(const char *text, size_t size, struct oci_index *ret, struct error *reterr);
int oci_manifest_parse(const char *text, size_t size, struct oci_manifest *ret, struct error *reterr);
int oci_config_parse(const char *text, size_t size, struct oci_config *ret, struct error *reterr);
int docker_images_parse(const char *text, size_t size, struct docker_images *ret, struct error *reterr);

void oci_index_done(struct oci_index *i);
void oci_manifest_done(struct oci_manifest *m);
void oci_config_done(struct oci_config *c);
void docker_images_done(struct docker_images *d);

/* "sha256:" and 64 lower-case digits: the only algorithm that is used in practice. */
bool oci_digest_is_valid(const char *text);
/* A layer whose media type this library knows how to read. */
bool oci_layer_is_supported(const struct oci_descriptor *layer);
