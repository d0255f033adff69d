/*
 * Private to store/: a pool's files being opened, made, removed. The life byte of the control file: held shared by
 * every attached process, exclusively by who takes the pool away.
 */
#ifndef LZI_STORE_LIFETIME_H
#define LZI_STORE_LIFETIME_H

#include "store/store_int.h"

/* A pool's directory and mapped control file, with a lock on the life byte. */
struct lzi_opened {
	int poolfd;
	struct lzi_control control;
};

static inline unsigned lzi_dir_mode(unsigned mode)
{
	return mode | (mode & 0444) >> 2 | 0700;
}

/* Ends with the life byte locked shared. LATZ_EXISTS: the name is taken by now. */
int lzi_pool_create(int dirfd, const char *name, const latz_options *options, struct lzi_opened *ret_opened);
/* Opens an existing pool, its life byte locked shared, or exclusively if *ret_alone; removes it instead if nobody is
 * attached and it is not kept, or it is of another boot. *ret_alone: nobody else was attached. LATZ_NOTFOUND,
 * LATZ_BUSY: being removed, try again. */
int lzi_pool_open(int dirfd, const char *name, struct lzi_opened *ret_opened, int *ret_alone);
/* All mutexes of the pool as new; nobody holds one. */
int lzi_control_init_mutexes(const struct lzi_control *control);
void lzi_opened_close(struct lzi_opened *opened);
/* Reads a pool's header without attaching. */
int lzi_pool_peek(int dirfd, const char *name, struct lzi_opened *ret_opened);

#endif
