/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever the parser takes, the encoder must write such that the parser reads the same again. */

#include "base/app_config.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_same_list(char *const *a, char *const *b) {
        for (; *a && *b; a++, b++)
                assert(strcmp(*a, *b) == 0);
        assert(!*a && !*b);
}

static void assert_same_text(const char *a, const char *b) {
        assert(strcmp(a ? a : "", b ? b : "") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_app_config_ struct app_config first = APP_CONFIG_NULL, second = APP_CONFIG_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_free_ uint8_t *encoded = NULL;
        size_t encoded_size;

        if (app_config_parse(&first, data, size, &e) < 0) {
                assert(e.message);
                return 0;
        }
        assert(app_config_encode(&first, &encoded, &encoded_size, NULL) == 0);
        assert(encoded_size <= size);
        assert(app_config_parse(&second, encoded, encoded_size, NULL) == 0);
        assert_same_list(first.arguments, second.arguments);
        assert_same_list(first.environment, second.environment);
        assert_same_text(first.workdir, second.workdir);
        assert_same_text(first.user, second.user);
        return 0;
}
