/* SPDX-License-Identifier: Apache-2.0 */

/*
 * nitro_device [OPTION…] -- PROGRAM ARGUMENT…: runs a program, and all that it starts, as if the machine had
 * /dev/nitro_enclaves. The programs are the real ones and open the device by its path; a seccomp filter lets
 * this process answer the few system calls that concern it. Ends as the program ends. Needs root.
 */

#include "base/cleanup.h"
#include "base/options.h"
#include "base/parse.h"
#include "tests/programs/nitro_device/supervisor.h"
#include "tests/programs/nitro_device/target.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

static const struct option_spec specs[] = {
        { "cpus", 0, "N", "CPUs of the machine (default 16)" },
        { "threads", 0, "N", "threads of a core (default 2)" },
        { "nodes", 0, "N", "NUMA nodes (default 1)" },
        { "regions", 0, "N", "most memory regions of an enclave (default 64)" },
        { "memory-calls", 0, "N", "most calls in which an enclave's memory is added (default: any number)" },
        { "pool", 0, "LIST", "ne_cpus at the start (default 2-5,10-13)" },
        { "race", 0, "N", "so many NE_CREATE_VM fail after the end of an enclave (default 0)" },
        { "faults", 0, "FILE",
          "\"create|load_info|add_memory|add_vcpu|start|bind|accept ERRNO\": the next one fails so; \"late "
          "MS\": "
          "the "
          "next add_memory is slow" },
        { "sysfs", 0, "DIR", "what programs find as /sys/devices/system" },
        { "machine", 0, "DIR", "a tree like /sys in which the pool's CPUs go offline" },
        { "help", 'h', NULL, "show this help" },
        { NULL, 0, NULL, NULL },
};

static unsigned number(const struct options *o, const char *name, unsigned fallback) {
        const char *text = options_value(o, name);
        uint32_t value = fallback;

        if (text && parse_u32(text, 0, 1024, &value) < 0) {
                (void)fprintf(stderr, "nitro_device: --%s %s is no number up to 1024\n", name, text);
                exit(2);
        }
        return value;
}

/* A signal for us is one for the program. */
static void pass_on(int signal_fd, pid_t program) {
        struct signalfd_siginfo info;

        if (read(signal_fd, &info, sizeof(info)) == sizeof(info))
                (void)kill(program, (int)info.ssi_signo); /* not reaped yet: the number is still its own */
}

/* Until the last program under the filter has ended: those that outlive the first one are served on. Its
 * status is ours. */
static int serve(struct supervisor *s, int signal_fd, pid_t program) {
        int status = 0;

        for (;;) {
                struct pollfd events[SUPERVISOR_POLL_MAX + 1];
                size_t n = supervisor_poll(s, events);

                events[n] = (struct pollfd){ .fd = signal_fd, .events = POLLIN };
                if (poll(events, n + 1, -1) < 0 && errno != EINTR)
                        return 126;
                if (events[n].revents)
                        pass_on(signal_fd, program);
                if (supervisor_dispatch(s, events, n) < 0)
                        break;
        }
        if (waitpid(program, &status, 0) != program)
                return 126;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(const struct options *o) {
        struct supervisor_options options = {
                .machine = { .cpus = number(o, "cpus", 16),
                             .threads = number(o, "threads", 2),
                             .nodes = number(o, "nodes", 1),
                             .max_regions = number(o, "regions", 64),
                             .max_calls = number(o, "memory-calls", 0),
                             .slots = NE_SLOTS_MAX },
                .pool = options_value(o, "pool") ? options_value(o, "pool") : "2-5,10-13",
                .faults_path = options_value(o, "faults"),
                .sysfs_path = options_value(o, "sysfs"),
                .machine_path = options_value(o, "machine"),
                .race_length = number(o, "race", 0),
        };
        _cleanup_free_ char **argv = NULL;
        struct supervisor *s = NULL;
        int notify_fd, signal_fd, r;
        sigset_t mask;
        pid_t program;

        argv = calloc((size_t)o->n_positional + 1, sizeof(*argv));
        if (!argv)
                return 126;
        memcpy(argv, o->positional, (size_t)o->n_positional * sizeof(*argv));
        r = target_spawn(argv, &program, &notify_fd);
        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGTERM);
        (void)sigaddset(&mask, SIGINT);
        (void)sigprocmask(SIG_BLOCK, &mask, NULL);
        (void)signal(SIGPIPE, SIG_IGN);
        signal_fd = signalfd(-1, &mask, SFD_CLOEXEC);
        if (r >= 0)
                r = supervisor_new(&s, &options, notify_fd);
        if (r < 0 || signal_fd < 0) {
                (void)fprintf(stderr, "nitro_device: %s\n", strerror(-r));
                return 126;
        }
        r = serve(s, signal_fd, program);
        (void)supervisor_free(s);
        (void)close_fd(signal_fd);
        return r;
}

int main(int argc, char **argv) {
        _cleanup_options_ struct options o = OPTIONS_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;

        if (options_parse(&o, specs, argc, argv, &e) < 0) {
                (void)fprintf(stderr, "nitro_device: %s\n", e.message);
                return 2;
        }
        if (options_flag(&o, "help") || o.n_positional == 0) {
                (void)puts("usage: nitro_device [OPTION…] -- PROGRAM ARGUMENT…\n\noptions:");
                options_print(specs, stdout);
                return o.n_positional == 0;
        }
        return run(&o);
}
