/*
 * Private to store/: what a bounded pool's policy knows, carried to the pool that comes after it, by a snapshot or by
 * the persist directory. Never worth an error: without it the policy learns anew.
 */
#ifndef LZI_STORE_CARRY_H
#define LZI_STORE_CARRY_H

#include "format/policy_state.h"
#include "store/store_int.h"

/* A copy, behind its header; NULL: there is nothing to be had. Waits for `maint`. */
struct lzi_policy_state *lzi_carry_take(struct lzi_store *store);
/* The pool, which nobody else sees, knows keys by this seed from now on; if it is empty. 0: by another. */
int lzi_carry_seed(struct lzi_store *store, uint64_t seed);
/* A copy of what a snapshot brings into a pool that nobody else sees and that has nothing in it yet. If the pool can
 * use it, it takes over the seed that keys are known by; otherwise NULL. */
struct lzi_policy_state *lzi_carry_bring(struct lzi_store *store, const void *bytes, uint64_t size);
/* The records are there: the pool's policy knows what is in `state`, which is freed; NULL is nothing. */
void lzi_carry_adopt(struct lzi_call *call, struct lzi_policy_state *state);
/* The file in the persist directory: written by who takes an orderly left pool away; read, as lzi_carry_bring(), by
 * who makes the next one of it. It is gone afterwards. */
void lzi_carry_save(struct lzi_store *store);
struct lzi_policy_state *lzi_carry_load(struct lzi_store *store);

#endif
