/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/build_metadata.h"

#include "base/io.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <string.h>
#include <time.h>

#define CUSTOM_MAX 4096 /* nitro-cli's limit of --metadata */
#define MANIFEST_MAX ((size_t)1 << 20)

#define MIB ((uint64_t)1 << 20)
/* Measured with Debian's 6.1 cloud kernel: what it holds back for itself, plus room for the application to be
 * started at all. */
#define HEADROOM (56 * MIB)
#define ENTRY_COST 1100 /* an inode and a name in the kernel's caches */

int build_digest_range(int fd, uint64_t offset, uint64_t size, char ret[65]) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        _cleanup_free_ uint8_t *buffer = malloc(65536);
        uint8_t digest[32];
        int r = context && buffer && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;

        while (r == 0 && size > 0) {
                ssize_t n = pread(fd, buffer, size < 65536 ? (size_t)size : 65536, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        r = n < 0 ? -errno : 0;
                        break;
                }
                if (EVP_DigestUpdate(context, buffer, (size_t)n) != 1)
                        r = -EIO;
                offset += (uint64_t)n;
                size -= (uint64_t)n;
        }
        if (r == 0 && EVP_DigestFinal_ex(context, digest, NULL) != 1)
                r = -EIO;
        EVP_MD_CTX_free(context);
        if (r == 0)
                format_hex(digest, sizeof(digest), ret);
        return r;
}

static int set_digest(json_t *object, const char *name, int fd, const char *path, struct error *reterr) {
        char hex[65];
        int r = fd < 0 ? -errno : build_digest_range(fd, 0, UINT64_MAX, hex);

        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "%s", path);
        (void)json_object_set_new(object, name, json_string(hex));
        return 0;
}

/* Of what scripts/fetch-kernel wrote beside the kernel: where it came from. */
static void set_kernel_package(json_t *object, const char *kernel_path) {
        _cleanup_free_ char *copy = strdup(kernel_path), *path = NULL, *text = NULL;
        size_t size;

        if (!copy || asprintf(&path, "%s/manifest.json", dirname(copy)) < 0 ||
            read_text_file(AT_FDCWD, path, MANIFEST_MAX, &text, &size) < 0)
                return;

        json_auto_t *manifest = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        const json_t *package = json_object_get(manifest, "package"),
                     *version = json_object_get(manifest, "version");

        if (json_is_string(package) && json_is_string(version)) {
                (void)json_object_set(object, "KernelPackage", (json_t *)package);
                (void)json_object_set(object, "KernelPackageVersion", (json_t *)version);
        }
}

static int make_own(const struct build_plan *p, json_t *own, struct error *reterr) {
        static const char *const compressions[RAMDISK_COMPRESSION_MAX] = { "none", "gzip", "zstd" };
        int r;

        (void)json_object_set_new(own, "MemoryMiB", json_integer(UINT32_MAX));
        r = set_digest(own, "KernelSHA256", p->kernel.fd, p->kernel.path, reterr);
        if (r < 0)
                return r;
        set_kernel_package(own, p->kernel.path);
        if (p->init) {
                _cleanup_close_ int fd = open(p->init, O_RDONLY | O_CLOEXEC);

                r = set_digest(own, "InitSHA256", fd, p->init, reterr);
                if (r < 0)
                        return r;
                (void)json_object_set_new(own, "Compression", json_string(compressions[p->compression]));
        }
        if (p->image_digest)
                (void)json_object_set_new(own, "ImageDigest", json_string(p->image_digest));
        return 0;
}

static int read_custom(const char *path, json_t **ret, struct error *reterr) {
        _cleanup_free_ char *text = NULL;
        json_auto_t *object = NULL;
        json_error_t where;
        size_t size;
        int r;

        if (!path) {
                *ret = json_object();
                return 0;
        }
        r = read_text_file(AT_FDCWD, path, CUSTOM_MAX, &text, &size);
        if (r == -EFBIG)
                return error_set(reterr, ERROR_FILE_UNREADABLE, "metadata %s: more than %d bytes", path,
                                 CUSTOM_MAX);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "metadata %s", path);
        object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
        if (!object)
                return error_set(reterr, ERROR_SOURCE_INVALID, "metadata %s:%d: %s", path, where.line,
                                 where.text);
        if (!json_is_object(object) || json_object_get(object, "QtEnclave"))
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "metadata %s: must be a JSON object without the member QtEnclave", path);
        *ret = json_incref(object);
        return 0;
}

int build_metadata_make(const struct build_plan *p, json_t **ret, struct error *reterr) {
        json_auto_t *own = json_object(), *custom = NULL, *metadata = NULL;
        char built[32] = "";
        time_t when = (time_t)p->time;
        struct tm tm;
        int r;

        r = make_own(p, own, reterr);
        if (r >= 0)
                r = read_custom(p->request->metadata, &custom, reterr);
        if (r < 0)
                return r;
        if (gmtime_r(&when, &tm))
                (void)strftime(built, sizeof(built), "%Y-%m-%dT%H:%M:%S+00:00", &tm);
        (void)json_object_set(custom, "QtEnclave", own);
        metadata = json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s}, s:n, s:O}", "ImageName", p->name,
                             "ImageVersion", p->version, "BuildMetadata", "BuildTime", built, "BuildTool",
                             "qt-enclave", "BuildToolVersion", PROJECT_VERSION, "OperatingSystem", "Linux",
                             "KernelVersion", p->kernel_version ? p->kernel_version : "unknown", "DockerInfo",
                             "CustomMetadata", custom);
        if (!metadata)
                return error_set(reterr, ERROR_USAGE, "--name %s or --version %s: must be UTF-8 text",
                                 p->name, p->version);
        *ret = json_incref(metadata);
        return 0;
}

int build_metadata_print(json_t *metadata, uint64_t memory_mib, char **ret) {
        json_t *own = json_object_get(json_object_get(metadata, "CustomMetadata"), "QtEnclave");

        (void)json_object_set_new(own, "MemoryMiB", json_integer((json_int_t)memory_mib));
        *ret = json_dumps(metadata, JSON_COMPACT | JSON_PRESERVE_ORDER);
        return *ret ? 0 : -ENOMEM;
}

uint64_t build_memory_need(const struct build_sizes *s) {
        uint64_t files = s->unpacked + s->entries * ENTRY_COST;
        uint64_t peak = s->ramdisks > files ? s->ramdisks + files : 2 * files;
        uint64_t bytes = s->kernel + HEADROOM + peak;

        /* The kernel's own account of its memory takes 64 bytes of each page. */
        bytes += bytes / 60;
        bytes = (bytes + 2 * MIB - 1) / (2 * MIB) * (2 * MIB); /* the smallest page of a pool */
        return bytes / MIB > UINT32_MAX ? UINT32_MAX : bytes / MIB;
}
