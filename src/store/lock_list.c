/*
 * What is locked, and who waits for it; and the end of a handle, which ends its locks.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/lock.h"

struct list {
	struct lzi_lock_node *node; /* copies */
	size_t count, capacity;
};

static int add(struct list *list, const struct lzi_lock_node *node)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
		struct lzi_lock_node *more = realloc(list->node, capacity * sizeof *more);

		if (more == NULL)
			return lzi_error(LATZ_NOMEM, "list of locks");
		list->node = more;
		list->capacity = capacity;
	}
	list->node[list->count++] = *node;
	return LATZ_OK;
}

/* Those of one shard whose owner lives. list NULL: 1 if there is one. */
static int collect(struct lzi_store *store, unsigned number, struct list *list)
{
	uint64_t block, now_ns = lzi_clock_mono_ns(), end;
	struct lzi_lock_shard *shard;
	int rc = lzi_shard_lock(store, number, &shard);

	if (rc != LATZ_OK)
		return rc;
	end = shard->used == 0 ? 0 : lzi_locks_end(store);
	for (block = LZI_LOCK_FIRST; block < end && rc == LATZ_OK;) {
		struct lzi_lock_node *node = lzi_lock_node_at(store, (uint32_t)block * LZI_LOCK_PER_BLOCK + 1);
		const struct lzi_lock_block *header = node == NULL ? NULL : (const void *)(node - 1);
		unsigned i;

		if (header == NULL || header->span == 0)
			break;
		for (i = 1; header->shard == number + 1 && header->kind == LZI_LOCK_NODES && i < LZI_LOCK_PER_BLOCK &&
		            rc == LATZ_OK;
		     i++, node++) {
			uint32_t state = node->state;

			if ((state == LZI_LOCK_WAITING || state == LZI_LOCK_OFFERED || state == LZI_LOCK_GRANTED) &&
			    (state == LZI_LOCK_WAITING || node->lease_end == 0 || node->lease_end > now_ns) &&
			    !lzi_lock_owner_dead(store, node))
				rc = list == NULL ? 1 : add(list, node);
		}
		block += header->span;
	}
	lzi_shard_unlock(shard);
	return rc;
}

static int report(const struct lzi_lock_node *node, uint64_t now_ns, latz_locks_fn fn, void *arg)
{
	size_t size = node->name_size < LZI_LOCK_NAME ? node->name_size : LZI_LOCK_NAME;
	latz_lock_info info = { .size = sizeof info, .name = { node->name, size } };

	info.cut = node->name_size > LZI_LOCK_NAME;
	info.lease = node->kind == LZI_LOCK_LEASE;
	info.shared = node->shared;
	info.waiting = node->state == LZI_LOCK_WAITING || node->upgrade != 0;
	info.token = node->state == LZI_LOCK_WAITING ? 0 : node->token;
	info.pid = node->pid;
	info.remaining_ms = node->lease_end == 0      ? -1
	                    : node->lease_end < now_ns ? 0
	                                               : (int64_t)((node->lease_end - now_ns) / 1000000);
	return fn(&info, arg);
}

int lzi_store_locks(struct lzi_call *call, latz_locks_fn fn, void *arg)
{
	struct lzi_store *store = call->store;
	struct list list = { NULL, 0, 0 };
	uint64_t now_ns;
	unsigned number;
	size_t i;
	int rc;

	if (!lzi_locks_exist(store))
		return LATZ_OK;
	rc = lzi_locks_ready(store);
	for (number = 0; number < LZI_LOCK_SHARDS && rc == LATZ_OK; number++)
		rc = collect(store, number, &list);
	now_ns = lzi_clock_mono_ns();
	for (i = 0; i < list.count && rc == LATZ_OK; i++)
		rc = report(&list.node[i], now_ns, fn, arg);
	free(list.node);
	return rc;
}

int lzi_locks_in_use(struct lzi_store *store)
{
	unsigned number;
	int rc;

	if (!lzi_locks_exist(store))
		return 0;
	rc = lzi_locks_ready(store);
	for (number = 0; number < LZI_LOCK_SHARDS && rc == LATZ_OK; number++)
		rc = collect(store, number, NULL);
	return rc != LATZ_OK; /* nor is it known that there is none if it can't be looked */
}

int lzi_store_is_parents(const struct lzi_store *store)
{
	return store->fork_count != lzi_fork_count;
}

void lzi_lock_release_all(struct lzi_call *call, uint32_t handle)
{
	struct lzi_store *store = call->store;
	uint64_t block, end;
	unsigned i;

	if (!lzi_locks_exist(store) || lzi_locks_ready(store) != LATZ_OK)
		return;
	end = lzi_locks_end(store);
	/* Ours change only by us, or are lost: a look without the mutex finds them, and releasing looks again. */
	for (block = LZI_LOCK_FIRST; block < end; block++) {
		for (i = 1; i < LZI_LOCK_PER_BLOCK; i++) {
			uint32_t index = (uint32_t)block * LZI_LOCK_PER_BLOCK + i;
			struct lzi_lock_node *node = lzi_lock_node_at(store, index);
			struct lzi_lock_held held;
			int is_ours;

			if (node == NULL)
				return; /* trimmed, or no address space */
			if (!lzi_lock_node_real(node, i))
				break; /* heads: the blocks of the run have nothing that looks like ours */
			lzi_racy_reads_begin();
			is_ours = lzi_load_acquire(&node->state) == LZI_LOCK_GRANTED && node->handle == handle &&
			          node->client_life == call->actor->client_life;
			held.token = node->token;
			held.node = index;
			held.shard = lzi_shard_of((lzi_hash128_t){ node->hash[0], node->hash[1] });
			lzi_racy_reads_end();
			if (is_ours)
				(void)!lzi_lock_release(call, &held);
		}
	}
}
