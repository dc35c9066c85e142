/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/credentials.h"

#include "base/io.h"
#include "base/log.h"
#include "kms-proxy/loop.h"
#include "kms/json.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)64 << 10)
#define METADATA_DEFAULT "http://169.254.169.254"
/* Renewed when a fifth of the life, but at least five minutes, are left; asked again after a failure at most
 * so often. */
#define RENEW_USEC (300 * UINT64_C(1000000))
#define RETRY_USEC (5 * UINT64_C(1000000))

enum source_kind { SOURCE_FILE, SOURCE_CREDENTIAL, SOURCE_ENVIRONMENT, SOURCE_ECS, SOURCE_EC2 };

struct credential_source {
        unsigned references;
        enum source_kind kind;
        char *path, *metadata;
        struct http_pool *http;
        /* Of a metadata service, behind the lock, which nobody holds while it is asked */
        pthread_mutex_t lock;
        pthread_cond_t renewed;
        struct credentials kept;
        uint64_t fetched_usec;
        uint64_t failed_usec; /* monotonic; 0: the last time it answered */
        bool renewing;        /* by one thread */
};

static int take_kind(struct credential_source *s, const char *spec) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");

        if (strncmp(spec, "file:", 5) == 0) {
                s->kind = SOURCE_FILE;
                s->path = strdup(spec + 5);
                return s->path ? 0 : -ENOMEM;
        }
        if (strncmp(spec, "credential:", 11) == 0) {
                s->kind = SOURCE_CREDENTIAL;
                if (!directory)
                        return -ENOENT;
                return asprintf(&s->path, "%s/%s", directory, spec + 11) < 0 ? -ENOMEM : 0;
        }
        s->kind = strcmp(spec, "ecs") == 0   ? SOURCE_ECS
                  : strcmp(spec, "ec2") == 0 ? SOURCE_EC2
                                             : SOURCE_ENVIRONMENT;
        return 0;
}

int credential_source_new(const char *spec, const char *metadata, struct credential_source **ret,
                          struct error *reterr) {
        _cleanup_(credential_source_unrefp) struct credential_source *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        s->references = 1;
        (void)pthread_mutex_init(&s->lock, NULL);
        (void)pthread_cond_init(&s->renewed, NULL);
        s->metadata = strdup(metadata ? metadata : METADATA_DEFAULT);
        r = s->metadata ? http_pool_new(&s->http) : -ENOMEM;
        if (r >= 0)
                r = take_kind(s, spec);
        if (r == -ENOENT)
                return error_set(
                        reterr, ERROR_NO_CREDENTIALS,
                        "credentials = %s: systemd gave no credentials; add LoadCredential= to the unit",
                        spec);
        if (r < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        *ret = TAKE(s);
        return 0;
}

struct credential_source *credential_source_ref(struct credential_source *s) {
        s->references++;
        return s;
}

void credential_source_unref(struct credential_source *s) {
        if (!s || --s->references > 0)
                return;
        credentials_done(&s->kept);
        http_pool_free(s->http);
        free(s->path);
        free(s->metadata);
        (void)pthread_mutex_destroy(&s->lock);
        (void)pthread_cond_destroy(&s->renewed);
        free(s);
}

/* A file that others can read is not a secret any more: say so instead of using it. systemd's own credential
 * files are under an access list, which looks like a group's right; their directory is the guard. */
static int check_mode(int fd, const char *path, bool any_owner, struct error *reterr) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_set_errno(reterr, ERROR_NO_CREDENTIALS, errno, "%s", path);
        if (!S_ISREG(st.st_mode) || (st.st_mode & 077) ||
            (st.st_uid != geteuid() && st.st_uid != 0 && !any_owner))
                return error_set(
                        reterr, ERROR_NO_CREDENTIALS,
                        "%s: mode %04o, owner %u: must be a file of this user's own, without rights for "
                        "others; chmod 600",
                        path, (unsigned)(st.st_mode & 07777), (unsigned)st.st_uid);
        return 0;
}

static int read_file(const char *path, bool check, bool any_owner, struct credentials *ret,
                     struct error *reterr) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        _cleanup_bytes_ struct bytes text = { .max = FILE_MAX };
        ssize_t n;
        int r;

        if (fd < 0)
                return error_set_errno(reterr, ERROR_NO_CREDENTIALS, errno, "cannot read %s", path);
        r = check ? check_mode(fd, path, any_owner, reterr) : 0;
        if (r < 0)
                return r;
        if (bytes_reserve(&text, FILE_MAX) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        n = read_up_to(fd, text.data, FILE_MAX);
        text.size = n > 0 ? (size_t)n : 0;
        if (n < 0 || credentials_parse(text.data, text.size, ret) < 0)
                return error_set(reterr, ERROR_NO_CREDENTIALS,
                                 "%s: not of the form {\"access_key\": …, \"secret_key\": …}", path);
        return 0;
}

int credential_source_check(const char *spec, struct error *reterr) {
        struct credentials found = CREDENTIALS_NULL;
        int r;

        if (strncmp(spec, "file:", 5) != 0)
                return 0;
        r = read_file(spec + 5, true, geteuid() == 0, &found, reterr);
        if (r >= 0)
                credentials_done(&found);
        return r;
}

static int get_environment(struct credentials *ret, struct error *reterr) {
        int r = credentials_from_environment(ret);

        if (r == -ENOENT)
                return error_set(
                        reterr, ERROR_NO_CREDENTIALS,
                        "neither HUAWEICLOUD_SDK_AK and _SK nor AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
                        "are in the environment");
        if (r == -EINVAL)
                return error_set(reterr, ERROR_NO_CREDENTIALS,
                                 "the credentials in the environment are not of visible ASCII characters");
        return r < 0 ? error_set(reterr, ERROR_INTERNAL, "out of memory") : 0;
}

static bool usable(const struct credential_source *s) {
        return s->kept.access_key && now_realtime_usec() < s->kept.expires_usec;
}

static bool due(const struct credential_source *s) {
        uint64_t now = now_realtime_usec(), life, ahead;

        if (!s->kept.access_key || now >= s->kept.expires_usec)
                return true;
        life = s->kept.expires_usec > s->fetched_usec ? s->kept.expires_usec - s->fetched_usec : 0;
        ahead = life / 5 > RENEW_USEC ? life / 5 : RENEW_USEC;
        /* What lives shorter than that is renewed at half time. */
        if (ahead > life / 2)
                ahead = life / 2;
        return s->kept.expires_usec - now <= ahead;
}

static bool failed_just_now(const struct credential_source *s) {
        return s->failed_usec && monotonic_usec() - s->failed_usec <= RETRY_USEC;
}

/* One thread asks, for as long as that takes; the lock is free meanwhile, because the kept ones may be good.
 */
static int renew(struct credential_source *s, struct error *reterr) {
        struct credentials fresh = CREDENTIALS_NULL;
        int r;

        s->renewing = true;
        (void)pthread_mutex_unlock(&s->lock);
        r = s->kind == SOURCE_ECS ? metadata_fetch_ecs(s->http, s->metadata, &fresh, reterr)
                                  : metadata_fetch_ec2(s->http, s->metadata, &fresh, reterr);
        (void)pthread_mutex_lock(&s->lock);
        s->renewing = false;
        s->failed_usec = r < 0 ? monotonic_usec() : 0;
        if (r >= 0) {
                credentials_done(&s->kept);
                s->kept = fresh;
                s->fetched_usec = now_realtime_usec();
        }
        (void)pthread_cond_broadcast(&s->renewed);
        return r;
}

/* Renewed when that is due, by whoever comes first; whoever has nothing to use waits for it. */
static int renew_if_due(struct credential_source *s, struct error *reterr) {
        _cleanup_error_ struct error e = ERROR_NULL;

        while (s->renewing && !usable(s))
                (void)pthread_cond_wait(&s->renewed, &s->lock);
        if (s->renewing || !due(s))
                return 0;
        if (!failed_just_now(s)) {
                if (renew(s, &e) >= 0)
                        return 0;
                if (!usable(s))
                        return error_set(reterr, e.kind, "%s", e.message ? e.message : "no credentials");
                /* The old ones are still good: say it and go on. */
                log_warning("cannot renew the credentials: %s", e.message ? e.message : "?");
        }
        /* Whoever waited would otherwise wait for one timeout after the other. */
        return usable(s) ? 0
                         : error_set(reterr, ERROR_NO_CREDENTIALS,
                                     "the metadata service at %s gave no credentials a moment ago; wait and "
                                     "try again",
                                     s->metadata);
}

static int get_metadata(struct credential_source *s, struct credentials *ret, struct error *reterr) {
        int r;

        (void)pthread_mutex_lock(&s->lock);
        r = renew_if_due(s, reterr);
        if (r >= 0 && credentials_copy(ret, &s->kept) < 0)
                r = error_set(reterr, ERROR_INTERNAL, "out of memory");
        (void)pthread_mutex_unlock(&s->lock);
        return r;
}

int credential_source_get(struct credential_source *s, struct credentials *ret, struct error *reterr) {
        struct credentials found = CREDENTIALS_NULL;
        int r;

        switch (s->kind) {
        case SOURCE_FILE:
        case SOURCE_CREDENTIAL:
                r = read_file(s->path, s->kind == SOURCE_FILE, false, &found, reterr);
                break;
        case SOURCE_ENVIRONMENT:
                r = get_environment(&found, reterr);
                break;
        default:
                r = get_metadata(s, &found, reterr);
        }
        if (r < 0)
                return r;
        if (found.expires_usec && found.expires_usec <= now_realtime_usec()) {
                credentials_done(&found);
                return error_set(reterr, ERROR_NO_CREDENTIALS,
                                 "the credentials have expired; renew their source");
        }
        *ret = found;
        return 0;
}
