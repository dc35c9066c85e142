/* SPDX-License-Identifier: Apache-2.0 */

/* The settings file of build-eif, or, behind a first byte of 1, a command on one line. */

#include "cli/build_request.h"
#include "cli/command_words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_build_request_ struct build_request q = BUILD_REQUEST_NULL;
        _cleanup_string_list_ struct string_list words = STRING_LIST_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_free_ char *text = malloc(size + 1);
        int r;

        if (!text || size == 0)
                return 0;
        memcpy(text, data + 1, size - 1);
        text[size - 1] = '\0';
        r = data[0] == 1 ? command_words_parse(text, &words, &e)
                         : build_request_parse(&q, text, "file", "/directory", &e);
        if ((r < 0) != (e.kind != ERROR_NONE))
                abort();
        return 0;
}
