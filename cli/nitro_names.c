/* SPDX-License-Identifier: Apache-2.0 */

/* How nitro-cli names enclaves. */

#include "base/io.h"
#include "cli/client.h"
#include "cli/enclave_calls.h"
#include "cli/personality_nitro_cli.h"

#include <fcntl.h>
#include <string.h>

#define ASSET_TAG "/sys/devices/virtual/dmi/id/board_asset_tag"
#define NO_INSTANCE "i-0000000000000000"

/* The instance's id is where the platform puts it; elsewhere there is none. */
static void instance_id(char *ret, size_t size) {
        _cleanup_free_ char *text = NULL;

        (void)snprintf(ret, size, "%s", NO_INSTANCE);
        if (read_text_file(AT_FDCWD, ASSET_TAG, 256, &text, NULL) < 0)
                return;
        text[strcspn(text, "\n")] = '\0';
        if (strncmp(text, "i-", 2) == 0 && strlen(text) < size &&
            strspn(text + 2, "0123456789abcdef") == strlen(text + 2))
                (void)snprintf(ret, size, "%s", text);
}

void nitro_enclave_id(const json_t *enclave, char ret[NITRO_ID_SIZE]) {
        char instance[48];

        instance_id(instance, sizeof(instance));
        (void)snprintf(ret, NITRO_ID_SIZE, "%s-enc%llx", instance,
                       (unsigned long long)member_number(enclave, "CreatedUSec"));
}

json_t *nitro_enclave_json(const json_t *enclave) {
        static const char *const before[] = { "EnclaveName", NULL };
        static const char *const after[] = { "ProcessID", "EnclaveCID", "NumberOfCPUs",
                                             "CPUIDs",    "MemoryMiB",  NULL };
        json_t *result = enclave_pick(enclave, before);
        json_auto_t *rest = enclave_pick(enclave, after);
        char id[NITRO_ID_SIZE];

        nitro_enclave_id(enclave, id);
        (void)json_object_set_new(result, "EnclaveID", json_string(id));
        (void)json_object_update(result, rest);
        return result;
}

int nitro_find(const struct options *o, json_t **ret, unsigned *code, struct error *reterr) {
        static const char *const ways[] = { "enclave-id", "enclave-name", NULL };
        const char *wanted_id = options_value(o, "enclave-id"), *name = options_value(o, "enclave-name");
        json_auto_t *all = NULL;
        int r;

        r = nitro_require_one(o, ways, code, reterr);
        if (r >= 0)
                r = daemon_describe(o, NULL, false, &all, reterr);
        for (size_t i = 0; r >= 0 && i < json_array_size(all); i++) {
                json_t *e = json_array_get(all, i);
                char id[NITRO_ID_SIZE];

                nitro_enclave_id(e, id);
                if (wanted_id ? strcmp(wanted_id, id) == 0
                              : strcmp(name, member_text(e, "EnclaveName")) == 0) {
                        *ret = json_incref(e);
                        return 0;
                }
        }
        return r < 0 ? r
                     : error_set(reterr, ERROR_NO_SUCH_ENCLAVE,
                                 "no living enclave has the %s %s; `nitro-cli describe-enclaves` lists them",
                                 wanted_id ? "id" : "name", wanted_id ? wanted_id : name);
}
