/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source_skopeo.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

/* How a shell calls them. */
#define EXEC_FAILED 126
#define EXEC_MISSING 127

static int remove_one(const char *path, const struct stat *st _unused_, int type _unused_,
                      struct FTW *where _unused_) {
        (void)remove(path);
        return 0;
}

/* From here to fetched_image_done() an interruption waits, until nothing is left that it would leave behind.
 * Signals that are ignored, as under nohup(1), stay so. */
static int hold_signals(struct fetched_image *f, struct error *reterr) {
        static const int interruptions[] = { SIGHUP, SIGINT, SIGTERM };
        struct sigaction action;
        sigset_t held;

        (void)sigemptyset(&held);
        for (size_t i = 0; i < ELEMENTSOF(interruptions); i++)
                if (sigaction(interruptions[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
                        (void)sigaddset(&held, interruptions[i]);
        f->signals_fd = signalfd(-1, &held, SFD_CLOEXEC);
        if (f->signals_fd < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, errno, "cannot wait for signals");
        (void)sigprocmask(SIG_BLOCK, &held, &f->before);
        return 0;
}

void fetched_image_done(struct fetched_image *f) {
        if (f->directory)
                (void)nftw(f->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(f->directory);
        if (f->signals_fd >= 0) {
                (void)close_fd(f->signals_fd);
                (void)sigprocmask(SIG_SETMASK, &f->before, NULL);
        }
        *f = FETCHED_IMAGE_NULL;
}

/* What it said last, as `time=… level=fatal msg="…"`, of which the message is for a person. */
static void last_words(int words_fd, char *ret, size_t size) {
        char text[8192];
        off_t end = lseek(words_fd, 0, SEEK_END);
        off_t start = end > (off_t)sizeof(text) - 1 ? end - (off_t)sizeof(text) + 1 : 0;
        ssize_t n = pread(words_fd, text, sizeof(text) - 1, start);
        const char *message = NULL, *p;
        size_t used = 0;

        text[n > 0 ? n : 0] = '\0';
        for (p = text; (p = strstr(p, " msg=\"")); p += strlen(" msg=\""))
                message = p + strlen(" msg=\"");
        for (p = message ?: text; *p && used + 1 < size && (*p != '"' || !message); p++) {
                if (message && *p == '\\' && p[1])
                        p++;
                ret[used++] = *p == '\n' ? ' ' : *p;
        }
        while (used > 0 && ret[used - 1] == ' ')
                used--;
        ret[used] = '\0';
}

/* In the child. Standard output belongs to our own result; words_fd: what it has to say. */
static void become_skopeo(char *const *argv, int words_fd, const sigset_t *signals, pid_t parent) {
        int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(words_fd, STDERR_FILENO) < 0 ||
            dup2(words_fd, STDOUT_FILENO) < 0 || sigprocmask(SIG_SETMASK, signals, NULL) < 0 ||
            prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                _exit(EXEC_FAILED);
        (void)execvp(argv[0], argv);
        _exit(errno == ENOENT ? EXEC_MISSING : EXEC_FAILED);
}

/* Until the process ends: 0, or -EINTR when an interruption came, which stays pending. */
static int wait_for_end(int process, int signals_fd) {
        struct pollfd fds[] = { { .fd = process, .events = POLLIN }, { .fd = signals_fd, .events = POLLIN } };

        while (poll(fds, ELEMENTSOF(fds), -1) < 0)
                if (errno != EINTR)
                        return -errno;
        return fds[1].revents ? -EINTR : 0;
}

static int run(const struct fetched_image *f, char *const *argv, int words_fd, int *ret_status) {
        pid_t parent = getpid(), pid = fork();
        _cleanup_close_ int process = -1;
        int r;

        if (pid == 0)
                become_skopeo(argv, words_fd, &f->before, parent);
        if (pid < 0)
                return -errno;
        process = pidfd_open(pid, 0);
        r = process < 0 ? -errno : wait_for_end(process, f->signals_fd);
        if (r < 0)
                (void)kill(pid, SIGKILL);
        while (waitpid(pid, ret_status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return r;
}

static int make_directory(struct fetched_image *f, struct error *reterr) {
        const char *top = secure_getenv("TMPDIR");
        char *path;
        int r;

        if (asprintf(&path, "%s/qt-enclave-XXXXXX", top && *top ? top : "/var/tmp") < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (!mkdtemp(path)) {
                r = errno;
                free(path);
                return error_set_errno(
                        reterr, ERROR_OUTPUT_FAILED, r,
                        "cannot make a temporary directory (set TMPDIR to choose another place)");
        }
        f->directory = path;
        return 0;
}

int fetched_image_get(struct fetched_image *f, const char *reference, enum eif_arch arch,
                      struct error *reterr) {
        _cleanup_free_ char *target = NULL;
        _cleanup_close_ int words_fd = memory_file("skopeo");
        char words[1024];
        int status, r;

        if (words_fd < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, words_fd, "cannot make a memory file");
        r = hold_signals(f, reterr);
        if (r >= 0)
                r = make_directory(f, reterr);
        if (r < 0)
                return r;
        if (asprintf(&target, "oci:%s:image", f->directory) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");

        const char *argv[] = {
                "skopeo",
                "--override-arch",
                arch == EIF_ARCH_AARCH64 ? "arm64" : "amd64",
                "--override-os",
                "linux",
                "copy",
                "--quiet",
                reference,
                target,
                NULL,
        };

        r = run(f, (char *const *)argv, words_fd, &status);
        if (r < 0)
                return error_set_errno(reterr, ERROR_TOOL_MISSING, r, "%s: cannot run skopeo", reference);
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXEC_MISSING)
                return error_set(
                        reterr, ERROR_TOOL_MISSING,
                        "%s: skopeo is not installed; install it, or copy the image to a file and use "
                        "oci-archive: or docker-archive:",
                        reference);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        last_words(words_fd, words, sizeof(words));
        return error_set(reterr, ERROR_FILE_UNREADABLE, "%s: skopeo could not fetch it%s%s", reference,
                         *words ? ": " : "", words);
}
