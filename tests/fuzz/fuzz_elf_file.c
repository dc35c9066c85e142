/* SPDX-License-Identifier: Apache-2.0 */

/* A program of a container image, as the builder looks at it. */

#include "base/io.h"
#include "eif/elf_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_elf_file_ struct elf_file elf = ELF_FILE_NULL;
        _cleanup_close_ int fd = memory_file("fuzz");

        if (fd < 0 || write_all(fd, data, size) < 0)
                return 0;
        if (elf_file_read(fd, 0, size, &elf) < 0 && (elf.interpreter || elf.run_path || elf.needed.n > 0))
                abort();
        return 0;
}
