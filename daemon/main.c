/* SPDX-License-Identifier: Apache-2.0 */

/* qt-enclaved: options, configuration, inherited socket, loop. */

#include "base/io.h"
#include "base/log.h"
#include "base/options.h"
#include "daemon/bare_child.h"
#include "daemon/declared.h"
#include "daemon/manager.h"
#include "daemon/pool_preview.h"
#include "daemon/startup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

static const struct option_spec specs[] = {
        { "runtime-dir", 0, "DIR", "run a private instance below DIR (default: " SYSTEM_RUNTIME_DIR ")" },
        { "user", 0, NULL, "run the user's own instance, below $XDG_RUNTIME_DIR/qt-enclave" },
        { "config", 0, "FILE", "read this configuration (default: " SYSTEM_CONFIG ", when there is one)" },
        { "check-config", 0, NULL,
          "check the configuration, print it and the pool that it gives here, and end" },
        { "monitor", 0, "PATH", "the monitor program (default: the installed one)" },
        { "sysfs", 0, "DIR", "read and resize the machine below DIR instead of /sys (for tests)" },
        { "version", 0, NULL, "print the version, and end" },
        { "help", 'h', NULL, "show this help" },
        { NULL, 0, NULL, NULL },
};

static int on_reload(sd_event_source *source _unused_, const struct signalfd_siginfo *info _unused_,
                     void *userdata) {
        (void)sd_notify(0, "RELOADING=1");
        declared_load(userdata);
        (void)sd_notify(0, "READY=1");
        return 0;
}

static int serve(const struct options *o, struct config *config, struct error *reterr) {
        _cleanup_free_ char *runtime = NULL, *monitor = NULL;
        _cleanup_(manager_freep) struct manager *m = NULL;
        int listen_fd, r;

        r = startup_runtime(o, &runtime, reterr);
        if (r >= 0)
                r = startup_monitor(o, &monitor, reterr);
        if (r < 0)
                return r;
        listen_fd = startup_socket(reterr);
        if (listen_fd < -1)
                return listen_fd;
        r = manager_new(&m,
                        &(struct manager_options){ .runtime_path = runtime,
                                                   .monitor_program = monitor,
                                                   .sysfs = options_value(o, "sysfs") ?: "/sys",
                                                   .config = *config },
                        reterr);
        memset(config, 0, sizeof(*config)); /* taken over */
        if (r >= 0)
                r = manager_start(m, listen_fd, reterr);
        if (r >= 0)
                r = sd_event_set_signal_exit(m->event, true);
        if (r >= 0)
                r = sd_event_set_watchdog(m->event, true);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGHUP, on_reload, m);
        if (r < 0)
                return r;
        (void)sd_notify(0, "READY=1");
        log_info("serving below %s", runtime);
        r = sd_event_loop(m->event);
        (void)sd_notify(0, "STOPPING=1");
        manager_leave(m);
        return r;
}

static int check(const struct options *o, const struct config *config, struct error *reterr) {
        _cleanup_free_ char *runtime = NULL;
        int r = startup_runtime(o, &runtime, reterr);

        if (r < 0)
                return r;
        config_print(config, stdout);
        return pool_preview(config, runtime, options_value(o, "sysfs") ?: "/sys", stdout, reterr);
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_config_ struct config config = { .mode = NULL };
        int r;

        r = startup_config(o, &config, reterr);
        if (r < 0)
                return r;
        if (options_flag(o, "check-config"))
                return check(o, &config, reterr);
        return serve(o, &config, reterr);
}

int main(int argc, char **argv) {
        _cleanup_options_ struct options o = OPTIONS_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        sigset_t blocked;
        int r;

        bare_child_prepare();
        (void)signal(SIGPIPE, SIG_IGN);
        (void)sigemptyset(&blocked); /* the loop takes these when it is ready for them */
        (void)sigaddset(&blocked, SIGCHLD);
        (void)sigaddset(&blocked, SIGTERM);
        (void)sigaddset(&blocked, SIGINT);
        (void)sigaddset(&blocked, SIGHUP);
        (void)sigprocmask(SIG_BLOCK, &blocked, NULL);
        log_open("qt-enclaved");
        r = options_parse(&o, specs, argc, argv, &e);
        if (r >= 0 && o.n_positional > 0)
                r = error_set(&e, ERROR_USAGE, "%s: qt-enclaved takes options only; see --help",
                              o.positional[0]);
        if (r >= 0 && options_flag(&o, "help")) {
                (void)puts("usage: qt-enclaved [OPTION…]\n\nRuns and supervises enclaves. options:");
                options_print(specs, stdout);
                return EXIT_OK;
        }
        if (r >= 0 && options_flag(&o, "version")) {
                (void)puts("qt-enclaved " PROJECT_VERSION);
                return EXIT_OK;
        }
        if (r >= 0)
                r = run(&o, &e);
        if (r >= 0)
                return EXIT_OK;
        if (r != ERROR_DESCRIBED)
                r = error_wrap(&e, r, "cannot serve");
        return log_report(r, &e);
}
