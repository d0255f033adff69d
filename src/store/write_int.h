/*
 * Private to the writes of store/: write.c, remove.c, transactions. What a write decides under the bucket's lock, the
 * same for all of them.
 */
#ifndef LZI_STORE_WRITE_INT_H
#define LZI_STORE_WRITE_INT_H

#include "store/store_int.h"

static inline int64_t lzi_record_expiry(const struct lzi_record *record)
{
	return record->flags & LZI_RECORD_EXT ? lzi_load_relaxed(&lzi_record_ext(record)->expiry) : 0;
}

static inline int lzi_record_present(const struct lzi_record *record)
{
	int64_t expiry;

	if (lzi_load_relaxed(&record->died) != 0)
		return 0;
	expiry = lzi_record_expiry(record);
	return lzi_likely(expiry == 0) || expiry > lzi_clock_mono_ms();
}

/* The seq after which a key's next one must come. */
static inline uint64_t lzi_last_seq(const struct lzi_record *old)
{
	uint64_t died = lzi_load_relaxed(&old->died);

	return died != 0 && lzi_death_seq(died) > old->seq ? lzi_death_seq(died) : old->seq;
}

/* The next seq for a key whose last one was `last`; after the lock was taken, so that a scan that does not see our
 * intent has moved the clock before we read it. 0: `last` is none that was ever given out. */
static inline uint64_t lzi_next_seq(struct lzi_shared *shared, uint64_t last)
{
	uint64_t clock = lzi_load_acquire(&shared->clock);

	if (lzi_likely(last < clock))
		return clock;
	if (lzi_unlikely(last >= clock + LZI_SEQ_STRIDE))
		return 0;
	if (lzi_unlikely(last + 1 == clock + LZI_SEQ_STRIDE))
		lzi_fetch_add(&shared->clock, LZI_SEQ_STRIDE);
	return last + 1;
}

/* A seq that lzi_next_seq() does not believe: LATZ_CORRUPT. */
int lzi_seq_damaged(const struct lzi_record *record) LZI_COLD;

/* A value that was compared with the one to be written, outside the lock, as it is compressed. */
struct lzi_compared {
	uint64_t seq; /* of the version; 0 none */
	int same;
};

/* The conditions can't be told without LATZ_IF_CHANGED being looked at outside the lock. */
#define LZI_WRITE_LOOK 2

/* What the conditions say of the present state. 1: nothing to write, successfully. LZI_WRITE_LOOK. */
int lzi_write_check(const struct lzi_store *store, const struct lzi_write *write, const struct lzi_record *old,
                    int present, const struct lzi_compared *compared);
/* Compares with the present version, which changes nothing: who has the lock sees whether it still is. */
int lzi_write_compare(struct lzi_call *call, const struct lzi_write *write, uint64_t hash,
                      struct lzi_compared *ret_compared);

/* Links a new record to the versions before it. An old one that no open scan sees is left out of the chain: so a chain
 * is no longer than there are scans, however often the key is written. Returns how the old one dies. */
enum lzi_death lzi_write_link(const struct lzi_shared *shared, struct lzi_record *record, const struct lzi_record *old,
                              uint64_t old_unit);

/* unchanged.c. Whether the key has the bytes at this moment, told as a read is: then nothing need be drafted or locked,
 * and write->version is its. 0: it has not, or that has to be found out in another way, as of compressed values. */
int lzi_write_has_same(struct lzi_call *call, struct lzi_write *write, uint64_t hash);

/* remove.c. */
int lzi_write_erase(struct lzi_call *call, struct lzi_write *write);
/* A new deadline in place, if the record has room for one. LATZ_BUSY if it has not; *ret_unit is where it is, or 0:
 * look again. */
int lzi_write_touch(struct lzi_call *call, struct lzi_write *write, uint64_t *ret_unit);

#endif
