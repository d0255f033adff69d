/*
 * Public calls on durability: syncing, snapshots, restoring.
 */
#include "config.h"

#include <string.h>

#include "api/api.h"
#include "os/os.h"

int latz_sync_now(latz_pool *pool)
{
	struct lzi_call call;
	int rc = lzi_api_write(pool, &call);

	return lzi_api_result(rc == LATZ_OK ? lzi_store_sync(&call) : rc);
}

int latz_persist(latz_pool *pool, const latz_options *options)
{
	latz_options taken;
	struct lzi_call call;
	int rc = LATZ_OK;

	if (options != NULL) {
		rc = lzi_api_options(options, &taken);
		if (rc == LATZ_OK && taken.persist_dir == NULL)
			rc = lzi_error(LATZ_INVALID, "options.persist_dir is NULL");
	}
	if (rc == LATZ_OK)
		rc = lzi_api_whole(pool);
	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	return lzi_api_result(rc == LATZ_OK ? lzi_store_persist(&call, options == NULL ? NULL : &taken) : rc);
}

static int take_options(const latz_snapshot_options *from, latz_snapshot_options *to)
{
	const unsigned known = LATZ_SNAPSHOT_IMAGE | LATZ_RESTORE_REPLACE | LATZ_RESTORE_SALVAGE;

	memset(to, 0, sizeof *to);
	if (from == NULL)
		return LATZ_OK;
	if (from->size < offsetof(latz_snapshot_options, level) || from->size > 4096)
		return lzi_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_snapshot_options)",
		                 from->size);
	memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
	if (to->flags & ~known)
		return lzi_error(LATZ_INVALID, "options.flags has unknown bits 0x%x", to->flags & ~known);
	if (to->level > 19 || to->level < -100)
		return lzi_error(LATZ_INVALID, "options.level is %d; 19 is the highest", to->level);
	return LATZ_OK;
}

static int check_path(const char *path)
{
	if (path == NULL || *path == '\0')
		return lzi_error(LATZ_INVALID, "path is %s", path == NULL ? "NULL" : "empty");
	return LATZ_OK;
}

int latz_snapshot(latz_pool *pool, const char *path, const latz_snapshot_options *options)
{
	latz_snapshot_options taken;
	struct lzi_call call;
	int rc = check_path(path);

	if (rc == LATZ_OK)
		rc = take_options(options, &taken);
	if (rc == LATZ_OK)
		rc = lzi_api_whole(pool);
	if (rc == LATZ_OK)
		rc = lzi_api_client(pool, &call, "a snapshot");
	return lzi_api_result(rc == LATZ_OK ? lzi_store_snapshot(&call, path, &taken) : rc);
}

int latz_restore(const char *path, const char *name, const latz_options *options,
                 const latz_snapshot_options *snapshot_options)
{
	latz_snapshot_options snapshot_taken;
	latz_options taken;
	char *secret = NULL;
	int rc = check_path(path);

	lzi_wait_begin();
	if (rc == LATZ_OK)
		rc = lzi_api_name(name);
	if (rc == LATZ_OK)
		rc = lzi_api_options(options, &taken);
	if (rc == LATZ_OK && (taken.flags & (unsigned)LATZ_READONLY) != 0)
		rc = lzi_error(LATZ_INVALID, "LATZ_READONLY makes no pool");
	if (rc == LATZ_OK)
		rc = take_options(snapshot_options, &snapshot_taken);
	if (rc == LATZ_OK)
		rc = lzi_api_password_take(&taken, &secret);
	if (rc == LATZ_OK)
		rc = lzi_store_restore(path, name, &taken, &snapshot_taken);
	lzi_passphrase_give(secret);
	return lzi_api_result(rc);
}

static int take_info(const latz_snapshot_info *info)
{
	if (info != NULL && info->size < offsetof(latz_snapshot_info, keys))
		return lzi_error(LATZ_INVALID, "info.size is not set");
	return LATZ_OK;
}

int latz_snapshot_verify(const char *path, const char *password, latz_snapshot_info *info)
{
	int rc = check_path(path);

	if (rc == LATZ_OK && password != NULL)
		rc = lzi_api_password(password);
	if (rc == LATZ_OK)
		rc = take_info(info);
	return lzi_api_result(rc == LATZ_OK ? lzi_store_snapshot_look(path, 1, password, info) : rc);
}

int latz_snapshot_info_read(const char *path, latz_snapshot_info *info)
{
	int rc = check_path(path);

	if (rc == LATZ_OK && info == NULL)
		rc = lzi_error(LATZ_INVALID, "info is NULL");
	if (rc == LATZ_OK)
		rc = take_info(info);
	return lzi_api_result(rc == LATZ_OK ? lzi_store_snapshot_look(path, 0, NULL, info) : rc);
}
