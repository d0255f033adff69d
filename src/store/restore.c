/*
 * latz_snapshot() and latz_restore(): files named by the caller, and pools made from them.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/audit.h"
#include "store/image.h"
#include "store/lifetime.h"
#include "store/log.h"
#include "store/snapshot.h"
#include "store/snapshot_check.h"
#include "store/space.h"

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

/* Only a snapshot, or an image, is replaced. */
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
	rc = lzi_image_is(fd) ? LATZ_OK : lzi_snap_peek(fd, name, &info);
	lzi_file_close(fd);
	/* What can't be read may well be one. */
	return rc == LATZ_CORRUPT ? lzi_error(LATZ_EXISTS, "%s is there, and is no snapshot", name) : rc;
}

static int write_snapshot(struct lzi_call *call, const char *path, const latz_snapshot_options *options)
{
	struct telling telling = { options, (uint64_t)lzi_store_keys(call->store) };
	struct lzi_snapshot_job job = { options->level, options->threads, NULL, &telling };
	struct lzi_snap_info info = { .first_segment = 0 };
	const char *name;
	int dirfd, rc;

	if (options->progress != NULL)
		job.tick = tell;
	memcpy(info.log_id, call->store->control.header->pool_id, sizeof info.log_id);
	if (strcmp(path, "-") == 0 && options->flags & LATZ_SNAPSHOT_IMAGE)
		return lzi_error(LATZ_INVALID, "an image is a file, and can't be written to a stream");
	if (strcmp(path, "-") == 0)
		return lzi_snapshot_write(call, 1, &job, &info);
	rc = open_parent(path, &dirfd, &name);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_check_dir(dirfd, path);
	if (rc == LATZ_OK)
		rc = check_target(dirfd, name);
	if (rc == LATZ_OK && options->flags & LATZ_SNAPSHOT_IMAGE)
		rc = lzi_image_make(call, dirfd, name, &job);
	else if (rc == LATZ_OK)
		rc = lzi_snapshot_to_file(call, dirfd, name, &job, &info);
	lzi_file_close(dirfd);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "snapshot %s", path);
}

/* Told with its path from the root: who reads the log knows of no working directory. */
static int say_path(struct lzi_store *store, const char *event, const char *path)
{
	char *absolute = lzi_is_audited(store) && strcmp(path, "-") != 0 ? lzi_path_absolute(path) : NULL;
	int rc = lzi_audit_say_text(store, event, "path", absolute != NULL ? absolute : path);

	free(absolute);
	return rc;
}

int lzi_store_snapshot(struct lzi_call *call, const char *path, const latz_snapshot_options *options)
{
	int rc = say_path(call->store, "snapshot", path);

	return rc == LATZ_OK ? lzi_audit_failed(call->store, "snapshot", write_snapshot(call, path, options)) : rc;
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

	(void)options;
	if (rc == LATZ_OK)
		rc = load_path(&call, arg);
	LZI_POINT("restore.loaded");
	return rc;
}

/* ---- From an image ---- */

struct mapping {
	struct lzi_image image;
	const latz_snapshot_options *options;
};

static int map_files(struct lzi_opened *opened, const latz_options *options, void *arg)
{
	const struct mapping *mapping = arg;
	const struct lzi_image_header *header = &mapping->image.header;
	latz_snapshot_progress progress = { header->keys, header->bytes, header->keys, header->bytes };
	int rc = lzi_image_files(&mapping->image, opened, options->mode == 0 ? 0600 : options->mode);

	if (rc == LATZ_OK && mapping->options->progress != NULL &&
	    mapping->options->progress(&progress, mapping->options->arg) != 0)
		rc = lzi_error(LATZ_BUSY, "ended by the progress function");
	return rc;
}

static int fill_mapped(struct lzi_store *store, const latz_options *options, void *arg)
{
	const struct mapping *mapping = arg;
	struct lzi_call call;
	int rc = lzi_thread_find(store, &call);

	(void)options;
	if (rc == LATZ_OK && mapping->image.header.minor == 0)
		rc = lzi_space_escape_all(&call);
	if (rc == LATZ_OK)
		lzi_image_adopt(&mapping->image, &call);
	return rc;
}

/* The file behind the path, opened. */
static int open_path(const char *path, int *ret_fd)
{
	const char *name;
	int dirfd, rc = open_parent(path, &dirfd, &name);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_open(dirfd, name, 0, ret_fd);
	lzi_file_close(dirfd);
	/* No snapshot was ever there that could be damaged. */
	return rc == LATZ_CORRUPT ? lzi_error(LATZ_INVALID, "%s is no file, but a directory or the like", path) : rc;
}

static int open_image(const char *path, struct mapping *mapping, int *ret_is)
{
	int fd, rc = open_path(path, &fd);

	*ret_is = rc == LATZ_OK && lzi_image_is(fd);
	if (*ret_is)
		rc = lzi_image_open(&mapping->image, fd, path);
	else if (rc == LATZ_OK)
		lzi_file_close(fd);
	if (rc != LATZ_OK && *ret_is)
		lzi_file_close(fd);
	return rc;
}

int lzi_store_restore(const char *path, const char *name, const latz_options *options,
                      const latz_snapshot_options *snapshot_options)
{
	struct restoring restoring = { path, snapshot_options };
	struct mapping mapping = { .options = snapshot_options };
	struct lzi_fill with = { .fn = fill,
		                 .arg = &restoring,
		                 .from = strcmp(path, "-") == 0 ? "standard input" : path,
		                 .persists = options->persist_dir != NULL,
		                 .replace = (snapshot_options->flags & LATZ_RESTORE_REPLACE) != 0 };
	latz_options taken = *options;
	struct lzi_store *store;
	int is_image = 0, rc = LATZ_OK;

	taken.flags |= LATZ_CREATE | LATZ_EXCLUSIVE;
	taken.flags &= ~(unsigned)LATZ_START_EMPTY;
	if (strcmp(path, "-") != 0)
		rc = open_image(path, &mapping, &is_image);
	if (is_image) {
		with.fn = mapping.image.header.incompatible & LZI_IMAGE_KNOWN || mapping.image.header.minor == 0
		                  ? fill_mapped
		                  : NULL;
		with.arg = &mapping;
		with.files = map_files;
		with.hash_seed = mapping.image.header.hash_seed;
	}
	if (rc == LATZ_OK)
		rc = lzi_store_open_filled(name, &taken, &with, &store);
	if (is_image && mapping.image.sums != NULL) {
		lzi_image_close(&mapping.image);
		lzi_file_close(mapping.image.fd);
	}
	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("restore.published");
	rc = say_path(store, "restore", path);
	if (rc != LATZ_OK && store->replaced)
		rc = lzi_audit_missed(store, "restore");
	if (rc != LATZ_OK) {
		store->is_new = 1;
		lzi_store_close(store);
		return rc;
	}
	if (taken.flags & LATZ_KEEP) {
		lzi_store_close(store);
		return LATZ_OK;
	}
	lzi_registry_lock();
	store->held = 1;
	lzi_registry_unlock();
	return LATZ_OK;
}

static void snap_info(const struct lzi_snap_info *from, latz_snapshot_info *info)
{
	info->major = from->major;
	info->minor = from->minor;
	info->keys = from->keys - from->book;
	info->bytes = from->bytes;
	info->file_bytes = from->file_bytes;
	info->seq = from->seq;
	info->created_wall_ms = from->wall_ms;
	memcpy(info->pool_id, from->log_id, sizeof info->pool_id);
	info->blocks = from->blocks;
	info->first_segment = from->first_segment;
	info->encrypted = from->has_sealed;
}

static int look_at_image(int fd, const char *path, int whole, const char *password, latz_snapshot_info *info)
{
	struct lzi_image image;
	int rc;

	if (!whole) {
		rc = lzi_image_peek(fd, path, &image.header);
	} else {
		rc = lzi_image_open(&image, fd, path);
		if (rc == LATZ_OK) {
			rc = password != NULL ? lzi_image_check(&image, password)
			                      : lzi_image_verify(&image, NULL, NULL);
			lzi_image_close(&image);
		}
	}
	if (rc == LATZ_OK)
		lzi_image_info(&image.header, info);
	return rc;
}

int lzi_store_snapshot_look(const char *path, int whole, const char *password, latz_snapshot_info *ret_info)
{
	struct lzi_snap_read read = { .name = path };
	latz_snapshot_info out;
	int rc = strcmp(path, "-") == 0 ? LATZ_OK : open_path(path, &read.fd);

	if (rc == LATZ_NOTFOUND)
		return lzi_error(rc, "there is no file %s", path);
	memset(&out, 0, sizeof out);
	if (rc != LATZ_OK)
		return rc;
	if (strcmp(path, "-") != 0 && lzi_image_is(read.fd)) {
		rc = look_at_image(read.fd, path, whole, password, &out);
	} else if (password != NULL) {
		rc = lzi_snapshot_check(&read, password);
		snap_info(&read.info, &out);
	} else {
		rc = whole ? lzi_snap_read(&read) : lzi_snap_peek(read.fd, path, &read.info);
		snap_info(&read.info, &out);
	}
	if (strcmp(path, "-") != 0)
		lzi_file_close(read.fd);
	if (rc != LATZ_OK || ret_info == NULL)
		return rc;
	out.size = ret_info->size < sizeof out ? ret_info->size : sizeof out;
	memcpy(ret_info, &out, out.size);
	return LATZ_OK;
}
