/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/build_plan.h"

#include "base/io.h"
#include "base/parse.h"
#include "cli/command_words.h"
#include "eif/kernel_config.h"
#include "eif/kernel_image.h"
#include "eif/source.h"
#include "eif/source_binary.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#define KERNEL_DIRECTORY_SYSTEM "/usr/share/qt-enclave/kernel"
#define KERNEL_CONFIG_MAX ((size_t)4 << 20)

/* The kernel's own lines from "notice" up go to the debug console; i8042.* and pci=off skip waits for devices
 * that no enclave has. What one hypervisor needs in addition, it adds when it boots the image. */
static const char *const default_cmdlines[EIF_ARCH_MAX] = {
        [EIF_ARCH_X86_64] =
                "console=ttyS0 reboot=k panic=-1 loglevel=6 pci=off i8042.noaux i8042.nomux i8042.nopnp "
                "i8042.dumbkbd random.trust_cpu=on",
        [EIF_ARCH_AARCH64] = "console=ttyS0 reboot=k panic=-1 loglevel=6 pci=off random.trust_cpu=on",
};

static int no_memory(struct error *reterr) {
        return error_set(reterr, ERROR_INTERNAL, "out of memory");
}

static void input_done(struct build_input *i) {
        free(i->path);
        i->fd = close_fd(i->fd);
}

void build_plan_done(struct build_plan *p) {
        input_done(&p->kernel);
        for (size_t i = 0; i < p->n_ramdisks; i++)
                input_done(&p->ramdisks[i]);
        free(p->ramdisks);
        free(p->kernel_version);
        free(p->cmdline);
        free(p->init);
        free(p->modules_dir);
        free(p->nsm);
        (void)source_tree_free(p->tree);
        application_done(&p->application);
        free(p->app_config);
        free(p->name);
        free(p->version);
        free(p->image_id);
        free(p->image_digest);
        *p = BUILD_PLAN_NULL;
}

static int open_input(const char *what, const char *path, struct build_input *ret, struct error *reterr) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "%s %s", what, path);
        if (!S_ISREG(st.st_mode))
                return error_set(reterr, ERROR_FILE_UNREADABLE, "%s %s: must be a regular file", what, path);
        if (st.st_size == 0)
                return error_set(reterr, ERROR_FILE_UNREADABLE, "%s %s: is empty", what, path);
        ret->path = strdup(path);
        if (!ret->path)
                return no_memory(reterr);
        ret->fd = TAKE_FD(fd);
        ret->size = (uint64_t)st.st_size;
        return 0;
}

/* For what is opened by its path later, at several points of the build. */
static int check_input(const char *what, const char *path, struct error *reterr) {
        _cleanup_(input_done) struct build_input input = { .fd = -1 };

        return open_input(what, path, &input, reterr);
}

static int read_time(struct build_plan *p, struct error *reterr) {
        const char *text = getenv("SOURCE_DATE_EPOCH");
        uint64_t value;

        if (!text || !*text)
                return 0;
        if (parse_u64(text, 0, UINT32_MAX, &value) < 0)
                return error_set(reterr, ERROR_USAGE,
                                 "SOURCE_DATE_EPOCH=%s: must be seconds since 1970, from 0 to %" PRIu32, text,
                                 UINT32_MAX);
        p->time = (int64_t)value;
        p->time_is_given = true;
        return 0;
}

static int read_arch(struct build_plan *p, struct error *reterr) {
#ifdef __aarch64__
        p->arch = EIF_ARCH_AARCH64;
#else
        p->arch = EIF_ARCH_X86_64;
#endif
        if (p->request->arch && eif_arch_from_name(p->request->arch, &p->arch) < 0)
                return error_set(reterr, ERROR_USAGE, "--arch %s: must be x86_64 or aarch64",
                                 p->request->arch);
        return 0;
}

static int read_compression(struct build_plan *p, struct error *reterr) {
        static const char *const names[RAMDISK_COMPRESSION_MAX] = { "none", "gzip", "zstd" };
        const char *name = p->request->compress;

        for (size_t i = 0; name && i < ELEMENTSOF(names); i++)
                if (strcmp(name, names[i]) == 0) {
                        p->compression = (enum ramdisk_compression)i;
                        return 0;
                }
        return name ? error_set(reterr, ERROR_USAGE, "--compress %s: must be none, gzip or zstd", name) : 0;
}

/* Where scripts/fetch-kernel puts it, or a package; "" ends the search. */
static int find_kernel(char **ret, struct error *reterr) {
        const char *own = getenv("QT_ENCLAVE_KERNEL_DIR"), *data = getenv("XDG_DATA_HOME"),
                   *home = getenv("HOME");
        _cleanup_free_ char *users = NULL;
        int r = 0;

        if (data && *data)
                r = asprintf(&users, "%s/qt-enclave/kernel", data);
        else if (home && *home)
                r = asprintf(&users, "%s/.local/share/qt-enclave/kernel", home);
        if (r < 0)
                return no_memory(reterr);

        const char *const places[] = { own && *own ? own : NULL, users, KERNEL_DIRECTORY_SYSTEM };

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                _cleanup_free_ char *path = NULL;

                if (!places[i])
                        continue;
                if (asprintf(&path, "%s/vmlinuz", places[i]) < 0)
                        return no_memory(reterr);
                if (access(path, F_OK) == 0) {
                        *ret = TAKE(path);
                        return 0;
                }
                if (i == 0) /* who names a directory means that one */
                        return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno,
                                               "kernel %s (from QT_ENCLAVE_KERNEL_DIR)", path);
        }
        return error_set(reterr, ERROR_FILE_UNREADABLE,
                         "no kernel: give --kernel FILE, or run scripts/fetch-kernel (looked in %s and %s)",
                         users ? users : "no home directory", KERNEL_DIRECTORY_SYSTEM);
}

static int check_kernel(const struct build_plan *p, const struct kernel_image *image, struct error *reterr) {
        if (image->other)
                return error_set(
                        reterr, ERROR_KERNEL_UNSUITABLE,
                        "kernel %s is %s; an enclave boots a bzImage (x86_64) or an Image that is not "
                        "compressed (aarch64)",
                        p->kernel.path, image->other);
        if (image->is_known && image->arch != p->arch)
                return error_set(
                        reterr, ERROR_KERNEL_UNSUITABLE,
                        "kernel %s is for %s, and the image is for %s; give another --kernel or --arch",
                        p->kernel.path, eif_arch_name(image->arch), eif_arch_name(p->arch));
        if (p->kernel.size < image->size)
                return error_set(reterr, ERROR_KERNEL_UNSUITABLE,
                                 "kernel %s has %" PRIu64 " bytes and by its header %" PRIu64
                                 ": it is cut off; copy it again",
                                 p->kernel.path, p->kernel.size, image->size);
        return 0;
}

static int read_kernel(struct build_plan *p, struct error *reterr) {
        _cleanup_free_ char *found = NULL;
        _cleanup_free_ uint8_t *header = NULL;
        struct kernel_image image;
        ssize_t n;
        int r = 0;

        if (!p->request->kernel)
                r = find_kernel(&found, reterr);
        if (r >= 0)
                r = open_input("kernel", found ? found : p->request->kernel, &p->kernel, reterr);
        if (r < 0)
                return r;
        header = malloc(KERNEL_HEADER_SIZE);
        if (!header)
                return no_memory(reterr);
        n = pread(p->kernel.fd, header, KERNEL_HEADER_SIZE, 0);
        if (n < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "kernel %s", p->kernel.path);
        kernel_image_probe(header, (size_t)n, &image);
        r = check_kernel(p, &image, reterr);
        if (r < 0)
                return r;
        /* A kernel of unknown shape: four times its size has held for every packing so far. */
        p->kernel_memory = image.is_known ? image.memory : 4 * p->kernel.size;
        if (*image.version) {
                p->kernel_version = strdup(image.version);
                if (!p->kernel_version)
                        return no_memory(reterr);
        }
        return 0;
}

static int read_cmdline(struct build_plan *p, struct error *reterr) {
        const char *text = p->request->cmdline ? p->request->cmdline : default_cmdlines[p->arch];

        if (strlen(text) > KERNEL_CMDLINE_MAX)
                return error_set(reterr, ERROR_USAGE, "--cmdline: %zu bytes; the kernel reads at most %u",
                                 strlen(text), KERNEL_CMDLINE_MAX);
        p->cmdline = strdup(text);
        return p->cmdline ? 0 : no_memory(reterr);
}

static int own_directory(char **ret) {
        char path[4096];
        ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

        if (n < 0)
                return -errno;
        path[n] = '\0';
        *ret = strdup(dirname(path));
        return *ret ? 0 : -ENOMEM;
}

/* As installed, or as built beside this program. */
static int find_init(struct build_plan *p, struct error *reterr) {
        const char *own = p->request->init ? p->request->init : getenv("QT_ENCLAVE_INIT");
        _cleanup_free_ char *directory = NULL, *built = NULL;

        if (own && *own)
                p->init = strdup(own);
        else if (access(QT_LIBEXECDIR "/qt-init", F_OK) == 0)
                p->init = strdup(QT_LIBEXECDIR "/qt-init");
        else {
                if (own_directory(&directory) < 0 || asprintf(&built, "%s/../guest/qt-init", directory) < 0)
                        return no_memory(reterr);
                if (access(built, F_OK) < 0)
                        return error_set(reterr, ERROR_FILE_UNREADABLE,
                                         "no qt-init in %s; give --init FILE or set QT_ENCLAVE_INIT",
                                         QT_LIBEXECDIR);
                p->init = TAKE(built);
        }
        return p->init ? check_input("init", p->init, reterr) : no_memory(reterr);
}

/* "DIRECTORY/name" beside the kernel; NULL: out of memory. */
static char *beside_kernel(const struct build_plan *p, const char *name) {
        const char *slash = strrchr(p->kernel.path, '/');
        char *path;

        if (asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - p->kernel.path) : 0, p->kernel.path, name) <
            0)
                return NULL;
        return path;
}

/* Without --modules-dir: the directory that fetch-kernel puts beside the kernel, else none. */
static int find_modules(struct build_plan *p, struct error *reterr) {
        _cleanup_free_ char *index = NULL;

        if (p->request->modules_dir) {
                p->modules_dir = strdup(p->request->modules_dir);
                return p->modules_dir ? 0 : no_memory(reterr);
        }
        index = beside_kernel(p, "modules/modules.dep");
        if (!index)
                return no_memory(reterr);
        if (access(index, F_OK) == 0) {
                p->modules_dir = beside_kernel(p, "modules");
                return p->modules_dir ? 0 : no_memory(reterr);
        }
        return 0;
}

static int read_compat(struct build_plan *p, struct error *reterr) {
        const char *name = p->request->compat;

        p->as_nitro_cli = name != NULL;
        if (name && strcmp(name, "nitro-cli") != 0)
                return error_set(reterr, ERROR_USAGE, "--compat %s: must be nitro-cli", name);
        if (name && p->compression != RAMDISK_PLAIN)
                return error_set(reterr, ERROR_USAGE,
                                 "--compat nitro-cli and --compress: its ramdisks are not packed; give one");
        return 0;
}

/* nsm.ko in the directory of modules, or beside the kernel as in nitro-cli's own directory. */
static int find_nsm(struct build_plan *p, struct error *reterr) {
        _cleanup_free_ char *path = NULL;

        if (!p->request->modules_dir)
                path = beside_kernel(p, "nsm.ko");
        else if (asprintf(&path, "%s/nsm.ko", p->request->modules_dir) < 0)
                path = NULL;
        if (!path)
                return no_memory(reterr);
        if (access(path, F_OK) == 0)
                p->nsm = TAKE(path);
        return 0;
}

/* --kernel-config, or the configuration that fetch-kernel puts beside the kernel. */
static int check_kernel_config(struct build_plan *p, struct error *reterr) {
        const char *given = p->request->kernel_config;
        _cleanup_free_ char *beside = beside_kernel(p, "config");
        _cleanup_free_ char *text = NULL;
        int r;

        if (!beside)
                return no_memory(reterr);
        r = read_text_file(AT_FDCWD, given ? given : beside, KERNEL_CONFIG_MAX, &text, NULL);
        if (r < 0 && !given)
                return 0;
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "kernel configuration %s", given);
        return kernel_config_check(text, given ? given : beside, p->arch, p->modules_dir != NULL,
                                   p->compression, reterr);
}

static int replace_text(char **text, const char *with) {
        if (!with)
                return 0;
        free(*text);
        *text = strdup(with);
        return *text ? 0 : -ENOMEM;
}

/* The command line's wishes over those of the image. */
static int override(struct application *a, const struct build_request *q, struct error *reterr) {
        int r;

        if (q->cmd && q->arguments.n > 0)
                return error_set(reterr, ERROR_USAGE,
                                 "--cmd and arguments after -- both say what to run; give one");
        if (q->entrypoint) {
                string_list_done(&a->entrypoint);
                string_list_done(&a->command);
                r = command_words_parse(q->entrypoint, &a->entrypoint, reterr);
                if (r < 0)
                        return r;
        }
        if (q->cmd || q->arguments.n > 0)
                string_list_done(&a->command);
        if (q->cmd) {
                r = command_words_parse(q->cmd, &a->command, reterr);
                if (r < 0)
                        return r;
        }
        r = string_list_add_all(&a->command, &q->arguments);
        if (r >= 0)
                r = string_list_add_all(&a->environment, &q->env);
        if (r >= 0)
                r = replace_text(&a->workdir, q->workdir);
        if (r >= 0)
                r = replace_text(&a->user, q->user);
        return r < 0 ? no_memory(reterr) : 0;
}

static int read_yes_or_no(const char *name, const char *text, bool *ret, struct error *reterr) {
        if (text && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
                return error_set(reterr, ERROR_USAGE, "--%s %s: must be yes or no", name, text);
        *ret = text && strcmp(text, "yes") == 0;
        return 0;
}

static int read_source(struct build_plan *p, struct error *reterr) {
        const struct build_request *q = p->request;
        struct source_options options = {
                .arch = p->arch,
                .mtime = p->time,
                .clamp_mtime = p->time_is_given && !p->as_nitro_cli,
                .max_size = SOURCE_SIZE_DEFAULT,
        };
        _cleanup_source_ struct source s = SOURCE_NULL;
        _cleanup_free_ char *spec = NULL;
        uint64_t mib;
        int r;

        if (q->max_size) {
                if (parse_mib(q->max_size, &mib) < 0 || mib == 0 || mib > UINT64_MAX >> 20)
                        return error_set(reterr, ERROR_USAGE,
                                         "--max-size %s: must be a size such as 512M or 2G", q->max_size);
                options.max_size = mib << 20;
        }
        r = read_yes_or_no("keep-owners", q->keep_owners, &options.keep_owners, reterr);
        if (r < 0)
                return r;
        if (asprintf(&spec, "%s%s", q->rootfs ? "dir:" : "",
                     q->rootfs  ? q->rootfs
                     : q->image ? q->image
                                : "scratch") < 0)
                return no_memory(reterr);
        r = source_read(spec, &options, &s, reterr);
        for (size_t i = 0; r >= 0 && i < q->add_binary.n; i++)
                r = source_binary_add(s.tree, q->add_binary.items[i], p->arch, p->time, reterr);
        if (r >= 0)
                r = override(&s.application, q, reterr);
        if (r >= 0 && !p->as_nitro_cli)
                r = application_settle(&s.application, s.tree, p->arch, p->time, reterr);
        if (r >= 0)
                r = application_encode(&s.application, &p->app_config, &p->app_config_size, reterr);
        if (r < 0)
                return r;
        p->tree = TAKE(s.tree);
        p->image_id = TAKE(s.id);
        p->image_digest = TAKE(s.digest);
        p->name = TAKE(s.name);
        p->application = s.application;
        s.application = APPLICATION_NULL;
        return 0;
}

/* It starts at that byte of the joined ramdisks. */
static int check_ramdisk(struct build_input *ramdisk, uint64_t start, struct error *reterr) {
        char magic[EIF_RAMDISK_MAGIC_SIZE];
        int r;

        if (ramdisk->size < sizeof(magic))
                return 0;
        r = pread_exactly(ramdisk->fd, magic, sizeof(magic), 0);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "ramdisk %s", ramdisk->path);
        ramdisk->is_plain = eif_ramdisk_is_plain(magic);
        if (ramdisk->is_plain && start % 4 != 0)
                return error_set(
                        reterr, ERROR_SOURCE_INVALID,
                        "ramdisk %s is not compressed and would start at byte %" PRIu64
                        " of the joined ramdisks, where the kernel does not look for it; pad the one "
                        "before it with zeros to a multiple of 4 bytes",
                        ramdisk->path, start);
        return 0;
}

/* Those that are made here come first and end at multiples of 4. */
static int read_ramdisks(struct build_plan *p, struct error *reterr) {
        const struct string_list *l = &p->request->ramdisk;
        uint64_t start = 0;

        p->ramdisks = calloc(l->n + 1, sizeof(*p->ramdisks));
        if (!p->ramdisks)
                return no_memory(reterr);
        for (size_t i = 0; i < l->n; i++) {
                struct build_input *ramdisk = &p->ramdisks[i];
                int r = open_input("ramdisk", l->items[i], ramdisk, reterr);

                if (r < 0)
                        return r;
                p->n_ramdisks++;
                r = check_ramdisk(ramdisk, start, reterr);
                if (r < 0)
                        return r;
                start += ramdisk->size;
        }
        return 0;
}

/* By default the image's; nitro-cli writes the reference up to its first colon, and docker's id. */
static int read_names(struct build_plan *p, struct error *reterr) {
        const char *digest = p->as_nitro_cli ? p->image_id : p->image_digest;
        const char *version = digest ? strchr(digest, ':') : NULL;

        if (p->as_nitro_cli && p->name)
                p->name[strcspn(p->name, ":")] = '\0';
        if (p->request->name || !p->name || !*p->name) {
                free(p->name);
                p->name = strdup(p->request->name ? p->request->name : "enclave");
        }
        p->version = strdup(p->request->version ? p->request->version : version ? version + 1 : "0");
        return p->name && p->version ? 0 : no_memory(reterr);
}

static bool wants_tree(const struct build_request *q) {
        return q->rootfs || q->image || q->add_binary.n > 0;
}

static int check_request(const struct build_request *q, struct error *reterr) {
        bool has_source = wants_tree(q);

        if (!q->output && !q->compare_to)
                return error_set(reterr, ERROR_USAGE, "option --output FILE is missing; see --help");
        if (q->rootfs && q->image)
                return error_set(reterr, ERROR_USAGE,
                                 "--rootfs and --image both say what to put in; give one");
        if (!has_source && q->ramdisk.n == 0)
                return error_set(reterr, ERROR_USAGE,
                                 "nothing to put in: give --image, --rootfs, --add-binary or --ramdisk");
        if (!has_source &&
            (q->cmd || q->entrypoint || q->arguments.n > 0 || q->env.n > 0 || q->workdir || q->user))
                return error_set(reterr, ERROR_USAGE,
                                 "ready-made ramdisks say themselves what runs; --cmd, --env, --workdir and "
                                 "--user need "
                                 "--image, --rootfs or --add-binary");
        return 0;
}

int build_plan_make(struct build_plan *p, const struct build_request *q, struct error *reterr) {
        int r;

        p->request = q;
        r = check_request(q, reterr);
        if (r >= 0)
                r = read_time(p, reterr);
        if (r >= 0)
                r = read_arch(p, reterr);
        if (r >= 0)
                r = read_compression(p, reterr);
        if (r >= 0)
                r = read_compat(p, reterr);
        if (r >= 0)
                r = read_kernel(p, reterr);
        if (r >= 0)
                r = read_cmdline(p, reterr);
        if (r >= 0)
                r = read_ramdisks(p, reterr);
        if (r >= 0 && wants_tree(q)) {
                r = find_init(p, reterr);
                if (r >= 0 && p->as_nitro_cli)
                        r = find_nsm(p, reterr);
                if (r >= 0 && !p->nsm)
                        r = find_modules(p, reterr);
                if (r >= 0)
                        r = check_kernel_config(p, reterr);
                if (r >= 0)
                        r = read_source(p, reterr);
        }
        return r < 0 ? r : read_names(p, reterr);
}
