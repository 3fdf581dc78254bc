#include "shared/base/parallel.h"

#include <cmocka.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

enum { JOBS = 500, WORKERS = 4 };

struct tally {
    atomic_uint runs[JOBS];
    atomic_bool busy[WORKERS];
    atomic_size_t begun;
    size_t fail_at; /* this job and each after it; JOBS: none */
};

static bool count(void *context, size_t worker, size_t job, struct error *err)
{
    struct tally *tally = context;
    if (worker >= WORKERS || atomic_exchange(&tally->busy[worker], true))
        return error_set(err, ERROR_INTERNAL, "worker %zu twice at once", worker);
    atomic_fetch_add(&tally->runs[job], 1);
    atomic_fetch_add(&tally->begun, 1);
    atomic_store(&tally->busy[worker], false);
    return job < tally->fail_at || error_set(err, ERROR_DENIED, "job %zu", job);
}

static void every_job_runs_once(void **state)
{
    (void)state;
    static const size_t workers[] = { 1, 2, WORKERS };
    for (size_t w = 0; w < sizeof workers / sizeof workers[0]; w++) {
        struct tally tally = { .fail_at = JOBS };
        struct error err = { 0 };
        assert_true(parallel_run(JOBS, workers[w], count, &tally, &err));
        for (size_t i = 0; i < JOBS; i++)
            assert_int_equal(atomic_load(&tally.runs[i]), 1);
    }
    struct error err = { 0 };
    assert_true(parallel_run(0, WORKERS, count, NULL, &err));
}

static void a_failure_ends_it(void **state)
{
    (void)state;
    struct tally tally = { .fail_at = 10 };
    struct error err = { 0 };
    assert_false(parallel_run(JOBS, WORKERS, count, &tally, &err));
    assert_int_equal(err.kind, ERROR_DENIED);
    assert_true(atomic_load(&tally.begun) > 10 && atomic_load(&tally.begun) <= 10 + WORKERS);
}

/* Jobs that wait for each other: they end only when they run at the same time. */
static bool meet(void *context, size_t worker, size_t job, struct error *err)
{
    (void)worker, (void)job, (void)err;
    atomic_size_t *arrived = context;
    atomic_fetch_add(arrived, 1);
    while (atomic_load(arrived) < WORKERS)
        usleep(100);
    return true;
}

static void jobs_run_at_the_same_time(void **state)
{
    (void)state;
    atomic_size_t arrived = 0;
    struct error err = { 0 };
    assert_true(parallel_run(WORKERS, WORKERS, meet, &arrived, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_runs_once),
        cmocka_unit_test(a_failure_ends_it),
        cmocka_unit_test(jobs_run_at_the_same_time),
    };
    return cmocka_run_group_tests_name("shared/base/parallel", tests, NULL, NULL);
}
