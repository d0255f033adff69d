#include "locks.h"

int lock_try(latz_pool *pool, const char *name, int shared, int64_t lease_ms, int64_t wait_ms, latz_lock_t *lock)
{
	latz_lock_options options = LATZ_LOCK_OPTIONS_INIT;

	options.shared = shared;
	options.lease_ms = lease_ms;
	options.wait_ms = wait_ms;
	*lock = (latz_lock_t)LATZ_LOCK_INIT;
	return latz_lock(pool, latz_str(name), &options, lock);
}

int set_fenced(latz_pool *pool, const char *key, const char *value, const char *name, uint64_t token)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	options.fence.name = latz_str(name);
	options.fence.token = token;
	return latz_set(pool, latz_str(key), latz_str(value), &options);
}

static int count_waiting(const latz_lock_info *info, void *arg)
{
	*(int *)arg += info->waiting;
	return 0;
}

int locks_waiting(latz_pool *pool)
{
	int n = 0;

	CHECK_OK(latz_locks(pool, count_waiting, &n));
	return n;
}

void locks_until_waiting(latz_pool *pool, int n)
{
	for (int i = 0; locks_waiting(pool) != n; i++) {
		CHECK(i < 20000);
		sleep_ms(1);
	}
}

static int count_held(const latz_lock_info *info, void *arg)
{
	*(int *)arg += info->token != 0;
	return 0;
}

int locks_held(latz_pool *pool)
{
	int n = 0;

	CHECK_OK(latz_locks(pool, count_held, &n));
	return n;
}
