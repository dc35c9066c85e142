/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/loading.h"

#include "base/cleanup.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <sched.h>

struct fixture {
        sd_event *event;
        struct loading *loading;
        bool waits; /* the work, until it is cancelled */
        unsigned done;
        int r;
        char *message;
};

static int set_up(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        assert_true(sd_event_new(&f->event) >= 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *f = *state;

        f->loading = loading_free(f->loading);
        sd_event_unref(f->event);
        free(f->message);
        free(f);
        return 0;
}

static int work(void *userdata, const atomic_bool *cancelled, struct error *reterr) {
        const struct fixture *f = userdata;

        if (!f->waits)
                return 7;
        while (!atomic_load(cancelled))
                (void)sched_yield();
        return error_set(reterr, ERROR_INTERNAL, "given up");
}

static void done(void *userdata, int r, struct error *problem) {
        struct fixture *f = userdata;

        f->done++;
        f->r = r;
        f->message = problem->message ? strdup(problem->message) : NULL;
        f->loading = loading_free(f->loading); /* allowed here */
        (void)sd_event_exit(f->event, 0);
}

static int on_idle(sd_event_source *source, void *userdata) {
        struct fixture *f = userdata;

        (void)source;
        loading_cancel(f->loading);
        return 0;
}

static void tells_its_result(void **state) {
        struct fixture *f = *state;

        assert_int_equal(loading_new(&f->loading, f->event, work, done, f), 0);
        assert_true(sd_event_loop(f->event) >= 0);
        assert_int_equal(f->done, 1);
        assert_int_equal(f->r, 7);
        assert_null(f->message);
}

/* The loop turns while the work is under way. */
static void is_cancelled_from_the_loop(void **state) {
        struct fixture *f = *state;

        f->waits = true;
        assert_int_equal(loading_new(&f->loading, f->event, work, done, f), 0);
        assert_true(sd_event_add_defer(f->event, NULL, on_idle, f) >= 0);
        assert_true(sd_event_loop(f->event) >= 0);
        assert_int_equal(f->done, 1);
        assert_int_equal(f->r, ERROR_DESCRIBED);
        assert_string_equal(f->message, "given up");
}

static void is_freed_while_it_works(void **state) {
        struct fixture *f = *state;

        f->waits = true;
        assert_int_equal(loading_new(&f->loading, f->event, work, done, f), 0);
        f->loading = loading_free(f->loading);
        assert_int_equal(sd_event_run(f->event, 0), 0);
        assert_int_equal(f->done, 0);
        assert_null(loading_free(NULL));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(tells_its_result, set_up, tear_down),
                cmocka_unit_test_setup_teardown(is_cancelled_from_the_loop, set_up, tear_down),
                cmocka_unit_test_setup_teardown(is_freed_while_it_works, set_up, tear_down),
        };

        return unit_run("loading", tests);
}
