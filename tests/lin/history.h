/*
 * Histories of operations on one register-like key, and the check whether they are linearizable: whether the operations
 * can be put in one order that respects real time and explains every result.
 *
 * Each process is sequential, so what has been put in order is always a prefix of each process's operations. The search
 * (Wing and Gong's, remembering configurations as Lowe does) walks vectors of prefix lengths plus the state of the key.
 */
#ifndef TESTS_LIN_HISTORY_H
#define TESTS_LIN_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIN_PROCESSES_MAX 8

enum lin_kind {
	LIN_GET,
	LIN_SET,         /* an integer */
	LIN_SET_ABSENT,  /* IF_ABSENT */
	LIN_SET_VERSION, /* IF_VERSION: if_version */
	LIN_DELETE,
	LIN_INCREMENT,
	LIN_SWAP /* writes bytes, which can't be incremented */
};

struct lin_op {
	enum lin_kind kind;
	unsigned key;
	int rc;        /* LATZ_... */
	int64_t value; /* written, or added */
	int64_t got;   /* returned: by get, swap (if got_version != 0), increment */
	uint64_t if_version;
	uint64_t got_version; /* of get and swap: the version read; of sets: the one written; 0: not told */
	uint64_t invoked;     /* ns */
	uint64_t returned;    /* ns; 0: never did, its process was killed inside */
};

/* Operations of one process on one key, in program order. */
struct lin_track {
	const struct lin_op *ops;
	size_t count;
};

/* The longest order found: operations of each process in it, and what the key held after it. */
struct lin_stuck {
	size_t done[LIN_PROCESSES_MAX], total;
	bool present;
	int64_t value;
	uint64_t version; /* 0: not known */
};

/* Whether the history of one key, absent at the start, is linearizable. Tracks end with at most one operation that
 * never returned, which may or may not have taken effect. *stuck (may be NULL) tells how far it got. */
bool lin_check(const struct lin_track *tracks, unsigned processes, struct lin_stuck *stuck);

#endif
