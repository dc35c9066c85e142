/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/layer_stream.h"

#include "base/parse.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>

#define CHUNK (128U << 10)

struct layer_stream {
        struct blob blob; /* offset and size move as it is read */
        const char *what;
        struct archive *archive;
        EVP_MD_CTX *of_blob, *of_content;
        uint64_t limit, taken;
        struct error *reterr; /* of the call at hand, for the callback */
        bool failed;          /* the callback described it */
        uint8_t buffer[CHUNK];
};

struct layer_stream *layer_stream_free(struct layer_stream *s) {
        if (!s)
                return NULL;
        if (s->archive)
                (void)archive_read_free(s->archive);
        EVP_MD_CTX_free(s->of_blob);
        EVP_MD_CTX_free(s->of_content);
        free(s);
        return NULL;
}

static la_ssize_t read_blob(struct archive *a _unused_, void *userdata, const void **ret) {
        struct layer_stream *s = userdata;
        size_t ask = s->blob.size < CHUNK ? (size_t)s->blob.size : CHUNK;
        ssize_t n;

        do
                n = pread(s->blob.fd, s->buffer, ask, (off_t)s->blob.offset);
        while (n < 0 && errno == EINTR);
        if (n < 0 || EVP_DigestUpdate(s->of_blob, s->buffer, (size_t)n) != 1) {
                (void)error_set_errno(s->reterr, ERROR_FILE_UNREADABLE, n < 0 ? errno : EIO, "%s", s->what);
                s->failed = true;
                return -1;
        }
        s->blob.offset += (uint64_t)n;
        s->blob.size -= (uint64_t)n;
        *ret = s->buffer;
        return n;
}

static int broken(struct layer_stream *s, struct error *reterr) {
        const char *why = archive_error_string(s->archive);

        if (s->failed)
                return ERROR_DESCRIBED;
        return error_set(reterr, ERROR_SOURCE_INVALID, "%s: cannot be unpacked: %s", s->what,
                         why ? why : "broken data");
}

static EVP_MD_CTX *sha256_new(void) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();

        if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
                EVP_MD_CTX_free(context);
                return NULL;
        }
        return context;
}

static int open_stream(struct layer_stream *s, struct error *reterr) {
        struct archive_entry *entry;

        s->limit = UINT64_MAX;
        s->reterr = reterr;
        s->archive = archive_read_new();
        s->of_blob = sha256_new();
        s->of_content = sha256_new();
        if (!s->archive || !s->of_blob || !s->of_content)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (archive_read_support_filter_gzip(s->archive) < ARCHIVE_WARN ||
            archive_read_support_filter_zstd(s->archive) < ARCHIVE_WARN ||
            archive_read_support_format_raw(s->archive) < ARCHIVE_WARN ||
            archive_read_open(s->archive, s, NULL, read_blob, NULL) != ARCHIVE_OK ||
            archive_read_next_header(s->archive, &entry) != ARCHIVE_OK)
                return broken(s, reterr);
        return 0;
}

int layer_stream_new(struct layer_stream **ret, const struct blob *blob, const char *what,
                     struct error *reterr) {
        struct layer_stream *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        s->blob = *blob;
        s->what = what;
        r = open_stream(s, reterr);
        if (r < 0) {
                (void)layer_stream_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

bool layer_stream_is_packed(const struct layer_stream *s) {
        return archive_filter_code(s->archive, 0) != ARCHIVE_FILTER_NONE;
}

static int64_t read_content(void *userdata, void *data, size_t n, struct error *reterr) {
        struct layer_stream *s = userdata;
        la_ssize_t got;

        s->reterr = reterr;
        got = archive_read_data(s->archive, data, n);
        if (got < 0)
                return broken(s, reterr);
        if (EVP_DigestUpdate(s->of_content, data, (size_t)got) != 1)
                return error_set(reterr, ERROR_INTERNAL, "SHA-256 failed");
        s->taken += (uint64_t)got;
        if (s->taken > s->limit)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                 "%s: unpacks to more than the image may have in all; raise the limit with "
                                 "--max-size if that is meant",
                                 s->what);
        return got;
}

struct byte_source layer_stream_source(struct layer_stream *s) {
        return (struct byte_source){ read_content, s };
}

void layer_stream_limit(struct layer_stream *s, uint64_t bytes) {
        s->limit = bytes;
}

uint64_t layer_stream_taken(const struct layer_stream *s) {
        return s->taken;
}

static int digest_text(EVP_MD_CTX *context, char *ret, struct error *reterr) {
        uint8_t digest[32];

        if (EVP_DigestFinal_ex(context, digest, NULL) != 1)
                return error_set(reterr, ERROR_INTERNAL, "SHA-256 failed");
        memcpy(ret, "sha256:", 7);
        format_hex(digest, sizeof(digest), ret + 7);
        return 0;
}

int layer_stream_finish(struct layer_stream *s, char ret_blob[LAYER_DIGEST_SIZE],
                        char ret_content[LAYER_DIGEST_SIZE], struct error *reterr) {
        _cleanup_free_ char *waste = malloc(CHUNK);
        const void *ignored;
        la_ssize_t left;
        int64_t n;
        int r;

        if (!waste)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        while ((n = read_content(s, waste, CHUNK, reterr)) > 0)
                ;
        if (n < 0)
                return (int)n;
        /* What follows the packed stream belongs to the blob's digest too. */
        do
                left = read_blob(s->archive, s, &ignored);
        while (left > 0);
        if (left < 0)
                return ERROR_DESCRIBED;
        r = digest_text(s->of_blob, ret_blob, reterr);
        return r < 0 ? r : digest_text(s->of_content, ret_content, reterr);
}
