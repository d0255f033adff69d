/*
 * Histories of transactions over a few keys, and the check whether they are serializable, in an order that respects
 * real time: a graph of who must come before whom, without a cycle.
 *
 * Versions tell in which order a key was written, values who wrote them; so the edges are known: a write before the
 * next of the key (WW), a write before who reads it (WR), who reads before the next write of the key (RW), and what had
 * returned before what was called (RT). What is missing, since a process was killed, is left out unless somebody has
 * read of it.
 */
#ifndef TESTS_TXN_GRAPH_H
#define TESTS_TXN_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TG_KEYS 20
#define TG_OPS_MAX 12

enum tg_outcome {
	TG_UNKNOWN, /* its process was killed in it */
	TG_DONE,
	TG_NOT_DONE
};

/* A read, or a write, of a key. */
struct tg_op {
	uint8_t key;
	bool is_write;
	bool absent;      /* read: it was not there; write: a delete */
	uint32_t writer;  /* read: number of the transaction whose value it was; 0: none of the history */
	uint64_t version; /* read: of the value. Of writes it is the transaction's */
};

struct tg_txn {
	enum tg_outcome outcome;
	bool timeless;         /* stands where it can: real time says nothing of it */
	uint64_t version;      /* of all it has written; 0: not known */
	uint64_t invoked, returned; /* ns */
	unsigned count;
	struct tg_op ops[TG_OPS_MAX];
};

/* txns[0] is not looked at: numbers begin with 1. false: *why (of at least 256 bytes) says what is wrong. */
bool tg_check(const struct tg_txn *txns, size_t count, char why[256]);

#endif
