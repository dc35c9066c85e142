/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Attested decryptions as fast as they go, through the client that enclaves use:
 *   kms_load PROXY MODULE CIPHERTEXT-FILE THREADS SECONDS CACHE-SECONDS
 * Prints calls per second, all threads together.
 */

#include "base/io.h"
#include "base/parse.h"
#include "guest/kms/client.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

struct worker {
        pthread_t thread;
        struct kms_client_config config;
        struct kms_parameters parameters;
        time_t end;
        unsigned long calls, failures;
};

static time_t now_seconds(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec;
}

static void *work(void *userdata) {
        _cleanup_(kms_client_freep) struct kms_client *client = NULL;
        struct worker *w = userdata;

        if (kms_client_new(&w->config, &client, NULL) < 0)
                return NULL;
        while (now_seconds() < w->end) {
                _cleanup_error_ struct error e = ERROR_NULL;
                _cleanup_bytes_ struct bytes secret = BYTES_NULL;

                if (kms_client_call(client, KMS_DECRYPT, &w->parameters, &secret, NULL, &e) >= 0)
                        w->calls++;
                else if (w->failures++ == 0)
                        (void)fprintf(stderr, "%s\n", e.message ? e.message : "?");
        }
        return NULL;
}

int main(int argc, char **argv) {
        _cleanup_free_ char *ciphertext = NULL;
        _cleanup_free_ struct worker *workers = NULL;
        uint64_t threads, seconds, cache;
        unsigned long calls = 0, failures = 0;
        size_t size;

        if (argc != 7 || parse_u64(argv[4], 1, 64, &threads) < 0 ||
            parse_u64(argv[5], 1, 600, &seconds) < 0 ||
            parse_u64(argv[6], 0, KMS_CACHE_SECONDS_MAX, &cache) < 0 ||
            read_text_file(AT_FDCWD, argv[3], 1 << 16, &ciphertext, &size) < 0)
                return 2;
        ciphertext[strcspn(ciphertext, "\n")] = '\0';
        workers = calloc(threads, sizeof(*workers));
        if (!workers)
                return 1;
        for (uint64_t i = 0; i < threads; i++) {
                workers[i] = (struct worker){
                        .config = { .mode = KMS_MODE_API,
                                    .proxy = argv[1],
                                    .module = argv[2],
                                    .provider = &provider_huawei,
                                    .cache_seconds = (unsigned)cache,
                                    .timeout_usec = 30000000 },
                        .parameters = { .ciphertext = ciphertext },
                        .end = now_seconds() + (time_t)seconds,
                };
                if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
                        return 1;
        }
        for (uint64_t i = 0; i < threads; i++) {
                (void)pthread_join(workers[i].thread, NULL);
                calls += workers[i].calls;
                failures += workers[i].failures;
        }
        (void)printf("%.0f %lu\n", (double)calls / (double)seconds, failures);
        return 0;
}
