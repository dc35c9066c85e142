/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/config.h"

#include "base/key_file.h"

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
        return key_file_init(&table, c);
}

void config_done(struct config *c) {
        key_file_done(&table, c);
}

/* What no single line can know. */
static int check_whole(const struct config *c, const char *name, struct error *reterr) {
        if (c->hugepage_size != 0 && c->hugepage_size != 2 && c->hugepage_size != 1024)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: hugepage_size:%" PRIu64 " must be 2 or 1024", name, c->hugepage_size);
        if (c->cpu_count > 0 && *c->cpu_list)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: cpu_count:%" PRIu64 " and cpu_list:%s exclude each other; keep one",
                                 name, c->cpu_count, c->cpu_list);
        if (strcmp(c->mode, "dedicated") == 0 && strcmp(c->hypervisor, "qingtian") == 0)
                return error_set(
                        reterr, ERROR_CONFIG_INVALID,
                        "%s: mode:dedicated and hypervisor:qingtian exclude each other: CPUs and huge "
                        "pages of a QingTian parent are its service's, which is told in %s",
                        name, c->qingtian_env);
        return 0;
}

int config_parse(struct config *c, const char *name, const char *text, size_t size, struct error *reterr) {
        int r = key_file_parse(&table, c, name, text, size, reterr);

        return r < 0 ? r : check_whole(c, name, reterr);
}

void config_print(const struct config *c, FILE *f) {
        key_file_print(&table, c, f);
}
