/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source.h"

#include "eif/source_blob.h"
#include "eif/source_directory.h"
#include "eif/source_oci.h"
#include "eif/source_skopeo.h"

#include <string.h>

void source_done(struct source *s) {
        (void)source_tree_free(s->tree);
        application_done(&s->application);
        free(s->digest);
        free(s->id);
        free(s->name);
        *s = SOURCE_NULL;
}

static int read_directory(const char *place, const struct source_options *options, struct source *s,
                          struct error *reterr) {
        const struct source_directory_options d = { .keep_owners = options->keep_owners,
                                                    .mtime = options->mtime };

        return source_directory_scan(s->tree, place, &d, reterr);
}

/* "PLACE[:TAG]", where TAG holds no slash, so that a colon in a directory's name does no harm; a file of the
 * whole name comes first. */
static int split_tag(const char *text, char **ret_place, char **ret_tag, struct error *reterr) {
        const char *colon = strrchr(text, ':');

        if (colon && (strchr(colon, '/') || !colon[1] || access(text, F_OK) == 0))
                colon = NULL;
        *ret_place = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
        *ret_tag = colon ? strdup(colon + 1) : NULL;
        if (!*ret_place || (colon && !*ret_tag))
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        return 0;
}

enum store_kind { STORE_OCI, STORE_OCI_ARCHIVE, STORE_DOCKER_ARCHIVE };

static int read_store(enum store_kind kind, const char *text, const struct source_options *options,
                      struct source *s, struct error *reterr) {
        _cleanup_(blob_store_freep) struct blob_store *store = NULL;
        _cleanup_free_ char *place = NULL, *tag = NULL;
        int r;

        r = split_tag(text, &place, &tag, reterr);
        if (r >= 0)
                r = kind == STORE_OCI ? blob_store_open_directory(&store, place, place, reterr)
                                      : blob_store_open_archive(&store, place, options->max_size, reterr);
        if (r < 0)
                return r;
        r = kind == STORE_DOCKER_ARCHIVE ? source_docker_read(store, tag, options, s, reterr)
                                         : source_oci_read(store, tag, options, s, reterr);
        return r < 0 ? error_wrap(reterr, r, "%s", text) : 0;
}

static int read_oci(const char *place, const struct source_options *options, struct source *s,
                    struct error *reterr) {
        return read_store(STORE_OCI, place, options, s, reterr);
}

static int read_oci_archive(const char *place, const struct source_options *options, struct source *s,
                            struct error *reterr) {
        return read_store(STORE_OCI_ARCHIVE, place, options, s, reterr);
}

static int read_docker_archive(const char *place, const struct source_options *options, struct source *s,
                               struct error *reterr) {
        return read_store(STORE_DOCKER_ARCHIVE, place, options, s, reterr);
}

static int read_registry(const char *place, const struct source_options *options, struct source *s,
                         struct error *reterr) {
        _cleanup_(fetched_image_done) struct fetched_image image = FETCHED_IMAGE_NULL;
        _cleanup_(blob_store_freep) struct blob_store *store = NULL;
        _cleanup_free_ char *reference = NULL;
        int r;

        if (asprintf(&reference, "docker://%s", place) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = fetched_image_get(&image, reference, options->arch, reterr);
        if (r < 0)
                return r;
        r = blob_store_open_directory(&store, image.directory, reference, reterr);
        if (r >= 0)
                r = source_oci_read(store, "image", options, s, reterr);
        if (r < 0)
                return error_wrap(reterr, r, "%s", reference);
        free(s->name);
        s->name = strdup(place);
        return s->name ? 0 : error_set(reterr, ERROR_INTERNAL, "out of memory");
}

static const struct {
        const char *prefix;
        int (*read)(const char *place, const struct source_options *options, struct source *s,
                    struct error *reterr);
} schemes[] = {
        { "dir:", read_directory },           { "oci:", read_oci },
        { "oci-archive:", read_oci_archive }, { "docker-archive:", read_docker_archive },
        { "docker://", read_registry },
};

int source_read(const char *spec, const struct source_options *options, struct source *ret,
                struct error *reterr) {
        _cleanup_source_ struct source s = SOURCE_NULL;
        int r;

        s.tree = source_tree_new();
        if (!s.tree)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (strcmp(spec, "scratch") == 0) {
                *ret = s;
                s = SOURCE_NULL;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(schemes); i++) {
                size_t n = strlen(schemes[i].prefix);

                if (strncmp(spec, schemes[i].prefix, n) != 0)
                        continue;
                if (!spec[n])
                        break;
                r = schemes[i].read(spec + n, options, &s, reterr);
                if (r < 0)
                        return r;
                *ret = s;
                s = SOURCE_NULL;
                return 0;
        }
        return error_set(reterr, ERROR_USAGE,
                         "image %s: must be dir:PATH, oci:DIR[:TAG], oci-archive:FILE[:TAG], "
                         "docker-archive:FILE[:TAG] or docker://REFERENCE",
                         spec);
}
