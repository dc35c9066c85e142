/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a 64-bit little-endian ELF file needs to be started: read from the file, which is never executed. */

#include "base/error.h"
#include "eif/format.h"
#include "eif/string_list.h"

#include <stdbool.h>
#include <stdint.h>

struct elf_file {
        bool is_known_arch;
        enum eif_arch arch;
        char *interpreter;         /* "/lib64/ld-linux-x86-64.so.2"; NULL: static, or a library */
        struct string_list needed; /* names of libraries */
        char *run_path;            /* DT_RUNPATH, else DT_RPATH; NULL: none */
};

#define ELF_FILE_NULL ((struct elf_file){ .interpreter = NULL })

/* size bytes of fd from offset on. -ENOEXEC: no such ELF file, or a broken one; -ENOMEM; or what pread(2)
 * says. */
int elf_file_read(int fd, uint64_t offset, uint64_t size, struct elf_file *ret);
void elf_file_done(struct elf_file *f);
#define _cleanup_elf_file_ _cleanup_(elf_file_done)
