/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/image.h"
#include "guest/init/attributes.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

/* The lines of text, as a NULL-terminated array that the caller frees; the strings stay in text. */
static char **split_lines(char *text, bool keep_empty) {
        size_t length = strlen(text), n = 1;
        char **lines, *line;

        if (length > 0 && text[length - 1] == '\n')
                text[length - 1] = 0;
        for (const char *p = text; *p; p++)
                n += *p == '\n';
        lines = calloc(n + 1, sizeof(*lines));
        if (!lines)
                return NULL;
        n = 0;
        while ((line = strsep(&text, "\n")))
                if (keep_empty || line[0])
                        lines[n++] = line;
        return lines;
}

int image_config_from_lines(char *cmd, char *env, uint8_t **ret, size_t *ret_size, struct error *reterr) {
        _cleanup_free_ char **arguments = split_lines(cmd, true), **environment = NULL;
        struct app_config c = { .arguments = arguments };

        if (!arguments)
                return -ENOMEM;
        if (env) {
                environment = split_lines(env, false);
                if (!environment)
                        return -ENOMEM;
                c.environment = environment;
        }
        return app_config_encode(&c, ret, ret_size, reterr);
}

/* 0 and *ret NULL when the file is not there. */
static int read_and_remove(const char *path, size_t max, char **ret, size_t *ret_size, struct error *reterr) {
        int r = read_text_file(AT_FDCWD, path, max, ret, ret_size);

        if (r == -ENOENT) {
                *ret = NULL;
                return 0;
        }
        if (r < 0)
                return error_set_errno(reterr, ERROR_IMAGE_INVALID, r, "%s of the application ramdisk", path);
        (void)unlink(path);
        return 0;
}

static int read_nitro_config(uint8_t **ret, size_t *ret_size, struct error *reterr) {
        _cleanup_free_ char *cmd = NULL, *env = NULL;
        int r;

        r = read_and_remove("/cmd", APP_CONFIG_SIZE_MAX, &cmd, NULL, reterr);
        if (r < 0)
                return r;
        if (!cmd)
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "the image holds neither " APP_CONFIG_PATH
                                 " nor /cmd; was the enclave given enough memory to unpack it?");
        r = read_and_remove("/env", APP_CONFIG_SIZE_MAX, &env, NULL, reterr);
        if (r < 0)
                return r;
        r = image_config_from_lines(cmd, env, ret, ret_size, reterr);
        return r < 0 ? error_wrap(reterr, r, "/cmd and /env of the application ramdisk") : 0;
}

int image_read(struct image *ret, struct error *reterr) {
        _cleanup_free_ char *bytes = NULL, *attributes = NULL;
        size_t size = 0, attributes_size = 0;
        int r;

        r = read_and_remove(APP_CONFIG_PATH, APP_CONFIG_SIZE_MAX, &bytes, &size, reterr);
        if (r == 0 && !bytes)
                r = read_nitro_config((uint8_t **)&bytes, &size, reterr);
        if (r == 0)
                r = read_and_remove(ATTRIBUTES_PATH, ATTRIBUTES_FILE_MAX, &attributes, &attributes_size,
                                    reterr);
        if (r < 0)
                return r;
        r = app_config_parse(&ret->config, bytes, size, reterr);
        if (r < 0)
                return error_wrap(reterr, r, APP_CONFIG_PATH " of the application ramdisk");
        ret->config_bytes = (uint8_t *)TAKE(bytes);
        ret->attributes = TAKE(attributes);
        ret->attributes_size = attributes_size;
        return 0;
}

void image_done(struct image *i) {
        app_config_done(&i->config);
        free(i->config_bytes);
        free(i->attributes);
        *i = IMAGE_NULL;
}
