/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a fuzz target over every file of a corpus directory, so that yesterday's crash is today's regression
 * test. */

#include "base/cleanup.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv) {
        _cleanup_(closedirp) DIR *directory = NULL;
        struct dirent *entry;
        unsigned n = 0;

        if (argc != 2 || !(directory = opendir(argv[1]))) {
                (void)fprintf(stderr, "usage: replay CORPUS-DIRECTORY\n");
                return 2;
        }
        while ((entry = readdir(directory))) {
                _cleanup_free_ char *data = NULL;
                _cleanup_free_ uint8_t *exact = NULL;
                size_t size;

                if (entry->d_name[0] == '.')
                        continue;
                if (read_text_file(dirfd(directory), entry->d_name, 64 << 20, &data, &size) < 0) {
                        (void)printf("not ok %u - %s is unreadable\n", ++n, entry->d_name);
                        continue;
                }
                /* A copy of exactly that size, so that a read past the end is one past the allocation. */
                exact = malloc(size ? size : 1);
                if (!exact)
                        return 1;
                memcpy(exact, data, size);
                (void)LLVMFuzzerTestOneInput(exact, size);
                (void)printf("ok %u - %s\n", ++n, entry->d_name);
                (void)fflush(stdout);
        }
        if (n == 0)
                (void)printf("not ok 1 - the corpus is empty\n");
        (void)printf("1..%u\n", n ? n : 1);
        return 0;
}
