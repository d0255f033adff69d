/*
 * Deadlocks: threads that wait for each other in a circle. A waiter's edges lead to those who hold what it waits for,
 * and to those who wait before it; from each to what its thread waits for. Only circles through the asking thread are
 * looked for: each of a circle's threads asks for itself, and the one who began to wait last gives up.
 *
 * Shards are locked one after another, so what is read was not there at one moment. But tickets and tokens are given
 * out once: an edge that is found twice with the same numbers was there all the time in between. So a circle that is
 * walked twice was there, whole, at the moment between the two walks.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/lock.h"

/* Threads in a circle, and holders and waiters of a name that are followed, at most. */
#define DEPTH 48u
#define WIDTH 64u
#define VISITS 512u

/* Who keeps a waiter waiting. */
struct edge {
	uint64_t id; /* its token, or its ticket */
	uint64_t actor_life;
	uint32_t index, actor;
};

struct step {
	uint32_t index;  /* of the waiter */
	uint64_t ticket; /* with which it waits */
	uint32_t count, at;
	struct edge edge[WIDTH];
};

struct walk {
	struct lzi_store *store;
	uint64_t self; /* actor_life of who asks */
	unsigned depth, visits;
	struct step step[DEPTH];
};

/* Whether `other` keeps `node` waiting. *ret_id: what tells this grant, or wait, from others. */
static int keeps(const struct lzi_lock_node *node, uint64_t ticket, const struct lzi_lock_node *other, uint64_t *ret_id)
{
	if (lzi_lock_holds(other)) {
		*ret_id = other->token;
		/* Who waits for having alone what he shares waits for all who share it. */
		if (node->state == LZI_LOCK_GRANTED || !node->shared)
			return 1;
		return !other->shared || other->upgrade != 0;
	}
	*ret_id = other->ticket;
	return lzi_load_acquire(&other->state) == LZI_LOCK_WAITING && node->state == LZI_LOCK_WAITING &&
	       other->ticket < ticket && !(node->shared && other->shared);
}

/* The edges of the node that waits with `index`. 0: it does not wait. */
static int gather(struct lzi_store *store, uint32_t index, struct step *step)
{
	struct lzi_lock_node *node = lzi_lock_node_at(store, index), *other;
	struct lzi_lock_shard *shard;
	lzi_hash128_t hash;
	uint32_t *head, at, steps = 0;
	unsigned number;

	if (node == NULL)
		return 0;
	/* Which shard it is in: what it says before that is locked may be of another use; it is looked at again. */
	lzi_racy_reads_begin();
	hash.low = node->hash[0];
	hash.high = node->hash[1];
	lzi_racy_reads_end();
	number = lzi_shard_of(hash);
	if (lzi_shard_lock(store, number, &shard) != LATZ_OK)
		return 0;
	hash.low = node->hash[0];
	hash.high = node->hash[1];
	step->index = index;
	step->ticket = lzi_lock_waits(node);
	step->count = step->at = 0;
	head = lzi_shard_of(hash) == number && step->ticket != 0 ? lzi_chain_head(store, shard, hash) : NULL;
	for (at = head == NULL ? 0 : *head; at != 0 && step->count < WIDTH; at = other->next) {
		struct edge *edge = &step->edge[step->count];

		other = lzi_lock_node_at(store, at);
		if (other == NULL || steps++ > lzi_shard_nodes(store, shard))
			break;
		if (other == node || !lzi_lock_node_is(other, hash) ||
		    !keeps(node, step->ticket, other, &edge->id))
			continue;
		edge->index = at;
		edge->actor = other->actor;
		edge->actor_life = other->actor_life;
		step->count++;
	}
	lzi_shard_unlock(shard);
	return head != NULL;
}

/* What the thread behind an edge waits with; 0: nothing, as far as it says. */
static uint32_t waits_of(const struct lzi_store *store, const struct edge *edge)
{
	const struct lzi_actor *actor;
	uint64_t waits;

	if (edge->actor >= lzi_control_actors(&store->control))
		return 0;
	actor = lzi_control_actor(&store->control, edge->actor);
	if (lzi_load_acquire(&actor->life) != edge->actor_life)
		return 0;
	waits = lzi_load_acquire(&actor->waits);
	return lzi_load_acquire(&actor->life) == edge->actor_life ? (uint32_t)waits : 0;
}

static int is_on_path(const struct walk *walk, uint32_t index)
{
	unsigned i;

	for (i = 0; i < walk->depth; i++) {
		if (walk->step[i].index == index)
			return 1;
	}
	return 0;
}

/* Depth first from the asking thread's wait until an edge leads to that thread. Then the path is in step[0..depth),
 * each with `at` on the edge that was followed. */
static int find(struct walk *walk, uint32_t index)
{
	if (!gather(walk->store, index, &walk->step[0]))
		return 0;
	walk->depth = 1;
	while (walk->depth > 0) {
		struct step *step = &walk->step[walk->depth - 1];
		uint32_t next;

		if (step->at == step->count || walk->visits >= VISITS) {
			if (--walk->depth > 0)
				walk->step[walk->depth - 1].at++;
			continue;
		}
		if (step->edge[step->at].actor_life == walk->self)
			return 1;
		next = waits_of(walk->store, &step->edge[step->at]);
		if (next == 0 || walk->depth == DEPTH || is_on_path(walk, next) ||
		    (walk->visits++, !gather(walk->store, next, &walk->step[walk->depth]))) {
			step->at++;
			continue;
		}
		walk->depth++;
	}
	return 0;
}

/* Whether every edge of the path is still what it was. */
static int still(struct walk *walk)
{
	struct step *now = malloc(sizeof *now);
	unsigned i, j;
	int same = now != NULL;

	for (i = 0; i < walk->depth && same; i++) {
		const struct step *step = &walk->step[i];
		const struct edge *edge = &step->edge[step->at];

		same = gather(walk->store, step->index, now) && now->ticket == step->ticket;
		for (j = 0; same && j < now->count; j++) {
			if (now->edge[j].index == edge->index && now->edge[j].id == edge->id)
				break;
		}
		same = same && j < now->count &&
		       (i + 1 == walk->depth || waits_of(walk->store, edge) == walk->step[i + 1].index);
	}
	free(now);
	return same;
}

int lzi_lock_is_cycle(struct lzi_call *call, uint32_t index)
{
	struct walk *walk = malloc(sizeof *walk);
	int found = 0;
	unsigned i;

	if (walk == NULL)
		return 0; /* another time */
	walk->store = call->store;
	walk->self = call->actor->life;
	walk->visits = 0;
	if (find(walk, index)) {
		found = 1;
		for (i = 1; i < walk->depth; i++)
			found &= walk->step[i].ticket < walk->step[0].ticket;
		LZI_POINT("lock.cycle");
		found = found && still(walk);
	}
	free(walk);
	return found;
}
