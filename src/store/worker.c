/*
 * Threads of this process's own. What they do is their starters' matter.
 */
#include "config.h"

#include "store/worker.h"

#include <latzero/latzero.h>
#include <signal.h>
#include <time.h>

#include "base/error.h"
#include "os/os.h"

void lzi_worker_init(struct lzi_worker *worker)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&worker->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&worker->wake, &attr);
	pthread_condattr_destroy(&attr);
	worker->runs = worker->stops = 0;
}

void lzi_worker_fini(struct lzi_worker *worker)
{
	pthread_mutex_destroy(&worker->mutex);
	pthread_cond_destroy(&worker->wake);
}

int lzi_worker_start(struct lzi_worker *worker, const char *name, void *(*run)(void *arg), void *arg)
{
	sigset_t all, old;
	int err;

	if (worker->runs)
		return LATZ_OK;
	/* The application's signals are for its own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&worker->thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err != 0)
		return lzi_error_sys(err, "start the %s thread", name);
	worker->runs = 1;
	return LATZ_OK;
}

void lzi_worker_tell(struct lzi_worker *worker)
{
	pthread_mutex_lock(&worker->mutex);
	lzi_store_release(&worker->stops, 1);
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->mutex);
}

void lzi_worker_stop(struct lzi_worker *worker)
{
	if (!worker->runs)
		return;
	lzi_worker_tell(worker);
	pthread_join(worker->thread, NULL);
	worker->runs = 0;
}

int lzi_worker_stops(const struct lzi_worker *worker)
{
	return lzi_load_acquire(&worker->stops);
}

int lzi_worker_nap(struct lzi_worker *worker, unsigned ms)
{
	struct timespec until;
	int stops;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&worker->mutex);
	if (!worker->stops)
		pthread_cond_timedwait(&worker->wake, &worker->mutex, &until);
	stops = worker->stops;
	pthread_mutex_unlock(&worker->mutex);
	lzi_wait_begin_round();
	return stops;
}

void lzi_worker_poke(struct lzi_worker *worker)
{
	pthread_mutex_lock(&worker->mutex);
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->mutex);
}
