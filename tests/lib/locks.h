/*
 * Short forms on locks.
 */
#ifndef TESTS_LIB_LOCKS_H
#define TESTS_LIB_LOCKS_H

#include "base.h"

/* latz_lock() with all its options; *lock holds nothing before. */
int lock_try(latz_pool *pool, const char *name, int shared, int64_t lease_ms, int64_t wait_ms, latz_lock_t *lock);

/* latz_set() in the name of a lock. */
int set_fenced(latz_pool *pool, const char *key, const char *value, const char *name, uint64_t token);

/* How many wait; waits until it is just n. */
int locks_waiting(latz_pool *pool);
void locks_until_waiting(latz_pool *pool, int n);
/* How many are granted. */
int locks_held(latz_pool *pool);

#endif
