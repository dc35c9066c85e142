/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/audit.h"

#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "kms-proxy/loop.h"
#include "kms/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <string.h>

#define HASH_TEXT (2 * SHA256_DIGEST_LENGTH + 1)
#define LINE_MAX_SIZE ((size_t)64 << 10)
#define AUDIT_FIELDS_MAX 24

struct audit {
        int fd; /* -1: the journal only */
        char head[HASH_TEXT];
};

static void hash_line(const void *line, size_t size, char ret[static HASH_TEXT]) {
        uint8_t digest[SHA256_DIGEST_LENGTH];

        (void)SHA256(line, size, digest);
        format_hex(digest, sizeof(digest), ret);
}

static void first_hash(char ret[static HASH_TEXT]) {
        memset(ret, '0', HASH_TEXT - 1);
        ret[HASH_TEXT - 1] = '\0';
}

/* The chain goes on from the last line of the file. A line that a crash cut short is closed and chained like
 * any other: nothing is ever taken away from this file. */
static int continue_chain(struct audit *audit, const char *path, struct error *reterr) {
        _cleanup_free_ char *tail = NULL;
        off_t size = lseek(audit->fd, 0, SEEK_END);
        size_t n = (size_t)size < LINE_MAX_SIZE ? (size_t)size : LINE_MAX_SIZE, start;
        int r;

        first_hash(audit->head);
        if (size <= 0)
                return 0;
        tail = malloc(n);
        if (!tail)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = pread_exactly(audit->fd, tail, n, (uint64_t)size - n);
        if (r >= 0 && tail[n - 1] != '\n')
                r = write_all(audit->fd, "\n", 1);
        else if (r >= 0)
                n--;
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot continue the audit file %s",
                                       path);
        for (start = n; start > 0 && tail[start - 1] != '\n'; start--)
                continue;
        hash_line(tail + start, n - start, audit->head);
        return 0;
}

static int open_file(struct audit *audit, const char *path, struct error *reterr) {
        audit->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (audit->fd < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno, "cannot open the audit file %s",
                                       path);
        return continue_chain(audit, path, reterr);
}

int audit_open(const char *path, struct audit **ret, struct error *reterr) {
        _cleanup_(audit_closep) struct audit *audit = calloc(1, sizeof(*audit));
        int r;

        if (!audit)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        audit->fd = -1;
        r = path ? open_file(audit, path, reterr) : 0;
        if (r < 0)
                return r;
        *ret = TAKE(audit);
        return 0;
}

void audit_close(struct audit *audit) {
        if (!audit)
                return;
        (void)close_fd(audit->fd);
        free(audit);
}

struct audit_field {
        const char *json, *journal;
        const char *text; /* NULL: number */
        uint64_t number;
};

static size_t list_fields(const struct audit_record *r, struct audit_field fields[static AUDIT_FIELDS_MAX]) {
        const struct audit_field all[] = {
                { "connection", "CONNECTION", NULL, r->connection },
                { "enclave", "ENCLAVE", r->enclave, 0 },
                { "cid", "ENCLAVE_CID", NULL, r->cid },
                { "mode", "MODE", r->mode, 0 },
                { "listener", "LISTENER", r->listener, 0 },
                { "verdict", "VERDICT", r->verdict, 0 },
                { "reason", "REASON", r->reason, 0 },
                { "name", "SERVER_NAME", r->name, 0 },
                { "address", "ADDRESS", r->address, 0 },
                { "bytes_out", "BYTES_OUT", NULL, r->bytes_out },
                { "bytes_in", "BYTES_IN", NULL, r->bytes_in },
                { "duration_usec", "DURATION_USEC", NULL, r->duration_usec },
                { "operation", "OPERATION", r->operation, 0 },
                { "key_id", "KEY_ID", r->key_id, 0 },
                { "document_sha256", "DOCUMENT_SHA256", r->document_sha256, 0 },
                { "module_id", "MODULE_ID", r->module_id, 0 },
                { "pcr0", "PCR0", r->pcr0, 0 },
                { "http_status", "HTTP_STATUS", NULL, r->http_status > 0 ? (uint64_t)r->http_status : 0 },
                { "request_id", "REQUEST_ID", r->request_id, 0 },
        };
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                if (all[i].text || all[i].number)
                        fields[n++] = all[i];
        return n;
}

static void write_journal(const struct audit_record *record, const struct audit_field *fields, size_t n) {
        char *texts[AUDIT_FIELDS_MAX + 1] = { NULL };
        _cleanup_free_ char *message = NULL;

        for (size_t i = 0; i < n; i++)
                if ((fields[i].text
                             ? asprintf(&texts[i], "%s=%s", fields[i].journal, fields[i].text)
                             : asprintf(&texts[i], "%s=%" PRIu64, fields[i].journal, fields[i].number)) < 0)
                        texts[i] = NULL;
        if (asprintf(&message, "%s: %s %s: %s (%s)%s%s%s%s", record->enclave ? record->enclave : "?",
                     record->mode, record->listener, record->verdict, record->reason,
                     record->name ? " to " : "", record->name ? record->name : "",
                     record->operation ? " " : "", record->operation ? record->operation : "") >= 0)
                log_fields(strcmp(record->verdict, "allowed") == 0 ? LOG_INFO : LOG_NOTICE, message,
                           (const char *const *)texts);
        for (size_t i = 0; i < n; i++)
                free(texts[i]);
}

static int add_field(json_t *object, const struct audit_field *f) {
        json_t *value = f->text ? json_string(f->text) : json_integer((json_int_t)f->number);

        /* Not UTF-8: what an enclave sent as a name; it is enough to know that. */
        if (f->text && !value)
                value = json_string("(not text)");
        return json_object_set_new(object, f->json, value);
}

static int write_line(struct audit *audit, const struct audit_field *fields, size_t n) {
        _cleanup_bytes_ struct bytes line = BYTES_NULL;
        _cleanup_(json_decrefp) json_t *object = json_pack(
                "{s:I, s:s}", "time_usec", (json_int_t)now_realtime_usec(), "previous", audit->head);
        int r = object ? 0 : -ENOMEM;
        char head[HASH_TEXT];

        for (size_t i = 0; i < n && r >= 0; i++)
                r = add_field(object, &fields[i]) < 0 ? -ENOMEM : 0;
        line.max = LINE_MAX_SIZE - 1;
        if (r >= 0)
                r = json_append(&line, object);
        if (r < 0)
                return r;
        hash_line(line.data, line.size, head);
        r = bytes_text(&line, "\n");
        if (r >= 0)
                r = write_all(audit->fd, line.data, line.size);
        if (r < 0) /* a part of it may be there */
                (void)continue_chain(audit, "", NULL);
        else
                memcpy(audit->head, head, sizeof(head));
        return r;
}

void audit_write(struct audit *audit, const struct audit_record *record) {
        struct audit_field fields[AUDIT_FIELDS_MAX];
        size_t n = list_fields(record, fields);
        int r;

        write_journal(record, fields, n);
        if (audit->fd < 0)
                return;
        r = write_line(audit, fields, n);
        if (r < 0)
                log_error("cannot write the audit file: %s", strerror(-r));
}

static int broken(struct error *reterr, const char *path, uint64_t line, const char *what) {
        return error_set(reterr, ERROR_VERIFY_FAILED, "%s:%" PRIu64 ": %s", path, line, what);
}

int audit_verify(const char *path, const char *head, uint64_t *ret_lines, char ret_head[static 65],
                 struct error *reterr) {
        _cleanup_(fclosep) FILE *file = fopen(path, "re");
        _cleanup_free_ char *line = NULL;
        size_t capacity = 0;
        uint64_t n = 0;
        ssize_t size;

        if (!file)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot read the audit file %s",
                                       path);
        first_hash(ret_head);
        while ((size = getline(&line, &capacity, file)) > 0) {
                _cleanup_(json_decrefp) json_t *object = NULL;
                const char *previous;

                n++;
                if ((size_t)size > LINE_MAX_SIZE || line[size - 1] != '\n')
                        return broken(reterr, path, n, "the line is too long or was cut short");
                object = json_parse(line, (size_t)size - 1);
                previous = json_string_value(json_object_get(object, "previous"));
                if (!previous)
                        return broken(reterr, path, n, "not a record of qt-kms-proxy");
                if (strcmp(previous, ret_head) != 0)
                        return broken(
                                reterr, path, n,
                                "the chain breaks here: the line before was changed, removed or inserted");
                hash_line(line, (size_t)size - 1, ret_head);
        }
        if (ferror(file))
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot read the audit file %s",
                                       path);
        if (head && strcmp(head, ret_head) != 0)
                return broken(reterr, path, n,
                              "the chain is whole but does not end in the head that was given: lines "
                              "were cut off, or it is another file");
        *ret_lines = n;
        return 0;
}
