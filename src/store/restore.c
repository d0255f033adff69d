/*
 * latz_snapshot() and latz_restore(): files named by the caller, and pools made from them.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/lifetime.h"
#include "store/log.h"
#include "store/snapshot.h"

struct telling {
	const latz_snapshot_options *options;
	uint64_t keys_total;
};

static int tell(uint64_t keys, uint64_t bytes, void *arg)
{
	const struct telling *telling = arg;
	latz_snapshot_progress progress = { keys, bytes, telling->keys_total, 0 };

	return telling->options->progress(&progress, telling->options->arg);
}

/* The directory of a path, opened, and the name in it. */
static int open_parent(const char *path, int *ret_dirfd, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char *dir;
	int rc;

	*ret_name = slash == NULL ? path : slash + 1;
	if (**ret_name == '\0' || strlen(*ret_name) > 200)
		return lzi_error(LATZ_INVALID, "%s is no file's name", path);
	dir = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (dir == NULL)
		return lzi_error(LATZ_NOMEM, "path");
	rc = lzi_disk_open_dir(dir, ret_dirfd);
	free(dir);
	return rc;
}

/* Only a snapshot is replaced. */
static int check_target(int dirfd, const char *name)
{
	struct lzi_snap_info info;
	int fd, rc = lzi_disk_open(dirfd, name, 0, &fd);

	if (rc == LATZ_NOTFOUND)
		return LATZ_OK;
	if (rc == LATZ_CORRUPT)
		return lzi_error(LATZ_EXISTS, "%s is there, and is no file", name);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_snap_peek(fd, name, &info);
	lzi_file_close(fd);
	/* What can't be read may well be one. */
	return rc == LATZ_CORRUPT ? lzi_error(LATZ_EXISTS, "%s is there, and is no snapshot", name) : rc;
}

int lzi_store_snapshot(struct lzi_call *call, const char *path, const latz_snapshot_options *options)
{
	struct telling telling = { options, (uint64_t)lzi_store_keys(call->store) };
	struct lzi_snapshot_job job = { options->level, options->threads, NULL, &telling };
	struct lzi_snap_info info = { .first_segment = 0 };
	const char *name;
	int dirfd, rc;

	if (options->progress != NULL)
		job.tick = tell;
	memcpy(info.log_id, call->store->control.header->pool_id, sizeof info.log_id);
	if (strcmp(path, "-") == 0)
		return lzi_snapshot_write(call, 1, &job, &info);
	rc = open_parent(path, &dirfd, &name);
	if (rc != LATZ_OK)
		return rc;
	rc = check_target(dirfd, name);
	if (rc == LATZ_OK)
		rc = lzi_snapshot_to_file(call, dirfd, name, &job, &info);
	lzi_file_close(dirfd);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "snapshot %s", path);
}

struct restoring {
	const char *path;
	const latz_snapshot_options *options;
};

static int load_path(struct lzi_call *call, const struct restoring *restoring)
{
	struct lzi_snap_info info;
	const char *name;
	int dirfd, rc;

	if (strcmp(restoring->path, "-") == 0)
		return lzi_snapshot_load_fd(call, 0, "standard input", restoring->options, &info);
	rc = open_parent(restoring->path, &dirfd, &name);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_snapshot_load(call, dirfd, name, restoring->options, &info);
	lzi_file_close(dirfd);
	return rc == LATZ_NOTFOUND ? lzi_error(rc, "there is no file %s", restoring->path) : rc;
}

static int fill(struct lzi_store *store, const latz_options *options, void *arg)
{
	struct lzi_call call;
	int rc = lzi_thread_find(store, &call);

	if (rc == LATZ_OK)
		rc = load_path(&call, arg);
	if (rc == LATZ_OK && options->persist_dir != NULL)
		rc = lzi_persist_create_from(store, options);
	return rc;
}

int lzi_store_restore(const char *path, const char *name, const latz_options *options,
                      const latz_snapshot_options *snapshot_options)
{
	struct restoring restoring = { path, snapshot_options };
	struct lzi_fill with = { fill, &restoring, (snapshot_options->flags & LATZ_RESTORE_REPLACE) != 0, LATZ_OK };
	latz_options taken = *options;
	struct lzi_store *store;
	int rc;

	taken.flags |= LATZ_CREATE | LATZ_EXCLUSIVE;
	taken.flags &= ~(unsigned)LATZ_START_EMPTY;
	rc = lzi_store_open_filled(name, &taken, &with, &store);
	if (rc != LATZ_OK)
		return rc;
	if (taken.flags & LATZ_KEEP) {
		lzi_store_close(store);
		return LATZ_OK;
	}
	lzi_registry_lock();
	store->held = 1;
	lzi_registry_unlock();
	return LATZ_OK;
}

int lzi_store_snapshot_look(const char *path, int whole, latz_snapshot_info *ret_info)
{
	struct lzi_snap_read read = { .name = path };
	latz_snapshot_info out;
	const char *name;
	int dirfd, rc;

	rc = strcmp(path, "-") == 0 ? LATZ_OK : open_parent(path, &dirfd, &name);
	if (rc == LATZ_OK && strcmp(path, "-") != 0) {
		rc = lzi_disk_open(dirfd, name, 0, &read.fd);
		lzi_file_close(dirfd);
	}
	if (rc == LATZ_NOTFOUND)
		return lzi_error(rc, "there is no file %s", path);
	if (rc != LATZ_OK)
		return rc;
	rc = whole ? lzi_snap_read(&read) : lzi_snap_peek(read.fd, path, &read.info);
	if (read.fd != 0)
		lzi_file_close(read.fd);
	if (rc != LATZ_OK || ret_info == NULL)
		return rc;
	memset(&out, 0, sizeof out);
	out.major = read.info.major;
	out.minor = read.info.minor;
	out.keys = read.info.keys;
	out.bytes = read.info.bytes;
	out.file_bytes = read.info.file_bytes;
	out.seq = read.info.seq;
	out.created_wall_ms = read.info.wall_ms;
	memcpy(out.pool_id, read.info.log_id, sizeof out.pool_id);
	out.blocks = read.info.blocks;
	out.first_segment = read.info.first_segment;
	out.size = ret_info->size < sizeof out ? ret_info->size : sizeof out;
	memcpy(ret_info, &out, out.size);
	return LATZ_OK;
}
