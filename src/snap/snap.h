/*
 * Snapshot streams: written and read front to back, in bounded memory, compressed by threads. Knows nothing of pools.
 * Layout: format/snapshot.h and doc/format.md.
 */
#ifndef LZI_SNAP_SNAP_H
#define LZI_SNAP_SNAP_H

#include <stddef.h>
#include <stdint.h>

/* What a snapshot says of itself. */
struct lzi_snap_info {
	uint16_t major, minor;
	uint8_t log_id[16];     /* of the pool or, if it is durable, of its log; all 0: none */
	uint64_t seq;           /* the point in time */
	uint64_t touched_ns;    /* CLOCK_MONOTONIC ns of that time; told, and not looked at by this version */
	uint64_t first_segment; /* of the log that continues it; 0: none */
	int64_t wall_ms;
	int64_t ttl_ms; /* the pool's default for keys; -1 none */
	int has_dicts;  /* 1: there are dictionaries, before the entries */
	int escaped;    /* 1: keys that begin with ff are as in format/space.h */
	int has_sealed; /* 1: there are encrypted values */
	int has_copy;   /* 1: there is a copy of the record of keys, before all else */
	int has_policy; /* 1: there is what the pool's policy knew, before the entries */
	/* From the footer. */
	uint64_t keys, bytes, blocks, file_bytes;
	uint64_t book; /* of the keys, those that are no user's */
};

struct lzi_snap_entry {
	const void *key, *value;
	uint32_t key_size, value_size;
	uint8_t type;
	uint64_t seq;
	int64_t deadline_wall_ms; /* 0 never */
	uint8_t sealed;           /* 1: the value is encrypted */
};

/* ---- Writing ---- */

struct lzi_snap_writer;
/* To fd (a file, a pipe), from its present position. Writes the header. level, threads: as latz_snapshot_options; 0 the
 * library's choice: -7, which costs no more than copying, and a thread for each processor, at most 4. Threads
 * write, too; the caller's compresses when they don't keep up. */
int lzi_snap_writer_open(int fd, const struct lzi_snap_info *info, int level, unsigned threads,
                         struct lzi_snap_writer **ret_writer);
/* Keys must come in byte order, each once: LATZ_INVALID. Copies what it is given, but for entries of over 4 MiB, which
 * it writes at once. After a failure every call fails, the last with that code. */
int lzi_snap_write(struct lzi_snap_writer *writer, const struct lzi_snap_entry *entry);
/* A dictionary behind its header (format/packed.h), before the first entry; info->has_dicts announced it. */
int lzi_snap_write_dict(struct lzi_snap_writer *writer, const void *dict, uint32_t size);
/* What the pool's policy knew, behind its header (format/policy_state.h); likewise, with info->has_policy. */
int lzi_snap_write_policy(struct lzi_snap_writer *writer, const void *state, uint64_t size);
/* A copy of the record of the pool's keys, with its version, which has at least 64 bytes; with info->has_copy. */
int lzi_snap_write_keys(struct lzi_snap_writer *writer, uint64_t seq, const void *record, uint32_t size);
/* Last block, footer. Does not sync. Frees the writer, on failure too. ret_info may be NULL. */
int lzi_snap_finish(struct lzi_snap_writer *writer, struct lzi_snap_info *ret_info);
void lzi_snap_abort(struct lzi_snap_writer *writer);

/* ---- Reading ---- */

typedef int (*lzi_snap_entry_fn)(const struct lzi_snap_entry *entry, void *arg);

struct lzi_snap_read {
	int fd;           /* read from its present position; need not be a file */
	const char *name; /* for error texts */
	unsigned threads;
	int salvage;             /* go on after what is bad, telling `lost`; LATZ_OK if there was anything to read.
	                            With a bad header `begin` gets an info of zeros, ttl_ms -1 */
	lzi_snap_entry_fn entry; /* in order; called by one thread. May be NULL: only check */
	int (*dict)(const void *dict, void *arg); /* one that is whole, behind its header; may be NULL */
	/* What a policy knew, or anything else of that size; may be NULL. */
	int (*policy)(const void *state, uint64_t size, void *arg);
	/* The copy of the record of keys, or what says so; may be NULL. */
	int (*keys)(uint64_t seq, const void *record, uint64_t size, void *arg);
	int (*begin)(const struct lzi_snap_info *info, void *arg); /* after the header; may be NULL */
	void (*lost)(const char *what, void *arg);                 /* one line; may be NULL */
	void *arg;
	struct lzi_snap_info info; /* out; keys, bytes, blocks, file_bytes: what was told of and read */
};
/* Everything is checked: each block before its entries are told of, the footer's counts and the digest of the whole at
 * the end (so the caller must not make public what it has built before this returns LATZ_OK). LATZ_CORRUPT with name
 * and offset, LATZ_VERSION; bytes after the footer are LATZ_CORRUPT too. */
int lzi_snap_read(struct lzi_snap_read *read);
/* Header and footer of a regular file, without what is between. */
int lzi_snap_peek(int fd, const char *name, struct lzi_snap_info *ret_info);

#endif
