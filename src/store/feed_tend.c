/*
 * What a watched pool wants to be done in time: processes that come and go are told of, the dead reaped, expired
 * records collected. Whoever is about does it: the janitor, or a subscriber that waits.
 */
#include "config.h"

#include <latzero/latzero.h>

#include "base/error.h"
#include "base/point.h"
#include "store/feed.h"

#define EXPIRE_BUDGET_NS 5000000u

/* ---- Who comes and goes ---- */

void lzi_feed_connect(struct lzi_call *call)
{
	struct lzi_client *client = lzi_control_client(&call->store->control, call->store->client);

	lzi_store_release(&client->connected, 1u);
	if (lzi_is_fed(call->store))
		lzi_feed_alone(call, LATZ_EVENT_CONNECT, call->store->client, client->pid);
}

/* Once for each process, whoever notices: the one who takes the mark away. */
static void tell_gone(struct lzi_call *call, uint32_t slot)
{
	struct lzi_client *client = lzi_control_client(&call->store->control, slot);
	uint32_t pid = client->pid;

	if (lzi_load_acquire(&client->connected) == 0 || lzi_exchange(&client->connected, 0u) == 0)
		return;
	LZI_POINT("feed.gone");
	if (lzi_is_fed(call->store))
		lzi_feed_alone(call, LATZ_EVENT_DISCONNECT, slot, pid);
}

void lzi_feed_disconnect(struct lzi_store *store)
{
	struct lzi_call call;

	if (lzi_thread_find(store, &call) == LATZ_OK)
		tell_gone(&call, store->client);
}

void lzi_feed_client_gone(uint32_t slot, void *call)
{
	tell_gone(call, slot);
}

/* A process whose threads were found dead, all of them: its file lock may be held for a while yet, until the kernel has
 * torn its memory down. */
static void find_gone(struct lzi_call *call)
{
	const struct lzi_control *control = &call->store->control;
	uint32_t n = lzi_control_actors(control), slot, i;

	for (slot = 0; slot < control->header->clients_max; slot++) {
		const struct lzi_client *client = lzi_control_client(control, slot);

		if (lzi_load_acquire(&client->died) == 0 || lzi_load_acquire(&client->connected) == 0 ||
		    lzi_load_acquire(&client->state) == 0)
			continue;
		for (i = 0; i < n; i++) {
			const struct lzi_actor *actor = lzi_control_actor(control, i);

			if (lzi_load_acquire(&actor->state) != 0 && actor->client == slot)
				break;
		}
		if (i == n)
			tell_gone(call, slot);
	}
}

/* ---- In time ---- */

static void collect_expired(struct lzi_call *call)
{
	int more = 0;

	if (lzi_maint_lock(call->store, 0) < 0)
		return; /* who has it does it */
	(void)!lzi_expire(call, lzi_clock_mono_ns() + EXPIRE_BUDGET_NS, &more);
	lzi_maint_unlock(call->store);
}

void lzi_feed_tend(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	int64_t *tended = &store->control.shared->feed.tended_ms, now = lzi_clock_mono_ms();
	int64_t last = lzi_load_relaxed(tended);

	if (now - last < LZI_FEED_TEND_MS || !lzi_cas_acquire(tended, &last, now))
		return;
	(void)!lzi_actor_reap_all(&store->control, lzi_mend_actor, store);
	find_gone(call);
	collect_expired(call);
}
