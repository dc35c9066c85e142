/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/declared.h"

#include "base/io.h"
#include "base/log.h"
#include "base/key_file.h"
#include "daemon/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define GRACE_MSEC 10000

struct declared {
#define NUMBER(key, fallback, min, max, help) uint64_t key;
#define TEXT(key, fallback, help) char *key;
#define CHOICE(key, fallback, words, help) char *key;
#include "daemon/declared.def"
#undef NUMBER
#undef TEXT
#undef CHOICE
};

static const struct key keys[] = {
#define NUMBER(key, fallback, min, max, help) \
        { #key, KEY_NUMBER, offsetof(struct declared, key), fallback, min, max, NULL, NULL },
#define TEXT(key, fallback, help) { #key, KEY_TEXT, offsetof(struct declared, key), 0, 0, 0, fallback, NULL },
#define CHOICE(key, fallback, words, help) \
        { #key, KEY_CHOICE, offsetof(struct declared, key), 0, 0, 0, fallback, words },
#include "daemon/declared.def"
#undef NUMBER
#undef TEXT
#undef CHOICE
};

static const struct key_table table = { keys, ELEMENTSOF(keys), "see qt-enclaved.conf(5)" };

static void declared_done(struct declared *d) {
        key_file_done(&table, d);
}

/* It is kept in records of JSON, and shown in answers. */
static int check_text(const char *path, const char *name, struct error *reterr) {
        json_t *text = json_string(path);

        json_decref(text);
        return text ? 0
                    : error_set(reterr, ERROR_CONFIG_INVALID,
                                "%s: eif: the path is not valid UTF-8; rename the image", name);
}

static int parse(struct declared *d, const char *name, const char *text, size_t size, struct error *reterr) {
        int r;

        r = key_file_init(&table, d);
        if (r >= 0)
                r = key_file_parse(&table, d, name, text, size, NULL, reterr);
        if (r >= 0 && *d->eif != '/')
                r = error_set(reterr, ERROR_CONFIG_INVALID,
                              "%s: eif:%s must be the absolute path of an image", name, d->eif);
        return r < 0 ? r : check_text(d->eif, name, reterr);
}

int declared_check(const char *name, const char *text, size_t size, struct error *reterr) {
        _cleanup_(declared_done) struct declared d = { .eif = NULL };

        return parse(&d, name, text, size, reterr);
}

static int start(struct manager *m, const char *name, const struct declared *d, struct error *reterr) {
        _cleanup_close_ int image_fd = open(d->eif, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        _cleanup_(plan_done) struct plan plan = { .name = NULL };
        struct enclave *e;
        int r;

        if (image_fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot open %s", d->eif);
        r = plan_make(m,
                      &(struct run_wish){ .name = name,
                                          .image_path = d->eif,
                                          .image_fd = image_fd,
                                          .cpus = d->cpus ? &d->cpus : NULL,
                                          .memory_mib = d->memory_mib ? &d->memory_mib : NULL,
                                          .cid = d->cid,
                                          .debug = strcmp(d->debug, "yes") == 0,
                                          .declared = true,
                                          .uid = m->uid,
                                          .master = true,
                                          .restart = restart_policy_from_name(d->restart) },
                      &plan, reterr);
        return r < 0 ? r : manager_run(m, &plan, image_fd, &e, reterr);
}

static int load_one(struct manager *m, int directory_fd, const char *file, const char *name,
                    struct error *reterr) {
        _cleanup_(declared_done) struct declared d = { .eif = NULL };
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_text_file(directory_fd, file, KEY_FILE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read %s", file);
        r = parse(&d, file, text, size, reterr);
        return r < 0 ? r : start(m, name, &d, reterr);
}

/* "NAME.conf" to NAME; NULL when it is none. */
static char *declared_name(const char *file) {
        size_t n = strlen(file);

        return n > 5 && strcmp(file + n - 5, ".conf") == 0 && *file != '.' ? strndup(file, n - 5) : NULL;
}

static void stop_undeclared(struct manager *m, int directory_fd) {
        for (struct enclave *e = m->enclaves; e; e = e->next) {
                char file[80];

                (void)snprintf(file, sizeof(file), "%s.conf", e->plan.name);
                if (!e->plan.declared || !enclave_is_wanted(e) || faccessat(directory_fd, file, F_OK, 0) == 0)
                        continue;
                log_record(LOG_NOTICE, e->plan.name, "is not declared any more, stopping it");
                enclave_cancel_restart(e);
                if (enclave_is_alive(e))
                        enclave_stop(e, m->uid, GRACE_MSEC);
        }
}

void declared_load(struct manager *m) {
        _cleanup_(closedirp) DIR *d = NULL;

        d = *m->config.enclaves_dir ? opendir(m->config.enclaves_dir) : NULL;
        if (!d && m->config.lines[CONFIG_KEY_enclaves_dir] > 0 && *m->config.enclaves_dir)
                log_warning("enclaves_dir:%s: cannot be opened: %s", m->config.enclaves_dir, strerror(errno));
        if (!d)
                return;
        for (struct dirent *entry; (entry = readdir(d));) {
                _cleanup_free_ char *name = declared_name(entry->d_name);
                _cleanup_error_ struct error e = ERROR_NULL;
                const struct enclave *known;

                known = name ? manager_find(m, name) : NULL;
                if (!name || (known && known->plan.declared))
                        continue;
                if (load_one(m, dirfd(d), entry->d_name, name, &e) < 0)
                        log_record(LOG_ERR, name, "declared, but cannot be started: %s",
                                   e.message ? e.message : "out of memory");
        }
        stop_undeclared(m, dirfd(d));
}
