/*
 * The file `locks`: layout. Made at a pool's first lock; all of it is allocated before anybody can reach it.
 *
 *   blocks 0..1   the shards: a robust mutex each, and where its chains and free nodes are
 *   blocks 2...   each a shard's: a header and 31 nodes; or a run of blocks that holds the heads of its chains
 *
 * The shard of a name, and its chain there, are told by its hash. Nodes describe themselves and blocks say whose they
 * are: chains, free lists and counts are made anew from them when the holder of a shard's mutex died. doc/format.md
 * lists the same fields in the same order; doc/together.md has the protocol.
 */
#ifndef LZI_FORMAT_LOCKS_H
#define LZI_FORMAT_LOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/mutex.h"

#define LZI_LOCK_SHARDS_SHIFT 5
#define LZI_LOCK_SHARDS (1u << LZI_LOCK_SHARDS_SHIFT)
#define LZI_LOCK_BLOCK 4096u
#define LZI_LOCK_PER_BLOCK 32u /* nodes, the first of which is the header */
#define LZI_LOCK_FIRST 2u      /* block behind the shards */
#define LZI_LOCK_HEADS 32u     /* chains of a shard that has few nodes */
#define LZI_LOCK_NAME 28u

/* Writer: the holder of `mutex`. Its death: the next one makes all but `mend` anew. */
struct lzi_lock_shard {
	struct lzi_mutex mutex;
	uint64_t heads; /* 64: block of the run << 32 | how many heads there are; 0: the ones below */
	uint32_t free;  /* 72: first free node; 0 none */
	uint32_t used;  /* 76: nodes that are not free */
	uint32_t nodes; /* 80 */
	uint32_t mend;  /* 84: 1: a holder died, and nobody has made it anew yet */
	uint64_t pad[5];
	uint32_t head[LZI_LOCK_HEADS]; /* 128: nodes; 0 none */
};
_Static_assert(offsetof(struct lzi_lock_shard, head) == 128, "layout");
_Static_assert(sizeof(struct lzi_lock_shard) == 256, "layout");
_Static_assert(sizeof(struct lzi_lock_shard) * LZI_LOCK_SHARDS == LZI_LOCK_FIRST * LZI_LOCK_BLOCK, "layout");

enum lzi_lock_block_kind {
	LZI_LOCK_NODES = 1,
	LZI_LOCK_RUN = 2 /* heads: 4 bytes each, behind this header */
};

/* The first 128 bytes of a block, or of a run of them. Writer: the holder of the shard's mutex. */
struct lzi_lock_block {
	uint32_t shard; /* + 1 */
	uint32_t kind;  /* 4: enum lzi_lock_block_kind */
	uint32_t span;  /* 8: blocks */
	uint32_t pad[29];
};
_Static_assert(sizeof(struct lzi_lock_block) == 128, "layout");

/* What a node is. Changed by the holder of the shard's mutex, but for GRANTED, which its owner makes of OFFERED, and
 * ABANDONED, which he may make of any. While its owner lives nobody else frees a node that he looks at: one that waits,
 * or is offered or lost. */
enum lzi_lock_state {
	LZI_LOCK_FREE,
	LZI_LOCK_WAITING,
	LZI_LOCK_OFFERED,  /* granted, and its owner has not seen it yet */
	LZI_LOCK_GRANTED,  /* and he knows */
	LZI_LOCK_LOST,     /* its lease was over before he knew */
	LZI_LOCK_GHOST,    /* not granted any more, but somebody is still writing in its name */
	LZI_LOCK_ABANDONED /* it waits, or holds, no longer */
};

/* A grant or a wait. Writer: the holder of the shard's mutex. */
struct lzi_lock_node {
	uint64_t hash[2];     /* 0: of kind and name, with the pool's seed */
	uint64_t ticket;      /* 16: of a waiter: its place in the order */
	uint64_t token;       /* 24: of a grant */
	uint64_t lease_end;   /* 32: CLOCK_MONOTONIC, ns; 0: none */
	uint64_t upgrade;     /* 40: ticket, while who holds it shared waits to have it alone; else 0. The highest bit:
	                       * it is just being granted */
	uint64_t actor_life;  /* 48: of the thread that asked */
	uint64_t client_life; /* 56: of its process, the owner */
	uint32_t lease_ms;    /* 64: that was asked for; 0 none */
	uint32_t actor;       /* 68 */
	uint32_t client;      /* 72 */
	uint32_t handle;      /* 76: which of the process's */
	uint32_t pid;         /* 80: for people */
	uint32_t next;        /* 84: in its chain, or of the free ones; 0 none */
	uint32_t word;        /* 88: futex: changes when the owner should look */
	uint32_t state;       /* 92: enum lzi_lock_state */
	uint8_t shared;       /* 96 */
	uint8_t kind;         /* 97: enum lzi_lock_kind */
	uint8_t fenced;       /* 98: 1: writes have been made in its name */
	uint8_t name_size;    /* 99: of all of the name; 255: that or more */
	uint8_t name[LZI_LOCK_NAME]; /* 100: how it begins, for people */
};
_Static_assert(offsetof(struct lzi_lock_node, lease_ms) == 64, "layout");
_Static_assert(sizeof(struct lzi_lock_node) * LZI_LOCK_PER_BLOCK == LZI_LOCK_BLOCK, "layout");

/* Names of different kinds are different names. */
enum lzi_lock_kind {
	LZI_LOCK_NAMED,
	LZI_LOCK_LEASE /* of a key: who has it computes the value */
};

#endif
