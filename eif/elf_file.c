/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/elf_file.h"

#include "base/io.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#define SEGMENTS_MAX 256
#define DYNAMIC_MAX 4096 /* entries */
#define STRING_MAX 4096
#define NEEDED_MAX 512

struct image {
        int fd;
        uint64_t offset, size;
        Elf64_Phdr *segments;
        size_t n_segments;
};

static int read_at(const struct image *f, uint64_t at, void *data, size_t n) {
        int r;

        if (at > f->size || n > f->size - at)
                return -ENOEXEC;
        r = pread_exactly(f->fd, data, n, f->offset + at);
        return r == -EIO ? -ENOEXEC : r;
}

/* Where the bytes of a virtual address are in the file. */
static int file_offset(const struct image *f, uint64_t address, uint64_t *ret) {
        for (size_t i = 0; i < f->n_segments; i++) {
                uint64_t start = le64toh(f->segments[i].p_vaddr);

                if (le32toh(f->segments[i].p_type) == PT_LOAD && address >= start &&
                    address - start < le64toh(f->segments[i].p_filesz)) {
                        *ret = le64toh(f->segments[i].p_offset) + (address - start);
                        return 0;
                }
        }
        return -ENOEXEC;
}

static int read_string(const struct image *f, uint64_t at, char **ret) {
        char text[STRING_MAX];
        size_t n = at < f->size ? (f->size - at < sizeof(text) ? (size_t)(f->size - at) : sizeof(text)) : 0;
        int r = read_at(f, at, text, n);

        if (r < 0)
                return r;
        if (n == 0 || !memchr(text, '\0', n))
                return -ENOEXEC;
        free(*ret);
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int take_dynamic(const struct image *f, const Elf64_Dyn *dynamic, size_t n, struct elf_file *ret) {
        uint64_t strings = 0;
        bool has_run_path = false;
        int r = -ENOEXEC;

        for (size_t i = 0; i < n && le64toh((uint64_t)dynamic[i].d_tag) != DT_NULL; i++)
                if (le64toh((uint64_t)dynamic[i].d_tag) == DT_STRTAB)
                        r = file_offset(f, le64toh(dynamic[i].d_un.d_ptr), &strings);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n && le64toh((uint64_t)dynamic[i].d_tag) != DT_NULL; i++) {
                uint64_t tag = le64toh((uint64_t)dynamic[i].d_tag), value = le64toh(dynamic[i].d_un.d_val);
                _cleanup_free_ char *name = NULL;

                if (value > f->size)
                        continue;
                if (tag == DT_RUNPATH || (tag == DT_RPATH && !has_run_path)) {
                        has_run_path |= tag == DT_RUNPATH;
                        r = read_string(f, strings + value, &ret->run_path);
                } else if (tag == DT_NEEDED) {
                        r = ret->needed.n < NEEDED_MAX ? read_string(f, strings + value, &name) : -ENOEXEC;
                        if (r >= 0)
                                r = string_list_add(&ret->needed, name);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_dynamic(const struct image *f, const Elf64_Phdr *segment, struct elf_file *ret) {
        size_t n = le64toh(segment->p_filesz) / sizeof(Elf64_Dyn);
        _cleanup_free_ Elf64_Dyn *dynamic = NULL;
        int r;

        if (n == 0 || n > DYNAMIC_MAX)
                return -ENOEXEC;
        dynamic = malloc(n * sizeof(*dynamic));
        if (!dynamic)
                return -ENOMEM;
        r = read_at(f, le64toh(segment->p_offset), dynamic, n * sizeof(*dynamic));
        return r < 0 ? r : take_dynamic(f, dynamic, n, ret);
}

static int read_segments(struct image *f, struct elf_file *ret) {
        for (size_t i = 0; i < f->n_segments; i++) {
                int r = 0;

                if (le32toh(f->segments[i].p_type) == PT_INTERP)
                        r = read_string(f, le64toh(f->segments[i].p_offset), &ret->interpreter);
                else if (le32toh(f->segments[i].p_type) == PT_DYNAMIC)
                        r = read_dynamic(f, &f->segments[i], ret);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_file(struct image *f, struct elf_file *ret) {
        Elf64_Ehdr h;
        int r = read_at(f, 0, &h, sizeof(h));

        if (r < 0)
                return r;
        f->n_segments = le16toh(h.e_phnum);
        if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 ||
            h.e_ident[EI_DATA] != ELFDATA2LSB || le16toh(h.e_phentsize) != sizeof(Elf64_Phdr) ||
            f->n_segments > SEGMENTS_MAX)
                return -ENOEXEC;
        ret->is_known_arch = le16toh(h.e_machine) == EM_X86_64 || le16toh(h.e_machine) == EM_AARCH64;
        ret->arch = le16toh(h.e_machine) == EM_AARCH64 ? EIF_ARCH_AARCH64 : EIF_ARCH_X86_64;
        f->segments = calloc(f->n_segments + 1, sizeof(*f->segments));
        if (!f->segments)
                return -ENOMEM;
        r = read_at(f, le64toh(h.e_phoff), f->segments, f->n_segments * sizeof(*f->segments));
        return r < 0 ? r : read_segments(f, ret);
}

int elf_file_read(int fd, uint64_t offset, uint64_t size, struct elf_file *ret) {
        struct image f = { .fd = fd, .offset = offset, .size = size };
        struct elf_file found = ELF_FILE_NULL;
        int r = read_file(&f, &found);

        free(f.segments);
        if (r < 0)
                elf_file_done(&found);
        else
                *ret = found;
        return r;
}

void elf_file_done(struct elf_file *f) {
        free(f->interpreter);
        free(f->run_path);
        string_list_done(&f->needed);
        *f = ELF_FILE_NULL;
}
