/*
 * Growing the table by one bucket, and mending what a death in the middle left.
 *
 * Order of stores, under `split` and the old bucket's lock: (1) copies into the new bucket, which nobody can reach,
 * each followed by a mark in the original's slot; (2) buckets + 1: readers and writers of the moved keys go there from
 * now on; (3) the marked slots are cleared, empty overflow buckets unlinked. Death before (2): the new bucket is
 * emptied, the marks are taken away. After (2): (3) is done over.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "table/table.h"

/* Whether the slot's key belongs to bucket `number` among n; unknown keys (a damaged record) stay where they are. While
 * a key can't be told for another reason there is no split: it would be looked for in the wrong bucket. */
static int belongs(const struct lzi_table *table, uint64_t slot, uint64_t number, uint64_t n, int *ret_belongs)
{
	uint64_t hash;
	int rc = table->env.hash_of(table->env.arg, lzi_slot_unit(slot), &hash);

	*ret_belongs = rc == LATZ_OK && lzi_bucket_of(hash, n) == number;
	return rc == LATZ_CORRUPT ? LATZ_OK : rc;
}

/* After the split: clears the chain's slots that were copied. They are told by their mark, not by looking at their
 * records: those may be gone by now, overwritten through the new bucket. */
static void sweep(const struct lzi_table *table, struct lzi_bucket *head)
{
	struct lzi_bucket *bucket;
	unsigned i, hops;

	for (bucket = head, hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX;
	     bucket = lzi_table_next(table, bucket), hops++) {
		for (i = 0; i < LZI_SLOTS; i++) {
			if (lzi_load_relaxed(&bucket->slot[i]) & LZI_SLOT_MOVING) {
				lzi_store_release(&bucket->slot[i], 0ull); /* T.2: after the store of `buckets` */
				LZI_POINT("split.cleared_one");
			}
		}
	}
}

/* The split will not be: its marks go. */
static void unmark(const struct lzi_table *table, struct lzi_bucket *head)
{
	struct lzi_bucket *bucket;
	unsigned i, hops;

	for (bucket = head, hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX;
	     bucket = lzi_table_next(table, bucket), hops++) {
		for (i = 0; i < LZI_SLOTS; i++) {
			uint64_t slot = lzi_load_relaxed(&bucket->slot[i]);

			if (slot & LZI_SLOT_MOVING)
				lzi_store_release(&bucket->slot[i], slot & ~LZI_SLOT_MOVING);
		}
	}
}

static int is_empty(const struct lzi_bucket *bucket)
{
	unsigned i;

	for (i = 0; i < LZI_SLOTS; i++) {
		if (lzi_load_relaxed(&bucket->slot[i]) != 0)
			return 0;
	}
	return 1;
}

/* Unlinks and frees the chain's empty overflow buckets. */
static int shorten(struct lzi_table *table, struct lzi_actor *actor, uint32_t index, struct lzi_bucket *head)
{
	struct lzi_bucket *bucket = head, *next;
	unsigned hops;
	int rc;

	for (hops = 0; hops < LZI_CHAIN_MAX && (next = lzi_table_next(table, bucket)) != NULL; hops++) {
		uint64_t header = lzi_load_relaxed(&bucket->header), link = header & LZI_LINK_MASK, first;

		if (!is_empty(next)) {
			bucket = next;
			continue;
		}
		/* T.2: the version first. */
		first = lzi_load_relaxed(&head->header);
		lzi_store_release(&head->header,
		                  (first & ~LZI_VERSION_MASK) | ((first + LZI_VERSION_ONE) & LZI_VERSION_MASK));
		header = lzi_load_relaxed(&bucket->header);
		lzi_store_release(&actor->overflow, link);
		lzi_store_release(&next->header, lzi_load_relaxed(&next->header) | (index + 1) * LZI_VERSION_ONE);
		LZI_POINT("split.unlink");
		lzi_store_release(&bucket->header,
		                  (header & ~LZI_LINK_MASK) | (lzi_load_relaxed(&next->header) & LZI_LINK_MASK));
		LZI_POINT("split.unlinked");
		rc = table->env.overflow_free(table->env.arg, link, 0);
		lzi_store_release(&actor->overflow, 0ull);
		if (rc != LATZ_OK)
			return rc;
	}
	return LATZ_OK;
}

/* Empties a bucket nobody can reach, its overflow buckets included. */
static int discard(struct lzi_table *table, struct lzi_bucket *bucket)
{
	uint64_t link = lzi_load_relaxed(&bucket->header) & LZI_LINK_MASK;
	unsigned hops;
	int rc;

	for (hops = 0; link != 0 && hops < LZI_CHAIN_MAX; hops++) {
		struct lzi_bucket *over = table->env.overflow(table->env.arg, link);
		uint64_t next = over == NULL ? 0 : lzi_load_relaxed(&over->header) & LZI_LINK_MASK;

		lzi_store_release(&bucket->header, next);
		rc = table->env.overflow_free(table->env.arg, link, 0);
		if (rc != LATZ_OK)
			return rc;
		link = next;
	}
	memset(bucket->slot, 0, sizeof bucket->slot);
	lzi_store_release(&bucket->header, 0ull);
	return LATZ_OK;
}

/* Copies, and marks, what belongs to bucket `number` among number + 1 from the chain at `from` to the bucket at `to`.
 */
static int copy(struct lzi_table *table, struct lzi_actor *actor, uint32_t index, struct lzi_bucket *from,
                struct lzi_bucket *to, uint64_t number)
{
	unsigned i, hops;
	uint64_t *slot;
	int moves, rc;

	for (hops = 0; from != NULL && hops < LZI_CHAIN_MAX; from = lzi_table_next(table, from), hops++) {
		for (i = 0; i < LZI_SLOTS; i++) {
			uint64_t word = lzi_load_relaxed(&from->slot[i]);

			if (word == 0)
				continue;
			rc = belongs(table, word, number, number + 1, &moves);
			if (rc != LATZ_OK)
				return rc;
			if (!moves)
				continue;
			rc = lzi_table_room(table, actor, index, to, 0, &slot);
			if (rc != LATZ_OK)
				return rc;
			lzi_store_relaxed(slot, word);
			lzi_store_relaxed(&from->slot[i], word | LZI_SLOT_MOVING);
			LZI_POINT("split.copied_one");
		}
	}
	return LATZ_OK;
}

/* More there can't be: a link to an overflow bucket has 32 bits. */
#define BUCKETS_MAX (1ull << 40)
/* What a bounded pool's table grows by. */
#define GROW_BOUNDED (64u << 10)

/* Makes sure that the file and this process's view reach bucket `number`. */
static int extend(struct lzi_table *table, uint64_t number)
{
	struct lzi_shared *shared = table->shared;
	uint64_t need = (number + 1) * sizeof(struct lzi_bucket), have = lzi_load_relaxed(&shared->table_bytes), more;
	int rc;

	if (need > have) {
		more = have / 8;
		more = (more < LZI_PAGE ? LZI_PAGE : more > (4u << 20) ? 4u << 20 : more) & ~(uint64_t)(LZI_PAGE - 1);
		if (lzi_load_relaxed(&shared->bound.heap_limit) != 0) { /* what is taken here the heap has to give */
			more = more > GROW_BOUNDED ? GROW_BOUNDED : more;
			if (lzi_load_relaxed(&shared->bound.heap_limit) > more + LZI_EXTENT)
				lzi_fetch_sub_relaxed(&shared->bound.heap_limit, more);
		}
		rc = lzi_file_allocate(table->fd, have, more);
		if (rc != LATZ_OK && more > LZI_PAGE)
			rc = lzi_file_allocate(table->fd, have, more = LZI_PAGE);
		if (rc != LATZ_OK)
			return rc;
		LZI_POINT("split.allocated");
		/* Pairs with lzi_table_view(), which looks at the file's size after it. */
		lzi_store_release(&shared->table_bytes, have + more);
	}
	if (lzi_table_bucket(table, number) != NULL)
		return LATZ_OK;
	pthread_mutex_lock(&table->widen);
	rc = lzi_map_grow(&table->map, need);
	pthread_mutex_unlock(&table->widen);
	return rc;
}

static int split_locked(struct lzi_table *table, struct lzi_actor *actor, uint32_t index)
{
	struct lzi_shared *shared = table->shared;
	uint64_t number = lzi_load_relaxed(&shared->buckets), parent;
	struct lzi_bucket *from, *to = NULL;
	int rc = number == 0 || number > BUCKETS_MAX ? LATZ_CORRUPT : extend(table, number);

	if (rc == LATZ_OK)
		to = lzi_table_bucket(table, number);
	if (to == NULL)
		return rc != LATZ_OK && rc != LATZ_CORRUPT
		               ? rc
		               : lzi_error(LATZ_CORRUPT, "the table is claimed to have %llu buckets",
		                           (unsigned long long)number);
	parent = number - (1ull << (63 - __builtin_clzll(number)));
	lzi_store_relaxed(&actor->record_new, number);
	/* A hash that is `parent` in all low bits selects that bucket for any number of buckets it has had so far. */
	rc = lzi_table_lock(table, actor, index, parent, &from);
	if (rc != LATZ_OK)
		return rc;
	lzi_store_release(&actor->kind, (uint32_t)LZI_INTENT_SPLIT);
	LZI_POINT("split.begun");
	rc = copy(table, actor, index, from, to, number);
	if (rc != LATZ_OK) {
		(void)discard(table, to);
		unmark(table, from);
	} else {
		LZI_POINT("split.copied");
		lzi_store_release(&shared->buckets, number + 1); /* pairs with every load of `buckets` */
		LZI_POINT("split.published");
		sweep(table, from);
		LZI_POINT("split.swept");
		rc = shorten(table, actor, index, from);
	}
	lzi_store_release(&actor->kind, (uint32_t)LZI_INTENT_NONE);
	lzi_table_unlock(actor, from);
	return rc;
}

int lzi_table_presize(struct lzi_table *table, uint64_t buckets)
{
	struct lzi_shared *shared = table->shared;
	uint64_t bytes = (buckets * sizeof(struct lzi_bucket) + LZI_PAGE - 1) & ~(uint64_t)(LZI_PAGE - 1);
	int rc;

	if (buckets <= shared->buckets || bytes <= shared->table_bytes)
		return LATZ_OK;
	rc = lzi_file_allocate(table->fd, 0, bytes);
	if (rc != LATZ_OK)
		return rc;
	lzi_store_release(&shared->table_bytes, bytes);
	pthread_mutex_lock(&table->widen);
	rc = lzi_map_grow(&table->map, bytes);
	pthread_mutex_unlock(&table->widen);
	if (rc == LATZ_OK)
		lzi_store_release(&shared->buckets, buckets);
	return rc;
}

int lzi_table_split(struct lzi_table *table, struct lzi_actor *actor, uint32_t index)
{
	int rc = lzi_mutex_lock(&table->shared->split, 0, "split");

	if (rc < 0)
		return LATZ_OK; /* somebody else is splitting, or was stopped while it did: the table grows later */
	rc = split_locked(table, actor, index);
	lzi_mutex_unlock(&table->shared->split);
	return rc == LATZ_NOSPC || rc == LATZ_NOMEM ? LATZ_OK : rc;
}

static int in_chain(const struct lzi_table *table, const struct lzi_bucket *bucket, uint64_t link)
{
	unsigned hops;

	for (hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX; bucket = lzi_table_next(table, bucket), hops++) {
		if ((lzi_load_relaxed(&bucket->header) & LZI_LINK_MASK) == link)
			return 1;
	}
	return 0;
}

int lzi_table_mend(struct lzi_table *table, struct lzi_actor *actor, uint32_t index, struct lzi_bucket *bucket)
{
	uint64_t n = lzi_load_acquire(&table->shared->buckets), number = lzi_load_relaxed(&actor->record_new);
	uint64_t link = lzi_load_relaxed(&actor->overflow);
	struct lzi_bucket *to;
	int rc = LATZ_OK;

	if (lzi_load_relaxed(&actor->kind) == LZI_INTENT_SPLIT) {
		to = lzi_table_bucket(table, number);
		if (to == NULL && extend(table, number) == LATZ_OK)
			to = lzi_table_bucket(table, number);
		if (to == NULL)
			return lzi_error(LATZ_CORRUPT, "a split left bucket %llu past the table",
			                 (unsigned long long)number);
		if (link != 0 && (in_chain(table, bucket, link) || (n <= number && in_chain(table, to, link))))
			link = 0;
		if (n <= number) {
			rc = discard(table, to);
			unmark(table, bucket);
		} else {
			sweep(table, bucket);
		}
	} else if (link != 0 && in_chain(table, bucket, link)) {
		link = 0;
	}
	if (rc == LATZ_OK && link != 0)
		rc = table->env.overflow_free(table->env.arg, link, index + 1);
	if (rc == LATZ_OK)
		lzi_store_release(&actor->overflow, 0ull);
	return rc;
}
