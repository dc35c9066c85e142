/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/oci.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#define REF_NAME "org.opencontainers.image.ref.name"
#define TEXT_LIST_MAX 10000U /* strings of Env, Cmd, Entrypoint */

static const struct {
        const char *type;
        enum oci_media media;
} media_types[] = {
        { "application/vnd.oci.image.index.v1+json", OCI_MEDIA_INDEX },
        { "application/vnd.docker.distribution.manifest.list.v2+json", OCI_MEDIA_INDEX },
        { "application/vnd.oci.image.manifest.v1+json", OCI_MEDIA_MANIFEST },
        { "application/vnd.docker.distribution.manifest.v2+json", OCI_MEDIA_MANIFEST },
        { "application/vnd.oci.image.config.v1+json", OCI_MEDIA_CONFIG },
        { "application/vnd.docker.container.image.v1+json", OCI_MEDIA_CONFIG },
        { "application/vnd.oci.image.layer.v1.tar", OCI_MEDIA_LAYER },
        { "application/vnd.oci.image.layer.v1.tar+gzip", OCI_MEDIA_LAYER },
        { "application/vnd.oci.image.layer.v1.tar+zstd", OCI_MEDIA_LAYER },
        { "application/vnd.oci.image.layer.nondistributable.v1.tar", OCI_MEDIA_LAYER },
        { "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", OCI_MEDIA_LAYER },
        { "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", OCI_MEDIA_LAYER },
        { "application/vnd.docker.image.rootfs.diff.tar", OCI_MEDIA_LAYER },
        { "application/vnd.docker.image.rootfs.diff.tar.gzip", OCI_MEDIA_LAYER },
        { "application/vnd.docker.image.rootfs.diff.tar.zstd", OCI_MEDIA_LAYER },
        { "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", OCI_MEDIA_LAYER },
};

static int invalid(struct error *reterr, const char *what) {
        return error_set(reterr, ERROR_SOURCE_INVALID, "%s", what);
}

static int no_memory(struct error *reterr) {
        return error_set(reterr, ERROR_INTERNAL, "out of memory");
}

static void descriptor_done(struct oci_descriptor *d) {
        free(d->media_type);
        free(d->architecture);
        free(d->os);
        free(d->tag);
}

void oci_index_done(struct oci_index *i) {
        for (size_t k = 0; k < i->n; k++)
                descriptor_done(&i->manifests[k]);
        free(i->manifests);
        *i = (struct oci_index){ .n = 0 };
}

void oci_manifest_done(struct oci_manifest *m) {
        descriptor_done(&m->config);
        for (size_t k = 0; k < m->n_layers; k++)
                descriptor_done(&m->layers[k]);
        free(m->layers);
        *m = (struct oci_manifest){ .n_layers = 0 };
}

void oci_config_done(struct oci_config *c) {
        free(c->architecture);
        free(c->os);
        application_done(&c->application);
        string_list_done(&c->diff_ids);
        *c = (struct oci_config){ .os = NULL };
}

void docker_images_done(struct docker_images *d) {
        for (size_t k = 0; k < d->n; k++) {
                free(d->images[k].config);
                string_list_done(&d->images[k].tags);
                string_list_done(&d->images[k].layers);
        }
        free(d->images);
        *d = (struct docker_images){ .n = 0 };
}

bool oci_digest_is_valid(const char *text) {
        return strncmp(text, "sha256:", 7) == 0 && strlen(text) == OCI_DIGEST_SIZE - 1 &&
               strspn(text + 7, "0123456789abcdef") == 64;
}

bool oci_layer_is_supported(const struct oci_descriptor *layer) {
        return layer->media == OCI_MEDIA_LAYER;
}

static json_t *load(const char *text, size_t size, const char *what, struct error *reterr) {
        json_error_t where;
        json_t *root;

        if (size > OCI_DOCUMENT_MAX) {
                (void)error_set(reterr, ERROR_IMAGE_TOO_LARGE, "%s has %zu bytes; at most %zu are read", what,
                                size, OCI_DOCUMENT_MAX);
                return NULL;
        }
        root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
        if (!root)
                (void)error_set(reterr, ERROR_SOURCE_INVALID, "%s is no valid JSON: line %d: %s", what,
                                where.line, where.text);
        return root;
}

/* A member that is a string: copied, or NULL when missing (or null, as Docker writes). 0, -EINVAL, -ENOMEM.
 */
static int copy_string(const json_t *object, const char *name, char **ret) {
        const json_t *value = json_object_get(object, name);

        *ret = NULL;
        if (!value || json_is_null(value))
                return 0;
        if (!json_is_string(value))
                return -EINVAL;
        *ret = strdup(json_string_value(value));
        return *ret ? 0 : -ENOMEM;
}

/* A member that is a list of strings, or missing, or null. */
static int copy_strings(const json_t *object, const char *name, size_t max, struct string_list *ret) {
        const json_t *value = json_object_get(object, name), *item;
        size_t i;

        if (!value || json_is_null(value))
                return 0;
        if (!json_is_array(value) || json_array_size(value) > max)
                return -EINVAL;
        json_array_foreach((json_t *)value, i, item) {
                if (!json_is_string(item))
                        return -EINVAL;
                if (string_list_add(ret, json_string_value(item)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int parse_descriptor(const json_t *object, struct oci_descriptor *d) {
        const json_t *digest = json_object_get(object, "digest"), *size = json_object_get(object, "size");
        const json_t *platform = json_object_get(object, "platform");
        int r;

        if (!json_is_object(object) || !json_is_string(digest) ||
            !oci_digest_is_valid(json_string_value(digest)) || !json_is_integer(size) ||
            json_integer_value(size) < 0)
                return -EINVAL;
        memcpy(d->digest, json_string_value(digest), OCI_DIGEST_SIZE);
        d->size = (uint64_t)json_integer_value(size);
        r = copy_string(object, "mediaType", &d->media_type);
        if (r >= 0)
                r = copy_string(platform, "architecture", &d->architecture);
        if (r >= 0)
                r = copy_string(platform, "os", &d->os);
        if (r >= 0)
                r = copy_string(json_object_get(object, "annotations"), REF_NAME, &d->tag);
        for (size_t i = 0; r >= 0 && d->media_type && i < ELEMENTSOF(media_types); i++)
                if (strcmp(media_types[i].type, d->media_type) == 0)
                        d->media = media_types[i].media;
        return r;
}

static int parse_descriptors(const json_t *array, struct oci_descriptor **ret, size_t *ret_n) {
        const json_t *item;
        size_t i;

        if (!json_is_array(array) || json_array_size(array) > OCI_LIST_MAX)
                return -EINVAL;
        *ret = calloc(json_array_size(array) + 1, sizeof(**ret));
        if (!*ret)
                return -ENOMEM;
        json_array_foreach((json_t *)array, i, item) {
                int r;

                *ret_n = i + 1;
                r = parse_descriptor(item, &(*ret)[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int oci_index_parse(const char *text, size_t size, struct oci_index *ret, struct error *reterr) {
        json_auto_t *root = load(text, size, "the image index", reterr);
        struct oci_index index = { .n = 0 };
        int r;

        if (!root)
                return ERROR_DESCRIBED;
        r = parse_descriptors(json_object_get(root, "manifests"), &index.manifests, &index.n);
        if (r < 0) {
                oci_index_done(&index);
                return r == -ENOMEM
                               ? no_memory(reterr)
                               : invalid(reterr, "the image index has no list \"manifests\" of up to 1000 "
                                                 "descriptors (digest sha256:…, size)");
        }
        *ret = index;
        return 0;
}

int oci_manifest_parse(const char *text, size_t size, struct oci_manifest *ret, struct error *reterr) {
        json_auto_t *root = load(text, size, "the image manifest", reterr);
        struct oci_manifest manifest = { .n_layers = 0 };
        int r;

        if (!root)
                return ERROR_DESCRIBED;
        r = parse_descriptor(json_object_get(root, "config"), &manifest.config);
        if (r >= 0)
                r = parse_descriptors(json_object_get(root, "layers"), &manifest.layers, &manifest.n_layers);
        if (r < 0) {
                oci_manifest_done(&manifest);
                return r == -ENOMEM
                               ? no_memory(reterr)
                               : invalid(reterr,
                                         "the image manifest has no \"config\" and list \"layers\" of up "
                                         "to 1000 descriptors (digest sha256:…, size)");
        }
        *ret = manifest;
        return 0;
}

static int parse_config(const json_t *root, struct oci_config *c) {
        const json_t *config = json_object_get(root, "config"), *rootfs = json_object_get(root, "rootfs");
        struct application *a = &c->application;
        int r;

        if (!json_is_object(root) || (config && !json_is_null(config) && !json_is_object(config)))
                return -EINVAL;
        r = copy_string(root, "architecture", &c->architecture);
        if (r >= 0)
                r = copy_string(root, "os", &c->os);
        if (r >= 0)
                r = copy_strings(config, "Entrypoint", TEXT_LIST_MAX, &a->entrypoint);
        if (r >= 0)
                r = copy_strings(config, "Cmd", TEXT_LIST_MAX, &a->command);
        if (r >= 0)
                r = copy_strings(config, "Env", TEXT_LIST_MAX, &a->environment);
        if (r >= 0)
                r = copy_string(config, "WorkingDir", &a->workdir);
        if (r >= 0)
                r = copy_string(config, "User", &a->user);
        if (r >= 0)
                r = copy_strings(rootfs, "diff_ids", OCI_LIST_MAX, &c->diff_ids);
        for (size_t i = 0; r >= 0 && i < c->diff_ids.n; i++)
                if (!oci_digest_is_valid(c->diff_ids.items[i]))
                        return -EINVAL;
        /* Both mean "not set". */
        if (a->workdir && !*a->workdir)
                a->workdir = (free(a->workdir), NULL);
        if (a->user && !*a->user)
                a->user = (free(a->user), NULL);
        return r;
}

int oci_config_parse(const char *text, size_t size, struct oci_config *ret, struct error *reterr) {
        json_auto_t *root = load(text, size, "the image configuration", reterr);
        struct oci_config config = { .os = NULL };
        int r;

        if (!root)
                return ERROR_DESCRIBED;
        r = parse_config(root, &config);
        if (r < 0) {
                oci_config_done(&config);
                return r == -ENOMEM
                               ? no_memory(reterr)
                               : invalid(reterr, "the image configuration has a member of the wrong type "
                                                 "(config, rootfs.diff_ids, architecture)");
        }
        *ret = config;
        return 0;
}

static int parse_image(const json_t *object, struct docker_image *d) {
        int r;

        if (!json_is_object(object))
                return -EINVAL;
        r = copy_string(object, "Config", &d->config);
        if (r >= 0 && !d->config)
                r = -EINVAL;
        if (r >= 0)
                r = copy_strings(object, "RepoTags", OCI_LIST_MAX, &d->tags);
        return r < 0 ? r : copy_strings(object, "Layers", OCI_LIST_MAX, &d->layers);
}

int docker_images_parse(const char *text, size_t size, struct docker_images *ret, struct error *reterr) {
        json_auto_t *root = load(text, size, "manifest.json", reterr);
        struct docker_images images = { .n = 0 };
        int r = 0;

        if (!root)
                return ERROR_DESCRIBED;
        if (!json_is_array(root) || json_array_size(root) > OCI_LIST_MAX)
                return invalid(reterr, "manifest.json is no list of up to 1000 images");
        images.images = calloc(json_array_size(root) + 1, sizeof(*images.images));
        if (!images.images)
                return no_memory(reterr);
        for (size_t i = 0; r >= 0 && i < json_array_size(root); i++) {
                images.n = i + 1;
                r = parse_image(json_array_get(root, i), &images.images[i]);
        }
        if (r < 0) {
                docker_images_done(&images);
                return r == -ENOMEM ? no_memory(reterr)
                                    : invalid(reterr,
                                              "manifest.json: an image has no Config, or Layers or RepoTags "
                                              "are no lists of text");
        }
        *ret = images;
        return 0;
}
