/* SPDX-License-Identifier: Apache-2.0 */

/* Writer, reader and measurements against fixed values that were computed elsewhere. */

#include "base/buffer.h"
#include "base/io.h"
#include "base/parse.h"
#include "eif/crc32.h"
#include "eif/load.h"
#include "eif/pcr.h"
#include "eif/writer.h"
#include "tests/unit/unit.h"
#include "tests/unit/vectors.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

static void assert_hex(const uint8_t *data, size_t n, const char *hex) {
        char text[2 * 64 + 1];

        format_hex(data, n, text);
        assert_string_equal(text, hex);
}

#define PCR0                                               \
        "4e0fe8a033babccd181a1ce2e0b592536ee0ff6cfcfa50d7" \
        "7f8888e2d99c1061d92bfe48659198333dc0cbaf3e82720a"
#define PCR1                                               \
        "6e37b98d2c46c98c1630f0bc35d86ee43577562c3f033e36" \
        "59fc0a279d9c64dc1b16de25f838321106a94f057097e10e"
#define PCR2                                               \
        "f3b9e4b60fc5388f37bc184a220c35daf39386a0c7f9ae46" \
        "68c433efb337833dfbd0917d919504d3077c4f740b7e46ec"
/* of no application ramdisk at all */
#define PCR2_EMPTY                                         \
        "21b9efbc184807662e966d34f390821309eeac6802309798" \
        "826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a"

static void write_section(struct eif_writer *w, enum eif_section_type type, const char *text) {
        size_t n = strlen(text), half = n / 2;

        assert_int_equal(eif_writer_begin(w, type, NULL), 0);
        assert_int_equal(eif_writer_write(w, text, half, NULL), 0);
        assert_int_equal(eif_writer_write(w, text + half, n - half, NULL), 0);
        assert_int_equal(eif_writer_section_size(w), n);
        assert_int_equal(eif_writer_end(w, NULL), 0);
}

/* The vector of five sections whose bytes were written down by hand. */
static int write_vector(struct eif_measurements *ret) {
        _cleanup_eif_writer_ struct eif_writer *w = NULL;
        int fd = memory_file("vector");

        assert_true(fd >= 0);
        assert_int_equal(eif_writer_new(&w, fd, EIF_ARCH_X86_64, NULL), 0);
        write_section(w, EIF_SECTION_KERNEL, "KERNEL");
        write_section(w, EIF_SECTION_CMDLINE, "console=ttyS0");
        write_section(w, EIF_SECTION_METADATA, "{}");
        write_section(w, EIF_SECTION_RAMDISK, "RD0");
        write_section(w, EIF_SECTION_RAMDISK, "RD1");
        assert_int_equal(eif_writer_finish(w, ret, NULL), 0);
        return fd;
}

static size_t file_bytes(int fd, uint8_t *data, size_t max) {
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        assert_true((size_t)st.st_size <= max);
        assert_int_equal(pread_exactly(fd, data, (size_t)st.st_size, 0), 0);
        return (size_t)st.st_size;
}

static void writes_the_fixed_vector(void **state _unused_) {
        struct eif_measurements m;
        _cleanup_close_ int fd = write_vector(&m);
        uint8_t data[1024], hash[32];

        assert_int_equal(file_bytes(fd, data, sizeof(data)), 635);
        assert_int_equal(EVP_Digest(data, 635, hash, NULL, EVP_sha256(), NULL), 1);
        assert_hex(hash, sizeof(hash), "d22ca94de525fcff95db17d97ef2b8362b4bf059ebf9bc65b29e2adb59e22543");
        assert_hex(m.pcr0, 48, PCR0);
        assert_hex(m.pcr1, 48, PCR1);
        assert_hex(m.pcr2, 48, PCR2);
        assert_false(m.is_signed);
}

static void reads_back_what_it_wrote(void **state _unused_) {
        struct eif_measurements m;
        _cleanup_close_ int fd = write_vector(&m), kernel = memory_file("k"), initrd = memory_file("i");
        _cleanup_eif_ struct eif *e = NULL;
        _cleanup_free_ char *cmdline = NULL, *metadata = NULL;
        uint8_t data[16];
        size_t n;
        bool crc_ok = false;

        assert_int_equal(eif_open(&e, fd, NULL), 0);
        assert_int_equal(eif_header(e)->crc, 0xd92e6bcb);
        assert_int_equal(eif_n_sections(e), 5);
        assert_int_equal(eif_section(e, 4)->offset, 620 + 12);
        assert_int_equal(eif_read_metadata(e, &metadata, &n), 0);
        assert_string_equal(metadata, "{}");
        memset(&m, 0, sizeof(m));
        assert_int_equal(eif_measure(e, &m, &crc_ok, NULL), 0);
        assert_true(crc_ok);
        assert_hex(m.pcr2, 48, PCR2);
        memset(&m, 0, sizeof(m));
        assert_int_equal(eif_load(e, kernel, initrd, &cmdline, &m, NULL), 0);
        assert_hex(m.pcr0, 48, PCR0);
        assert_hex(m.pcr1, 48, PCR1);
        assert_string_equal(cmdline, "console=ttyS0");
        assert_int_equal(file_bytes(kernel, data, sizeof(data)), 6);
        assert_memory_equal(data, "KERNEL", 6);
        assert_int_equal(file_bytes(initrd, data, sizeof(data)), 6);
        assert_memory_equal(data, "RD0RD1", 6);
}

static void measures_without_application(void **state _unused_) {
        _cleanup_eif_measurer_ struct eif_measurer *measurer = NULL;
        struct eif_measurements m = { 0 };

        assert_int_equal(eif_measurer_new(&measurer, EIF_MEASURE_ALL), 0);
        memcpy(eif_measurer_buffer(measurer), "KERNEL", 6);
        eif_measurer_submit(measurer, 6, EIF_PART_COMMON);
        assert_int_equal(eif_measurer_finish(measurer, &m), 0);
        assert_memory_equal(m.pcr0, m.pcr1, 48);
        assert_hex(m.pcr2, 48, PCR2_EMPTY);
}

/* More buffers than the ring holds, from memory and from a file: the PCRs must be those of one plain hash. */
static void measures_large_sections(void **state _unused_) {
        enum { SIZE = 5 * 1024 * 1024 + 77 };
        _cleanup_eif_writer_ struct eif_writer *w = NULL;
        _cleanup_close_ int fd = memory_file("out"), source = memory_file("source");
        _cleanup_eif_ struct eif *e = NULL;
        _cleanup_free_ uint8_t *data = malloc(SIZE);
        struct eif_measurements written, read;
        uint8_t expected[48];
        bool crc_ok = false;

        for (size_t i = 0; i < SIZE; i++)
                data[i] = (uint8_t)(i * 2654435761u >> 24);
        assert_int_equal(write_all(source, data, SIZE), 0);
        assert_int_equal(eif_writer_new(&w, fd, EIF_ARCH_AARCH64, NULL), 0);
        write_section(w, EIF_SECTION_KERNEL, "KERNEL");
        write_section(w, EIF_SECTION_CMDLINE, "");
        assert_int_equal(eif_writer_reserve_metadata(w, 20, NULL), 0);
        write_section(w, EIF_SECTION_RAMDISK, "RD0");
        assert_int_equal(eif_writer_begin(w, EIF_SECTION_RAMDISK, NULL), 0);
        assert_int_equal(eif_writer_write(w, data, 1000, NULL), 0);
        assert_int_equal(eif_writer_append_fd(w, source, 1000, SIZE - 2000, NULL), 0);
        assert_int_equal(eif_writer_write(w, data + SIZE - 1000, 1000, NULL), 0);
        assert_int_equal(eif_writer_end(w, NULL), 0);
        assert_int_equal(eif_writer_fill_metadata(w, "{\"a\":1}", 7, NULL), 0);
        assert_int_equal(eif_writer_finish(w, &written, NULL), 0);
        assert_int_equal(eif_pcr_of_bytes(data, SIZE, expected), 0);
        assert_memory_equal(written.pcr2, expected, 48);
        assert_int_equal(eif_open(&e, fd, NULL), 0);
        assert_int_equal(eif_header(e)->flags, EIF_FLAG_AARCH64);
        assert_int_equal(eif_measure(e, &read, &crc_ok, NULL), 0);
        assert_true(crc_ok);
        assert_memory_equal(read.pcr0, written.pcr0, 48);
        assert_memory_equal(read.pcr1, written.pcr1, 48);
        assert_memory_equal(read.pcr2, written.pcr2, 48);
}

static void writer_refuses_wrong_order(void **state _unused_) {
        _cleanup_eif_writer_ struct eif_writer *w = NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_close_ int fd = memory_file("out"), empty = memory_file("empty");
        struct eif_measurements m;

        assert_int_equal(eif_writer_new(&w, fd, EIF_ARCH_X86_64, &e), 0);
        assert_int_equal(eif_writer_begin(w, EIF_SECTION_CMDLINE, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_IMAGE_INVALID);
        assert_int_equal(eif_writer_begin(w, EIF_SECTION_KERNEL, &e), 0);
        assert_int_equal(eif_writer_append_fd(w, empty, 0, 10, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_FILE_UNREADABLE);
        assert_int_equal(eif_writer_end(w, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_IMAGE_INVALID);
        w = eif_writer_free(w);
        assert_int_equal(eif_writer_new(&w, fd, EIF_ARCH_X86_64, &e), 0);
        write_section(w, EIF_SECTION_KERNEL, "K");
        write_section(w, EIF_SECTION_CMDLINE, "c");
        write_section(w, EIF_SECTION_METADATA, "{}");
        assert_int_equal(eif_writer_finish(w, &m, &e), ERROR_DESCRIBED); /* no ramdisk */
        assert_int_equal(e.kind, ERROR_IMAGE_INVALID);
}

static void writer_keeps_to_its_bounds(void **state _unused_) {
        _cleanup_eif_writer_ struct eif_writer *w = NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_close_ int fd = memory_file("out"), read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
        _cleanup_eif_ struct eif *image = NULL;
        struct eif_measurements m;

        assert_int_equal(eif_writer_new(&w, fd, EIF_ARCH_X86_64, NULL), 0);
        write_section(w, EIF_SECTION_KERNEL, "K");
        write_section(w, EIF_SECTION_CMDLINE, "c");
        assert_int_equal(eif_writer_reserve_metadata(w, 4, &e), 0);
        for (unsigned i = 3; i < EIF_SECTIONS_MAX; i++)
                write_section(w, EIF_SECTION_RAMDISK, "r");
        assert_int_equal(eif_writer_begin(w, EIF_SECTION_RAMDISK, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_IMAGE_TOO_LARGE);
        assert_int_equal(eif_writer_fill_metadata(w, "{\"a\":1}", 7, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_IMAGE_TOO_LARGE);
        assert_int_equal(eif_writer_fill_metadata(w, "{}", 2, &e), 0);
        assert_int_equal(eif_writer_finish(w, &m, &e), 0);
        assert_int_equal(eif_open(&image, fd, &e), 0);
        assert_int_equal(eif_n_sections(image), EIF_SECTIONS_MAX);

        w = eif_writer_free(w);
        assert_int_equal(eif_writer_new(&w, read_only, EIF_ARCH_X86_64, NULL), 0);
        assert_int_equal(eif_writer_begin(w, EIF_SECTION_KERNEL, &e), 0);
        assert_int_equal(eif_writer_write(w, "K", 1, &e), 0);
        assert_int_equal(eif_writer_end(w, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_OUTPUT_FAILED);
}

/* A measurer may be given up at any moment: its threads end. */
static void abandons_a_measurement(void **state _unused_) {
        for (unsigned n = 0; n < 20; n++) {
                _cleanup_eif_measurer_ struct eif_measurer *measurer = NULL;

                assert_int_equal(eif_measurer_new(&measurer, n % 2 ? EIF_MEASURE_ALL : EIF_MEASURE_PCR0), 0);
                for (unsigned i = 0; i < n; i++) {
                        memset(eif_measurer_buffer(measurer), 0, 1000);
                        eif_measurer_submit(measurer, 1000, i % 3 ? EIF_PART_APPLICATION : EIF_PART_COMMON);
                }
        }
}

static void finding_codes_are_stable_words(void **state _unused_) {
        for (int i = 0; i < EIF_FINDING_MAX; i++) {
                const char *code = eif_finding_code((enum eif_finding_id)i);

                assert_int_equal(strspn(code, "abcdefghijklmnopqrstuvwxyz0-"), strlen(code));
                assert_true(strlen(eif_finding_rule((enum eif_finding_id)i)) > 10);
                for (int j = 0; j < i; j++)
                        assert_string_not_equal(code, eif_finding_code((enum eif_finding_id)j));
        }
}

/* One change to the vector each; the code of the first finding that refuses, or of the first at all. */
enum { OFFSETS = 0x1c, SIZES = 0x11c, KERNEL = 548, CMDLINE = 566, METADATA = 591, RD0 = 605 };
static const struct damage {
        const char *code;
        size_t length; /* of the file; 0: unchanged */
        struct change {
                size_t at, width;
                uint64_t value;
        } changes[3];
} damages[] = {
        { "too-short", 547, {} },
        { "too-short", 1, {} },
        { "bad-magic", 0, { { 0, 1, 0x2f } } },
        { "bad-version", 0, { { 4, 2, 1 } } },
        { "bad-version", 0, { { 4, 2, 5 } } },
        { "section-count", 0, { { 0x1a, 2, 1 } } },
        { "section-count", 0, { { 0x1a, 2, 33 } } },
        { "section-count", 0, { { 0x1a, 2, 0xffff } } },
        { "unknown-flags", 0, { { 6, 2, 0x240 } } },
        { "reserved-field", 0, { { 0x18, 2, 7 } } },
        { "reserved-field", 0, { { 0x21c, 4, 7 } } },
        { "unused-slot", 0, { { OFFSETS + 8 * 31, 8, 7 } } },
        { "unused-slot", 0, { { SIZES + 8 * 5, 8, 7 } } },
        { "overlap", 0, { { OFFSETS + 8, 8, KERNEL } } },
        { "overlap", 0, { { OFFSETS, 8, 0 } } },
        { "gap", 0, { { OFFSETS + 8, 8, CMDLINE + 1 } } },
        { "gap", 0, { { OFFSETS, 8, UINT64_MAX } } },
        { "truncated", 634, {} },
        { "truncated", 548, {} },
        { "truncated", 624, {} },
        { "trailing-bytes", 636, {} },
        { "trailing-bytes", 0, { { 0x1a, 2, 4 } } },
        { "size-mismatch", 0, { { SIZES, 8, 7 } } },
        { "size-mismatch", 0, { { KERNEL + 4, 8, 7 } } },
        { "truncated", 0, { { KERNEL + 4, 8, 1ULL << 60 }, { SIZES, 8, 1ULL << 60 } } },
        { "truncated", 0, { { KERNEL + 4, 8, UINT64_MAX }, { SIZES, 8, UINT64_MAX } } },
        { "unknown-type", 0, { { METADATA, 2, 6 } } },
        { "unknown-type", 0, { { METADATA, 2, 0 } } },
        { "section-flags", 0, { { METADATA + 2, 2, 1 } } },
        { "section-too-new", 0, { { 4, 2, 3 } } },
        { "duplicate", 0, { { METADATA, 2, 1 } } },
        { "duplicate", 0, { { RD0, 2, 2 } } },
        { "missing", 0, { { METADATA, 2, 3 } } },
        { "missing", 0, { { CMDLINE, 2, 3 } } },
        { "order", 0, { { KERNEL, 2, 3 }, { RD0, 2, 1 } } },
};

/* The vector with that damage, alone in memory of its size so that a step too far is seen; the caller frees
 * it. */
static uint8_t *damaged(const struct damage *d, size_t *ret_size) {
        struct eif_measurements m;
        _cleanup_close_ int fd = write_vector(&m);
        uint8_t data[1024] = { 0 }, *exact;
        size_t n = file_bytes(fd, data, sizeof(data));

        for (size_t c = 0; c < ELEMENTSOF(d->changes); c++)
                put_be(data + d->changes[c].at, d->changes[c].width, d->changes[c].value);
        n = d->length ?: n;
        exact = malloc(n);
        assert_non_null(exact);
        memcpy(exact, data, n);
        *ret_size = n;
        return exact;
}

static void finds_what_is_wrong(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(damages); i++) {
                _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
                _cleanup_error_ struct error error = ERROR_NULL;
                _cleanup_eif_ struct eif *e = NULL, *refused = NULL;
                const struct eif_finding *first;
                size_t n;
                _cleanup_free_ uint8_t *exact = damaged(&damages[i], &n);

                assert_int_equal(eif_inspect_buffer(&e, exact, n, &findings, &error), 0);
                first = eif_findings_first(&findings, EIF_SEVERITY_REFUSED)
                                ?: eif_findings_first(&findings, EIF_SEVERITY_ODD);
                if (!first || strcmp(eif_finding_code(first->id), damages[i].code) != 0)
                        print_message("# row %zu: expected %s\n", i, damages[i].code);
                assert_non_null(first);
                assert_string_equal(eif_finding_code(first->id), damages[i].code);
                if (eif_finding_severity(first->id) == EIF_SEVERITY_ODD) {
                        assert_int_equal(eif_open_buffer(&refused, exact, n, &error), 0);
                } else {
                        assert_int_equal(eif_open_buffer(&refused, exact, n, &error), ERROR_DESCRIBED);
                        assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
                        assert_non_null(strstr(error.message, damages[i].code));
                }
        }
}

static void load_refuses_what_it_cannot_vouch_for(void **state _unused_) {
        static const struct {
                size_t at;
                uint8_t value;
                const char *word;
        } rows[] = {
                { 569, 1, "CRC" },    /* the flags of the cmdline's section header */
                { 634, 'x', "CRC" },  /* the last byte of the last ramdisk */
                { 547, 0, "CRC" },    /* the CRC itself */
                { 6, 0x02, "flags" }, /* unknown header flags */
                { 580, '\0', "CRC" }, /* the cmdline */
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_error_ struct error error = ERROR_NULL;
                struct eif_measurements m;
                _cleanup_close_ int fd = write_vector(&m), kernel = memory_file("k"),
                                    initrd = memory_file("i");
                _cleanup_free_ char *cmdline = NULL;
                _cleanup_eif_ struct eif *e = NULL;

                assert_int_equal(pwrite(fd, &rows[i].value, 1, (off_t)rows[i].at), 1);
                assert_int_equal(eif_open(&e, fd, &error), 0);
                assert_int_equal(eif_load(e, kernel, initrd, &cmdline, &m, &error), ERROR_DESCRIBED);
                assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
                assert_non_null(strstr(error.message, rows[i].word));
                assert_null(cmdline);
        }
}

static void load_refuses_a_nul_in_the_cmdline(void **state _unused_) {
        _cleanup_eif_writer_ struct eif_writer *w = NULL;
        _cleanup_close_ int fd = memory_file("out"), kernel = memory_file("k"), initrd = memory_file("i");
        _cleanup_error_ struct error error = ERROR_NULL;
        _cleanup_free_ char *cmdline = NULL;
        _cleanup_eif_ struct eif *e = NULL;
        struct eif_measurements m;

        assert_int_equal(eif_writer_new(&w, fd, EIF_ARCH_X86_64, NULL), 0);
        write_section(w, EIF_SECTION_KERNEL, "K");
        assert_int_equal(eif_writer_begin(w, EIF_SECTION_CMDLINE, NULL), 0);
        assert_int_equal(eif_writer_write(w, "quiet\0evil", 10, NULL), 0);
        assert_int_equal(eif_writer_end(w, NULL), 0);
        write_section(w, EIF_SECTION_METADATA, "{}");
        write_section(w, EIF_SECTION_RAMDISK, "R");
        assert_int_equal(eif_writer_finish(w, &m, NULL), 0);
        assert_int_equal(eif_open(&e, fd, NULL), 0);
        assert_int_equal(eif_load(e, kernel, initrd, &cmdline, &m, &error), ERROR_DESCRIBED);
        assert_non_null(strstr(error.message, "NUL byte at 5 of 10"));
}

static void gives_up_when_it_is_told_to(void **state _unused_) {
        _cleanup_close_ int fd = -1, kernel = memory_file("k"), initrd = memory_file("i");
        _cleanup_error_ struct error error = ERROR_NULL;
        _cleanup_free_ char *cmdline = NULL;
        _cleanup_eif_ struct eif *e = NULL;
        struct eif_measurements m;
        atomic_bool cancelled = false;

        fd = write_vector(&m);
        assert_int_equal(eif_open(&e, fd, NULL), 0);
        eif_set_cancel(e, &cancelled);
        assert_int_equal(eif_load(e, kernel, initrd, &cmdline, &m, &error), 0);
        cancelled = true;
        free(TAKE(cmdline));
        assert_int_equal(eif_load(e, kernel, initrd, &cmdline, &m, &error), ERROR_DESCRIBED);
        assert_null(cmdline);
        assert_int_equal(eif_read_at(e, 0, &m, 1), -ECANCELED);
}

static void sums_like_zlib(void **state _unused_) {
        uint8_t data[700];

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t)(i * 31 + i / 7);
        for (size_t from = 0; from < 20; from++)
                for (size_t n = 0; n <= sizeof(data) - from; n += 1 + n / 9)
                        assert_int_equal(eif_crc32((uint32_t)n * 99, data + from, n),
                                         crc32(n * 99, data + from, (uInt)n));
        assert_int_equal(eif_crc32(0, "123456789", 9), 0xcbf43926);
        assert_int_equal(eif_crc32_combine(eif_crc32(0, "1234", 4), eif_crc32(0, "56789", 5), 5), 0xcbf43926);
}

static void extends_registers(void **state _unused_) {
        static const char role[] = "arn:aws:iam::123456789012:role/Webserver", id[] = "i-1234567890abcdef0";
        uint8_t pcr[48];

        assert_int_equal(eif_pcr_extend(role, strlen(role), pcr), 0);
        assert_hex(pcr, 48,
                   "78fce75db17cd4e0a3fb8dad3ad128ca5e77edbb2b2c7f75"
                   "329dccd99aa5f6ef4fc1f1a452e315b9e98f9e312e6921e6");
        assert_int_equal(eif_pcr_extend(id, strlen(id), pcr), 0);
        assert_hex(pcr, 48,
                   "08f996b5d43e047a9eb51e7f548bfee7e164fd7dc8f65541"
                   "f2ac09d6545ac812719327281c401a67a10fcba87ae79ce0");
        assert_int_equal(eif_pcr_of_bytes("", 0, pcr), 0);
        assert_hex(pcr, 48, PCR2_EMPTY);
}

/* What another tool wrote, signed on each curve: the signature holds, PCR8 is what that tool says. */
static void loads_the_other_tools_images(void **state _unused_) {
        static const struct {
                const char *name, *pcr8;
        } rows[] = {
                { "eif/u.eif", NULL },
                { "eif/p256.signed.eif", "a8cf0c3acd87eb40febb33c3513e4fc940192be749b6fd22"
                                         "02f755af23fdce387250baa1629b96581a01bfb8b87906b2" },
                { "eif/p384.signed.eif", NULL },
                { "eif/p521.signed.eif", NULL },
        };

        SKIP_WITHOUT_VECTOR("eif/u.eif");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_close_ int kernel = memory_file("k"), initrd = memory_file("i");
                _cleanup_free_ char *data = NULL, *cmdline = NULL;
                _cleanup_eif_ struct eif *e = NULL;
                struct eif_measurements m;
                size_t n;

                data = vector_read(rows[i].name, &n);
                assert_non_null(data);
                assert_int_equal(eif_open_buffer(&e, data, n, NULL), 0);
                assert_int_equal(eif_load(e, kernel, initrd, &cmdline, &m, NULL), 0);
                assert_string_equal(cmdline, "console=ttyS0 reboot=k");
                assert_hex(m.pcr0, 48,
                           "91fb9022f6089f68c2e01627cab228b3efda9923b1fa88b2"
                           "020d4049458535fa271dc7f904472139665c6e8ecee91a8a");
                assert_true(m.is_signed == (i > 0));
                if (rows[i].pcr8)
                        assert_hex(m.pcr8, 48, rows[i].pcr8);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_the_fixed_vector),
                cmocka_unit_test(reads_back_what_it_wrote),
                cmocka_unit_test(measures_without_application),
                cmocka_unit_test(measures_large_sections),
                cmocka_unit_test(writer_refuses_wrong_order),
                cmocka_unit_test(writer_keeps_to_its_bounds),
                cmocka_unit_test(abandons_a_measurement),
                cmocka_unit_test(finding_codes_are_stable_words),
                cmocka_unit_test(finds_what_is_wrong),
                cmocka_unit_test(load_refuses_what_it_cannot_vouch_for),
                cmocka_unit_test(gives_up_when_it_is_told_to),
                cmocka_unit_test(load_refuses_a_nul_in_the_cmdline),
                cmocka_unit_test(sums_like_zlib),
                cmocka_unit_test(extends_registers),
                cmocka_unit_test(loads_the_other_tools_images),
        };

        return unit_run("eif", tests);
}
