/*
 * Public calls on pools: arguments are checked here, the work is the store's.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "os/os.h"
#include "store/store.h"

latz_slice latz_str(const char *z)
{
	latz_slice slice = { z, z == NULL ? 0 : strlen(z) };

	return slice;
}

void latz_value_free(latz_value *value)
{
	if (value == NULL)
		return;
	lzi_value_drop(value);
	*value = (latz_value)LATZ_VALUE_INIT;
}

int lzi_api_name(const char *name)
{
	if (name == NULL)
		return lzi_error(LATZ_INVALID, "pool name is NULL");
	if (!lzi_name_valid(name))
		return lzi_error(LATZ_INVALID,
		                 "pool name must be 1 to 64 of A-Z a-z 0-9 . _ - and not start with a dot");
	return LATZ_OK;
}

int lzi_api_policy(latz_policy policy)
{
	if ((unsigned)policy > LATZ_POLICY_CLOCK)
		return lzi_error(LATZ_INVALID, "policy is %d", (int)policy);
	return LATZ_OK;
}

int lzi_api_password(const char *password)
{
	return lzi_passphrase_valid(password, strnlen(password, LZI_PASSPHRASE_MAX + 1));
}

/* What this release does not do is refused, never ignored. */
static int check_supported(const latz_options *options)
{
	if (options->max_bytes != 0 || options->max_entries != 0 || options->policy != LATZ_POLICY_DEFAULT) {
		int rc = lzi_api_policy(options->policy);

		if (rc == LATZ_OK)
			rc = lzi_bound_valid(options->max_bytes);
		if (rc != LATZ_OK)
			return rc;
	}
	if (options->encrypt != 0 && options->password == NULL && options->password_from == NULL)
		return lzi_error(LATZ_INVALID, "options.encrypt without a password");
	if (options->password != NULL && options->password_from != NULL)
		return lzi_error(LATZ_INVALID, "options.password and options.password_from");
	if (options->password != NULL) {
		int rc = lzi_api_password(options->password);

		if (rc != LATZ_OK)
			return rc;
	}
	if ((unsigned)options->sync > LATZ_SYNC_ALWAYS)
		return lzi_error(LATZ_INVALID, "options.sync is %d", (int)options->sync);
	if (options->persist_dir == NULL && (options->sync != LATZ_SYNC_NONE || options->sync_interval_ms != 0 ||
	                                     options->checkpoint_bytes != 0 || options->snapshot_on_close != 0))
		return lzi_error(LATZ_INVALID, "options of persistence without persist_dir");
	return LATZ_OK;
}

/* Copies what the caller's struct has of the options; the rest is zero. */
int lzi_api_options(const latz_options *from, latz_options *to)
{
	static const latz_options defaults = LATZ_OPTIONS_INIT;
	const unsigned known =
		LATZ_CREATE | LATZ_EXCLUSIVE | (unsigned)LATZ_READONLY | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD |
		LATZ_START_EMPTY;

	int rc;

	memset(to, 0, sizeof *to);
	if (from == NULL)
		from = &defaults;
	if (from->size < offsetof(latz_options, dir) || from->size > 4096)
		return lzi_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_options)", from->size);
	memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
	if (to->flags & ~known)
		return lzi_error(LATZ_INVALID, "options.flags has unknown bits 0x%x", to->flags & ~known);
	if ((to->flags & (LATZ_CREATE | LATZ_EXCLUSIVE)) == LATZ_EXCLUSIVE)
		return lzi_error(LATZ_INVALID, "LATZ_EXCLUSIVE goes with LATZ_CREATE");
	if ((to->flags & (unsigned)LATZ_READONLY) != 0 && (to->flags & (LATZ_EXCLUSIVE | LATZ_START_EMPTY)) != 0)
		return lzi_error(LATZ_INVALID, "LATZ_READONLY makes no pool: it excludes LATZ_EXCLUSIVE and "
		                 "LATZ_START_EMPTY");
	if (to->max_clients > 4096)
		return lzi_error(LATZ_INVALID, "options.max_clients is %u; the limit is 4096", to->max_clients);
	if (to->mode & ~0666u)
		return lzi_error(LATZ_INVALID, "options.mode 0%o has bits other than read and write", to->mode);
	if (to->mode & 0022)
		return lzi_error(LATZ_UNSUPPORTED, "options.mode 0%o: others may be let read a pool, not write it",
		                 to->mode);
	if (to->mode != 0 && (to->mode & 0600) != 0600)
		return lzi_error(LATZ_INVALID, "options.mode 0%o keeps the owner out", to->mode);
	if (to->ttl_ms < -1)
		return lzi_error(LATZ_INVALID, "options.ttl_ms is negative");
	if (to->idle_ttl_ms < -1)
		return lzi_error(LATZ_INVALID, "options.idle_ttl_ms is negative");
	if (to->idle_ttl_ms > LZI_TTL_MAX_MS)
		to->idle_ttl_ms = LZI_TTL_MAX_MS;
	if (to->max_age_ms < 0)
		return lzi_error(LATZ_INVALID, "options.max_age_ms is negative");
	if (to->max_age_ms > LZI_TTL_MAX_MS)
		to->max_age_ms = LZI_TTL_MAX_MS;
	rc = lzi_api_audit(to);
	if (rc == LATZ_OK)
		rc = lzi_api_compression(to);
	return rc == LATZ_OK ? check_supported(to) : rc;
}

uint32_t lzi_api_number(void)
{
	static uint32_t last;

	return lzi_fetch_add(&last, 1u) + 1;
}

int lzi_api_password_take(latz_options *options, char **ret_secret)
{
	int rc;

	*ret_secret = NULL;
	if (options->password_from == NULL)
		return LATZ_OK;
	rc = lzi_passphrase_take(options->password_from, ret_secret);
	options->password = *ret_secret;
	return rc;
}

int latz_password_read(const char *from, char **password)
{
	int rc;

	if (from == NULL || password == NULL)
		return lzi_api_error(LATZ_INVALID, "%s is NULL", from == NULL ? "from" : "password");
	rc = lzi_passphrase_take(from, password);
	if (rc == LATZ_OK)
		lzi_passphrase_bequeath(*password);
	return lzi_api_result(rc);
}

void latz_password_free(char *password)
{
	lzi_passphrase_give(password);
}

static int open_pool(const char *name, latz_options *options, struct lzi_store **ret_store)
{
	char *secret;
	int rc = lzi_api_password_take(options, &secret);

	if (rc == LATZ_OK)
		rc = lzi_store_open(name, options, ret_store);
	lzi_passphrase_give(secret);
	return rc;
}

int latz_open(const char *name, const latz_options *options, latz_pool **pool)
{
	latz_options taken;
	latz_pool *handle;
	int rc;

	if (pool == NULL)
		return lzi_api_error(LATZ_INVALID, "pool is NULL");
	rc = lzi_api_name(name);
	if (rc == LATZ_OK)
		rc = lzi_api_options(options, &taken);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	handle = calloc(1, sizeof *handle);
	if (handle == NULL)
		return lzi_api_error(LATZ_NOMEM, "handle");
	lzi_wait_begin();
	handle->number = lzi_api_number();
	handle->readonly = (taken.flags & (unsigned)LATZ_READONLY) != 0;
	rc = open_pool(name, &taken, &handle->store);
	if (rc != LATZ_OK) {
		free(handle);
		return lzi_api_result(rc);
	}
	lzi_api_know(handle);
	*pool = handle;
	return lzi_api_result(LATZ_OK);
}

int latz_close(latz_pool *pool)
{
	uint32_t scans, txns;

	if (pool == NULL)
		return lzi_api_error(LATZ_INVALID, "pool is NULL");
	lzi_wait_begin();
	scans = lzi_api_counted(&pool->scans);
	txns = lzi_api_counted(&pool->txns);
	if (scans != 0)
		return lzi_api_error(LATZ_BUSY,
		                     scans == 1 ? "%u scan or watch is open" : "%u scans and watches are open", scans);
	if (txns != 0)
		return lzi_api_error(LATZ_BUSY, "%u transaction%s under way", txns, txns == 1 ? " is" : "s are");
	lzi_api_unlock_all(pool);
	lzi_api_unhook(pool);
	lzi_store_close(pool->store);
	free(pool);
	return LATZ_OK;
}

int latz_destroy(const char *name, const latz_options *options)
{
	latz_options taken;
	int rc = lzi_api_name(name);

	lzi_wait_begin();
	memset(&taken, 0, sizeof taken);
	if (rc == LATZ_OK && options != NULL) {
		if (options->size < offsetof(latz_options, dir))
			return lzi_api_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_options)",
			                     options->size);
		memcpy(&taken, options, options->size < sizeof taken ? options->size : sizeof taken);
	}
	return lzi_api_result(rc == LATZ_OK ? lzi_store_destroy(name, taken.dir) : rc);
}

int latz_list(const char *dir, latz_list_fn fn, void *arg)
{
	if (fn == NULL)
		return lzi_api_error(LATZ_INVALID, "fn is NULL");
	lzi_wait_begin();
	return lzi_api_result(lzi_store_list(dir, fn, arg));
}

int latz_sweep(const char *dir, unsigned *removed)
{
	unsigned n = 0;
	int rc;

	lzi_wait_begin();
	rc = lzi_store_sweep(dir, &n);
	if (rc == LATZ_OK && removed != NULL)
		*removed = n;
	return lzi_api_result(rc);
}

int latz_stats(latz_pool *pool, latz_stats_t *stats)
{
	struct lzi_call call;
	int rc;

	if (stats == NULL || stats->size < offsetof(latz_stats_t, live_bytes))
		return lzi_api_error(LATZ_INVALID, "stats is NULL, or its size is not set");
	rc = lzi_api_call(pool, &call);
	if (rc == LATZ_OK)
		rc = pool->space == 0 ? lzi_store_stats(&call, stats) : lzi_space_stats(&call, pool->space, stats);
	return lzi_api_result(rc);
}

int latz_clients(latz_pool *pool, latz_client_fn fn, void *arg)
{
	struct lzi_call call;
	int rc;

	if (fn == NULL)
		return lzi_api_error(LATZ_INVALID, "fn is NULL");
	rc = lzi_api_call(pool, &call);
	return lzi_api_result(rc == LATZ_OK ? lzi_store_clients(&call, fn, arg) : rc);
}

int latz_maintain(latz_pool *pool, unsigned budget_us)
{
	struct lzi_call call;
	int rc = lzi_api_write(pool, &call);

	return lzi_api_result(rc == LATZ_OK ? lzi_store_maintain(&call, budget_us) : rc);
}

int latz_limit(latz_pool *pool, const latz_limits *limits)
{
	struct lzi_call call;
	int rc;

	if (limits == NULL || limits->size < sizeof *limits)
		return lzi_api_error(LATZ_INVALID, "limits is NULL, or its size is not set");
	rc = lzi_api_policy(limits->policy);
	if (rc == LATZ_OK)
		rc = lzi_api_whole(pool);
	if (rc == LATZ_OK)
		rc = lzi_bound_valid(limits->max_bytes);
	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	return lzi_api_result(
		rc == LATZ_OK ? lzi_bound_set(&call, limits->max_bytes, limits->max_entries, limits->policy) : rc);
}

int latz_verify(latz_pool *pool, latz_verify_fn fn, void *arg)
{
	struct lzi_call call;
	int rc = lzi_api_client(pool, &call, "verifying");

	return lzi_api_result(rc == LATZ_OK ? lzi_store_verify(&call, fn, arg) : rc);
}
