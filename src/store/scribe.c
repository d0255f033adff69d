/*
 * The scribe: a thread in every process of a durable pool that does what is due for the log. Each of them sees to it
 * that the interval is kept; what takes longer, checkpoints above all, does the one that has the `scribe` mutex.
 */
#include "config.h"

#include "store/log.h"

static int nap(struct lzi_store *store)
{
	const struct lzi_log_state *log = &store->control.shared->log;
	unsigned ms = lzi_load_relaxed(&log->sync) == LATZ_SYNC_INTERVAL ? lzi_load_relaxed(&log->interval_ms) / 4
	                                                                 : 250;

	return lzi_worker_nap(&store->scribe, ms < 1 ? 1 : ms > 250 ? 250 : ms);
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
	return lzi_worker_start(&store->scribe, "scribe", run, store);
}
