/*
 * That a pool is locked its persist directory says beside its log and snapshots, by a file without contents: so it is
 * known when those are damaged or gone, and nobody who starts empty over them gets a pool that is open to everybody. It
 * stays until somebody takes it away, or has made another pool durable there: what is less locked is told only when
 * that is whole, what is more before anything is begun, and dying in between leaves one mark too many.
 */
#include "config.h"

#include "base/error.h"
#include "store/log.h"

static const struct {
	uint32_t kind; /* enum lzi_locked_kind */
	const char *name;
} mark[] = { { LZI_LOCKED_ENCRYPTED, "encrypted" }, { LZI_LOCKED_PASSWORD, "locked" } };

/* *ret_there: what has the name counts, whatever it is and whosever. Else it can't be told: LATZ_IO as a rule. */
static int look(int dirfd, const char *name, int *ret_there)
{
	int fd, rc = lzi_disk_open(dirfd, name, 0, &fd);

	if (rc == LATZ_OK)
		lzi_file_close(fd);
	*ret_there = rc != LATZ_NOTFOUND;
	return rc == LATZ_NOTFOUND || rc == LATZ_CORRUPT || rc == LATZ_ACCESS ? LATZ_OK : rc;
}

int lzi_locked_mark(int dirfd, uint32_t *ret_kind)
{
	size_t i;
	int there, rc = LATZ_OK;

	*ret_kind = LZI_LOCKED_NOT;
	for (i = 0; i < sizeof mark / sizeof *mark && rc == LATZ_OK; i++) {
		rc = look(dirfd, mark[i].name, &there);
		if (rc == LATZ_OK && there && *ret_kind == LZI_LOCKED_NOT)
			*ret_kind = mark[i].kind;
	}
	return rc;
}

int lzi_locked_mark_of(const char *dir, const char *name, uint32_t *ret_kind)
{
	char path[LZI_PERSIST_PATH_MAX];
	int dirfd, rc;

	*ret_kind = LZI_LOCKED_NOT;
	if (dir == NULL)
		return LATZ_OK;
	rc = lzi_persist_path(dir, name, path);
	if (rc == LATZ_OK)
		rc = lzi_dir_open(path, 0, 0700, &dirfd);
	if (rc != LATZ_OK)
		return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
	rc = lzi_locked_mark(dirfd, ret_kind);
	lzi_file_close(dirfd);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "persist directory %s", path);
}

int lzi_locked_refuse(const char *name, uint32_t kind)
{
	if (kind == LZI_LOCKED_NOT)
		return LATZ_OK;
	return lzi_error(LATZ_AUTH, "pool %s needs a password, as that did whose mark `%s` is in its persist directory",
	                 name, kind == LZI_LOCKED_ENCRYPTED ? mark[0].name : mark[1].name);
}

/* Makes the mark of that kind, or takes away those of any other. */
static int change(int dirfd, uint32_t kind, int takes, int *ret_changed)
{
	int fd, there, rc = LATZ_OK;
	size_t i;

	for (i = 0; i < sizeof mark / sizeof *mark && rc == LATZ_OK; i++) {
		if ((mark[i].kind == kind) == takes)
			continue;
		rc = look(dirfd, mark[i].name, &there);
		if (rc != LATZ_OK || there != takes)
			continue;
		*ret_changed = 1;
		if (takes) {
			rc = lzi_disk_remove(dirfd, mark[i].name);
			continue;
		}
		rc = lzi_disk_create(dirfd, mark[i].name, &fd);
		if (rc == LATZ_OK)
			lzi_file_close(fd);
	}
	return rc;
}

static int settle(int dirfd, int rc, int changed)
{
	if (rc == LATZ_OK && changed)
		rc = lzi_disk_sync_dir(dirfd);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "persist directory, which is to say that it is locked");
}

int lzi_locked_announce(int dirfd, uint32_t kind)
{
	int changed = 0, rc = change(dirfd, kind, 0, &changed);

	return settle(dirfd, rc, changed);
}

int lzi_locked_remember(int dirfd, uint32_t kind)
{
	int changed = 0, rc = change(dirfd, kind, 0, &changed);

	if (rc == LATZ_OK)
		rc = change(dirfd, kind, 1, &changed);
	return settle(dirfd, rc, changed);
}
