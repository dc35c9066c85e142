/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "base/io.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

static unsigned count_entries(const char *path) {
        _cleanup_(closedirp) DIR *d = opendir(path);
        unsigned n = 0;

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));)
                n += e->d_name[0] != '.';
        return n;
}

static int make_directory(void **state) {
        char *path = strdup("/tmp/test-io-XXXXXX");

        *state = mkdtemp(path);
        return *state ? 0 : -1;
}

static int remove_directory(void **state) {
        _cleanup_free_ char *file = NULL;

        assert_true(asprintf(&file, "%s/file", (char *)*state) > 0);
        (void)unlink(file);
        assert_int_equal(rmdir(*state), 0); /* fails when anything was left behind */
        free(*state);
        return 0;
}

static void output_appears_whole(void **state) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        struct output o;
        struct stat st;

        assert_true(asprintf(&path, "%s/file", (char *)*state) > 0);
        for (int round = 0; round < 2; round++) { /* creates, then replaces */
                assert_int_equal(output_open(&o, path, 0644), 0);
                assert_int_equal(write_all(o.fd, "whole", 5), 0);
                assert_int_equal(output_commit(&o), 0);
                output_done(&o);
        }
        assert_int_equal(read_text_file(AT_FDCWD, path, 100, &text, NULL), 0);
        assert_string_equal(text, "whole");
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(count_entries(*state), 1);
}

static void abandoned_output_leaves_nothing(void **state) {
        _cleanup_free_ char *path = NULL;
        struct output o;

        assert_true(asprintf(&path, "%s/other", (char *)*state) > 0);
        assert_int_equal(output_open(&o, path, 0644), 0);
        assert_int_equal(write_all(o.fd, "half", 4), 0);
        output_done(&o);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(count_entries(*state), 0);
        assert_int_equal(output_open(&o, "/nonexistent/file", 0644), -ENOENT);
        output_done(&o);
}

/* Nothing but a file is replaced, and a symbolic link stays one. */
static void replaces_only_files(void **state) {
        static const char *const refused[] = { "fifo",       "socket", "directory", "to-fifo",
                                               "to-nothing", "none/",  "" };
        static const int reasons[] = { -EEXIST, -EEXIST, -EISDIR, -EEXIST, -ENOENT, -EISDIR, -ENOENT };
        _cleanup_close_ int dir_fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct output o, same;
        struct stat st;

        assert_int_equal(chdir(*state), 0);
        assert_int_equal(mkfifo("fifo", 0600), 0);
        assert_int_equal(mknod("socket", S_IFSOCK | 0600, 0), 0);
        assert_int_equal(mkdir("directory", 0700), 0);
        assert_int_equal(symlink("fifo", "to-fifo"), 0);
        assert_int_equal(symlink("nothing", "to-nothing"), 0);
        assert_int_equal(symlink("../file", "directory/to-file"), 0);
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                assert_int_equal(output_open(&o, refused[i], 0644), reasons[i]);
                output_done(&o);
        }
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(replace_file(dir_fd, refused[i], "x", 1, 0600), reasons[i]);
        assert_int_equal(replace_file(dir_fd, "file", "old", 3, 0600), 0);
        assert_int_equal(output_open(&o, "directory/to-file", 0644), 0);
        assert_int_equal(output_open(&same, "./directory/.././file", 0644), 0);
        assert_string_equal(o.path, same.path);
        assert_int_equal(write_all(o.fd, "whole", 5), 0);
        assert_int_equal(output_commit(&o), 0);
        output_done(&o);
        output_done(&same);
        assert_true(lstat("directory/to-file", &st) == 0 && S_ISLNK(st.st_mode));
        assert_true(lstat("file", &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 5);
        assert_true(lstat("fifo", &st) == 0 && S_ISFIFO(st.st_mode));
        assert_true(lstat("socket", &st) == 0 && S_ISSOCK(st.st_mode));
        assert_int_equal(unlink("directory/to-file"), 0);
        assert_int_equal(rmdir("directory"), 0);
        for (size_t i = 0; i < 5; i++)
                (void)unlink(refused[i]);
        assert_int_equal(chdir("/"), 0);
}

static void limits_a_text_file(void **state) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t size;

        assert_true(asprintf(&path, "%s/file", (char *)*state) > 0);
        assert_int_equal(replace_file(AT_FDCWD, path, "12345678", 8, 0600), 0);
        assert_int_equal(read_text_file(AT_FDCWD, path, 7, &text, &size), -EFBIG);
        assert_null(text);
        assert_int_equal(read_text_file(AT_FDCWD, path, 8, &text, &size), 0);
        assert_int_equal(size, 8);
}

static void sealed_memory_is_constant(void **state _unused_) {
        _cleanup_close_ int fd = memory_file("test");

        assert_true(fd >= 0);
        assert_int_equal(write_all(fd, "x", 1), 0);
        assert_int_equal(memory_file_seal(fd), 0);
        assert_int_equal(write_all(fd, "y", 1), -EPERM);
        assert_int_equal(ftruncate(fd, 0), -1);
}

static int pipe_fds[2];
static volatile sig_atomic_t alarms, alarms_before_byte;

static void alarm_came(int number _unused_) {
        alarms++;
        if (alarms_before_byte && --alarms_before_byte == 0)
                (void)!write(pipe_fds[1], "x", 1);
}

/* Signals that come faster than the deadline do not keep it from coming; one that is far away is not mistaken
 * for a near one. */
static void waits_until_a_deadline(void **state _unused_) {
        const struct itimerval often = { { 0, 10000 }, { 0, 10000 } }, never = { { 0, 0 }, { 0, 0 } };
        const struct sigaction action = { .sa_handler = alarm_came };
        uint64_t far = (UINT64_C(1) << 32) * 1000;

        assert_int_equal(pipe(pipe_fds), 0);
        assert_int_equal(wait_until_ready(pipe_fds[0], POLLIN, 0), -ETIMEDOUT);
        assert_int_equal(wait_until_ready(pipe_fds[1], POLLOUT, 0), 0);
        assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
        assert_int_equal(wait_until_ready(pipe_fds[0], POLLIN, monotonic_usec() + 50000), -ETIMEDOUT);
        assert_true(alarms > 0);
        alarms_before_byte = 20;
        assert_int_equal(wait_until_ready(pipe_fds[0], POLLIN, monotonic_usec() + far + 20000), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
        assert_int_equal(wait_until_ready(pipe_fds[0], POLLIN, UINT64_MAX), 0);
        assert_int_equal(wait_until_ready(-1, POLLIN, 0), -ETIMEDOUT);
        (void)close(pipe_fds[0]);
        (void)close(pipe_fds[1]);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(output_appears_whole, make_directory, remove_directory),
                cmocka_unit_test_setup_teardown(abandoned_output_leaves_nothing, make_directory,
                                                remove_directory),
                cmocka_unit_test_setup_teardown(replaces_only_files, make_directory, remove_directory),
                cmocka_unit_test_setup_teardown(limits_a_text_file, make_directory, remove_directory),
                cmocka_unit_test(sealed_memory_is_constant),
                cmocka_unit_test(waits_until_a_deadline),
        };

        return unit_run("io", tests);
}
