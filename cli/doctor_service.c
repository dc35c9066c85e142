/* SPDX-License-Identifier: Apache-2.0 */

/* The service: its unit, its group, its socket, and whether it answers. */

#include "cli/client.h"
#include "cli/doctor.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>

#define GROUP "qt-enclave"
#define SYSTEM_SOCKET "run/qt-enclave/qt-enclaved.sock"
#define GROUP_FILE_MAX (1024 * 1024)

static void check_unit(struct doctor *d) {
        static const char *const directories[] = { "etc", "usr/local/lib", "usr/lib", "lib" };

        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                char path[96];

                (void)snprintf(path, sizeof(path), "%s/systemd/system/qt-enclaved.service", directories[i]);
                if (!doctor_has(d, path))
                        continue;
                doctor_find(d, VERDICT_OK, "unit", NULL, "/%s", path);
                return;
        }
        doctor_find(d, VERDICT_WARNING, "unit", "meson install, or the package",
                    "qt-enclaved.service is not installed; the daemon is not started with the machine");
}

/* The number of the group in the root's own /etc/group; -1 when it has none. */
static int64_t find_group(const struct doctor *d) {
        _cleanup_free_ char *text = NULL;
        char *rest;

        if (read_text_file(d->root_fd, "etc/group", GROUP_FILE_MAX, &text, NULL) < 0)
                return -1;
        rest = text;
        for (char *line; (line = strsep(&rest, "\n"));) {
                unsigned gid;

                if (strncmp(line, GROUP ":", strlen(GROUP ":")) == 0 &&
                    sscanf(line, GROUP ":%*[^:]:%u", &gid) == 1)
                        return gid;
        }
        return -1;
}

static void check_membership(struct doctor *d, gid_t group) {
        const struct group *g;

        if (!d->live || geteuid() == 0)
                return;
        if (group_member(group)) {
                doctor_find(d, VERDICT_OK, "group", NULL, "you are in the group " GROUP);
                return;
        }
        g = getgrgid(group);
        for (char **m = g ? g->gr_mem : NULL; m && *m; m++)
                if (getenv("USER") && strcmp(*m, getenv("USER")) == 0) {
                        doctor_find(d, VERDICT_WARNING, "group", "log in again",
                                    "you are in the group " GROUP ", but this session began before that");
                        return;
                }
        doctor_find(d, VERDICT_WARNING, "group", "usermod -aG " GROUP " USER, then log in again",
                    "you are not in the group " GROUP "; you can use a daemon of your own only");
}

static void check_group(struct doctor *d, int64_t group) {
        if (group < 0) {
                doctor_find(d, VERDICT_WARNING, "group", "systemd-sysusers",
                            "there is no group " GROUP "; only root can use the system's daemon");
                return;
        }
        doctor_find(d, VERDICT_OK, "group", NULL, GROUP " is there");
        check_membership(d, (gid_t)group);
}

static void check_socket(struct doctor *d, int64_t group) {
        struct stat st;

        if (fstatat(d->root_fd, SYSTEM_SOCKET, &st, 0) < 0) /* check_daemon() says what that means */
                return;
        if (!S_ISSOCK(st.st_mode))
                doctor_find(d, VERDICT_WRONG, "socket", "rm /" SYSTEM_SOCKET,
                            "/" SYSTEM_SOCKET " is no socket");
        else if (st.st_mode & 0006)
                doctor_find(d, VERDICT_WRONG, "socket", "systemctl restart qt-enclaved.socket",
                            "/" SYSTEM_SOCKET " has mode %04o: everybody may connect", st.st_mode & 07777);
        else if (group >= 0 && ((int64_t)st.st_gid != group || (st.st_mode & 0060) != 0060))
                doctor_find(d, VERDICT_WARNING, "socket", "systemctl restart qt-enclaved.socket",
                            "/" SYSTEM_SOCKET " has mode %04o and group %u: members of " GROUP
                            " cannot connect",
                            st.st_mode & 07777, st.st_gid);
        else
                doctor_find(d, VERDICT_OK, "socket", NULL, "/" SYSTEM_SOCKET " has mode %04o",
                            st.st_mode & 07777);
}

static void check_user_runtime(struct doctor *d) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");

        if (d->live && geteuid() != 0 && (!runtime || access(runtime, W_OK) < 0))
                doctor_find(d, VERDICT_WARNING, "runtime",
                            "log in through a session, or use qt-enclaved --runtime-dir",
                            "$XDG_RUNTIME_DIR is %s; qt-enclaved --user needs it",
                            runtime ? "not writable" : "not set");
}

/* One that was not restarted after an upgrade has another version than we. */
static void check_version(struct doctor *d) {
        _cleanup_client_ struct client c = CLIENT_NULL;
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        const char *version;

        if (daemon_connect(d->options, &c, NULL) < 0 ||
            client_call(&c, "org.varlink.service.GetInfo", NULL, &reply, NULL) < 0)
                return;
        version = member_text(reply.parameters, "version");
        if (strcmp(version, PROJECT_VERSION) == 0)
                return;
        doctor_find(d, VERDICT_WARNING, "daemon", "systemctl restart qt-enclaved (enclaves go on)",
                    "the daemon has version %s, this program " PROJECT_VERSION, version);
}

/* What the daemon was told to run enclaves with must be there. */
static void check_hypervisor(struct doctor *d, const char *name) {
        if (strcmp(name, "nitro") == 0 && !doctor_has(d, "dev/nitro_enclaves"))
                doctor_find(d, VERDICT_WRONG, "nitro",
                            "modprobe nitro_enclaves, on an instance with --enclave-options Enabled=true",
                            "the daemon has hypervisor:nitro, and there is no /dev/nitro_enclaves");
        if (strcmp(name, "qingtian") == 0 && !doctor_has(d, "dev/qtbox_service0"))
                doctor_find(d, VERDICT_WRONG, "qingtian",
                            "load virtio-qtbox, on an instance with QingTian Enclave enabled",
                            "the daemon has hypervisor:qingtian, and there is no /dev/qtbox_service0");
}

static void check_daemon(struct doctor *d) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        const json_t *pool;

        if (!d->live)
                return;
        if (daemon_call(d->options, "PoolShow", NULL, &reply, &e) < 0) {
                doctor_find(d, VERDICT_WRONG, "daemon", "systemctl start qt-enclaved, or qt-enclaved --user",
                            "%s", e.message ? e.message : error_meaning(e.kind));
                return;
        }
        pool = json_object_get(reply.parameters, "Pool");
        doctor_find(d, VERDICT_OK, "daemon", NULL,
                    "it answers: hypervisor %s, pool %s with %" JSON_INTEGER_FORMAT
                    " of %" JSON_INTEGER_FORMAT " MiB free, %" JSON_INTEGER_FORMAT " enclaves",
                    member_text(pool, "Hypervisor"), member_text(pool, "Mode"),
                    member_number(pool, "FreeMiB"), member_number(pool, "MemoryMiB"),
                    member_number(pool, "Enclaves"));
        check_hypervisor(d, member_text(pool, "Hypervisor"));
        check_version(d);
}

void doctor_check_service(struct doctor *d) {
        int64_t group = find_group(d);

        check_unit(d);
        check_group(d, group);
        check_socket(d, group);
        check_user_runtime(d);
        check_daemon(d);
}
