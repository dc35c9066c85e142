/* SPDX-License-Identifier: Apache-2.0 */

#include "base/io.h"
#include "cli/eif_output.h"
#include "cli/verb.h"
#include "eif/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        { "output", 0, "DIRECTORY", "where the parts go; must not exist yet" },
        VERB_OPTIONS_END,
};

/* A directory under construction, beside its final place until everything is in it. */
struct extraction {
        const struct eif *e;
        char *temporary; /* owned; NULL once it has its final name */
        int directory;
        struct progress progress;
        char names[EIF_SECTIONS_MAX][32];
        int files[EIF_SECTIONS_MAX];
};

static void extraction_done(struct extraction *x) {
        for (size_t i = 0; i < EIF_SECTIONS_MAX; i++) {
                (void)close_fd(x->files[i]);
                if (x->temporary && x->directory >= 0 && *x->names[i])
                        (void)unlinkat(x->directory, x->names[i], 0);
        }
        (void)close_fd(x->directory);
        if (x->temporary)
                (void)rmdir(x->temporary);
        free(x->temporary);
}

static int open_directory(struct extraction *x, const char *path, struct error *reterr) {
        char *temporary = NULL;
        size_t n = strlen(path);

        if (access(path, F_OK) == 0)
                return error_set(reterr, ERROR_OUTPUT_FAILED,
                                 "%s exists already; name a directory that does not, nothing is overwritten",
                                 path);
        while (n > 1 && path[n - 1] == '/')
                n--;
        if (asprintf(&temporary, "%.*s.XXXXXX", (int)n, path) < 0)
                return error_wrap(reterr, -ENOMEM, "directory");
        if (!mkdtemp(temporary)) {
                free(temporary);
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno,
                                       "cannot make a directory beside %s", path);
        }
        x->temporary = temporary;
        x->directory = open(temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (x->directory < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno, "cannot open %s", temporary);
        return 0;
}

static int open_files(struct extraction *x, struct error *reterr) {
        static const char *const names[EIF_SECTION_TYPE_MAX] = {
                [EIF_SECTION_KERNEL] = "kernel",
                [EIF_SECTION_CMDLINE] = "cmdline",
                [EIF_SECTION_SIGNATURE] = "signature.cbor",
                [EIF_SECTION_METADATA] = "metadata.json",
        };
        unsigned n_ramdisks = 0;

        for (size_t i = 0; i < eif_n_sections(x->e); i++) {
                unsigned type = eif_section(x->e, i)->type;

                if (type == EIF_SECTION_RAMDISK)
                        (void)snprintf(x->names[i], sizeof(x->names[i]), "ramdisk-%u", n_ramdisks++);
                else
                        (void)snprintf(x->names[i], sizeof(x->names[i]), "%s", names[type]);
                x->files[i] =
                        openat(x->directory, x->names[i], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
                if (x->files[i] < 0)
                        return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno, "cannot create %s/%s",
                                               x->temporary, x->names[i]);
        }
        return 0;
}

static int take(void *userdata, size_t index, const uint8_t *data, size_t n, struct error *reterr) {
        struct extraction *x = userdata;
        int r = write_all(x->files[index], data, n);

        progress_add(&x->progress, n);
        if (r < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot write %s/%s", x->temporary,
                                       x->names[index]);
        return 0;
}

static int commit(struct extraction *x, const char *path, struct error *reterr) {
        mode_t mask = umask(0);

        (void)umask(mask);
        if (fchmod(x->directory, 0777 & ~mask) < 0 ||
            renameat2(AT_FDCWD, x->temporary, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno, "cannot put %s in its place",
                                       path);
        x->temporary = (free(x->temporary), NULL);
        return 0;
}

static int extract(struct extraction *x, const char *path, struct eif_pass *ret, struct error *reterr) {
        const struct eif_sink sink = { .take = take, .userdata = x };
        int r;

        r = open_directory(x, path, reterr);
        if (r >= 0)
                r = open_files(x, reterr);
        if (r < 0)
                return r;
        progress_start(&x->progress, "Extracting", eif_file_size(x->e));
        r = eif_stream(x->e, EIF_MEASURE_PCR0, &sink, ret, reterr);
        progress_end(&x->progress);
        if (r < 0)
                return r;
        if (ret->crc != eif_header(x->e)->crc)
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "the header's CRC is %08" PRIx32 ", that of the file %08" PRIx32
                                 ": the image is damaged, nothing was extracted",
                                 eif_header(x->e)->crc, ret->crc);
        return commit(x, path, reterr);
}

static int print(const struct extraction *x, const char *path, enum output_format format,
                 struct error *reterr) {
        json_auto_t *array = json_array();

        for (size_t i = 0; i < eif_n_sections(x->e); i++) {
                const struct eif_section *s = eif_section(x->e, i);

                if (format == OUTPUT_TEXT)
                        (void)printf("%s/%s  %" PRIu64 "\n", path, x->names[i], s->size);
                (void)json_array_append_new(array, json_pack("{s:s, s:s, s:I}", "Type",
                                                             eif_section_type_name(s->type), "File",
                                                             x->names[i], "Size", (json_int_t)s->size));
        }
        if (format == OUTPUT_TEXT)
                return 0;
        return eif_print_json(json_pack("{s:s, s:O}", "Directory", path, "Sections", array), reterr);
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_(extraction_done) struct extraction x = { .directory = -1 };
        const char *path = options_value(o, "output");
        _cleanup_eif_ struct eif *e = NULL;
        _cleanup_close_ int fd = -1;
        enum output_format format;
        struct eif_pass pass;
        int r;

        for (size_t i = 0; i < EIF_SECTIONS_MAX; i++)
                x.files[i] = -1;
        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = options_require(o, "output", reterr);
        if (r < 0)
                return r;
        fd = eif_open_file(o->positional[0], reterr);
        if (fd < 0)
                return fd;
        r = eif_open(&e, fd, reterr);
        if (r >= 0) {
                x.e = e;
                r = extract(&x, path, &pass, reterr);
        }
        if (r < 0)
                return error_wrap(reterr, r, "%s", o->positional[0]);
        return print(&x, path, format, reterr);
}

const struct verb verb_extract_eif = {
        .name = "extract-eif",
        .synopsis = "FILE --output DIRECTORY",
        .help = "Take an image apart into kernel, cmdline, metadata, ramdisks and signature",
        .details = "The directory appears complete or not at all; a damaged image is refused.\n",
        .options = options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run,
};
