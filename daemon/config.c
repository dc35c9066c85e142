/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/config.h"

#include "base/cpu_list.h"
#include "base/key_file.h"
#include "daemon/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const struct key keys[] = {
#define NUMBER(key, fallback, min, max, help) \
        { #key, KEY_NUMBER, offsetof(struct config, key), fallback, min, max, NULL, NULL },
#define TEXT(key, fallback, help) { #key, KEY_TEXT, offsetof(struct config, key), 0, 0, 0, fallback, NULL },
#define CHOICE(key, fallback, words, help) \
        { #key, KEY_CHOICE, offsetof(struct config, key), 0, 0, 0, fallback, words },
#include "daemon/config.def"
#undef NUMBER
#undef TEXT
#undef CHOICE
};

static const struct key_table table = { keys, ELEMENTSOF(keys), "see qt-enclaved.conf(5)" };

int config_init(struct config *c) {
        memset(c->lines, 0, sizeof(c->lines));
        return key_file_init(&table, c);
}

void config_done(struct config *c) {
        key_file_done(&table, c);
}

uint64_t config_page_mib(const struct config *c) {
        return c->hugepage_size > 0 ? c->hugepage_size
                                    : platform_find(c->platform, c->hypervisor)->default_page_mib;
}

static bool is_dedicated(const struct config *c) {
        return strcmp(c->mode, "dedicated") == 0;
}

static int set_text(char **text, const char *value) {
        char *copy = strdup(value);

        if (!copy)
                return -ENOMEM;
        free(*text);
        *text = copy;
        return 0;
}

static bool has_page_size(const struct config *c) {
        return c->lines[CONFIG_KEY_hugepage_size] > 0 && c->hugepage_size > 0;
}

/* What only a dedicated pool has. */
static bool asks_for_its_own(const struct config *c) {
        return c->cpu_count > 0 || *c->cpu_list || has_page_size(c);
}

static int settle_mode(struct config *c) {
        if (c->lines[CONFIG_KEY_mode] > 0 || !asks_for_its_own(c) || strcmp(c->hypervisor, "qingtian") == 0)
                return 0;
        return set_text(&c->mode, "dedicated");
}

int config_follow_vendor(struct config *c) {
        int r;

        if (c->lines[CONFIG_KEY_mode] > 0 || c->lines[CONFIG_KEY_hypervisor] > 0 || !asks_for_its_own(c))
                return 0;
        r = set_text(&c->hypervisor, "qingtian");
        return r < 0 ? r : set_text(&c->mode, "shared");
}

bool config_ignored(const struct config *c, char *ret, size_t size) {
        const char *const keys_of_pool[] = { has_page_size(c) ? "hugepage_size" : NULL,
                                             c->cpu_count > 0 ? "cpu_count" : NULL,
                                             *c->cpu_list ? "cpu_list" : NULL };
        char names[64] = "";
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(keys_of_pool) && !is_dedicated(c); i++)
                if (keys_of_pool[i]) {
                        size_t used = strlen(names);

                        (void)snprintf(names + used, sizeof(names) - used, "%s%s", n++ ? " and " : "",
                                       keys_of_pool[i]);
                }
        if (strcmp(c->hypervisor, "qingtian") == 0)
                (void)snprintf(ret, size,
                               "%s %s ignored: hypervisor:qingtian, the pool is its service's and %s", names,
                               n > 1 ? "are" : "is", c->qingtian_env);
        else
                (void)snprintf(ret, size, "%s %s ignored: mode:shared", names, n > 1 ? "are" : "is");
        return n > 0;
}

/* The later line of two, where a reader has seen both. */
static const char *place(const struct config *c, const char *name, enum config_key a, enum config_key b,
                         char *ret, size_t size) {
        unsigned line = c->lines[a] > c->lines[b] ? c->lines[a] : c->lines[b];

        if (line > 0)
                (void)snprintf(ret, size, "%s, line %u", name, line);
        else
                (void)snprintf(ret, size, "%s", name);
        return ret;
}

static int check_cpus(const struct config *c, const char *name, struct error *reterr) {
        struct cpu_list cpus;
        char where[160];

        (void)place(c, name, CONFIG_KEY_cpu_list, CONFIG_KEY_cpu_list, where, sizeof(where));
        if (cpu_list_parse(c->cpu_list, &cpus) < 0)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: cpu_list:%s is no list of CPUs below %d such as 2,3 or 2-5", where,
                                 c->cpu_list, CPU_NUMBER_MAX);
        if (cpu_list_has(&cpus, 0))
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: cpu_list:%s has CPU 0, which stays with the parent like the others of "
                                 "its core; leave it out",
                                 where, c->cpu_list);
        if (c->cpu_count > 0 && *c->cpu_list)
                return error_set(
                        reterr, ERROR_CONFIG_INVALID,
                        "%s: cpu_count:%" PRIu64 " and cpu_list:%s exclude each other; keep one",
                        place(c, name, CONFIG_KEY_cpu_count, CONFIG_KEY_cpu_list, where, sizeof(where)),
                        c->cpu_count, c->cpu_list);
        return 0;
}

static int check_pages(const struct config *c, const char *name, struct error *reterr) {
        uint64_t page = config_page_mib(c);
        char where[160];

        (void)place(c, name, CONFIG_KEY_hugepage_size, CONFIG_KEY_hugepage_size, where, sizeof(where));
        if (page != 2 && page != 1024)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: hugepage_size:%" PRIu64 " must be 2 or 1024", where, c->hugepage_size);
        if (!is_dedicated(c) || c->memory_mib % page == 0)
                return 0;
        return error_set(
                reterr, ERROR_CONFIG_INVALID,
                "%s: memory_mib:%" PRIu64 " is no multiple of hugepage_size:%" PRIu64
                "; the next that would work is %" PRIu64,
                place(c, name, CONFIG_KEY_memory_mib, CONFIG_KEY_hugepage_size, where, sizeof(where)),
                c->memory_mib, page, (c->memory_mib / page + 1) * page);
}

/* What no single line can know. */
static int check_whole(const struct config *c, const char *name, struct error *reterr) {
        char where[160];
        int r;

        r = check_pages(c, name, reterr);
        if (r >= 0)
                r = check_cpus(c, name, reterr);
        if (r < 0)
                return r;
        if (is_dedicated(c) && strcmp(c->hypervisor, "qingtian") == 0)
                return error_set(
                        reterr, ERROR_CONFIG_INVALID,
                        "%s: mode:dedicated and hypervisor:qingtian exclude each other: CPUs and huge "
                        "pages of a QingTian parent are its service's, which is told in %s",
                        place(c, name, CONFIG_KEY_mode, CONFIG_KEY_hypervisor, where, sizeof(where)),
                        c->qingtian_env);
        return 0;
}

int config_parse(struct config *c, const char *name, const char *text, size_t size, struct error *reterr) {
        int r = key_file_parse(&table, c, name, text, size, c->lines, reterr);

        if (r >= 0)
                r = settle_mode(c);
        return r < 0 ? r : check_whole(c, name, reterr);
}

void config_print(const struct config *c, FILE *f) {
        key_file_print(&table, c, f);
}
