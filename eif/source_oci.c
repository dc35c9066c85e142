/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source_oci.h"

#include "base/parse.h"
#include "eif/layer.h"
#include "eif/layer_stream.h"
#include "eif/oci.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>

#define NESTED_MAX 4 /* indexes within indexes */
/* Headers of a million entries, beside their contents: to be read, not to be kept. */
#define OVERHEAD ((uint64_t)1 << 30)

static int no_memory(struct error *reterr) {
        return error_set(reterr, ERROR_INTERNAL, "out of memory");
}

static int check_digest(const char *text, size_t size, const char *expected, struct error *reterr) {
        char hex[65];
        uint8_t digest[32];

        if (EVP_Digest(text, size, digest, NULL, EVP_sha256(), NULL) != 1)
                return error_set(reterr, ERROR_INTERNAL, "SHA-256 failed");
        format_hex(digest, sizeof(digest), hex);
        if (strcmp(hex, expected + 7) == 0)
                return 0;
        return error_set(reterr, ERROR_SOURCE_INVALID,
                         "blob %s has the digest sha256:%s; the image is damaged", expected, hex);
}

/* "blobs/sha256/…" */
static char *blob_name(const char *digest) {
        char *name;

        return asprintf(&name, "blobs/sha256/%s", digest + 7) < 0 ? NULL : name;
}

static int read_document(const struct blob_store *store, const struct oci_descriptor *d, char **ret,
                         size_t *ret_size, struct error *reterr) {
        _cleanup_free_ char *name = blob_name(d->digest), *text = NULL;
        size_t size;
        int r;

        if (!name)
                return no_memory(reterr);
        r = blob_store_read(store, name, OCI_DOCUMENT_MAX, &text, &size, reterr);
        if (r < 0)
                return r;
        if (size != d->size)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "blob %s has %zu bytes and should have %" PRIu64 "; the image is damaged",
                                 d->digest, size, d->size);
        r = check_digest(text, size, d->digest, reterr);
        if (r < 0)
                return r;
        *ret = TAKE(text);
        *ret_size = size;
        return 0;
}

static const char *docker_arch(enum eif_arch arch) {
        return arch == EIF_ARCH_AARCH64 ? "arm64" : "amd64";
}

/* Whether an index's entry can be what is looked for; one that says nothing of its platform can. */
static bool fits(const struct oci_descriptor *d, const struct source_options *options) {
        return (!d->os || strcmp(d->os, "linux") == 0) &&
               (!d->architecture || strcmp(d->architecture, docker_arch(options->arch)) == 0);
}

/* Tags as written, or the last part of "registry/name:tag". */
static bool tag_is(const char *have, const char *wanted) {
        const char *colon;

        if (!have)
                return false;
        if (strcmp(have, wanted) == 0)
                return true;
        colon = strrchr(have, ':');
        return colon && !strchr(colon, '/') && strcmp(colon + 1, wanted) == 0;
}

/* The tags that there are, for a message. */
struct tag_names {
        char text[256];
        size_t size;
        const char *last; /* an image for several machines has its tag as often */
};

static void tag_names_add(struct tag_names *names, const char *tag) {
        size_t n = tag ? strlen(tag) : 0;

        if (n == 0 || (names->last && strcmp(names->last, tag) == 0) ||
            n + sizeof(", ") > sizeof(names->text) - names->size)
                return;
        names->size += (size_t)snprintf(names->text + names->size, sizeof(names->text) - names->size, "%s%s",
                                        names->size ? ", " : "", tag);
        names->last = tag;
}

static int no_such_tag(const char *tag, const struct tag_names *have, struct error *reterr) {
        return have->size ? error_set(reterr, ERROR_SOURCE_INVALID, "no image has the tag %s; there are %s",
                                      tag, have->text)
                          : error_set(reterr, ERROR_SOURCE_INVALID,
                                      "no image has the tag %s, nor any other; leave it out", tag);
}

static int choose(const struct oci_index *index, const char *tag, const struct source_options *options,
                  const struct oci_descriptor **ret, struct error *reterr) {
        const struct oci_descriptor *found = NULL;
        struct tag_names have = { .size = 0 };
        size_t n_tagged = 0, n = 0;

        for (size_t i = 0; i < index->n; i++) {
                const struct oci_descriptor *d = &index->manifests[i];

                tag_names_add(&have, d->tag);
                if (tag && !tag_is(d->tag, tag))
                        continue;
                n_tagged++;
                if (!fits(d, options))
                        continue;
                if (!found || strcmp(found->digest, d->digest) != 0)
                        n++;
                if (!found)
                        found = d;
        }
        if (n == 1) {
                *ret = found;
                return 0;
        }
        if (n > 1)
                return error_set(
                        reterr, ERROR_SOURCE_INVALID,
                        "%zu images fit; choose one with its tag (…:TAG), as in the index's annotations", n);
        if (tag && n_tagged == 0)
                return no_such_tag(tag, &have, reterr);
        return error_set(reterr, ERROR_SOURCE_INVALID,
                         "no image is for linux/%s; give another --arch or another image",
                         docker_arch(options->arch));
}

/* The list of images, or that this is the other kind of archive. */
static int read_list(const struct blob_store *store, const char *name, const char *other,
                     const char *its_kind, char **ret, size_t *ret_size, struct error *reterr) {
        if (!blob_store_has(store, name) && blob_store_has(store, other))
                return error_set(reterr, ERROR_SOURCE_INVALID, "there is no %s but %s: give it as %s", name,
                                 other, its_kind);
        return blob_store_read(store, name, OCI_DOCUMENT_MAX, ret, ret_size, reterr);
}

/* From the index down through nested indexes to one manifest. */
static int find_manifest(const struct blob_store *store, const char *tag,
                         const struct source_options *options, struct oci_manifest *ret, char **ret_digest,
                         char **ret_name, struct error *reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_list(store, "index.json", "manifest.json", "docker-archive:", &text, &size, reterr);
        for (unsigned depth = 0; r >= 0 && depth < NESTED_MAX; depth++) {
                _cleanup_(oci_index_done) struct oci_index index = { .n = 0 };
                const struct oci_descriptor *d = NULL;

                r = oci_index_parse(text, size, &index, reterr);
                if (r >= 0)
                        r = choose(&index, depth == 0 ? tag : NULL, options, &d, reterr);
                if (r < 0)
                        return r;
                if (d->tag && !*ret_name && !(*ret_name = strdup(d->tag)))
                        return no_memory(reterr);
                text = (free(text), NULL);
                r = read_document(store, d, &text, &size, reterr);
                if (r < 0)
                        return r;
                if (d->media != OCI_MEDIA_INDEX) {
                        *ret_digest = strdup(d->digest);
                        return *ret_digest ? oci_manifest_parse(text, size, ret, reterr) : no_memory(reterr);
                }
        }
        return r < 0 ? r
                     : error_set(reterr, ERROR_SOURCE_INVALID, "more than %d indexes within each other",
                                 NESTED_MAX);
}

static int check_config(const struct oci_config *c, size_t n_layers, const struct source_options *options,
                        struct error *reterr) {
        if (c->os && *c->os && strcmp(c->os, "linux") != 0)
                return error_set(reterr, ERROR_SOURCE_INVALID, "the image is for %s; an enclave runs Linux",
                                 c->os);
        if (c->architecture && *c->architecture && strcmp(c->architecture, docker_arch(options->arch)) != 0)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "the image is for %s, not %s; give another --arch or another image",
                                 c->architecture, docker_arch(options->arch));
        if (c->diff_ids.n != n_layers)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "the image has %zu layers, and its configuration names %zu", n_layers,
                                 c->diff_ids.n);
        return 0;
}

struct unpacking {
        const struct source_options *options;
        struct source_tree *tree;
        uint64_t taken; /* bytes of all layers so far */
        struct source_work work;
};

/* expected: the blob's digest, or NULL when it has none of its own. */
static int apply_layer(struct unpacking *u, const struct blob *blob, const char *expected,
                       const char *diff_id, size_t number, struct error *reterr) {
        char what[LAYER_DIGEST_SIZE + 32], of_blob[LAYER_DIGEST_SIZE], of_content[LAYER_DIGEST_SIZE];
        const struct layer_options options = {
                .number = (uint16_t)number,
                .latest = u->options->mtime,
                .clamp = u->options->clamp_mtime,
                .size_limit = u->options->max_size,
                .work = &u->work,
                .what = what,
        };
        _cleanup_(layer_stream_freep) struct layer_stream *stream = NULL;
        struct byte_source source;
        int r;

        (void)snprintf(what, sizeof(what), "layer %zu (%.20s…)", number, expected ? expected : diff_id);
        r = layer_stream_new(&stream, blob, what, reterr);
        if (r < 0)
                return r;
        layer_stream_limit(stream, u->options->max_size + OVERHEAD - u->taken);
        source = layer_stream_source(stream);
        r = layer_apply(u->tree, &source, &options, reterr);
        if (r >= 0)
                r = layer_stream_finish(stream, of_blob, of_content, reterr);
        if (r < 0)
                return r;
        u->taken += layer_stream_taken(stream);
        if (expected && strcmp(expected, of_blob) != 0)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "layer %zu: blob %s has the digest %s; the image is damaged", number,
                                 expected, of_blob);
        if (strcmp(diff_id, of_content) != 0)
                return error_set(
                        reterr, ERROR_SOURCE_INVALID,
                        "layer %zu unpacks to %s, and the configuration says %s; the image is damaged",
                        number, of_content, diff_id);
        return 0;
}

static int apply_layers(const struct blob_store *store, const struct oci_manifest *m,
                        const struct oci_config *c, const struct source_options *options, struct source *s,
                        struct error *reterr) {
        struct unpacking u = { .options = options, .tree = s->tree };

        for (size_t i = 0; i < m->n_layers; i++) {
                _cleanup_free_ char *name = blob_name(m->layers[i].digest);
                _cleanup_(blob_done) struct blob blob = BLOB_NULL;
                int r;

                if (!name)
                        return no_memory(reterr);
                if (!oci_layer_is_supported(&m->layers[i]))
                        return error_set(reterr, ERROR_SOURCE_INVALID,
                                         "layer %zu has the media type %.128s; layers must be tar, tar+gzip "
                                         "or tar+zstd",
                                         i + 1, m->layers[i].media_type ? m->layers[i].media_type : "(none)");
                r = blob_store_open(store, name, &blob, reterr);
                if (r < 0)
                        return r;
                if (blob.size != m->layers[i].size)
                        return error_set(reterr, ERROR_SOURCE_INVALID,
                                         "layer %zu has %" PRIu64 " bytes and should have %" PRIu64
                                         "; the image is damaged",
                                         i + 1, blob.size, m->layers[i].size);
                r = apply_layer(&u, &blob, m->layers[i].digest, c->diff_ids.items[i], i + 1, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int source_oci_read(const struct blob_store *store, const char *tag, const struct source_options *options,
                    struct source *s, struct error *reterr) {
        _cleanup_(oci_manifest_done) struct oci_manifest manifest = { .n_layers = 0 };
        _cleanup_(oci_config_done) struct oci_config config = { .os = NULL };
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = find_manifest(store, tag, options, &manifest, &s->digest, &s->name, reterr);
        if (r >= 0)
                r = read_document(store, &manifest.config, &text, &size, reterr);
        if (r >= 0)
                r = oci_config_parse(text, size, &config, reterr);
        if (r >= 0)
                r = check_config(&config, manifest.n_layers, options, reterr);
        if (r >= 0)
                r = apply_layers(store, &manifest, &config, options, s, reterr);
        if (r < 0)
                return r;
        s->id = strdup(manifest.config.digest);
        if (!s->id)
                return no_memory(reterr);
        s->application = config.application;
        config.application = APPLICATION_NULL;
        return 0;
}

static int choose_image(const struct docker_images *d, const char *tag, const struct docker_image **ret,
                        struct error *reterr) {
        struct tag_names have = { .size = 0 };

        for (size_t i = 0; i < d->n; i++)
                for (size_t k = 0; tag && k < d->images[i].tags.n; k++) {
                        if (tag_is(d->images[i].tags.items[k], tag)) {
                                *ret = &d->images[i];
                                return 0;
                        }
                        tag_names_add(&have, d->images[i].tags.items[k]);
                }
        if (tag)
                return no_such_tag(tag, &have, reterr);
        if (d->n != 1)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "the archive holds %zu images; choose one with its tag (…:TAG)", d->n);
        *ret = &d->images[0];
        return 0;
}

static int apply_docker_layers(const struct blob_store *store, const struct docker_image *image,
                               const struct oci_config *c, const struct source_options *options,
                               struct source *s, struct error *reterr) {
        struct unpacking u = { .options = options, .tree = s->tree };

        for (size_t i = 0; i < image->layers.n; i++) {
                _cleanup_(blob_done) struct blob blob = BLOB_NULL;
                int r;

                r = blob_store_open(store, image->layers.items[i], &blob, reterr);
                if (r >= 0)
                        r = apply_layer(&u, &blob, NULL, c->diff_ids.items[i], i + 1, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int source_docker_read(const struct blob_store *store, const char *tag, const struct source_options *options,
                       struct source *s, struct error *reterr) {
        _cleanup_(docker_images_done) struct docker_images images = { .n = 0 };
        _cleanup_(oci_config_done) struct oci_config config = { .os = NULL };
        _cleanup_free_ char *list = NULL, *text = NULL;
        const struct docker_image *image = NULL;
        uint8_t digest[32];
        char hex[65];
        size_t size;
        int r;

        r = read_list(store, "manifest.json", "index.json", "oci-archive:", &list, &size, reterr);
        if (r >= 0)
                r = docker_images_parse(list, size, &images, reterr);
        if (r >= 0)
                r = choose_image(&images, tag, &image, reterr);
        if (r >= 0)
                r = blob_store_read(store, image->config, OCI_DOCUMENT_MAX, &text, &size, reterr);
        if (r >= 0)
                r = oci_config_parse(text, size, &config, reterr);
        if (r >= 0)
                r = check_config(&config, image->layers.n, options, reterr);
        if (r >= 0)
                r = apply_docker_layers(store, image, &config, options, s, reterr);
        if (r < 0)
                return r;
        if (EVP_Digest(text, size, digest, NULL, EVP_sha256(), NULL) != 1)
                return error_set(reterr, ERROR_INTERNAL, "SHA-256 failed");
        format_hex(digest, sizeof(digest), hex);
        if (asprintf(&s->digest, "sha256:%s", hex) < 0 || !(s->id = strdup(s->digest)) ||
            (image->tags.n > 0 && !(s->name = strdup(image->tags.items[0]))))
                return no_memory(reterr);
        s->application = config.application;
        config.application = APPLICATION_NULL;
        return 0;
}
