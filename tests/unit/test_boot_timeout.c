/* SPDX-License-Identifier: Apache-2.0 */

/* How long an enclave may take to boot: what is configured, and more for a larger image and more memory. */

#include "daemon/enclave_internal.h"
#include "daemon/manager.h"
#include "tests/unit/unit.h"

#define MIB ((uint64_t)1 << 20)

static void follows_image_and_memory(void **state _unused_) {
        static const struct {
                uint64_t seconds, image_size, memory_mib, msec;
        } rows[] = {
                { 60, 4096, 0, 60000 },        { 60, 4096, 512, 60512 },
                { 60, MIB - 1, 512, 60512 },   { 60, MIB, 512, 60612 },
                { 60, 128 * MIB, 512, 73312 }, { 60, 128 * MIB, 262144, 334944 },
                { 1, 4096, 128, 1128 },        { 3600, 1024 * MIB, 4096, 3706496 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct manager m = { .config = { .boot_timeout = rows[i].seconds } };
                struct enclave e = { .manager = &m,
                                     .plan = { .image_size = rows[i].image_size,
                                               .memory_mib = rows[i].memory_mib } };

                assert_int_equal(enclave_boot_timeout_msec(&e), rows[i].msec);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = { cmocka_unit_test(follows_image_and_memory) };

        return unit_run("boot_timeout", tests);
}
