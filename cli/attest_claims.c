/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/attest_claims.h"

#include "base/io.h"
#include "base/options.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define PCRS 32

int attest_read_document(const char *path, uint8_t **ret, size_t *ret_size, struct error *reterr) {
        _cleanup_free_ uint8_t *data = NULL;
        _cleanup_close_ int opened = -1;
        int fd = STDIN_FILENO;
        ssize_t n;

        if (strcmp(path, "-") != 0) {
                fd = opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
                if (fd < 0)
                        return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot open %s", path);
        }
        data = malloc(ATTEST_MAX_READ);
        if (!data)
                return -ENOMEM;
        n = read_up_to(fd, data, ATTEST_MAX_READ);
        if (n < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, (int)n, "cannot read %s", path);
        *ret = TAKE(data);
        *ret_size = (size_t)n;
        return 0;
}

int attest_profiles(const struct options *o, unsigned *ret, struct error *reterr) {
        static const char *const words[] = { "any", "nitro", "qingtian", NULL };
        static const unsigned profiles[] = { QTATTEST_ANY, QTATTEST_NITRO, QTATTEST_QINGTIAN };
        size_t index;
        int r;

        r = options_choice(o, "profile", words, &index, reterr);
        if (r >= 0)
                *ret = profiles[index];
        return r;
}

/* A document is at most 64 KiB, and so are its fields. */
static char *hex_of(struct qtattest_bytes bytes) {
        char *text = malloc(2 * bytes.size + 1);

        if (text)
                format_hex(bytes.data, bytes.size, text);
        return text;
}

static json_t *hex_json(struct qtattest_bytes bytes) {
        _cleanup_free_ char *text = NULL;

        if (!bytes.data)
                return json_null();
        text = hex_of(bytes);
        return text ? json_string(text) : NULL;
}

static void format_time(int64_t seconds, char *ret, size_t size) {
        time_t time = (time_t)seconds;
        struct tm tm;

        if (!gmtime_r(&time, &tm) || strftime(ret, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                (void)snprintf(ret, size, "%" PRIi64 " s", seconds);
}

static json_t *pcrs_json(const struct qtattest_result *result) {
        json_t *pcrs = json_object();

        for (unsigned i = 0; i < PCRS; i++) {
                struct qtattest_bytes value = qtattest_claim_pcr(result, i);
                char name[8];

                (void)snprintf(name, sizeof(name), "%u", i);
                if (value.data)
                        (void)json_object_set_new(pcrs, name, hex_json(value));
        }
        return pcrs;
}

static const char *profile_name(const struct qtattest_result *result) {
        switch (qtattest_claim_profile(result)) {
        case QTATTEST_NITRO:
                return "nitro";
        case QTATTEST_QINGTIAN:
                return "qingtian";
        case QTATTEST_ANY:
                break;
        }
        return NULL;
}

json_t *attest_claims_json(const struct qtattest_result *result) {
        char time[64], not_before[64], not_after[64];
        int64_t begin, end;

        qtattest_claim_validity(result, &begin, &end);
        format_time((int64_t)(qtattest_claim_timestamp(result) / 1000), time, sizeof(time));
        format_time(begin, not_before, sizeof(not_before));
        format_time(end, not_after, sizeof(not_after));
        return json_pack("{s:s?, s:s, s:I, s:s, s:b, s:s, s:o, s:o, s:o, s:o, s:s?, s:s?, s:s?, s:o, s:o}",
                         "profile", profile_name(result), "module_id", qtattest_claim_module_id(result),
                         "timestamp", (json_int_t)qtattest_claim_timestamp(result), "time", time, "debug",
                         qtattest_claim_debug(result), "region", qtattest_claim_region(result), "pcrs",
                         pcrs_json(result), "public_key", hex_json(qtattest_claim_public_key(result)),
                         "user_data", hex_json(qtattest_claim_user_data(result)), "nonce",
                         hex_json(qtattest_claim_nonce(result)), "pcr_set", qtattest_claim_pcr_set(result),
                         "not_before", begin ? not_before : NULL, "not_after", end ? not_after : NULL,
                         "payload_sha256", hex_json(qtattest_claim_payload_sha256(result)), "root_sha256",
                         hex_json(qtattest_claim_root_sha256(result)));
}

static void print_bytes(FILE *f, const char *name, struct qtattest_bytes bytes) {
        _cleanup_free_ char *text = bytes.data ? hex_of(bytes) : NULL;

        (void)fprintf(f, "  %-15s %s\n", name, text ? (text[0] ? text : "(empty)") : "(none)");
}

static bool all_zero(struct qtattest_bytes bytes) {
        for (size_t i = 0; i < bytes.size; i++)
                if (bytes.data[i] != 0)
                        return false;
        return true;
}

void attest_claims_print(const struct qtattest_result *result, FILE *f) {
        char time[64];

        format_time((int64_t)(qtattest_claim_timestamp(result) / 1000), time, sizeof(time));
        if (profile_name(result))
                (void)fprintf(f, "  %-15s %s\n", "profile", profile_name(result));
        (void)fprintf(f, "  %-15s %s\n", "module id", qtattest_claim_module_id(result));
        (void)fprintf(f, "  %-15s %s\n", "time", time);
        if (*qtattest_claim_region(result))
                (void)fprintf(f, "  %-15s %s\n", "region", qtattest_claim_region(result));
        if (qtattest_claim_pcr_set(result))
                (void)fprintf(f, "  %-15s %s\n", "PCR set", qtattest_claim_pcr_set(result));
        (void)fprintf(f, "  %-15s %s\n", "debug mode", qtattest_claim_debug(result) ? "yes" : "no");
        for (unsigned i = 0; i < PCRS; i++) {
                struct qtattest_bytes value = qtattest_claim_pcr(result, i);
                char name[8];

                (void)snprintf(name, sizeof(name), "PCR%u", i);
                if (value.data && !all_zero(value))
                        print_bytes(f, name, value);
        }
        print_bytes(f, "public key", qtattest_claim_public_key(result));
        print_bytes(f, "user data", qtattest_claim_user_data(result));
        print_bytes(f, "nonce", qtattest_claim_nonce(result));
        print_bytes(f, "payload SHA-256", qtattest_claim_payload_sha256(result));
}

/* A name from a certificate that nobody verified: nothing that moves a terminal's cursor, no broken UTF-8. */
static void plain_name(struct qtattest_bytes name, char *ret, size_t size) {
        size_t n = name.size < size - 1 ? name.size : size - 1;

        for (size_t i = 0; i < n; i++)
                ret[i] = name.data[i] >= ' ' && name.data[i] < 0x7f ? (char)name.data[i] : '?';
        ret[n] = '\0';
}

json_t *attest_chain_json(const struct qtattest_result *result) {
        json_t *chain = json_array();

        for (size_t i = 0; i < qtattest_claim_n_certificates(result); i++) {
                char name[128], not_before[64], not_after[64];
                struct qtattest_certificate c;

                if (qtattest_claim_certificate(result, i, &c) < 0) {
                        (void)json_array_append_new(chain, json_null());
                        continue;
                }
                plain_name(c.common_name, name, sizeof(name));
                format_time(c.not_before, not_before, sizeof(not_before));
                format_time(c.not_after, not_after, sizeof(not_after));
                (void)json_array_append_new(chain, json_pack("{s:s, s:s, s:s, s:o}", "common_name", name,
                                                             "not_before", not_before, "not_after", not_after,
                                                             "der", hex_json(c.der)));
        }
        return chain;
}

void attest_chain_print(const struct qtattest_result *result, FILE *f) {
        for (size_t i = 0; i < qtattest_claim_n_certificates(result); i++) {
                char name[128], not_before[64], not_after[64];
                struct qtattest_certificate c;

                if (qtattest_claim_certificate(result, i, &c) < 0) {
                        (void)fprintf(f, "  certificate %zu   (unreadable)\n", i);
                        continue;
                }
                plain_name(c.common_name, name, sizeof(name));
                format_time(c.not_before, not_before, sizeof(not_before));
                format_time(c.not_after, not_after, sizeof(not_after));
                (void)fprintf(f, "  certificate %zu   %s, %s to %s\n", i, name, not_before, not_after);
        }
}

int attest_print_json(json_t *object, struct error *reterr) {
        int r = 0;

        if (!object)
                return -ENOMEM;
        if (json_dumpf(object, stdout, JSON_INDENT(2)) < 0 || putchar('\n') == EOF)
                r = error_set(reterr, ERROR_OUTPUT_FAILED, "cannot write to standard output");
        json_decref(object);
        return r;
}
