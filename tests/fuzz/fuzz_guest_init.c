/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What qt-init reads of others: the first byte chooses the parser. 'c' a command of the parent, 'x' attribute
 * records, 'n' Nitro's /cmd and /env (split at the first NUL), 'u' a user: NAME NUL passwd NUL group.
 */

#include "guest/init/account.h"
#include "guest/init/attributes.h"
#include "guest/init/image.h"
#include "guest/init/message.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes up to the next NUL or the end, as a string of its own. */
static char *next_text(const uint8_t **data, size_t *size) {
        size_t length = strnlen((const char *)*data, *size);
        char *text = strndup((const char *)*data, length);

        assert(text);
        *data += length < *size ? length + 1 : length;
        *size -= length < *size ? length + 1 : length;
        return text;
}

static void try_attributes(const uint8_t *data, size_t size) {
        struct reader r = reader_over(data, size);
        struct attribute a;

        while (attribute_next(&r, &a, NULL) > 0) {
                assert(a.path[0] != '/' && strncmp(a.path, "../", 3) != 0);
                assert(a.value + a.size <= data + size);
        }
}

static void try_nitro(const uint8_t *data, size_t size) {
        _cleanup_free_ char *cmd = next_text(&data, &size), *env = next_text(&data, &size);
        _cleanup_app_config_ struct app_config c = APP_CONFIG_NULL;
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t n;

        if (image_config_from_lines(cmd, env, &bytes, &n, NULL) == 0)
                assert(app_config_parse(&c, bytes, n, NULL) == 0);
}

static void try_account(const uint8_t *data, size_t size) {
        _cleanup_free_ char *user = next_text(&data, &size), *passwd = next_text(&data, &size);
        _cleanup_account_ struct account a = ACCOUNT_NULL;

        if (account_resolve(&a, user, passwd, strlen(passwd), (const char *)data, size, NULL) == 0)
                assert(a.uid != (uid_t)-1 && a.gid != (gid_t)-1 && a.home);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct command c;

        if (size == 0)
                return 0;
        switch (data[0]) {
        case 'c':
                if (command_parse((const char *)data + 1, size - 1, &c, NULL) == 0)
                        assert(c.value <= INT64_MAX);
                break;
        case 'x':
                try_attributes(data + 1, size - 1);
                break;
        case 'n':
                try_nitro(data + 1, size - 1);
                break;
        case 'u':
                try_account(data + 1, size - 1);
                break;
        default:
                break;
        }
        return 0;
}
