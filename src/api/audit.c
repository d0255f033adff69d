/*
 * Public calls on audit logs and retention.
 */
#include "config.h"

#include <string.h>

#include "api/api.h"
#include "os/os.h"

int lzi_api_audit(const latz_options *options)
{
	const unsigned known = LATZ_AUDIT_WRITES | LATZ_AUDIT_READS | LATZ_AUDIT_PLAIN | LATZ_AUDIT_LAX;

	if (options->audit_keys & ~known)
		return lzi_error(LATZ_INVALID, "options.audit_keys has unknown bits 0x%x",
		                 options->audit_keys & ~known);
	if (options->audit_keys != 0 && options->audit == NULL)
		return lzi_error(LATZ_INVALID, "options.audit_keys without audit");
	if (options->audit_keys & LATZ_AUDIT_PLAIN && options->encrypt != 0)
		return lzi_error(LATZ_INVALID, "LATZ_AUDIT_PLAIN would tell the keys of an encrypted pool");
	return LATZ_OK;
}

int latz_audit_status(latz_pool *pool, latz_audit_status_t *status)
{
	struct lzi_call call;
	int rc;

	if (status == NULL || status->size < offsetof(latz_audit_status_t, keys))
		return lzi_api_error(LATZ_INVALID, "status is NULL, or its size is not set");
	rc = lzi_api_call(pool, &call);
	return lzi_api_result(rc == LATZ_OK ? lzi_audit_status(&call, status) : rc);
}

int latz_audit_key(latz_pool *pool, uint8_t key[32])
{
	struct lzi_call call;
	int rc;

	if (key == NULL)
		return lzi_api_error(LATZ_INVALID, "key is NULL");
	rc = lzi_api_call(pool, &call);
	return lzi_api_result(rc == LATZ_OK ? lzi_audit_secret(&call, key) : rc);
}

static int check_path(const char *path)
{
	if (path == NULL || *path == '\0')
		return lzi_error(LATZ_INVALID, "path is %s", path == NULL ? "NULL" : "empty");
	return LATZ_OK;
}

int latz_audit_verify(const char *path, const latz_audit_options *options, latz_audit_info *info)
{
	latz_audit_options taken = LATZ_AUDIT_OPTIONS_INIT;
	latz_audit_info unwanted = { .size = sizeof unwanted };
	int rc = check_path(path);

	if (rc == LATZ_OK && options != NULL && options->size < offsetof(latz_audit_options, password))
		rc = lzi_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_audit_options)",
		               options->size);
	if (rc == LATZ_OK && info != NULL && info->size < offsetof(latz_audit_info, entries))
		rc = lzi_error(LATZ_INVALID, "info.size is not set");
	if (rc == LATZ_OK && options != NULL)
		memcpy(&taken, options, options->size < sizeof taken ? options->size : sizeof taken);
	if (rc == LATZ_OK && taken.key != NULL && taken.password != NULL)
		rc = lzi_error(LATZ_INVALID, "options.key and options.password");
	if (rc == LATZ_OK && taken.password != NULL)
		rc = lzi_api_password(taken.password);
	return lzi_api_result(rc == LATZ_OK ? lzi_audit_verify(path, &taken, info == NULL ? &unwanted : info) : rc);
}

int latz_audit_rotate(const char *path, char *name, size_t size)
{
	int rc = check_path(path);

	lzi_wait_begin();
	if (rc == LATZ_OK && name == NULL && size > 0)
		rc = lzi_error(LATZ_INVALID, "name is NULL");
	return lzi_api_result(rc == LATZ_OK ? lzi_audit_rotate(path, name, size) : rc);
}

int latz_retain(latz_pool *pool, int64_t max_age_ms)
{
	struct lzi_call call;
	int rc = max_age_ms < 0 ? lzi_error(LATZ_INVALID, "max_age_ms is negative") : lzi_api_write(pool, &call);

	if (max_age_ms > LZI_TTL_MAX_MS)
		max_age_ms = LZI_TTL_MAX_MS;
	if (rc == LATZ_OK)
		rc = pool->space == 0 ? lzi_retain_set(&call, max_age_ms)
		                      : lzi_space_retain(&call, pool->space, max_age_ms);
	return lzi_api_result(rc);
}
