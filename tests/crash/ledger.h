/*
 * Acknowledged writes, kept in shared anonymous memory so that they outlive whoever made them, and values that say
 * themselves whether they are whole. What a dead client's key may hold afterwards is exactly one of two things: the
 * last write that returned, or the one that was under way.
 */
#ifndef TESTS_CRASH_LEDGER_H
#define TESTS_CRASH_LEDGER_H

#include <latzero/latzero.h>
#include <stdatomic.h>

#include "harness.h"

/* A state of a key: 0 never written; else the write's number, shifted left, and 1 if that write was a deletion. */
struct hn_entry {
	_Atomic uint64_t acked;
	_Atomic uint64_t flight; /* 0: none under way */
};

struct hn_ledger {
	uint32_t owner; /* 1 ..: who writes these keys */
	uint32_t count; /* keys */
	uint32_t size_max;
	_Atomic uint64_t next;     /* number of the next write */
	_Atomic uint64_t alive;    /* clock at the start of the owner's last operation */
	_Atomic uint64_t evicts;   /* the pool is bounded: a key may be gone, but not be an older one */
	_Atomic uint64_t void_all; /* the owner started something that may take any key away (clear, destroy) */
	struct hn_entry keys[];
};

#define HN_KEY_MAX 700
#define HN_VALUE_MIN 32

struct hn_ledger *hn_ledger_new(uint32_t owner, uint32_t count, uint32_t size_max); /* in shared memory */
void hn_ledger_reset(struct hn_ledger *ledger);

/* The key of (owner, index): some of them longer than LMDB's 511 bytes. Uses buf, of HN_KEY_MAX bytes. */
latz_slice hn_key(char *buf, uint32_t owner, uint32_t index);
/* Bytes of the value of write `number`. */
size_t hn_value_size(const struct hn_ledger *ledger, uint32_t index, uint64_t number);
void hn_value_fill(void *buf, size_t size, uint32_t owner, uint32_t index, uint64_t number);
/* 0 and the write's number if the bytes are a whole value of (owner, index); -1 if they are torn or foreign. */
int hn_value_check(const void *buf, size_t size, uint32_t owner, uint32_t index, uint64_t *number);

/* Writes, swaps or deletes a key through the ledger. The library's result; LATZ_NOTFOUND of a delete counts as done. */
int hn_ledger_set(struct hn_ledger *ledger, latz_pool *pool, uint32_t index);
int hn_ledger_swap(struct hn_ledger *ledger, latz_pool *pool, uint32_t index);
int hn_ledger_mset(struct hn_ledger *ledger, latz_pool *pool, uint32_t first, uint32_t count);
int hn_ledger_delete(struct hn_ledger *ledger, latz_pool *pool, uint32_t index);

/* Reads every key and says what is wrong (lost, torn, risen from the dead); returns how many are. With adopt, takes
 * what it sees as the acknowledged state, for the next owner to go on from. */
int hn_ledger_check(struct hn_ledger *ledger, latz_pool *pool, int adopt, const char *when);

/* Name of a result code without its text. */
const char *hn_rc(int rc);
/* Options for a pool in dir with flags. */
latz_options hn_options(const char *dir, unsigned flags);
/* latz_maintain until nothing is left, for at most timeout_ms; the last result. */
int hn_maintain(latz_pool *pool, int timeout_ms);
/* latz_verify with each finding reported as a failure; the number of findings. */
int hn_verify(latz_pool *pool, const char *when);

#endif
