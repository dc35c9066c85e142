/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source.h"

#include "eif/source_directory.h"

#include <string.h>

void source_done(struct source *s) {
        (void)source_tree_free(s->tree);
        application_done(&s->application);
        free(s->digest);
        free(s->name);
        *s = SOURCE_NULL;
}

static int read_directory(const char *place, const struct source_options *options, struct source *s,
                          struct error *reterr) {
        const struct source_directory_options d = { .keep_owners = options->keep_owners,
                                                    .mtime = options->mtime };

        return source_directory_scan(s->tree, place, &d, reterr);
}

static const struct {
        const char *prefix;
        int (*read)(const char *place, const struct source_options *options, struct source *s,
                    struct error *reterr);
} schemes[] = {
        { "dir:", read_directory },
};

int source_read(const char *spec, const struct source_options *options, struct source *ret,
                struct error *reterr) {
        _cleanup_source_ struct source s = SOURCE_NULL;
        int r;

        s.tree = source_tree_new();
        if (!s.tree)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
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
