/*
 * The ring of jobs and its threads.
 */
#include "config.h"

#include "snap/work.h"

#include <latzero/latzero.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "base/error.h"

static unsigned processors(void)
{
	cpu_set_t set;
	int n = 1;

	/* Not how many the machine has, but how many we may use. */
	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > 4 ? 4 : (unsigned)n;
}

int lzi_work_init(struct lzi_work *work, unsigned threads, void (*run)(void *arg, unsigned slot, unsigned thread),
                  void *arg)
{
	memset(work, 0, sizeof *work);
	work->run = run;
	work->arg = arg;
	work->threads = threads == 0 ? processors() : threads > LZI_WORK_THREADS_MAX ? LZI_WORK_THREADS_MAX : threads;
	work->depth = 2 * work->threads + 4;
	if (pthread_mutex_init(&work->mutex, NULL) != 0)
		return lzi_error(LATZ_NOMEM, "a mutex cannot be made");
	if (pthread_cond_init(&work->work, NULL) != 0) {
		pthread_mutex_destroy(&work->mutex);
		return lzi_error(LATZ_NOMEM, "a condition cannot be made");
	}
	if (pthread_cond_init(&work->finished, NULL) != 0) {
		pthread_cond_destroy(&work->work);
		pthread_mutex_destroy(&work->mutex);
		return lzi_error(LATZ_NOMEM, "a condition cannot be made");
	}
	return LATZ_OK;
}

/* Under the mutex, which is let go meanwhile. */
static void emit_done(struct lzi_work *work)
{
	if (work->emitting)
		return; /* who is at it looks again before he stops */
	work->emitting = 1;
	while (work->emitted < work->taken && work->done[work->emitted % work->depth]) {
		pthread_mutex_unlock(&work->mutex);
		work->emit(work->arg, (unsigned)(work->emitted % work->depth));
		pthread_mutex_lock(&work->mutex);
		work->emitted++;
		pthread_cond_signal(&work->finished);
	}
	work->emitting = 0;
}

/* Under the mutex, which is let go meanwhile. */
static void run_next(struct lzi_work *work, unsigned thread)
{
	unsigned slot = (unsigned)(work->taken++ % work->depth);

	pthread_mutex_unlock(&work->mutex);
	work->run(work->arg, slot, thread);
	pthread_mutex_lock(&work->mutex);
	work->done[slot] = 1;
	if (work->emit)
		emit_done(work);
	else
		pthread_cond_signal(&work->finished);
}

static void *thread_main(void *arg)
{
	struct lzi_work *work = arg;
	unsigned thread;

	pthread_mutex_lock(&work->mutex);
	thread = ++work->started;
	while (!work->stop) {
		if (work->taken < work->submitted)
			run_next(work, thread);
		else
			pthread_cond_wait(&work->work, &work->mutex);
	}
	pthread_mutex_unlock(&work->mutex);
	return NULL;
}

static void start_thread(struct lzi_work *work)
{
	sigset_t all, before;

	/* The program's signals are none of these threads' business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&work->thread[work->created], NULL, thread_main, work) == 0)
		work->created++;
	else
		work->threads = work->created; /* it goes on with those there are, and the caller */
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void lzi_work_submit(struct lzi_work *work)
{
	int start;

	pthread_mutex_lock(&work->mutex);
	work->done[work->submitted % work->depth] = 0;
	work->submitted++;
	/* A single job is not worth a thread: the caller is about to wait for it. */
	start = work->created < work->threads && work->submitted - work->taken >= 2;
	pthread_cond_signal(&work->work);
	pthread_mutex_unlock(&work->mutex);
	if (start)
		start_thread(work);
}

void lzi_work_wait(struct lzi_work *work, uint64_t number)
{
	unsigned slot = (unsigned)(number % work->depth);

	pthread_mutex_lock(&work->mutex);
	while (!work->done[slot]) {
		if (work->taken < work->submitted)
			run_next(work, 0);
		else
			pthread_cond_wait(&work->finished, &work->mutex);
	}
	pthread_mutex_unlock(&work->mutex);
}

void lzi_work_settle(struct lzi_work *work, uint64_t most)
{
	pthread_mutex_lock(&work->mutex);
	while (work->submitted - work->emitted > most) {
		if (work->taken < work->submitted)
			run_next(work, 0);
		else
			pthread_cond_wait(&work->finished, &work->mutex);
	}
	pthread_mutex_unlock(&work->mutex);
}

void lzi_work_fini(struct lzi_work *work)
{
	pthread_mutex_lock(&work->mutex);
	work->stop = 1;
	pthread_cond_broadcast(&work->work);
	pthread_mutex_unlock(&work->mutex);
	for (unsigned i = 0; i < work->created; i++)
		pthread_join(work->thread[i], NULL);
	pthread_cond_destroy(&work->finished);
	pthread_cond_destroy(&work->work);
	pthread_mutex_destroy(&work->mutex);
}
