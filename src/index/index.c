/*
 * The LMDB environment: opened on first use, used in short steps, never held.
 */
#include "config.h"

#include "index/index.h"

#include <errno.h>
#include <latzero/latzero.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "os/os.h"

/* Address space, not memory; doubled when the file grows past it. Where so much can't be had, the least. */
#define MAP_FIRST (16ull << 30)
#define MAP_LEAST (256ull << 20)
/* Entries between two heartbeats. */
#define BEAT 4096u
/* An index of more leaf pages is not packed: the transaction holds all its pages in memory. */
#define PACK_MAX 65536u

/* Translates LMDB's codes, once and here. */
static int failed(int err, const char *what)
{
	if (err == 0)
		return LATZ_OK;
	if (err == MDB_CORRUPTED || err == MDB_PAGE_NOTFOUND || err == MDB_INVALID || err == MDB_PANIC)
		return lzi_error(LATZ_CORRUPT, "index: %s: %s", what, mdb_strerror(err));
	if (err == MDB_VERSION_MISMATCH)
		return lzi_error(LATZ_VERSION, "index: %s: %s", what, mdb_strerror(err));
	/* A write cut short by a full disk LMDB calls an input/output error. */
	if (err > 0)
		return lzi_error_sys(err == EIO ? ENOSPC : err, "index: %s", what);
	return lzi_error(LATZ_IO, "index: %s: %s", what, mdb_strerror(err));
}

void lzi_index_init(struct lzi_index *index, struct lzi_shared *shared, int dirfd, unsigned mode, unsigned timeout_ms)
{
	memset(index, 0, sizeof *index);
	index->shared = shared;
	index->dirfd = dirfd;
	index->mode = mode;
	index->timeout_ms = timeout_ms;
}

void lzi_index_close(struct lzi_index *index)
{
	if (index->reader != NULL)
		mdb_txn_abort(index->reader);
	index->reader = NULL;
	if (index->env != NULL)
		mdb_env_close(index->env);
	index->env = NULL;
}

/* A page past the file's end is a signal to who reads it. (LMDB's own count of pages is no measure: pages it has not
 * written yet may lie past the end.) */
static int check_size(const struct lzi_index *index, int fd)
{
	uint64_t size, want = lzi_load_relaxed(&index->shared->index_bytes);
	int rc = lzi_file_size(fd, &size);

	if (rc == LATZ_OK && size < want)
		return lzi_error(LATZ_CORRUPT, "index file is truncated: %llu bytes of %llu", (unsigned long long)size,
		                 (unsigned long long)want);
	return rc;
}

/* A meta page as LMDB writes it (0.9, 64 bits); there are two, and the one of the later transaction counts. */
struct meta {
	uint64_t number;
	uint16_t pad, flags;
	uint32_t bounds;
	uint32_t magic, version;
	uint64_t address, map_size;
	struct {
		uint32_t page_size; /* in the first of the two */
		uint16_t flags, depth;
		uint64_t branches, leaves, overflows, entries, root;
	} tree[2]; /* free pages, keys */
	uint64_t last_page, transaction;
};
_Static_assert(sizeof(struct meta) == 152, "layout");

#define META_FLAG 0x08u
#define META_MAGIC 0xbeefc0deu
#define META_VERSION 1u
#define PAGE_MAX 65536u
#define DEPTH_MAX 32u

static int meta_is_sound(const struct meta *meta, uint32_t page_size)
{
	return (meta->flags & META_FLAG) != 0 && meta->magic == META_MAGIC && meta->version == META_VERSION &&
	       meta->tree[0].page_size == page_size;
}

/* Whether a tree begins with a page that the file has. */
static int root_is_sound(uint64_t root, unsigned depth, uint64_t last_page, uint64_t pages)
{
	return root == UINT64_MAX ? depth == 0 : depth > 0 && depth <= DEPTH_MAX && root <= last_page && root < pages;
}

/* LMDB believes what the meta pages say. alone: nobody can be writing them just now. */
static int check_meta(int fd, int alone)
{
	uint8_t bytes[LZI_PAGE + sizeof(struct meta)];
	struct meta first, second;
	const struct meta *last;
	uint32_t page_size;
	uint64_t size, pages;
	int rc = lzi_file_size(fd, &size);

	if (rc != LATZ_OK || size == 0) /* none yet */
		return rc;
	rc = lzi_file_read(fd, bytes, sizeof bytes);
	if (rc != LATZ_OK)
		return rc;
	memcpy(&first, bytes, sizeof first);
	memcpy(&second, bytes + LZI_PAGE, sizeof second);
	page_size = first.tree[0].page_size;
	if (page_size < LZI_PAGE || page_size > PAGE_MAX || (page_size & (page_size - 1)) != 0 ||
	    !meta_is_sound(&first, page_size) || (page_size == LZI_PAGE && !meta_is_sound(&second, page_size)))
		return lzi_error(LATZ_CORRUPT, "index: its first pages do not say that it is one");
	if (!alone || page_size != LZI_PAGE)
		return LATZ_OK;
	last = second.transaction > first.transaction ? &second : &first;
	pages = size / page_size;
	if (last->tree[1].flags != 0 ||
	    !root_is_sound(last->tree[0].root, last->tree[0].depth, last->last_page, pages) ||
	    !root_is_sound(last->tree[1].root, last->tree[1].depth, last->last_page, pages))
		return lzi_error(LATZ_CORRUPT, "index: its trees begin nowhere in the file of %llu bytes",
		                 (unsigned long long)size);
	return LATZ_OK;
}

static int check(const struct lzi_index *index, int alone)
{
	int dirfd, fd, rc = lzi_dir_open_at(index->dirfd, "index", &dirfd);

	if (rc != LATZ_OK)
		return rc == LATZ_NOTFOUND ? lzi_error(LATZ_CORRUPT, "pool has no directory index") : rc;
	rc = lzi_file_open(dirfd, "data.mdb", 1, &fd);
	lzi_file_close(dirfd);
	if (rc == LATZ_OK) {
		rc = check_size(index, fd);
		if (rc == LATZ_OK)
			rc = check_meta(fd, alone);
		lzi_file_close(fd);
	}
	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
}

int lzi_index_check(const struct lzi_index *index)
{
	return check(index, 0);
}

static int open_env(struct lzi_index *index, size_t map_size)
{
	char path[64];
	MDB_txn *txn;
	int err;

	/* By descriptor: the pool's path may name another pool by now. */
	snprintf(path, sizeof path, "/proc/self/fd/%d/index", index->dirfd);
	err = mdb_env_create(&index->env);
	if (err != 0)
		return err;
	err = mdb_env_set_mapsize(index->env, map_size);
	if (err == 0)
		err = mdb_env_open(index->env, path, MDB_NOLOCK | MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD, index->mode);
	if (err == 0)
		err = mdb_txn_begin(index->env, NULL, 0, &txn);
	if (err == 0) {
		err = mdb_dbi_open(txn, NULL, 0, &index->dbi);
		if (err == 0)
			err = mdb_txn_commit(txn);
		else
			mdb_txn_abort(txn);
	}
	if (err == 0)
		err = mdb_txn_begin(index->env, NULL, MDB_RDONLY, &index->reader);
	if (err == 0)
		mdb_txn_reset(index->reader);
	else
		lzi_index_close(index);
	return err;
}

int lzi_index_lock(struct lzi_index *index)
{
	int fd, err, rc = lzi_mutex_lock_patient(&index->shared->index, index->timeout_ms, "index",
	                                         &index->shared->heartbeat);

	/* LMDB takes no lock of its own: two threads in it at once would be its end. */
	rc = lzi_mutex_own(&index->shared->index, &index->own, index->timeout_ms, rc);
	if (rc < 0)
		return rc;
	if (lzi_load_relaxed(&index->shared->image_index) != 0) {
		rc = index->fetch == NULL ? lzi_error(LATZ_CORRUPT, "index: still in an image") :
		                            index->fetch(index->fetch_arg);
		if (rc != LATZ_OK) {
			lzi_mutex_disown(&index->shared->index, &index->own);
			return rc;
		}
		lzi_store_release(&index->shared->image_index, 0u);
	}
	/* A writer that died is no matter: what it had not committed, LMDB does not see. */
	if (index->env == NULL) {
		rc = check(index, 1);
		if (rc != LATZ_OK) {
			lzi_mutex_disown(&index->shared->index, &index->own);
			return rc;
		}
		err = open_env(index, MAP_FIRST);
		if (err == ENOMEM)
			err = open_env(index, MAP_LEAST);
		if (err != 0) {
			lzi_index_unlock(index);
			return failed(err, "open");
		}
	}
	err = mdb_env_get_fd(index->env, &fd);
	rc = err == 0 ? check_size(index, fd) : failed(err, "file");
	if (rc != LATZ_OK)
		lzi_mutex_disown(&index->shared->index, &index->own);
	return rc;
}

void lzi_index_unlock(struct lzi_index *index)
{
	uint64_t size;
	int fd;

	if (index->env != NULL && mdb_env_get_fd(index->env, &fd) == 0 && lzi_file_size(fd, &size) == LATZ_OK)
		lzi_store_relaxed(&index->shared->index_bytes, size);
	lzi_mutex_disown(&index->shared->index, &index->own);
}

/* Another process may have made the map larger. */
static int begin(struct lzi_index *index, MDB_txn **ret_txn)
{
	int err = mdb_txn_begin(index->env, NULL, 0, ret_txn);

	if (err == MDB_MAP_RESIZED) {
		err = mdb_env_set_mapsize(index->env, 0);
		if (err == 0)
			err = mdb_txn_begin(index->env, NULL, 0, ret_txn);
	}
	return err;
}

static int begin_read(struct lzi_index *index)
{
	int err = mdb_txn_renew(index->reader);

	if (err == MDB_MAP_RESIZED) {
		err = mdb_env_set_mapsize(index->env, 0);
		if (err == 0)
			err = mdb_txn_renew(index->reader);
	}
	return err;
}

/* The tree has just been written in one go: remembers how small it can be. */
static void note_packed(struct lzi_index *index)
{
	MDB_stat stat;

	if (begin_read(index) != 0)
		return;
	if (mdb_stat(index->reader, index->dbi, &stat) == 0) {
		lzi_store_relaxed(&index->shared->packed_pages, (uint64_t)stat.ms_leaf_pages);
		lzi_store_relaxed(&index->shared->packed_entries, (uint64_t)stat.ms_entries);
	}
	mdb_txn_reset(index->reader);
}

static int apply_once(struct lzi_index *index, const struct lzi_index_change *changes, size_t count)
{
	MDB_val key, value = { 0, NULL };
	MDB_cursor *cursor = NULL;
	MDB_txn *txn;
	MDB_stat stat;
	unsigned flags;
	size_t i;
	int err = begin(index, &txn);

	if (err != 0)
		return err;
	err = mdb_stat(txn, index->dbi, &stat);
	/* Into an empty tree, sorted keys are appended: full pages, and no searching. */
	flags = err == 0 && stat.ms_entries == 0 ? MDB_APPEND : 0;
	if (err == 0)
		err = mdb_cursor_open(txn, index->dbi, &cursor);
	for (i = 0; err == 0 && i < count; i++) {
		if (i % BEAT == 0)
			lzi_fetch_add_relaxed(&index->shared->heartbeat, 1ull);
		key.mv_data = (void *)(uintptr_t)changes[i].key;
		key.mv_size = changes[i].size;
		if (!changes[i].remove) {
			err = mdb_cursor_put(cursor, &key, &value, flags);
			if (err == MDB_KEYEXIST)
				err = 0; /* with MDB_APPEND, the same key twice in a row */
		} else {
			err = mdb_cursor_get(cursor, &key, &value, MDB_SET);
			if (err == 0)
				err = mdb_cursor_del(cursor, 0);
			else if (err == MDB_NOTFOUND)
				err = 0;
			value.mv_size = 0;
			value.mv_data = NULL;
		}
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	LZI_POINT("index.changed");
	if (err != 0) {
		mdb_txn_abort(txn);
		return err;
	}
	err = mdb_txn_commit(txn);
	LZI_POINT("index.committed");
	if (err == 0 && flags != 0)
		note_packed(index);
	return err;
}

/* What an error leaves in the environment: a full map is widened; after a panic only a new one will do. */
static int recover(struct lzi_index *index, int err)
{
	MDB_envinfo info;

	if (err == MDB_MAP_FULL && mdb_env_info(index->env, &info) == 0)
		return mdb_env_set_mapsize(index->env, info.me_mapsize * 2);
	if (err == MDB_PANIC) {
		lzi_index_close(index);
		return open_env(index, MAP_FIRST);
	}
	return err;
}

int lzi_index_apply(struct lzi_index *index, const struct lzi_index_change *changes, size_t count)
{
	int tries, err = 0;

	for (tries = 0; tries < 8; tries++) {
		err = apply_once(index, changes, count);
		if (err == 0 || recover(index, err) != 0)
			break;
	}
	return failed(err, "apply changes");
}

/* Writes all entries anew into an emptied tree; the reader's snapshot keeps the old one, whose pages are not used again
 * within the transaction that frees them. */
static int rewrite(struct lzi_index *index, MDB_txn *txn)
{
	MDB_cursor *from = NULL, *to = NULL;
	MDB_val key, value;
	uint64_t n = 0;
	int err = mdb_drop(txn, index->dbi, 0);

	if (err == 0)
		err = mdb_cursor_open(index->reader, index->dbi, &from);
	if (err == 0)
		err = mdb_cursor_open(txn, index->dbi, &to);
	while (err == 0 && (err = mdb_cursor_get(from, &key, &value, MDB_NEXT)) == 0) {
		if (n++ % BEAT == 0)
			lzi_fetch_add_relaxed(&index->shared->heartbeat, 1ull);
		err = mdb_cursor_put(to, &key, &value, MDB_APPEND);
	}
	if (from != NULL)
		mdb_cursor_close(from);
	if (to != NULL)
		mdb_cursor_close(to);
	return err == MDB_NOTFOUND ? 0 : err;
}

int lzi_index_pack(struct lzi_index *index)
{
	uint64_t pages = lzi_load_relaxed(&index->shared->packed_pages),
		 entries = lzi_load_relaxed(&index->shared->packed_entries);
	MDB_txn *txn;
	MDB_stat stat;
	int err = begin_read(index);

	if (err != 0)
		return failed(err, "begin reading");
	err = mdb_stat(index->reader, index->dbi, &stat);
	if (err != 0 || stat.ms_leaf_pages > PACK_MAX || entries == 0 ||
	    stat.ms_leaf_pages <= stat.ms_entries * pages / entries * 4 / 3 + 64) {
		mdb_txn_reset(index->reader);
		return failed(err, "stat");
	}
	err = mdb_txn_begin(index->env, NULL, 0, &txn);
	if (err == 0) {
		err = rewrite(index, txn);
		LZI_POINT("index.rewritten");
		if (err == 0)
			err = mdb_txn_commit(txn);
		else
			mdb_txn_abort(txn);
		LZI_POINT("index.packed");
	}
	mdb_txn_reset(index->reader);
	if (err == 0)
		note_packed(index);
	else
		(void)!recover(index, err);
	return failed(err, "pack");
}

int lzi_index_clear(struct lzi_index *index)
{
	MDB_txn *txn;
	int err = begin(index, &txn);

	if (err == 0) {
		err = mdb_drop(txn, index->dbi, 0);
		if (err == 0)
			err = mdb_txn_commit(txn);
		else
			mdb_txn_abort(txn);
	}
	return failed(err, "clear");
}

static int seek(MDB_cursor *cursor, const void *from, size_t from_size, int reverse, MDB_val *key)
{
	MDB_val value;
	int err;

	if (from == NULL)
		return mdb_cursor_get(cursor, key, &value, reverse ? MDB_LAST : MDB_FIRST);
	key->mv_data = (void *)(uintptr_t)from;
	key->mv_size = from_size;
	err = mdb_cursor_get(cursor, key, &value, MDB_SET_RANGE);
	if (!reverse)
		return err;
	if (err == MDB_NOTFOUND)
		return mdb_cursor_get(cursor, key, &value, MDB_LAST);
	if (err == 0 && lzi_key_compare(key->mv_data, key->mv_size, from, from_size) > 0)
		err = mdb_cursor_get(cursor, key, &value, MDB_PREV);
	return err;
}

int lzi_index_step(struct lzi_index *index, const void *from, size_t from_size, int reverse, size_t max,
                   lzi_index_fn fn, void *arg, int *ret_more)
{
	MDB_cursor *cursor = NULL;
	MDB_val key, value;
	size_t n = 0;
	int err = begin_read(index);

	if (err != 0)
		return failed(err, "begin reading");
	*ret_more = 0;
	err = mdb_cursor_open(index->reader, index->dbi, &cursor);
	if (err == 0)
		err = seek(cursor, from, from_size, reverse, &key);
	while (err == 0) {
		if (n++ == max || fn(key.mv_data, key.mv_size, arg) != 0) {
			*ret_more = 1;
			break;
		}
		err = mdb_cursor_get(cursor, &key, &value, reverse ? MDB_PREV : MDB_NEXT);
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	mdb_txn_reset(index->reader);
	return err == MDB_NOTFOUND ? LATZ_OK : failed(err, "read");
}

/* Punches the pages one freelist record names, neighbours together. The list: a count, then pages downwards. */
static int punch_list(int fd, const MDB_val *list)
{
	const size_t *page = list->mv_data;
	size_t i, j, n = list->mv_size / sizeof *page;
	int rc = LATZ_OK;

	if (n == 0 || page[0] > n - 1)
		return lzi_error(LATZ_CORRUPT, "index: a list of free pages is damaged");
	n = page[0];
	page++;
	for (i = 0; i < n && rc == LATZ_OK; i = j) {
		for (j = i + 1; j < n && page[j] + 1 == page[j - 1]; j++)
			;
		rc = lzi_file_punch(fd, page[j - 1] * (uint64_t)LZI_PAGE, (j - i) * (uint64_t)LZI_PAGE);
	}
	return rc;
}

int lzi_index_trim(struct lzi_index *index)
{
	MDB_cursor *cursor = NULL;
	MDB_envinfo info;
	MDB_val key, value;
	MDB_stat stat;
	int fd, err, rc = LATZ_OK;

	if (mdb_env_info(index->env, &info) != 0 || mdb_env_get_fd(index->env, &fd) != 0)
		return lzi_error(LATZ_IO, "index: no file");
	if (info.me_last_txnid == lzi_load_relaxed(&index->shared->index_trimmed))
		return LATZ_OK;
	err = begin_read(index);
	if (err == 0)
		err = mdb_stat(index->reader, index->dbi, &stat);
	if (err == 0 && (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages + 16) * LZI_PAGE * 17 / 16 <
	                        lzi_file_blocks(fd)) {
		/* Database 0 is the freelist. No transaction is under way, so nobody reads the pages it names. */
		err = mdb_cursor_open(index->reader, 0, &cursor);
		while (err == 0 && rc == LATZ_OK) {
			err = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
			if (err == 0)
				rc = punch_list(fd, &value);
			LZI_POINT("index.trimmed");
		}
		if (cursor != NULL)
			mdb_cursor_close(cursor);
	}
	mdb_txn_reset(index->reader);
	if (rc == LATZ_OK)
		lzi_store_relaxed(&index->shared->index_trimmed, (uint64_t)info.me_last_txnid);
	return err == 0 || err == MDB_NOTFOUND ? rc : failed(err, "trim");
}
