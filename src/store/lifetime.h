/*
 * Private to store/: a pool's files being opened, made, removed. The life byte of the control file: held shared by
 * every attached process, exclusively by who takes the pool away.
 */
#ifndef LZI_STORE_LIFETIME_H
#define LZI_STORE_LIFETIME_H

#include "store/store_int.h"

/* LATZ_BUSY for good: a pool elsewhere uses the persist directory. Within opening, LATZ_BUSY means to try again. */
#define LZI_IN_USE (-2000)

/* A pool's directory and mapped control file, with a lock on the life byte. */
struct lzi_opened {
	int poolfd;
	struct lzi_control control;
	struct lzi_secrets *secrets; /* of a pool that we have made, or whose password is known; NULL: none */
	int persist_lock; /* + 1: keeps the persist directory the pool's until it is joined; 0: none */
	int made;         /* 1: by us, just now */
	int replaced;     /* 1: and it took the place of another */
};

/* What a new pool begins with: called when it is complete but for its name. */
struct lzi_fill {
	int (*fn)(struct lzi_store *store, const latz_options *options, void *arg);
	void *arg;
	const char *from; /* the snapshot or image whose password is asked for; NULL: it is the pool's */
	int replace; /* a pool that has the name goes when the new one is whole */
	int persists; /* its log begins with a snapshot of what fn, or files, brought: when its keys are known */
	int failed;  /* out: what fn, or files, returned last. Final: not a race for the name, to be tried again */
	/* NULL, or makes the files but for the control file, which is mapped, and the counts in it; `fn` may be NULL
	 * then. With it, the hash seed. */
	int (*files)(struct lzi_opened *opened, const latz_options *options, void *arg);
	uint64_t hash_seed;
	/* 1: nobody is asked for a password. Of a child that attaches to its parent's pool again: it has not got the
	 * password, but what the parent knew. */
	int trusted;
	struct lzi_secrets *secrets;
	/* 1: who comes after a death, to bring what the dead wrote to the disk and leave: the guard. No keys are needed
	 * for that, so no password is asked for, and none are there: records stay as they are, and none are made. */
	int tends;
};

/* Of a directory whose files have that mode: who may read them may look into it. */
static inline unsigned lzi_dir_mode(unsigned mode)
{
	return mode | (mode & 0444) >> 2 | 0700;
}

/* Ends with the life byte locked shared. *ret_raced: LATZ_EXISTS means that the name is taken by now, and not that
 * the filling says so. fill may be NULL. */
int lzi_pool_create(int dirfd, const char *name, const latz_options *options, struct lzi_fill *fill,
                    struct lzi_opened *ret_opened, int *ret_raced);
/* A pool that never gets a name: made as dirfd/temporary, filled, removed. What had the name is removed first. */
int lzi_pool_borrow(int dirfd, const char *temporary, const latz_options *options, struct lzi_fill *fill);
/* Runs fill on a pool that has no name yet, as if it were attached. attach.c. */
int lzi_pool_fill(const char *name, const latz_options *options, struct lzi_fill *fill,
                  struct lzi_opened *opened);
/* Nobody is attached to it, but it is not to go: kept, or its log wants it. */
int lzi_pool_stays(const struct lzi_control *control);
/* Opens an existing pool, its life byte locked shared, or exclusively if *ret_alone; removes it instead if nobody is
 * attached and it is not kept, or it is of another boot. *ret_alone: nobody else was attached. LATZ_NOTFOUND,
 * LATZ_BUSY: being removed, try again. */
int lzi_pool_open(int dirfd, const char *name, struct lzi_opened *ret_opened, int *ret_alone);
/* All mutexes of the pool as new; nobody holds one. */
int lzi_control_init_mutexes(const struct lzi_control *control);
void lzi_opened_close(struct lzi_opened *opened);
/* An attachment of nothing; the mechanisms on an opened pool. attach.c */
struct lzi_store *lzi_store_new(const char *dir, const char *name, const latz_options *options);
int lzi_store_open_parts(struct lzi_store *store);
void lzi_store_close_parts(struct lzi_store *store);
/* The last of closing: no thread is in it, but some may have slots still. */
void lzi_store_end(struct lzi_store *store);
/* ---- tend.c ---- */

int lzi_pool_is_kept(const struct lzi_control *control);
int lzi_pool_is_durable(const struct lzi_control *control);
/* Slots of clients; dead: only those whose process is gone without having given its slot back. */
int lzi_pool_has_clients(const struct lzi_control *control, int dead);
/* Its log is broken: it stays in memory whoever comes and leaves. */
int lzi_pool_keeps_itself(const struct lzi_control *control);
/* Of a pool that nobody is attached to: its log may lack something. */
int lzi_pool_wants_tending(const struct lzi_control *control);
/* Brings it there; an ephemeral pool goes then. The attachment is in no list, so no handle can be had of it; where the
 * process may fork, under the registry's lock: a child could not close its copies. */
void lzi_pool_tend(const char *dir, const char *name);

/* Of an earlier boot. */
int lzi_pool_is_old(const struct lzi_control *control);
/* Reads a pool's header without attaching. */
int lzi_pool_peek(int dirfd, const char *name, struct lzi_opened *ret_opened);
/* The same of one that may be read and not written: descriptors and map are for reading. LATZ_NOTFOUND also if nobody
 * uses it and it is not kept. And the runtime directory for it, as given by the caller (or NULL) and by its path.
 * reader.c. */
int lzi_reader_peek(int dirfd, const char *name, struct lzi_opened *ret_opened);
int lzi_reader_dir(const char *given, const char *path, int *ret_fd);

/* lzi_store_open() of a pool that is made with fill's help. registry.c. */
int lzi_store_open_filled(const char *name, const latz_options *options, struct lzi_fill *fill,
                          struct lzi_store **ret_store);

#endif
