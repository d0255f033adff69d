/*
 * The scribe: two threads in every process of a durable pool. One writes and syncs the log when that is due. The other
 * does what may take long: checkpoints, new beginnings, segments made in advance; in one process at a time. So the
 * interval holds though the only process there is waits for the disk to take a large snapshot.
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

static void *run_ticks(void *arg)
{
	struct lzi_store *store = arg;

	while (!nap(store)) {
		if (lzi_is_durable(store) && !lzi_store_dead(store))
			lzi_log_tick(store);
		else if (!lzi_is_durable(store) && store->persist.lockfd >= 0)
			let_go(store);
	}
	return NULL;
}

static void *run_office(void *arg)
{
	struct lzi_store *store = arg;
	struct lzi_call call;

	while (!nap(store)) {
		if (lzi_is_durable(store) && !lzi_store_dead(store) && lzi_thread_find(store, &call) == LATZ_OK)
			lzi_scribe_office(&call);
	}
	return NULL;
}

int lzi_scribe_start(struct lzi_store *store)
{
	void *(*const runs[])(void *) = { run_ticks, run_office };
	sigset_t all, old;
	int err = 0;

	if (store->scribe_runs == 2)
		return LATZ_OK;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (err == 0 && store->scribe_runs < 2) {
		err = pthread_create(&store->scribe[store->scribe_runs], NULL, runs[store->scribe_runs], store);
		store->scribe_runs += err == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err == 0 ? LATZ_OK : lzi_error_sys(err, "start the scribe thread");
}

void lzi_scribe_stop(struct lzi_store *store)
{
	pthread_mutex_lock(&store->mutex);
	store->scribe_stops = 1;
	pthread_cond_broadcast(&store->scribe_wake);
	pthread_mutex_unlock(&store->mutex);
	while (store->scribe_runs > 0)
		pthread_join(store->scribe[--store->scribe_runs], NULL);
}
