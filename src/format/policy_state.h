/*
 * What a policy knew, on its way from one pool to the next: in snapshots, and in persist directories. Layout and its
 * validation; no I/O. doc/format.md lists the same fields in the same order.
 */
#ifndef LZI_FORMAT_POLICY_STATE_H
#define LZI_FORMAT_POLICY_STATE_H

#include <stddef.h>
#include <stdint.h>

#define LZI_POLICY_STATE_MAGIC "lz-poli\n"
#define LZI_POLICY_STATE_MAJOR 1
#define LZI_POLICY_STATE_MINOR 0
/* A larger state stays behind: it is copied while nobody else can do maintenance. */
#define LZI_POLICY_STATE_MAX (64u << 20)

/* Before the state's bytes, which are the policy's own and may be anything. */
struct lzi_policy_state {
	uint8_t magic[8];     /* 0 */
	uint16_t major;       /* 8: pass over others */
	uint16_t minor;       /* 10 */
	uint32_t policy;      /* 12: latz_policy */
	uint64_t hash_seed;   /* 16: of the pool: by it the state knows keys */
	uint64_t entries;     /* 24: that it was made for */
	uint64_t size;        /* 32: of the state, which follows */
	uint32_t crc;         /* 40: of the state */
	uint32_t by_bytes;    /* 44: 1: weights are bytes; 0: each entry weighs 1 */
	uint32_t reserved[3]; /* 48 */
	uint32_t checksum;    /* 60: crc32c of the 60 bytes before it */
};
_Static_assert(sizeof(struct lzi_policy_state) == 64, "layout");
_Static_assert(offsetof(struct lzi_policy_state, crc) == 40, "layout");

/* Fills in magic, versions, reserved, crc (of the bytes behind it) and checksum. */
void lzi_policy_state_seal(struct lzi_policy_state *state);
/* LATZ_OK, LATZ_CORRUPT or LATZ_VERSION, with detail. size: of it and what follows. */
int lzi_policy_state_validate(const struct lzi_policy_state *state, uint64_t size);

#endif
