/*
 * latzero: audit logs, and how long keys may live at most. Included by <latzero/latzero.h>.
 */
#ifndef LATZERO_AUDIT_H
#define LATZERO_AUDIT_H

#include <latzero/latzero.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Audit logs -------------------------------------------------------------------------------------------------- */

/* A pool made with latz_options.audit writes down who does what with it: a line of JSON each, chained by SHA-256, in a
 * file that outlives the pool (doc/audit.md has its format). Written, and synced, before it is done: create, open (of a
 * process; refused ones too), destroy, snapshot, persist, limit, retain, namespaces made, limited and dropped, clear;
 * behind it, but before the call returns: restore. Written when they happen: close; gone, a process that ended without
 * closing; remove, the pool's files going. */

/* latz_options.audit_keys */
enum {
	LATZ_AUDIT_WRITES = 1u << 0, /* writes of keys as well; not synced, as the next */
	LATZ_AUDIT_READS = 1u << 1,  /* and reads, which then wait for the log, as writes do */
	LATZ_AUDIT_PLAIN = 1u << 2,  /* keys as they are, instead of hashed with a secret of the pool's */
	LATZ_AUDIT_LAX = 1u << 3     /* what can't be written down happens all the same; else it fails */
};

typedef struct latz_audit_status_t {
	size_t size;      /* bytes of this struct that the library filled in; set it first */
	unsigned keys;    /* LATZ_AUDIT_WRITES ... */
	uint64_t seq;     /* of the last entry that the pool knows of; 0: none */
	uint8_t head[32]; /* its hash */
	uint64_t lost;    /* entries that could not be written and are not told of in the log yet */
	char path[2048];  /* of the log; "": the pool is not audited */
} latz_audit_status_t;

LATZ_API int latz_audit_status(latz_pool *pool, latz_audit_status_t *status) LATZ_MUSTCHECK;

/* The key that a locked pool's entries are authenticated with, for latz_audit_options.key: with it the log can be
 * verified by somebody who is not to have the password, for as long as there is the log, whatever becomes of the pool
 * and its password. Whoever has it can also write entries that pass; the pool's keys and values it does not open. The
 * caller wipes it. A pool has it whether it is audited or not; pool may be a namespace's handle, and one to read only.
 * Does not block; any thread. LATZ_INVALID: the pool has no password, or key is NULL; LATZ_DEAD. */
LATZ_API int latz_audit_key(latz_pool *pool, uint8_t key[32]) LATZ_MUSTCHECK;

/* An entry as it stands in the file. */
typedef struct latz_audit_entry {
	size_t size;      /* bytes of this struct that the library filled in */
	uint64_t line;    /* from 1 */
	uint64_t seq;
	const char *text; /* the line, a JSON object, without its end; not NUL-terminated */
	size_t text_size;
} latz_audit_entry;

/* A non-zero return ends the call and is returned. */
typedef int (*latz_audit_fn)(const latz_audit_entry *entry, void *arg);

typedef struct latz_audit_options {
	size_t size;         /* sizeof(latz_audit_options) */
	const uint8_t *key;  /* 32 bytes that entries were authenticated with, or NULL */
	const uint8_t *head; /* 32 bytes: the hash of an entry that must be there, or NULL */
	latz_audit_fn entry; /* called for each entry that is whole. May be NULL */
	latz_verify_fn wrong; /* called with a line for each thing that is wrong. May be NULL */
	void *arg;            /* of both */
	/* Of the locked pool whose log it is, as it is now or as it was when the log was written; NULL: authentication
	 * codes are not looked at, but with a key. Costs scrypt for each password that the log's pools have had. */
	const char *password;
	/* Paths, the last one NULL; NULL: none. Other files of the log that this one was rotated from, in which it is
	 * looked for keys that the password does not open here: after a new password, those behind it have them. */
	const char *const *files;
} latz_audit_options;

/* clang-format off */
#define LATZ_AUDIT_OPTIONS_INIT { sizeof(latz_audit_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL }
/* clang-format on */

typedef struct latz_audit_info {
	size_t size; /* bytes of this struct that the library filled in; set it first */
	uint64_t entries;
	uint64_t first_seq, last_seq;
	uint8_t previous[32]; /* hash of the entry before the first, in the file before; 0: there is none */
	uint8_t head[32];     /* of the last */
	uint64_t torn;        /* entries that were cut short when they were written, as the log itself tells */
	uint64_t tail_bytes;  /* at the end, such of one that nobody has told of yet; or of one that was cut off */
	uint64_t gone;        /* processes that did not close the pool */
	uint64_t keyed;       /* entries with an authentication code; with a key or password, the right one */
	uint64_t last_keyed;  /* the last of them: what is behind it anybody who can write the file may have written */
	uint64_t other_keys;  /* with a password: entries of other keys, which were not looked at */
	uint64_t unseen;      /* times that a pool did not find the file with the last entry that it remembered */
	uint64_t wrong;       /* things that are wrong, as `wrong` was told; 0: it is whole */
	uint64_t sound_keyed; /* as last_keyed, of what stands before the first of them; 0: there is none */
} latz_audit_info;

/* Reads a whole log. LATZ_CORRUPT: an entry was changed, is missing, stands twice or elsewhere; `wrong` is told which
 * line, the first is in latz_error_detail(), and info is filled in all the same. Without a key, a file that was
 * written anew as a whole can't be told from the true one, but by a `head` noted elsewhere, which also tells whether
 * entries are missing at the end. With the password of a locked pool whose log it is, all up to info.last_keyed is what
 * was written by who had the pool open, or up to info.sound_keyed if something is wrong behind that; LATZ_AUTH: the
 * password opens no key of the log, or nothing was authenticated with it. A file takes a password that the pool had
 * while it was written, or with options.files a later one. options and info may be NULL. Errors else: LATZ_NOTFOUND,
 * LATZ_ACCESS, LATZ_NOMEM, LATZ_IO; LATZ_TOOBIG. */
LATZ_API int latz_audit_verify(const char *path, const latz_audit_options *options, latz_audit_info *info)
	LATZ_MUSTCHECK;

/* A new file goes on with the chain; the old one gets the name that is put into `name`, path.N, N its last entry's
 * number. Any time, the pool in use or not. LATZ_UNSUPPORTED, LATZ_INVALID: the file system can't exchange names. */
LATZ_API int latz_audit_rotate(const char *path, char *name, size_t size) LATZ_MUSTCHECK;

/* ---- Retention --------------------------------------------------------------------------------------------------- */

/* From now on no key lives longer than max_age_ms after it was last written, whatever time to live it is given; 0: as
 * long as it is given. Keys that are there are held to it when the call returns: those that were written while the pool
 * had a max_age_ms, counted from when they were; of others, and those that came from a log or snapshot, that is not
 * known, and it counts from now on. pool: the pool's handle, or a namespace's, for its keys alone; both hold. It stays
 * with the pool, its log, its snapshots and images. Looks at every key. Errors as latz_set(). */
LATZ_API int latz_retain(latz_pool *pool, int64_t max_age_ms) LATZ_MUSTCHECK;

#ifdef __cplusplus
}
#endif

#endif
