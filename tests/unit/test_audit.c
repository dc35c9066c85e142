/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "kms-proxy/audit.h"
#include "kms-proxy/limits.h"
#include "kms-proxy/loop.h"
#include "kms-proxy/refusals.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_TEMPLATE "/tmp/qt-test-audit.XXXXXX"
static char path[] = PATH_TEMPLATE;

static int make_file(void **state _unused_) {
        int fd = mkstemp(memcpy(path, PATH_TEMPLATE, sizeof(path)));

        log_set_max_level(LOG_ERR);
        (void)close_fd(fd);
        return fd < 0 ? -1 : unlink(path);
}

static int remove_file(void **state _unused_) {
        return unlink(path);
}

static void add_records(unsigned n) {
        _cleanup_(audit_closep) struct audit *audit = NULL;

        assert_int_equal(audit_open(path, &audit, NULL), 0);
        for (unsigned i = 0; i < n; i++) {
                const struct audit_record record = { .connection = i + 1,
                                                     .enclave = "worker",
                                                     .mode = "pipe",
                                                     .listener = "kms",
                                                     .verdict = "refused",
                                                     .reason = "not-allowed",
                                                     .name = "a\xff.example" };

                audit_write(audit, &record);
        }
}

static void replace(const char *text, size_t size) {
        assert_int_equal(replace_file(AT_FDCWD, path, text, size, 0600), 0);
}

/* Every byte of every line is under the chain, but for the last line, which only the head covers. */
static void chain(void **state _unused_) {
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        struct audit_chain first, all, other;
        bool told_what_to_do = false;
        char *last;
        size_t size;

        add_records(2);
        assert_int_equal(audit_verify(path, NULL, NULL, &first, &e), 0);
        add_records(3); /* a second run of the proxy goes on where the first ended */
        assert_int_equal(audit_verify(path, NULL, NULL, &all, &e), 0);
        assert_int_equal(all.n_records, 5);
        assert_int_equal(audit_verify(path, NULL, all.head, &other, &e), 0);
        assert_int_equal(other.n_following, 0);
        assert_int_equal(audit_verify(path, NULL, first.head, &other, &e), 0); /* the file has grown since */
        assert_int_equal(other.n_following, 3);

        assert_int_equal(read_text_file(AT_FDCWD, path, 1 << 20, &text, &size), 0);
        last = memrchr(text, '\n', size - 1);
        for (size_t i = 0; i < (size_t)(last - text); i++) {
                text[i] ^= 1;
                replace(text, size);
                assert_int_equal(audit_verify(path, NULL, NULL, &other, &e), ERROR_DESCRIBED);
                assert_int_equal(e.kind, ERROR_VERIFY_FAILED);
                told_what_to_do = told_what_to_do || strstr(e.message, "compare it with the journal");
                text[i] ^= 1;
        }
        assert_true(told_what_to_do);
        replace(text, (size_t)(last - text) + 1);
        assert_int_equal(audit_verify(path, NULL, NULL, &other, &e), 0);
        assert_int_equal(other.n_records, 4);
        assert_int_equal(audit_verify(path, NULL, all.head, &other, &e), ERROR_DESCRIBED);
        replace(strchr(text, '\n') + 1, size - (size_t)(strchr(text, '\n') + 1 - text));
        assert_int_equal(audit_verify(path, NULL, NULL, &other, &e), ERROR_DESCRIBED);
        replace(text, size);
}

static void expect_loss(int r, uint64_t n_records, uint64_t n_lost) {
        _cleanup_error_ struct error e = ERROR_NULL;
        struct audit_chain chain;

        assert_int_equal(audit_verify(path, NULL, NULL, &chain, &e), r);
        if (r == 0) {
                assert_int_equal(chain.n_records, n_records);
                assert_int_equal(chain.n_lost, n_lost);
        }
}

static void expect_verify(int r, uint64_t n_records) {
        expect_loss(r, n_records, 0);
}

/* What a crash leaves of a line stays, the next record vouches for it and links to the last whole one. */
static void torn_line(void **state _unused_) {
        _cleanup_free_ char *text = NULL;
        char *torn;
        size_t size;

        add_records(3);
        assert_int_equal(read_text_file(AT_FDCWD, path, 1 << 20, &text, &size), 0);
        replace(text, size - 40);
        expect_verify(ERROR_DESCRIBED, 0);
        add_records(1);
        expect_verify(0, 3);
        add_records(2);
        expect_verify(0, 5);

        free(text);
        text = NULL;
        assert_int_equal(read_text_file(AT_FDCWD, path, 1 << 20, &text, &size), 0);
        torn = strchr(strchr(text, '\n') + 1, '\n') + 1;
        torn[5] ^= 1; /* changed */
        replace(text, size);
        expect_verify(ERROR_DESCRIBED, 0);
        torn[5] ^= 1;
        replace(text, size);
        expect_verify(0, 5);
        memmove(torn, strchr(torn, '\n') + 1, size - (size_t)(strchr(torn, '\n') + 1 - text)); /* taken out */
        replace(text, strlen(text));
        expect_verify(ERROR_DESCRIBED, 0);
}

/* A disk that is full, in the middle of a line, and then is not any more. */
static void full_disk(void **state _unused_) {
        _cleanup_(audit_closep) struct audit *audit = NULL;
        const struct audit_record record = { .enclave = "worker",
                                             .mode = "pipe",
                                             .listener = "kms",
                                             .verdict = "refused",
                                             .reason = "not-allowed" };
        struct rlimit before, small;
        struct stat st;

        (void)unlink(path);
        (void)signal(SIGXFSZ, SIG_IGN);
        log_set_max_level(LOG_CRIT);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(audit_open(path, &audit, NULL), 0);
        audit_write(audit, &record);
        small = (struct rlimit){ 300, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        for (int i = 0; i < 3; i++)
                audit_write(audit, &record);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        expect_verify(ERROR_DESCRIBED, 0);
        audit_write(audit, &record);
        audit_write(audit, &record);
        expect_loss(0, 3, 3);

        /* And one that has no room for a single byte: no torn line tells of the records. */
        assert_int_equal(stat(path, &st), 0);
        small.rlim_cur = (rlim_t)st.st_size;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        for (int i = 0; i < 13; i++)
                audit_write(audit, &record);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        audit_write(audit, &record);
        expect_loss(0, 4, 16);
        audit_write(audit, &record);
        expect_loss(0, 5, 16); /* said once */
        assert_int_equal(audit_failures(audit), 16);
        log_set_max_level(LOG_ERR);
}

static void add_record(struct audit *audit) {
        audit_write(audit, &(struct audit_record){ .enclave = "worker",
                                                   .mode = "pipe",
                                                   .listener = "kms",
                                                   .verdict = "refused",
                                                   .reason = "not-allowed" });
}

/* Moved away, the file has a follower whose first record links to its last. */
static void rotation(void **state _unused_) {
        _cleanup_(audit_closep) struct audit *audit = NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        struct audit_chain old, new;
        char moved[sizeof(path) + 2];

        (void)snprintf(moved, sizeof(moved), "%s.1", path);
        assert_int_equal(audit_open(path, &audit, NULL), 0);
        add_record(audit);
        assert_int_equal(audit_reopen(audit, &e), 0); /* nobody moved it */
        add_record(audit);
        expect_verify(0, 2);
        assert_int_equal(rename(path, moved), 0);
        add_record(audit);
        assert_int_equal(audit_reopen(audit, &e), 0);
        add_record(audit);
        add_record(audit);
        assert_int_equal(audit_verify(moved, NULL, NULL, &old, &e), 0);
        assert_int_equal(old.n_records, 3);
        assert_int_equal(audit_verify(path, old.head, NULL, &new, &e), 0);
        assert_int_equal(new.n_records, 2);
        assert_int_equal(audit_verify(path, NULL, NULL, &new, &e), ERROR_DESCRIBED);
        assert_non_null(strstr(e.message, "--after"));
        assert_int_equal(unlink(moved), 0);
}

/* A second one that writes there would break the chain. */
static void one_writer(void **state _unused_) {
        struct audit *audit = NULL, *second = NULL;
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_int_equal(audit_open(path, &audit, NULL), 0);
        assert_int_equal(audit_open(path, &second, &e), ERROR_DESCRIBED);
        assert_non_null(strstr(e.message, "another qt-kms-proxy writes"));
        audit_close(audit);
        assert_int_equal(audit_open(path, &second, NULL), 0);
        audit_close(second);
}

static void buckets(void **state _unused_) {
        struct bucket b = { 0 };
        unsigned n = 0;

        while (bucket_take(&b, 10, 1000000))
                n++;
        assert_int_equal(n, 20);
        assert_true(bucket_take(&b, 10, 1100001));
        assert_false(bucket_take(&b, 10, 1100002));
        for (n = 0; bucket_take(&b, 10, 100000000); n++)
                continue;
        assert_int_equal(n, 20);
}

/* Counts the lines with this text; keeps the last of them. */
static unsigned lines_with(const char *text, char *last, size_t size) {
        _cleanup_(fclosep) FILE *file = fopen(path, "re");
        unsigned n = 0;
        char line[1024];

        assert_non_null(file);
        while (fgets(line, sizeof(line), file))
                if (strstr(line, text)) {
                        (void)snprintf(last, size, "%s", line);
                        n++;
                }
        return n;
}

/* A flood is two records and not one less: what came after the first is said though nothing follows. And none
 * of its kind hides one of another. */
static void floods(void **state _unused_) {
        static const struct {
                const char *enclave, *listener, *reason;
                uint32_t cid;
        } kinds[] = {
                { "", "kms", "no-enclave-of-this-host", 77 },    { "", "kms", "no-enclave-of-this-host", 78 },
                { "", "tls", "no-enclave-of-this-host", 77 },    { "", "kms", "connections-limit", 77 },
                { "one", "kms", "no-enclave-of-this-host", 77 },
        };
        _cleanup_(audit_closep) struct audit *audit = NULL;
        struct refusals refusals = { .n = 0 };
        char line[1024] = "";

        assert_int_equal(audit_open(path, &audit, NULL), 0);
        for (unsigned i = 0; i < 1000; i++)
                for (size_t k = 0; k < ELEMENTSOF(kinds); k++)
                        refusals_add(&refusals, audit,
                                     &(struct audit_record){ .enclave = kinds[k].enclave,
                                                             .cid = kinds[k].cid,
                                                             .mode = "api",
                                                             .listener = kinds[k].listener,
                                                             .verdict = "refused",
                                                             .reason = kinds[k].reason });
        assert_int_equal(lines_with("refused", line, sizeof(line)), ELEMENTSOF(kinds));
        refusals_report(&refusals, audit, monotonic_usec() + 2000000);
        assert_int_equal(lines_with("\"repeated\":999", line, sizeof(line)), ELEMENTSOF(kinds));
        assert_int_equal(lines_with("\"cid\":78", line, sizeof(line)), 2);
        refusals_report(&refusals, audit, monotonic_usec() + 4000000);
        assert_int_equal(lines_with("refused", line, sizeof(line)), 2 * ELEMENTSOF(kinds));
        assert_int_equal(refusals.n, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(chain, make_file, remove_file),
                cmocka_unit_test_setup_teardown(torn_line, make_file, remove_file),
                cmocka_unit_test_setup_teardown(full_disk, make_file, remove_file),
                cmocka_unit_test_setup_teardown(rotation, make_file, remove_file),
                cmocka_unit_test_setup_teardown(one_writer, make_file, remove_file),
                cmocka_unit_test_setup_teardown(floods, make_file, remove_file),
                cmocka_unit_test(buckets),
        };

        return unit_run("audit", tests);
}
