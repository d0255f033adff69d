/*
 * Private to store/: what stands in an audit log's file, for who appends to it. Nothing here writes.
 */
#ifndef LZI_STORE_AUDIT_FILE_H
#define LZI_STORE_AUDIT_FILE_H

#include <stdint.h>

#include "format/audit.h"

/* An entry, as its successor knows it. seq 0: none. */
struct lzi_audit_mark {
	uint64_t seq;
	uint8_t hash[LZI_AUDIT_HASH];
};

struct lzi_audit_file {
	int dirfd, fd;
	const char *name;
	uint64_t size;
	const uint8_t *key; /* what entries of who looks have a code of, LZI_DIGEST_KEY_BYTES; NULL: they have none */
};

/* The last whole entry, and where it ends; both 0: there is none. LATZ_INVALID, LATZ_CORRUPT: it is no log. */
int lzi_audit_file_end(const struct lzi_audit_file *file, struct lzi_audit_mark *ret_last, uint64_t *ret_end);

enum lzi_audit_memory {
	LZI_AUDIT_THERE,   /* in this file, or in one before that was rotated, or just before those */
	LZI_AUDIT_NOT,     /* where it was, another is, or nothing */
	LZI_AUDIT_UNSEEN   /* before the first file that is there */
};

/* Whether the log, which ends with number `last`, has an entry that somebody remembers. Reads from the end backwards,
 * as far as that may honestly be, and not more than some 64 MiB of a file: what is further away counts as not there. */
int lzi_audit_file_recall(const struct lzi_audit_file *file, const struct lzi_audit_mark *known, uint64_t last,
                          enum lzi_audit_memory *ret);

#endif
