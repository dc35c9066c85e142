/* SPDX-License-Identifier: Apache-2.0 */

/* Jobs that nobody waits for any more: out of the queue's front, middle and end, and not out of a thread. And
 * parties whose jobs hang: what they leave to others. */

#include "kms-proxy/workers.h"
#include "tests/unit/unit.h"

#include <semaphore.h>

struct counted {
        struct job job;
        sem_t *begun, *go;
        unsigned *finished; /* how many are to come before the loop may end */
        struct loop *loop;
        _Atomic unsigned worked;
        unsigned turn, done;
};

static _Atomic unsigned turns;

static void work(struct job *job) {
        struct counted *c = (struct counted *)(void *)job;

        c->worked++;
        c->turn = ++turns;
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
        struct share share = { .jobs = 0 };
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
        workers_submit(workers, &share, &jobs[0].job);
        (void)sem_wait(&begun); /* the only thread is busy: what follows waits */
        for (size_t i = 1; i < 5; i++)
                workers_submit(workers, &share, &jobs[i].job);
        assert_false(workers_withdraw(workers, &jobs[0].job)); /* in work */
        assert_true(workers_withdraw(workers, &jobs[1].job));
        assert_true(workers_withdraw(workers, &jobs[3].job));
        assert_true(workers_withdraw(workers, &jobs[4].job));
        assert_false(workers_withdraw(workers, &jobs[4].job));
        workers_submit(workers, &share, &jobs[5].job); /* behind the end that was withdrawn */
        (void)sem_post(&go);
        assert_int_equal(share.jobs, 3);
        assert_int_equal(loop_run(loop), 0);
        assert_int_equal(share.jobs, 0);
        for (size_t i = 0; i < ELEMENTSOF(jobs); i++) {
                bool kept = i == 0 || i == 2 || i == 5;

                assert_int_equal(jobs[i].worked, kept);
                assert_int_equal(jobs[i].done, kept);
        }
        (void)sem_destroy(&begun);
        (void)sem_destroy(&go);
}

/* What each test of several parties needs: jobs of one that hang until they are let go, one job of another.
 */
struct parties {
        struct loop *loop;
        struct workers *workers;
        struct share shares[3];
        struct counted hanging[3][6], quick;
        unsigned all, one;
        sem_t begun, go;
};

static void parties_init(struct parties *p, unsigned n_threads) {
        *p = (struct parties){ .one = 1 };
        (void)sem_init(&p->begun, 0, 0);
        (void)sem_init(&p->go, 0, 0);
        assert_int_equal(loop_new(&p->loop), 0);
        assert_int_equal(workers_new(p->loop, n_threads, &p->workers), 0);
}

static void hang(struct parties *p, size_t party, size_t n) {
        for (size_t i = 0; i < n; i++) {
                p->hanging[party][i] = (struct counted){ .job = { .work = work, .done = done },
                                                         .begun = &p->begun,
                                                         .go = &p->go,
                                                         .finished = &p->all,
                                                         .loop = p->loop };
                workers_submit(p->workers, &p->shares[party], &p->hanging[party][i].job);
        }
        p->all += (unsigned)n;
}

/* Runs one job of this party to its end, whatever hangs. */
static void serve_one(struct parties *p, size_t party) {
        p->one = 1;
        p->quick = (struct counted){ .job = { .work = work, .done = done },
                                     .finished = &p->one,
                                     .loop = p->loop };
        workers_submit(p->workers, &p->shares[party], &p->quick.job);
        assert_int_equal(loop_run(p->loop), 0);
        assert_int_equal(p->quick.done, 1);
}

static unsigned in_work(const struct parties *p, size_t party) {
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(p->hanging[party]); i++)
                n += p->hanging[party][i].worked;
        return n;
}

static void parties_done(struct parties *p) {
        for (unsigned i = 0; i < p->all; i++)
                (void)sem_post(&p->go);
        if (p->all)
                assert_int_equal(loop_run(p->loop), 0);
        for (size_t party = 0; party < ELEMENTSOF(p->shares); party++)
                assert_int_equal(p->shares[party].jobs, 0);
        workers_free(p->workers);
        loop_free(p->loop);
        (void)sem_destroy(&p->begun);
        (void)sem_destroy(&p->go);
}

static void hanging(void **state _unused_) {
        struct parties p;

        parties_init(&p, 4);
        hang(&p, 0, 6);
        for (int i = 0; i < 2; i++)
                (void)sem_wait(&p.begun);
        serve_one(&p, 1);
        assert_int_equal(in_work(&p, 0), 2); /* half, and the others wait although threads are idle */
        hang(&p, 1, 6);
        (void)sem_wait(&p.begun);
        serve_one(&p, 2);
        assert_int_equal(in_work(&p, 0), 2);
        assert_int_equal(in_work(&p, 1), 1); /* half of the rest */
        parties_done(&p);
}

static void in_turn(void **state _unused_) {
        struct parties p;

        parties_init(&p, 1);
        hang(&p, 0, 1);
        (void)sem_wait(&p.begun); /* the only thread is busy: what follows waits */
        hang(&p, 1, 4);
        hang(&p, 2, 4);
        for (int i = 0; i < 9; i++)
                (void)sem_post(&p.go);
        assert_int_equal(loop_run(p.loop), 0);
        for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(p.hanging[1][i].turn - p.hanging[0][0].turn, 1 + 2 * i);
                assert_int_equal(p.hanging[2][i].turn - p.hanging[0][0].turn, 2 + 2 * i);
        }
        parties_done(&p);
}

/* What was withdrawn has no turn. */
static void out_of_round(void **state _unused_) {
        struct parties p;

        parties_init(&p, 1);
        hang(&p, 0, 2);
        (void)sem_wait(&p.begun);
        hang(&p, 1, 1);
        hang(&p, 2, 1);
        assert_true(workers_withdraw(p.workers, &p.hanging[1][0].job)); /* in the middle of the round */
        assert_true(workers_withdraw(p.workers, &p.hanging[2][0].job)); /* at its end */
        p.all -= 2;
        for (int i = 0; i < 2; i++)
                (void)sem_post(&p.go);
        assert_int_equal(loop_run(p.loop), 0);
        assert_int_equal(in_work(&p, 0), 2);
        assert_int_equal(in_work(&p, 1) + in_work(&p, 2), 0);
        parties_done(&p);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(withdrawn), cmocka_unit_test(hanging),
                                            cmocka_unit_test(in_turn), cmocka_unit_test(out_of_round) };

        return unit_run("workers", tests);
}
