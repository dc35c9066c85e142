/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/ramdisk_cpio.h"
#include "tests/unit/unit.h"

#include <string.h>
#include <sys/stat.h>

struct bytes {
        char data[16384];
        size_t n;
        size_t limit; /* fails beyond; 0: none */
};

static int take(void *userdata, const void *data, size_t n, struct error *reterr) {
        struct bytes *b = userdata;

        if (b->limit && b->n + n > b->limit)
                return error_set(reterr, ERROR_OUTPUT_FAILED, "the disk is full");
        assert_true(b->n + n <= sizeof(b->data));
        memcpy(b->data + b->n, data, n);
        b->n += n;
        return 0;
}

/* Every field of one archive, written out by hand from the kernel's description of the format. */
/* A directory, a file with content and a device, as the format has them. */
static const char expected[] = "070701"
                               "00000001"
                               "000041ed"
                               "00000000"
                               "00000000"
                               "00000002"
                               "00000007"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000002"
                               "00000000"
                               "d\0"
                               "070701"
                               "00000002"
                               "000081a4"
                               "000003e8"
                               "00000032"
                               "00000001"
                               "00000007"
                               "00000005"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000004"
                               "00000000"
                               "d/f\0\0\0"
                               "hello\0\0\0"
                               "070701"
                               "00000003"
                               "00002180"
                               "00000000"
                               "00000000"
                               "00000001"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000005"
                               "00000001"
                               "00000003"
                               "00000000"
                               "d/\0\0\0\0"
                               "070701"
                               "00000004"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000001"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "0000000b"
                               "00000000"
                               "TRAILER!!!";

static void writes_the_format(void **state _unused_) {
        struct bytes b = { .n = 0 };
        struct sink sink = { take, &b };
        _cleanup_(cpio_writer_freep) struct cpio_writer *w = cpio_writer_new(&sink, &CPIO_NUMBERING_DEFAULT);
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_non_null(w);
        assert_int_equal(
                cpio_writer_entry(
                        w,
                        &(struct cpio_entry){ .name = "d", .mode = S_IFDIR | 0755, .links = 2, .mtime = 7 },
                        &e),
                0);
        assert_int_equal(cpio_writer_file(w,
                                          &(struct cpio_entry){ .name = "d/f",
                                                                .mode = S_IFREG | 0644,
                                                                .uid = 1000,
                                                                .gid = 50,
                                                                .links = 1,
                                                                .mtime = 7,
                                                                .size = 5 },
                                          "hello", 5, &e),
                         0);
        assert_int_equal(cpio_writer_entry(w,
                                           &(struct cpio_entry){ .name = "d/",
                                                                 .mode = S_IFCHR | 0600,
                                                                 .links = 1,
                                                                 .device_major = 5,
                                                                 .device_minor = 1 },
                                           &e),
                         0);
        assert_int_equal(cpio_writer_finish(w, &e), 0);
        assert_int_equal(b.n, 512);
        assert_int_equal(cpio_writer_size(w), 512);
        assert_memory_equal(b.data, expected, sizeof(expected));
        for (size_t i = sizeof(expected); i < b.n; i++)
                assert_int_equal(b.data[i], 0);
}

static void refuses_what_the_format_cannot_hold(void **state _unused_) {
        _cleanup_free_ char *name = malloc(CPIO_NAME_MAX + 2);
        struct bytes b = { .n = 0 };
        struct sink sink = { take, &b };
        _cleanup_(cpio_writer_freep) struct cpio_writer *w = cpio_writer_new(&sink, &CPIO_NUMBERING_DEFAULT);
        struct cpio_entry entry = { .name = "big", .mode = S_IFREG | 0644, .size = 1ULL << 32 };
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_int_equal(cpio_writer_entry(w, &entry, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_IMAGE_TOO_LARGE);
        assert_non_null(name);
        memset(name, 'a', CPIO_NAME_MAX + 1);
        name[CPIO_NAME_MAX + 1] = '\0';
        entry = (struct cpio_entry){ .name = name };
        assert_int_equal(cpio_writer_entry(w, &entry, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_SOURCE_INVALID);
        assert_int_equal(cpio_writer_size(w), 0);
}

static void passes_on_failures(void **state _unused_) {
        struct bytes b = { .limit = 100 };
        struct sink sink = { take, &b };
        _cleanup_(cpio_writer_freep) struct cpio_writer *w = cpio_writer_new(&sink, &CPIO_NUMBERING_DEFAULT);
        struct cpio_entry entry = { .name = "f", .mode = S_IFREG | 0644, .links = 1, .size = 100 };
        _cleanup_error_ struct error e = ERROR_NULL;
        char path[] = "/tmp/test-cpio-XXXXXX";
        _cleanup_close_ int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(write(fd, "short", 5), 5);
        assert_int_equal(cpio_writer_entry(w, &entry, &e), 0);
        assert_int_equal(cpio_writer_copy(w, fd, 0, 100, "file f", &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_SOURCE_INVALID);
        assert_non_null(strstr(e.message, "file f"));

        w = cpio_writer_free(w);
        w = cpio_writer_new(&sink, &CPIO_NUMBERING_DEFAULT);
        assert_int_equal(cpio_writer_finish(w, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_OUTPUT_FAILED);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_the_format),
                cmocka_unit_test(refuses_what_the_format_cannot_hold),
                cmocka_unit_test(passes_on_failures),
        };

        return unit_run("ramdisk_cpio", tests);
}
