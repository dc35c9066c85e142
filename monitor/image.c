/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/image.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"
#include "eif/load.h"
#include "eif/reader.h"
#include "monitor/json.h"
#include "monitor/printable.h"

#include <inttypes.h>
#include <string.h>

#define METADATA_TEXT_MAX 256

/* A text of the metadata, made printable; NULL when it is not there. */
static char *metadata_text(const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);
        char text[METADATA_TEXT_MAX];

        if (!json_is_string(value))
                return NULL;
        (void)printable_copy(text, sizeof(text), json_string_value(value), json_string_length(value));
        return strdup(text);
}

/*
 * How the kernel finds the virtio devices of a machine without PCI. Debian's and most kernels only look into
 * ACPI; Amazon's 4.14 enclave kernel, which nitro-cli builds into its images, only at its command line, and
 * QEMU offers one of the two. The metadata name the kernel's version; "Devices" in our own images' custom
 * metadata ("acpi" or "cmdline") decides before that.
 */
static bool kernel_wants_acpi(const json_t *metadata) {
        const json_t *custom = json_object_get(metadata, "CustomMetadata");
        const json_t *build = json_object_get(metadata, "BuildMetadata");
        const char *devices = json_string_value(json_object_get(custom, "Devices"));
        const char *version = json_string_value(json_object_get(build, "KernelVersion"));

        if (devices)
                return strcmp(devices, "cmdline") != 0;
        return !version || !strstr(version, "4.14.") || !strstr(version, "amzn");
}

/* What build-eif computed (cli/build_metadata.h). No measurement covers it: a wrong figure only hurts whoever
 * wrote it. */
static uint64_t memory_needed(const json_t *metadata) {
        const json_t *own = json_object_get(json_object_get(metadata, "CustomMetadata"), "QtEnclave");
        json_int_t mib = json_integer_value(json_object_get(own, "MemoryMiB"));

        return mib > 0 ? (uint64_t)mib : 0;
}

static void read_metadata(const struct eif *e, struct image *image) {
        _cleanup_json_ json_t *metadata = NULL;

        image->acpi = true;
        if (eif_read_metadata(e, &image->metadata, &image->metadata_size) < 0)
                return; /* an old version of the format has none */
        metadata = json_loadb(image->metadata, image->metadata_size, 0, NULL);
        image->name = metadata_text(metadata, "ImageName");
        image->version = metadata_text(metadata, "ImageVersion");
        image->acpi = kernel_wants_acpi(metadata);
        image->memory_mib = memory_needed(metadata);
}

/* kernel_fd and initrd_fd of the image say where to copy to, or -1. */
static int take_apart(const struct eif *e, struct image *image, struct error *reterr) {
        struct eif_measurements measured;
        int r;

        r = eif_load(e, image->kernel_fd, image->initrd_fd, &image->cmdline, &measured, reterr);
        if (r < 0)
                return r;
        format_hex(measured.pcr0, EIF_PCR_SIZE, image->pcr0);
        format_hex(measured.pcr1, EIF_PCR_SIZE, image->pcr1);
        format_hex(measured.pcr2, EIF_PCR_SIZE, image->pcr2);
        if (measured.is_signed)
                format_hex(measured.pcr8, EIF_PCR_SIZE, image->pcr8);
        read_metadata(e, image);
        return 0;
}

static int load(int fd, const atomic_bool *cancelled, struct image *image, struct error *reterr) {
        _cleanup_eif_ struct eif *e = NULL;
        int r;

        image->kernel_fd = memory_file("kernel");
        image->initrd_fd = memory_file("ramdisk");
        if (image->kernel_fd < 0 || image->initrd_fd < 0)
                return image->kernel_fd < 0 ? image->kernel_fd : image->initrd_fd;
        r = eif_open(&e, fd, reterr);
        if (r < 0)
                return r;
        eif_set_cancel(e, cancelled);
        r = take_apart(e, image, reterr);
        if (r < 0)
                return r;
        r = memory_file_seal(image->kernel_fd);
        return r < 0 ? r : memory_file_seal(image->initrd_fd);
}

int image_examine(const void *data, size_t size, const atomic_bool *cancelled, struct image *image,
                  struct error *reterr) {
        _cleanup_eif_ struct eif *e = NULL;
        int r;

        r = eif_open_buffer(&e, data, size, reterr);
        if (r >= 0) {
                eif_set_cancel(e, cancelled);
                r = take_apart(e, image, reterr);
        }
        if (r < 0)
                image_done(image);
        return r;
}

int image_load(int fd, const atomic_bool *cancelled, struct image *image, struct error *reterr) {
        int r = load(fd, cancelled, image, reterr);

        if (r < 0)
                image_done(image);
        return r;
}

int image_check_memory(const struct image *image, uint64_t memory_mib, struct error *reterr) {
        if (memory_mib >= image->memory_mib)
                return 0;
        return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                         "%" PRIu64 " MiB of memory asked for; this image needs at least %" PRIu64
                         " MiB to boot, and what its application takes",
                         memory_mib, image->memory_mib);
}

int image_check_identity(const struct image *image, const char *pcr0, struct error *reterr) {
        if (!pcr0 || strcmp(image->pcr0, pcr0) == 0)
                return 0;
        return error_set(reterr, ERROR_VERIFY_FAILED,
                         "the image has changed since this enclave was first started: PCR0 is %.16s… and was "
                         "%.16s…; what is restarted is the very same; run the new one",
                         image->pcr0, pcr0);
}

void image_release_files(struct image *image) {
        image->kernel_fd = close_fd(image->kernel_fd);
        image->initrd_fd = close_fd(image->initrd_fd);
}

void image_done(struct image *image) {
        image_release_files(image);
        free(image->cmdline);
        free(image->metadata);
        free(image->name);
        free(image->version);
        *image = IMAGE_NULL;
}
