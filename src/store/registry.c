/*
 * The process's list of attachments, and the runtime directory as the list of pools: open, close, destroy, list, sweep.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/audit.h"
#include "store/lifetime.h"
#include "store/log.h"
#include "store/newest.h"
#include "store/seal.h"

#define PATH_SIZE 4096
#define REMOVER_MS 1000 /* that a remover may take over a rename */

int lzi_name_valid(const char *name)
{
	size_t i;

	if (name[0] == '.' || name[0] == '\0')
		return 0;
	for (i = 0; name[i] != '\0'; i++) {
		if (i == 64 ||
		    strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", name[i]) == NULL)
			return 0;
	}
	return 1;
}

static int resolve(const char *dir, char path[PATH_SIZE])
{
	if (dir == NULL)
		return lzi_dir_default(path, PATH_SIZE);
	if (strlen(dir) >= PATH_SIZE || dir[0] == '\0')
		return lzi_error(LATZ_INVALID, "runtime directory's path is empty or too long");
	snprintf(path, PATH_SIZE, "%s", dir);
	return LATZ_OK;
}

/* The process's live attachment to a pool, of those that write or those that only read. Under the registry's lock. */
static struct lzi_store *find_attached(const char *dir, const char *name, int reads_only)
{
	struct lzi_store *store;
	int dirfd;

	if (lzi_registry_first == NULL ||
	    (reads_only ? lzi_dir_look(dir, 1, &dirfd) : lzi_dir_open(dir, 0, 0, &dirfd)) != LATZ_OK)
		return NULL;
	for (store = lzi_registry_first; store != NULL; store = store->next) {
		if (strcmp(store->name, name) == 0 && store->reads_only == reads_only && !lzi_store_dead(store) &&
		    lzi_dir_same(dirfd, name, store->poolfd))
			break;
	}
	lzi_file_close(dirfd);
	return store;
}

int lzi_store_open_filled(const char *name, const latz_options *options, struct lzi_fill *fill,
                          struct lzi_store **ret_store)
{
	struct lzi_fill warm = { .fn = lzi_persist_create };
	char dir[PATH_SIZE];
	struct lzi_store *store;
	int reads_only = (options->flags & (unsigned)LATZ_READONLY) != 0;
	int joined = 0, was_held = 0, rc = lzi_thread_init();

	if (rc == LATZ_OK)
		rc = resolve(options->dir, dir);
	if (rc != LATZ_OK)
		return rc;
	if (fill == NULL && options->persist_dir != NULL && !reads_only)
		fill = &warm;
	lzi_registry_lock();
	store = find_attached(dir, name, reads_only);
	if (store != NULL && fill != NULL && fill->replace)
		store = NULL;
	if (store != NULL && options->flags & LATZ_EXCLUSIVE) {
		rc = lzi_error(LATZ_EXISTS, "pool %s exists", name);
	} else if (store != NULL && store->held) {
		store->held = 0; /* what a restore held is this handle's now */
		joined = was_held = 1;
	} else if (store != NULL) {
		joined = 1;
		lzi_fetch_add(&store->refs, 1u);
	} else {
		do {
			rc = reads_only ? lzi_reader_attach(dir, name, options, fill, &store)
			                : lzi_store_attach(dir, name, options, fill, &store);
		} while (rc == LZI_ATTACH_AGAIN);
		if (rc == LATZ_OK) {
			store->next = lzi_registry_first;
			lzi_registry_first = store;
		}
	}
	lzi_registry_unlock();
	if (rc == LATZ_OK && joined && (fill == NULL || !fill->trusted)) {
		rc = lzi_seal_ask(store, options);
		if (rc != LATZ_OK)
			rc = lzi_audit_refused(store, options, rc);
		if (rc != LATZ_OK && was_held)
			store->held = 1; /* as before: no handle was given out */
		else if (rc != LATZ_OK)
			lzi_store_close(store);
	}
	if (rc == LATZ_OK && fill == &warm) {
		rc = lzi_persist_is_asked(store, options);
		if (rc != LATZ_OK)
			lzi_store_close(store);
	}
	if (rc == LATZ_OK)
		*ret_store = store;
	return rc == LZI_IN_USE ? lzi_error(LATZ_BUSY, "%s", lzi_error_text()) : rc;
}

int lzi_store_open(const char *name, const latz_options *options, struct lzi_store **ret_store)
{
	return lzi_store_open_filled(name, options, NULL, ret_store);
}

void lzi_store_ref(struct lzi_store *store)
{
	lzi_fetch_add(&store->refs, 1u);
}

/* A handle or view less on what an ancestor had attached, of which we have a copy of the memory: by the last one the
 * child could have attached to it. Under the reattach lock. */
static void let_go(struct lzi_store *store)
{
	struct lzi_store **at;

	if (lzi_fetch_sub(&store->refs, 1u) > 1)
		return;
	lzi_seal_forget(store);
	for (at = &lzi_registry_inherited; *at != NULL && *at != store; at = &(*at)->next)
		;
	if (*at != NULL)
		*at = store->next;
}

void lzi_store_close(struct lzi_store *store)
{
	struct lzi_store **at;
	unsigned refs;

	if (store->fork_count != lzi_fork_count) {
		lzi_reattach_lock();
		let_go(store);
		lzi_reattach_unlock();
		return;
	}
	/* Only the last one need wait for who opens, closes or forks. */
	for (refs = lzi_load_acquire(&store->refs); refs > 1;) {
		if (lzi_cas_acquire(&store->refs, &refs, refs - 1))
			return;
	}
	lzi_registry_lock();
	if (lzi_fetch_sub(&store->refs, 1u) > 1) {
		lzi_registry_unlock();
		return;
	}
	for (at = &lzi_registry_first; *at != NULL && *at != store; at = &(*at)->next)
		;
	if (*at != NULL)
		*at = store->next;
	if (store->reads_only)
		lzi_reader_detach(store);
	else
		lzi_store_detach(store);
	lzi_registry_unlock();
}

/* What the parent knew of the pool's keys: the child has not got the password. */
static int inherit(const struct lzi_store *old, struct lzi_fill *with)
{
	with->trusted = 1;
	if (old->secrets == NULL)
		return LATZ_OK;
	with->secrets = lzi_secret_take(sizeof *with->secrets);
	if (with->secrets == NULL)
		return lzi_error(LATZ_NOMEM, "keys");
	memcpy(with->secrets, old->secrets, sizeof *with->secrets);
	return LATZ_OK;
}

/* In a forked child: the same pool, attached by this process. Handles of the parent that named one attachment come to
 * share one again. */
int lzi_store_reattach(struct lzi_store **store)
{
	struct lzi_store *old, *fresh;
	latz_options options = LATZ_OPTIONS_INIT;
	struct lzi_fill with = { .secrets = NULL };
	int rc = LATZ_OK;

	lzi_reattach_lock();
	old = *store;
	if (old->fork_count != lzi_fork_count) { /* else another thread of the child was faster */
		options.flags = old->flags;
		options.dir = old->dir;
		options.timeout_ms = old->control.timeout_ms;
		rc = inherit(old, &with);
		if (rc == LATZ_OK)
			rc = lzi_store_open_filled(old->name, &options, &with, &fresh);
		lzi_secrets_give(with.secrets);
		/* The name may be another pool's by now: the memory of ours is still there to compare. */
		if (rc == LATZ_OK && memcmp(fresh->control.header->pool_id, old->control.header->pool_id,
		                            sizeof old->control.header->pool_id) != 0) {
			lzi_store_close(fresh);
			rc = LATZ_NOTFOUND;
		}
		if (rc == LATZ_OK) {
			lzi_newest_inherit(fresh, old);
			*store = fresh;
			let_go(old);
		}
	}
	lzi_reattach_unlock();
	return rc == LATZ_NOTFOUND ? lzi_error(LATZ_DEAD, "pool %s is gone", old->name) : rc;
}

int lzi_pool_remove(int dirfd, const char *name, int poolfd, const struct lzi_control *control)
{
	char dead[32];
	uint64_t tag = 0;
	int rc;

	if (lzi_load_acquire(lzi_control_state(control)) != LZI_STATE_DEAD)
		lzi_store_release(lzi_control_state(control), (uint32_t)LZI_STATE_DEAD);
	LZI_POINT("remove.marked");
	/* One remover at a time: else, between our look at the name and the rename, another could have taken this pool
	 * away and a third made a new one, which the rename would then hit. */
	rc = lzi_ofd_try(control->fd, LZI_LOCK_REMOVE, 1);
	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("remove.locked");
	if (!lzi_dir_same(dirfd, name, poolfd)) {
		lzi_ofd_unlock(control->fd, LZI_LOCK_REMOVE);
		return LATZ_OK; /* the name is another pool's by now */
	}
	lzi_audit_removing(name, poolfd, control);
	(void)!lzi_random(&tag, sizeof tag);
	snprintf(dead, sizeof dead, ".dead-%016llx", (unsigned long long)tag);
	rc = lzi_dir_rename(dirfd, name, dead);
	if (rc == LATZ_OK) {
		LZI_POINT("remove.renamed");
		lzi_dir_remove(dirfd, dead);
	}
	lzi_ofd_unlock(control->fd, LZI_LOCK_REMOVE);
	LZI_POINT("remove.done");
	return rc;
}

int lzi_pool_sweep(int dirfd, const char *name)
{
	struct lzi_opened opened;
	int alone, rc = lzi_pool_open(dirfd, name, &opened, &alone);

	if (rc == LATZ_OK) {
		/* Kept, or in use: and if its last user left while we had it open, it is for us to take away. */
		lzi_ofd_unlock(opened.control.fd, LZI_LOCK_LIFE);
		if (!lzi_pool_stays(&opened.control) &&
		    lzi_ofd_try(opened.control.fd, LZI_LOCK_LIFE, 1) == LATZ_OK) {
			(void)lzi_pool_remove(dirfd, name, opened.poolfd, &opened.control);
			rc = LATZ_BUSY;
		}
		lzi_opened_close(&opened);
	}
	return rc == LATZ_BUSY;
}

int lzi_pool_destroy_at(int dirfd, const char *name)
{
	struct lzi_opened opened;
	int i, rc = lzi_pool_peek(dirfd, name, &opened);

	if (rc == LATZ_BUSY)
		return lzi_error(LATZ_NOTFOUND, "pool %s was just destroyed", name);
	if (rc == LATZ_OK && (rc = lzi_audit_destroying(name, opened.poolfd, &opened.control)) != LATZ_OK) {
		lzi_opened_close(&opened);
	} else if (rc == LATZ_OK) {
		/* Another remover has it for a moment, unless it was stopped. */
		for (i = 0; i < REMOVER_MS; i++) {
			rc = lzi_pool_remove(dirfd, name, opened.poolfd, &opened.control);
			if (rc != LATZ_BUSY || !lzi_dir_same(dirfd, name, opened.poolfd))
				break;
			lzi_sleep_us(1000);
		}
		if (rc == LATZ_BUSY)
			rc = i < REMOVER_MS ? LATZ_OK : lzi_error(rc, "another process is taking the pool away");
		lzi_opened_close(&opened);
	} else if (rc == LATZ_CORRUPT || rc == LATZ_VERSION) {
		/* What can't be opened can still be destroyed, if it is a pool's directory at all. */
		rc = lzi_destroy_damaged(dirfd, name, rc);
		if (rc == LATZ_BUSY)
			rc = lzi_error(rc, "another process is taking the pool away");
	}
	return rc;
}

int lzi_store_destroy(const char *name, const char *dir)
{
	char path[PATH_SIZE];
	int dirfd = -1, rc = resolve(dir, path);

	if (rc == LATZ_OK)
		rc = lzi_dir_open(path, 0, 0, &dirfd);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_pool_destroy_at(dirfd, name);
	lzi_file_close(dirfd);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "destroy %s in %s", name, path);
}

int lzi_destroy_damaged(int dirfd, const char *name, int why)
{
	char dead[32];
	uint64_t tag = 0;
	int poolfd, fd, rc = lzi_dir_open_at(dirfd, name, &poolfd);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_file_open(poolfd, "pool", 1, &fd);
	if (rc != LATZ_OK) {
		lzi_file_close(poolfd);
		return why; /* not a pool: not ours to remove */
	}
	rc = lzi_ofd_try(fd, LZI_LOCK_REMOVE, 1);
	if (rc == LATZ_OK && !lzi_dir_same(dirfd, name, poolfd))
		rc = lzi_error(LATZ_NOTFOUND, "pool %s was just destroyed", name);
	if (rc == LATZ_OK)
		rc = lzi_random(&tag, sizeof tag);
	snprintf(dead, sizeof dead, ".dead-%016llx", (unsigned long long)tag);
	if (rc == LATZ_OK)
		rc = lzi_dir_rename(dirfd, name, dead);
	if (rc == LATZ_OK)
		lzi_dir_remove(dirfd, dead);
	lzi_file_close(fd);
	lzi_file_close(poolfd);
	return rc;
}

/* Removes what makers and removers that died left. Under the directory's lock. */
static unsigned sweep_parts(int dirfd, char **names, size_t count)
{
	unsigned removed = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		if (strncmp(names[i], ".dead-", 6) == 0 || strncmp(names[i], ".tmp-", 5) == 0) {
			lzi_dir_remove(dirfd, names[i]);
			removed++;
		}
	}
	return removed;
}

void lzi_dir_sweep_parts(int dirfd)
{
	char **names;
	size_t count;

	if (lzi_dir_read(dirfd, &names, &count) != LATZ_OK)
		return;
	(void)sweep_parts(dirfd, names, count);
	lzi_dir_free(names, count);
}

int lzi_dir_sweep(int dirfd, unsigned *ret_removed)
{
	char **names;
	size_t count, i;
	int rc = lzi_dir_read(dirfd, &names, &count);

	*ret_removed = 0;
	if (rc != LATZ_OK)
		return rc;
	/* Somebody is making a pool: what is half made may be theirs. Another time. */
	if (lzi_dir_lock(dirfd, 1, 0) == LATZ_OK) {
		*ret_removed += sweep_parts(dirfd, names, count);
		lzi_dir_unlock(dirfd);
	}
	for (i = 0; i < count; i++) {
		if (lzi_name_valid(names[i]))
			*ret_removed += (unsigned)lzi_pool_sweep(dirfd, names[i]);
	}
	lzi_dir_free(names, count);
	return LATZ_OK;
}

/* Where no guard was, or is: 1 if the pool is gone by that. */
static int tend(int dirfd, const char *path, const char *name)
{
	struct lzi_opened opened;
	int gone = 0;

	if (lzi_pool_peek(dirfd, name, &opened) != LATZ_OK)
		return 0;
	if (!lzi_ofd_held(opened.control.fd, LZI_LOCK_LIFE) && lzi_pool_wants_tending(&opened.control)) {
		lzi_registry_lock();
		lzi_pool_tend(path, name);
		lzi_registry_unlock();
		gone = !lzi_dir_same(dirfd, name, opened.poolfd);
	}
	lzi_opened_close(&opened);
	return gone;
}

static void tend_all(int dirfd, const char *path, unsigned *removed)
{
	char **names;
	size_t count, i;

	if (lzi_dir_read(dirfd, &names, &count) != LATZ_OK)
		return;
	for (i = 0; i < count; i++) {
		if (lzi_name_valid(names[i]))
			*removed += (unsigned)tend(dirfd, path, names[i]);
	}
	lzi_dir_free(names, count);
}

int lzi_store_sweep(const char *dir, unsigned *ret_removed)
{
	char path[PATH_SIZE];
	int dirfd, rc = resolve(dir, path);

	*ret_removed = 0;
	if (rc == LATZ_OK)
		rc = lzi_dir_open(path, 0, 0, &dirfd);
	if (rc != LATZ_OK)
		return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
	rc = lzi_dir_sweep(dirfd, ret_removed);
	if (rc == LATZ_OK)
		tend_all(dirfd, path, ret_removed);
	lzi_file_close(dirfd);
	return rc;
}

static int report(int dirfd, const char *path, const char *name, latz_list_fn fn, void *arg)
{
	latz_pool_info info = { .size = sizeof info, .name = name };
	struct lzi_opened opened;
	char pool_path[PATH_SIZE + 80];
	int64_t keys;
	int i, n;

	snprintf(pool_path, sizeof pool_path, "%s/%s", path, name);
	info.path = pool_path;
	info.status = lzi_pool_peek(dirfd, name, &opened);
	if (info.status == LATZ_ACCESS) /* but perhaps to be read */
		info.status = lzi_reader_peek(dirfd, name, &opened);
	if (info.status == LATZ_NOTFOUND || info.status == LATZ_BUSY)
		return 0; /* gone since */
	info.bytes = lzi_dir_blocks(dirfd, name);
	if (info.status == LATZ_OK) {
		info.flags = opened.control.header->flags;
		info.clients = lzi_client_count(&opened.control, UINT32_MAX);
		keys = lzi_load_relaxed(&opened.control.shared->base_keys);
		n = (int)lzi_control_actors(&opened.control);
		for (i = 0; i < n; i++)
			keys += lzi_load_relaxed(&lzi_control_actor(&opened.control, (uint32_t)i)->keys);
		keys = lzi_keys_told(opened.control.shared, keys);
		info.keys = keys > 0 ? (uint64_t)keys : 0;
		info.age_ms = lzi_clock_mono_ms() - opened.control.header->created_mono_ms;
		info.durable = lzi_load_relaxed(&opened.control.shared->durable) != LZI_DURABLE_OFF;
		info.bounded = lzi_load_relaxed(&opened.control.shared->bound.max_bytes) != 0 ||
		               lzi_load_relaxed(&opened.control.shared->bound.max_entries) != 0;
		info.password = lzi_load_relaxed(&opened.control.shared->guarded.kind) != LZI_LOCKED_NOT;
		info.encrypted = lzi_load_relaxed(&opened.control.shared->guarded.kind) == LZI_LOCKED_ENCRYPTED;
		info.wrong_in_row = lzi_load_relaxed(&opened.control.shared->guarded.failures);
		info.wrong_passwords = lzi_load_relaxed(&opened.control.shared->guarded.attempts);
		info.wrong_wall_ms = lzi_load_relaxed(&opened.control.shared->guarded.failed_ms);
		_Static_assert(LZI_DATA_KEYS == LATZ_DATA_KEYS, "what users are told");
		if (info.encrypted) /* a hostile word's no more than there can be */
			info.data_keys = (lzi_load_relaxed(&opened.control.shared->guarded.data_keys) - 1) %
			                         LZI_DATA_KEYS + 1;
		if (info.durable)
			info.log_broken = lzi_error_read(lzi_load_relaxed(&opened.control.shared->log.broken));
		lzi_opened_close(&opened);
	}
	return fn(&info, arg);
}

int lzi_store_list(const char *dir, latz_list_fn fn, void *arg)
{
	char path[PATH_SIZE], **names;
	unsigned removed;
	size_t count, i;
	int dirfd, is_ours, rc = resolve(dir, path);

	if (rc == LATZ_OK)
		rc = lzi_dir_open(path, 0, 0, &dirfd);
	is_ours = rc == LATZ_OK;
	if (rc == LATZ_ACCESS) /* another's: then nothing is swept, and what may be read is told */
		rc = lzi_reader_dir(dir, path, &dirfd);
	if (rc != LATZ_OK)
		return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
	if (is_ours)
		rc = lzi_dir_sweep(dirfd, &removed);
	if (rc == LATZ_OK)
		rc = lzi_dir_read(dirfd, &names, &count);
	if (rc == LATZ_OK) {
		for (i = 0; i < count && rc == LATZ_OK; i++) {
			if (lzi_name_valid(names[i]))
				rc = report(dirfd, path, names[i], fn, arg);
		}
		lzi_dir_free(names, count);
	}
	lzi_file_close(dirfd);
	return rc;
}
