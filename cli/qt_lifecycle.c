/* SPDX-License-Identifier: Apache-2.0 */

/* `qt enclave start|query|stop|console`. */

#include "cli/client.h"
#include "cli/enclave_calls.h"
#include "cli/personality_qt.h"
#include "cli/stream.h"

#define CID_MIN 4U
#define CID_MAX 4294967294U

int qt_start(const struct options *o, unsigned *code, struct error *reterr) {
        static const char *const members[] = { "EnclaveID", "EnclaveCID", "NumberOfCPUs",
                                               "MemoryMiB", "LaunchMode", NULL };
        json_auto_t *enclave = NULL, *result = NULL;
        uint64_t cpus, memory, cid;
        char line[160];
        int r;

        r = personality_require(o, "eif", QT_MISSING_ARGUMENT, code, reterr);
        if (r >= 0)
                r = options_u64(o, "cpus", 1, 4096, 2, &cpus, reterr);
        if (r >= 0)
                r = options_u64(o, "mem", 1, INT32_MAX, 1024, &memory, reterr);
        if (r >= 0)
                r = options_u64(o, "cid", CID_MIN, CID_MAX, CID_MIN, &cid, reterr);
        if (r < 0)
                return r;
        qt_debug(o, "Run %s with %d CPUs, %d MiB, CID %u", options_value(o, "eif"), (int)cpus, (int)memory,
                 (unsigned)cid);
        r = enclave_start(o, options_value(o, "eif"),
                          json_pack("{s:I, s:I, s:I, s:b}", "CPUs", (json_int_t)cpus, "MemoryMiB",
                                    (json_int_t)memory, "CID", (json_int_t)cid, "Debug",
                                    options_flag(o, "debug-mode")),
                          &enclave, reterr);
        if (r < 0)
                return r;
        result = enclave_pick(enclave, members);
        (void)snprintf(line, sizeof(line),
                       "Started enclave with EnclaveID : %" JSON_INTEGER_FORMAT
                       ", EnclaveCID : %" JSON_INTEGER_FORMAT ", NumberOfCPUs : %" JSON_INTEGER_FORMAT
                       ", MemoryMiB : %" JSON_INTEGER_FORMAT,
                       member_number(enclave, "EnclaveID"), member_number(enclave, "EnclaveCID"),
                       member_number(enclave, "NumberOfCPUs"), member_number(enclave, "MemoryMiB"));
        return qt_print(o, line, result, reterr);
}

/* By number only: a name may consist of digits too. */
static int living(const struct options *o, json_t **ret, struct error *reterr) {
        json_auto_t *all = NULL;
        uint64_t id;
        int r;

        r = options_u64(o, "enclave-id", 0, UINT32_MAX, UINT64_MAX, &id, reterr);
        if (r >= 0)
                r = daemon_describe(o, NULL, false, &all, reterr);
        if (r < 0)
                return r;
        qt_debug(o, "Describe: %zu living enclaves", json_array_size(all));
        *ret = json_array();
        for (size_t i = 0; i < json_array_size(all); i++) {
                json_t *e = json_array_get(all, i);

                if (id == UINT64_MAX || member_number(e, "EnclaveID") == (json_int_t)id)
                        (void)json_array_append(*ret, e);
        }
        return *ret ? 0 : error_set(reterr, ERROR_INTERNAL, "out of memory");
}

int qt_find(const struct options *o, json_t **ret, unsigned *code, struct error *reterr) {
        json_auto_t *enclaves = NULL;
        int r;

        r = personality_require(o, "enclave-id", QT_MISSING_ARGUMENT, code, reterr);
        if (r >= 0)
                r = living(o, &enclaves, reterr);
        if (r < 0)
                return r;
        if (json_array_size(enclaves) == 0)
                return error_set(reterr, ERROR_NO_SUCH_ENCLAVE,
                                 "no enclave with the number %s is running; `qt enclave query` lists them",
                                 options_value(o, "enclave-id"));
        *ret = json_incref(json_array_get(enclaves, 0));
        return 0;
}

int qt_query(const struct options *o, unsigned *code _unused_, struct error *reterr) {
        static const char *const members[] = { "EnclaveID", "ProcessID",  "EnclaveCID", "NumberOfCPUs",
                                               "MemoryMiB", "LaunchMode", "Status",     NULL };
        json_auto_t *enclaves = NULL, *result = json_array();
        int r = living(o, &enclaves, reterr);

        if (r < 0)
                return r;
        for (size_t i = 0; i < json_array_size(enclaves); i++)
                (void)json_array_append_new(result, enclave_pick(json_array_get(enclaves, i), members));
        return qt_print(o, NULL, result, reterr);
}

/* Of the two documented forms, the line of the quick start with JSON behind it: programs that look for
 * "success" find it in both, and only this one has a result that -o and --query can work on. */
int qt_stop(const struct options *o, unsigned *code, struct error *reterr) {
        static const char *const members[] = { "EnclaveID", NULL };
        json_auto_t *enclave = NULL, *result = NULL;
        char line[64];
        int r;

        r = qt_find(o, &enclave, code, reterr);
        if (r >= 0)
                r = enclave_stop(o, member_text(enclave, "EnclaveName"), reterr);
        if (r < 0)
                return r;
        (void)snprintf(line, sizeof(line), "stop enclave %" JSON_INTEGER_FORMAT " successfully",
                       member_number(enclave, "EnclaveID"));
        result = enclave_pick(enclave, members);
        return qt_print(o, line, result, reterr);
}

int qt_console(const struct options *o, unsigned *code, struct error *reterr) {
        json_auto_t *enclave = NULL;
        _cleanup_close_ int stream = -1;
        int r;

        r = qt_find(o, &enclave, code, reterr);
        if (r >= 0)
                r = enclave_console(o, member_text(enclave, "EnclaveName"), &stream, reterr);
        return r < 0 ? r : stream_print(stream, reterr);
}
