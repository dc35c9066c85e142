/* SPDX-License-Identifier: Apache-2.0 */

/* A cpio archive, entry by entry; odd entries are read, even ones passed over. */

#include "eif/cpio_read.h"

#include "base/buffer.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ssize_t from_memory(void *userdata, void *data, size_t n, struct error *reterr _unused_) {
        struct reader *r = userdata;

        if (n > reader_left(r))
                n = reader_left(r);
        if (n > 0)
                memcpy(data, reader_take(r, n), n);
        return (ssize_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct reader bytes = reader_over(data, size);
        const struct byte_source source = { .read = from_memory, .userdata = &bytes };
        _cleanup_error_ struct error error = ERROR_NULL;
        struct cpio_reader r;
        struct cpio_record record;
        uint8_t buffer[97];

        cpio_reader_init(&r, &source);
        for (unsigned i = 0; cpio_reader_next(&r, &record, &error) > 0; i++) {
                uint64_t total = 0;
                ssize_t n;

                assert(record.name[0] == '\0' || strlen(record.name) < CPIO_READ_NAME_MAX);
                if (i % 2 == 0)
                        continue;
                while ((n = cpio_reader_data(&r, buffer, sizeof(buffer), &error)) > 0)
                        total += (uint64_t)n;
                if (n < 0)
                        return 0;
                assert(total == record.size);
        }
        assert(r.position <= size);
        return 0;
}
