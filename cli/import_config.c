/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/import_config.h"

#include "base/enclave_env.h"
#include "base/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <yaml.h>

#define ALLOW_MAX 256 /* of one listener of qt-kms-proxy */
#define MEMORY_MAX 16777216U
#define CPUS_MAX CPU_NUMBER_MAX

/* What allocator.yaml says. */
struct pool {
        uint64_t hugepage_size, memory_mib, cpu_count;
        char cpus[513];                                  /* the driver's parameter takes 512 */
        unsigned memory_line, cpu_count_line, cpus_line; /* 0: not given */
};

/* Where a message points to. */
struct place {
        const char *name;
        unsigned line;
};

const char *import_target_name(enum import_target target) {
        return target == IMPORT_ENCLAVED ? "qt-enclaved.conf" : "qt-kms-proxy.conf";
}

static int refuse(const struct place *at, struct error *reterr, const char *what) {
        return error_set(reterr, ERROR_CONFIG_INVALID, "%s, line %u: %s", at->name, at->line, what);
}

static int take_number(const struct place *at, const char *key, const char *value, uint64_t max,
                       uint64_t *ret, unsigned *ret_line, struct error *reterr) {
        if (*ret_line)
                return error_set(reterr, ERROR_CONFIG_INVALID, "%s, line %u: %s is set in line %u already",
                                 at->name, at->line, key, *ret_line);
        if (parse_u64(value, 1, max, ret) < 0)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s, line %u: %s: %.32s must be a whole number from 1 to %" PRIu64, at->name,
                                 at->line, key, value, max);
        *ret_line = at->line;
        return 0;
}

/* "2,3,6-9": it goes into a line of its own, so nothing else may be in it. */
static int take_cpus(const struct place *at, const char *key, const char *value, struct pool *p,
                     struct error *reterr) {
        struct cpu_list list;

        if (p->cpus_line)
                return error_set(reterr, ERROR_CONFIG_INVALID, "%s, line %u: %s is set in line %u already",
                                 at->name, at->line, key, p->cpus_line);
        if (strlen(value) >= sizeof(p->cpus))
                return refuse(at, reterr, "the list of CPUs has more than 512 characters");
        if (!*value || value[strspn(value, "0123456789,-")] || cpu_list_parse(value, &list) < 0)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s, line %u: %s: %.64s is no list of CPUs such as 2,3,6-9", at->name,
                                 at->line, key, value);
        if (cpu_list_has(&list, 0))
                return refuse(at, reterr, "CPU 0 belongs to the parent; take others");
        memcpy(p->cpus, value, strlen(value) + 1);
        p->cpus_line = at->line;
        return 0;
}

static int check_pool(const char *name, const struct pool *p, struct error *reterr) {
        struct place at = { name, p->cpu_count_line > p->cpus_line ? p->cpu_count_line : p->cpus_line };

        if (p->cpu_count_line && p->cpus_line)
                return refuse(&at, reterr,
                              "a number of CPUs and a list of CPUs exclude each other; keep one");
        if (!p->memory_line || at.line == 0)
                return error_set(reterr, ERROR_CONFIG_INVALID, "%s: %s is missing", name,
                                 p->memory_line ? "the number or list of CPUs" : "memory_mib");
        return 0;
}

/* --- YAML --- */

static const char *scalar(const yaml_node_t *node) {
        const char *text =
                node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;

        return text && strlen(text) == node->data.scalar.length ? text : NULL;
}

static struct place place_of(const char *name, const yaml_node_t *node) {
        return (struct place){ name, (unsigned)node->start_mark.line + 1 };
}

/* The next pair of a mapping; false at its end. A key or value that is no scalar comes out as NULL. */
static bool next_pair(yaml_document_t *d, const yaml_node_t *mapping, size_t *index, yaml_node_t **key,
                      yaml_node_t **value) {
        const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start + *index;

        if (pair >= mapping->data.mapping.pairs.top)
                return false;
        (*index)++;
        *key = yaml_document_get_node(d, pair->key);
        *value = yaml_document_get_node(d, pair->value);
        return *key && *value;
}

static int read_allocator(yaml_document_t *d, const yaml_node_t *root, const char *name, FILE *f,
                          struct error *reterr) {
        struct pool p = { .memory_mib = 0 };
        yaml_node_t *key_node, *value_node;
        size_t index = 0;
        int r = 0;

        while (r >= 0 && next_pair(d, root, &index, &key_node, &value_node)) {
                struct place at = place_of(name, key_node);
                const char *key = scalar(key_node), *value = scalar(value_node);

                if (!key || !value)
                        return refuse(&at, reterr, "must be a line of the form key: value");
                if (strcmp(key, "memory_mib") == 0)
                        r = take_number(&at, key, value, MEMORY_MAX - 1, &p.memory_mib, &p.memory_line,
                                        reterr);
                else if (strcmp(key, "cpu_count") == 0)
                        r = take_number(&at, key, value, CPUS_MAX, &p.cpu_count, &p.cpu_count_line, reterr);
                else if (strcmp(key, "cpu_pool") == 0)
                        r = take_cpus(&at, key, value, &p, reterr);
                else
                        return error_set(
                                reterr, ERROR_CONFIG_INVALID,
                                "%s, line %u: unknown key %.64s; memory_mib, cpu_count and cpu_pool are "
                                "known",
                                name, at.line, key);
        }
        if (r >= 0)
                r = check_pool(name, &p, reterr);
        if (r < 0)
                return r;
        if (p.memory_mib % 2) {
                (void)fprintf(f, "# memory_mib was %" PRIu64 ": whole pages\n", p.memory_mib);
                p.memory_mib++;
        }
        p.hugepage_size =
                p.memory_mib % 1024 ? 2 : 1024; /* the vendor's service takes the largest that fit */
        (void)fprintf(f,
                      "mode:dedicated\nplatform:nitro\nhypervisor:nitro\nhugepage_size:%" PRIu64
                      "\nmemory_mib:%" PRIu64 "\n",
                      p.hugepage_size, p.memory_mib);
        if (p.cpu_count_line)
                (void)fprintf(f, "cpu_count:%" PRIu64 "\n", p.cpu_count);
        else
                (void)fprintf(f, "cpu_list:%s\n", p.cpus);
        return 0;
}

/* A name that a TLS client can ask for: labels of letters, digits, '-' and '_'; no address. */
static bool is_host_name(const char *text) {
        const char *last = strrchr(text, '.');
        size_t label = 0;

        if (!last || last[1 + strspn(last + 1, "0123456789")] == '\0' || strlen(text) > 253)
                return false;
        for (; *text; text++) {
                bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                             (*text >= '0' && *text <= '9') || *text == '-' || *text == '_';

                if (!plain && (*text != '.' || label == 0))
                        return false;
                label = *text == '.' ? 0 : label + 1;
                if (label > 63)
                        return false;
        }
        return label > 0;
}

static bool is_address(const char *text) {
        uint8_t address[sizeof(struct in6_addr)];

        return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

/* *n counts those that are allowed. */
static int read_entry(yaml_document_t *d, const yaml_node_t *entry, const char *name, FILE *f, size_t *n,
                      struct error *reterr) {
        struct place at = place_of(name, entry);
        const char *address = NULL;
        yaml_node_t *key_node, *value_node;
        unsigned port_line = 0;
        size_t index = 0;
        uint64_t port = 0;
        int r;

        if (entry->type != YAML_MAPPING_NODE)
                return refuse(&at, reterr, "must be an entry {address: NAME, port: NUMBER}");
        while (next_pair(d, entry, &index, &key_node, &value_node)) {
                const char *key = scalar(key_node), *value = scalar(value_node);

                at = place_of(name, key_node);
                if (key && value && strcmp(key, "address") == 0 && !address)
                        address = value;
                else if (key && value && strcmp(key, "port") == 0) {
                        r = take_number(&at, key, value, 65535, &port, &port_line, reterr);
                        if (r < 0)
                                return r;
                } else
                        return refuse(&at, reterr,
                                      "an entry has an address and a port, once each, and nothing else");
        }
        at = place_of(name, entry);
        if (!address || !port_line)
                return refuse(&at, reterr, "the address or the port is missing");
        if (is_address(address)) {
                (void)fprintf(f,
                              IMPORT_SKIPPED
                              "line %u, %s port %" PRIu64
                              ": qt-kms-proxy checks the name that the TLS client asks for, so "
                              "an address cannot be allowed; allow the host's name\n",
                              at.line, address, port);
                return 0;
        }
        if (!is_host_name(address))
                return error_set(
                        reterr, ERROR_CONFIG_INVALID,
                        "%s, line %u: address %.64s is no host name with a domain; qt-kms-proxy checks the "
                        "name that the TLS client asks for",
                        name, at.line, address);
        (*n)++;
        (void)fprintf(f, "allow = %s:%" PRIu64 "\n", address, port);
        return 0;
}

static int read_vsock_proxy(yaml_document_t *d, const yaml_node_t *root, const char *name, uint32_t port,
                            FILE *f, struct error *reterr) {
        const yaml_node_pair_t *first = root->data.mapping.pairs.start;
        const yaml_node_t *list = yaml_document_get_node(d, first->value);
        struct place at = place_of(name, list ? list : root);
        size_t n, allowed = 0;
        int r = 0;

        if (root->data.mapping.pairs.top - first != 1)
                return refuse(&at, reterr, "there must be one allowlist and nothing else");
        n = list && list->type == YAML_SEQUENCE_NODE
                    ? (size_t)(list->data.sequence.items.top - list->data.sequence.items.start)
                    : 0;
        if (n == 0 || n > ALLOW_MAX)
                return refuse(&at, reterr, "allowlist must be a list of 1 to 256 entries {address, port}");
        (void)fprintf(f,
                      "[proxy]\nvsock = yes\ndaemon = /run/qt-enclave/qt-enclaved.sock\n\n[pipe "
                      "vsock-proxy]\nport = %" PRIu32 "\n",
                      port);
        for (size_t i = 0; r >= 0 && i < n; i++) {
                const yaml_node_t *entry = yaml_document_get_node(d, list->data.sequence.items.start[i]);

                r = entry ? read_entry(d, entry, name, f, &allowed, reterr)
                          : refuse(&at, reterr, "an entry is empty");
        }
        return r >= 0 && allowed == 0
                       ? refuse(&at, reterr,
                                "every entry is an address; qt-kms-proxy allows the names that TLS clients "
                                "ask for")
                       : r;
}

static int read_document(yaml_document_t *d, const char *name, uint32_t port, FILE *f,
                         enum import_target *ret_target, struct error *reterr) {
        const yaml_node_t *root = yaml_document_get_root_node(d);
        const yaml_node_t *key;
        const char *text;

        if (!root || root->type != YAML_MAPPING_NODE ||
            root->data.mapping.pairs.start == root->data.mapping.pairs.top)
                return error_set(
                        reterr, ERROR_CONFIG_INVALID,
                        "%s: holds no keys; allocator.yaml, vsock-proxy.yaml and qt-enclave-env.conf are "
                        "known",
                        name);
        key = yaml_document_get_node(d, root->data.mapping.pairs.start->key);
        text = scalar(key);
        *ret_target = text && strcmp(text, "allowlist") == 0 ? IMPORT_KMS_PROXY : IMPORT_ENCLAVED;
        return *ret_target == IMPORT_KMS_PROXY ? read_vsock_proxy(d, root, name, port, f, reterr)
                                               : read_allocator(d, root, name, f, reterr);
}

static int yaml_error(const yaml_parser_t *parser, const char *name, struct error *reterr) {
        return error_set(reterr, ERROR_CONFIG_INVALID, "%s, line %zu: no YAML: %s", name,
                         parser->problem_mark.line + 1, parser->problem ? parser->problem : "out of memory");
}

/* One document and nothing behind it. */
static int read_yaml(const char *text, size_t size, const char *name, uint32_t port, FILE *f,
                     enum import_target *ret_target, struct error *reterr) {
        yaml_document_t document, behind;
        yaml_parser_t parser;
        int r;

        if (!yaml_parser_initialize(&parser))
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
        if (!yaml_parser_load(&parser, &document)) {
                r = yaml_error(&parser, name, reterr);
                yaml_parser_delete(&parser);
                return r;
        }
        r = read_document(&document, name, port, f, ret_target, reterr);
        yaml_document_delete(&document);
        if (r >= 0 && !yaml_parser_load(&parser, &behind))
                r = yaml_error(&parser, name, reterr);
        else if (r >= 0) {
                if (yaml_document_get_root_node(&behind))
                        r = error_set(reterr, ERROR_CONFIG_INVALID, "%s: holds more than one document", name);
                yaml_document_delete(&behind);
        }
        yaml_parser_delete(&parser);
        return r;
}

/* --- key:value lines --- */

static int read_env(const char *text, size_t size, const char *name, FILE *f, struct error *reterr) {
        struct enclave_env env;
        int r = enclave_env_parse(name, text, size, &env, reterr);

        if (r < 0)
                return r;
        /* The vendor's service goes on isolating them, and the daemon reads its file; memory_mib is for a
         * parent where that file is not. */
        (void)fprintf(
                f,
                "# CPUs and huge pages stay with the service qt-enclave-env and its file, which is read\n"
                "mode:shared\nplatform:qingtian\nhypervisor:qingtian\nmemory_mib:%" PRIu64 "\n",
                env.memory_mib);
        return 0;
}

/* allocator.yaml has to begin with "---" (its own reader insists), vsock-proxy.yaml is about an allowlist;
 * the vendor's file of a QingTian parent has none of the two, and is no YAML by its name either. */
static bool is_yaml(const char *text, const char *name) {
        const char *suffix = strrchr(name, '.');

        if (suffix && (strcmp(suffix, ".yaml") == 0 || strcmp(suffix, ".yml") == 0))
                return true;
        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                line += strspn(line, " \t\r");
                if (*line != '#' && *line != '\n' && *line != '\0')
                        return strncmp(line, "---", 3) == 0 || strncmp(line, "allowlist", 9) == 0;
        }
        return false;
}

int import_config(const char *text, size_t size, const char *name, uint32_t port, char **ret,
                  enum import_target *ret_target, struct error *reterr) {
        _cleanup_free_ char *copy = NULL, *result = NULL;
        enum import_target target = IMPORT_ENCLAVED;
        size_t result_size;
        FILE *f;
        int r;

        if (size > IMPORT_SIZE_MAX || memchr(text, '\0', size))
                return error_set(reterr, ERROR_CONFIG_INVALID, "%s: must be text of at most %zu KiB", name,
                                 IMPORT_SIZE_MAX >> 10);
        copy = strndup(text, size);
        f = copy ? open_memstream(&result, &result_size) : NULL;
        if (!f)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        (void)fprintf(f, "# From %s\n", name);
        r = is_yaml(copy, name) ? read_yaml(text, size, name, port, f, &target, reterr)
                                : read_env(text, size, name, f, reterr);
        if (fclose(f) != 0 && r >= 0)
                r = error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (r < 0)
                return r;
        *ret = TAKE(result);
        *ret_target = target;
        return 0;
}
