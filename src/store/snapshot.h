/*
 * Private to store/: snapshots of pools. snapshot.c writes and loads them; snap/ knows their bytes.
 */
#ifndef LZI_STORE_SNAPSHOT_H
#define LZI_STORE_SNAPSHOT_H

#include "snap/snap.h"
#include "store/store_int.h"

/* Called now and then while a snapshot is written; non-zero ends it. */
typedef int (*lzi_snapshot_tick_fn)(uint64_t keys, uint64_t bytes, void *arg);

struct lzi_snapshot_job {
	int level;
	unsigned threads;
	lzi_snapshot_tick_fn tick; /* may be NULL */
	void *arg;
};

/* All keys as of now to fd. info: log_id and first_segment are the caller's; the rest is filled in. Does not sync. */
int lzi_snapshot_write(struct lzi_call *call, int fd, const struct lzi_snapshot_job *job, struct lzi_snap_info *info);
/* Into dirfd/name by way of name.tmp: synced, renamed, the directory synced. Nothing is left on failure. */
int lzi_snapshot_to_file(struct lzi_call *call, int dirfd, const char *name, const struct lzi_snapshot_job *job,
                         struct lzi_snap_info *info);
/* Into a pool that nobody else sees. options NULL: a log follows, so what has expired comes too. */
int lzi_snapshot_load(struct lzi_call *call, int dirfd, const char *name, const latz_snapshot_options *options,
                      struct lzi_snap_info *ret_info);
int lzi_snapshot_load_fd(struct lzi_call *call, int fd, const char *name, const latz_snapshot_options *options,
                         struct lzi_snap_info *ret_info);
/* The snapshot with the highest number in a persist directory. LATZ_NOTFOUND. */
int lzi_snapshot_newest(int dirfd, char *name, size_t size);
void lzi_snapshot_name(uint64_t seq, char *name, size_t size);
/* Removes those with lower numbers, and what dead makers left. */
int lzi_snapshot_remove_below(int dirfd, uint64_t seq);

#endif
