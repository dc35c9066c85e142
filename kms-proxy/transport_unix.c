/* SPDX-License-Identifier: Apache-2.0 */

#include "base/log.h"
#include "kms-proxy/complaints.h"
#include "kms-proxy/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define ACCEPT_BATCH 32
#define SOCKET_NAME_SIZE 128

/* One listening socket in one enclave's directory. */
struct endpoint {
        struct unix_transport *owner;
        struct endpoint *next;
        struct peer peer;
        uint32_t port;
        int fd, dir_fd;
        char name[SOCKET_NAME_SIZE]; /* below dir_fd */
        struct watch *watch;
        ino_t directory, socket; /* what it was bound as: an enclave of the same name may come again */
};

struct unix_transport {
        struct transport base;
        char *directory, *socket_name;
        int inotify_fd;
        struct watch *watch;
        bool watching;
        bool resting; /* accepting failed: listeners are not watched until the next reconcile */
        struct endpoint *endpoints;
        uint32_t *ports;
        size_t n_ports;
        struct complaints complaints; /* about enclaves, by name, and about what has a '/' in its name */
};

static void reconcile(struct unix_transport *t);

static bool socket_is_ours(const struct endpoint *e) {
        struct stat st;

        return fstatat(e->dir_fd, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode) &&
               st.st_ino == e->socket;
}

static struct endpoint *endpoint_free(struct endpoint *e) {
        e->watch = watch_remove(e->watch);
        if (e->socket && socket_is_ours(e))
                (void)unlinkat(e->dir_fd, e->name, 0);
        (void)close_fd(e->fd);
        (void)close_fd(e->dir_fd);
        free(e);
        return NULL;
}

/* The kernel says who connected. Directories are open to be walked through and names can be guessed, so a
 * connection alone proves nothing. */
static void check_user(const struct endpoint *e, int fd, struct peer *peer) {
        struct ucred credentials = { .uid = (uid_t)-1 };
        socklen_t size = sizeof(credentials);
        struct stat st;

        peer->foreign = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0 ||
                        fstat(e->dir_fd, &st) < 0 || (credentials.uid != st.st_uid && credentials.uid != 0);
        peer->uid = credentials.uid;
}

static void accept_batch(void *userdata, uint32_t events _unused_) {
        struct endpoint *e = userdata;

        for (int i = 0; i < ACCEPT_BATCH; i++) {
                struct peer peer = e->peer;
                int fd = accept4(e->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd < 0) {
                        /* Out of descriptors, the listener would be ready for ever: rest until the next
                         * reconcile. */
                        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                                e->owner->resting = true;
                                if (complaints_add(&e->owner->complaints, "/accept", -errno))
                                        log_warning("cannot accept connections: %s; trying again soon",
                                                    strerror(errno));
                        }
                        if (e->owner->resting)
                                (void)watch_set(e->watch, 0);
                        return;
                }
                check_user(e, fd, &peer);
                e->owner->base.accept(e->owner->base.userdata, e->port, fd, &peer);
        }
}

static bool has_port(const struct unix_transport *t, uint32_t port) {
        for (size_t i = 0; i < t->n_ports; i++)
                if (t->ports[i] == port)
                        return true;
        return false;
}

/* An entry that is no enclave's directory, or no more. */
static bool is_no_directory(int r) {
        return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

/* The socket file must be the one we bound, in the directory that is there now: the guest's side dials by
 * name. To know that takes no descriptor, so to have none left ends nothing that serves. */
static bool endpoint_current(const struct unix_transport *t, const struct endpoint *e) {
        char path[PATH_MAX];
        struct stat st;

        if (!has_port(t, e->port) ||
            snprintf(path, sizeof(path), "%s/%s", t->directory, e->peer.enclave) >= (int)sizeof(path))
                return false;
        if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return !is_no_directory(-errno);
        return S_ISDIR(st.st_mode) && st.st_ino == e->directory && socket_is_ours(e);
}

/* Bound, open to its enclave and listening under another name first: who sees the name can connect. */
static int listen_below(int dir_fd, const char *name, int fd, struct stat *ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char fresh[SOCKET_NAME_SIZE + sizeof(".~")];

        (void)snprintf(fresh, sizeof(fresh), ".%s~", name);
        /* Whatever the length of the directory's path. */
        if (snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd, fresh) >=
            (int)sizeof(address.sun_path))
                return -ENAMETOOLONG;
        if (unlinkat(dir_fd, fresh, 0) < 0 && errno != ENOENT)
                return -errno;
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        /* The enclave's monitor runs as another user; others who connect are told apart then. */
        if (fchmodat(dir_fd, fresh, 0666, AT_SYMLINK_NOFOLLOW) < 0 ||
            fstatat(dir_fd, fresh, ret, AT_SYMLINK_NOFOLLOW) < 0 || listen(fd, SOMAXCONN) < 0 ||
            renameat(dir_fd, fresh, dir_fd, name) < 0) {
                int r = -errno;

                (void)unlinkat(dir_fd, fresh, 0);
                return r;
        }
        return 0;
}

static int endpoint_open(struct unix_transport *t, int dir_fd, const char *enclave, const char *name,
                         uint32_t port, const struct stat *directory) {
        struct endpoint *e = calloc(1, sizeof(*e));
        struct stat st;
        int r;

        if (!e)
                return -ENOMEM;
        *e = (struct endpoint){ .owner = t, .port = port, .directory = directory->st_ino };
        (void)snprintf(e->name, sizeof(e->name), "%s", name);
        (void)snprintf(e->peer.enclave, sizeof(e->peer.enclave), "%.127s", enclave);
        e->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        e->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
        r = e->fd < 0 || e->dir_fd < 0 ? -errno : listen_below(dir_fd, name, e->fd, &st);
        if (r >= 0)
                e->socket = st.st_ino;
        if (r >= 0)
                r = loop_watch(t->base.loop, e->fd, EPOLLIN, accept_batch, e, &e->watch);
        if (r < 0) {
                (void)endpoint_free(e);
                return r;
        }
        e->next = t->endpoints;
        t->endpoints = e;
        return 0;
}

static bool has_endpoint(const struct unix_transport *t, const char *enclave, uint32_t port) {
        for (const struct endpoint *e = t->endpoints; e; e = e->next)
                if (e->port == port && strcmp(e->peer.enclave, enclave) == 0)
                        return true;
        return false;
}

static bool is_served(const struct unix_transport *t, const char *enclave) {
        for (size_t i = 0; i < t->n_ports; i++)
                if (!has_endpoint(t, enclave, t->ports[i]))
                        return false;
        return true;
}

static int serve_enclave(struct unix_transport *t, int parent_fd, const char *enclave) {
        _cleanup_close_ int dir_fd = -1;
        struct stat st;
        int r = 0;

        if (is_served(t, enclave))
                return 0;
        dir_fd = openat(parent_fd, enclave, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (dir_fd < 0 || fstat(dir_fd, &st) < 0)
                return -errno;
        for (size_t i = 0; i < t->n_ports; i++) {
                char name[SOCKET_NAME_SIZE];
                int failed = 0;

                (void)snprintf(name, sizeof(name), "%.100s_%u", t->socket_name, t->ports[i]);
                if (!has_endpoint(t, enclave, t->ports[i]))
                        failed = endpoint_open(t, dir_fd, enclave, name, t->ports[i], &st);
                r = r < 0 ? r : failed;
        }
        return r;
}

static void complain(struct unix_transport *t, const char *enclave, int r) {
        if (r < 0 && !is_no_directory(r) && complaints_add(&t->complaints, enclave, r))
                log_record(LOG_WARNING, enclave, "cannot listen for this enclave in %s/%s: %s", t->directory,
                           enclave, strerror(-r));
}

static void complain_about_all(struct unix_transport *t, int r) {
        if (!complaints_add(&t->complaints, "/", r))
                return;
        if (r == -ENOENT)
                log_notice("waiting for the directory of the enclaves, %s: it is not there", t->directory);
        else
                log_warning("cannot look for enclaves in %s: %s; none is served that is not served already",
                            t->directory, strerror(-r));
}

static void drop_outdated(struct unix_transport *t) {
        struct endpoint **link = &t->endpoints;

        while (*link) {
                struct endpoint *e = *link;

                if (endpoint_current(t, e)) {
                        (void)watch_set(e->watch, EPOLLIN);
                        link = &e->next;
                        continue;
                }
                *link = e->next;
                (void)endpoint_free(e);
        }
}

static void watch_directory(struct unix_transport *t) {
        if (!t->watching)
                t->watching =
                        inotify_add_watch(t->inotify_fd, t->directory,
                                          IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ATTRIB |
                                                  IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) >= 0;
}

static void reconcile(struct unix_transport *t) {
        _cleanup_(closedirp) DIR *directory = NULL;
        const struct dirent *entry;

        t->resting = false;
        watch_directory(t);
        drop_outdated(t);
        directory = opendir(t->directory);
        if (!directory)
                complain_about_all(t, -errno);
        while (directory && (entry = readdir(directory)))
                if (entry->d_name[0] != '.' && strlen(entry->d_name) < PEER_NAME_MAX)
                        complain(t, entry->d_name, serve_enclave(t, dirfd(directory), entry->d_name));
        complaints_end_round(&t->complaints);
}

static void directory_changed(void *userdata, uint32_t events _unused_) {
        struct unix_transport *t = userdata;
        char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        ssize_t n;

        while ((n = read(t->inotify_fd, buffer, sizeof(buffer))) > 0)
                for (const char *p = buffer; p < buffer + n;) {
                        const struct inotify_event *event = (const void *)p;

                        if (event->mask & (IN_IGNORED | IN_MOVE_SELF))
                                t->watching = false;
                        p += sizeof(*event) + event->len;
                }
        reconcile(t);
}

static void unix_reconcile(struct transport *base, const uint32_t *ports, size_t n_ports) {
        struct unix_transport *t = (struct unix_transport *)(void *)base;
        uint32_t *copy = reallocarray(NULL, n_ports + 1, sizeof(*copy));

        if (copy) {
                memcpy(copy, ports, n_ports * sizeof(*copy));
                free(t->ports);
                t->ports = copy;
                t->n_ports = n_ports;
        }
        reconcile(t);
}

static void unix_free(struct transport *base) {
        struct unix_transport *t = (struct unix_transport *)(void *)base;

        while (t->endpoints) {
                struct endpoint *e = t->endpoints;

                t->endpoints = e->next;
                (void)endpoint_free(e);
        }
        t->watch = watch_remove(t->watch);
        (void)close_fd(t->inotify_fd);
        complaints_done(&t->complaints);
        free(t->directory);
        free(t->socket_name);
        free(t->ports);
        free(t);
}

int transport_unix_new(struct loop *loop, const char *directory, const char *socket_name,
                       transport_accept accept, void *userdata, struct transport **ret,
                       struct error *reterr) {
        static const struct transport_ops ops = { "unix", unix_reconcile, unix_free };
        struct unix_transport *t = calloc(1, sizeof(*t));
        int r = -ENOMEM;

        if (!t)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        t->base = (struct transport){ &ops, loop, accept, userdata };
        t->directory = strdup(directory);
        t->socket_name = strdup(socket_name);
        t->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (t->directory && t->socket_name)
                r = t->inotify_fd < 0
                            ? -errno
                            : loop_watch(loop, t->inotify_fd, EPOLLIN, directory_changed, t, &t->watch);
        if (r < 0) {
                unix_free(&t->base);
                return error_set_errno(reterr, ERROR_INTERNAL, r, "cannot watch %s", directory);
        }
        *ret = &t->base;
        return 0;
}
