/*
 * Who only reads: a handle opened with LATZ_READONLY. Its descriptors are opened for reading, its maps cannot be
 * written, and it has no slot among the clients: nothing in the pool tells of it, not even a lock. So it needs no more
 * than the right to read the files, whosever they are, and can neither damage the pool, nor hold up who writes, nor
 * keep it from going when the last of those leaves (doc/security.md).
 *
 * What others are seen for is that no memory is given back under them. Who only reads has no need of that: it maps what
 * is never given back, and reads the rest from the file (reader_read.c). That extents are used again is noticed by
 * their generation, as by everybody.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "store/audit.h"
#include "store/lifetime.h"
#include "store/seal.h"

#define LOOK_MS 500 /* between two looks whether the files are still there: LATZ_DEAD within a second */

/* A directory that the caller has named may be anybody's: whom it belongs to is whom he trusts. The one that we make
 * up ourselves, in a place where everybody may make one, may not. */
int lzi_reader_dir(const char *given, const char *path, int *ret_fd)
{
	const char *dir = getenv("LATZERO_DIR");

	return lzi_dir_look(path, given != NULL || (dir != NULL && *dir != '\0'), ret_fd);
}

/* The pool is there, and somebody has it open or it is to stay. */
static int check_there(int dirfd, const char *name, const struct lzi_opened *opened)
{
	const struct lzi_control *control = &opened->control;

	if (lzi_load_acquire(lzi_control_state(control)) != LZI_STATE_LIVE ||
	    !lzi_dir_same(dirfd, name, opened->poolfd) || !lzi_file_same(opened->poolfd, "pool", control->fd))
		return lzi_error(LATZ_NOTFOUND, "pool %s is being taken away", name);
	if (lzi_pool_is_old(control) || (!lzi_pool_stays(control) && !lzi_ofd_held(control->fd, LZI_LOCK_LIFE)))
		return lzi_error(LATZ_NOTFOUND, "nobody uses pool %s any more, and it is not kept", name);
	return LATZ_OK;
}

int lzi_reader_peek(int dirfd, const char *name, struct lzi_opened *ret_opened)
{
	struct lzi_opened opened = { .poolfd = -1, .control = { .fd = -1 } };
	int rc = lzi_dir_look_at(dirfd, name, &opened.poolfd);

	if (rc == LATZ_NOTFOUND)
		return lzi_error(rc, "no pool %s, and LATZ_READONLY makes none", name);
	if (rc == LATZ_OK)
		rc = lzi_file_look(opened.poolfd, "pool", &opened.control.fd);
	if (rc == LATZ_NOTFOUND)
		rc = lzi_dir_same(dirfd, name, opened.poolfd)
		             ? lzi_error(LATZ_CORRUPT, "directory %s holds no pool", name)
		             : lzi_error(rc, "pool %s is being taken away", name);
	if (rc == LATZ_OK)
		rc = lzi_control_map(&opened.control, opened.control.fd, 0);
	if (rc == LATZ_OK)
		rc = check_there(dirfd, name, &opened);
	if (rc != LATZ_OK) {
		lzi_opened_close(&opened);
		return rc;
	}
	*ret_opened = opened;
	return LATZ_OK;
}

/* The password, if the pool has one, and the audit log. */
static int unlock(struct lzi_store *store, const latz_options *options, struct lzi_fill *fill)
{
	struct lzi_secrets *secrets = fill == NULL ? NULL : fill->secrets;
	struct lzi_call call;
	int rc = lzi_thread_find(store, &call);

	if (rc == LATZ_OK)
		rc = lzi_seal_join(&call, options, fill != NULL && fill->trusted, &secrets);
	if (fill != NULL)
		fill->secrets = NULL;
	lzi_secrets_give(secrets);
	if (rc == LATZ_OK)
		rc = lzi_audit_attach(store);
	if (rc == LATZ_OK) {
		lzi_audit_unlocked(store);
		rc = lzi_audit_open(store);
	}
	return rc;
}

int lzi_reader_attach(const char *dir, const char *name, const latz_options *options, struct lzi_fill *fill,
                      struct lzi_store **ret_store)
{
	struct lzi_opened opened;
	struct lzi_store *store = lzi_store_new(dir, name, options);
	int rc;

	if (store == NULL)
		return lzi_error(LATZ_NOMEM, "attachment");
	store->reads_only = 1;
	store->control.timeout_ms = options->timeout_ms == 0 ? 1000 : options->timeout_ms;
	rc = lzi_reader_dir(options->dir, dir, &store->dirfd);
	if (rc == LATZ_OK)
		rc = lzi_reader_peek(store->dirfd, name, &opened);
	if (rc != LATZ_OK) {
		lzi_file_close(store->dirfd);
		lzi_store_free(store);
		return lzi_error_prefix(rc, "open %s in %s", name, dir);
	}
	opened.control.timeout_ms = store->control.timeout_ms;
	store->control = opened.control;
	store->poolfd = opened.poolfd;
	store->looked_ms = lzi_clock_mono_ms();
	store->open = 1;
	rc = lzi_store_open_parts(store);
	if (rc == LATZ_OK)
		rc = unlock(store, options, fill);
	if (rc == LATZ_CORRUPT && lzi_store_dead(store))
		rc = lzi_error(LATZ_NOTFOUND, "pool %s is being taken away", name);
	if (rc != LATZ_OK) {
		rc = lzi_audit_refused(store, options, rc);
		lzi_thread_leave(store);
		lzi_store_end(store);
		return lzi_error_prefix(rc, "open %s in %s", name, dir);
	}
	*ret_store = store;
	return LATZ_OK;
}

void lzi_reader_detach(struct lzi_store *store)
{
	lzi_audit_close(store);
	lzi_thread_leave(store);
	lzi_store_end(store);
}

int lzi_reader_check(struct lzi_store *store)
{
	int64_t now = lzi_clock_mono_ms();

	if (lzi_unlikely(now - lzi_load_relaxed(&store->looked_ms) >= LOOK_MS)) {
		lzi_store_relaxed(&store->looked_ms, now);
		if (!lzi_file_same(store->poolfd, "pool", store->control.fd))
			lzi_store_relaxed(&store->gone, 1);
	}
	return lzi_likely(lzi_load_relaxed(&store->gone) == 0)
	               ? LATZ_OK
	               : lzi_error(LATZ_DEAD, "the files of pool %s were deleted", store->name);
}
