/*
 * Public calls on locks and leases.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "os/os.h"

static int check_name(latz_slice name)
{
	if (name.data == NULL || name.size == 0)
		return lzi_error(LATZ_INVALID, "the lock's name is empty");
	if (name.size > LZI_KEY_MAX)
		return lzi_error(LATZ_TOOBIG, "a lock's name of %zu bytes; the limit is %u", name.size, LZI_KEY_MAX);
	return LATZ_OK;
}

static int check_times(int64_t lease_ms, int64_t wait_ms)
{
	if (lease_ms < 0 || lease_ms > UINT32_MAX)
		return lzi_error(LATZ_INVALID, "lease_ms is not 0 to %u", UINT32_MAX);
	if (wait_ms < -1)
		return lzi_error(LATZ_INVALID, "wait_ms is below -1");
	return LATZ_OK;
}

static int check_options(const latz_lock_options *options)
{
	if (options->shared != 0 && options->shared != 1)
		return lzi_error(LATZ_INVALID, "options.shared is %d, not 0 or 1", options->shared);
	return check_times(options->lease_ms, options->wait_ms);
}

static void keep(latz_pool *pool, const struct lzi_lock_held *held, latz_lock_t *lock)
{
	lock->token = held->token;
	lock->pool = pool;
	lock->node = held->node;
	lock->shard = held->shard;
	lock->fork_count = lzi_fork_count;
	lock->fd = 0;
	if (lzi_unlikely(lzi_load_relaxed(&pool->locks) == 0))
		lzi_store_release(&pool->locks, 1u);
}

int latz_lock(latz_pool *pool, latz_slice name, const latz_lock_options *options, latz_lock_t *lock)
{
	struct lzi_lock_ask ask = { .name = name };
	struct lzi_api_room room;
	struct lzi_lock_held held;
	struct lzi_call call;
	int rc;

	if (lock == NULL || lock->token != 0)
		return lzi_api_error(LATZ_INVALID, "lock is NULL, or holds one already");
	if (options != NULL && options->size < sizeof *options)
		return lzi_api_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_lock_options)",
		                     options->size);
	rc = check_name(name);
	if (rc == LATZ_OK && options != NULL)
		rc = check_options(options);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_api_write(pool, &call);
	if (lzi_unlikely(rc != LATZ_OK))
		return lzi_api_result(rc);
	ask.handle = pool->number;
	if (options != NULL) {
		ask.shared = options->shared != 0;
		ask.lease_ms = options->lease_ms;
		ask.wait_ms = options->wait_ms;
	}
	rc = lzi_api_map(pool, &call, &ask.name, 0, &room);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_lock_take(&call, &ask, &held);
	lzi_api_unmap(&room);
	if (lzi_unlikely(rc != LATZ_OK))
		return lzi_api_result(rc);
	keep(pool, &held, lock);
	return LATZ_OK;
}

static struct lzi_lock_held held_of(const latz_lock_t *lock)
{
	struct lzi_lock_held held = { lock->token, lock->node, lock->shard };

	return held;
}

/* What every call on a lock begins with. */
static inline int begin(const latz_lock_t *lock, struct lzi_call *call)
{
	int rc;

	if (lock == NULL || lock->token == 0)
		return lzi_error(LATZ_INVALID, "lock is NULL, or holds none");
	if (lock->fork_count != lzi_fork_count)
		return lzi_error(LATZ_INVALID, "the lock is the parent's");
	rc = lzi_api_call(lock->pool, call);
	return lzi_likely(rc == LATZ_OK) ? lzi_api_space(lock->pool, call) : rc;
}

static int arm(const latz_lock_t *lock, uint64_t end_ns, uint64_t lease_ms)
{
	if (lock->fd == 0)
		return LATZ_OK;
	return lzi_timer_set(lock->fd - 1, end_ns == 0 ? 0 : end_ns - lease_ms * 1000000 / 3);
}

/* The descriptor as befits the lease that there is. */
static int arm_again(struct lzi_call *call, const latz_lock_t *lock)
{
	struct lzi_lock_held held = held_of(lock);
	uint32_t lease_ms = 0;
	uint64_t end_ns = 0;
	int rc;

	if (lock->fd == 0)
		return LATZ_OK;
	rc = lzi_lock_look(call, &held, &end_ns, &lease_ms);
	return rc == LATZ_OK ? arm(lock, end_ns, lease_ms) : rc;
}

int latz_lock_renew(latz_lock_t *lock, int64_t lease_ms)
{
	struct lzi_call call;
	uint64_t end_ns = 0;
	int rc = check_times(lease_ms, 0);

	if (rc == LATZ_OK)
		rc = begin(lock, &call);
	if (rc == LATZ_OK) {
		struct lzi_lock_held held = held_of(lock);

		rc = lzi_lock_renew(&call, &held, lease_ms, &end_ns);
	}
	return lzi_api_result(rc == LATZ_OK ? arm(lock, end_ns, (uint64_t)lease_ms) : rc);
}

int latz_lock_upgrade(latz_lock_t *lock, int64_t wait_ms)
{
	struct lzi_call call;
	int rc = check_times(0, wait_ms);

	if (rc == LATZ_OK)
		rc = begin(lock, &call);
	if (rc == LATZ_OK) {
		struct lzi_lock_held held = held_of(lock);

		rc = lzi_lock_upgrade(&call, &held, wait_ms);
		lock->token = held.token;
	}
	return lzi_api_result(rc == LATZ_OK ? arm_again(&call, lock) : rc);
}

int latz_lock_downgrade(latz_lock_t *lock)
{
	struct lzi_call call;
	int rc = begin(lock, &call);

	if (rc == LATZ_OK) {
		struct lzi_lock_held held = held_of(lock);

		rc = lzi_lock_downgrade(&call, &held);
	}
	return lzi_api_result(rc);
}

int latz_lock_status(latz_lock_t *lock, int64_t *remaining_ms)
{
	struct lzi_call call;
	uint32_t lease_ms;
	uint64_t end_ns = 0, now_ns;
	int rc = begin(lock, &call);

	if (rc == LATZ_OK) {
		struct lzi_lock_held held = held_of(lock);

		rc = lzi_lock_look(&call, &held, &end_ns, &lease_ms);
	}
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	now_ns = lzi_clock_mono_ns();
	if (remaining_ms != NULL)
		*remaining_ms = end_ns == 0 ? -1 : end_ns > now_ns ? (int64_t)((end_ns - now_ns) / 1000000) : 0;
	return LATZ_OK;
}

int latz_lock_fd(latz_lock_t *lock)
{
	struct lzi_call call;
	int fd = -1, rc = begin(lock, &call);

	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	if (lock->fd == 0) {
		rc = lzi_timer_open(&fd);
		if (rc != LATZ_OK)
			return lzi_api_result(rc);
		lock->fd = fd + 1;
	}
	rc = arm_again(&call, lock);
	return rc == LATZ_OK ? lock->fd - 1 : lzi_api_result(rc);
}

/* Makes it hold nothing. */
static int end(latz_lock_t *lock)
{
	struct lzi_lock_held held = held_of(lock);
	latz_pool *pool = lock->pool;
	struct lzi_call call;
	int fd = lock->fd - 1, rc;

	lock->token = 0;
	lzi_store_release(&lock->fd, 0); /* first: a child that is forked just now closes its copy, too */
	if (lzi_unlikely(fd >= 0))
		lzi_file_close(fd);
	if (lock->fork_count != lzi_fork_count)
		return LATZ_OK;
	rc = lzi_api_call(pool, &call);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_lock_release(&call, &held);
	return rc;
}

int latz_unlock(latz_lock_t *lock)
{
	int rc;

	if (lock == NULL || lock->token == 0)
		return lzi_api_error(LATZ_INVALID, "lock is NULL, or holds none");
	rc = end(lock);
	return lzi_likely(rc == LATZ_OK) ? rc : lzi_api_result(rc);
}

void lzi_api_unlock_all(struct latz_pool *pool)
{
	struct lzi_call call;

	if (lzi_load_acquire(&pool->locks) != 0 && !lzi_store_is_parents(pool->store) &&
	    lzi_api_call(pool, &call) == LATZ_OK)
		lzi_lock_release_all(&call, pool->number);
}

/* Names as the handle's users know them; others have theirs. */
struct seen {
	const latz_pool *pool;
	latz_locks_fn fn;
	void *arg;
};

static int see(const latz_lock_info *info, void *arg)
{
	const struct seen *seen = arg;
	latz_lock_info mine = *info;
	struct lzi_api_room room;
	int rc = LATZ_OK;

	if (seen->pool->sealed && info->cut) { /* the beginning of a sealed name can't be opened */
		mine.name = (latz_slice){ "", 0 };
		return lzi_api_is_of(seen->pool, &info->name) ? seen->fn(&mine, seen->arg) : LATZ_OK;
	}
	if (lzi_api_see(seen->pool, &mine.name, &room))
		rc = seen->fn(&mine, seen->arg);
	lzi_api_unsee(seen->pool, info->name, &room);
	return rc;
}

int latz_locks(latz_pool *pool, latz_locks_fn fn, void *arg)
{
	struct seen seen = { pool, fn, arg };
	struct lzi_call call;
	int rc;

	if (fn == NULL)
		return lzi_api_error(LATZ_INVALID, "fn is NULL");
	rc = lzi_api_client(pool, &call, "a list of locks");
	if (rc == LATZ_OK)
		rc = lzi_api_space(pool, &call);
	return lzi_api_result(rc == LATZ_OK ? lzi_store_locks(&call, see, &seen) : rc);
}

/* ---- Leases ---- */

/* The key as it is in the pool. Returns rc, if there is memory. */
static int keep_lease(latz_pool *pool, const struct lzi_lock_ask *ask, const struct lzi_lock_held *held,
                      int64_t stale_ms, latz_lease *lease, int rc)
{
	keep(pool, held, &lease->lock);
	lease->key = malloc(ask->name.size);
	if (lease->key == NULL) {
		(void)!end(&lease->lock);
		return lzi_error(LATZ_NOMEM, "key");
	}
	memcpy(lease->key, ask->name.data, ask->name.size);
	lease->key_size = ask->name.size;
	lease->stale_ms = stale_ms;
	return rc;
}

int latz_get_or_lease(latz_pool *pool, latz_slice key, const latz_lease_options *options, latz_value *value,
                      latz_lease *lease)
{
	static const latz_lease_options defaults = LATZ_LEASE_OPTIONS_INIT;
	struct lzi_lock_ask ask = { .name = key };
	struct lzi_lock_held held = { 0, 0, 0 };
	struct lzi_api_room room;
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (value == NULL || lease == NULL || lease->lock.token != 0)
		return lzi_api_error(LATZ_INVALID, "value or lease is NULL, or lease holds one already");
	if (options == NULL)
		options = &defaults;
	if (options->size < sizeof *options)
		return lzi_api_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_lease_options)",
		                     options->size);
	if (rc == LATZ_OK)
		rc = check_times(options->lease_ms, options->wait_ms);
	if (rc == LATZ_OK && options->stale_ms < 0)
		rc = lzi_error(LATZ_INVALID, "stale_ms is negative");
	if (rc == LATZ_OK && (uintptr_t)key.data - (uintptr_t)value->data < value->capacity)
		rc = lzi_error(LATZ_INVALID, "the key lies in the buffer that is to take the value");
	if (rc == LATZ_OK)
		rc = lzi_api_call(pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	ask.handle = pool->number;
	ask.lease_ms = options->lease_ms;
	ask.wait_ms = options->wait_ms;
	ask.readonly = pool->readonly;
	rc = lzi_api_map(pool, &call, &ask.name, !pool->readonly, &room);
	if (rc == LATZ_OK) {
		rc = lzi_lease_get(&call, &ask, options->stale_ms, value, &held);
		if (pool->space != 0)
			lzi_space_got(&call, pool->slot, 1, rc == LATZ_OK);
	}
	if (held.token != 0)
		rc = keep_lease(pool, &ask, &held, options->stale_ms, lease, rc);
	lzi_api_unmap(&room);
	return lzi_api_key_result(rc);
}

/* The lease is over, however it was. */
static int finish(latz_lease *lease, int rc)
{
	int ended = end(&lease->lock);

	free(lease->key);
	lease->key = NULL;
	lease->key_size = 0;
	return rc != LATZ_OK ? rc : ended;
}

int latz_lease_fill(latz_lease *lease, latz_slice value, const latz_set_options *options)
{
	struct lzi_fence fence;
	struct lzi_write write;
	struct lzi_call call;
	latz_slice key;
	int rc;

	if (lease == NULL || lease->lock.token == 0)
		return lzi_api_error(LATZ_INVALID, "lease is NULL, or holds none");
	rc = begin(&lease->lock, &call);
	if (rc == LATZ_OK && options != NULL)
		rc = lzi_api_set_options(options);
	if (rc == LATZ_OK)
		rc = lzi_api_value(value, options == NULL ? LATZ_BYTES : options->type);
	if (rc == LATZ_OK) {
		key.data = lease->key;
		key.size = lease->key_size;
		lzi_api_fill(lease->lock.pool, &call, &write, key, value, options);
		if (write.ttl_ms > 0)
			write.ttl_ms += lease->stale_ms;
		fence.name = key;
		fence.token = lease->lock.token;
		fence.lease = 1;
		write.fence = &fence;
		rc = lzi_store_write(&call, &write);
		if (rc == LATZ_OK && options != NULL && options->version != NULL)
			*options->version = write.version;
	}
	return lzi_api_key_result(finish(lease, rc));
}

int latz_lease_drop(latz_lease *lease)
{
	if (lease == NULL || lease->lock.token == 0)
		return lzi_api_error(LATZ_INVALID, "lease is NULL, or holds none");
	return lzi_api_key_result(finish(lease, LATZ_OK));
}
