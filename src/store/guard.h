/*
 * The guard process's two steps. Used by guard_main.c only.
 */
#ifndef LZI_STORE_GUARD_H
#define LZI_STORE_GUARD_H

struct guard;

/* Becomes the guard of a directory. LATZ_BUSY: there is one. */
int lzi_guard_begin(const char *dir, struct guard **ret_guard);
/* Returns when nothing is left to guard. */
void lzi_guard_run(struct guard *guard);

#endif
