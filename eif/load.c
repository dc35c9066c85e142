/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/load.h"

#include "base/io.h"
#include "eif/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int eif_measure(const struct eif *e, struct eif_measurements *ret, bool *ret_crc_ok, struct error *reterr) {
        struct eif_pass pass;
        int r;

        r = eif_stream(e, EIF_MEASURE_ALL, NULL, &pass, reterr);
        if (r < 0)
                return r;
        *ret = pass.measurements;
        *ret_crc_ok = pass.crc == eif_header(e)->crc;
        return 0;
}

struct load {
        const struct eif *e;
        int kernel_fd, initrd_fd;
        char *cmdline; /* EIF_CMDLINE_MAX + 1 bytes at most */
        size_t cmdline_size;
};

static int take(void *userdata, size_t index, const uint8_t *data, size_t n, struct error *reterr) {
        struct load *l = userdata;
        int r = 0;

        switch (eif_section(l->e, index)->type) {
        case EIF_SECTION_KERNEL:
                r = write_all(l->kernel_fd, data, n);
                break;
        case EIF_SECTION_RAMDISK:
                r = write_all(l->initrd_fd, data, n);
                break;
        case EIF_SECTION_CMDLINE:
                memcpy(l->cmdline + l->cmdline_size, data, n); /* allocated for the whole section */
                l->cmdline_size += n;
                break;
        default:
                break;
        }
        if (r < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, r,
                                       "cannot copy section %zu (%s) into memory", index,
                                       eif_section_type_name(eif_section(l->e, index)->type));
        return 0;
}

static int check_flags(const struct eif *e, struct error *reterr) {
        uint16_t flags = eif_header(e)->flags;

        if (flags & ~EIF_FLAGS_KNOWN)
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "the header's flags are 0x%04x: only bit 0 (aarch64) is known, others may "
                                 "change PCR0 in an unpublished way, so the image cannot be measured",
                                 flags);
        return 0;
}

int eif_load(const struct eif *e, int kernel_fd, int initrd_fd, char **ret_cmdline,
             struct eif_measurements *ret, struct error *reterr) {
        const struct eif_section *cmdline_section = eif_find(e, EIF_SECTION_CMDLINE, NULL);
        _cleanup_free_ char *cmdline = NULL;
        struct load l = { .e = e, .kernel_fd = kernel_fd, .initrd_fd = initrd_fd };
        const struct eif_sink sink = { .take = take, .userdata = &l };
        struct eif_pass pass;
        int r;

        r = check_flags(e, reterr);
        if (r < 0)
                return r;
        cmdline = calloc(1, (size_t)cmdline_section->size + 1); /* eif_open() bounded it */
        if (!cmdline)
                return error_wrap(reterr, -ENOMEM, "cmdline");
        l.cmdline = cmdline;
        r = eif_stream(e, EIF_MEASURE_ALL, &sink, &pass, reterr);
        if (r < 0)
                return r;
        if (pass.crc != eif_header(e)->crc)
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "the header's CRC is %08" PRIx32 ", that of the file %08" PRIx32
                                 ": the image is damaged; copy or build it again",
                                 eif_header(e)->crc, pass.crc);
        if (memchr(cmdline, '\0', l.cmdline_size))
                return error_set(
                        reterr, ERROR_IMAGE_INVALID,
                        "the cmdline section holds a NUL byte at %zu of %zu; a kernel would see only "
                        "what is before it",
                        strlen(cmdline), l.cmdline_size);
        *ret = pass.measurements;
        *ret_cmdline = TAKE(cmdline);
        return 0;
}
