/*
 * Encrypted pools: what a sealed value looks like, what is authenticated with it, and the record that holds the pool's
 * keys, themselves sealed with the password's. No I/O, no cipher. doc/security.md says what each part is for.
 */
#ifndef LZI_FORMAT_SEALED_H
#define LZI_FORMAT_SEALED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format/heap.h"

/* ---- Values ------------------------------------------------------------------------------------------------------ */

/* In front of the sealed bytes of a record with LZI_RECORD_SEALED; value_size counts it. Immutable as the record. */
struct lzi_sealed {
	uint8_t nonce[12];  /* 0 */
	uint32_t size;      /* 12: of the value as it is for users: before compression */
	uint8_t key;        /* 16: number of the data key */
	uint8_t packed;     /* 17: 1: compressed before it was sealed (format/packed.h) */
	uint8_t reserved[2]; /* 18: 0 */
	uint8_t body_tag[16]; /* 20 */
	uint8_t head_tag[16]; /* 36: written when seq is known, under the bucket's lock. Not in the record's crc */
};
#define LZI_SEALED_HEAD 52u
_Static_assert(sizeof(struct lzi_sealed) == LZI_SEALED_HEAD, "no padding");
_Static_assert(offsetof(struct lzi_sealed, head_tag) == LZI_SEALED_SUMMED, "what the crc covers");

/* Authenticated with the body, followed by the key as it is in the pool. No seq: it is sealed before the lock is taken,
 * which is what the head is for. */
struct lzi_sealed_about {
	uint8_t id[16]; /* 0: of the pool's keys */
	uint32_t size;  /* 16: as above */
	uint8_t what;   /* 20: 'b' */
	uint8_t type;   /* 21 */
	uint8_t key;    /* 22 */
	uint8_t packed; /* 23 */
};
_Static_assert(sizeof(struct lzi_sealed_about) == 24, "no padding");

/* The head's tag is made of this and the body's tag, which stands for all the rest. */
struct lzi_sealed_version {
	uint64_t seq;    /* 0 */
	uint8_t what[8]; /* 8: 'h', then 0 */
};
_Static_assert(sizeof(struct lzi_sealed_version) == 16, "a block");

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

#define LZI_DATA_KEYS 16u

enum lzi_locked_kind {
	LZI_LOCKED_NOT,
	LZI_LOCKED_PASSWORD,  /* asked for at open; keys and values are stored as they are */
	LZI_LOCKED_ENCRYPTED
};

/* The value of the book's record "k": so log, snapshots and images carry it. It is neither sealed nor compressed. */
struct lzi_keys {
	uint8_t magic[8];
	uint32_t version;   /* 8: LZI_KEYS_VERSION */
	uint32_t kind;      /* 12: enum lzi_locked_kind */
	uint8_t id[16];     /* 16: random: of these keys */
	uint32_t log2_n, r, p; /* 32: scrypt's cost */
	uint32_t current;   /* 44: data key that records are sealed with */
	uint8_t salt[32];   /* 48: scrypt's */
	uint8_t nonce[12];  /* 80 */
	uint32_t reserved;  /* 92 */
	uint8_t tag[16];    /* 96 */
	uint8_t master[32]; /* 112: sealed with what scrypt makes of the password */
	/* Data keys, sealed with a key of the master's. used: 1 if it may be needed. */
	struct {
		uint8_t nonce[12];
		uint32_t used;
		uint8_t tag[16];
		uint8_t key[32];
	} data[LZI_DATA_KEYS]; /* 144 */
	uint8_t mac[32]; /* 1168: HMAC-SHA-256 of what is before it, with a key of the master's */
};
#define LZI_KEYS_VERSION 2u /* 1: heads of values were sealed otherwise */
#define LZI_KEYS_MAGIC "lz-key\r\n"
_Static_assert(sizeof(struct lzi_keys) == 1200, "no padding");
_Static_assert(offsetof(struct lzi_keys, data) == 144, "layout");
_Static_assert(offsetof(struct lzi_keys, mac) == 1168, "layout");

#endif
