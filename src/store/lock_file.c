/*
 * The file `locks`: making it, letting it grow, its shards, chains and free nodes; what is left of them when the holder
 * of a shard's mutex died; giving its memory back. Knows nothing of who is granted what.
 *
 * Blocks are taken under locks.mutex: allocated, then given their header, then counted. So a block that counts is
 * always a shard's, and a death before that leaves blocks behind the end, which are allocated again.
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/lock.h"

#define FILE_NAME "locks"
#define VIEW_MIN (1ull << 20)
/* More heads when there are so many nodes to one of them; and how many more. */
#define LOAD 2u
#define GROW_SHIFT 3
/* Of a bounded pool's max_bytes, what locks may take. */
#define BOUND_PART 4u
/* Blocks that are not worth giving back. */
#define TRIM_MIN 64u

static struct lzi_locks *shared_of(const struct lzi_store *store)
{
	return &store->control.shared->locks;
}

static uint64_t blocks_of(const struct lzi_store *store)
{
	return lzi_load_acquire(&shared_of(store)->blocks);
}

/* ---- The file ---- */

static int map_file(struct lzi_store *store, int fd)
{
	uint64_t size = 0, need = blocks_of(store) * LZI_LOCK_BLOCK;
	int rc = lzi_file_size(fd, &size);

	if (rc == LATZ_OK && (need < LZI_LOCK_FIRST * LZI_LOCK_BLOCK || size < need))
		rc = lzi_error(LATZ_CORRUPT, "the file " FILE_NAME " has %llu bytes", (unsigned long long)size);
	if (rc == LATZ_OK)
		rc = lzi_map_open(&store->locks.map, fd, need > VIEW_MIN / 2 ? need * 2 : VIEW_MIN, 1);
	if (rc != LATZ_OK)
		return rc;
	store->locks.fd = fd;
	return LATZ_OK;
}

/* Empty shards, in a new file. Under locks.mutex. */
static int make_file(struct lzi_store *store)
{
	struct lzi_lock_shard *shards;
	struct lzi_locks *locks = shared_of(store);
	unsigned i;
	int fd = -1, rc;

	lzi_file_remove(store->poolfd, FILE_NAME); /* of a maker that died, or of who is gone */
	rc = lzi_file_create(store->poolfd, FILE_NAME, store->control.header->mode, &fd);
	if (rc == LATZ_OK)
		rc = lzi_file_allocate(fd, 0, LZI_LOCK_FIRST * LZI_LOCK_BLOCK);
	LZI_POINT("lock.file");
	lzi_store_release(&locks->blocks, (uint64_t)LZI_LOCK_FIRST);
	if (rc == LATZ_OK)
		rc = map_file(store, fd);
	if (rc != LATZ_OK) {
		lzi_file_close(fd);
		return rc;
	}
	shards = lzi_map_at(&store->locks.map, 0, LZI_LOCK_SHARDS * sizeof *shards);
	for (i = 0; i < LZI_LOCK_SHARDS && rc == LATZ_OK; i++)
		rc = lzi_mutex_init(&shards[i].mutex);
	LZI_POINT("lock.shards");
	if (rc == LATZ_OK)
		lzi_store_release(&locks->ready, 1u);
	return rc;
}

static int open_file(struct lzi_store *store)
{
	int fd = -1, rc = lzi_file_open(store->poolfd, FILE_NAME, 1, &fd);

	if (rc == LATZ_NOTFOUND)
		rc = lzi_error(LATZ_CORRUPT, "the pool has no file " FILE_NAME);
	if (rc == LATZ_OK && (rc = map_file(store, fd)) != LATZ_OK)
		lzi_file_close(fd);
	return rc;
}

static void close_file(struct lzi_store *store)
{
	lzi_map_close(&store->locks.map);
	lzi_file_drop(&store->locks.fd);
}

int lzi_locks_open(struct lzi_store *store)
{
	struct lzi_locks *locks = shared_of(store);
	int rc = LATZ_OK;

	pthread_mutex_lock(&store->locks.mutex);
	if (!store->locks.ready) {
		if (lzi_load_acquire(&locks->ready) == 0) {
			rc = lzi_mutex_lock(&locks->mutex, store->control.timeout_ms, "locks");
			if (rc >= 0) {
				rc = lzi_load_acquire(&locks->ready) == 0 ? make_file(store) : LATZ_OK;
				lzi_mutex_unlock(&locks->mutex);
			}
		}
		if (rc == LATZ_OK && store->locks.fd < 0)
			rc = open_file(store);
		if (rc == LATZ_OK)
			lzi_store_release(&store->locks.ready, 1);
		else if (store->locks.fd >= 0)
			close_file(store);
	}
	pthread_mutex_unlock(&store->locks.mutex);
	return rc;
}

void lzi_locks_close(struct lzi_store *store)
{
	if (store->locks.fd >= 0)
		close_file(store);
	store->locks.ready = 0;
}

void lzi_locks_reset(struct lzi_store *store)
{
	struct lzi_locks *locks = shared_of(store);

	lzi_store_release(&locks->ready, 0u);
	lzi_store_release(&locks->blocks, 0ull);
	lzi_file_remove(store->poolfd, FILE_NAME);
}

uint64_t lzi_locks_blocks(struct lzi_store *store)
{
	return lzi_locks_exist(store) && lzi_locks_ready(store) == LATZ_OK ? lzi_file_blocks(store->locks.fd) : 0;
}

/* ---- Blocks and nodes ---- */

uint64_t lzi_locks_end(const struct lzi_store *store)
{
	uint64_t claimed = blocks_of(store), have = lzi_file_blocks(store->locks.fd) / LZI_LOCK_BLOCK + 1;

	return claimed < have ? claimed : have;
}

static void *reach(struct lzi_store *store, uint64_t block, uint64_t span)
{
	void *at = lzi_map_at(&store->locks.map, block * LZI_LOCK_BLOCK, span * LZI_LOCK_BLOCK);

	if (lzi_likely(at != NULL) || block + span > blocks_of(store))
		return at;
	pthread_mutex_lock(&store->locks.mutex);
	(void)!lzi_map_grow(&store->locks.map, (block + span) * LZI_LOCK_BLOCK);
	pthread_mutex_unlock(&store->locks.mutex);
	return lzi_map_at(&store->locks.map, block * LZI_LOCK_BLOCK, span * LZI_LOCK_BLOCK);
}

struct lzi_lock_node *lzi_lock_node_reach(struct lzi_store *store, uint32_t index)
{
	struct lzi_lock_node *nodes = reach(store, index / LZI_LOCK_PER_BLOCK, 1);

	return nodes == NULL ? NULL : &nodes[index % LZI_LOCK_PER_BLOCK];
}

/* What a bounded pool's locks take, its heap has to give; but not all of it. */
static int within_bounds(struct lzi_store *store, uint64_t bytes)
{
	struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t max = lzi_load_relaxed(&bound->max_bytes);

	if (lzi_likely(max == 0))
		return LATZ_OK;
	if ((blocks_of(store) * LZI_LOCK_BLOCK + bytes) > max / BOUND_PART)
		return lzi_error(LATZ_FULL, "locks may take a %uth of the pool's max_bytes, %llu", BOUND_PART,
		                 (unsigned long long)max);
	if (lzi_load_relaxed(&bound->heap_limit) > bytes + LZI_EXTENT)
		lzi_fetch_sub_relaxed(&bound->heap_limit, bytes);
	return LATZ_OK;
}

/* `span` more blocks for a shard, whose mutex is held, cleared behind their header. */
static int take_blocks(struct lzi_store *store, unsigned number, uint32_t span, enum lzi_lock_block_kind kind,
                       uint64_t *ret_block)
{
	struct lzi_locks *locks = shared_of(store);
	struct lzi_lock_block *header;
	uint64_t block, bytes = (uint64_t)span * LZI_LOCK_BLOCK;
	int rc = lzi_mutex_lock(&locks->mutex, store->control.timeout_ms, "locks");

	if (rc < 0)
		return rc;
	block = blocks_of(store);
	if (block < LZI_LOCK_FIRST)
		rc = lzi_error(LATZ_CORRUPT, "the file " FILE_NAME " is claimed to have %llu blocks",
		               (unsigned long long)block);
	else if (block > UINT32_MAX / LZI_LOCK_PER_BLOCK - span)
		rc = lzi_error(LATZ_FULL, "too many locks");
	else
		rc = within_bounds(store, bytes);
	if (rc == LATZ_OK)
		rc = lzi_file_allocate(store->locks.fd, block * LZI_LOCK_BLOCK, bytes);
	if (rc == LATZ_OK) {
		pthread_mutex_lock(&store->locks.mutex);
		rc = lzi_map_grow(&store->locks.map, (block + span) * LZI_LOCK_BLOCK);
		pthread_mutex_unlock(&store->locks.mutex);
	}
	LZI_POINT("lock.allocated");
	if (rc == LATZ_OK) {
		header = lzi_map_at(&store->locks.map, block * LZI_LOCK_BLOCK, bytes);
		lzi_analyzed_assume(header != NULL); /* it has just grown so far */
		memset(header, 0, bytes);
		header->shard = number + 1;
		header->kind = kind;
		header->span = span;
		lzi_store_release(&locks->blocks, block + span);
		LZI_POINT("lock.block");
		*ret_block = block;
	}
	lzi_mutex_unlock(&locks->mutex);
	return rc;
}

static void free_nodes(struct lzi_lock_shard *shard, uint64_t block, struct lzi_lock_node *nodes)
{
	uint32_t slot;

	if (nodes == NULL)
		return;
	for (slot = LZI_LOCK_PER_BLOCK - 1; slot > 0; slot--) {
		nodes[slot].next = shard->free;
		shard->free = (uint32_t)block * LZI_LOCK_PER_BLOCK + slot;
		shard->nodes++;
	}
}

/* ---- Chains ---- */

/* Blocks of a run of so many heads. */
static uint32_t span_of(uint32_t count)
{
	return (uint32_t)((sizeof(struct lzi_lock_block) + count * 4ull + LZI_LOCK_BLOCK - 1) / LZI_LOCK_BLOCK);
}

/* Whether what the shard says of its heads makes sense. */
static int heads_sound(const struct lzi_store *store, uint64_t heads)
{
	uint64_t block = heads >> 32;
	uint32_t count = (uint32_t)heads;

	return heads == 0 || (count != 0 && (count & (count - 1)) == 0 && block >= LZI_LOCK_FIRST &&
	                      block + span_of(count) <= blocks_of(store));
}

/* NULL: they can't be had. */
static uint32_t *heads_of(struct lzi_store *store, struct lzi_lock_shard *shard, uint32_t *ret_count)
{
	uint64_t heads = lzi_load_relaxed(&shard->heads);
	struct lzi_lock_block *header;

	*ret_count = LZI_LOCK_HEADS;
	if (lzi_likely(heads == 0))
		return shard->head;
	*ret_count = (uint32_t)heads;
	if (lzi_unlikely(!heads_sound(store, heads)))
		return NULL;
	header = reach(store, heads >> 32, span_of(*ret_count));
	return header == NULL ? NULL : (uint32_t *)(void *)(header + 1);
}

static uint32_t *head_in(uint32_t *heads, uint32_t count, uint64_t hash)
{
	return &heads[hash & (count - 1)];
}

uint32_t *lzi_chain_head(struct lzi_store *store, struct lzi_lock_shard *shard, lzi_hash128_t hash)
{
	uint32_t count, *heads = heads_of(store, shard, &count);

	return lzi_likely(heads != NULL) ? head_in(heads, count, hash.low) : NULL;
}

/* A run of heads that is used no more becomes blocks of nodes, all free and in no list yet. From the last one on: until
 * the first is one, its header covers the others. */
static void convert_run(struct lzi_store *store, unsigned number, uint64_t block, uint32_t span)
{
	uint32_t i;

	for (i = span; i-- > 0;) {
		struct lzi_lock_block *header = reach(store, block + i, 1);

		if (header == NULL)
			return;
		memset((uint8_t *)header + sizeof *header, 0, LZI_LOCK_BLOCK - sizeof *header);
		header->shard = number + 1;
		lzi_store_release(&header->span, 1u);
		LZI_POINT("lock.converting");
		lzi_store_release(&header->kind, (uint32_t)LZI_LOCK_NODES);
		LZI_POINT("lock.converted");
	}
}

/* All chains into `heads`, which are empty. */
static void move_chains(struct lzi_store *store, uint32_t *from, uint32_t from_count, uint32_t *heads, uint32_t count)
{
	struct lzi_lock_node *node;
	uint64_t left = blocks_of(store) * LZI_LOCK_PER_BLOCK;
	uint32_t i, index, next;

	for (i = 0; i < from_count; i++) {
		/* No more of them than there can be: a chain may lead to itself. */
		for (index = from[i]; index != 0 && (node = lzi_lock_node_at(store, index)) != NULL && left-- > 0;
		     index = next) {
			uint32_t *head = head_in(heads, count, node->hash[0]);

			next = node->next;
			node->next = *head;
			*head = index;
			LZI_POINT("lock.rehashed");
		}
	}
}

/* More heads. Failing changes nothing: chains are longer than they might be. */
static LZI_COLD void more_heads(struct lzi_store *store, struct lzi_lock_shard *shard, unsigned number)
{
	uint64_t block, old = shard->heads >> 32, i;
	uint32_t had, *from = heads_of(store, shard, &had), count = had << GROW_SHIFT, *heads;
	struct lzi_lock_block *run;

	if (from == NULL || count <= had || take_blocks(store, number, span_of(count), LZI_LOCK_RUN, &block) != LATZ_OK)
		return;
	run = reach(store, block, span_of(count));
	if (run == NULL)
		return;
	heads = (uint32_t *)(void *)(run + 1);
	move_chains(store, from, had, heads, count);
	lzi_store_release(&shard->heads, block << 32 | count);
	LZI_POINT("lock.heads");
	if (old == 0)
		return;
	convert_run(store, number, old, span_of(had));
	for (i = 0; i < span_of(had); i++)
		free_nodes(shard, old + i, reach(store, old + i, 1));
}

int lzi_lock_node_take(struct lzi_store *store, struct lzi_lock_shard *shard, unsigned number, uint32_t *ret_index)
{
	struct lzi_lock_node *node;
	uint64_t block;
	int rc;

	if (lzi_unlikely(shard->free == 0)) {
		rc = take_blocks(store, number, 1, LZI_LOCK_NODES, &block);
		if (rc != LATZ_OK)
			return rc;
		free_nodes(shard, block, reach(store, block, 1));
		/* When nodes come is when heads may be too few. */
		if (shard->nodes > LOAD * (shard->heads == 0 ? LZI_LOCK_HEADS : (uint32_t)shard->heads))
			more_heads(store, shard, number);
	}
	node = lzi_lock_node_at(store, shard->free);
	if (lzi_unlikely(node == NULL || node->state != LZI_LOCK_FREE)) {
		shard->mend = 1;
		return lzi_error(LATZ_CORRUPT, "the free nodes of the file " FILE_NAME " are damaged");
	}
	*ret_index = shard->free;
	shard->free = node->next;
	lzi_store_relaxed(&shard->used, shard->used + 1); /* who would trim looks without the mutex */
	LZI_POINT("lock.node");
	return LATZ_OK;
}

void lzi_lock_node_free(struct lzi_lock_shard *shard, uint32_t *link, struct lzi_lock_node *node)
{
	uint32_t index = *link;

	*link = node->next;
	LZI_POINT("lock.unlinked");
	node->token = 0;
	lzi_store_release(&node->state, (uint32_t)LZI_LOCK_FREE);
	LZI_POINT("lock.freed");
	node->next = shard->free;
	shard->free = index;
	lzi_store_relaxed(&shard->used, shard->used - 1);
}

/* ---- After a death ---- */

/* The nodes of a block into chains or among the free ones. */
static void sort_nodes(struct lzi_lock_shard *shard, uint64_t block, struct lzi_lock_node *nodes, uint32_t *heads,
                       uint32_t count)
{
	uint32_t slot, index, *head;

	for (slot = LZI_LOCK_PER_BLOCK - 1; slot > 0; slot--) {
		index = (uint32_t)block * LZI_LOCK_PER_BLOCK + slot;
		shard->nodes++;
		if (lzi_load_acquire(&nodes[slot].state) == LZI_LOCK_FREE) {
			nodes[slot].next = shard->free;
			shard->free = index;
			continue;
		}
		head = head_in(heads, count, nodes[slot].hash[0]);
		nodes[slot].next = *head;
		*head = index;
		lzi_store_relaxed(&shard->used, shard->used + 1);
	}
}

static int make_anew(struct lzi_store *store, struct lzi_lock_shard *shard, unsigned number)
{
	uint64_t block, end = blocks_of(store);
	uint32_t count, span, *heads;
	struct lzi_lock_block *header;

	if (!heads_sound(store, lzi_load_relaxed(&shard->heads)))
		shard->heads = 0;
	heads = heads_of(store, shard, &count);
	if (heads == NULL || reach(store, 0, end) == NULL)
		return lzi_error(LATZ_NOMEM, "no address space for the file " FILE_NAME);
	shard->free = shard->nodes = 0;
	lzi_store_relaxed(&shard->used, 0u);
	memset(heads, 0, count * sizeof *heads);
	LZI_POINT("lock.emptied");
	for (block = LZI_LOCK_FIRST; block < end; block += span) {
		header = reach(store, block, 1);
		span = header == NULL ? 0 : lzi_load_relaxed(&header->span);
		if (span == 0 || span > end - block)
			return lzi_error(LATZ_CORRUPT, "block %llu of the file " FILE_NAME " is damaged",
			                 (unsigned long long)block);
		if (header->shard != number + 1)
			continue;
		/* Heads not used yet, or used no more. */
		if (header->kind == LZI_LOCK_RUN && block != lzi_load_relaxed(&shard->heads) >> 32)
			convert_run(store, number, block, span);
		if (header->kind == LZI_LOCK_NODES)
			sort_nodes(shard, block, (struct lzi_lock_node *)(void *)header, heads, count);
	}
	LZI_POINT("lock.mended");
	shard->mend = 0;
	return LATZ_OK;
}

int lzi_shard_lock(struct lzi_store *store, unsigned number, struct lzi_lock_shard **ret_shard)
{
	/* Those of all shards are mapped when the file is. */
	struct lzi_lock_shard *shard = lzi_analyzed_sure(
		(struct lzi_lock_shard *)lzi_map_at(&store->locks.map, number * sizeof *shard, sizeof *shard));
	int rc = lzi_mutex_lock(&shard->mutex, store->control.timeout_ms, "lock table");

	if (lzi_unlikely(rc != LATZ_OK)) {
		if (rc < 0)
			return rc;
		shard->mend = 1;
	}
	LZI_POINT("lock.shard");
	if (lzi_unlikely(shard->mend != 0) && (rc = make_anew(store, shard, number)) != LATZ_OK) {
		lzi_mutex_unlock(&shard->mutex);
		return rc;
	}
	*ret_shard = shard;
	return LATZ_OK;
}

void lzi_shard_unlock(struct lzi_lock_shard *shard)
{
	lzi_mutex_unlock(&shard->mutex);
}

/* ---- Whether an owner is dead ---- */

/* Its thread has ended, or is another's slot by now: what do the process's other threads say? */
static LZI_COLD int client_dead(const struct lzi_store *store, const struct lzi_lock_node *node)
{
	const struct lzi_control *control = &store->control;
	uint32_t i, n = lzi_control_actors(control);
	int dead = lzi_load_acquire(&lzi_control_client(control, node->client)->dead_life) == node->client_life;

	for (i = 0; i < LZI_DEAD && dead; i++) {
		if (lzi_load_acquire(&control->shared->locks.dead[i]) == node->actor_life)
			return 1;
	}
	for (i = 0; i < n; i++) {
		const struct lzi_actor *actor = lzi_control_actor(control, i);

		if (lzi_load_acquire(&actor->state) == 0 || lzi_load_acquire(&actor->client_life) != node->client_life)
			continue;
		if (!lzi_mutex_died(&actor->alive))
			return 0;
		dead = 1;
	}
	return dead || !lzi_client_alive(control, node->client, store->client);
}

int lzi_lock_owner_dead(const struct lzi_store *store, const struct lzi_lock_node *node)
{
	const struct lzi_control *control = &store->control;
	const struct lzi_client *client;
	const struct lzi_actor *actor;

	if (node->client >= control->header->clients_max)
		return 1;
	client = lzi_control_client(control, node->client);
	if (lzi_load_acquire(&client->state) == 0 || lzi_load_relaxed(&client->life) != node->client_life)
		return 1;
	if (node->client == store->client)
		return 0;
	if (node->actor < lzi_control_actors(control)) {
		actor = lzi_control_actor(control, node->actor);
		if (lzi_load_acquire(&actor->life) == node->actor_life && lzi_load_acquire(&actor->state) != 0) {
			int died = lzi_mutex_died(&actor->alive);

			if (lzi_load_acquire(&actor->life) == node->actor_life)
				return died;
		}
	}
	return client_dead(store, node);
}

/* ---- Giving memory back ---- */

/* Empties the shards, all of which are locked. The blocks are nobody's from the one store on. */
static void drop_blocks(struct lzi_store *store, struct lzi_lock_shard *shards)
{
	struct lzi_locks *locks = shared_of(store);
	uint64_t had = blocks_of(store);
	unsigned i;

	if (lzi_mutex_lock(&locks->mutex, 0, "locks") < 0)
		return;
	for (i = 0; i < LZI_LOCK_SHARDS; i++) {
		shards[i].mend = 1; /* until it is empty as said */
		shards[i].heads = 0;
		shards[i].free = shards[i].nodes = 0;
		memset(shards[i].head, 0, sizeof shards[i].head);
	}
	LZI_POINT("lock.trimming");
	lzi_store_release(&locks->blocks, (uint64_t)LZI_LOCK_FIRST);
	LZI_POINT("lock.trimmed");
	(void)!lzi_file_punch(store->locks.fd, LZI_LOCK_FIRST * LZI_LOCK_BLOCK,
	                      (had - LZI_LOCK_FIRST) * LZI_LOCK_BLOCK);
	for (i = 0; i < LZI_LOCK_SHARDS; i++)
		shards[i].mend = 0;
	lzi_mutex_unlock(&locks->mutex);
}

void lzi_locks_trim(struct lzi_store *store)
{
	struct lzi_lock_shard *shards;
	unsigned i, held = 0;

	if (!lzi_locks_exist(store) || blocks_of(store) < TRIM_MIN || lzi_locks_ready(store) != LATZ_OK)
		return;
	/* When it is ready they are mapped. */
	shards = lzi_map_at(&store->locks.map, 0, LZI_LOCK_SHARDS * sizeof *shards);
	lzi_analyzed_assume(shards != NULL);
	for (i = 0; i < LZI_LOCK_SHARDS; i++) {
		if (lzi_load_relaxed(&shards[i].used) != 0)
			return;
	}
	/* Only tried: who holds one may be waiting for another. */
	for (; held < LZI_LOCK_SHARDS; held++) {
		int rc = lzi_mutex_lock(&shards[held].mutex, 0, "lock table");

		if (rc < 0)
			break;
		if (rc != LATZ_OK)
			shards[held].mend = 1;
		if (shards[held].used != 0 || shards[held].mend != 0) {
			lzi_mutex_unlock(&shards[held].mutex);
			break;
		}
	}
	if (held == LZI_LOCK_SHARDS)
		drop_blocks(store, shards);
	while (held > 0)
		lzi_mutex_unlock(&shards[--held].mutex);
}
