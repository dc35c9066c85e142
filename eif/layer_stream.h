/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The bytes of a blob as they were before gzip or zstd packed them (or as they are), with SHA-256 over both
 * sides computed on the way.
 */

#include "eif/layer_tar.h"
#include "eif/source_blob.h"

#define LAYER_DIGEST_SIZE 72 /* "sha256:", 64 digits, NUL */

struct layer_stream;

/* The blob is borrowed; what names it in messages and is borrowed too. */
int layer_stream_new(struct layer_stream **ret, const struct blob *blob, const char *what,
                     struct error *reterr);
struct layer_stream *layer_stream_free(struct layer_stream *s);
DEFINE_CLEANUP(struct layer_stream *, layer_stream_free)

bool layer_stream_is_packed(const struct layer_stream *s);
struct byte_source layer_stream_source(struct layer_stream *s);

/* Bytes that may come out in all, from here on; IMAGE_TOO_LARGE beyond. */
void layer_stream_limit(struct layer_stream *s, uint64_t bytes);
uint64_t layer_stream_taken(const struct layer_stream *s);

/* Read what is left and give the digests ("sha256:…") of the blob and of what was in it. */
int layer_stream_finish(struct layer_stream *s, char ret_blob[LAYER_DIGEST_SIZE],
                        char ret_content[LAYER_DIGEST_SIZE], struct error *reterr);
