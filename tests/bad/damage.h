/*
 * A pool with known contents, damaged copies of it, and what a process that opens one is allowed to see. Used by the
 * systematic test (bad.c) and the random one (tests/fuzz/flip.c).
 */
#ifndef TESTS_BAD_DAMAGE_H
#define TESTS_BAD_DAMAGE_H

#include "../crash/ledger.h"

#define DAMAGE_KEYS 120
#define DAMAGE_OWNER 3
#define DAMAGE_RECORD 7 /* index of the key whose record is damaged byte by byte */

struct damage_result {
	int signal; /* that ended the process; 0 none */
	int hung;
	int open_rc;
	int wrong;   /* keys that gave wrong bytes */
	int missing; /* keys that were not there */
	int refused; /* calls after opening that gave a named error */
	int unnamed; /* result codes that are not in the list */
	int verify_rc;
	int changed; /* the open failed, yet something on disk changed */
	char detail[200];
};

/* Makes the kept pool in <root>/pristine/pool; offset and size of the record of key DAMAGE_RECORD. */
int damage_prepare(uint64_t *record_offset, uint64_t *record_size);
/* A fresh copy as <root>/work/pool; path of one of its files in out. */
void damage_restore(void);
void damage_path(char *out, size_t size, const char *file);
/* Changes one byte. Nothing if the file is shorter. */
void damage_flip(const char *file, uint64_t offset, unsigned char mask);
void damage_write(const char *file, uint64_t offset, const void *bytes, size_t size);
uint64_t damage_size(const char *file);
int damage_truncate(const char *file, uint64_t size);

/* Opens the damaged pool in a child, reads, scans, verifies and writes. flags: LATZ_CREATE or 0. */
struct damage_result damage_try(unsigned flags, int timeout_ms);
/* The child gives up root for this user before it opens; 0: it does not. */
extern unsigned damage_uid;
/* Prints what breaks the promise: signals, hangs, wrong data, unnamed errors, changed files. 0 if nothing. */
int damage_judge(const struct damage_result *result, const char *what);

#endif
