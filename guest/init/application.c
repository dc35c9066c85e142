/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/application.h"
#include "guest/init/network.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static bool has_variable(char *const *environment, const char *name) {
        size_t length = strlen(name);

        for (; *environment; environment++)
                if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
                        return true;
        return false;
}

int application_environment(const struct app_config *config, const char *home, char ***ret, char **ret_home) {
        static const char path[] = "PATH=" APPLICATION_DEFAULT_PATH, host[] = "HOSTNAME=" NETWORK_HOST_NAME,
                          notify[] = "NOTIFY_SOCKET=" APPLICATION_NOTIFY_SOCKET;
        _cleanup_free_ char **environment = NULL;
        _cleanup_free_ char *own_home = NULL;
        size_t n = 0;

        while (config->environment[n])
                n++;
        environment = calloc(n + 5, sizeof(*environment));
        if (!environment || asprintf(&own_home, "HOME=%s", home) < 0)
                return -ENOMEM;
        n = 0;
        for (char *const *e = config->environment; *e; e++)
                if (strncmp(*e, "NOTIFY_SOCKET=", strlen("NOTIFY_SOCKET=")) != 0)
                        environment[n++] = *e;
        /* execve() takes char *const * and leaves the strings alone. */
        if (!has_variable(config->environment, "PATH"))
                environment[n++] = (char *)path;
        if (!has_variable(config->environment, "HOME"))
                environment[n++] = own_home;
        if (!has_variable(config->environment, "HOSTNAME"))
                environment[n++] = (char *)host;
        environment[n++] = (char *)notify;
        *ret = TAKE(environment);
        *ret_home = TAKE(own_home);
        return 0;
}

/* What the child could not do, for the parent to put into words. */
struct failure {
        enum {
                STAGE_WORKDIR,
                STAGE_USER,
                STAGE_SETUP,
                STAGE_EXEC,
        } stage;
        int error;
};

static int make_directories(const char *path) {
        char part[APP_CONFIG_WORKDIR_MAX + 1];

        for (const char *end = path; *end;) {
                end += strspn(end, "/");
                end += strcspn(end, "/");
                memcpy(part, path, (size_t)(end - path));
                part[end - path] = 0;
                if (mkdir(part, 0755) < 0 && errno != EEXIST)
                        return -errno;
        }
        return 0;
}

static const char *variable(char *const *environment, const char *name) {
        size_t length = strlen(name);

        for (; *environment; environment++)
                if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
                        return *environment + length + 1;
        return NULL;
}

/* Returns the errno, on failure. ENOENT has two reasons that its reader must not have to guess between: the
 * program is there but not what it names as its interpreter or loader is told as ELIBACC. */
static int execute_file(const char *path, char *const *arguments, char *const *environment) {
        (void)execve(path, arguments, environment);
        if (errno == ENOENT && access(path, F_OK) == 0)
                return ELIBACC;
        return errno;
}

/* The same with a search in PATH; a file that is there and cannot be executed says more than one that is not
 * there. */
static int execute(char *const *arguments, char *const *environment) {
        const char *program = arguments[0], *directory = variable(environment, "PATH");
        int error = ENOENT;

        if (strchr(program, '/'))
                return execute_file(program, arguments, environment);
        while (directory) {
                size_t length = strcspn(directory, ":");
                char candidate[PATH_MAX];

                /* An empty element is the working directory, as everywhere. */
                if (snprintf(candidate, sizeof(candidate), "%.*s%s%s", (int)length, directory,
                             length ? "/" : "./", program) < (int)sizeof(candidate)) {
                        int r = execute_file(candidate, arguments, environment);

                        if (r != ENOENT && r != ENOTDIR && r != EACCES)
                                return r;
                        if (r == EACCES)
                                error = r;
                }
                directory = directory[length] ? directory + length + 1 : NULL;
        }
        return error;
}

static int become_user(const struct account *account) {
        if (setgroups(account->n_groups, account->groups) < 0 || setgid(account->gid) < 0 ||
            setuid(account->uid) < 0)
                return errno;
        return 0;
}

static int set_surroundings(const struct account *account) {
        const struct rlimit files = { APPLICATION_FILES_SOFT, APPLICATION_FILES_HARD };
        sigset_t none;

        /* So that a program of any user can open /dev/stdout, as it can in a container. */
        if (isatty(STDOUT_FILENO) && fchown(STDOUT_FILENO, account->uid, (gid_t)-1) < 0)
                return errno;
        for (int number = 1; number < NSIG; number++)
                (void)signal(number, SIG_DFL); /* refused for KILL and STOP, which have no other way */
        (void)sigemptyset(&none);
        if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || setsid() < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
                return errno;
        return 0;
}

static struct failure become_application(const struct app_config *config, const struct account *account,
                                         char *const *environment) {
        int error;

        if (config->workdir && (make_directories(config->workdir) < 0 || chdir(config->workdir) < 0))
                return (struct failure){ STAGE_WORKDIR, errno };
        error = set_surroundings(account);
        if (error)
                return (struct failure){ STAGE_SETUP, error };
        error = become_user(account);
        if (error)
                return (struct failure){ STAGE_USER, error };
        return (struct failure){ STAGE_EXEC, execute(config->arguments, environment) };
}

static int describe_exec_failure(const char *program, const char *path, int error,
                                 const struct account *account, struct error *reterr) {
        if (error == ENOENT && !strchr(program, '/'))
                return error_set(reterr, ERROR_BOOT_FAILED, "program \"%s\": not found in PATH=%s", program,
                                 path);
        if (error == ELIBACC)
                return error_set(
                        reterr, ERROR_BOOT_FAILED,
                        "program \"%s\": is there, but the interpreter or loader that it names is not in the "
                        "image",
                        program);
        if (error == EACCES)
                return error_set(reterr, ERROR_BOOT_FAILED, "program \"%s\": uid %u may not execute it",
                                 program, account->uid);
        if (error == ENOEXEC)
                return error_set(
                        reterr, ERROR_BOOT_FAILED,
                        "program \"%s\": neither a program of this machine nor a script that begins with #!",
                        program);
        return error_set_errno(reterr, ERROR_BOOT_FAILED, error, "program \"%s\"", program);
}

static int describe_failure(const struct app_config *config, const struct account *account,
                            char *const *environment, struct failure f, struct error *reterr) {
        switch (f.stage) {
        case STAGE_WORKDIR:
                return error_set_errno(reterr, ERROR_BOOT_FAILED, f.error, "working directory \"%s\"",
                                       config->workdir);
        case STAGE_USER:
                return error_set_errno(reterr, ERROR_BOOT_FAILED, f.error,
                                       "cannot become uid %u, gid %u with %zu groups", account->uid,
                                       account->gid, account->n_groups);
        case STAGE_SETUP:
                return error_set_errno(reterr, ERROR_BOOT_FAILED, f.error,
                                       "cannot prepare the application's process");
        default:
                return describe_exec_failure(config->arguments[0], variable(environment, "PATH"), f.error,
                                             account, reterr);
        }
}

int application_start(const struct app_config *config, const struct account *account, pid_t *ret,
                      struct error *reterr) {
        _cleanup_close_ int told = -1, tell = -1;
        _cleanup_free_ char **environment = NULL;
        _cleanup_free_ char *home = NULL;
        struct failure f;
        int ends[2], r;
        pid_t pid;

        r = application_environment(config, account->home, &environment, &home);
        if (r < 0)
                return r;
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        told = ends[0];
        tell = ends[1];
        pid = fork();
        if (pid < 0)
                return error_set_errno(reterr, ERROR_BOOT_FAILED, errno,
                                       "cannot make the application's process");
        if (pid == 0) {
                f = become_application(config, account, environment);
                (void)write_all(tell, &f, sizeof(f));
                _exit(127);
        }
        tell = close_fd(tell);
        /* Executing closes the pipe: an end without a word is success. */
        if (read_exactly(told, &f, sizeof(f)) < 0) {
                *ret = pid;
                return 0;
        }
        (void)waitpid(pid, NULL, 0);
        return describe_failure(config, account, environment, f, reterr);
}
