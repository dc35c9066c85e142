/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/ramdisk_compress.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define CHUNK (64U << 10)
/* Half-way between speed and size; the window stays at 4 MiB, which the kernel allocates when it unpacks. */
#define ZSTD_LEVEL 9
#define GZIP_LEVEL 6
#define GZIP_WINDOW (15 + 16) /* the largest window, with gzip's header */

struct compressor {
        enum ramdisk_compression kind;
        struct sink to;
        uint64_t taken, given;
        z_stream gzip;
        ZSTD_CCtx *zstd;
        uint8_t out[CHUNK];
};

struct compressor *compressor_new(enum ramdisk_compression kind, const struct sink *to) {
        struct compressor *c = calloc(1, sizeof(*c));
        bool ok = true;

        if (!c)
                return NULL;
        c->to = *to;
        if (kind == RAMDISK_GZIP)
                ok = deflateInit2(&c->gzip, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) ==
                     Z_OK;
        if (kind == RAMDISK_ZSTD) {
                c->zstd = ZSTD_createCCtx();
                ok = c->zstd &&
                     !ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) &&
                     !ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_checksumFlag, 1));
        }
        if (ok)
                c->kind = kind;
        return ok ? c : compressor_free(c);
}

struct compressor *compressor_free(struct compressor *c) {
        if (!c)
                return NULL;
        if (c->kind == RAMDISK_GZIP)
                (void)deflateEnd(&c->gzip);
        (void)ZSTD_freeCCtx(c->zstd);
        free(c);
        return NULL;
}

static int give(struct compressor *c, const void *data, size_t n, struct error *reterr) {
        c->given += n;
        return n > 0 ? sink_write(&c->to, data, n, reterr) : 0;
}

static int gzip_write(struct compressor *c, const void *data, size_t n, bool end, struct error *reterr) {
        int status;

        /* n is at most what a caller's buffer holds, far below 4 GiB; zlib takes unsigned int. */
        c->gzip.next_in = (Bytef *)data;
        c->gzip.avail_in = (uInt)n;
        do {
                int r;

                c->gzip.next_out = c->out;
                c->gzip.avail_out = CHUNK;
                status = deflate(&c->gzip, end ? Z_FINISH : Z_NO_FLUSH);
                if (status == Z_STREAM_ERROR)
                        return error_set(reterr, ERROR_INTERNAL, "zlib refuses to compress");
                r = give(c, c->out, CHUNK - c->gzip.avail_out, reterr);
                if (r < 0)
                        return r;
        } while (end ? status != Z_STREAM_END : c->gzip.avail_out == 0);
        return 0;
}

static int zstd_write(struct compressor *c, const void *data, size_t n, bool end, struct error *reterr) {
        ZSTD_inBuffer in = { .src = data, .size = n };
        size_t left;

        do {
                ZSTD_outBuffer out = { .dst = c->out, .size = CHUNK };
                int r;

                left = ZSTD_compressStream2(c->zstd, &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
                if (ZSTD_isError(left))
                        return error_set(reterr, ERROR_INTERNAL, "zstd refuses to compress: %s",
                                         ZSTD_getErrorName(left));
                r = give(c, c->out, out.pos, reterr);
                if (r < 0)
                        return r;
        } while (end ? left > 0 : in.pos < in.size);
        return 0;
}

static int take(void *userdata, const void *data, size_t n, struct error *reterr) {
        struct compressor *c = userdata;

        c->taken += n;
        switch (c->kind) {
        case RAMDISK_GZIP:
                return gzip_write(c, data, n, false, reterr);
        case RAMDISK_ZSTD:
                return zstd_write(c, data, n, false, reterr);
        default:
                return give(c, data, n, reterr);
        }
}

struct sink compressor_sink(struct compressor *c) {
        return (struct sink){ take, c };
}

int compressor_finish(struct compressor *c, struct error *reterr) {
        int r = 0;

        if (c->kind == RAMDISK_GZIP)
                r = gzip_write(c, NULL, 0, true, reterr);
        else if (c->kind == RAMDISK_ZSTD)
                r = zstd_write(c, NULL, 0, true, reterr);
        return r < 0 ? r : give(c, "\0\0\0", (4 - c->given % 4) % 4, reterr);
}

uint64_t compressor_taken(const struct compressor *c) {
        return c->taken;
}

uint64_t compressor_given(const struct compressor *c) {
        return c->given;
}
