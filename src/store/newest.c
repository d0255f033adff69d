/*
 * Old records put back (newest.h). Tags tell that a record was written as this version of this key, not that it is the
 * newest: who can write the files may copy an old record's bytes over the new one's, point the table's slot at an old
 * one that still lies in the heap, or make a deleted key's record alive again. The seqs of a key only grow, over
 * deletes too (doc/concurrency.md, W.3). So a process that has seen a version of a key knows that what it is given
 * must not be older; and nothing in the pool's files can tell it so better than what they can't reach, its own memory.
 *
 * Each attachment has a table in private memory: key -> the newest seq that it has written, deleted or read. A read of
 * what a key is now that comes with less is suspect. It may only have been slow: it found version 1, then another
 * thread wrote version 2 and noted it. So the first time it is told to look again, with what the table said in mind;
 * the second look-up began after that version was noted, hence after it was published, and must find it, a newer one,
 * or none. If not, it is LATZ_CORRUPT. A read as of an earlier moment is held against what was noted only if that is
 * not later than the moment. All this rests on two things: reads are linearizable; and nothing is noted before
 * everybody can see it, nor what may be undone.
 *
 * The table forgets, and is never wrong. It has SETS sets of WAYS entries; one more key in a set takes another's
 * place. A key is known by the tag that its sealed name begins with, 128 bits that nobody without the pool's keys can
 * choose: 64 are compared, others choose the set. Threads read and write entries without locks: an entry is two words,
 * the seq, and the tag with the seq mixed in, so one that is half of each of two is nobody's.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/newest.h"
#include "store/seal.h"
#include "store/space.h"

/* 1 MiB of 65536 entries; memory that was never touched takes none. */
#define SETS (1u << 14)
#define WAYS 4u

struct entry {
	uint64_t seq;  /* 0: empty */
	uint64_t mark; /* tag ^ seq */
};

#define LINE 64u
_Static_assert(sizeof(struct entry[WAYS]) == LINE, "a set is a line");

struct lzi_newest {
	struct entry (*sets)[WAYS];
	void *memory;
	uint64_t id; /* of no other, at any time: a thread's suspicion may outlive the table */
};

/* What a thread was told to look up again, and what the table knew by then. */
struct suspicion {
	uint64_t id, tag, seq;
};
static __thread struct suspicion suspicion;

struct lzi_newest *lzi_newest_make(void)
{
	static uint64_t ids;
	struct lzi_newest *newest = malloc(sizeof *newest);

	if (newest == NULL)
		return NULL;
	newest->memory = calloc(SETS + 1, LINE);
	newest->sets = (void *)(((uintptr_t)newest->memory + LINE - 1) & ~(uintptr_t)(LINE - 1));
	newest->id = lzi_fetch_add(&ids, 1ull) + 1;
	if (newest->memory == NULL) {
		free(newest);
		return NULL;
	}
	return newest;
}

void lzi_newest_free(struct lzi_newest *newest)
{
	if (newest == NULL)
		return;
	free(newest->memory);
	free(newest);
}

/* The key's set and tag. NULL: it is none that is sealed. */
static inline struct entry *find(const struct lzi_store *store, latz_slice key, uint64_t *ret_tag)
{
	const uint8_t *at = key.data;
	unsigned prefix;
	uint64_t tag[2];

	if (!lzi_is_sealed(store) || !lzi_seal_wanted(store, key))
		return NULL;
	prefix = lzi_key_is_spaced(at, key.size) ? LZI_SPACE_PREFIX : 1;
	if (key.size < prefix + sizeof tag)
		return NULL;
	memcpy(tag, at + prefix, sizeof tag);
	*ret_tag = tag[0];
	return store->seal->newest->sets[tag[1] % SETS];
}

static inline int entry_is(const struct entry *entry, uint64_t tag, uint64_t *ret_seq)
{
	uint64_t mark = lzi_load_acquire(&entry->mark);

	*ret_seq = lzi_load_acquire(&entry->seq);
	return *ret_seq != 0 && (mark ^ *ret_seq) == tag;
}

static inline void entry_put(struct entry *entry, uint64_t tag, uint64_t seq)
{
	lzi_store_release(&entry->seq, seq);
	lzi_store_release(&entry->mark, tag ^ seq);
}

/* Where threads met, a key may be there twice: the first counts, here and below. */
static inline uint64_t look(const struct entry *set, uint64_t tag)
{
	uint64_t seq;
	unsigned i;

	for (i = 0; i < WAYS; i++) {
		if (entry_is(&set[i], tag, &seq))
			return seq;
	}
	return 0;
}

static void note(struct entry *set, uint64_t tag, uint64_t seq)
{
	unsigned i, at = WAYS;
	uint64_t had;

	for (i = 0; i < WAYS; i++) {
		if (entry_is(&set[i], tag, &had)) {
			if (had < seq)
				entry_put(&set[i], tag, seq);
			return;
		}
		if (had == 0 && at == WAYS)
			at = i;
	}
	entry_put(&set[at < WAYS ? at : seq / LZI_SEQ_STRIDE % WAYS], tag, seq);
}

void lzi_newest_note(struct lzi_store *store, latz_slice key, uint64_t seq)
{
	struct entry *set;
	uint64_t tag;

	set = find(store, key, &tag);
	if (set != NULL && seq != 0)
		note(set, tag, seq);
}

/* Threads that the child does not have may have been at it: what they left half done is a tag of no key. */
void lzi_newest_inherit(struct lzi_store *store, const struct lzi_store *parents)
{
	unsigned i, j;

	if (store->seal == NULL || parents->seal == NULL)
		return;
	for (i = 0; i < SETS; i++) {
		for (j = 0; j < WAYS; j++) {
			const struct entry *entry = &parents->seal->newest->sets[i][j];

			if (entry->seq != 0)
				note(store->seal->newest->sets[i], entry->mark ^ entry->seq, entry->seq);
		}
	}
}

uint64_t lzi_newest_seen(struct lzi_store *store, latz_slice key)
{
	struct entry *set;
	uint64_t tag;

	set = find(store, key, &tag);
	return set == NULL ? 0 : look(set, tag);
}

static LZI_COLD int put_back(uint64_t seq, uint64_t known, uint64_t offset)
{
	return lzi_error(LATZ_CORRUPT, "record at heap offset %llu: an older version was put back: it is %llu, and its "
	                 "key has had %llu", (unsigned long long)offset, (unsigned long long)seq,
	                 (unsigned long long)known);
}

/* Older than what the process knows of. */
static LZI_COLD LZI_NOINLINE int suspect(const struct lzi_newest *newest, uint64_t tag, uint64_t seq, uint64_t known,
                                         uint64_t offset)
{
	/* Known before this look-up began, be it in an earlier call. */
	if (suspicion.id == newest->id && suspicion.tag == tag && seq < suspicion.seq)
		return put_back(seq, suspicion.seq, offset);
	suspicion = (struct suspicion){ newest->id, tag, known };
	return LATZ_BUSY;
}

int lzi_newest_check(struct lzi_store *store, latz_slice key, uint64_t seq, uint64_t moment, uint64_t offset,
                     latz_value *value)
{
	uint64_t tag, known;
	struct entry *set = find(store, key, &tag);
	int rc;

	if (set == NULL)
		return LATZ_OK;
	known = look(set, tag);
	if (lzi_likely(known == seq))
		return LATZ_OK;
	if (known < seq) {
		if (moment == LZI_NEWEST_NOW)
			note(set, tag, seq);
		return LATZ_OK;
	}
	if (moment != LZI_NEWEST_NOW && known > moment)
		return LATZ_OK;
	rc = suspect(store->seal->newest, tag, seq, known, offset);
	lzi_wipe(value->data, value->size);
	value->size = 0;
	return rc;
}

int lzi_newest_check_locked(struct lzi_store *store, latz_slice key, const struct lzi_record *record)
{
	uint64_t known = lzi_newest_seen(store, key);

	return lzi_likely(known <= record->seq)
	               ? LATZ_OK
	               : put_back(record->seq, known,
	                          (uint64_t)((const uint8_t *)record - lzi_load_relaxed(&store->heap.map.base)));
}

int lzi_newest_check_write(struct lzi_store *store, const struct lzi_write *write, const struct lzi_record *old,
                           uint64_t seq)
{
	uint64_t known = lzi_newest_seen(store, write->key);

	if (lzi_unlikely(known >= seq))
		return lzi_error(LATZ_CORRUPT,
		                 "the pool's clock was put back: the key has had version %llu, the next would be %llu",
		                 (unsigned long long)known, (unsigned long long)seq);
	return lzi_unlikely(write->flags & LATZ_IF_VERSION && old != NULL)
	               ? lzi_newest_check_locked(store, write->key, old)
	               : LATZ_OK;
}
