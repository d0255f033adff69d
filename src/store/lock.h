/*
 * Private to store/: locks. lock_file.c: the file, its nodes and chains. lock.c: taking and giving. lock_cycle.c:
 * deadlocks. lock_token.c: tokens, and writes that name one. lock_list.c: what is held. lease.c: single-flight.
 */
#ifndef LZI_STORE_LOCK_H
#define LZI_STORE_LOCK_H

#include "format/locks.h"
#include "store/store_int.h"

/* ---- lock_file.c ---- */

/* The file is there and mapped. */
int lzi_locks_open(struct lzi_store *store);
static inline int lzi_locks_ready(struct lzi_store *store)
{
	return lzi_likely(lzi_load_acquire(&store->locks.ready) != 0) ? LATZ_OK : lzi_locks_open(store);
}
/* Whether anybody ever made it; else nothing is locked. */
static inline int lzi_locks_exist(const struct lzi_store *store)
{
	return lzi_load_acquire(&store->control.shared->locks.ready) != 0;
}

static inline unsigned lzi_shard_of(lzi_hash128_t hash)
{
	return (unsigned)(hash.high >> (64 - LZI_LOCK_SHARDS_SHIFT));
}

/* With what a dead holder left mended. LATZ_TIMEOUT names the holder. The file is mapped. */
int lzi_shard_lock(struct lzi_store *store, unsigned number, struct lzi_lock_shard **ret_shard);
void lzi_shard_unlock(struct lzi_lock_shard *shard);

/* Behind the last block. A file may have been made as long as one likes, but what we made of it is allocated. */
uint64_t lzi_locks_end(const struct lzi_store *store);

/* A node by its number; NULL if there is none of it. */
struct lzi_lock_node *lzi_lock_node_reach(struct lzi_store *store, uint32_t index);
static inline struct lzi_lock_node *lzi_lock_node_at(struct lzi_store *store, uint32_t index)
{
	uint64_t block = index / LZI_LOCK_PER_BLOCK;

	if (lzi_unlikely(index % LZI_LOCK_PER_BLOCK == 0 || block < LZI_LOCK_FIRST ||
	                 block >= lzi_load_acquire(&store->control.shared->locks.blocks)))
		return NULL;
	return lzi_lock_node_reach(store, index);
}

/* Nodes that a chain can have: whatever is claimed, no more than the file has room for. */
static inline uint32_t lzi_shard_nodes(const struct lzi_store *store, const struct lzi_lock_shard *shard)
{
	uint64_t room = lzi_load_relaxed(&store->locks.map.size) / sizeof(struct lzi_lock_node);
	uint32_t nodes = lzi_load_relaxed(&shard->nodes);

	return nodes < room ? nodes : (uint32_t)room;
}

/* The rest under the shard's mutex. The head of the chain that the hash selects. */
uint32_t *lzi_chain_head(struct lzi_store *store, struct lzi_lock_shard *shard, lzi_hash128_t hash);
/* A free node for the caller to fill: its number is in no chain yet. LATZ_NOSPC, LATZ_FULL. */
int lzi_lock_node_take(struct lzi_store *store, struct lzi_lock_shard *shard, unsigned number, uint32_t *ret_index);
/* Takes the node that *link names out of its chain, and frees it. */
void lzi_lock_node_free(struct lzi_lock_shard *shard, uint32_t *link, struct lzi_lock_node *node);

/* Whether it is a node at all: a block can be something else by now. */
static inline int lzi_lock_node_real(const struct lzi_lock_node *node, uint32_t index)
{
	const struct lzi_lock_block *header =
		(const struct lzi_lock_block *)(const void *)(node - index % LZI_LOCK_PER_BLOCK);

	return lzi_load_acquire(&header->kind) == LZI_LOCK_NODES;
}

static inline int lzi_lock_node_is(const struct lzi_lock_node *node, lzi_hash128_t hash)
{
	return node->hash[0] == hash.low && node->hash[1] == hash.high;
}

/* Whether the process that owns a node is dead; under the shard's mutex. */
int lzi_lock_owner_dead(const struct lzi_store *store, const struct lzi_lock_node *node);


/* ---- lock.c ---- */

#define LZI_LOCK_BUSY (1ull << 63) /* of `upgrade` */

/* Whether others are kept out by it. */
static inline int lzi_lock_holds(const struct lzi_lock_node *node)
{
	uint32_t state = lzi_load_acquire(&node->state);

	return state == LZI_LOCK_GRANTED || state == LZI_LOCK_OFFERED;
}

/* The ticket with which it waits: to be granted, or to have alone what it holds. 0: it does not. */
static inline uint64_t lzi_lock_waits(const struct lzi_lock_node *node)
{
	uint32_t state = lzi_load_acquire(&node->state);

	return state == LZI_LOCK_WAITING   ? node->ticket
	       : state == LZI_LOCK_GRANTED ? lzi_load_acquire(&node->upgrade) & ~LZI_LOCK_BUSY
	                                   : 0;
}

lzi_hash128_t lzi_lock_hash(const struct lzi_store *store, latz_slice name, enum lzi_lock_kind kind);

/* ---- lock_cycle.c ---- */

/* Whether the calling thread's wait closes a cycle of threads that wait for each other, and is the youngest in it. */
int lzi_lock_is_cycle(struct lzi_call *call, uint32_t index);

/* ---- lock_token.c ---- */

/* Before a grant is asked for: in a durable pool it is noted that tokens up to far beyond were given out. */
int lzi_tokens_ready(struct lzi_store *store);
/* Whether a thread is writing in the node's name; reaped: dead ones are cleaned up after, not under a mutex. */
int lzi_fence_is_used(struct lzi_store *store, uint32_t index);
void lzi_fence_reap(struct lzi_store *store, uint32_t index);

#endif
