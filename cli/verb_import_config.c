/* SPDX-License-Identifier: Apache-2.0 */

#include "base/io.h"
#include "cli/client.h"
#include "cli/import_config.h"
#include "cli/verb.h"

#include <fcntl.h>
#include <string.h>

#define VSOCK_PORT_DEFAULT 8000 /* of AWS's service unit and of Huawei's examples */

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        { "port", 0, "PORT", "vsock port for what vsock-proxy.yaml allows (default: 8000)" },
        VERB_OPTIONS_END
};

static const char *base_name(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

/* Whoever looks at the file only when it is in use has missed them. */
static void warn_of_skipped(const char *name, const char *text) {
        while ((text = strstr(text, "\n" IMPORT_SKIPPED))) {
                text += strlen("\n# ");
                (void)fprintf(stderr, "qt-enclave: %s: %.*s\n", name, (int)strcspn(text, "\n"), text);
        }
}

/* Each of ours can be made from one of theirs. */
static int read_files(const struct options *o, uint32_t port, char *ret[IMPORT_TARGET_MAX],
                      struct error *reterr) {
        for (int i = 0; i < o->n_positional; i++) {
                _cleanup_free_ char *text = NULL, *result = NULL;
                const char *path = o->positional[i];
                enum import_target target;
                size_t size;
                int r;

                r = read_text_file(AT_FDCWD, path, IMPORT_SIZE_MAX, &text, &size);
                if (r < 0)
                        return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read %s", path);
                r = import_config(text, size, base_name(path), port, &result, &target, reterr);
                if (r < 0)
                        return r;
                if (ret[target])
                        return error_set(reterr, ERROR_USAGE,
                                         "%s and a file before it both become %s; import one of them", path,
                                         import_target_name(target));
                warn_of_skipped(base_name(path), result);
                ret[target] = TAKE(result);
        }
        return 0;
}

static int print(char *const results[IMPORT_TARGET_MAX], enum output_format format, struct error *reterr) {
        json_auto_t *document = json_object();
        bool several = results[0] && results[1];

        for (unsigned i = 0; i < IMPORT_TARGET_MAX; i++) {
                if (!results[i])
                        continue;
                (void)json_object_set_new(document, import_target_name(i), json_string(results[i]));
                if (format == OUTPUT_TEXT)
                        (void)printf("%s%s%s%s", several ? "# ---- " : "",
                                     several ? import_target_name(i) : "", several ? "\n" : "", results[i]);
        }
        return format == OUTPUT_JSON ? print_json(document, reterr) : 0;
}

static int run(const struct options *o, struct error *reterr) {
        char *results[IMPORT_TARGET_MAX] = { NULL };
        enum output_format format;
        uint64_t port;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = options_u64(o, "port", 1, UINT32_MAX - 1, VSOCK_PORT_DEFAULT, &port, reterr);
        if (r >= 0)
                r = read_files(o, (uint32_t)port, results, reterr);
        if (r >= 0)
                r = print(results, format, reterr);
        for (unsigned i = 0; i < IMPORT_TARGET_MAX; i++)
                free(results[i]);
        return r;
}

const struct verb verb_import_config = {
        .name = "import-config",
        .synopsis = "[--port PORT] FILE…",
        .help = "Turn the configuration of AWS's and Huawei's tools into ours",
        .details =
                "Reads allocator.yaml, vsock-proxy.yaml and qt-enclave-env.conf as they are, and prints\n"
                "qt-enclaved.conf or qt-kms-proxy.conf. What is not understood is refused with its line.\n",
        .options = options,
        .min_arguments = 1,
        .max_arguments = -1,
        .run = run,
};
