/*
 * Public calls for ordered iteration.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "os/os.h"

static int check_slice(latz_slice slice, const char *what)
{
	if (slice.data == NULL && slice.size > 0)
		return lzi_error(LATZ_INVALID, "%s.data is NULL", what);
	if (slice.size > PTRDIFF_MAX)
		return lzi_error(LATZ_INVALID, "%s of %zu bytes can't be in memory", what, slice.size);
	return LATZ_OK;
}

/* Bounds as they are in the pool: a namespace's keys all begin alike, the pool's own are what is in none. */
static int open_mapped(const latz_pool *pool, struct lzi_call *call, latz_scan_options *options,
                       struct lzi_scan **ret_scan)
{
	struct lzi_api_room prefix, from = { .big = NULL }, to = { .big = NULL };
	int rc = pool->space == 0 ? LATZ_OK : lzi_space_check(call, pool->space, pool->slot);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_api_map_bound(pool, &options->prefix, &prefix);
	if (rc == LATZ_OK && options->from.data != NULL)
		rc = lzi_api_map_bound(pool, &options->from, &from);
	if (rc == LATZ_OK && options->to.data != NULL)
		rc = lzi_api_map_bound(pool, &options->to, &to);
	if (rc == LATZ_OK)
		rc = lzi_audit_scan(call, options->prefix);
	if (rc == LATZ_OK)
		rc = pool->space != 0 ? lzi_scan_open(call, options, ret_scan)
		                      : lzi_scan_open_own(call, options, ret_scan);
	lzi_api_unmap(&prefix);
	lzi_api_unmap(&from);
	lzi_api_unmap(&to);
	return rc;
}

static int open_sealed(const latz_pool *pool, struct lzi_call *call, const latz_scan_options *options,
                       latz_scan *handle)
{
	int rc = pool->space == 0 ? LATZ_OK : lzi_space_check(call, pool->space, pool->slot);
	uint8_t all[LZI_SPACE_PREFIX];

	if (rc == LATZ_OK)
		rc = lzi_audit_scan(call, (latz_slice){ all, lzi_seal_prefix(pool->space, all) });
	return rc == LATZ_OK ? lzi_sealed_scan_open(call, options, pool->space, &handle->sealed) : rc;
}

int latz_scan_open(latz_pool *pool, const latz_scan_options *options, latz_scan **scan)
{
	latz_scan_options taken = LATZ_SCAN_OPTIONS_INIT;
	struct lzi_call call;
	latz_scan *handle;
	int rc;

	if (scan == NULL)
		return lzi_api_error(LATZ_INVALID, "scan is NULL");
	if (options != NULL && options->size < sizeof taken)
		return lzi_api_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_scan_options)",
		                     options->size);
	if (options != NULL)
		taken = *options;
	rc = check_slice(taken.prefix, "prefix");
	if (rc == LATZ_OK)
		rc = check_slice(taken.from, "from");
	if (rc == LATZ_OK)
		rc = check_slice(taken.to, "to");
	if (rc == LATZ_OK)
		rc = lzi_api_call(pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	handle = calloc(1, sizeof *handle);
	if (handle == NULL)
		return lzi_api_error(LATZ_NOMEM, "scan");
	rc = pool->sealed ? open_sealed(pool, &call, &taken, handle) : open_mapped(pool, &call, &taken, &handle->scan);
	if (rc != LATZ_OK) {
		free(handle);
		return lzi_api_result(rc);
	}
	handle->pool = pool;
	handle->fork_count = lzi_fork_count;
	lzi_api_count(&pool->scans);
	*scan = handle;
	return lzi_api_result(LATZ_OK);
}

/* What was left when the scan was opened is less by now, and for what has expired since nothing. */
static LZI_COLD void age(const struct lzi_scan *scan, latz_value *value)
{
	int64_t passed = lzi_clock_mono_ms() - lzi_scan_now_ms(scan);

	value->ttl_ms = value->ttl_ms > passed ? value->ttl_ms - passed : 0;
}

int latz_scan_next(latz_scan *scan, latz_slice *key, latz_value *value)
{
	struct lzi_call call;
	int rc;

	if (scan == NULL || key == NULL)
		return lzi_api_error(LATZ_INVALID, "scan or key is NULL");
	/* The child may have closed its handle, so that is not looked at. */
	if (lzi_unlikely(scan->fork_count != lzi_fork_count))
		return lzi_api_error(LATZ_INVALID, "the scan was opened before the fork: it is the parent's");
	*key = (latz_slice){ NULL, 0 };
	rc = lzi_api_call(scan->pool, &call);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_api_space(scan->pool, &call);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_unlikely(scan->sealed != NULL) ? lzi_sealed_scan_next(&call, scan->sealed, key, value)
		                                        : lzi_scan_next(&call, scan->scan, key, value);
	if (lzi_unlikely(rc == LATZ_OK && value != NULL && value->ttl_ms > 0))
		age(scan->sealed != NULL ? lzi_sealed_scan_raw(scan->sealed) : scan->scan, value);
	/* With LATZ_CORRUPT it is the key whose record is damaged. */
	if (lzi_likely((rc == LATZ_OK || rc == LATZ_CORRUPT) && key->size > 0 && scan->sealed == NULL)) {
		unsigned strip = lzi_api_strip(scan->pool, key->data);

		key->data = (const uint8_t *)key->data + strip;
		key->size -= strip;
	} else if (rc != LATZ_OK && rc != LATZ_CORRUPT) {
		*key = (latz_slice){ NULL, 0 };
	}
	if (lzi_likely(rc == LATZ_OK))
		return rc;
	return rc == LATZ_DONE ? lzi_api_answer(rc, "the scan is at its end") : lzi_api_result(rc);
}

int latz_scan_close(latz_scan *scan)
{
	if (scan == NULL)
		return lzi_api_error(LATZ_INVALID, "scan is NULL");
	lzi_wait_begin();
	if (scan->sealed != NULL)
		lzi_sealed_scan_close(scan->sealed);
	else
		lzi_scan_close(scan->scan);
	if (scan->fork_count == lzi_fork_count)
		lzi_api_uncount(&scan->pool->scans);
	free(scan);
	return LATZ_OK;
}
