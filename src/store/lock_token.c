/*
 * Tokens, and writes that name one. A token is a number that no later grant of the pool has, nor one below it. In a
 * durable pool that has to hold over restarts: before any is given out that a restart might give out again, a file says
 * so beside the log, an empty one whose name is the number up to which tokens may have been given out: `tokens-` and 16
 * digits, hexadecimal. It is made and its name is on disk before the one before it is removed; of several the highest
 * counts. It stays where it is when a pool that can't be restored is set aside.
 *
 * A fenced write says in whose name it is made (actor.fence) under the mutex of the lock's shard, where it also looks
 * whether it may. Who would grant the lock to another, under the same mutex, sees that, and waits: so a write with an
 * older token is over, or will be refused.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/lock.h"
#include "store/log.h"

/* Tokens noted at once, and how many may be left when it is time for more: more than can be waited for at a time. */
#define RESERVE (1ull << 32)
#define LEFT (1ull << 24)
#define PREFIX "tokens-"
#define NAME_SIZE 24

/* ---- Tokens over restarts ---- */

static int parse(const char *name, uint64_t *ret_token)
{
	char *end;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || strlen(name) != strlen(PREFIX) + 16)
		return 0;
	*ret_token = strtoull(name + strlen(PREFIX), &end, 16);
	return *end == '\0';
}

/* Removes those below `limit`; the highest there is. */
static int look_through(int dirfd, uint64_t limit, uint64_t *ret_highest)
{
	uint64_t token;
	char **names;
	size_t count, i;
	int rc = lzi_dir_read(dirfd, &names, &count);

	*ret_highest = 0;
	if (rc != LATZ_OK)
		return rc;
	for (i = 0; i < count; i++) {
		if (!parse(names[i], &token))
			continue;
		if (token > *ret_highest)
			*ret_highest = token;
		if (token < limit)
			(void)!lzi_disk_remove(dirfd, names[i]); /* if it is back after a power cut, no matter */
	}
	lzi_dir_free(names, count);
	return LATZ_OK;
}

/* locks.mutex is held, or nobody else is there; the directory is open. */
static int reserve(struct lzi_store *store)
{
	struct lzi_locks *locks = &store->control.shared->locks;
	uint64_t limit = lzi_load_seq_cst(&locks->token) + RESERVE, highest;
	char name[NAME_SIZE];
	int fd, dirfd = store->persist.dirfd, rc;

	snprintf(name, sizeof name, PREFIX "%016" PRIx64, limit);
	rc = lzi_disk_create(dirfd, name, &fd);
	if (rc != LATZ_OK)
		return rc;
	lzi_file_close(fd);
	LZI_POINT("tokens.made");
	rc = lzi_disk_sync_dir(dirfd);
	LZI_POINT("tokens.synced");
	if (rc != LATZ_OK)
		return rc;
	lzi_store_relaxed(&locks->generation, lzi_load_relaxed(&store->control.shared->log.generation));
	lzi_store_release(&locks->reserved, limit);
	(void)!look_through(dirfd, limit, &highest);
	return LATZ_OK;
}

int lzi_tokens_join(struct lzi_store *store)
{
	struct lzi_locks *locks = &store->control.shared->locks;
	uint64_t highest, token = lzi_load_acquire(&locks->token);
	int rc = look_through(store->persist.dirfd, 0, &highest);

	if (rc == LATZ_OK)
		rc = lzi_mutex_lock(&locks->mutex, store->control.timeout_ms, "locks");
	if (rc < 0)
		return lzi_error_prefix(rc, "lock tokens");
	while (token < highest && !lzi_cas_acquire(&locks->token, &token, highest))
		;
	/* Noted when the next one is wanted; those that were given out before there was a log, now. */
	lzi_store_release(&locks->reserved, 0ull);
	rc = token == 0 || token < highest ? LATZ_OK : reserve(store);
	lzi_mutex_unlock(&locks->mutex);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "lock tokens");
}

static int is_noted(const struct lzi_store *store)
{
	const struct lzi_locks *locks = &store->control.shared->locks;

	return lzi_load_relaxed(&locks->token) + LEFT < lzi_load_acquire(&locks->reserved) &&
	       lzi_load_relaxed(&locks->generation) == lzi_load_relaxed(&store->control.shared->log.generation);
}

static LZI_COLD int note(struct lzi_store *store)
{
	struct lzi_mutex *mutex = &store->control.shared->locks.mutex;
	int rc = lzi_log_lock(store, 1);

	if (rc < 0)
		return rc;
	rc = lzi_mutex_lock(mutex, store->control.timeout_ms, "locks");
	if (rc >= 0) {
		rc = is_noted(store) || !lzi_is_durable(store) ? LATZ_OK : reserve(store);
		lzi_mutex_unlock(mutex);
	}
	lzi_log_unlock(store);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "lock tokens could not be noted beside the log");
}

int lzi_tokens_ready(struct lzi_store *store)
{
	return lzi_likely(!lzi_is_durable(store)) || is_noted(store) ? LATZ_OK : note(store);
}

/* ---- Writes in the name of one ---- */

static LZI_COLD int stale(const struct lzi_fence *fence)
{
	return lzi_error(LATZ_FENCED, "token %" PRIu64 " is not granted, or its lease is over", fence->token);
}

int lzi_fence_check(struct lzi_call *call, const struct lzi_fence *fence)
{
	struct lzi_store *store = call->store;
	lzi_hash128_t hash = lzi_lock_hash(store, fence->name, fence->lease ? LZI_LOCK_LEASE : LZI_LOCK_NAMED);
	struct lzi_lock_node *node = NULL;
	struct lzi_lock_shard *shard;
	uint32_t *head, index, steps = 0;
	int rc = lzi_locks_exist(store) ? lzi_locks_ready(store) : stale(fence);

	if (rc == LATZ_OK)
		rc = lzi_shard_lock(store, lzi_shard_of(hash), &shard);
	if (rc != LATZ_OK)
		return rc;
	head = lzi_chain_head(store, shard, hash);
	for (index = head == NULL ? 0 : *head; index != 0 && steps++ <= lzi_shard_nodes(store, shard);
	     index = node->next) {
		node = lzi_lock_node_at(store, index);
		if (node == NULL)
			break;
		if (node->token == fence->token && lzi_lock_node_is(node, hash))
			break;
	}
	if (index == 0 || node == NULL || node->token != fence->token || node->state != LZI_LOCK_GRANTED ||
	    (node->lease_end != 0 && lzi_clock_mono_ns() >= node->lease_end)) {
		rc = stale(fence);
	} else {
		node->fenced = 1;
		lzi_store_release(&call->actor->fence, (uint64_t)index);
	}
	lzi_shard_unlock(shard);
	LZI_POINT("fence.checked");
	return rc;
}

int lzi_fence_is_used(struct lzi_store *store, uint32_t index)
{
	uint32_t i, n = lzi_control_actors(&store->control);

	for (i = 0; i < n; i++) {
		if (lzi_load_acquire(&lzi_control_actor(&store->control, i)->fence) == index)
			return 1;
	}
	return 0;
}

void lzi_fence_reap(struct lzi_store *store, uint32_t index)
{
	uint32_t i, n = lzi_control_actors(&store->control);

	for (i = 0; i < n; i++) {
		if (lzi_load_acquire(&lzi_control_actor(&store->control, i)->fence) == index)
			(void)lzi_actor_reap(&store->control, i, lzi_mend_actor, store);
	}
}
