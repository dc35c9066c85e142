/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/dev/seen.h"

#include "base/cleanup.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#define BEGIN UINT64_C(1000000)
#define KEEP UINT64_C(600)

static int use_nonce(struct seen *s, size_t number, size_t nonce, uint64_t reuse_usec, uint64_t now_usec) {
        uint8_t hash[32] = { 0 }, nonce_hash[32] = { 1 };

        memcpy(hash, &number, sizeof(number));
        memcpy(nonce_hash + 1, &nonce, sizeof(nonce));
        return seen_use(s, hash, nonce_hash, reuse_usec, KEEP, now_usec);
}

static int use(struct seen *s, size_t number, uint64_t reuse_usec, uint64_t now_usec) {
        return use_nonce(s, number, number, reuse_usec, now_usec);
}

/* However many others were used: a document that is young enough to be used again is never forgotten. */
static void good_once(void **state _unused_) {
        struct seen s;

        assert_int_equal(seen_init(&s), 0);
        for (size_t i = 0; i < SEEN_MAX; i++)
                assert_int_equal(use(&s, i, 0, BEGIN + (i >= SEEN_MAX / 2)), 0);
        assert_int_equal(use(&s, SEEN_MAX, 0, BEGIN + KEEP), -ENOSPC);
        assert_int_equal(use(&s, 0, 0, BEGIN + KEEP), -EEXIST);
        assert_int_equal(use(&s, 0, 0, BEGIN - 1), -EEXIST);         /* a clock that went back */
        assert_int_equal(use(&s, SEEN_MAX, 0, BEGIN + KEEP + 1), 0); /* the first half is too old by now */
        assert_int_equal(s.n, SEEN_MAX / 2 + 1);
        assert_int_equal(use(&s, SEEN_MAX - 1, 0, BEGIN + KEEP + 1), -EEXIST);
        seen_done(&s);
}

static void good_for_a_while(void **state _unused_) {
        struct seen s;

        assert_int_equal(seen_init(&s), 0);
        assert_int_equal(use(&s, 7, 100, BEGIN), 0);
        assert_int_equal(use(&s, 7, 100, BEGIN + 99), 0);
        assert_int_equal(use(&s, 7, 100, BEGIN + 100), -EEXIST);
        seen_done(&s);
}

/* Whether or not documents are good for a while: a nonce is good for one of them. */
static void one_nonce(void **state _unused_) {
        struct seen s;

        assert_int_equal(seen_init(&s), 0);
        assert_int_equal(use_nonce(&s, 7, 1, 100, BEGIN), 0);
        assert_int_equal(use_nonce(&s, 8, 1, 100, BEGIN), -ENOTUNIQ);
        assert_int_equal(use_nonce(&s, 7, 1, 100, BEGIN), 0);
        assert_int_equal(use_nonce(&s, 8, 2, 100, BEGIN), 0);
        assert_int_equal(s.n, 2);
        assert_int_equal(use_nonce(&s, 9, 1, 100, BEGIN + KEEP), -ENOTUNIQ);
        assert_int_equal(use_nonce(&s, 9, 1, 100, BEGIN + KEEP + 1), 0);
        seen_done(&s);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(good_once), cmocka_unit_test(good_for_a_while),
                                            cmocka_unit_test(one_nonce) };

        return unit_run("seen", tests);
}
