/*
 * Public calls for transactions.
 */
#include "config.h"

#include <stdlib.h>

#include "api/api.h"
#include "base/hash.h"
#include "os/os.h"

/* Waiting after a conflict: at most so long, and doubling up to there. */
#define WAIT_FIRST_US 5u
#define WAIT_MAX_US 10000u
/* Conflicts after which it is given up: so many; or fewer, when it has taken so long. */
#define RUNS_MAX 10000u
#define RUNS_LATE 100u
#define LATE_NS 10000000000ull

struct latz_txn {
	struct latz_pool *pool;
	struct lzi_txn *txn;
	unsigned fork_count; /* of the process that began it */
	int readonly;
};

int latz_txn_begin(latz_pool *pool, unsigned flags, latz_txn **txn)
{
	struct lzi_call call;
	latz_txn *handle;
	int rc;

	if (txn == NULL)
		return lzi_api_error(LATZ_INVALID, "txn is NULL");
	if (flags & ~(unsigned)LATZ_READONLY)
		return lzi_api_error(LATZ_INVALID, "flags has unknown bits 0x%x", flags & ~(unsigned)LATZ_READONLY);
	rc = flags == 0 ? lzi_api_write(pool, &call) : lzi_api_client(pool, &call, "a view of one moment");
	if (rc == LATZ_OK)
		rc = lzi_api_space(pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	handle = malloc(sizeof *handle);
	if (handle == NULL)
		return lzi_api_error(LATZ_NOMEM, "transaction");
	handle->pool = pool;
	handle->fork_count = lzi_fork_count;
	handle->readonly = pool->readonly || (flags & (unsigned)LATZ_READONLY) != 0;
	rc = lzi_txn_begin(&call, handle->readonly, &handle->txn);
	if (rc != LATZ_OK) {
		free(handle);
		return lzi_api_result(rc);
	}
	lzi_api_count(&pool->txns);
	*txn = handle;
	return LATZ_OK;
}

/* The child may have closed its handle of the pool, so that is not looked at. */
static int check(const latz_txn *txn, struct lzi_call *call)
{
	if (lzi_unlikely(txn == NULL))
		return lzi_error(LATZ_INVALID, "txn is NULL");
	if (lzi_unlikely(txn->fork_count != lzi_fork_count))
		return lzi_error(LATZ_INVALID, "the transaction was begun before the fork: it is the parent's");
	return lzi_api_call(txn->pool, call);
}

static int check_write(const latz_txn *txn, struct lzi_call *call)
{
	int rc = check(txn, call);

	if (rc == LATZ_OK && txn->readonly)
		rc = lzi_error(LATZ_READONLY, "the transaction was begun with LATZ_READONLY");
	return rc;
}

int latz_txn_get(latz_txn *txn, latz_slice key, latz_value *value)
{
	struct lzi_api_room room = { .big = NULL };
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (value == NULL)
		return lzi_api_error(LATZ_INVALID, "value is NULL");
	if (rc == LATZ_OK)
		rc = lzi_api_apart(key, value);
	if (rc == LATZ_OK)
		rc = check(txn, &call);
	if (rc == LATZ_OK)
		rc = lzi_api_map(txn->pool, &call, &key, 0, &room);
	if (rc == LATZ_OK) {
		rc = lzi_txn_get(&call, txn->txn, key, value);
		if (txn->pool->space != 0)
			lzi_space_got(&call, txn->pool->slot, 1, rc == LATZ_OK);
	}
	lzi_api_unmap(&room);
	return lzi_api_key_result(rc);
}

int latz_txn_set(latz_txn *txn, latz_slice key, latz_slice value, const latz_set_options *options)
{
	struct lzi_api_fence fence = { .room = { .big = NULL } };
	struct lzi_api_room room = { .big = NULL };
	struct lzi_write write;
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (rc == LATZ_OK && options != NULL)
		rc = lzi_api_set_options(options);
	if (rc == LATZ_OK)
		rc = lzi_api_value(value, options == NULL ? LATZ_BYTES : options->type);
	if (rc == LATZ_OK)
		rc = check_write(txn, &call);
	if (rc == LATZ_OK)
		rc = lzi_api_map(txn->pool, &call, &key, 1, &room);
	if (rc == LATZ_OK) {
		lzi_api_fill(txn->pool, &call, &write, key, value, options);
		rc = lzi_api_fence(txn->pool, &call, options, &write, &fence);
	}
	if (rc == LATZ_OK)
		rc = lzi_txn_write(&call, txn->txn, &write, options == NULL ? NULL : options->version);
	lzi_api_unmap(&fence.room);
	lzi_api_unmap(&room);
	return lzi_api_key_result(rc);
}

int latz_txn_delete(latz_txn *txn, latz_slice key)
{
	struct lzi_write write = { .kind = LZI_WRITE_DELETE, .key = key };
	struct lzi_api_room room = { .big = NULL };
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (rc == LATZ_OK)
		rc = check_write(txn, &call);
	if (rc == LATZ_OK)
		rc = lzi_api_map(txn->pool, &call, &write.key, 1, &room);
	if (rc == LATZ_OK)
		rc = lzi_txn_write(&call, txn->txn, &write, NULL);
	lzi_api_unmap(&room);
	return lzi_api_key_result(rc);
}

static void forget(latz_txn *txn)
{
	lzi_txn_end(txn->txn);
	if (txn->fork_count == lzi_fork_count)
		lzi_api_uncount(&txn->pool->txns);
	free(txn);
}

int latz_txn_commit(latz_txn *txn)
{
	struct lzi_call call;
	int rc = check(txn, &call);

	if (rc == LATZ_OK)
		rc = lzi_txn_end_with(&call, txn->txn);
	if (txn != NULL)
		forget(txn);
	return lzi_api_result(rc);
}

int latz_txn_abort(latz_txn *txn)
{
	if (txn == NULL)
		return lzi_api_error(LATZ_INVALID, "txn is NULL");
	lzi_wait_begin();
	forget(txn);
	return LATZ_OK;
}

/* Longer each time, and by chance, so that those who have met do not meet again. */
static void wait_a_little(unsigned run, uint64_t *random)
{
	unsigned most = run < 12 ? WAIT_FIRST_US << run : WAIT_MAX_US;

	*random = *random * 6364136223846793005ull + 1442695040888963407ull;
	most = most > WAIT_MAX_US ? WAIT_MAX_US : most;
	lzi_sleep_us(1 + (unsigned)((*random >> 33) % most));
}

int latz_txn_run(latz_pool *pool, latz_txn_fn fn, void *arg)
{
	uint64_t begun_ns = lzi_clock_mono_ns(), random = begun_ns ^ (uintptr_t)&random;
	latz_txn *txn;
	unsigned run;
	int rc;

	if (fn == NULL)
		return lzi_api_error(LATZ_INVALID, "fn is NULL");
	for (run = 0;; run++) {
		rc = latz_txn_begin(pool, 0, &txn);
		if (rc != LATZ_OK)
			return rc;
		rc = fn(txn, arg);
		if (rc != LATZ_OK)
			(void)!latz_txn_abort(txn);
		else
			rc = latz_txn_commit(txn);
		if (rc != LATZ_CONFLICT || run + 1 == RUNS_MAX ||
		    (run + 1 >= RUNS_LATE && lzi_clock_mono_ns() - begun_ns >= LATE_NS))
			return rc;
		wait_a_little(run, &random);
	}
}
