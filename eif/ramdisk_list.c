/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/ramdisk_list.h"

#include "eif/digest.h"

#include <errno.h>
#include <string.h>

void ramdisk_list_done(struct ramdisk_list *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->files[i].name);
        free(l->files);
        *l = RAMDISK_LIST_NULL;
}

static int hash_data(struct ramdisk_reader *r, EVP_MD_CTX *digest, uint8_t ret[32], struct error *reterr) {
        uint8_t buffer[32768];
        ssize_t n;

        if (EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
                return error_set(reterr, ERROR_INTERNAL, "cannot compute SHA-256");
        while ((n = ramdisk_reader_data(r, buffer, sizeof(buffer), reterr)) > 0)
                (void)EVP_DigestUpdate(digest, buffer, (size_t)n);
        if (n < 0)
                return (int)n;
        if (EVP_DigestFinal_ex(digest, ret, NULL) != 1)
                return error_set(reterr, ERROR_INTERNAL, "cannot compute SHA-256");
        return 0;
}

static int append(struct ramdisk_list *l, const struct cpio_record *record, struct ramdisk_file **ret,
                  struct error *reterr) {
        struct ramdisk_file *file = NULL;

        if (l->n == RAMDISK_LIST_MAX)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE, "the ramdisk has more than %u entries",
                                 RAMDISK_LIST_MAX);
        if (l->n == l->capacity) {
                size_t capacity = l->capacity ? 2 * l->capacity : 256;
                struct ramdisk_file *larger = reallocarray(l->files, capacity, sizeof(*larger));

                if (!larger)
                        return error_wrap(reterr, -ENOMEM, "list of files");
                l->files = larger;
                l->capacity = capacity;
        }
        file = &l->files[l->n];
        *file = (struct ramdisk_file){
                .name = strdup(record->name),
                .position = l->n,
                .mode = record->mode,
                .uid = record->uid,
                .gid = record->gid,
                .links = record->links,
                .mtime = record->mtime,
                .size = record->size,
                .rdev_major = record->rdev_major,
                .rdev_minor = record->rdev_minor,
        };
        if (!file->name)
                return error_wrap(reterr, -ENOMEM, "list of files");
        l->n++;
        *ret = file;
        return 0;
}

static int by_name(const void *a, const void *b) {
        const struct ramdisk_file *x = a, *y = b;
        int order = strcmp(x->name, y->name);

        return order ? order : (x->position > y->position) - (x->position < y->position);
}

int ramdisk_list_read(struct ramdisk_list *ret, const struct eif *e, size_t section, struct error *reterr) {
        _cleanup_ramdisk_list_ struct ramdisk_list l = RAMDISK_LIST_NULL;
        _cleanup_ramdisk_reader_ struct ramdisk_reader *reader = NULL;
        _cleanup_digest_ EVP_MD_CTX *digest = digest_new();
        struct cpio_record record;
        struct ramdisk_file *file = NULL;
        int r;

        if (!digest)
                return error_wrap(reterr, -ENOMEM, "list of files");
        r = ramdisk_reader_open(&reader, e, section, reterr);
        if (r < 0)
                return r;
        while ((r = ramdisk_reader_next(reader, &record, reterr)) > 0) {
                r = append(&l, &record, &file, reterr);
                if (r >= 0)
                        r = hash_data(reader, digest, file->hash, reterr);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (l.n > 0)
                qsort(l.files, l.n, sizeof(*l.files), by_name);
        *ret = l;
        l = RAMDISK_LIST_NULL;
        return 0;
}
