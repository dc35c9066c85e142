/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/build_image.h"

#include "cli/build_metadata.h"
#include "eif/ramdisk_bootstrap.h"
#include "eif/ramdisk_nitro.h"
#include "eif/ramdisk_rootfs.h"
#include "eif/writer.h"

#include <errno.h>
#include <string.h>

#define PROGRESS_STEP ((uint64_t)16 << 20)

/* An image that is being written. */
struct writing {
        struct build_plan *plan;
        struct eif_writer *writer;
        const struct build_progress *progress;
        struct build_sizes sizes;
        struct build_result result;
        const char *part; /* of the section at hand, for the progress */
        uint64_t bytes;
};

static int write_section(void *userdata, const void *data, size_t n, struct error *reterr) {
        struct writing *w = userdata;

        if (w->progress && w->bytes / PROGRESS_STEP != (w->bytes + n) / PROGRESS_STEP)
                w->progress->show(w->part, w->bytes + n);
        w->bytes += n;
        return eif_writer_write(w->writer, data, n, reterr);
}

static int append_input(struct eif_writer *w, enum eif_section_type type, const struct build_input *input,
                        struct error *reterr) {
        int r = eif_writer_begin(w, type, reterr);

        if (r >= 0)
                r = eif_writer_append_fd(w, input->fd, 0, input->size, reterr);
        if (r >= 0)
                r = eif_writer_end(w, reterr);
        if (r < 0 && reterr && reterr->kind == ERROR_OUTPUT_FAILED)
                return r; /* the image cannot be written, and this file has no part in that */
        return r < 0 ? error_wrap(reterr, r, "%s", input->path) : 0;
}

static int write_cmdline(struct eif_writer *w, const char *text, struct error *reterr) {
        int r = eif_writer_begin(w, EIF_SECTION_CMDLINE, reterr);

        if (r >= 0)
                r = eif_writer_write(w, text, strlen(text), reterr);
        return r < 0 ? r : eif_writer_end(w, reterr);
}

/* What one of the ramdisks made here is written by. */
typedef int ramdisk_function(struct writing *w, const struct sink *sink, struct error *reterr);

static int write_bootstrap(struct writing *w, const struct sink *sink, struct error *reterr) {
        const struct build_plan *p = w->plan;
        const struct ramdisk_bootstrap b = {
                .arch = p->arch,
                .init = p->init,
                .modules_directory = p->modules_dir,
                .mtime = p->time,
        };

        if (p->nsm)
                return ramdisk_nitro_boot_write(p->init, p->nsm, sink, reterr);
        return ramdisk_bootstrap_write(&b, sink, &w->result.n_modules, reterr);
}

static int write_application(struct writing *w, const struct sink *sink, struct error *reterr) {
        const struct build_plan *p = w->plan;
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

static int write_ramdisk(struct writing *w, const char *part, ramdisk_function *write, struct error *reterr) {
        const struct sink section = { write_section, w };
        _cleanup_(compressor_freep) struct compressor *c = compressor_new(w->plan->compression, &section);
        struct sink packed;
        int r;

        if (!c)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        w->part = part;
        w->bytes = 0;
        packed = compressor_sink(c);
        r = eif_writer_begin(w->writer, EIF_SECTION_RAMDISK, reterr);
        if (r >= 0)
                r = write(w, &packed, reterr);
        if (r >= 0)
                r = compressor_finish(c, reterr);
        if (r >= 0)
                r = eif_writer_end(w->writer, reterr);
        w->sizes.ramdisks += compressor_given(c);
        if (write == write_bootstrap)
                w->sizes.unpacked += compressor_taken(c);
        return r;
}

/* Of a ready-made ramdisk only the size is known; a packed one may become several times as large. */
static void count_input(const struct build_input *input, struct build_sizes *sizes) {
        sizes->ramdisks += input->size;
        sizes->unpacked += input->is_plain ? input->size : 4 * input->size;
}

static int write_ramdisks(struct writing *w, struct error *reterr) {
        struct build_plan *p = w->plan;
        uint64_t bytes, entries;
        int r = 0;

        if (p->tree) {
                r = write_ramdisk(w, "boot ramdisk", write_bootstrap, reterr);
                if (r >= 0)
                        r = write_ramdisk(w, "application", write_application, reterr);
                if (r < 0)
                        return r;
                ramdisk_tree_needs(p->tree, &bytes, &entries);
                w->sizes.unpacked += bytes;
                w->sizes.entries += entries;
                w->result.n_entries = entries;
        }
        for (size_t i = 0; r >= 0 && i < p->n_ramdisks; i++) {
                if (w->progress)
                        w->progress->show(p->ramdisks[i].path, p->ramdisks[i].size);
                count_input(&p->ramdisks[i], &w->sizes);
                r = append_input(w->writer, EIF_SECTION_RAMDISK, &p->ramdisks[i], reterr);
        }
        return r;
}

/* The sections in the order of AWS's builder. */
static int write_sections(struct writing *w, json_t *metadata, struct error *reterr) {
        _cleanup_free_ char *longest = NULL, *text = NULL;
        int r;

        if (build_metadata_print(metadata, UINT32_MAX, &longest) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = append_input(w->writer, EIF_SECTION_KERNEL, &w->plan->kernel, reterr);
        if (r >= 0)
                r = write_cmdline(w->writer, w->plan->cmdline, reterr);
        if (r >= 0)
                r = eif_writer_reserve_metadata(w->writer, strlen(longest), reterr);
        if (r >= 0)
                r = write_ramdisks(w, reterr);
        if (r < 0)
                return r;
        w->result.memory_mib = build_memory_need(&w->sizes);
        if (build_metadata_print(metadata, w->result.memory_mib, &text) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        return eif_writer_fill_metadata(w->writer, text, strlen(text), reterr);
}

int build_image_write(struct build_plan *p, int out_fd, const struct build_progress *progress,
                      struct build_result *ret, struct error *reterr) {
        struct writing w = { .plan = p, .progress = progress, .sizes = { .kernel = p->kernel_memory } };
        _cleanup_eif_writer_ struct eif_writer *writer = NULL;
        json_auto_t *metadata = NULL;
        off_t end;
        int r;

        r = build_metadata_make(p, &metadata, reterr);
        if (r >= 0)
                r = eif_writer_new(&writer, out_fd, p->arch, reterr);
        if (r < 0)
                return r;
        w.writer = writer;
        r = write_sections(&w, metadata, reterr);
        if (r >= 0)
                r = eif_writer_finish(writer, &w.result.measurements, reterr);
        if (r < 0)
                return r;
        end = lseek(out_fd, 0, SEEK_END);
        w.result.image_size = end > 0 ? (uint64_t)end : 0;
        *ret = w.result;
        return 0;
}
