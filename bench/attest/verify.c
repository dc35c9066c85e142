/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Documents a second and core, against a straight program that does only the five curve operations of a
 * document, with keys that it has imported before: bench/verify [DOCUMENT ROOT…]. Without arguments on a
 * document of the local security module. Rounds of all kinds alternate, so that a change of the machine's
 * mood meets all; medians and ratios to the straight program are printed. With --million: verifies a million
 * documents and prints the memory before and after.
 */

#define OPENSSL_SUPPRESS_DEPRECATED

#include "attest/chain.h"
#include "attest/cose.h"
#include "attest/digest.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "monitor/secmod/module.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define ROUNDS 7
#define ROUND_SECONDS 1.0
#define MAX_OPERATIONS (CHAIN_MAX + 1)

/* One curve operation, ready to be done. */
struct operation {
        EC_KEY *key;
        ECDSA_SIG *signature;
        uint8_t hash[SHA384_BYTES];
};

struct bench {
        uint8_t document[65536];
        size_t size;
        struct operation operations[MAX_OPERATIONS];
        size_t n_operations;
        struct qtattest_context *contexts[3]; /* no cache, authorities, leaves too */
        struct qtattest_request request;
};

static _Noreturn void die(const char *what) {
        (void)fprintf(stderr, "%s\n", what);
        exit(1);
}

static double cpu_seconds(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add_operation(struct bench *b, const uint8_t *point, const uint8_t *hash, const uint8_t *r,
                          const uint8_t *s) {
        struct operation *o = &b->operations[b->n_operations++];

        o->key = EC_KEY_new_by_curve_name(NID_secp384r1);
        o->signature = ECDSA_SIG_new();
        if (EC_KEY_oct2key(o->key, point, P384_POINT_BYTES, NULL) != 1 ||
            ECDSA_SIG_set0(o->signature, BN_bin2bn(r, 48, NULL), BN_bin2bn(s, 48, NULL)) != 1)
                die("no key");
        memcpy(o->hash, hash, SHA384_BYTES);
}

static void reverse(uint8_t *bytes) {
        for (size_t i = 0; i < P384_BYTES / 2; i++) {
                uint8_t byte = bytes[i];

                bytes[i] = bytes[P384_BYTES - 1 - i];
                bytes[P384_BYTES - 1 - i] = byte;
        }
}

/* What a straight program would have in front of it after reading the document. */
static void prepare_straight(struct bench *b) {
        static struct chain chain;
        struct document d;
        struct cose cose;
        uint8_t hash[SHA384_BYTES], halves[COSE_SIGNATURE_BYTES];
        const struct certificate *leaf;

        if (cose_parse((struct span){ b->document, b->size }, &cose) != QTATTEST_OK ||
            document_parse(cose.payload, &d) != QTATTEST_OK ||
            chain_parse(&d, b->contexts[0], QTATTEST_ANY, &chain) != QTATTEST_OK)
                die("the document is none, or its root is not given");
        for (size_t i = 1; i < chain.n; i++) {
                const struct certificate *c = &chain.certificates[i];

                (void)digest_sha384(&c->signed_part, 1, hash);
                add_operation(b, chain.certificates[i - 1].point.data, hash, c->signature.r, c->signature.s);
        }
        leaf = &chain.certificates[chain.n - 1];
        (void)cose_digest(&cose, hash);
        memcpy(halves, cose.signature.data, sizeof(halves));
        if (!p384_in_range(halves) || !p384_in_range(halves + P384_BYTES) ||
            !p384_verify(b->contexts[0]->curve, leaf->point.data, hash, halves, halves + P384_BYTES)) {
                reverse(halves);
                reverse(halves + P384_BYTES);
        }
        add_operation(b, leaf->point.data, hash, halves, halves + P384_BYTES);
}

static void verify_straight(const struct bench *b) {
        for (size_t i = 0; i < b->n_operations; i++)
                if (ECDSA_do_verify(b->operations[i].hash, SHA384_BYTES, b->operations[i].signature,
                                    b->operations[i].key) != 1)
                        die("the straight program refuses");
}

static void verify(const struct bench *b, struct qtattest_context *context) {
        struct qtattest_result *result = NULL;

        if (qtattest_verify(context, b->document, b->size, NULL, &b->request, &result) < 0 ||
            !qtattest_accepted(result))
                die("the library refuses");
        qtattest_result_free(result);
}

/* kind 0: the straight program; else contexts[kind - 1]. Documents a second. */
static double measure(const struct bench *b, int kind) {
        double begin = cpu_seconds(), elapsed;
        unsigned n = 0;

        do {
                for (int i = 0; i < 16; i++, n++)
                        if (kind == 0)
                                verify_straight(b);
                        else
                                verify(b, b->contexts[kind - 1]);
                elapsed = cpu_seconds() - begin;
        } while (elapsed < ROUND_SECONDS);
        return n / elapsed;
}

static int by_value(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static long resident_kib(void) {
        _cleanup_free_ char *text = NULL;
        long pages = 0;
        size_t n;

        if (read_text_file(AT_FDCWD, "/proc/self/statm", 4096, &text, &n) < 0 ||
            sscanf(text, "%*d %ld", &pages) != 1)
                return -1;
        return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void compare(const struct bench *b) {
        static const char *const names[] = { "straight, five operations", "library, no cache",
                                             "library, authorities cached", "library, leaf cached too" };
        double rates[ELEMENTSOF(names)][ROUNDS];

        for (int round = 0; round < ROUNDS; round++)
                for (size_t kind = 0; kind < ELEMENTSOF(names); kind++)
                        rates[kind][round] = measure(b, (int)kind);
        for (size_t kind = 0; kind < ELEMENTSOF(names); kind++)
                qsort(rates[kind], ROUNDS, sizeof(double), by_value);
        for (size_t kind = 0; kind < ELEMENTSOF(names); kind++)
                (void)printf("%-28s %7.0f documents/s (%.0f-%.0f)  ratio %.2f\n", names[kind],
                             rates[kind][ROUNDS / 2], rates[kind][0], rates[kind][ROUNDS - 1],
                             rates[kind][ROUNDS / 2] / rates[0][ROUNDS / 2]);
}

static void million(const struct bench *b) {
        long first = 0;

        for (unsigned i = 0; i < 1000000; i++) {
                verify(b, b->contexts[2]);
                if (i == 1000)
                        first = resident_kib();
        }
        (void)printf("a million documents: %ld KiB resident after the first thousand, %ld KiB at the end\n",
                     first, resident_kib());
}

/* A document of the local module, and its root. */
static void make_document(struct bench *b, char *ret_root, size_t *ret_root_size) {
        char path[] = "/tmp/qt-bench-XXXXXX";
        struct secmod_config config = { .platform = SECMOD_NITRO };
        struct nsm_request request = { .operation = NSM_ATTESTATION };
        struct cbor_writer w = cbor_into(b->document, sizeof(b->document));
        _cleanup_free_ char *pem = NULL;
        _cleanup_close_ int fd = -1;
        struct module m;

        memset(config.measurements.pcr0, 1, 48);
        if (!mkdtemp(path) || (fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
                die("no directory");
        config.pki_directory_fd = fd;
        if (module_init(&m, &config, NULL) < 0 ||
            module_make_document(&m, &request, (int64_t)time(NULL) * 1000, &w) != NSM_ERROR_SUCCESS ||
            read_text_file(fd, "root.pem", 4096, &pem, ret_root_size) < 0)
                die("no document");
        b->size = w.used;
        memcpy(ret_root, pem, *ret_root_size);
        module_done(&m);
        (void)unlinkat(fd, "root.pem", 0);
        (void)unlinkat(fd, "root.key", 0);
        (void)rmdir(path);
}

static void read_file(const char *path, void *ret, size_t size, size_t *ret_size) {
        _cleanup_free_ char *data = NULL;

        if (read_text_file(AT_FDCWD, path, size, &data, ret_size) < 0)
                die(path);
        memcpy(ret, data, *ret_size);
}

int main(int argc, char **argv) {
        static struct bench b;
        bool many = argc > 1 && strcmp(argv[1], "--million") == 0;
        char root[65536];
        size_t n;

        for (int i = 0; i < 3; i++)
                if (qtattest_context_new(i > 0 ? 1024 : 0,
                                         i == 2 ? QTATTEST_CACHE_LEAVES : QTATTEST_CACHE_AUTHORITIES,
                                         &b.contexts[i]) < 0)
                        die("no context");
        argv += many;
        argc -= many;
        if (argc > 1)
                read_file(argv[1], b.document, sizeof(b.document), &b.size);
        else
                make_document(&b, root, &n);
        for (int i = 2; i < (argc > 1 ? argc : 3); i++) {
                if (argc > 1)
                        read_file(argv[i], root, sizeof(root), &n);
                for (int k = 0; k < 3; k++)
                        (void)qtattest_context_add_root(b.contexts[k], QTATTEST_ANY, root, n);
        }
        b.request = (struct qtattest_request){ .struct_size = sizeof(b.request),
                                               .profiles = QTATTEST_ANY,
                                               .time = QTATTEST_TIME_DOCUMENT,
                                               .insecure_allow_debug = true,
                                               .insecure_accept_any_measurement = true };
        prepare_straight(&b);
        if (many)
                million(&b);
        else
                compare(&b);
        (void)printf("resident: %ld KiB\n", resident_kib());
        return 0;
}
