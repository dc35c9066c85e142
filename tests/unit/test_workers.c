/* SPDX-License-Identifier: Apache-2.0 */

/* Jobs that nobody waits for any more: out of the queue's front, middle and end, and not out of a thread. */

#include "kms-proxy/workers.h"
#include "tests/unit/unit.h"

#include <semaphore.h>

struct counted {
        struct job job;
        sem_t *begun, *go;
        unsigned *finished; /* how many are to come before the loop may end */
        struct loop *loop;
        _Atomic unsigned worked;
        unsigned done;
};

static void work(struct job *job) {
        struct counted *c = (struct counted *)(void *)job;

        c->worked++;
        if (c->begun) {
                (void)sem_post(c->begun);
                (void)sem_wait(c->go);
        }
}

static void done(struct job *job) {
        struct counted *c = (struct counted *)(void *)job;

        c->done++;
        if (--*c->finished == 0)
                loop_stop(c->loop);
}

static void withdrawn(void **state _unused_) {
        _cleanup_(loop_freep) struct loop *loop = NULL;
        _cleanup_(workers_freep) struct workers *workers = NULL;
        struct counted jobs[6];
        unsigned finished = 3;
        sem_t begun, go;

        (void)sem_init(&begun, 0, 0);
        (void)sem_init(&go, 0, 0);
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(workers_new(loop, 1, &workers), 0);
        for (size_t i = 0; i < ELEMENTSOF(jobs); i++)
                jobs[i] = (struct counted){ .job = { .work = work, .done = done },
                                            .finished = &finished,
                                            .loop = loop };
        jobs[0].begun = &begun;
        jobs[0].go = &go;
        workers_submit(workers, &jobs[0].job);
        (void)sem_wait(&begun); /* the only thread is busy: what follows waits */
        for (size_t i = 1; i < 5; i++)
                workers_submit(workers, &jobs[i].job);
        assert_false(workers_withdraw(workers, &jobs[0].job)); /* in work */
        assert_true(workers_withdraw(workers, &jobs[1].job));
        assert_true(workers_withdraw(workers, &jobs[3].job));
        assert_true(workers_withdraw(workers, &jobs[4].job));
        assert_false(workers_withdraw(workers, &jobs[4].job));
        workers_submit(workers, &jobs[5].job); /* behind the end that was withdrawn */
        (void)sem_post(&go);
        assert_int_equal(loop_run(loop), 0);
        for (size_t i = 0; i < ELEMENTSOF(jobs); i++) {
                bool kept = i == 0 || i == 2 || i == 5;

                assert_int_equal(jobs[i].worked, kept);
                assert_int_equal(jobs[i].done, kept);
        }
        (void)sem_destroy(&begun);
        (void)sem_destroy(&go);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(withdrawn) };

        return unit_run("workers", tests);
}
