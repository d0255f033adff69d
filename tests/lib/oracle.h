/*
 * What a pool should hold: an ordered map in ordinary memory. Entries are immutable and counted, so a copy of the whole
 * map (what a scan opened now must return) costs one pointer a key.
 */
#ifndef TESTS_LIB_ORACLE_H
#define TESTS_LIB_ORACLE_H

#include "base.h"

struct oracle_entry {
	unsigned refs;
	latz_type type;
	uint64_t version;     /* 0: not known yet */
	uint64_t version_not; /* the version of the write before, which must not come back; 0: none */
	bool touched;         /* its deadline was changed since, for which scans opened before are not asked */
	int64_t deadline_ms;  /* monotonic; -1: never expires */
	size_t key_size, value_size;
	unsigned char *key, *value;
};

struct oracle {
	struct oracle_entry **entries; /* sorted by key */
	size_t count, capacity;
};

/* memcmp, shorter first. */
int oracle_compare(const void *a, size_t a_size, const void *b, size_t b_size);

void oracle_fini(struct oracle *oracle);

/* The index of the first entry >= key; *found says whether it is equal. */
size_t oracle_search(const struct oracle *oracle, latz_slice key, bool *found);

/* NULL if it is not there. */
struct oracle_entry *oracle_get(const struct oracle *oracle, latz_slice key);

/* Puts a new entry with a copy of key and value, replacing what was there. The entry, for the caller to complete:
 * version 0, version_not from the one replaced, deadline -1. */
struct oracle_entry *oracle_set(struct oracle *oracle, latz_slice key, latz_slice value, latz_type type);

/* Whether it was there. */
bool oracle_delete(struct oracle *oracle, latz_slice key);

void oracle_clear(struct oracle *oracle);

/* *copy is overwritten, not freed. */
void oracle_copy(struct oracle *copy, const struct oracle *from);

#endif
