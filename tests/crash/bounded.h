/*
 * The members of the bounded soak: what they share with the program that kills them, and how their values say whether
 * they are whole. See bounded.c.
 */
#ifndef TESTS_CRASH_BOUNDED_H
#define TESTS_CRASH_BOUNDED_H

#include "cgroup.h"
#include "ledger.h"

#define BD_MEMBERS_MAX 32
/* Keys of each member: plain values, values that are appended to, counters. */
#define BD_PLAIN 6000u
#define BD_TAILS 64u
#define BD_COUNTERS 64u
#define BD_KEYS (BD_PLAIN + BD_TAILS + BD_COUNTERS)

/* What may be in a key: nothing, as it may have been evicted; or the last write that returned; or, if its member died,
 * the one under way. Numbers of a key grow. */
struct bd_key {
	_Atomic uint64_t acked;  /* write's number << 1, 1 more if it was a deletion; of counters the sum << 1 */
	_Atomic uint64_t flight; /* the same; 0: none under way */
	_Atomic int64_t gone_ms; /* it must not be there any more from then on; 0: it may */
};

struct bd_member {
	_Atomic uint64_t next;     /* number of its next write */
	_Atomic uint64_t own_live; /* bytes of its values, if it has to keep a budget */
	_Atomic uint64_t joined;   /* how often */
	_Atomic int bad;
	struct bd_key key[BD_KEYS];
};

struct bd_shared {
	_Atomic int stop;
	_Atomic uint64_t ops, gets, hits, sets, deletes, touches, appends, increments, borrows;
	_Atomic uint64_t set_bytes;
	_Atomic uint64_t full;      /* writes refused with LATZ_FULL */
	_Atomic uint64_t full_low;  /* of those with too little alive for it */
	_Atomic uint64_t full_live; /* the least that was alive then, in thousandths of max_bytes */
	_Atomic uint64_t live_sum, live_looks, live_least; /* the same of all the time but the beginning */
	struct bd_member member[BD_MEMBERS_MAX];
};

struct bd_config {
	const char *dir;
	uint64_t ops, max_bytes, members;
	latz_policy policy;
	uint64_t
		live_percent; /* of a full pool, above which it may say so; and, without a policy, what is kept alive */
	const struct cg_group *group;
	struct bd_shared *shared;
};

extern struct bd_config bd_config;

/* A member: works until shared->stop or all operations are done. arg: its number. */
int bd_member_run(void *arg);
latz_options bd_options(unsigned flags);

#define BD_POOL "pool"

#endif
