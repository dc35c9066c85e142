/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/config.h"

#include "base/enclave_name.h"
#include "base/io.h"
#include "base/parse.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#define CONFIG_SIZE_MAX ((size_t)256 << 10)
#define LISTENERS_MAX 64
#define LIST_MAX 256

enum value_type { VALUE_TEXT, VALUE_LIST, VALUE_NUMBER, VALUE_DURATION, VALUE_BOOL, VALUE_NOT_BOOL };

/* One row for each key: where it may stand, what it holds, where that goes. */
static const struct config_key {
        const char *name;
        unsigned sections; /* bits of listener_mode, or SECTION_PROXY */
        enum value_type type;
        size_t offset;
        uint64_t min, max; /* numbers; durations in microseconds */
} keys[] = {
#define SECTION_PROXY (1u << LISTENER_MODE_MAX)
#define PIPE (1u << LISTENER_PIPE)
#define API (1u << LISTENER_API)
#define CREDS (1u << LISTENER_CREDS)
#define SECOND 1000000ull
        { "enclaves", SECTION_PROXY, VALUE_TEXT, offsetof(struct config, enclaves), 0, 0 },
        { "socket-name", SECTION_PROXY, VALUE_TEXT, offsetof(struct config, socket_name), 0, 0 },
        { "vsock", SECTION_PROXY, VALUE_BOOL, offsetof(struct config, vsock), 0, 0 },
        { "daemon", SECTION_PROXY, VALUE_TEXT, offsetof(struct config, daemon), 0, 0 },
        { "audit-file", SECTION_PROXY, VALUE_TEXT, offsetof(struct config, audit_file), 0, 0 },
        { "metrics-file", SECTION_PROXY, VALUE_TEXT, offsetof(struct config, metrics_file), 0, 0 },
        { "connections", SECTION_PROXY, VALUE_NUMBER, offsetof(struct config, connections), 1, 1000000 },
        { "connections-per-enclave", SECTION_PROXY, VALUE_NUMBER,
          offsetof(struct config, connections_per_enclave), 1, 1000000 },
        { "connects-per-second", SECTION_PROXY, VALUE_NUMBER, offsetof(struct config, connects_per_second), 1,
          1000000 },
        { "bytes-per-connection", SECTION_PROXY, VALUE_NUMBER, offsetof(struct config, bytes_per_connection),
          0, UINT64_MAX },
        { "bytes-per-hour", SECTION_PROXY, VALUE_NUMBER, offsetof(struct config, bytes_per_hour), 0,
          UINT64_MAX },
        { "handshake-timeout", SECTION_PROXY, VALUE_DURATION, offsetof(struct config, handshake_usec), SECOND,
          600 * SECOND },
        { "idle-timeout", SECTION_PROXY, VALUE_DURATION, offsetof(struct config, idle_usec), SECOND,
          86400 * SECOND },
        { "lifetime", SECTION_PROXY, VALUE_DURATION, offsetof(struct config, lifetime_usec), SECOND,
          864000 * SECOND },
        { "workers", SECTION_PROXY, VALUE_NUMBER, offsetof(struct config, workers), 1, 64 },
        { "calls-per-enclave", SECTION_PROXY, VALUE_NUMBER, offsetof(struct config, calls_per_enclave), 1,
          1000000 },
        { "port", PIPE | API | CREDS, VALUE_NUMBER, offsetof(struct listener, port), 1, UINT32_MAX - 1 },
        { "enclave", PIPE | API | CREDS, VALUE_LIST, offsetof(struct listener, enclaves), 0, 0 },
        { "allow", PIPE, VALUE_LIST, offsetof(struct listener, allow), 0, 0 },
        { "tls", PIPE, VALUE_NOT_BOOL, offsetof(struct listener, without_tls), 0, 0 },
        { "private-addresses", PIPE, VALUE_BOOL, offsetof(struct listener, private_addresses), 0, 0 },
        { "credentials", API | CREDS, VALUE_TEXT, offsetof(struct listener, credentials), 0, 0 },
        { "metadata", API | CREDS, VALUE_TEXT, offsetof(struct listener, metadata), 0, 0 },
        { "provider", API, VALUE_TEXT, offsetof(struct listener, provider_name), 0, 0 },
        { "region", API, VALUE_TEXT, offsetof(struct listener, region), 0, 0 },
        { "project", API, VALUE_TEXT, offsetof(struct listener, project), 0, 0 },
        { "endpoint", API, VALUE_TEXT, offsetof(struct listener, endpoint), 0, 0 },
        { "ca-file", API, VALUE_TEXT, offsetof(struct listener, ca_file), 0, 0 },
        { "policy", API, VALUE_TEXT, offsetof(struct listener, policy), 0, 0 },
        { "platform", API, VALUE_TEXT, offsetof(struct listener, platform), 0, 0 },
        { "root", API, VALUE_LIST, offsetof(struct listener, roots), 0, 0 },
        { "operation", API, VALUE_LIST, offsetof(struct listener, operations), 0, 0 },
        { "key", API, VALUE_LIST, offsetof(struct listener, keys), 0, 0 },
        { "max-age", API, VALUE_DURATION, offsetof(struct listener, max_age_usec), SECOND, 10800 * SECOND },
        { "calls-per-second", API, VALUE_NUMBER, offsetof(struct listener, calls_per_second), 1, 1000000 },
        { "bind-request", API, VALUE_NOT_BOOL, offsetof(struct listener, unbound_requests), 0, 0 },
        { "insecure-allow-debug", API, VALUE_BOOL, offsetof(struct listener, insecure_allow_debug), 0, 0 },
};

/* Where the parser stands. */
struct parser {
        const char *path;
        unsigned line;
        struct config *config;
        struct listener *listener; /* NULL: in [proxy], or before any section */
        bool in_section, proxy_seen;
        unsigned proxy_line; /* where [proxy] begins, or 0 */
        uint64_t seen;       /* bits of keys in this section */
        struct error *reterr;
};

static_assert(ELEMENTSOF(keys) <= 64, "a bit for each key");

_printf_(2, 3) static int refuse(const struct parser *p, const char *format, ...) {
        _cleanup_free_ char *what = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&what, format, ap) < 0)
                what = NULL;
        va_end(ap);
        return error_set(p->reterr, ERROR_CONFIG_INVALID, "%s:%u: %s", p->path, p->line,
                         what ? what : "out of memory");
}

static int set_text(char **field, const char *value) {
        *field = strdup(value);
        return *field ? 0 : -ENOMEM;
}

static int add_text(struct text_list *list, const char *value, unsigned line) {
        unsigned *lines;
        char **larger;

        if (list->n == LIST_MAX)
                return -E2BIG;
        larger = reallocarray(list->items, list->n + 1, sizeof(*larger));
        if (!larger)
                return -ENOMEM;
        list->items = larger;
        lines = reallocarray(list->lines, list->n + 1, sizeof(*lines));
        if (!lines)
                return -ENOMEM;
        list->lines = lines;
        lines[list->n] = line;
        return set_text(&list->items[list->n], value) < 0 ? -ENOMEM : (int)(list->n++, 0);
}

static int set_bool(bool *field, const char *value, bool negate) {
        if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
                return -EINVAL;
        *field = (strcmp(value, "yes") == 0) != negate;
        return 0;
}

static int set_value(const struct config_key *key, void *object, const char *value, unsigned line) {
        void *field = (char *)object + key->offset;
        uint64_t number;
        int r;

        switch (key->type) {
        case VALUE_TEXT:
                return set_text(field, value);
        case VALUE_LIST:
                return add_text(field, value, line);
        case VALUE_NUMBER:
                return parse_u64(value, key->min, key->max, field);
        case VALUE_DURATION:
                r = parse_duration(value, &number);
                if (r < 0)
                        return r;
                if (number < key->min || number > key->max)
                        return -ERANGE;
                *(uint64_t *)field = number;
                return 0;
        case VALUE_BOOL:
                return set_bool(field, value, false);
        case VALUE_NOT_BOOL:
                return set_bool(field, value, true);
        }
        return -EINVAL;
}

static const struct config_key *find_key(const char *name, unsigned section) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if ((keys[i].sections & section) && strcmp(keys[i].name, name) == 0)
                        return &keys[i];
        return NULL;
}

/* What the key would take. */
static int refuse_value(const struct parser *p, const struct config_key *key, const char *value) {
        switch (key->type) {
        case VALUE_NUMBER:
                return refuse(p, "%s = %s: must be a whole number from %" PRIu64 " to %" PRIu64, key->name,
                              value, key->min, key->max);
        case VALUE_DURATION:
                return refuse(p, "%s = %s: must be a time such as 30s or 5min, from %llu s to %llu s",
                              key->name, value, key->min / SECOND, key->max / SECOND);
        default:
                return refuse(p, "%s = %s: must be yes or no", key->name, value);
        }
}

static int take_key(struct parser *p, const char *name, const char *value) {
        unsigned section = p->listener ? 1u << p->listener->mode : SECTION_PROXY;
        const struct config_key *key;
        int r;

        if (!p->in_section)
                return refuse(p, "\"%s\" stands before any section; begin with [proxy]", name);
        key = find_key(name, section);
        if (!key)
                return refuse(p, "unknown key \"%s\" in a %s section; qt-kms-proxy.conf(5) lists them", name,
                              p->listener ? listener_mode_name(p->listener->mode) : "proxy");
        if (key->type != VALUE_LIST) {
                if (p->seen & 1ull << (key - keys))
                        return refuse(p, "\"%s\" is there twice in this section", name);
                p->seen |= 1ull << (key - keys);
        }
        if (!*value)
                return refuse(p, "\"%s\" has no value", name);
        r = set_value(key, p->listener ? (void *)p->listener : (void *)p->config, value, p->line);
        return r == -EINVAL || r == -ERANGE ? refuse_value(p, key, value)
               : r == -E2BIG ? refuse(p, "\"%s\" is there more than %d times in this section", name, LIST_MAX)
               : r < 0       ? refuse(p, "out of memory")
                             : 0;
}

const char *listener_mode_name(enum listener_mode mode) {
        static const char *const names[LISTENER_MODE_MAX] = { "pipe", "api", "creds" };

        return names[mode];
}

static int add_listener(struct parser *p, enum listener_mode mode, const char *name) {
        struct config *c = p->config;
        struct listener *larger;

        if (c->n_listeners == LISTENERS_MAX)
                return refuse(p, "more than %d listeners", LISTENERS_MAX);
        for (size_t i = 0; i < c->n_listeners; i++)
                if (strcmp(c->listeners[i].name, name) == 0)
                        return refuse(p, "there is a section named \"%s\" already", name);
        larger = reallocarray(c->listeners, c->n_listeners + 1, sizeof(*larger));
        if (!larger)
                return refuse(p, "out of memory");
        c->listeners = larger;
        p->listener = &larger[c->n_listeners];
        *p->listener = (struct listener){
                .mode = mode, .line = p->line, .max_age_usec = 300 * SECOND, .calls_per_second = 50
        };
        if (set_text(&p->listener->name, name) < 0)
                return refuse(p, "out of memory");
        c->n_listeners++;
        return 0;
}

/* "proxy", "pipe NAME", "api NAME", "creds NAME": what stood between the brackets. */
static int take_section(struct parser *p, char *text) {
        char *name = text + strcspn(text, " \t");

        p->listener = NULL;
        p->seen = 0;
        p->in_section = true;
        if (strcmp(text, "proxy") == 0) {
                if (p->proxy_seen)
                        return refuse(p, "there is a section [proxy] already");
                p->proxy_seen = true;
                p->proxy_line = p->line;
                return 0;
        }
        if (*name)
                *name++ = '\0';
        name += strspn(name, " \t");
        if (!*name || strlen(name) > 64 || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")])
                return refuse(p, "[%s] needs a name of letters, digits, '-', '_' and '.': [pipe kms]", text);
        for (int mode = 0; mode < LISTENER_MODE_MAX; mode++)
                if (strcmp(text, listener_mode_name((enum listener_mode)mode)) == 0)
                        return add_listener(p, (enum listener_mode)mode, name);
        return refuse(p, "unknown section [%s]; there are proxy, pipe, api and creds", text);
}

static char *strip(char *text) {
        size_t n;

        text += strspn(text, " \t\r");
        n = strlen(text);
        while (n && strchr(" \t\r", text[n - 1]))
                text[--n] = '\0';
        return text;
}

static int take_line(struct parser *p, char *line) {
        char *text = strip(line), *equals;
        size_t n = strlen(text);

        if (!*text || *text == '#')
                return 0;
        for (const char *c = text; *c; c++)
                if (iscntrl((unsigned char)*c) && *c != '\t')
                        return refuse(p, "a control character");
        if (*text == '[') {
                if (text[n - 1] != ']')
                        return refuse(p, "a section ends in ']'");
                text[n - 1] = '\0';
                return take_section(p, strip(text + 1));
        }
        equals = strchr(text, '=');
        if (!equals)
                return refuse(p, "\"%.40s\" is neither [section] nor key = value", text);
        *equals = '\0';
        return take_key(p, strip(text), strip(equals + 1));
}

/* What is wrong with one of a list is told at its own line. */
static const char *go_to(struct parser *p, const struct text_list *list, size_t i) {
        p->line = list->lines[i];
        return list->items[i];
}

static int check_pipe(struct parser *p, struct listener *l) {
        l->rules = calloc(l->allow.n + 1, sizeof(*l->rules));
        if (!l->rules)
                return refuse(p, "out of memory");
        for (; l->n_rules < l->allow.n; l->n_rules++)
                if (allow_rule_parse(go_to(p, &l->allow, l->n_rules), &l->rules[l->n_rules]) < 0)
                        return refuse(
                                p,
                                "[pipe %s]: allow = %s is no NAME:PORT (a '*' stands for characters of one "
                                "label, the last two labels have none, an address is no name)",
                                l->name, l->allow.items[l->n_rules]);
        p->line = l->line;
        if (l->n_rules == 0)
                return refuse(p, "[pipe %s] needs at least one allow = NAME:PORT", l->name);
        if (l->without_tls && (l->n_rules != 1 || !l->rules[0].exact))
                return refuse(p,
                              "[pipe %s]: without TLS nothing names the destination; allow exactly one, "
                              "without '*'",
                              l->name);
        return 0;
}

static bool credentials_known(const char *text) {
        return text && (strncmp(text, "file:/", 6) == 0 || strcmp(text, "environment") == 0 ||
                        (strncmp(text, "credential:", 11) == 0 && text[11] && !strchr(text + 11, '/')) ||
                        strcmp(text, "ecs") == 0 || strcmp(text, "ec2") == 0);
}

static int check_credentials(struct parser *p, struct listener *l) {
        if (!credentials_known(l->credentials))
                return refuse(p,
                              "[%s %s] needs credentials = file:/PATH, environment, credential:NAME, ecs or "
                              "ec2%s%s",
                              listener_mode_name(l->mode), l->name, l->credentials ? ", not " : "",
                              l->credentials ? l->credentials : "");
        return 0;
}

static int check_api(struct parser *p, struct listener *l) {
        enum kms_operation operation;
        int r = check_credentials(p, l);

        if (r < 0)
                return r;
        l->provider = l->provider_name ? provider_find(l->provider_name) : NULL;
        if (!l->provider)
                return refuse(p, "[api %s] needs provider = huawei or aws%s%s", l->name,
                              l->provider_name ? ", not " : "", l->provider_name ? l->provider_name : "");
        if (!l->region || l->region[strspn(l->region, "abcdefghijklmnopqrstuvwxyz0123456789-")])
                return refuse(p, "[api %s] needs region = NAME, in lower-case letters, digits and '-'",
                              l->name);
        if (l->provider == &provider_huawei &&
            (!l->project || l->project[strspn(l->project, "abcdefghijklmnopqrstuvwxyz0123456789-")]))
                return refuse(p, "[api %s] needs project = ID", l->name);
        if (l->endpoint && strncmp(l->endpoint, "https://", 8) != 0)
                return refuse(p, "[api %s]: endpoint must begin with https://", l->name);
        if (!l->policy)
                return refuse(p, "[api %s] needs policy = FILE: which enclaves may call", l->name);
        if (!l->platform || (strcmp(l->platform, "qingtian") != 0 && strcmp(l->platform, "nitro") != 0))
                return refuse(p, "[api %s] needs platform = qingtian or nitro%s%s", l->name,
                              l->platform ? ", not " : "", l->platform ? l->platform : "");
        if (l->operations.n == 0)
                return refuse(p, "[api %s] needs at least one operation = NAME", l->name);
        for (size_t i = 0; i < l->operations.n; i++)
                if (provider_operation(l->provider, go_to(p, &l->operations, i), &operation) < 0)
                        return refuse(p, "[api %s]: %s has no operation \"%s\"", l->name, l->provider->name,
                                      l->operations.items[i]);
        return 0;
}

static int check_listener(struct parser *p, struct listener *l) {
        for (size_t i = 0; i < l->enclaves.n; i++)
                if (!enclave_name_is_valid(go_to(p, &l->enclaves, i)))
                        return refuse(
                                p,
                                "[%s %s]: enclave = %s: no enclave can have that name; it begins with a "
                                "letter or digit and has letters, digits, '.', '_' and '-', at most 64",
                                listener_mode_name(l->mode), l->name, l->enclaves.items[i]);
        p->line = l->line;
        if (l->port == 0)
                return refuse(p, "[%s %s] needs port = NUMBER", listener_mode_name(l->mode), l->name);
        if (l->port == 9000 || l->port == 9001)
                return refuse(p,
                              "[%s %s]: port = %" PRIu64
                              " is the monitor's own, for heartbeat and lifecycle; take another",
                              listener_mode_name(l->mode), l->name, l->port);
        for (const struct listener *other = p->config->listeners; other < l; other++)
                if (other->port == l->port)
                        return refuse(p, "[%s %s] and [%s %s] have the same port",
                                      listener_mode_name(other->mode), other->name,
                                      listener_mode_name(l->mode), l->name);
        switch (l->mode) {
        case LISTENER_PIPE:
                return check_pipe(p, l);
        case LISTENER_API:
                return check_api(p, l);
        default:
                /* Credentials leave the parent here, so it is said for whom. */
                if (l->enclaves.n == 0)
                        return refuse(p, "[creds %s] needs enclave = NAME: who may have them", l->name);
                return check_credentials(p, l);
        }
}

static int check_all(struct parser *p) {
        struct config *c = p->config;
        int r = 0;

        p->line =
                p->proxy_line ? p->proxy_line : 1; /* what is wrong with a section is told at its beginning */
        if (!c->enclaves && !c->vsock)
                return refuse(p, "[proxy] needs enclaves = DIRECTORY, or vsock = yes, or both");
        if (c->vsock && !c->daemon)
                return refuse(
                        p,
                        "[proxy]: vsock = yes needs daemon = SOCKET, which knows the enclaves of this host");
        if (c->n_listeners == 0)
                return refuse(p, "no listener: add a section [pipe NAME] or [api NAME]");
        if (!c->socket_name && set_text(&c->socket_name, "vsock.sock") < 0)
                return refuse(p, "out of memory");
        if (strchr(c->socket_name, '/') || strlen(c->socket_name) > 64)
                return refuse(p, "socket-name = %s: a name of at most 64 characters, no path",
                              c->socket_name);
        for (size_t i = 0; i < c->n_listeners && r >= 0; i++) {
                p->line = c->listeners[i].line;
                r = check_listener(p, &c->listeners[i]);
        }
        return r;
}

int config_parse(const char *text, size_t size, const char *path, struct config **ret, struct error *reterr) {
        _cleanup_free_ char *copy = strndup(text, size);
        _cleanup_(config_unrefp) struct config *config = calloc(1, sizeof(*config));
        struct parser p = { .path = path, .config = config, .reterr = reterr };
        char *rest = copy, *line;
        int r;

        if (!copy || !config)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        *config = (struct config){ .references = 1,
                                   .connections = 4096,
                                   .connections_per_enclave = 1024,
                                   .connects_per_second = 100,
                                   .handshake_usec = 10 * SECOND,
                                   .idle_usec = 60 * SECOND,
                                   .lifetime_usec = 3600 * SECOND,
                                   .workers = 16,
                                   .calls_per_enclave = 64 };
        if (memchr(text, '\0', size))
                return refuse(&p, "the file holds a NUL byte");
        while ((line = strsep(&rest, "\n"))) {
                p.line++;
                r = take_line(&p, line);
                if (r < 0)
                        return r;
        }
        r = check_all(&p);
        if (r < 0)
                return r;
        *ret = TAKE(config);
        return 0;
}

int config_load(const char *path, struct config **ret, struct error *reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = read_text_file(AT_FDCWD, path, CONFIG_SIZE_MAX, &text, &size);

        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read the configuration %s",
                                       path);
        return config_parse(text, size, path, ret, reterr);
}
