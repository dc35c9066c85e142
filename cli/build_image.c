/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/build_image.h"

#include "cli/build_metadata.h"
#include "eif/ramdisk_bootstrap.h"
#include "eif/ramdisk_nitro.h"
#include "eif/ramdisk_rootfs.h"
#include "eif/writer.h"

#include <errno.h>
#include <string.h>

#define PLAIN_CPIO "070701"

static int write_section(void *userdata, const void *data, size_t n, struct error *reterr) {
        return eif_writer_write(userdata, data, n, reterr);
}

static int append_input(struct eif_writer *w, enum eif_section_type type, const struct build_input *input,
                        struct error *reterr) {
        int r = eif_writer_begin(w, type, reterr);

        if (r >= 0)
                r = eif_writer_append_fd(w, input->fd, 0, input->size, reterr);
        if (r >= 0)
                r = eif_writer_end(w, reterr);
        return r < 0 ? error_wrap(reterr, r, "%s", input->path) : 0;
}

static int write_cmdline(struct eif_writer *w, const char *text, struct error *reterr) {
        int r = eif_writer_begin(w, EIF_SECTION_CMDLINE, reterr);

        if (r >= 0)
                r = eif_writer_write(w, text, strlen(text), reterr);
        return r < 0 ? r : eif_writer_end(w, reterr);
}

/* What one of the ramdisks made here is written by. */
typedef int ramdisk_function(struct build_plan *p, const struct sink *sink, struct build_result *result,
                             struct error *reterr);

static int write_bootstrap(struct build_plan *p, const struct sink *sink, struct build_result *result,
                           struct error *reterr) {
        const struct ramdisk_bootstrap b = {
                .arch = p->arch, .init = p->init, .modules_directory = p->modules_dir, .mtime = p->time
        };

        if (p->nsm)
                return ramdisk_nitro_boot_write(p->init, p->nsm, sink, reterr);
        return ramdisk_bootstrap_write(&b, sink, &result->n_modules, reterr);
}

static int write_application(struct build_plan *p, const struct sink *sink,
                             struct build_result *result _unused_, struct error *reterr) {
        const struct ramdisk_rootfs ramdisk = {
                .tree = p->tree,
                .app_config = p->app_config,
                .app_config_size = p->app_config_size,
                .mtime = p->time,
        };

        if (p->as_nitro_cli)
                return ramdisk_nitro_application_write(p->tree, &p->application, sink, reterr);
        return ramdisk_rootfs_write(&ramdisk, sink, reterr);
}

static int write_ramdisk(struct build_plan *p, struct eif_writer *w, ramdisk_function *write,
                         struct build_sizes *sizes, struct build_result *result, struct error *reterr) {
        const struct sink section = { write_section, w };
        _cleanup_(compressor_freep)
        struct compressor *c = compressor_new(p->compression, &section);
        struct sink packed;
        int r;

        if (!c)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        packed = compressor_sink(c);
        r = eif_writer_begin(w, EIF_SECTION_RAMDISK, reterr);
        if (r >= 0)
                r = write(p, &packed, result, reterr);
        if (r >= 0)
                r = compressor_finish(c, reterr);
        if (r >= 0)
                r = eif_writer_end(w, reterr);
        sizes->ramdisks += compressor_given(c);
        if (write == write_bootstrap)
                sizes->unpacked += compressor_taken(c);
        return r;
}

/* Of a ready-made ramdisk only the size is known; a packed one may become several times as large. */
static void count_input(const struct build_input *input, struct build_sizes *sizes) {
        char magic[sizeof(PLAIN_CPIO) - 1];
        bool plain = pread(input->fd, magic, sizeof(magic), 0) == sizeof(magic) &&
                     memcmp(magic, PLAIN_CPIO, sizeof(magic)) == 0;

        sizes->ramdisks += input->size;
        sizes->unpacked += plain ? input->size : 4 * input->size;
}

static int write_ramdisks(struct build_plan *p, struct eif_writer *w, struct build_sizes *sizes,
                          struct build_result *result, struct error *reterr) {
        uint64_t bytes, entries;
        int r = 0;

        if (p->tree) {
                r = write_ramdisk(p, w, write_bootstrap, sizes, result, reterr);
                if (r >= 0)
                        r = write_ramdisk(p, w, write_application, sizes, result, reterr);
                if (r < 0)
                        return r;
                ramdisk_tree_needs(p->tree, &bytes, &entries);
                sizes->unpacked += bytes;
                sizes->entries += entries;
                result->n_entries = entries;
        }
        for (size_t i = 0; r >= 0 && i < p->n_ramdisks; i++) {
                count_input(&p->ramdisks[i], sizes);
                r = append_input(w, EIF_SECTION_RAMDISK, &p->ramdisks[i], reterr);
        }
        return r;
}

int build_image_write(struct build_plan *p, int out_fd, struct build_result *ret, struct error *reterr) {
        struct build_sizes sizes = { .kernel = p->kernel_memory };
        struct build_result result = { .image_size = 0 };
        _cleanup_eif_writer_ struct eif_writer *w = NULL;
        _cleanup_free_ char *text = NULL;
        json_auto_t *metadata = NULL;
        off_t end;
        int r;

        r = build_metadata_make(p, &metadata, reterr);
        if (r < 0)
                return r;
        if (build_metadata_print(metadata, UINT32_MAX, &text) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = eif_writer_new(&w, out_fd, p->arch, reterr);
        if (r >= 0)
                r = append_input(w, EIF_SECTION_KERNEL, &p->kernel, reterr);
        if (r >= 0)
                r = write_cmdline(w, p->cmdline, reterr);
        if (r >= 0)
                r = eif_writer_reserve_metadata(w, strlen(text), reterr);
        if (r >= 0)
                r = write_ramdisks(p, w, &sizes, &result, reterr);
        if (r < 0)
                return r;
        result.memory_mib = build_memory_need(&sizes);
        text = (free(text), NULL);
        if (build_metadata_print(metadata, result.memory_mib, &text) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = eif_writer_fill_metadata(w, text, strlen(text), reterr);
        if (r >= 0)
                r = eif_writer_finish(w, &result.measurements, reterr);
        if (r < 0)
                return r;
        end = lseek(out_fd, 0, SEEK_END);
        result.image_size = end > 0 ? (uint64_t)end : 0;
        *ret = result;
        return 0;
}
