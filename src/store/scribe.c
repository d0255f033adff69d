/*
 * The scribe: two threads in every process of a durable pool. One writes and syncs the log when that is due. The other
 * does what may take long: checkpoints, new beginnings, segments made in advance; in one process at a time. So the
 * interval holds though the only process there is waits for the disk to take a large snapshot.
 */
#include "config.h"

#include "store/log.h"

static int nap(const struct lzi_store *store, struct lzi_worker *worker)
{
	const struct lzi_log_state *log = &store->control.shared->log;
	unsigned ms = lzi_load_relaxed(&log->sync) == LATZ_SYNC_INTERVAL ? lzi_load_relaxed(&log->interval_ms) / 4
	                                                                 : 250;

	return lzi_worker_nap(worker, ms < 1 ? 1 : ms > 250 ? 250 : ms);
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

	while (!nap(store, &store->scribe)) {
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

	while (!nap(store, &store->office)) {
		if (lzi_is_durable(store) && !lzi_store_dead(store) && lzi_thread_find(store, &call) == LATZ_OK)
			lzi_scribe_office(&call);
	}
	return NULL;
}

int lzi_scribe_start(struct lzi_store *store)
{
	int rc = lzi_worker_start(&store->scribe, "scribe", run_ticks, store);

	return rc == LATZ_OK ? lzi_worker_start(&store->office, "scribe's second", run_office, store) : rc;
}
