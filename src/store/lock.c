/*
 * Locks: who is granted what. Everything is decided under the mutex of the name's shard, by whoever comes by: who
 * takes, who gives back, who waits and looks again. Nodes of one name are in one chain. Order of stores, and what a
 * death between any two leaves:
 *
 *   node filled                      free: nobody sees it
 *   state WAITING or GRANTED         in no chain yet: the next holder of the mutex puts it in one
 *   chain's head                     there; its owner is dead: taken away by who looks
 *   a waiter's token, lease, GRANTED the dead one's waiter has the lock; it looks by itself within 20 ms
 *   node out of its chain, FREE      as the second, or free but in no list: the next holder puts it in one
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/counter.h"
#include "store/lock.h"

/* How long a waiter sleeps at most before it looks whether holders live; the first time, and from then on. */
#define NAP_FIRST_US 1000u
#define NAP_US 20000u
#define NAP_GHOST_US 100u
/* Woken without the mutex in hand; further ones with it. */
#define WAKES 8u
#define TRIES 1000u /* that were granted and lost at once: more is damage */
#define NS_PER_MS 1000000ull

/* What a name's nodes say. */
struct crowd {
	unsigned granted, waiting, upgrades;
	int alone;                     /* 1: it is granted exclusively */
	uint32_t ghost;                /* one; 0 none */
	uint32_t pid;                  /* of a holder */
	struct lzi_lock_node *upgrade; /* who waited longest for having it alone */
	uint32_t upgrade_index;
	struct lzi_lock_node *writer; /* first of those who want it alone; NULL none */
	uint64_t reader;              /* ticket of the first who would share it; UINT64_MAX none */
	uint64_t soonest;             /* end of a holder's lease; UINT64_MAX none */
	uint64_t now_ns;              /* 0: not asked yet */
};

struct wakes {
	uint32_t *word[WAKES];
	unsigned count;
};

static uint64_t now_of(struct crowd *crowd)
{
	if (crowd->now_ns == 0)
		crowd->now_ns = lzi_clock_mono_ns();
	return crowd->now_ns;
}

lzi_hash128_t lzi_lock_hash(const struct lzi_store *store, latz_slice name, enum lzi_lock_kind kind)
{
	return lzi_hash128(store->control.header->hash_seed ^ (0x9e3779b97f4a7c15ull * kind), name.data, name.size);
}

static LZI_COLD int damaged(struct lzi_lock_shard *shard)
{
	shard->mend = 1;
	return lzi_error(LATZ_CORRUPT, "a chain of the file locks is damaged");
}

/* ---- Looking at a name ---- */

/* It is not granted any more. While somebody writes in its name it stays, and keeps others out. looks: its owner does,
 * and will have to free it. 1: it is free. */
static int drop(struct lzi_store *store, struct lzi_lock_shard *shard, uint32_t *link, struct lzi_lock_node *node,
                struct crowd *crowd, int looks)
{
	int ghost = lzi_unlikely(node->fenced) && lzi_fence_is_used(store, *link);

	if (ghost) {
		crowd->ghost = *link;
		crowd->pid = node->pid;
	}
	if (!ghost && !looks) {
		lzi_lock_node_free(shard, link, node);
		return 1;
	}
	node->token = 0;
	lzi_store_release(&node->state, (uint32_t)(looks ? LZI_LOCK_LOST : LZI_LOCK_GHOST));
	LZI_POINT("lock.ghost");
	return 0;
}

static void note_waiter(struct crowd *crowd, struct lzi_lock_node *node)
{
	crowd->waiting++;
	if (!node->shared && (crowd->writer == NULL || node->ticket < crowd->writer->ticket))
		crowd->writer = node;
	else if (node->shared && node->ticket < crowd->reader)
		crowd->reader = node->ticket;
}

static void note_holder(struct crowd *crowd, struct lzi_lock_node *node, uint32_t index)
{
	crowd->granted++;
	crowd->alone |= !node->shared;
	crowd->pid = node->pid;
	if (node->lease_end != 0 && node->lease_end < crowd->soonest)
		crowd->soonest = node->lease_end;
	if (node->upgrade != 0) {
		crowd->upgrades++;
		if (crowd->upgrade == NULL || lzi_lock_waits(node) < lzi_lock_waits(crowd->upgrade)) {
			crowd->upgrade = node;
			crowd->upgrade_index = index;
		}
	}
}

/* 1: it was taken away. */
static int look_at(struct lzi_store *store, struct lzi_lock_shard *shard, uint32_t *link, struct lzi_lock_node *node,
                   struct crowd *crowd)
{
	uint32_t state = lzi_load_acquire(&node->state);
	int dead = state != LZI_LOCK_ABANDONED && state != LZI_LOCK_GHOST && lzi_lock_owner_dead(store, node);

	if (state == LZI_LOCK_WAITING && !dead) {
		note_waiter(crowd, node);
		return 0;
	}
	if ((state == LZI_LOCK_GRANTED || state == LZI_LOCK_OFFERED) && !dead &&
	    (node->lease_end == 0 || now_of(crowd) < node->lease_end)) {
		note_holder(crowd, node, *link);
		return 0;
	}
	return drop(store, shard, link, node, crowd,
	            !dead && (state == LZI_LOCK_OFFERED || state == LZI_LOCK_LOST ||
	                      (state == LZI_LOCK_GRANTED && node->upgrade != 0)));
}

/* All nodes of the name; what is over, or whose owner is dead, goes. */
static int survey(struct lzi_store *store, struct lzi_lock_shard *shard, uint32_t *head, lzi_hash128_t hash,
                  struct crowd *crowd)
{
	uint32_t *link = head, steps = 0;

	memset(crowd, 0, sizeof *crowd);
	crowd->reader = crowd->soonest = UINT64_MAX;
	while (*link != 0) {
		struct lzi_lock_node *node = lzi_lock_node_at(store, *link);

		if (lzi_unlikely(node == NULL || steps++ > lzi_shard_nodes(store, shard)))
			return damaged(shard);
		if (lzi_lock_node_is(node, hash) && look_at(store, shard, link, node, crowd))
			continue;
		link = &node->next;
	}
	return LATZ_OK;
}

/* ---- Granting ---- */

static void wake(struct lzi_lock_node *node, const struct lzi_lock_node *self, struct wakes *wakes)
{
	lzi_store_release(&node->word, lzi_load_relaxed(&node->word) + 1);
	if (node == self)
		return;
	if (wakes->count < WAKES)
		wakes->word[wakes->count++] = &node->word;
	else
		lzi_futex_wake(&node->word);
}

/* After the mutex is given back: nodes stay mapped, and who is woken for nothing looks again. */
static void wake_all(const struct wakes *wakes)
{
	unsigned i;

	for (i = 0; i < wakes->count; i++)
		lzi_futex_wake(wakes->word[i]);
}

static void entitle(struct lzi_store *store, struct lzi_lock_node *node, struct crowd *crowd)
{
	node->lease_end = node->lease_ms == 0 ? 0 : now_of(crowd) + node->lease_ms * NS_PER_MS;
	node->token = lzi_fetch_add(&store->control.shared->locks.token, 1ull) + 1;
}

static void grant(struct lzi_store *store, struct lzi_lock_node *node, struct crowd *crowd,
                  const struct lzi_lock_node *self, struct wakes *wakes)
{
	uint32_t state = LZI_LOCK_WAITING;

	entitle(store, node, crowd);
	LZI_POINT("lock.entitled");
	if (!lzi_cas_acquire(&node->state, &state, (uint32_t)LZI_LOCK_OFFERED))
		return; /* abandoned meanwhile; what is behind it comes by itself */
	LZI_POINT("lock.granted");
	wake(node, self, wakes);
}

/* The only holder has it alone from now on, in the name of a new token. Who dies on the way leaves `upgrade`, so that
 * the next one does it again. */
static void grant_upgrade(struct lzi_store *store, struct lzi_lock_node *node, struct crowd *crowd,
                          const struct lzi_lock_node *self, struct wakes *wakes)
{
	uint64_t ticket = node->upgrade;

	if (!lzi_cas_acquire(&node->upgrade, &ticket, ticket | LZI_LOCK_BUSY))
		return; /* given up meanwhile */
	LZI_POINT("lock.upgrading");
	entitle(store, node, crowd);
	lzi_store_release(&node->shared, (uint8_t)0);
	LZI_POINT("lock.upgraded");
	lzi_store_release(&node->state, (uint32_t)LZI_LOCK_OFFERED);
	LZI_POINT("lock.offered");
	lzi_store_release(&node->upgrade, 0ull);
	wake(node, self, wakes);
}

/* Those who would share it and came before the first that would not. */
static int grant_readers(struct lzi_store *store, struct lzi_lock_shard *shard, const uint32_t *head,
                         lzi_hash128_t hash, struct crowd *crowd, const struct lzi_lock_node *self, struct wakes *wakes)
{
	uint64_t before = crowd->writer == NULL ? UINT64_MAX : crowd->writer->ticket;
	uint32_t index = *head, steps = 0;

	for (; index != 0; steps++) {
		struct lzi_lock_node *node = lzi_lock_node_at(store, index);

		if (lzi_unlikely(node == NULL || steps > lzi_shard_nodes(store, shard)))
			return damaged(shard);
		if (lzi_lock_node_is(node, hash) && lzi_load_acquire(&node->state) == LZI_LOCK_WAITING &&
		    node->shared && node->ticket < before)
			grant(store, node, crowd, self, wakes);
		index = node->next;
	}
	return LATZ_OK;
}

/* Whoever's turn it is. self: the caller's own node, which need not be woken. */
static int promote(struct lzi_store *store, struct lzi_lock_shard *shard, const uint32_t *head, lzi_hash128_t hash,
                   struct crowd *crowd, const struct lzi_lock_node *self, struct wakes *wakes)
{
	if (crowd->ghost != 0)
		return LATZ_OK;
	if (crowd->upgrade != NULL) { /* who comes now waits behind who waits for having it alone */
		if (crowd->upgrade->fenced && lzi_fence_is_used(store, crowd->upgrade_index))
			crowd->ghost = crowd->upgrade_index; /* writes in the name of the token it has */
		else if (crowd->granted == 1)
			grant_upgrade(store, crowd->upgrade, crowd, self, wakes);
		return LATZ_OK;
	}
	if (crowd->alone)
		return LATZ_OK;
	if (crowd->writer != NULL && crowd->granted == 0 && crowd->writer->ticket < crowd->reader) {
		grant(store, crowd->writer, crowd, self, wakes);
		return LATZ_OK;
	}
	if (crowd->reader == UINT64_MAX)
		return LATZ_OK;
	return grant_readers(store, shard, head, hash, crowd, self, wakes);
}

/* Both, in the shard that is locked. */
static int settle(struct lzi_store *store, struct lzi_lock_shard *shard, lzi_hash128_t hash, struct crowd *crowd,
                  const struct lzi_lock_node *self, struct wakes *wakes)
{
	uint32_t *head = lzi_chain_head(store, shard, hash);
	int rc;

	if (lzi_unlikely(head == NULL))
		return lzi_error(LATZ_NOMEM, "no address space for the file locks");
	rc = survey(store, shard, head, hash, crowd);
	return rc == LATZ_OK ? promote(store, shard, head, hash, crowd, self, wakes) : rc;
}

/* ---- Waiting ---- */

struct wait {
	struct lzi_call *call;
	const struct lzi_lock_ask *ask; /* NULL: to have alone what is held */
	struct lzi_lock_node *node;
	uint32_t index;
	unsigned number; /* of the shard */
	lzi_hash128_t hash;
	uint64_t ticket, token, until_ns;
	int64_t wait_ms;
	struct crowd crowd; /* as of the last look */
};

/* There is something new: it is offered, or lost. */
static int is_over(const struct wait *wait)
{
	uint32_t state = lzi_load_acquire(&wait->node->state);

	return state == LZI_LOCK_OFFERED || state == LZI_LOCK_LOST ||
	       (wait->ask != NULL && state == LZI_LOCK_GRANTED); /* without having waited */
}

static int look_again(struct wait *wait)
{
	struct lzi_store *store = wait->call->store;
	struct wakes wakes = { .count = 0 };
	struct lzi_lock_shard *shard;
	int rc = lzi_shard_lock(store, wait->number, &shard);

	if (rc != LATZ_OK)
		return rc;
	rc = settle(store, shard, wait->hash, &wait->crowd, wait->node, &wakes);
	lzi_shard_unlock(shard);
	wake_all(&wakes);
	return rc;
}

/* The node in its chain. */
static uint32_t *link_of(struct lzi_store *store, struct lzi_lock_shard *shard, lzi_hash128_t hash, uint32_t index)
{
	uint32_t *link = lzi_chain_head(store, shard, hash), steps = 0;

	while (link != NULL && *link != 0 && *link != index) {
		struct lzi_lock_node *node = lzi_lock_node_at(store, *link);

		if (node == NULL || steps++ > lzi_shard_nodes(store, shard))
			return NULL;
		link = &node->next;
	}
	return link != NULL && *link == index ? link : NULL;
}

/* Takes what is offered; frees what is lost. AGAIN: it was. */
#define AGAIN 1
static int accept(struct wait *wait)
{
	struct lzi_store *store = wait->call->store;
	struct wakes wakes = { .count = 0 };
	struct lzi_lock_shard *shard;
	uint32_t offered = LZI_LOCK_OFFERED;

	wait->token = wait->node->token;
	if (lzi_cas_acquire(&wait->node->state, &offered, (uint32_t)LZI_LOCK_GRANTED) || offered == LZI_LOCK_GRANTED)
		return LATZ_OK;
	if (lzi_shard_lock(store, wait->number, &shard) != LATZ_OK) {
		lzi_store_release(&wait->node->state, (uint32_t)LZI_LOCK_ABANDONED);
		return AGAIN;
	}
	lzi_store_release(&wait->node->state, (uint32_t)LZI_LOCK_ABANDONED);
	(void)!settle(store, shard, wait->hash, &wait->crowd, NULL, &wakes);
	lzi_shard_unlock(shard);
	wake_all(&wakes);
	return AGAIN;
}

/* Without the mutex, whose holder is stopped: whoever has it next takes the node away. */
static int leave(struct wait *wait, int rc)
{
	uint32_t state = LZI_LOCK_WAITING;
	uint64_t ticket = wait->ticket;

	if (wait->ask != NULL)
		return lzi_cas_acquire(&wait->node->state, &state, (uint32_t)LZI_LOCK_ABANDONED) ? rc : accept(wait);
	if (lzi_cas_acquire(&wait->node->upgrade, &ticket, 0ull) || !is_over(wait)) {
		wait->token = wait->node->token;
		return rc;
	}
	return accept(wait);
}

/* Waits no more. rc, or it has come to something just before. */
static int give_up(struct wait *wait, int rc)
{
	struct lzi_store *store = wait->call->store;
	struct wakes wakes = { .count = 0 };
	struct lzi_lock_shard *shard;
	int over;

	if (lzi_shard_lock(store, wait->number, &shard) != LATZ_OK)
		return leave(wait, rc);
	over = is_over(wait);
	if (!over) {
		if (wait->ask != NULL)
			lzi_store_release(&wait->node->state, (uint32_t)LZI_LOCK_ABANDONED);
		else
			lzi_store_release(&wait->node->upgrade, 0ull);
		LZI_POINT("lock.abandoned");
		wait->token = wait->node->token; /* a death may have left a new one */
		(void)!settle(store, shard, wait->hash, &wait->crowd, NULL, &wakes);
	}
	lzi_shard_unlock(shard);
	wake_all(&wakes);
	return over ? accept(wait) : rc;
}

static LZI_COLD int timed_out(const struct wait *wait)
{
	if (wait->wait_ms == 0)
		return lzi_error(LATZ_BUSY, "the lock is held by process %u", wait->crowd.pid);
	return lzi_error(LATZ_TIMEOUT, "waited %lld ms for a lock, held by process %u", (long long)wait->wait_ms,
	                 wait->crowd.pid);
}

/* What else there is to see to when others still have it. LATZ_OK: sleep on. */
static int see_to(struct wait *wait, uint64_t now_ns)
{
	struct lzi_call *call = wait->call;
	int rc = LATZ_OK;

	if (lzi_store_dead(call->store))
		return lzi_error(LATZ_DEAD, "pool %s was destroyed", call->store->name);
	if (now_ns >= wait->until_ns)
		return timed_out(wait);
	/* What waits stays what it is until it is offered something, or lost. */
	if (lzi_load_acquire(&wait->node->state) != (wait->ask != NULL ? LZI_LOCK_WAITING : LZI_LOCK_GRANTED) &&
	    !is_over(wait))
		return lzi_error(LATZ_CORRUPT, "lock node %u is damaged", wait->index);
	if (wait->crowd.ghost != 0)
		lzi_fence_reap(call->store, wait->crowd.ghost);
	if (wait->ask != NULL && wait->ask->look != NULL)
		rc = wait->ask->look(call, wait->ask->arg);
	if (rc == LATZ_OK && lzi_lock_is_cycle(call, wait->index))
		rc = lzi_error(LATZ_DEADLOCK, "waiting for process %u, which waits for this one", wait->crowd.pid);
	return rc;
}

static uint64_t nap_ns(const struct wait *wait, unsigned nap_us, uint64_t now_ns)
{
	uint64_t nap = wait->crowd.ghost != 0 ? NAP_GHOST_US * 1000ull : nap_us * 1000ull, until = wait->until_ns;

	until = wait->crowd.soonest < until ? wait->crowd.soonest : until;
	return until <= now_ns ? 1000 : until - now_ns < nap ? until - now_ns : nap;
}

/* The node is in its chain. Ends with the lock, its token in wait->token; without a node; or, of an upgrade, with what
 * there was. AGAIN: the lease was over before we knew. */
static int wait_for(struct wait *wait)
{
	struct lzi_actor *actor = wait->call->actor;
	uint64_t now_ns = lzi_clock_mono_ns(), begun_ns = now_ns;
	unsigned nap_us = NAP_FIRST_US;
	/* Who shares what others share has it at once. Leases are no locks. */
	int counts = !is_over(wait) && (wait->ask == NULL || !wait->ask->lease), rc = LATZ_OK;

	if (wait->until_ns == 0)
		wait->until_ns = wait->wait_ms < 0 || (uint64_t)wait->wait_ms > (UINT64_MAX - now_ns) / NS_PER_MS
		                         ? UINT64_MAX
		                         : now_ns + (uint64_t)wait->wait_ms * NS_PER_MS;
	if (counts)
		lzi_counter_prepare(wait->call, LZI_COUNTER_LOCK_WAITS);
	lzi_store_release(&actor->waits, (uint64_t)wait->index);
	LZI_POINT("lock.waits");
	while (rc == LATZ_OK && !is_over(wait)) {
		uint32_t word = lzi_load_acquire(&wait->node->word);

		if (is_over(wait))
			break;
		lzi_futex_wait(&wait->node->word, word, (unsigned)(nap_ns(wait, nap_us, now_ns) / 1000 + 1));
		if (is_over(wait))
			break;
		rc = look_again(wait);
		now_ns = lzi_clock_mono_ns();
		if (rc == LATZ_TIMEOUT && now_ns < wait->until_ns)
			rc = LATZ_OK; /* who has the shard is stopped: we wait all the same */
		if (rc == LATZ_OK && !is_over(wait))
			rc = see_to(wait, now_ns);
		nap_us = nap_us * 2 < NAP_US ? nap_us * 2 : NAP_US;
	}
	rc = rc == LATZ_OK ? accept(wait) : give_up(wait, rc);
	lzi_store_release(&actor->waits, 0ull);
	if (counts) {
		lzi_bump_relaxed(&actor->lock_waits, 1ull);
		lzi_counter_note(wait->call, LZI_COUNTER_LOCK_WAITS, lzi_clock_mono_ns() - begun_ns);
	}
	return rc;
}

/* ---- Taking ---- */

static void fill(const struct lzi_call *call, const struct lzi_lock_ask *ask, lzi_hash128_t hash,
                 struct lzi_lock_node *node)
{
	const struct lzi_store *store = call->store;
	size_t size = ask->name.size < LZI_LOCK_NAME ? ask->name.size : LZI_LOCK_NAME;

	node->hash[0] = hash.low;
	node->hash[1] = hash.high;
	node->ticket = node->token = node->lease_end = node->upgrade = 0;
	node->actor_life = call->actor->life;
	node->client_life = call->actor->client_life;
	node->lease_ms = ask->lease_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ask->lease_ms;
	node->actor = call->index;
	node->client = store->client;
	node->handle = ask->handle;
	node->pid = lzi_process_id();
	node->shared = ask->shared != 0;
	node->kind = ask->lease ? LZI_LOCK_LEASE : LZI_LOCK_NAMED;
	node->fenced = 0;
	node->name_size = ask->name.size < 255 ? (uint8_t)ask->name.size : 255;
	memcpy(node->name, ask->name.data, size);
}

/* Grants it, or makes it wait. The shard is locked. */
static int enter(struct wait *wait, struct lzi_lock_shard *shard, struct wakes *wakes)
{
	struct lzi_store *store = wait->call->store;
	uint32_t *head = lzi_chain_head(store, shard, wait->hash);
	struct crowd *crowd = &wait->crowd;
	struct lzi_lock_node *node;
	int rc;

	if (lzi_unlikely(head == NULL))
		return lzi_error(LATZ_NOMEM, "no address space for the file locks");
	rc = survey(store, shard, head, wait->hash, crowd);
	if (rc == LATZ_OK)
		rc = lzi_lock_node_take(store, shard, wait->number, &wait->index);
	if (lzi_unlikely(rc != LATZ_OK))
		return rc;
	head = lzi_chain_head(store, shard, wait->hash); /* there may be more chains now */
	node = wait->node = lzi_lock_node_at(store, wait->index);
	if (lzi_unlikely(head == NULL || node == NULL))
		return damaged(shard);
	fill(wait->call, wait->ask, wait->hash, node);
	LZI_POINT("lock.filled");
	if (lzi_likely(crowd->granted + crowd->waiting + crowd->ghost == 0)) {
		entitle(store, node, crowd);
		wait->token = node->token;
		lzi_store_release(&node->state, (uint32_t)LZI_LOCK_GRANTED);
	} else {
		wait->token = 0;
		wait->ticket = node->ticket = lzi_fetch_add(&store->control.shared->locks.ticket, 1ull) + 1;
		lzi_store_release(&node->state, (uint32_t)LZI_LOCK_WAITING);
	}
	LZI_POINT("lock.taken");
	node->next = *head;
	lzi_store_release(head, wait->index);
	LZI_POINT("lock.linked");
	if (lzi_likely(node->ticket == 0))
		return LATZ_OK;
	note_waiter(crowd, node);
	rc = promote(store, shard, head, wait->hash, crowd, node, wakes);
	if (rc == LATZ_OK && wait->ask->wait_ms == 0 && node->state == LZI_LOCK_WAITING) {
		uint32_t *link = link_of(store, shard, wait->hash, wait->index);

		if (link == NULL)
			return damaged(shard);
		lzi_lock_node_free(shard, link, node);
		return timed_out(wait);
	}
	if (lzi_unlikely(rc != LATZ_OK))
		lzi_store_release(&node->state, (uint32_t)LZI_LOCK_ABANDONED);
	return rc;
}

int lzi_lock_take(struct lzi_call *call, const struct lzi_lock_ask *ask, struct lzi_lock_held *ret_held)
{
	struct lzi_store *store = call->store;
	struct wait wait = { .call = call, .ask = ask, .wait_ms = ask->wait_ms };
	struct wakes wakes = { .count = 0 };
	struct lzi_lock_shard *shard;
	unsigned tries = 0;
	int rc = lzi_locks_ready(store);

	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_tokens_ready(store);
	if (lzi_unlikely(rc != LATZ_OK))
		return rc;
	lzi_bump_relaxed(&call->actor->uses, 1u);
	wait.hash = lzi_lock_hash(store, ask->name, ask->lease ? LZI_LOCK_LEASE : LZI_LOCK_NAMED);
	wait.number = lzi_shard_of(wait.hash);
	do {
		rc = lzi_shard_lock(store, wait.number, &shard);
		if (lzi_unlikely(rc != LATZ_OK))
			return rc;
		wakes.count = 0;
		rc = enter(&wait, shard, &wakes);
		lzi_shard_unlock(shard);
		wake_all(&wakes);
		if (lzi_likely(rc == LATZ_OK) && lzi_unlikely(wait.token == 0))
			rc = wait_for(&wait);
	} while (lzi_unlikely(rc == AGAIN) && tries++ < TRIES);
	if (rc != LATZ_OK)
		return rc == AGAIN ? lzi_error(LATZ_CORRUPT, "the lock is lost as soon as it is granted") : rc;
	if (!ask->lease)
		lzi_bump_relaxed(&call->actor->lock_takes, 1ull);
	ret_held->token = wait.token;
	ret_held->node = wait.index;
	ret_held->shard = wait.number;
	return LATZ_OK;
}

/* ---- What is held ---- */

static LZI_COLD int lost(void)
{
	return lzi_error(LATZ_FENCED, "the lock was lost: its lease is over");
}

/* Ends with the shard locked if it is LATZ_OK. */
static int find_held(struct lzi_call *call, const struct lzi_lock_held *held, struct lzi_lock_shard **ret_shard,
                     struct lzi_lock_node **ret_node)
{
	struct lzi_store *store = call->store;
	struct lzi_lock_node *node;
	int rc = lzi_locks_ready(store);

	lzi_bump_relaxed(&call->actor->uses, 1u);
	if (rc == LATZ_OK)
		rc = lzi_shard_lock(store, held->shard, ret_shard);
	if (rc != LATZ_OK)
		return rc;
	node = lzi_lock_node_at(store, held->node);
	if (lzi_likely(node != NULL && lzi_lock_node_real(node, held->node) && node->token == held->token &&
	               node->state == LZI_LOCK_GRANTED && node->client_life == call->actor->client_life)) {
		*ret_node = node;
		return LATZ_OK;
	}
	lzi_shard_unlock(*ret_shard);
	return lost();
}

static int has_expired(const struct lzi_lock_node *node)
{
	return node->lease_end != 0 && lzi_clock_mono_ns() >= node->lease_end;
}

/* Without the mutex, whose holder is stopped: the next one takes it away. Of what has a lease, though, the node may be
 * another's by now; it ends by itself. */
static int abandon(struct lzi_call *call, const struct lzi_lock_held *held, int rc)
{
	struct lzi_lock_node *node = lzi_lock_node_at(call->store, held->node);
	uint32_t state = LZI_LOCK_GRANTED;

	if (rc != LATZ_TIMEOUT || node == NULL || node->lease_ms != 0 || node->lease_end != 0 ||
	    node->token != held->token)
		return rc;
	return lzi_cas_acquire(&node->state, &state, (uint32_t)LZI_LOCK_ABANDONED) ? LATZ_OK : rc;
}

int lzi_lock_release(struct lzi_call *call, const struct lzi_lock_held *held)
{
	struct lzi_store *store = call->store;
	struct wakes wakes = { .count = 0 };
	struct lzi_lock_shard *shard;
	struct lzi_lock_node *node;
	struct crowd crowd;
	lzi_hash128_t hash;
	int over, rc = find_held(call, held, &shard, &node);

	if (lzi_unlikely(rc != LATZ_OK))
		return abandon(call, held, rc);
	hash.low = node->hash[0];
	hash.high = node->hash[1];
	over = has_expired(node);
	lzi_store_release(&node->state, (uint32_t)LZI_LOCK_ABANDONED);
	LZI_POINT("lock.released");
	rc = settle(store, shard, hash, &crowd, NULL, &wakes);
	LZI_POINT("lock.passed");
	lzi_shard_unlock(shard);
	LZI_POINT("lock.quiet");
	wake_all(&wakes);
	return over ? lost() : rc;
}

int lzi_lock_renew(struct lzi_call *call, const struct lzi_lock_held *held, int64_t lease_ms, uint64_t *ret_end_ns)
{
	struct lzi_lock_shard *shard;
	struct lzi_lock_node *node;
	int rc = find_held(call, held, &shard, &node);

	if (rc != LATZ_OK)
		return rc;
	if (has_expired(node)) {
		rc = lost();
	} else {
		node->lease_ms = lease_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)lease_ms;
		*ret_end_ns = node->lease_ms == 0 ? 0 : lzi_clock_mono_ns() + node->lease_ms * NS_PER_MS;
		lzi_store_release(&node->lease_end, *ret_end_ns);
	}
	lzi_shard_unlock(shard);
	return rc;
}

int lzi_lock_look(struct lzi_call *call, const struct lzi_lock_held *held, uint64_t *ret_end_ns, uint32_t *ret_lease_ms)
{
	struct lzi_lock_shard *shard;
	struct lzi_lock_node *node;
	int rc = find_held(call, held, &shard, &node);

	if (rc != LATZ_OK)
		return rc;
	if (has_expired(node)) {
		rc = lost();
	} else {
		*ret_end_ns = node->lease_end;
		*ret_lease_ms = node->lease_ms;
	}
	lzi_shard_unlock(shard);
	return rc;
}

int lzi_lock_upgrade(struct lzi_call *call, struct lzi_lock_held *held, int64_t wait_ms)
{
	struct lzi_store *store = call->store;
	struct wait wait = { .call = call, .wait_ms = wait_ms, .index = held->node, .number = held->shard };
	struct wakes wakes = { .count = 0 };
	struct lzi_lock_shard *shard;
	int waits, rc = lzi_tokens_ready(store);

	if (rc == LATZ_OK)
		rc = find_held(call, held, &shard, &wait.node);
	if (rc != LATZ_OK)
		return rc;
	wait.hash.low = wait.node->hash[0];
	wait.hash.high = wait.node->hash[1];
	if (has_expired(wait.node))
		rc = lost();
	else if (wait.node->shared && wait.node->upgrade != 0)
		rc = lzi_error(LATZ_INVALID, "another thread waits for having this lock alone");
	waits = rc == LATZ_OK && wait.node->shared;
	if (waits) {
		wait.ticket = lzi_fetch_add(&store->control.shared->locks.ticket, 1ull) + 1;
		lzi_store_release(&wait.node->upgrade, wait.ticket);
		LZI_POINT("lock.wants");
		rc = settle(store, shard, wait.hash, &wait.crowd, wait.node, &wakes);
		if (wait_ms == 0 && wait.node->state == LZI_LOCK_GRANTED) {
			lzi_store_release(&wait.node->upgrade, 0ull);
			rc = rc == LATZ_OK ? timed_out(&wait) : rc;
			waits = 0;
		}
	}
	wait.token = wait.node->token;
	lzi_shard_unlock(shard);
	wake_all(&wakes);
	if (waits)
		rc = wait_for(&wait);
	if (rc == AGAIN)
		return lost();
	held->token = wait.token;
	return rc;
}

int lzi_lock_downgrade(struct lzi_call *call, const struct lzi_lock_held *held)
{
	struct wakes wakes = { .count = 0 };
	struct lzi_lock_shard *shard;
	struct lzi_lock_node *node;
	struct crowd crowd;
	lzi_hash128_t hash;
	int rc = find_held(call, held, &shard, &node);

	if (rc != LATZ_OK)
		return rc;
	hash.low = node->hash[0];
	hash.high = node->hash[1];
	if (has_expired(node)) {
		rc = lost();
	} else {
		lzi_store_release(&node->shared, (uint8_t)1);
		LZI_POINT("lock.downgraded");
		rc = settle(call->store, shard, hash, &crowd, NULL, &wakes);
	}
	lzi_shard_unlock(shard);
	wake_all(&wakes);
	return rc;
}
