/*
 * Audit logs (doc/audit.md): a line's text, and the page `audit` in a pool's directory. No I/O, no digests.
 *
 * A log is text, an entry a line: a JSON object whose first and last members stand in this order, whatever is between:
 *
 *   {"seq":N,"time":"...","event":"...",...,"key_id":"<32>","prev":"<64>","mac":"<64>","hash":"<64>"}
 *
 * hash: SHA-256 of the line up to the comma before "hash". mac: only where there was a key: HMAC-SHA-256 of the line up
 * to the comma before "mac"; key_id says which. prev: the hash of the entry before, of the file before if it is the
 * first; 64 zeros if there is none.
 */
#ifndef LZI_FORMAT_AUDIT_H
#define LZI_FORMAT_AUDIT_H

#include <stddef.h>
#include <stdint.h>

#include <latzero/latzero.h>

#define LZI_AUDIT_HASH 32u
#define LZI_AUDIT_LINE_MAX 32768u
#define LZI_AUDIT_TEXT_MAX 1024u /* bytes of a string or key that are written down; the rest is cut */
#define LZI_AUDIT_PATH_MAX 2048u

/* ---- The page `audit` ---------------------------------------------------------------------------------------------
 */

#define LZI_AUDIT_MAGIC "lz-aud\r\n"

/* Creator only, but for the head: the holder of the log's lock. Its death: `seq` says which of the two is right. */
struct lzi_audit_page {
	uint8_t magic[8];   /* 0 */
	uint32_t what;      /* 8: LATZ_AUDIT_* */
	uint32_t crc;       /* 12: CRC-32C of what, secret, path */
	uint8_t secret[32]; /* 16: random: keys are hashed with it */
	uint64_t seq;       /* 48: of the log's last entry, as far as the pool knows; 0: none. Stored last */
	uint64_t lost;      /* 56: entries that could not be written; anyone, atomic add */
	uint8_t head[2][LZI_AUDIT_HASH]; /* 64: hash of the last entry, at seq & 1 */
	char path[LZI_AUDIT_PATH_MAX];   /* 128: of the log, absolute */
	uint32_t unborn; /* 2176: 1: nobody has told the log yet that the pool was made. The maker; who tells, plain:
	                    to be told twice does no harm */
	uint8_t reserved[1916];
};
_Static_assert(offsetof(struct lzi_audit_page, head) == 64, "layout");
_Static_assert(offsetof(struct lzi_audit_page, unborn) == 2176, "layout");
_Static_assert(sizeof(struct lzi_audit_page) == 4096, "a page");

/* ---- Writing a line -----------------------------------------------------------------------------------------------
 */

/* A text being made; what does not fit is left out, and told by `full`. */
struct lzi_audit_text {
	char *data;
	size_t size, capacity;
	int full;
};

void lzi_audit_raw(struct lzi_audit_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Members, with a comma in front. Bytes that are no printable ASCII are escaped as \u00NN; of more than
 * LZI_AUDIT_TEXT_MAX the rest is cut. */
void lzi_audit_member(struct lzi_audit_text *text, const char *name, const void *data, size_t size);
void lzi_audit_number(struct lzi_audit_text *text, const char *name, uint64_t value);
void lzi_audit_hex(struct lzi_audit_text *text, const char *name, const uint8_t *data, size_t size);
/* The first members: seq, time, event. */
void lzi_audit_begin(struct lzi_audit_text *text, uint64_t seq, int64_t wall_ms, const char *event);

/* ---- The key that entries are authenticated with ------------------------------------------------------------------
 */

#define LZI_AUDIT_KEY_ID 16u
#define LZI_AUDIT_SEALED 48u
#define LZI_AUDIT_SEAL_TEXT 320u /* more than its members take */

/* As it stands in the log for who has the password: sealed with what scrypt makes of that. */
struct lzi_audit_seal {
	uint8_t id[LZI_AUDIT_KEY_ID]; /* of the pool's keys; in the entry it is the member that each has */
	uint32_t log2_n, r, p;
	uint8_t salt[32];
	uint8_t sealed[LZI_AUDIT_SEALED];
};

/* Its members, all but the id. */
void lzi_audit_put_seal(struct lzi_audit_text *text, const struct lzi_audit_seal *seal);

/* ---- Reading one --------------------------------------------------------------------------------------------------
 */

struct lzi_audit_line {
	uint64_t seq;
	const char *event; /* in the line */
	size_t event_size;
	size_t hashed;     /* bytes that the hash is of */
	size_t maced;      /* that the mac is of; 0: it has none */
	const char *hash, *prev, *mac; /* 64 digits each, not looked at; mac NULL: none */
	int has_id;                    /* with mac */
	uint8_t key_id[LZI_AUDIT_KEY_ID];
	uint64_t torn_bytes;           /* of an entry `torn`, else 0 */
	const char *torn_hash;
};

/* size: without the newline. 0: it has not the form of an entry. */
int lzi_audit_parse(const char *line, size_t size, struct lzi_audit_line *ret_line);
/* The sealed key of an entry that was parsed. 0: it has none. */
int lzi_audit_parse_seal(const char *line, const struct lzi_audit_line *parsed, struct lzi_audit_seal *ret_seal);

#endif
