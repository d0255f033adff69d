/*
 * Single-flight: of all who want a value that is not there, one computes it. The right to do so is a lock on the key,
 * of a kind of its own. Who gets it looks once more whether there is a value by now: then he lets go again.
 */
#include "config.h"

#include "base/error.h"
#include "store/lock.h"

/* The key is there by now. No result of anything else. */
#define THERE 2

/* While waiting: others may write the key without a lease, and who is granted the lease next may be stopped. */
static int look(struct lzi_call *call, void *arg)
{
	const latz_slice *key = arg;

	return lzi_store_get(call, *key, 0, NULL) == LATZ_OK ? THERE : LATZ_OK;
}

static int is_stale(const latz_value *value, int64_t stale_ms)
{
	return value->ttl_ms >= 0 && value->ttl_ms < stale_ms;
}

/* With the lease in hand. */
static int look_once_more(struct lzi_call *call, const struct lzi_lock_ask *ask, int64_t stale_ms, latz_value *value,
                          struct lzi_lock_held *held)
{
	int rc = lzi_store_get(call, ask->name, 0, value);

	if (rc == LATZ_NOTFOUND || (rc == LATZ_OK && is_stale(value, stale_ms)))
		return rc;
	(void)!lzi_lock_release(call, held);
	held->token = 0;
	return rc;
}

int lzi_lease_get(struct lzi_call *call, const struct lzi_lock_ask *ask, int64_t stale_ms, latz_value *value,
                  struct lzi_lock_held *ret_held)
{
	struct lzi_lock_ask mine = *ask;
	int rc;

	mine.lease = 1;
	mine.shared = 0;
	mine.look = look;
	mine.arg = &mine.name;
	ret_held->token = 0;
	for (;;) {
		int stale;

		rc = lzi_store_get(call, ask->name, 0, value);
		stale = rc == LATZ_OK && is_stale(value, stale_ms);
		if (rc != LATZ_NOTFOUND && !stale)
			return rc;
		if (ask->readonly) /* a stale value is for who computes the next, or who waits for him */
			return lzi_error(LATZ_READONLY, "no fresh value, and the handle was opened with LATZ_READONLY");
		mine.wait_ms = stale ? 0 : ask->wait_ms;
		rc = lzi_lock_take(call, &mine, ret_held);
		if (rc == LATZ_OK)
			return look_once_more(call, ask, stale_ms, value, ret_held);
		ret_held->token = 0;
		if (stale)
			return rc == LATZ_BUSY ? LATZ_OK : rc;
		if (rc != THERE)
			return rc;
	}
}
