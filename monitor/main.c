/* SPDX-License-Identifier: Apache-2.0 */

/*
 * qt-enclave-monitor NAME: one enclave's process. Started by the daemon with everything it needs as
 * descriptors, already as its final unprivileged user; it outlives the daemon and ends with its machine.
 */

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/options.h"
#include "monitor/config.h"
#include "monitor/console.h"
#include "monitor/facts.h"
#include "monitor/sandbox.h"
#include "monitor/service.h"
#include "monitor/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { FD_LISTEN = 3, FD_IMAGE, FD_DIRECTORY, FD_CONFIG, FD_END };

/* How long the console's readers may take for the rest once the machine is gone. */
#define LINGER_USEC 5000000u
#define LINGER_STEP_USEC 20000u
/* How long the image is kept for a daemon that is just being replaced. */
#define KEEP_USEC 300000000u
#define TERMINATE_GRACE_MSEC 3000u
#define FILES_WANTED 8192u

struct monitor {
        sd_event *event;
        struct monitor_config config;
        struct vm *vm;
        struct service *service;
        struct given given;
        int directory_fd;
        uint64_t lingered_usec;
        sd_event_source *linger;
};

static void monitor_done(struct monitor *m) {
        m->linger = sd_event_source_disable_unref(m->linger);
        /* The machine first: its pending connects answer calls that the service still knows. */
        m->vm = vm_free(m->vm);
        m->service = service_free(m->service);
        config_done(&m->config);
        m->given.image_fd = close_fd(m->given.image_fd);
        m->given.config_fd = close_fd(m->given.config_fd);
        m->directory_fd = close_fd(m->directory_fd);
        m->event = sd_event_unref(m->event);
}

static void on_changed(void *userdata) {
        struct monitor *m = userdata;

        if (m->service)
                service_announce(m->service);
}

static bool is_read(const struct monitor *m) {
        return m->lingered_usec < LINGER_USEC && m->vm->console && console_has_readers(m->vm->console);
}

/* The enclave will be started again, by a daemon that is not there and will not have the image. */
static bool is_needed(const struct monitor *m) {
        return m->given.image_fd >= 0 && m->lingered_usec < KEEP_USEC && !service_was_heard(m->service) &&
               m->vm->reason.kind != REASON_STOPPED && m->vm->reason.kind != REASON_PARENT_SHUTDOWN;
}

static int on_linger(sd_event_source *source, uint64_t usec, void *userdata) {
        struct monitor *m = userdata;

        m->lingered_usec += LINGER_STEP_USEC;
        if (!is_read(m) && !is_needed(m))
                return sd_event_exit(m->event, 0);
        (void)sd_event_source_set_time(source, usec + LINGER_STEP_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void on_ended(void *userdata) {
        struct monitor *m = userdata;
        int r = facts_leave(m->vm);

        if (r < 0)
                log_record(LOG_ERR, m->config.name, "the file \"end\" cannot be written: %s", strerror(-r));
        r = sd_event_add_time_relative(m->event, &m->linger, CLOCK_MONOTONIC, LINGER_STEP_USEC, 1000,
                                       on_linger, m);
        if (r < 0)
                (void)sd_event_exit(m->event, 0);
}

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        struct monitor *m = userdata;

        (void)source;
        (void)si;
        if (vm_is_over(m->vm))
                return sd_event_exit(m->event, 0);
        (void)vm_stop(m->vm, TERMINATE_GRACE_MSEC, STOP_PARENT, NULL);
        return 0;
}

/* A daemon that is connected knows this enclave; the next one would look for its socket. */
static void end_when_lost(void *userdata) {
        struct monitor *m = userdata;

        if (vm_is_over(m->vm) || service_has_watchers(m->service) ||
            faccessat(m->directory_fd, "monitor.sock", F_OK, 0) == 0)
                return;
        log_record(LOG_ERR, m->config.name,
                   "its socket was removed and no daemon is connected: nobody could find it again, it ends");
        (void)vm_stop(m->vm, TERMINATE_GRACE_MSEC, STOP_UNREACHABLE, NULL);
}

static int on_directory(sd_event_source *source, const struct inotify_event *event, void *userdata) {
        (void)source;
        (void)event;
        end_when_lost(userdata);
        return 0;
}

/* Forget the pages of one library's code and constants: what is needed again comes back from the page cache.
 */
static int forget_pages(struct dl_phdr_info *info, size_t size, void *userdata) {
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

        (void)size;
        (void)userdata;
        for (int i = 0; i < info->dlpi_phnum; i++) {
                uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
                uintptr_t end = start + info->dlpi_phdr[i].p_memsz;

                /* A writable segment has relocated pages, which are not in the file. */
                if (info->dlpi_phdr[i].p_type != PT_LOAD || info->dlpi_phdr[i].p_flags & PF_W)
                        continue;
                start = (start + page - 1) & ~(page - 1);
                end &= ~(page - 1);
                if (end > start)
                        (void)madvise((void *)start, end - start, MADV_DONTNEED);
        }
        return 0;
}

/* Loading took buffers and much of libcrypto; waiting for the end of a machine, which a monitor does all its
 * life, takes neither. */
static void trim_memory(void) {
        (void)malloc_trim(0);
        (void)dl_iterate_phdr(forget_pages, NULL);
}

/* What comes after the start needs little memory and few system calls. */
static void on_begun(void *userdata) {
        struct monitor *m = userdata;
        _cleanup_error_ struct error problem = ERROR_NULL;

        trim_memory();
        if (!vm_is_over(m->vm) && sandbox_enter(m->vm->hypervisor && m->vm->hypervisor->native, &problem) < 0)
                vm_give_up(m->vm, &problem);
}

static const struct vm_observer observer = { .changed = on_changed, .begun = on_begun, .ended = on_ended };

/* From within the loop, so that whatever happens at start is seen by a watcher like everything later. */
static int on_start(sd_event_source *source, void *userdata) {
        struct monitor *m = userdata;

        (void)source;
        /* A later daemon's restart needs the image once more. */
        vm_start(m->vm, m->config.keep_image ? fcntl(m->given.image_fd, F_DUPFD_CLOEXEC, FD_END)
                                             : TAKE_FD(m->given.image_fd));
        return 0;
}

static int read_config(struct monitor_config *config, struct error *reterr) {
        char text[CONFIG_MAX_BYTES];
        struct stat st;
        int r;

        if (fstat(FD_CONFIG, &st) < 0 || st.st_size <= 0 || (size_t)st.st_size > sizeof(text))
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "descriptor %d is no configuration of at most %d bytes", FD_CONFIG,
                                 CONFIG_MAX_BYTES);
        r = pread_exactly(FD_CONFIG, text, (size_t)st.st_size, 0);
        if (r < 0)
                return error_set_errno(reterr, ERROR_CONFIG_INVALID, r, "the configuration cannot be read");
        return config_parse(text, (size_t)st.st_size, config, reterr);
}

/* Hold whatever the daemon gave, but nothing across an exec. */
static int check_descriptors(struct error *reterr) {
        for (int fd = FD_LISTEN; fd < FD_END; fd++)
                if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                        return error_set(
                                reterr, ERROR_USAGE,
                                "descriptor %d is missing: this program is started by qt-enclaved, not by "
                                "hand; use \"qt-enclave run\"",
                                fd);
        return 0;
}

/* A guest's memory and the module's keys belong into no core file. Each vsock connection takes a descriptor,
 * and the usual soft limit is below what the device allows. */
static int limit_itself(void) {
        const struct rlimit no_core = { 0, 0 };
        struct rlimit files;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0 ||
            getrlimit(RLIMIT_NOFILE, &files) < 0)
                return -errno;
        if (files.rlim_cur < FILES_WANTED) {
                files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
                if (setrlimit(RLIMIT_NOFILE, &files) < 0)
                        return -errno;
        }
        return 0;
}

static int prepare(struct monitor *m, struct error *reterr) {
        sigset_t mask;
        int r;

        r = read_config(&m->config, reterr);
        if (r < 0)
                return r;
        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGTERM);
        (void)sigaddset(&mask, SIGINT);
        (void)sigaddset(&mask, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        r = limit_itself();
        if (r < 0)
                return r;
        if ((r = sd_event_new(&m->event)) < 0)
                return r;
        if ((r = sd_event_add_signal(m->event, NULL, SIGTERM, on_terminate, m)) < 0 ||
            (r = sd_event_add_signal(m->event, NULL, SIGINT, on_terminate, m)) < 0)
                return r;
        if ((r = vm_new(&m->vm, m->event, &m->config, m->directory_fd, &observer, m)) < 0)
                return r;
        if ((r = service_new(&m->service, m->event, FD_LISTEN, m->vm, &m->given)) < 0)
                return r;
        service_on_alone(m->service, end_when_lost, m);
        r = sd_event_add_inotify_fd(m->event, NULL, m->directory_fd, IN_DELETE | IN_MOVED_FROM, on_directory,
                                    m);
        if (r < 0) /* the user's limit, say */
                log_record(LOG_DEBUG, m->config.name, "its directory is not watched: %s", strerror(-r));
        return sd_event_add_defer(m->event, NULL, on_start, m);
}

static int run(struct error *reterr) {
        _cleanup_(monitor_done) struct monitor m = { .given = { -1, -1 }, .directory_fd = -1 };
        int r = check_descriptors(reterr);

        if (r < 0)
                return r;
        m.config = MONITOR_CONFIG_NULL;
        m.given = (struct given){ .config_fd = FD_CONFIG, .image_fd = FD_IMAGE };
        m.directory_fd = FD_DIRECTORY;
        r = prepare(&m, reterr);
        return r < 0 ? r : sd_event_loop(m.event);
}

static const struct option_spec specs[] = {
        { "help", 'h', NULL, "show this help" },
        { "version", 0, NULL, "show the version" },
        { NULL, 0, NULL, NULL },
};

int main(int argc, char **argv) {
        _cleanup_error_ struct error problem = ERROR_NULL;
        _cleanup_options_ struct options options = OPTIONS_NULL;
        int r;

        log_open("qt-enclave-monitor");
        r = options_parse(&options, specs, argc, argv, &problem);
        if (r >= 0 && options_flag(&options, "version"))
                return puts("qt-enclave-monitor " PROJECT_VERSION) < 0;
        if (r >= 0 && options_flag(&options, "help")) {
                (void)puts("Usage: qt-enclave-monitor NAME\n\nRuns one enclave; started by qt-enclaved.\n");
                options_print(specs, stdout);
                return 0;
        }
        if (r >= 0 && options.n_positional != 1)
                r = error_set(&problem, ERROR_USAGE, "one NAME is needed; see --help");
        if (r >= 0)
                r = run(&problem);
        if (r >= 0)
                return r;
        return log_report(r, &problem);
}
