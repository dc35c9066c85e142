/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "tests/programs/nitro_device/device_model.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/nitro_enclaves.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define AT (UINT64_C(1) << 40)

static const struct ne_machine machine = {
        .cpus = 16, .threads = 2, .nodes = 2, .max_regions = 3, .slots = NE_SLOTS_MAX
};

/* 64 MiB of physically contiguous 2 MiB pages on node 0. */
#define PAGES 32
static void make_pages(struct ne_page *pages) {
        for (size_t i = 0; i < PAGES; i++)
                pages[i] = (struct ne_page){ .physical = AT + i * 2 * MIB, .size = 2 * MIB, .huge = true };
}

static void make_device(struct ne_device *d) {
        ne_device_init(d, &machine);
        assert_int_equal(ne_set_pool(d, "1-3,9-11", true), 0);
}

static struct ne_enclave *make_enclave(struct ne_device *d, uint64_t memory, unsigned vcpus) {
        struct ne_page pages[PAGES];
        struct ne_enclave *e = NULL;

        make_pages(pages);
        assert_int_equal(ne_create(d, &e), 0);
        if (memory > 0)
                assert_int_equal(ne_add_memory(d, e, true, 0, AT, memory, pages, PAGES), 0);
        for (unsigned i = 0; i < vcpus; i++) {
                uint32_t id = 0;

                assert_int_equal(ne_add_vcpu(d, e, true, &id), 0);
        }
        return e;
}

static void the_pool_has_whole_cores_of_one_node(void **state) {
        static const struct {
                const char *list;
                bool may;
                int r;
        } rows[] = {
                { "1,9", true, 0 },
                { "1-3,9-11\n", true, 0 },
                { "1,,9", true, 0 },
                { "", true, -EINVAL }, /* and yet it empties the pool */
                { "1,9", false, -EPERM },
                { "0,8", true, -EINVAL }, /* the core that boots the parent */
                { "8", true, -EINVAL },
                { "1", true, -EINVAL },        /* half a core */
                { "1,9,4,12", true, -EINVAL }, /* two nodes */
                { "16", true, -EINVAL },
                { "3-1", true, -EINVAL },
                { "-3", true, -EINVAL },
                { "one", true, -EINVAL },
        };
        struct ne_device d;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ne_device_init(&d, &machine);
                assert_int_equal(ne_set_pool(&d, rows[i].list, rows[i].may), rows[i].r);
        }
        make_device(&d);
        (void)make_enclave(&d, 0, 0);
        assert_int_equal(ne_set_pool(&d, "1,9", true), -EPERM);
        assert_string_equal(d.parameter, "1-3,9-11");
        ne_device_done(&d);
}

static void a_refused_pool_is_no_pool(void **state) {
        static const char *const lists[] = { "", "1", "0,8", "1,9,4,12" };
        char too_long[600] = "1,9", text[600];
        struct ne_enclave *e;
        struct ne_device d;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                make_device(&d);
                assert_int_equal(ne_set_pool(&d, lists[i], true), -EINVAL);
                assert_int_equal(ne_create(&d, &e), -NE_ERR_NO_CPUS_AVAIL_IN_POOL);
                ne_get_pool(&d, text, sizeof(text));
                assert_string_equal(text, "\n");
        }
        make_device(&d);
        memset(too_long + 3, ',', 520);
        assert_int_equal(ne_set_pool(&d, too_long, true), -ENOSPC);
        assert_int_equal(ne_create(&d, &e), -NE_ERR_NO_CPUS_AVAIL_IN_POOL);
        assert_int_equal(ne_set_pool(&d, "1-2,9-10\n", true), 0);
        ne_get_pool(&d, text, sizeof(text));
        assert_string_equal(text, "1-2,9-10\n\n"); /* as it was written, and a new line */
}

static void memory_has_rules(void **state) {
        static const struct {
                bool same;
                uint64_t flags, address, size;
                int r;
        } rows[] = {
                { true, 0, AT, 64 * MIB, 0 },
                { true, 1, AT, 64 * MIB, -NE_ERR_INVALID_FLAG_VALUE },
                { false, 0, AT, 64 * MIB, -EIO },
                { true, 0, AT, 0, -ENOMEM },
                { true, 0, AT, 1, -NE_ERR_INVALID_MEM_REGION_SIZE },
                { true, 0, AT, 3 * MIB, -NE_ERR_INVALID_MEM_REGION_SIZE },
                { true, 0, AT + 4096, 64 * MIB, -NE_ERR_UNALIGNED_MEM_REGION_ADDR },
                { true, 0, 0, 64 * MIB, -NE_ERR_INVALID_MEM_REGION_ADDR },
                { true, 0, UINT64_MAX - 2 * MIB + 1, 2 * MIB, -NE_ERR_INVALID_MEM_REGION_ADDR },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct ne_page pages[PAGES];
                struct ne_enclave *e;
                struct ne_device d;

                make_pages(pages);
                make_device(&d);
                assert_int_equal(ne_create(&d, &e), 0);
                assert_int_equal(ne_add_memory(&d, e, rows[i].same, rows[i].flags, rows[i].address,
                                               rows[i].size, pages, PAGES),
                                 rows[i].r);
                ne_device_done(&d);
        }
}

static void pages_have_rules(void **state) {
        struct ne_page pages[PAGES];
        struct ne_enclave *e;
        struct ne_device d;

        (void)state;
        make_device(&d);
        assert_int_equal(ne_create(&d, &e), 0);
        make_pages(pages);
        pages[3].huge = false;
        assert_int_equal(ne_add_memory(&d, e, true, 0, AT, 64 * MIB, pages, PAGES),
                         -NE_ERR_MEM_NOT_HUGE_PAGE);
        make_pages(pages);
        pages[3].size = 64 * 1024;
        assert_int_equal(ne_add_memory(&d, e, true, 0, AT, 64 * MIB, pages, PAGES),
                         -NE_ERR_INVALID_PAGE_SIZE);
        make_pages(pages);
        pages[3].node = 1;
        assert_int_equal(ne_add_memory(&d, e, true, 0, AT, 64 * MIB, pages, PAGES),
                         -NE_ERR_MEM_DIFFERENT_NUMA_NODE);
        make_pages(pages);
        for (size_t i = 0; i < 3; i++) /* each is torn off: four runs, and three are allowed */
                pages[8 * i].physical += 1024 * MIB;
        assert_int_equal(ne_add_memory(&d, e, true, 0, AT, 64 * MIB, pages, PAGES), -NE_ERR_MEM_MAX_REGIONS);
        make_pages(pages);
        assert_int_equal(ne_add_memory(&d, e, true, 0, AT, 64 * MIB, pages, PAGES), 0);
        assert_int_equal(ne_add_memory(&d, e, true, 0, AT + 62 * MIB, 64 * MIB, pages, PAGES),
                         -NE_ERR_MEM_REGION_ALREADY_USED);
        assert_int_equal(e->n_contiguous, 1);
        ne_device_done(&d);
}

static void vcpus_have_rules(void **state) {
        struct ne_enclave *e, *other;
        struct ne_device d;
        uint32_t id;

        (void)state;
        make_device(&d);
        assert_int_equal(ne_create(&d, &e), 0);
        assert_int_equal(ne_create(&d, &other), 0);
        assert_int_equal(ne_add_vcpu(&d, e, false, &(uint32_t){ 1 }), -EIO);
        assert_int_equal(ne_add_vcpu(&d, e, true, &(uint32_t){ 16 }), -NE_ERR_INVALID_VCPU);
        assert_int_equal(ne_add_vcpu(&d, e, true, &(uint32_t){ 4 }), -NE_ERR_VCPU_NOT_IN_CPU_POOL);
        assert_int_equal(ne_add_vcpu(&d, e, true, &(uint32_t){ 2 }), 0);
        assert_int_equal(ne_add_vcpu(&d, e, true, &(uint32_t){ 2 }), -NE_ERR_VCPU_ALREADY_USED);
        assert_int_equal(ne_add_vcpu(&d, other, true, &(uint32_t){ 2 }), -NE_ERR_VCPU_NOT_IN_CPU_POOL);
        assert_int_equal(ne_add_vcpu(&d, other, true, &(uint32_t){ 10 }), -NE_ERR_VCPU_NOT_IN_CPU_POOL);
        /* What it has begun first: core 1 is its own although nobody got its CPU. */
        for (size_t i = 0; i < 3; i++) {
                static const uint32_t picked[] = { 1, 9, 10 };

                id = 0;
                assert_int_equal(ne_add_vcpu(&d, e, true, &id), 0);
                assert_int_equal(id, picked[i]);
        }
        for (int i = 0; i < 2; i++)
                assert_int_equal(ne_add_vcpu(&d, other, true, &(uint32_t){ 0 }), 0);
        assert_int_equal(ne_add_vcpu(&d, other, true, &(uint32_t){ 0 }), -NE_ERR_NO_CPUS_AVAIL_IN_POOL);
        assert_int_equal(ne_create(&d, &e), -NE_ERR_NO_CPUS_AVAIL_IN_POOL);
        ne_device_done(&d);
}

static int start(struct ne_device *d, struct ne_enclave *e, uint64_t flags, uint64_t cid) {
        return ne_start(d, e, true, flags, &cid);
}

static void the_start_has_rules(void **state) {
        struct ne_device d;
        struct ne_enclave *e;
        uint64_t offset;

        (void)state;
        make_device(&d);
        assert_int_equal(start(&d, make_enclave(&d, 0, 2), 0, 16), -NE_ERR_NO_MEM_REGIONS_ADDED);
        assert_int_equal(start(&d, make_enclave(&d, 62 * MIB, 2), 0, 16), -NE_ERR_ENCLAVE_MEM_MIN_SIZE);
        e = make_enclave(&d, 64 * MIB, 0);
        assert_int_equal(start(&d, e, 0, 16), -NE_ERR_NO_VCPUS_ADDED);
        assert_int_equal(ne_add_vcpu(&d, e, true, &(uint32_t){ 3 }), 0);
        assert_int_equal(start(&d, e, 0, 16), -NE_ERR_FULL_CORES_NOT_USED);
        assert_int_equal(ne_add_vcpu(&d, e, true, &(uint32_t){ 11 }), 0);
        assert_int_equal(start(&d, e, 2, 16), -NE_ERR_INVALID_FLAG_VALUE);
        for (uint64_t cid = 1; cid <= 3; cid++)
                assert_int_equal(start(&d, e, 0, cid), -NE_ERR_INVALID_ENCLAVE_CID);
        assert_int_equal(start(&d, e, 0, UINT32_MAX), -NE_ERR_INVALID_ENCLAVE_CID);
        assert_int_equal(start(&d, e, 0, UINT64_C(1) << 32), -NE_ERR_INVALID_ENCLAVE_CID);
        assert_int_equal(ne_start(&d, e, false, 0, &(uint64_t){ 16 }), -EIO);
        assert_int_equal(ne_load_info(e, 0, &offset), -NE_ERR_INVALID_FLAG_VALUE);
        assert_int_equal(ne_load_info(e, NE_EIF_IMAGE, &offset), 0);
        assert_int_equal(offset, 8 * MIB);
        assert_int_equal(start(&d, e, NE_ENCLAVE_DEBUG_MODE, 0), 0);
        assert_int_equal(e->cid, 16);
        assert_true(e->debug);
        assert_int_equal(start(&d, e, 0, 16), -NE_ERR_NOT_IN_INIT_STATE);
        assert_int_equal(ne_load_info(e, NE_EIF_IMAGE, &offset), -NE_ERR_NOT_IN_INIT_STATE);
        assert_int_equal(ne_add_vcpu(&d, e, true, &(uint32_t){ 0 }), -NE_ERR_NOT_IN_INIT_STATE);
        assert_int_equal(ne_check_memory(e, true, 0, AT, 2 * MIB), -NE_ERR_NOT_IN_INIT_STATE);
        ne_device_done(&d);
}

static void a_slot_is_free_once_it_is_released(void **state) {
        struct ne_enclave *all[NE_SLOTS_MAX], *one_more;
        struct ne_device d;

        (void)state;
        make_device(&d);
        d.race_length = 2;
        for (size_t i = 0; i < NE_SLOTS_MAX; i++)
                all[i] = make_enclave(&d, 64 * MIB, 0);
        assert_int_equal(ne_create(&d, &one_more), -ENOSPC);
        for (int i = 0; i < 2; i++)
                assert_int_equal(ne_add_vcpu(&d, all[1], true, &(uint32_t){ 0 }), 0);
        assert_int_equal(start(&d, all[1], 0, 20), 0);
        ne_stop(all[1]);
        assert_int_equal(ne_create(&d, &one_more), -ENOSPC); /* hung up, not closed */
        ne_release(&d, all[1]);
        assert_int_equal(ne_create(&d, &one_more), -EBUSY); /* the race that the test ordered */
        assert_int_equal(ne_create(&d, &one_more), -EBUSY);
        assert_int_equal(ne_create(&d, &one_more), 0);
        assert_int_equal(ne_add_vcpu(&d, one_more, true, &(uint32_t){ 1 }), 0); /* its CPUs came back */
        ne_device_done(&d);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_pool_has_whole_cores_of_one_node),
                cmocka_unit_test(a_refused_pool_is_no_pool),
                cmocka_unit_test(memory_has_rules),
                cmocka_unit_test(pages_have_rules),
                cmocka_unit_test(vcpus_have_rules),
                cmocka_unit_test(the_start_has_rules),
                cmocka_unit_test(a_slot_is_free_once_it_is_released),
        };

        return unit_run("nitro_model", tests);
}
