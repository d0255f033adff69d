/*
 * Buckets: views, locking, room for a slot.
 */
#include "config.h"

#include "table/table.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"

#define VIEW_FIRST (16ull << 20)
#define SPINS_BEFORE_ASKING 1000u
#define SLEEP_US 100u

int lzi_table_create(int fd, struct lzi_shared *shared)
{
	int rc = lzi_file_allocate(fd, 0, LZI_PAGE);

	if (rc != LATZ_OK)
		return rc;
	shared->buckets = 1;
	shared->table_bytes = LZI_PAGE;
	return LATZ_OK;
}

int lzi_table_open(struct lzi_table *table, struct lzi_shared *shared, int fd, unsigned timeout_ms, int writable)
{
	int rc;

	table->shared = shared;
	table->fd = fd;
	table->timeout_ms = timeout_ms;
	pthread_mutex_init(&table->widen, NULL);
	rc = lzi_map_open(&table->map, fd, VIEW_FIRST, writable);
	return rc == LATZ_OK ? lzi_table_view(table) : rc;
}

void lzi_table_close(struct lzi_table *table)
{
	lzi_map_close(&table->map);
	lzi_file_close(table->fd);
	table->fd = -1;
}

int lzi_table_view(struct lzi_table *table)
{
	/* What the file must hold is read before its size: it only grows. */
	uint64_t n = lzi_load_acquire(&table->shared->buckets), bytes = lzi_load_acquire(&table->shared->table_bytes);
	uint64_t size;
	int rc = lzi_file_size(table->fd, &size);

	if (rc != LATZ_OK)
		return rc;
	if (bytes > size) /* splits go by it: they would use memory that is not there */
		return lzi_error(LATZ_CORRUPT, "table file of %llu bytes is claimed to have %llu",
		                 (unsigned long long)size, (unsigned long long)bytes);
	if (n < 1 || n > size / sizeof(struct lzi_bucket))
		return lzi_error(LATZ_CORRUPT, "table file of %llu bytes cannot hold %llu buckets",
		                 (unsigned long long)size, (unsigned long long)n);
	pthread_mutex_lock(&table->widen);
	rc = lzi_map_grow(&table->map, n * sizeof(struct lzi_bucket));
	pthread_mutex_unlock(&table->widen);
	return rc;
}

/* Waits for a bucket to be unlocked by `owner`. LATZ_OK: look again. An owner who says that he is there has the whole
 * timeout, however much of the call's patience went on words that nobody stands by. */
static int ask_owner(struct lzi_table *table, const struct lzi_bucket *bucket, uint64_t number, uint64_t header,
                     uint64_t since_ns)
{
	uint32_t owner = (uint32_t)(header >> LZI_OWNER_SHIFT) - 1;
	uint64_t waited_ns;
	unsigned i;
	int rc;

	for (i = 0; i < SPINS_BEFORE_ASKING; i++) {
		if (lzi_load_relaxed(&bucket->header) >> LZI_OWNER_SHIFT != owner + 1)
			return LATZ_OK;
		lzi_pause();
	}
	rc = table->env.owner_dead(table->env.arg, owner);
	if (rc != 0)
		return rc < 0 ? rc : LATZ_OK;
	waited_ns = lzi_clock_mono_ns() - since_ns;
	if (waited_ns > (uint64_t)table->timeout_ms * 1000000 ||
	    (waited_ns >= lzi_wait_left_ns(table->timeout_ms) &&
	     !table->env.owner_stands_by(table->env.arg, owner, number))) {
		lzi_wait_charge(since_ns);
		return lzi_error(LATZ_TIMEOUT, "waited %llu ms for a bucket held by process %u",
		                 (unsigned long long)(waited_ns / 1000000),
		                 table->env.owner_pid(table->env.arg, owner));
	}
	lzi_sleep_us(SLEEP_US);
	return LATZ_OK;
}

/* The same, counted. *since_ns: when the wait began; 0: now. */
static LZI_NOINLINE int wait_owner(struct lzi_table *table, struct lzi_actor *actor, const struct lzi_bucket *bucket,
                                   uint64_t number, uint64_t header, uint64_t *since_ns)
{
	uint64_t begun = lzi_clock_mono_ns();
	int rc;

	if (*since_ns == 0) {
		*since_ns = begun;
		lzi_bump_relaxed(&actor->bucket_waits, 1ull);
	}
	rc = ask_owner(table, bucket, number, header, *since_ns);
	lzi_bump_relaxed(&actor->bucket_wait_ns, lzi_clock_mono_ns() - begun);
	return rc;
}

/* Locks primary bucket number `number`. */
static inline int lock_bucket(struct lzi_table *table, struct lzi_actor *actor, uint32_t index, uint64_t number,
                              struct lzi_bucket **ret_bucket, uint64_t *since_ns)
{
	struct lzi_bucket *bucket = lzi_table_bucket(table, number);
	uint64_t header;
	int rc;

	if (lzi_unlikely(bucket == NULL)) {
		rc = lzi_table_view(table);
		if (rc != LATZ_OK)
			return rc;
		bucket = lzi_table_bucket(table, number);
		if (bucket == NULL)
			return lzi_error(LATZ_CORRUPT, "bucket %llu is past the table", (unsigned long long)number);
	}
	/* Said before the lock is taken: a reaper finds every lock from here. The cas below and its fence are a full
	 * barrier, which pairs with lzi_fetch_add(clock) of a scan, which then looks who is writing. */
	lzi_store_release(&actor->bucket, number * sizeof *bucket + 1);
	for (;;) {
		header = lzi_load_relaxed(&bucket->header);
		if (lzi_likely(header >> LZI_OWNER_SHIFT == 0)) {
			if (lzi_likely(lzi_cas_acquire(&bucket->header, &header,
			                               header | (uint64_t)(index + 1) << LZI_OWNER_SHIFT))) {
				lzi_fence_after_cas();
				break;
			}
			continue;
		}
		rc = wait_owner(table, actor, bucket, number, header, since_ns);
		if (rc != LATZ_OK) {
			lzi_store_release(&actor->bucket, 0ull);
			return rc;
		}
	}
	*ret_bucket = bucket;
	return LATZ_OK;
}

int lzi_table_lock(struct lzi_table *table, struct lzi_actor *actor, uint32_t index, uint64_t hash,
                   struct lzi_bucket **ret_bucket)
{
	uint64_t since_ns = 0;
	int rc;

	for (;;) {
		uint64_t n = lzi_load_acquire(&table->shared->buckets), number = lzi_bucket_of(hash, n), now;

		rc = lock_bucket(table, actor, index, number, ret_bucket, &since_ns);
		if (rc != LATZ_OK)
			return rc;
		/* A split may have moved the hash before we had the lock; with it, nothing moves. */
		now = lzi_load_acquire(&table->shared->buckets);
		if (lzi_likely(now == n) || lzi_bucket_of(hash, now) == number)
			break;
		lzi_table_unlock(actor, *ret_bucket);
	}
	LZI_POINT("bucket.locked");
	return LATZ_OK;
}

int lzi_table_lock_number(struct lzi_table *table, struct lzi_actor *actor, uint32_t index, uint64_t number,
                          struct lzi_bucket **ret_bucket)
{
	uint64_t since_ns = 0;

	return lock_bucket(table, actor, index, number, ret_bucket, &since_ns);
}

static inline void unlock_bucket(struct lzi_bucket *bucket)
{
	uint64_t header = lzi_load_relaxed(&bucket->header);

	lzi_store_release(&bucket->header,
	                  header & ~(0xffffull << LZI_OWNER_SHIFT)); /* pairs with the cas in lock_bucket() */
	LZI_POINT("bucket.unlocked");
}

void lzi_table_unlock(struct lzi_actor *actor, struct lzi_bucket *bucket)
{
	unlock_bucket(bucket);
	lzi_store_release(&actor->bucket, 0ull);
}

void lzi_table_unlock_one(struct lzi_bucket *bucket)
{
	unlock_bucket(bucket);
}

/* An empty slot in the chain from `bucket` on, behind `skip` others; else NULL and the chain's end. */
static uint64_t *empty_slot(const struct lzi_table *table, struct lzi_bucket *bucket, unsigned skip,
                            struct lzi_bucket **ret_last)
{
	unsigned i, hops;

	for (hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX; hops++) {
		for (i = 0; i < LZI_SLOTS; i++) {
			if (lzi_load_relaxed(&bucket->slot[i]) == 0 && skip-- == 0)
				return &bucket->slot[i];
		}
		*ret_last = bucket;
		bucket = lzi_table_next(table, bucket);
	}
	return NULL;
}

int lzi_table_room(struct lzi_table *table, struct lzi_actor *actor, uint32_t index, struct lzi_bucket *bucket,
                   unsigned skip, uint64_t **ret_slot)
{
	struct lzi_bucket *last = bucket, *more;
	uint64_t link;
	int rc;

	*ret_slot = empty_slot(table, bucket, skip, &last);
	if (*ret_slot != NULL)
		return LATZ_OK;
	rc = table->env.overflow_take(table->env.arg, index, &actor->overflow, &link);
	if (rc != LATZ_OK)
		return rc;
	more = table->env.overflow(table->env.arg, link);
	if (more == NULL)
		return lzi_error(LATZ_CORRUPT, "overflow bucket is past the heap");
	LZI_POINT("overflow.loose");
	lzi_store_release(&last->header, lzi_load_relaxed(&last->header) | link); /* pairs with lzi_table_next() */
	LZI_POINT("overflow.linked");
	lzi_store_release(&more->header, LZI_OVERFLOW_MARK << LZI_OWNER_SHIFT); /* not loose any more */
	lzi_store_release(&actor->overflow, 0ull);
	*ret_slot = &more->slot[0]; /* who skips has had all there were */
	return LATZ_OK;
}
