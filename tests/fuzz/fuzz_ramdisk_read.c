/* SPDX-License-Identifier: Apache-2.0 */

/* A ramdisk section: archives, zeros and compressed parts in any mixture. */

#include "eif/ramdisk_read.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KERNEL_AT = EIF_HEADER_SIZE, CMDLINE_AT = KERNEL_AT + 13, RAMDISK_AT = CMDLINE_AT + 13 };

/* The smallest image around it: kernel "k", cmdline "c", version 3. The caller frees. */
static uint8_t *image_around(const uint8_t *data, size_t size) {
        struct eif_header h = {
                .version = 3,
                .n_sections = 3,
                .offsets = { KERNEL_AT, CMDLINE_AT, RAMDISK_AT },
                .sizes = { 1, 1, size },
        };
        uint8_t *image = malloc(RAMDISK_AT + EIF_SECTION_HEADER_SIZE + size);

        assert(image);
        eif_header_encode(&h, image);
        eif_section_header_encode(EIF_SECTION_KERNEL, 0, 1, image + KERNEL_AT);
        image[CMDLINE_AT - 1] = 'k';
        eif_section_header_encode(EIF_SECTION_CMDLINE, 0, 1, image + CMDLINE_AT);
        image[RAMDISK_AT - 1] = 'c';
        eif_section_header_encode(EIF_SECTION_RAMDISK, 0, size, image + RAMDISK_AT);
        memcpy(image + RAMDISK_AT + EIF_SECTION_HEADER_SIZE, data, size);
        return image;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ uint8_t *image = image_around(data, size);
        _cleanup_ramdisk_reader_ struct ramdisk_reader *reader = NULL;
        _cleanup_error_ struct error error = ERROR_NULL;
        _cleanup_eif_ struct eif *e = NULL;
        struct cpio_record record;
        uint8_t buffer[1000];

        assert(eif_open_buffer(&e, image, RAMDISK_AT + EIF_SECTION_HEADER_SIZE + size, &error) == 0);
        assert(ramdisk_reader_open(&reader, e, 2, &error) == 0);
        for (unsigned i = 0; i < 1000 && ramdisk_reader_next(reader, &record, &error) > 0; i++)
                if (ramdisk_reader_data(reader, buffer, sizeof(buffer), &error) < 0)
                        break;
        return 0;
}
