/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Lay one layer of a container image over a tree (the OCI image specification, "Filesystem Layers"): files
 * replace what is below, ".wh.NAME" removes NAME, ".wh..wh..opq" removes all that lower layers have in that
 * directory; neither touches what the same layer brings.
 *
 * Names are relative to the root whether or not they begin with a slash. Refused: "..", a name below a file,
 * a name through a symbolic link that the same layer brought (no honest layer has one; it is how archives
 * break out), a hard link to nothing or to a directory. Links of lower layers are followed within the tree,
 * as container engines do.
 */

#include "eif/layer_tar.h"

#define LAYERS_MAX 1000U

struct layer_options {
        uint16_t number; /* from 1 */
        int64_t latest;  /* files get no later time, when clamp is set */
        bool clamp;
        uint64_t size_limit; /* of t->spool_size and t->text_size together, which are those of all layers */
        struct source_work *work; /* of all layers */
        const char *what;         /* for messages */
};

int layer_apply(struct source_tree *t, const struct byte_source *source, const struct layer_options *options,
                struct error *reterr);
