/*
 * Pools with idle_ttl_ms: nobody used one for so long, and it goes. What is counted anyway tells: the sum of all
 * threads' counters is another than when it was last looked at, or it was not used since. So a use costs nothing for
 * this, and is known as well as somebody looks: the janitor, each round; who leaves; who sweeps. Nor is one idle in
 * which something is held.
 */
#include "config.h"

#include "store/idle.h"

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/log.h"

static uint64_t sum_uses(const struct lzi_control *control)
{
	uint32_t n = lzi_control_actors(control), i;
	uint64_t sum = 0;

	for (i = 0; i < n; i++) {
		const struct lzi_actor *actor = lzi_control_actor(control, i);

		sum += lzi_load_relaxed(&actor->gets) + lzi_load_relaxed(&actor->sets) +
		       lzi_load_relaxed(&actor->deletes) + lzi_load_relaxed(&actor->uses);
	}
	return sum;
}

int64_t lzi_idle_for(const struct lzi_control *control)
{
	struct lzi_spaces *spaces = &control->shared->spaces;
	int64_t now = lzi_clock_mono_ms();
	uint64_t uses = sum_uses(control);

	/* An open scan is in use even if nothing is asked of it. */
	if (uses != lzi_load_relaxed(&spaces->idle_uses) || lzi_load_relaxed(&control->shared->pin_max) != 0) {
		lzi_store_relaxed(&spaces->idle_since_ms, now);
		lzi_store_relaxed(&spaces->idle_uses, uses);
	}
	return now - lzi_load_relaxed(&spaces->idle_since_ms);
}

int64_t lzi_idle_known(const struct lzi_control *control)
{
	return lzi_clock_mono_ms() - lzi_load_relaxed(&control->shared->spaces.idle_since_ms);
}

int lzi_idle_over(const struct lzi_control *control)
{
	int64_t ttl = lzi_load_relaxed(&control->shared->spaces.idle_ttl_ms);

	return lzi_unlikely(ttl > 0) && lzi_idle_for(control) >= ttl;
}

void lzi_idle_use(const struct lzi_control *control)
{
	lzi_store_relaxed(&control->shared->spaces.idle_since_ms, lzi_clock_mono_ms());
}

void lzi_idle_ended(const struct lzi_control *control)
{
	if (lzi_unlikely(lzi_load_relaxed(&control->shared->spaces.idle_ttl_ms) > 0))
		lzi_idle_use(control);
}

/* Who waits for events uses the pool, and who looks at a value in it. */
static int is_client_using(const struct lzi_store *store, uint32_t client)
{
	const struct lzi_client *slot = lzi_control_client(&store->control, client);
	int uses = lzi_load_relaxed(&slot->watches) != 0;
	unsigned i;

	for (i = 0; i < LZI_HAZARDS && !uses; i++)
		uses = lzi_load_relaxed(&slot->hazards[i]) != 0;
	return uses && lzi_client_alive(&store->control, client, store->client);
}

/* Though nothing may be asked of it: what is held, or waited for, is not to go from under its holder. */
static int is_held(struct lzi_store *store)
{
	uint32_t i;

	for (i = 0; i < store->control.header->clients_max; i++) {
		if (is_client_using(store, i))
			return 1;
	}
	return lzi_locks_in_use(store);
}

/* As latz_destroy() does, but that a durable pool's log gets all of it first: a start from it finds what there was. */
void lzi_idle_check(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	int64_t ttl = lzi_load_relaxed(&store->control.shared->spaces.idle_ttl_ms);

	/* Who holds something is asked about long before it is over: its death, or the end of its lease, is not to be
	 * the end of the pool. */
	if (lzi_likely(ttl <= 0) || lzi_idle_for(&store->control) < ttl / 4 || lzi_store_dead(store))
		return;
	if (is_held(store)) {
		lzi_idle_use(&store->control);
		return;
	}
	if (!lzi_idle_over(&store->control))
		return;
	if (lzi_is_durable(store) && lzi_store_sync(call) != LATZ_OK) {
		lzi_log(LATZ_LOG_INFO, "%s: nobody uses it, but its log can't be written: %s", store->name,
		        lzi_error_text());
		lzi_idle_use(&store->control);
		return;
	}
	LZI_POINT("idle.over");
	if (!lzi_idle_over(&store->control) || is_held(store)) /* while the disk was waited for */
		return;
	lzi_log(LATZ_LOG_INFO, "%s: nobody used it for %lld ms: it goes", store->name,
	        (long long)store->control.shared->spaces.idle_ttl_ms);
	(void)!lzi_pool_remove(store->dirfd, store->name, store->poolfd, &store->control);
}
