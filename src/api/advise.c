/*
 * Public calls for advice on a pool's size, and on its hot keys.
 */
#include "config.h"

#include <limits.h>
#include <string.h>

#include "api/api.h"

static int take_options(const latz_advise_options *from, latz_advise_options *to)
{
	memset(to, 0, sizeof *to);
	if (from == NULL)
		return LATZ_OK;
	if (from->size < sizeof *from || from->size > 4096)
		return lzi_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_advise_options)",
		                 from->size);
	*to = *from;
	if (to->flags & ~(unsigned)(LATZ_ADVISE_START | LATZ_ADVISE_STOP))
		return lzi_error(LATZ_INVALID, "options.flags has unknown bits 0x%x", to->flags);
	if (to->policy == LATZ_POLICY_NONE)
		return lzi_error(LATZ_INVALID, "options.policy is LATZ_POLICY_NONE, which evicts nothing");
	return lzi_api_policy(to->policy);
}

int latz_advise(latz_pool *pool, const latz_advise_options *options, latz_advise_fn fn, void *arg,
                latz_advice_t *advice)
{
	latz_advice_t unwanted = { .size = sizeof unwanted };
	latz_advise_options taken;
	struct lzi_call call;
	int rc = take_options(options, &taken);

	if (rc == LATZ_OK && advice != NULL && advice->size < offsetof(latz_advice_t, policy))
		rc = lzi_error(LATZ_INVALID, "advice.size is not set");
	if (rc == LATZ_OK)
		rc = lzi_api_whole(pool);
	if (rc == LATZ_OK)
		rc = taken.flags != 0 ? lzi_api_write(pool, &call) : lzi_api_client(pool, &call, "advice");
	return lzi_api_result(
		rc == LATZ_OK ? lzi_store_advise(&call, &taken, fn, arg, advice != NULL ? advice : &unwanted) : rc);
}

/* Of all hot keys those that the handle's users know. */
struct seen {
	const latz_pool *pool;
	unsigned left;
	latz_hot_key_fn fn;
	void *arg;
};

static int tell_seen(latz_slice key, double share, void *arg)
{
	struct seen *seen = arg;
	struct lzi_api_room room;
	latz_slice in_pool = key;
	int rc = 0;

	if (seen->left == 0)
		return rc;
	if (lzi_api_see(seen->pool, &key, &room)) {
		seen->left--;
		rc = seen->fn(key, share, seen->arg);
	}
	lzi_api_unsee(seen->pool, in_pool, &room);
	return rc;
}

int latz_hot_keys(latz_pool *pool, unsigned max, latz_hot_key_fn fn, void *arg)
{
	struct seen seen = { pool, max, fn, arg };
	struct lzi_call call;
	int rc;

	if (fn == NULL)
		return lzi_api_error(LATZ_INVALID, "fn is NULL");
	rc = lzi_api_client(pool, &call, "hot keys");
	return lzi_api_result(rc == LATZ_OK ? lzi_store_hot_keys(&call, UINT_MAX, tell_seen, &seen) : rc);
}
