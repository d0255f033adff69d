/*
 * Private to store/: an audit log's file. Entries are put at its end under a lock that all writers share, so they form
 * one chain; a writer killed in between leaves a torn line at most, which the next one tells of. Knows no pools; what
 * it knows of one is the page that remembers the chain's end.
 */
#ifndef LZI_STORE_AUDIT_CHAIN_H
#define LZI_STORE_AUDIT_CHAIN_H

#include <pthread.h>

#include <latzero/latzero.h>

#include "crypt/digest.h"
#include "store/audit_file.h"

struct lzi_chain {
	/* Of the process: `busy`, `next`. Nothing else is waited for under it. */
	pthread_mutex_t mutex;
	pthread_cond_t left; /* by who was busy */
	int busy; /* 1: one has all of the rest: the file's lock is its description's, which threads share */
	struct {
		const uint8_t *key;
		struct lzi_audit_seal seal;
		int is_sealed, is_set;
	} next; /* what is authenticated with from the next entry on */
	int dirfd, fd;         /* fd -1: not open */
	int poolfd;            /* directory of the pool that led us here, not ours; -1: none did */
	char *path;
	const char *name;            /* in path */
	struct lzi_audit_page *page; /* NULL: nobody remembers */
	const uint8_t *key; /* LZI_DIGEST_KEY_BYTES of somebody else's memory; NULL: entries have no mac */
	struct lzi_audit_seal seal; /* of the key, if is_sealed */
	int is_sealed;
	int told; /* 1: an entry of ours in this file has it */
	int is_guest;   /* has the file open only while it appends */
	int makes_none; /* fails if it is not there */
	unsigned timeout_ms;
	/* The file's end as we left it: still so if its size is. */
	uint64_t size;
	struct lzi_audit_mark last, prior; /* and the entry before it */
	struct lzi_audit_mark before;      /* the last of the file that had the name before; 0: none was seen */
};

/* What an entry says beside its first and last members: members with a comma in front. */
struct lzi_chain_entry {
	const char *event;
	const char *who;    /* of entries of the chain's own, too */
	const char *fields; /* may be "" */
	unsigned most_ms;   /* that is waited for another thread, or process; 0: the chain's timeout */
};

/* path: of a file, or of a directory that has one of `name` in it or gets one. Makes no file. The path is absolute
 * then: ret_path, LZI_AUDIT_PATH_MAX. */
int lzi_chain_path(const char *path, const char *name, char *ret_path);
int lzi_chain_open(struct lzi_chain *chain, const char *path, struct lzi_audit_page *page, unsigned timeout_ms);
void lzi_chain_close(struct lzi_chain *chain);
/* Whether a log can be begun there, or gone on with; makes the file, and has room behind its end for a pool's first
 * entries, so that what is begun need not be given up halfway: LATZ_NOSPC. */
int lzi_chain_try(const char *path, unsigned timeout_ms);
/* Waits for nobody. The key stays where it is. NULL: none. The first entry that is written from now on, and the first
 * one in each file, has the seal, if there is one. */
void lzi_chain_key(struct lzi_chain *chain, const uint8_t *key, const struct lzi_audit_seal *seal);

/* What the page says was lost is told of first. sync: on the disk when it returns, however long that takes; for others
 * that are at it, it waits no longer than the call may (lzi_wait_left_ns()). LATZ_NOSPC, LATZ_IO, LATZ_ACCESS,
 * LATZ_TIMEOUT; LATZ_INVALID and LATZ_CORRUPT: it is no audit log. */
int lzi_chain_append(struct lzi_chain *chain, const struct lzi_chain_entry *entry, int sync);
/* The file gets another name, path.<its last number>, and a new one goes on. */
int lzi_chain_rotate(struct lzi_chain *chain, const char *who, char *ret_name, size_t size);

#endif
