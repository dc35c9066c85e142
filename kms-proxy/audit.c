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
#include <sys/file.h>
#include <sys/stat.h>

#define HASH_TEXT (2 * SHA256_DIGEST_LENGTH + 1)
#define LINE_MAX_SIZE ((size_t)64 << 10)
#define TAIL_MAX (4 * LINE_MAX_SIZE)
#define AUDIT_FIELDS_MAX 25

struct audit {
        char *path;           /* NULL: the journal only */
        int fd;               /* of path, or -1 */
        off_t whole;          /* where the last whole record ends */
        bool cut;             /* a write failed: a part of a line may stand behind it */
        char head[HASH_TEXT]; /* of that record */
        char torn[HASH_TEXT]; /* of what stands between it and the next; "" for nothing */
        uint64_t lost;        /* records that could not be written since that one */
        uint64_t failures;    /* the same since the start */
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

static json_t *parse_record(const char *line, size_t size, const char **ret_previous) {
        json_t *object = json_parse_own(line, size);

        *ret_previous = json_string_value(json_object_get(object, "previous"));
        return object;
}

/* Close what a crash or a full disk left of a line, and remember what it was: nothing is ever taken away from
 * this file, and the next record vouches for the torn part beside linking to the last whole one. */
static int close_torn(struct audit *audit) {
        _cleanup_bytes_ struct bytes torn = BYTES_NULL;
        off_t size = lseek(audit->fd, 0, SEEK_END);
        int r = size < 0 ? -errno : 0;

        audit->torn[0] = '\0';
        if (r >= 0 && size > audit->whole) {
                size_t n = (size_t)(size - audit->whole);

                r = bytes_reserve(&torn, n + 1);
                if (r >= 0)
                        r = pread_exactly(audit->fd, torn.data, n, (uint64_t)audit->whole);
                if (r >= 0 && torn.data[n - 1] != '\n') {
                        torn.data[n++] = '\n';
                        r = write_all(audit->fd, "\n", 1);
                }
                if (r >= 0)
                        hash_line(torn.data, n, audit->torn);
        }
        audit->cut = r < 0;
        return r;
}

/* The chain goes on from the last whole record of the file. */
static int continue_chain(struct audit *audit, const char *path, struct error *reterr) {
        _cleanup_free_ char *tail = NULL;
        off_t size = lseek(audit->fd, 0, SEEK_END);
        size_t n = (size_t)size < TAIL_MAX ? (size_t)size : TAIL_MAX, end, start;
        bool found = false;
        int r;

        first_hash(audit->head);
        if (size <= 0)
                return 0;
        tail = malloc(n);
        if (!tail)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = pread_exactly(audit->fd, tail, n, (uint64_t)size - n);
        for (end = n; r >= 0 && !found && end > 0; end = start) {
                _cleanup_json_ json_t *object = NULL;
                const char *previous;

                for (start = end - 1; start > 0 && tail[start - 1] != '\n'; start--)
                        continue;
                if (tail[end - 1] != '\n')
                        continue;
                object = parse_record(tail + start, end - 1 - start, &previous);
                found = previous;
                if (found) {
                        hash_line(tail + start, end - 1 - start, audit->head);
                        audit->whole = size - (off_t)(n - end);
                }
        }
        if (r >= 0 && !found && n < (size_t)size)
                r = -EBADMSG;
        if (r >= 0)
                r = close_torn(audit);
        return r < 0 ? error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot continue the audit file %s",
                                       path)
                     : 0;
}

/* Two that write would each link to a line before the other's. */
static int open_file(struct audit *audit, struct error *reterr) {
        audit->fd = open(audit->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (audit->fd < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno, "cannot open the audit file %s",
                                       audit->path);
        if (flock(audit->fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK
                               ? error_set(reterr, ERROR_WRONG_STATE,
                                           "another qt-kms-proxy writes the audit file %s; end it first, or "
                                           "give each an audit-file and listeners of its own",
                                           audit->path)
                               : error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno,
                                                 "cannot lock the audit file %s", audit->path);
        return continue_chain(audit, audit->path, reterr);
}

int audit_open(const char *path, struct audit **ret, struct error *reterr) {
        _cleanup_(audit_closep) struct audit *audit = calloc(1, sizeof(*audit));
        int r;

        if (!audit)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        audit->fd = -1;
        if (path) {
                audit->path = strdup(path);
                r = audit->path ? open_file(audit, reterr)
                                : error_set(reterr, ERROR_INTERNAL, "out of memory");
                if (r < 0)
                        return r;
        }
        *ret = TAKE(audit);
        return 0;
}

static bool was_moved(const struct audit *audit) {
        struct stat open_one, named;

        return fstat(audit->fd, &open_one) >= 0 &&
               (stat(audit->path, &named) < 0 || open_one.st_dev != named.st_dev ||
                open_one.st_ino != named.st_ino);
}

int audit_reopen(struct audit *audit, struct error *reterr) {
        _cleanup_(audit_closep) struct audit *next = NULL;
        int r;

        if (!audit->path || !was_moved(audit))
                return 0;
        r = audit_open(audit->path, &next, reterr);
        if (r < 0)
                return r;
        (void)close_fd(audit->fd);
        audit->fd = TAKE_FD(next->fd);
        audit->cut = next->cut;
        audit->whole = next->whole;
        memcpy(audit->torn, next->torn, sizeof(audit->torn));
        if (audit->whole > 0) /* the chain of that file, else the one of the file before */
                memcpy(audit->head, next->head, sizeof(audit->head));
        log_notice("opened the audit file %s anew; its next record follows the head %s", audit->path,
                   audit->head);
        return 0;
}

void audit_close(struct audit *audit) {
        if (!audit)
                return;
        (void)close_fd(audit->fd);
        free(audit->path);
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
                { "peer_port", "PEER_PORT", NULL, r->peer_port },
                { "peer_uid", "PEER_UID", NULL, r->peer_uid },
                { "mode", "MODE", r->mode, 0 },
                { "listener", "LISTENER", r->listener, 0 },
                { "verdict", "VERDICT", r->verdict, 0 },
                { "reason", "REASON", r->reason, 0 },
                { "repeated", "REPEATED", NULL, r->repeated },
                { "name", "SERVER_NAME", r->name, 0 },
                { "address", "ADDRESS", r->address, 0 },
                { "error", "ERROR", r->error, 0 },
                { "bytes_out", "BYTES_OUT", NULL, r->bytes_out },
                { "bytes_in", "BYTES_IN", NULL, r->bytes_in },
                { "duration_usec", "DURATION_USEC", NULL, r->duration_usec },
                { "operation", "OPERATION", r->operation, 0 },
                { "key_id", "KEY_ID", r->key_id, 0 },
                { "document_sha256", "DOCUMENT_SHA256", r->document_sha256, 0 },
                { "module_id", "MODULE_ID", r->module_id, 0 },
                { "pcr0", "PCR0", r->pcr0, 0 },
                { "document_reason", "DOCUMENT_REASON", r->document_reason, 0 },
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
        if (r >= 0 && audit->torn[0])
                r = json_object_set_new(object, "torn", json_string(audit->torn)) < 0 ? -ENOMEM : 0;
        if (r >= 0 && audit->lost)
                r = json_object_set_new(object, "lost", json_integer((json_int_t)audit->lost)) < 0 ? -ENOMEM
                                                                                                   : 0;
        if (r >= 0)
                r = json_append(&line, object);
        if (r < 0)
                return r;
        hash_line(line.data, line.size, head);
        r = bytes_text(&line, "\n");
        if (r >= 0)
                r = write_all(audit->fd, line.data, line.size);
        if (r < 0)
                audit->cut = true;
        else {
                memcpy(audit->head, head, sizeof(head));
                audit->torn[0] = '\0';
                audit->whole = lseek(audit->fd, 0, SEEK_END);
        }
        return r;
}

/* Said when it begins and when it is over, not for each record. */
static void count_lost(struct audit *audit, int r) {
        if (r < 0) {
                if (audit->lost == 0)
                        log_error("cannot write the audit file %s: %s; until it can be written, records are "
                                  "in the journal only",
                                  audit->path, strerror(-r));
                audit->lost++;
                audit->failures++;
        } else if (audit->lost) {
                log_notice("the audit file %s is written again; it lacks %" PRIu64
                           " records, which are in the journal",
                           audit->path, audit->lost);
                audit->lost = 0;
        }
}

void audit_write(struct audit *audit, const struct audit_record *record) {
        struct audit_field fields[AUDIT_FIELDS_MAX];
        size_t n = list_fields(record, fields);
        int r;

        write_journal(record, fields, n);
        if (audit->fd < 0)
                return;
        r = audit->cut ? close_torn(audit) : 0;
        if (r >= 0)
                r = write_line(audit, fields, n);
        count_lost(audit, r);
}

uint64_t audit_failures(const struct audit *audit) {
        return audit->failures;
}

static int broken(struct error *reterr, const char *path, uint64_t line, const char *what) {
        return error_set(reterr, ERROR_VERIFY_FAILED, "%s:%" PRIu64 ": %s", path, line, what);
}

#define NOT_A_RECORD                                                                                         \
        "not a record of qt-kms-proxy, nor a part of one that the next record vouches for: it was changed, " \
        "or "                                                                                                \
        "something else wrote here; compare it with the journal, which has the same records, and move the "  \
        "file away before the proxy is restarted"

#define BREAKS_HERE "the chain breaks here: the line before was changed, removed or inserted"
#define BEGINS_ELSEWHERE                                                           \
        "the chain does not begin here: lines before were removed, or it follows " \
        "another file, whose head (audit verify prints it) goes with --after"

/* A record behind a torn line must say so, and no other may. Empties torn. */
static int check_torn(const json_t *object, struct bytes *torn) {
        const char *said = json_string_value(json_object_get(object, "torn"));
        char hash[HASH_TEXT];

        if (torn->size == 0)
                return said ? -EBADMSG : 0;
        hash_line(torn->data, torn->size, hash);
        bytes_clear(torn);
        return said && strcmp(said, hash) == 0 ? 0 : -EBADMSG;
}

/* One whole record more. */
static void count_record(struct audit_chain *chain, const char *head, bool *found, const json_t *object,
                         const char *line, size_t size) {
        json_int_t lost = json_integer_value(json_object_get(object, "lost"));

        hash_line(line, size, chain->head);
        chain->n_lost += lost > 0 ? (uint64_t)lost : 0;
        chain->n_records++;
        chain->n_following += *found;
        *found = *found || (head && strcmp(head, chain->head) == 0);
}

int audit_verify(const char *path, const char *after, const char *head, struct audit_chain *ret,
                 struct error *reterr) {
        _cleanup_(fclosep) FILE *file = fopen(path, "re");
        _cleanup_free_ char *line = NULL;
        size_t capacity = 0;
        _cleanup_bytes_ struct bytes torn = BYTES_NULL;
        bool found = false;
        uint64_t n = 0;
        ssize_t size;

        if (!file)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot read the audit file %s",
                                       path);
        *ret = (struct audit_chain){ .n_records = 0 };
        first_hash(ret->head);
        if (after)
                (void)snprintf(ret->head, sizeof(ret->head), "%s", after);
        while ((size = getline(&line, &capacity, file)) > 0) {
                _cleanup_json_ json_t *object = NULL;
                const char *previous;
                int r;

                n++;
                if ((size_t)size > LINE_MAX_SIZE || line[size - 1] != '\n')
                        return broken(reterr, path, n, "the line is too long or was cut short");
                object = parse_record(line, (size_t)size - 1, &previous);
                r = previous ? check_torn(object, &torn) : bytes_append(&torn, line, (size_t)size);
                if (r < 0)
                        return broken(reterr, path, n - (previous != NULL), NOT_A_RECORD);
                if (!previous)
                        continue;
                if (strcmp(previous, ret->head) != 0)
                        return broken(reterr, path, n, ret->n_records ? BREAKS_HERE : BEGINS_ELSEWHERE);
                count_record(ret, head, &found, object, line, (size_t)size - 1);
        }
        if (torn.size)
                return broken(reterr, path, n, NOT_A_RECORD);
        if (ferror(file))
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot read the audit file %s",
                                       path);
        if (head && !found)
                return broken(reterr, path, n,
                              "the chain is whole but no record has the head that was given: lines were "
                              "cut off, or it is another file");
        return 0;
}
