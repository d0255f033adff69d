/*
 * The scribe: a thread in every process of a durable pool that does what is due for the log, one of them at a time.
 */
#include "config.h"

#include <signal.h>
#include <time.h>

#include "base/error.h"
#include "store/log.h"

static int nap(struct lzi_store *store)
{
	const struct lzi_log_state *log = &store->control.shared->log;
	unsigned ms = lzi_load_relaxed(&log->sync) == LATZ_SYNC_INTERVAL ? lzi_load_relaxed(&log->interval_ms) / 4
	                                                                 : 250;
	struct timespec until;
	int stop;

	ms = ms < 1 ? 1 : ms > 250 ? 250 : ms;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&store->mutex);
	if (!store->scribe_stops)
		pthread_cond_timedwait(&store->scribe_wake, &store->mutex, &until);
	stop = store->scribe_stops;
	pthread_mutex_unlock(&store->mutex);
	return stop;
}

/* Another process has ended the pool's durability: then its directory is anybody's. */
static void let_go(struct lzi_store *store)
{
	if (lzi_log_lock(store, 0) != LATZ_OK)
		return;
	if (!lzi_is_durable(store))
		lzi_persist_part(store);
	lzi_log_unlock(store);
}

static void *run(void *arg)
{
	struct lzi_store *store = arg;
	struct lzi_call call;

	while (!nap(store)) {
		if (lzi_is_durable(store) && !lzi_store_dead(store) && lzi_thread_find(store, &call) == LATZ_OK)
			lzi_scribe_work(&call);
		else if (!lzi_is_durable(store) && store->persist.lockfd >= 0)
			let_go(store);
	}
	return NULL;
}

int lzi_scribe_start(struct lzi_store *store)
{
	sigset_t all, old;
	int err;

	if (store->scribe_runs)
		return LATZ_OK;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&store->scribe, NULL, run, store);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err != 0)
		return lzi_error_sys(err, "start the scribe thread");
	store->scribe_runs = 1;
	return LATZ_OK;
}

void lzi_scribe_stop(struct lzi_store *store)
{
	if (!store->scribe_runs)
		return;
	pthread_mutex_lock(&store->mutex);
	store->scribe_stops = 1;
	pthread_cond_signal(&store->scribe_wake);
	pthread_mutex_unlock(&store->mutex);
	pthread_join(store->scribe, NULL);
	store->scribe_runs = 0;
}
