/* SPDX-License-Identifier: Apache-2.0 */

/* What stands beside a kernel, and its own beginning; the first byte says which. Of modules.dep and
 * modules.builtin the latter follows a byte 0xff. */

#include "eif/kernel_config.h"
#include "eif/kernel_image.h"
#include "eif/modules.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void resolve(char *text, size_t size) {
        _cleanup_module_list_ struct module_list list = MODULE_LIST_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        char *builtin = memchr(text, 0xff, size);

        if (builtin)
                *builtin++ = '\0';
        if (modules_resolve(text, builtin ? builtin : "", modules_wanted, &list, &e) < 0)
                return;
        for (size_t i = 0; i < list.n; i++) {
                if (list.paths[i][0] == '/' || strstr(list.paths[i], ".."))
                        abort();
                for (size_t k = 0; k < i; k++)
                        if (strcmp(list.paths[i], list.paths[k]) == 0)
                                abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size + 1);
        struct kernel_image image;

        if (!text || size == 0)
                return 0;
        memcpy(text, data + 1, size - 1);
        text[size - 1] = '\0';
        switch (data[0] % 3) {
        case 0:
                resolve(text, size - 1);
                break;
        case 1:
                (void)kernel_config_check(text, "config", EIF_ARCH_X86_64, true, RAMDISK_ZSTD, NULL);
                break;
        default:
                kernel_image_probe(data + 1, size - 1, &image);
                if (strlen(image.version) >= sizeof(image.version))
                        abort();
        }
        return 0;
}
