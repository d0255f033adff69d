/*
 * Ways of deciding what stays in a bounded pool: the one interface, a file each behind it. A policy knows entries as
 * the 64-bit hash of their key and a weight (1, or bytes), and nothing of records, slots or processes.
 *
 * Its state is one block of memory, the pool's or a simulation's own: no pointers in it, so that it may lie anywhere,
 * in several processes at once, and be copied. One caller at a time, unless said otherwise. It may have been left in
 * the middle of a change by a caller that died, or be scribbled over, at any moment: how large it is its user says;
 * what stands in it is read once and bounded before use, no loop goes on for ever, and mend() makes it consistent
 * again, forgetting as little as it can.
 *
 * Two kinds:
 *   LZI_POLICY_BY_ENTRY  hears of every access and names the entry that goes: the algorithms as published
 *   LZI_POLICY_BY_AGE    is asked about the oldest entries, batch by batch, as the extents they lie in are emptied. Of
 *                        accesses it hears only those of a sample of the keys, and what the entries' visit counters say
 */
#ifndef LZI_POLICY_POLICY_H
#define LZI_POLICY_POLICY_H

#include <latzero/latzero.h>
#include <stddef.h>
#include <stdint.h>

enum lzi_policy_kind {
	LZI_POLICY_BY_ENTRY,
	LZI_POLICY_BY_AGE
};

/* The two lists of extents of LZI_POLICY_BY_AGE: fresh entries are appended to the window, those kept to the main one.
 */
enum lzi_policy_list {
	LZI_POLICY_WINDOW,
	LZI_POLICY_MAIN
};

/* Most entries judged at once. */
#define LZI_POLICY_BATCH 64u
/* A visit counter's greatest value: it has two bits. */
#define LZI_POLICY_VISITS 3u

/* An entry that is among the oldest of its list. */
struct lzi_candidate {
	uint64_t hash;
	uint32_t weight;
	uint8_t visits; /* hits since it was last judged, at most LZI_POLICY_VISITS */
	uint8_t keep;   /* out: 1: to be appended to the main list; 0: it goes */
};

/* The memory of a state. */
struct lzi_policy_block {
	void *at;
	uint64_t size;
};

struct lzi_policy {
	const char *name; /* as users write it */
	latz_policy id;
	enum lzi_policy_kind kind;

	/* Bytes of state with which `entries` can be told apart. */
	uint64_t (*size)(uint64_t entries);
	/* Makes the state, for at most `entries` entries and a capacity in units of weight. The block has size(entries)
	 * bytes, or more. */
	void (*init)(struct lzi_policy_block state, uint64_t entries, uint64_t capacity);
	/* The capacity has changed. */
	void (*resize)(struct lzi_policy_block state, uint64_t capacity);
	/* Makes `to`, initialised for more or fewer entries, know what `from` does. */
	void (*move)(struct lzi_policy_block to, struct lzi_policy_block from);
	/* After a death, and before a state from elsewhere is used: consistent again. 0, or -1: it is not one of this
	 * policy within the block. */
	int (*mend)(struct lzi_policy_block state);
	/* Whether mending would be of use, as far as that can be told at a glance: of what is not sound nothing comes
	 * but wrong decisions. Asked before each use; cheap. */
	int (*is_sound)(struct lzi_policy_block state);

	/* An access to an entry. By age: only of sampled keys, created: the access put it in. */
	void (*access)(struct lzi_policy_block state, uint64_t hash, uint32_t weight, int created);

	/* By entry. */
	/* Puts an entry in, for which there is room. 0, or -1: the state has no room to remember it; it is as before.
	 */
	int (*insert)(struct lzi_policy_block state, uint64_t hash, uint32_t weight);
	/* Which entry goes, so that `incoming` of `weight` can come; it is no longer in. 0, or -1: there is none. */
	int (*evict)(struct lzi_policy_block state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash);
	/* An entry was deleted, or has expired. Without effect if it is not in. */
	void (*remove)(struct lzi_policy_block state, uint64_t hash);

	/* By age. */
	/* An entry was created. By any thread at any time, also beside the others: atomic operations only. */
	void (*created)(struct lzi_policy_block state, uint64_t hash);
	/* From which list the next extents should be emptied, given the weights of what is in them. */
	enum lzi_policy_list (*next)(struct lzi_policy_block state, uint64_t window, uint64_t main);
	/* Which of the oldest entries of a list stay. n is at most LZI_POLICY_BATCH. */
	void (*judge)(struct lzi_policy_block state, enum lzi_policy_list list, struct lzi_candidate *candidate,
	              unsigned n);
	/* Keys whose accesses it wants to hear of: those with hash * K >> 32 ... below this, of 2^32. */
	uint32_t (*sampling)(struct lzi_policy_block state);
};

/* The policy of that name or number; NULL if there is none. LATZ_POLICY_DEFAULT is the adaptive one. */
const struct lzi_policy *lzi_policy_by_name(const char *name);
const struct lzi_policy *lzi_policy_by_id(latz_policy id);

/* Whether accesses to the key of a hash are in a sample of `sampling` of 2^32. Bits that neither buckets nor tags are
 * chosen by, mixed. */
static inline int lzi_policy_is_sampled(uint64_t hash, uint32_t sampling)
{
	return (uint32_t)((hash ^ hash >> 29) * 0x9e3779b97f4a7c15ull >> 32) < sampling;
}

#endif
