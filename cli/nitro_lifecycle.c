/* SPDX-License-Identifier: Apache-2.0 */

/* nitro-cli run-enclave, terminate-enclave, describe-enclaves, console. */

#include "base/parse.h"
#include "cli/client.h"
#include "cli/enclave_calls.h"
#include "cli/personality_nitro_cli.h"
#include "cli/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define CPU_IDS_MAX 4096
#define NAMES_MAX 64
#define IMAGE_TIMES 4 /* memory must be that many times the image */

/* What run-enclave was asked for, by options or by a file. */
struct request {
        json_t *file;                   /* owned; --config */
        char *cpu_list;                 /* owned; "2,10", or NULL when only their number was given */
        const char *path;               /* borrowed, as name */
        const char *name;               /* or NULL */
        uint64_t cpus, memory_mib, cid; /* CID 0: any */
        bool debug, attach;
};

static int check_cid(uint64_t cid, unsigned *code, struct error *reterr) {
        if (cid == 0) {
                (void)fputs("The enclave CID will be assigned automatically as provided CID is 0.\n", stderr);
                return 0;
        }
        if (cid > 3 && cid < UINT32_MAX)
                return 0;
        return nitro_refuse(NITRO_INVALID, code, reterr,
                            "--enclave-cid %llu: must be 0 or from 4 to 4294967294; 1, 2 and 3 belong to the "
                            "parent and its hypervisor",
                            (unsigned long long)cid);
}

/* nitro-cli's own check, and its number; the daemon knows the other limits. */
static int check_memory(const struct request *q, unsigned *code, struct error *reterr) {
        struct stat st;
        uint64_t least;

        if (stat(q->path, &st) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot open the image %s",
                                       q->path);
        least = ((uint64_t)st.st_size * IMAGE_TIMES + (1 << 20) - 1) >> 20;
        if (q->memory_mib > 0 && q->memory_mib >= least)
                return 0;
        return nitro_refuse(NITRO_MEMORY, code, reterr,
                            "%llu MiB are too little for %s: at least %llu MiB, %d times the image",
                            (unsigned long long)q->memory_mib, q->path, (unsigned long long)least,
                            IMAGE_TIMES);
}

static int add_cpu(struct request *q, uint64_t id) {
        char *longer;

        if (asprintf(&longer, "%s%s%llu", q->cpu_list ? q->cpu_list : "", q->cpu_list ? "," : "",
                     (unsigned long long)id) < 0)
                return -ENOMEM;
        free(q->cpu_list);
        q->cpu_list = longer;
        q->cpus++;
        return 0;
}

static int read_cpu_ids(const struct options *o, struct request *q, unsigned *code, struct error *reterr) {
        bool seen[CPU_IDS_MAX] = { false };
        const char *text;
        size_t index = 0;
        uint64_t id;

        while ((text = options_next(o, "cpu-ids", &index))) {
                if (parse_u64(text, 0, CPU_IDS_MAX - 1, &id) < 0)
                        return nitro_refuse(NITRO_INVALID, code, reterr,
                                            "--cpu-ids %s: must be numbers of CPUs", text);
                if (seen[id])
                        return nitro_refuse(NITRO_CPU_TWICE, code, reterr, "--cpu-ids names CPU %s twice",
                                            text);
                seen[id] = true;
                if (add_cpu(q, id) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* "512", "512M", "2G", "1T"; nitro-cli knows no other letters. */
static int parse_memory(const char *text, uint64_t *ret, unsigned *code, struct error *reterr) {
        size_t digits = strspn(text, "0123456789");

        if (digits > 0 && (!text[digits] || (strchr("mMgGtT", text[digits]) && !text[digits + 1])) &&
            parse_mib(text, ret) >= 0)
                return 0;
        return nitro_refuse(NITRO_INVALID, code, reterr,
                            "--memory %s: must be a number of MiB, or one with M, G or T behind it", text);
}

static int read_options(const struct options *o, struct request *q, unsigned *code, struct error *reterr) {
        static const char *const cpus[] = { "cpu-count", "cpu-ids", NULL };
        int r;

        r = nitro_require_one(o, cpus, code, reterr);
        if (r >= 0)
                r = personality_require(o, "memory", NITRO_MISSING, code, reterr);
        if (r >= 0)
                r = personality_require(o, "eif-path", NITRO_MISSING, code, reterr);
        if (r >= 0)
                r = parse_memory(options_value(o, "memory"), &q->memory_mib, code, reterr);
        if (r >= 0)
                r = options_flag(o, "cpu-ids") ? read_cpu_ids(o, q, code, reterr)
                                               : options_u64(o, "cpu-count", 1, 4096, 1, &q->cpus, reterr);
        if (r >= 0 && options_value(o, "enclave-cid")) {
                r = options_u64(o, "enclave-cid", 0, UINT64_MAX, 0, &q->cid, reterr);
                r = r < 0 ? r : check_cid(q->cid, code, reterr);
        }
        q->path = options_value(o, "eif-path");
        q->name = options_value(o, "enclave-name");
        q->debug = options_flag(o, "debug-mode");
        return r;
}

static int check_config_members(const json_t *file, unsigned *code, struct error *reterr) {
        static const struct {
                const char *name;
                json_type type;
        } members[] = {
                { "enclave_name", JSON_STRING }, { "cpu_count", JSON_INTEGER },
                { "cpu_ids", JSON_ARRAY },       { "memory_mib", JSON_INTEGER },
                { "eif_path", JSON_STRING },     { "enclave_cid", JSON_INTEGER },
                { "debug_mode", JSON_TRUE },     { "attach_console", JSON_TRUE },
        };
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)file, key, value) {
                size_t i = 0;

                while (i < ELEMENTSOF(members) && strcmp(members[i].name, key) != 0)
                        i++;
                if (i == ELEMENTSOF(members))
                        return nitro_refuse(NITRO_JSON, code, reterr, "--config: unknown member %s", key);
                if (json_is_integer(value) && json_integer_value(value) < 0)
                        return nitro_refuse(NITRO_JSON, code, reterr, "--config: %s must not be negative",
                                            key);
                if (json_is_null(value) || json_typeof(value) == members[i].type ||
                    (members[i].type == JSON_TRUE && json_is_boolean(value)))
                        continue;
                return nitro_refuse(NITRO_JSON, code, reterr, "--config: %s is of the wrong type", key);
        }
        return 0;
}

static int read_config_cpu_ids(struct request *q, const json_t *ids, unsigned *code, struct error *reterr) {
        bool seen[CPU_IDS_MAX] = { false };

        for (size_t i = 0; i < json_array_size(ids); i++) {
                const json_t *value = json_array_get(ids, i);
                json_int_t id = json_integer_value(value);

                if (!json_is_integer(value) || id < 0 || id >= CPU_IDS_MAX)
                        return nitro_refuse(NITRO_JSON, code, reterr,
                                            "--config: cpu_ids[%zu] is no number of a CPU", i);
                if (seen[id])
                        return nitro_refuse(NITRO_CPU_TWICE, code, reterr, "cpu_ids names CPU %lld twice",
                                            (long long)id);
                seen[id] = true;
                if (add_cpu(q, (uint64_t)id) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int read_config_cpus(struct request *q, unsigned *code, struct error *reterr) {
        const json_t *ids = json_object_get(q->file, "cpu_ids"),
                     *count = json_object_get(q->file, "cpu_count");
        bool has_ids = ids && !json_is_null(ids), has_count = count && !json_is_null(count);

        if (has_ids && has_count)
                return nitro_refuse(NITRO_CONFLICT, code, reterr, "cpu_count and cpu_ids exclude each other");
        if (!has_ids && !has_count)
                return nitro_refuse(NITRO_MISSING, code, reterr, "cpu_count or cpu_ids is missing");
        if (has_count && json_integer_value(count) < 1)
                return nitro_refuse(NITRO_INVALID, code, reterr, "cpu_count: must be at least 1");
        if (has_ids)
                return read_config_cpu_ids(q, ids, code, reterr);
        q->cpus = (uint64_t)json_integer_value(count);
        return 0;
}

static int read_config(const struct options *o, struct request *q, unsigned *code, struct error *reterr) {
        static const char *const others[] = { "cpu-count",   "cpu-ids",      "memory",    "eif-path",
                                              "enclave-cid", "enclave-name", "debug-mode" };
        const char *path = options_value(o, "config");
        json_error_t where;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                if (options_flag(o, others[i]))
                        return nitro_refuse(NITRO_CONFLICT, code, reterr,
                                            "--config and --%s exclude each other", others[i]);
        q->file = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
        if (!q->file && json_error_code(&where) == json_error_cannot_open_file)
                return error_set(reterr, ERROR_FILE_UNREADABLE, "--config: %s", where.text);
        if (!json_is_object(q->file))
                return nitro_refuse(NITRO_JSON, code, reterr, "%s, line %d: %s", path, where.line,
                                    q->file ? "must be a JSON object" : where.text);
        r = check_config_members(q->file, code, reterr);
        if (r >= 0)
                r = read_config_cpus(q, code, reterr);
        if (r < 0)
                return r;
        q->path = json_string_value(json_object_get(q->file, "eif_path"));
        q->name = json_string_value(json_object_get(q->file, "enclave_name"));
        q->memory_mib = (uint64_t)member_number(q->file, "memory_mib");
        q->cid = (uint64_t)member_number(q->file, "enclave_cid");
        if (!q->path || !json_is_integer(json_object_get(q->file, "memory_mib")))
                return nitro_refuse(NITRO_MISSING, code, reterr, "%s is missing",
                                    q->path ? "memory_mib" : "eif_path");
        q->debug = json_is_true(json_object_get(q->file, "debug_mode"));
        q->attach = json_is_true(json_object_get(q->file, "attach_console"));
        return 0;
}

static json_t *run_parameters(const struct request *q, const char *name) {
        json_t *p = json_pack("{s:I, s:I, s:s*, s:b, s:s*}", "CPUs", (json_int_t)q->cpus, "MemoryMiB",
                              (json_int_t)q->memory_mib, "Name", name, "Debug", q->debug || q->attach,
                              "CPUList", q->cpu_list);

        if (p && q->cid)
                (void)json_object_set_new(p, "CID", json_integer((json_int_t)q->cid));
        return p;
}

/* Memory becomes whole pages, as nitro-cli allocates it. Where CPUs are time-shared, or the vendor's tool
 * picks them, how many are named is what counts. */
static void fit_into_pool(const struct options *o, struct request *q) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        const char *hypervisor = "";
        uint64_t page_mib = 2;
        bool dedicated = false;

        if (daemon_call(o, "PoolShow", NULL, &reply, NULL) >= 0) { /* else the start will say why */
                const json_t *pool = json_object_get(reply.parameters, "Pool");

                hypervisor = member_text(pool, "Hypervisor");
                dedicated = strcmp(member_text(pool, "Mode"), "dedicated") == 0;
                if (dedicated && member_number(pool, "PageMiB") > 2)
                        page_mib = (uint64_t)member_number(pool, "PageMiB");
        }
        if (q->memory_mib <= UINT64_MAX - page_mib)
                q->memory_mib = (q->memory_mib + page_mib - 1) / page_mib * page_mib;
        if (strcmp(hypervisor, "nitro") != 0 && (!dedicated || strcmp(hypervisor, "qingtian") == 0))
                q->cpu_list = NULL;
}

/* A name that is taken gets _1, _2 and so on. */
static int start(const struct options *o, const struct request *q, json_t **ret, struct error *reterr) {
        _cleanup_error_ struct error e = ERROR_NULL;
        const char *name = q->name;
        char numbered[128];
        int r;

        r = enclave_start(o, q->path, run_parameters(q, name), ret, &e);
        for (unsigned i = 1; r < 0 && name && e.kind == ERROR_NAME_IN_USE && i < NAMES_MAX; i++) {
                (void)snprintf(numbered, sizeof(numbered), "%s_%u", q->name, i);
                r = enclave_start(o, q->path, run_parameters(q, numbered), ret, &e);
        }
        return r < 0 ? error_move(reterr, r, &e) : 0;
}

static void tell_started(const json_t *enclave) {
        const json_t *ids = json_object_get(enclave, "CPUIDs");
        _cleanup_free_ char *list = json_dumps(ids, 0);

        (void)fprintf(stderr,
                      "Started enclave with enclave-cid: %" JSON_INTEGER_FORMAT
                      ", memory: %" JSON_INTEGER_FORMAT " MiB, cpu-ids: %s\n",
                      member_number(enclave, "EnclaveCID"), member_number(enclave, "MemoryMiB"),
                      list ? list : "[]");
}

static int attach_console(const struct options *o, const json_t *enclave, int timeout_msec,
                          struct error *reterr) {
        _cleanup_close_ int stream = -1;
        int r;

        (void)printf("Connecting to the console for enclave %" JSON_INTEGER_FORMAT "...\n",
                     member_number(enclave, "EnclaveCID"));
        r = enclave_console(o, member_text(enclave, "EnclaveName"), &stream, reterr);
        if (r < 0)
                return r;
        (void)puts("Successfully connected to the console.");
        return stream_print_for(stream, timeout_msec, reterr);
}

int nitro_run_enclave(const struct options *o, unsigned *code, struct error *reterr) {
        struct request q = { .file = NULL };
        json_auto_t *enclave = NULL, *file = NULL, *result = NULL;
        _cleanup_free_ char *cpu_list = NULL;
        int r;

        r = options_flag(o, "config") ? read_config(o, &q, code, reterr) : read_options(o, &q, code, reterr);
        file = q.file;
        cpu_list = q.cpu_list;
        q.attach = q.attach || options_flag(o, "attach-console");
        if (r >= 0)
                r = check_memory(&q, code, reterr);
        if (r < 0)
                return r;
        fit_into_pool(o, &q);
        (void)fputs("Start allocating memory...\n", stderr);
        r = start(o, &q, &enclave, reterr);
        if (r == ERROR_DESCRIBED && reterr->kind == ERROR_SIGNATURE_INVALID)
                *code = NITRO_CERTIFICATE;
        if (r == ERROR_DESCRIBED && reterr->kind == ERROR_NO_CPUS && q.cpu_list)
                *code = NITRO_CPU_NOT_FREE;
        if (r < 0)
                return r;
        tell_started(enclave);
        result = nitro_enclave_json(enclave);
        r = print_json(result, reterr);
        return r < 0 || !q.attach ? r : attach_console(o, enclave, -1, reterr);
}

static int terminate_one(const struct options *o, const json_t *enclave, json_t **ret, struct error *reterr) {
        const char *name = member_text(enclave, "EnclaveName");
        char id[NITRO_ID_SIZE];
        int r;

        r = enclave_stop(o, name, reterr);
        if (r < 0)
                return r;
        nitro_enclave_id(enclave, id);
        (void)fprintf(stderr, "Successfully terminated enclave %s.\n", id);
        *ret = json_pack("{s:s, s:s, s:b}", "EnclaveName", name, "EnclaveID", id, "Terminated", 1);
        return 0;
}

/* Those of other users are not this user's to end. One that does not end keeps none of the others alive. */
static int terminate_all(const struct options *o, struct error *reterr) {
        json_auto_t *all = NULL, *ended = json_array();
        int r = daemon_describe(o, NULL, false, &all, reterr), printed;

        if (r < 0)
                return r;
        for (size_t i = 0; i < json_array_size(all); i++) {
                const json_t *e = json_array_get(all, i);
                json_t *one = NULL;
                int failed;

                if (getuid() != 0 && member_number(e, "Uid") != (json_int_t)getuid())
                        continue;
                failed = terminate_one(o, e, &one, r < 0 ? NULL : reterr);
                r = r < 0 ? r : failed;
                if (one)
                        (void)json_array_append_new(ended, one);
        }
        printed = print_json(ended, r < 0 ? NULL : reterr);
        return r < 0 ? r : printed;
}

int nitro_terminate_enclave(const struct options *o, unsigned *code, struct error *reterr) {
        static const char *const ways[] = { "enclave-id", "enclave-name", "all", NULL };
        json_auto_t *enclave = NULL, *result = NULL;
        int r;

        r = nitro_require_one(o, ways, code, reterr);
        if (r < 0)
                return r;
        if (options_flag(o, "all"))
                return terminate_all(o, reterr);
        r = nitro_find(o, &enclave, code, reterr);
        if (r >= 0)
                r = terminate_one(o, enclave, &result, reterr);
        return r < 0 ? r : print_json(result, reterr);
}

static const char *state_name(const char *ours) {
        if (strcmp(ours, "running") == 0)
                return "RUNNING";
        return strcmp(ours, "stopping") == 0 ? "TERMINATING" : "EMPTY";
}

int nitro_describe_enclaves(const struct options *o, unsigned *code _unused_, struct error *reterr) {
        static const char *const tail[] = { "Flags", "Measurements", NULL };
        json_auto_t *all = NULL, *result = json_array();
        int r = daemon_describe(o, NULL, false, &all, reterr);

        for (size_t i = 0; r >= 0 && i < json_array_size(all); i++) {
                const json_t *e = json_array_get(all, i);
                json_t *row = nitro_enclave_json(e);
                json_auto_t *rest = enclave_pick(e, tail);

                (void)json_object_set_new(row, "State", json_string(state_name(member_text(e, "State"))));
                (void)json_object_update(row, rest);
                if (options_flag(o, "metadata"))
                        r = enclave_metadata(o, member_text(e, "EnclaveName"), row, reterr);
                (void)json_array_append_new(result, row);
        }
        return r < 0 ? r : print_json(result, reterr);
}

int nitro_console(const struct options *o, unsigned *code, struct error *reterr) {
        json_auto_t *enclave = NULL;
        uint64_t seconds;
        int r;

        r = options_u64(o, "disconnect-timeout", 0, INT32_MAX / 1000, UINT64_MAX, &seconds, reterr);
        if (r >= 0)
                r = nitro_find(o, &enclave, code, reterr);
        return r < 0 ? r
                     : attach_console(o, enclave, seconds == UINT64_MAX ? -1 : (int)seconds * 1000, reterr);
}
