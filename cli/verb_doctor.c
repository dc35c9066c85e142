/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/table.h"
#include "cli/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <string.h>

/* What a check found: a word, what is there, and what to run when it is not well. */
enum verdict { FINE, NOTE, WRONG };

struct finding {
        enum verdict verdict;
        char what[200];
        const char *remedy; /* or NULL */
};

struct check {
        const char *name;
        void (*run)(const struct options *o, struct finding *f);
};

__attribute__((format(printf, 4, 5))) static void find(struct finding *f, enum verdict verdict,
                                                       const char *remedy, const char *format, ...) {
        va_list ap;

        f->verdict = verdict;
        f->remedy = remedy;
        va_start(ap, format);
        (void)vsnprintf(f->what, sizeof(f->what), format, ap);
        va_end(ap);
}

static void check_daemon(const struct options *o, struct finding *f) {
        _cleanup_client_ struct client c = CLIENT_NULL;
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r;

        r = daemon_connect(o, &c, &e);
        if (r >= 0)
                r = client_call(&c, "org.varlink.service.GetInfo", NULL, &reply, &e);
        if (r < 0)
                find(f, WRONG, "qt-enclaved --user, or: systemctl start qt-enclaved", "%s", e.message);
        else if (strcmp(member_text(reply.parameters, "version"), PROJECT_VERSION) != 0)
                find(f, NOTE, "restart the daemon; enclaves go on",
                     "version %s answers, this command is " PROJECT_VERSION,
                     member_text(reply.parameters, "version"));
        else
                find(f, FINE, NULL, "version " PROJECT_VERSION " answers");
}

static bool in_path(const char *program) {
        _cleanup_free_ char *path = strdup(getenv("PATH") ?: "/usr/bin:/bin");

        for (char *rest = path, *directory; rest && (directory = strsep(&rest, ":"));) {
                char file[4096];

                (void)snprintf(file, sizeof(file), "%s/%s", directory, program);
                if (access(file, X_OK) == 0)
                        return true;
        }
        return false;
}

static void check_qemu(const struct options *o _unused_, struct finding *f) {
        if (in_path("qemu-system-x86_64"))
                find(f, FINE, NULL, "qemu-system-x86_64 is installed");
        else
                find(f, WRONG, "apt-get install qemu-system-x86",
                     "qemu-system-x86_64 is not in $PATH; the hypervisor "
                     "local needs it");
}

static void check_kvm(const struct options *o _unused_, struct finding *f) {
        _cleanup_close_ int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

        if (fd >= 0)
                find(f, FINE, NULL, "/dev/kvm opens; the monitor probes whether it really runs a guest");
        else if (errno == EACCES)
                find(f, NOTE, "usermod -aG kvm USER, for a daemon of one's own",
                     "/dev/kvm: %s; enclaves are emulated, "
                     "and slower",
                     strerror(errno));
        else
                find(f, NOTE, NULL, "/dev/kvm: %s; enclaves are emulated, and slower", strerror(errno));
}

static void check_group(const struct options *o _unused_, struct finding *f) {
        struct group *group = getgrnam("qt-enclave");
        gid_t groups[256];
        int n = getgroups(ELEMENTSOF(groups), groups);

        if (!group) {
                find(f, NOTE, "systemd-sysusers",
                     "there is no group qt-enclave; only root can use the system's daemon");
                return;
        }
        for (int i = 0; i < n; i++)
                if (groups[i] == group->gr_gid) {
                        find(f, FINE, NULL, "you are in the group qt-enclave");
                        return;
                }
        if (getuid() == 0)
                find(f, FINE, NULL, "the group qt-enclave is there; root needs no group");
        else
                find(f, NOTE, "usermod -aG qt-enclave USER, then log in again",
                     "you are not in the group qt-enclave; the system's daemon is closed to you");
}

static void check_runtime(const struct options *o _unused_, struct finding *f) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");

        if (runtime && access(runtime, W_OK) == 0)
                find(f, FINE, NULL, "$XDG_RUNTIME_DIR is %s", runtime);
        else
                find(f, NOTE, "log in through a session, or use qt-enclaved --runtime-dir",
                     "$XDG_RUNTIME_DIR is %s; qt-enclaved --user needs it",
                     runtime ? "not writable" : "not set");
}

static void check_kernel(const struct options *o _unused_, struct finding *f) {
        const char *directory = getenv("QT_ENCLAVE_KERNEL_DIR"), *home = getenv("HOME");
        char file[4096];

        if (directory)
                (void)snprintf(file, sizeof(file), "%s/vmlinuz", directory);
        else
                (void)snprintf(file, sizeof(file), "%s/.local/share/qt-enclave/kernel/vmlinuz",
                               home ? home : "");
        if (access(file, R_OK) == 0)
                find(f, FINE, NULL, "build-eif finds %.160s", file);
        else
                find(f, NOTE, "scripts/fetch-kernel, or build-eif --kernel FILE",
                     "no kernel for build-eif at %.140s", file);
}

static void check_pool(const struct options *o, struct finding *f) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        const json_t *pool;

        if (daemon_call(o, "PoolShow", NULL, &reply, NULL) < 0) {
                find(f, NOTE, NULL, "unknown without a daemon");
                return;
        }
        pool = json_object_get(reply.parameters, "Pool");
        if (member_number(pool, "MemoryMiB") == 0)
                find(f, WRONG, "qt-enclave pool set --memory SIZE", "the %s pool has no memory",
                     member_text(pool, "Mode"));
        else
                find(f, FINE, NULL, "%s, %" JSON_INTEGER_FORMAT " MiB, %" JSON_INTEGER_FORMAT " free",
                     member_text(pool, "Mode"), member_number(pool, "MemoryMiB"),
                     member_number(pool, "FreeMiB"));
}

static void check_parent(const struct options *o _unused_, struct finding *f) {
        if (access("/dev/nitro_enclaves", F_OK) == 0)
                find(f, FINE, NULL, "a Nitro parent: /dev/nitro_enclaves is there");
        else
                find(f, FINE, NULL, "no /dev/nitro_enclaves: enclaves are local virtual machines");
}

static const struct check checks[] = {
        { "daemon", check_daemon },   { "pool", check_pool },     { "hypervisor", check_qemu },
        { "kvm", check_kvm },         { "parent", check_parent }, { "group", check_group },
        { "runtime", check_runtime }, { "kernel", check_kernel },
};

static int run(const struct options *o, struct error *reterr) {
        static const char *const words[] = { [FINE] = "fine", [NOTE] = "note", [WRONG] = "wrong" };
        json_auto_t *document = json_array();
        enum output_format format;
        bool wrong = false;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(checks); i++) {
                struct finding f = { .remedy = NULL };

                checks[i].run(o, &f);
                wrong = wrong || f.verdict == WRONG;
                if (format == OUTPUT_JSON) {
                        (void)json_array_append_new(document,
                                                    json_pack("{s:s, s:s, s:s, s:s?}", "Check",
                                                              checks[i].name, "Verdict", words[f.verdict],
                                                              "Found", f.what, "Run", f.remedy));
                        continue;
                }
                (void)printf("%-6s %-11s ", words[f.verdict], checks[i].name);
                print_clean(stdout, f.what, 0);
                (void)printf("%s%s\n", f.remedy ? "\n                   run: " : "",
                             f.remedy ? f.remedy : "");
        }
        if (format == OUTPUT_JSON)
                r = print_json(document, reterr);
        if (r < 0)
                return r;
        return wrong ? EXIT_UNAVAILABLE : EXIT_OK;
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS, VERB_DAEMON_OPTIONS, VERB_OPTIONS_END };

const struct verb verb_doctor = {
        .name = "doctor",
        .synopsis = "",
        .help = "Look for what keeps enclaves from running here, and say what to run",
        .details = "The exit status is 9 when something is wrong, else 0.\n",
        .options = options,
        .run = run,
};
