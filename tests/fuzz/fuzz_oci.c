/* SPDX-License-Identifier: Apache-2.0 */

/* The four JSON documents of container images; the first byte says which. */

#include "eif/oci.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_descriptor(const struct oci_descriptor *d) {
        if (!oci_digest_is_valid(d->digest) || (d->media != OCI_MEDIA_OTHER && !d->media_type))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(oci_index_done) struct oci_index index = { .n = 0 };
        _cleanup_(oci_manifest_done) struct oci_manifest manifest = { .n_layers = 0 };
        _cleanup_(oci_config_done) struct oci_config config = { .os = NULL };
        _cleanup_(docker_images_done) struct docker_images images = { .n = 0 };
        _cleanup_error_ struct error e = ERROR_NULL;
        const char *text = (const char *)data + 1;
        int r;

        if (size == 0)
                return 0;
        size--;
        switch (data[0] % 4) {
        case 0:
                r = oci_index_parse(text, size, &index, &e);
                for (size_t i = 0; i < index.n; i++)
                        check_descriptor(&index.manifests[i]);
                break;
        case 1:
                r = oci_manifest_parse(text, size, &manifest, &e);
                for (size_t i = 0; i < manifest.n_layers; i++)
                        check_descriptor(&manifest.layers[i]);
                break;
        case 2:
                r = oci_config_parse(text, size, &config, &e);
                for (size_t i = 0; i < config.diff_ids.n; i++)
                        if (!oci_digest_is_valid(config.diff_ids.items[i]))
                                abort();
                break;
        default:
                r = docker_images_parse(text, size, &images, &e);
                for (size_t i = 0; i < images.n; i++)
                        if (!images.images[i].config)
                                abort();
        }
        if ((r < 0) != (e.kind != ERROR_NONE))
                abort();
        return 0;
}
