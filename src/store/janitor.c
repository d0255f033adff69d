/*
 * The janitor: a thread of one attached process that keeps the pool in shape. Every process that allows it runs the
 * thread; the one that holds the `janitor` mutex works, the others look now and then whether it has come free (a robust
 * mutex: the kernel passes it on when the holder dies) and whether the pool's files are still there.
 */
#include "config.h"

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/feed.h"
#include "store/log.h"
#include "store/pack.h"

#define TICK_BUSY_MS 10
#define TICK_IDLE_MS 100
#define TICK_IDLE_MAX_MS 800
#define TICK_OTHER_MS 400
#define BUDGET_US 5000u
/* The index is brought up to date when nothing is created any more, or after so long: the larger its batches are the
 * more keys share a page, and one into an empty index is cheapest of all. */
#define INDEX_EVERY_MS 2000
#define FILES_EVERY_MS 500

/* What the janitor remembers between rounds. */
struct memory {
	uint32_t taken; /* grows with every extent taken, but for cleaning, which is no sign of writers */
	uint64_t lag;   /* of the index */
	int64_t index_due_ms;
};

/* One round of work. How long to sleep after it. */
static int work(struct lzi_store *store, struct memory *memory, int tick)
{
	const struct lzi_shared *shared = store->control.shared;
	struct lzi_call call;
	uint64_t lag = 0;
	uint32_t taken;
	int idle, index_too, rc = lzi_thread_find(store, &call);
	int64_t now = lzi_clock_mono_ms();

	if (rc != LATZ_OK)
		return TICK_IDLE_MAX_MS;
	taken = lzi_load_relaxed(&shared->extents_born) - lzi_load_relaxed(&store->moved_to);
	idle = taken == memory->taken;
	lzi_store_relaxed(&store->wanted, taken - memory->taken);
	memory->taken = taken;
	(void)!lzi_catchup_lag(store, &lag);
	index_too = (lag > 0 || lzi_load_relaxed(&shared->index_rebuild)) &&
	            (lag == memory->lag || now >= memory->index_due_ms);
	memory->lag = lag;
	if (index_too || lag == 0)
		memory->index_due_ms = now + INDEX_EVERY_MS;
	rc = lzi_maintain(&call, BUDGET_US,
	                  (idle ? LZI_MAINTAIN_IDLE | LZI_MAINTAIN_HUGE : 0) | (index_too ? LZI_MAINTAIN_INDEX : 0));
	if (rc != LATZ_OK && rc != LATZ_BUSY && !lzi_store_dead(store) && rc != LATZ_NOSPC && rc != LATZ_TIMEOUT)
		lzi_log(LATZ_LOG_WARNING, "%s: maintenance: %s: %s", store->name, latz_strerror(rc), lzi_error_text());
	lzi_train_by_itself(&call);
	/* More to do, or writers at work: soon again. */
	if (rc == LATZ_BUSY)
		return 1;
	if (!idle)
		return TICK_BUSY_MS;
	return tick < TICK_IDLE_MS ? TICK_IDLE_MS : tick * 2 > TICK_IDLE_MAX_MS ? TICK_IDLE_MAX_MS : tick * 2;
}

/* Sleeps between rounds; while somebody subscribes, what can't wait for the next is done meanwhile. 1: to stop. */
static int nap(struct lzi_store *store, int ms)
{
	struct lzi_call call;

	for (; lzi_is_fed(store) && ms > LZI_FEED_TEND_MS && !lzi_store_dead(store); ms -= LZI_FEED_TEND_MS) {
		if (lzi_worker_nap(&store->janitor, LZI_FEED_TEND_MS))
			return 1;
		if (lzi_thread_find(store, &call) == LATZ_OK)
			lzi_feed_tend(&call);
	}
	return lzi_worker_nap(&store->janitor, (unsigned)ms);
}

static void *run(void *arg)
{
	struct lzi_store *store = arg;
	struct lzi_mutex *seat = &store->control.shared->janitor;
	int64_t files_due = 0, now;
	struct memory memory = { 0, 0, 0 };
	int tick = TICK_BUSY_MS, seated = 0;

	while (!nap(store, tick)) {
		now = lzi_clock_mono_ms();
		if (now >= files_due) {
			files_due = now + FILES_EVERY_MS;
			lzi_store_check_files(store);
		}
		if (lzi_store_dead(store)) {
			tick = TICK_OTHER_MS;
			continue;
		}
		if (lzi_is_durable(store))
			(void)!lzi_scribe_start(store);
		if (!seated && lzi_mutex_lock(seat, 0, "janitor") >= 0) {
			LZI_POINT("janitor.seated");
			seated = 1;
			lzi_store_relaxed(&store->is_janitor, 1);
		}
		tick = seated ? work(store, &memory, tick) : TICK_OTHER_MS;
	}
	if (seated) {
		lzi_store_relaxed(&store->is_janitor, 0);
		lzi_mutex_unlock(seat);
	}
	return NULL;
}

int lzi_janitor_start(struct lzi_store *store)
{
	return lzi_worker_start(&store->janitor, "janitor", run, store);
}
