/*
 * Actor slots: one a thread, alive while the thread holds the slot's robust mutex. The kernel marks the mutex at the
 * very start of a thread's exit, however it exits and whatever its process has mapped, so this is what waiters rest on.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "client/client.h"
#include "os/os.h"

#define PER_PAGE (LZI_PAGE / sizeof(struct lzi_actor))
/* Slots behind the last one in use below which more are made ready. */
#define SPARE 8u

uint32_t lzi_control_actors(const struct lzi_control *control)
{
	uint32_t n = lzi_load_acquire(&control->shared->actors_ready);

	return n > control->header->actors_max ? control->header->actors_max : n;
}

/* Allocates a page more of actors. Under `slots`. */
static int extend(const struct lzi_control *control)
{
	uint32_t ready = lzi_control_actors(control), i;
	int rc;

	if (ready + PER_PAGE > control->header->actors_max)
		return lzi_error(LATZ_CLIENTS, "all %u thread slots are in use", control->header->actors_max);
	rc = lzi_file_allocate(control->fd, control->header->actors_offset + ready * sizeof(struct lzi_actor),
	                       LZI_PAGE);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "thread slots");
	for (i = ready; i < ready + PER_PAGE; i++) {
		struct lzi_actor *actor = lzi_control_actor(control, i);

		memset(actor, 0, sizeof *actor);
		rc = lzi_mutex_init(&actor->alive);
		if (rc != LATZ_OK)
			return rc;
	}
	LZI_POINT("actor.extended");
	lzi_store_release(&control->shared->actors_ready, ready + (uint32_t)PER_PAGE);
	return LATZ_OK;
}

/* Clears a slot for its new thread, or after its old one. Its counters stay, and the next thread counts on: all sums
 * are of all slots, used or not, so there is no moment, and no death, at which a thread's share is counted twice or not
 * at all. */
static void reset(struct lzi_actor *actor)
{
	lzi_store_relaxed(&actor->op, (lzi_load_relaxed(&actor->op) + 1) & ~1ull);
	lzi_store_relaxed(&actor->bucket, 0ull);
	lzi_store_relaxed(&actor->kind, (uint32_t)LZI_INTENT_NONE);
	lzi_store_relaxed(&actor->overflow, 0ull);
	lzi_store_relaxed(&actor->extent, 0u);
	lzi_store_relaxed(&actor->clean_extent, 0u);
	lzi_store_relaxed(&actor->clean_window, 0u);
	lzi_store_relaxed(&actor->debt, 0u);
	lzi_store_relaxed(&actor->space, 0u);
	lzi_store_relaxed(&actor->space_at, 0u);
	lzi_store_relaxed(&actor->feed_first, 0ull);
	lzi_store_relaxed(&actor->feed_low, 0ull);
	lzi_store_release(&actor->fence, 0ull);
	lzi_store_release(&actor->waits, 0ull);
	lzi_store_relaxed(&actor->txn_inserts, 0u);
}

/* Without `slots`: who holds a slot's `alive` is alone with it, and who gets it by a state that says it is free looks
 * again, since it may have been taken, and left by a death, meanwhile. */
static int try_claim(const struct lzi_control *control, uint32_t client, uint32_t *ret_index)
{
	uint32_t i, n = lzi_control_actors(control);

	for (i = 0; i < n; i++) {
		struct lzi_actor *actor = lzi_control_actor(control, i);

		if (lzi_load_acquire(&actor->state) != 0 || lzi_mutex_lock(&actor->alive, 0, "thread") < 0)
			continue; /* in use, or being taken, or a reaper is just leaving it */
		if (lzi_load_acquire(&actor->state) != 0) {
			lzi_mutex_unlock(&actor->alive);
			continue;
		}
		LZI_POINT("actor.alive");
		reset(actor);
		actor->client = client;
		lzi_store_relaxed(&actor->client_life, lzi_load_relaxed(&lzi_control_client(control, client)->life));
		lzi_store_release(&actor->life, lzi_fetch_add(&control->shared->locks.lives, 1ull) + 1);
		lzi_store_release(&actor->state, 1u);
		LZI_POINT("actor.claimed");
		*ret_index = i;
		return LATZ_OK;
	}
	return LATZ_NOTFOUND;
}

/* More slots than there were when there were `had`. */
static int add_slots(const struct lzi_control *control, uint32_t had, unsigned timeout_ms)
{
	int rc = lzi_mutex_lock(&control->shared->slots, timeout_ms, "slots");

	if (rc < 0)
		return rc;
	rc = lzi_control_actors(control) == had ? extend(control) : LATZ_OK;
	lzi_mutex_unlock(&control->shared->slots);
	return rc;
}

int lzi_actor_claim(const struct lzi_control *control, uint32_t client, lzi_actor_mend_fn mend, void *arg,
                    uint32_t *ret_index)
{
	uint32_t had;
	int rc;

	for (;;) {
		had = lzi_control_actors(control);
		rc = try_claim(control, client, ret_index);
		if (rc == LATZ_OK)
			break;
		rc = add_slots(control, had, control->timeout_ms);
		if (rc == LATZ_OK)
			continue;
		if (rc != LATZ_CLIENTS && rc != LATZ_NOSPC)
			return rc;
		/* No room: perhaps some are only dead. */
		if (lzi_actor_reap_all(control, mend, arg) <= 0)
			return rc;
	}
	/* Some to spare, so that a new thread need not wait for `slots` when its holder is stopped. */
	if (had - *ret_index <= SPARE && had + PER_PAGE <= control->header->actors_max)
		(void)add_slots(control, had, 0);
	return LATZ_OK;
}

/* For who asks when the slot is another's already. A thread that dies with its slot most likely dies with its process,
 * but that may take until its other threads are scheduled. */
static void tell_death(const struct lzi_control *control, const struct lzi_actor *actor)
{
	struct lzi_locks *locks = &control->shared->locks;
	uint32_t slot = actor->client;

	lzi_store_release(&locks->dead[lzi_fetch_add(&locks->dead_count, 1ull) % LZI_DEAD], actor->life);
	if (slot < control->header->clients_max)
		lzi_store_release(&lzi_control_client(control, slot)->dead_life, actor->client_life);
}

static void leave(struct lzi_actor *actor)
{
	LZI_POINT("actor.leaving");
	reset(actor);
	lzi_store_release(&actor->state, 0u);
}

void lzi_actor_release(const struct lzi_control *control, uint32_t index)
{
	struct lzi_actor *actor = lzi_control_actor(control, index);

	leave(actor);
	lzi_mutex_unlock(&actor->alive);
}

int lzi_actor_reap(const struct lzi_control *control, uint32_t index, lzi_actor_mend_fn mend, void *arg)
{
	struct lzi_actor *actor = lzi_control_actor(control, index);
	int rc;

	if (lzi_load_acquire(&actor->state) == 0)
		return 0;
	rc = lzi_mutex_lock(&actor->alive, 0, "thread");
	if (rc < 0)
		return 0; /* alive, or being reaped */
	if (lzi_load_acquire(&actor->state) == 0) {
		lzi_mutex_unlock(&actor->alive);
		return 0;
	}
	/* The reaper need be in no call of its own: so it says in the dead one's name that it may hold pointers into
	 * the heap, as lzi_call_begin() does. Ends with reset(). */
	lzi_store_relaxed(&actor->op, lzi_load_relaxed(&actor->op) | 1);
	lzi_compiler_barrier();
	LZI_POINT("reap.begun");
	rc = mend(actor, index, arg);
	if (rc == LATZ_OK) {
		LZI_POINT("reap.mended");
		tell_death(control, actor);
		leave(actor);
		lzi_fetch_add_relaxed(&control->shared->reaped, 1ull);
	}
	lzi_mutex_unlock(&actor->alive);
	return rc == LATZ_OK ? 1 : rc;
}

int lzi_actor_reap_all(const struct lzi_control *control, lzi_actor_mend_fn mend, void *arg)
{
	uint32_t i, n = lzi_control_actors(control);
	int count = 0, rc, failed = LATZ_OK;

	for (i = 0; i < n; i++) {
		rc = lzi_actor_reap(control, i, mend, arg);
		if (rc > 0)
			count++;
		else if (rc < 0)
			failed = rc;
	}
	return count > 0 ? count : failed;
}
