/*
 * Namespaces: the book, that is what they are called and what they may have; making and dropping them; collecting the
 * keys of those dropped. The book is made of records of namespace 0, so log, snapshots and images carry it:
 *
 *   n NAME          number, bounds, time to live
 *   d NUMBER        was dropped, and may have keys left: a list of things to do
 *   i               the last number given out
 *   a               the age that no key of the pool passes, 8 bytes, little-endian
 *
 * A namespace is there as long as its name's record says its number: writing that record makes it, deleting it drops
 * it, all at once, whatever it holds. Then nobody sees its keys any more: a name made anew gets a new number.
 * Everything else follows: slots in the file `spaces` (what writers look at), and the keys of numbers that no name has.
 */
#include "config.h"

#include "store/retain.h"
#include "store/audit.h"
#include "store/space.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"

#define BOOK_KEY_MAX (LZI_SPACE_PREFIX + 1 + LZI_SPACE_NAME_MAX)
#define ENTRY_SIZE 40u
#define ENTRY_SIZE_OLD 32u /* without max_age_ms */

/* A name's record: little-endian. */
struct entry {
	uint32_t number;      /* 4 */
	uint32_t policy;      /* 1 */
	uint64_t max_bytes;   /* 8 */
	uint64_t max_entries; /* 16 */
	int64_t ttl_ms;       /* 24 */
	int64_t max_age_ms;   /* 32 */
};

static void put_number(uint8_t *to, uint64_t value, unsigned bytes)
{
	unsigned i;

	for (i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_number(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;
	unsigned i;

	for (i = 0; i < bytes; i++)
		value |= (uint64_t)from[i] << 8 * i;
	return value;
}

static void entry_make(const struct entry *entry, uint8_t bytes[ENTRY_SIZE])
{
	memset(bytes, 0, ENTRY_SIZE);
	bytes[0] = 1;
	bytes[1] = (uint8_t)entry->policy;
	put_number(bytes + 4, entry->number, 4);
	put_number(bytes + 8, entry->max_bytes, 8);
	put_number(bytes + 16, entry->max_entries, 8);
	put_number(bytes + 24, (uint64_t)entry->ttl_ms, 8);
	put_number(bytes + 32, (uint64_t)entry->max_age_ms, 8);
}

static int entry_parse(const uint8_t *bytes, size_t size, struct entry *ret_entry)
{
	if (size < ENTRY_SIZE_OLD || bytes[0] != 1)
		return lzi_error(LATZ_CORRUPT, "the record of a namespace is damaged");
	ret_entry->policy = bytes[1];
	ret_entry->number = (uint32_t)get_number(bytes + 4, 4);
	ret_entry->max_bytes = get_number(bytes + 8, 8);
	ret_entry->max_entries = get_number(bytes + 16, 8);
	ret_entry->ttl_ms = (int64_t)get_number(bytes + 24, 8);
	ret_entry->max_age_ms = size < ENTRY_SIZE ? 0 : (int64_t)get_number(bytes + 32, 8);
	if (ret_entry->max_age_ms < 0 || ret_entry->max_age_ms > LZI_TTL_MAX_MS)
		ret_entry->max_age_ms = 0;
	return LATZ_OK;
}

/* ---- Records of the book ---- */

static latz_slice book_key(uint8_t to[BOOK_KEY_MAX], char kind, const void *rest, size_t size)
{
	lzi_space_prefix(0, to);
	to[LZI_SPACE_PREFIX] = (uint8_t)kind;
	if (size > 0)
		memcpy(to + LZI_SPACE_PREFIX + 1, rest, size);
	return (latz_slice){ to, LZI_SPACE_PREFIX + 1 + size };
}

static latz_slice name_key(uint8_t to[BOOK_KEY_MAX], const char *name)
{
	return book_key(to, 'n', name, strnlen(name, LZI_SPACE_NAME_MAX));
}

static latz_slice doom_key(uint8_t to[BOOK_KEY_MAX], uint32_t number)
{
	uint8_t bytes[4] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
		             (uint8_t)number };

	return book_key(to, 'd', bytes, sizeof bytes);
}

static int book_write(struct lzi_call *call, latz_slice key, const void *value, size_t size)
{
	struct lzi_write write = {
		.kind = LZI_WRITE_SET, .key = key, .value = { value, size }, .type = LATZ_BYTES, .ttl_ms = -1
	};

	lzi_space_mark_high(call->store);
	return lzi_store_write(call, &write);
}

static int book_erase(struct lzi_call *call, latz_slice key)
{
	struct lzi_write write = { .kind = LZI_WRITE_DELETE, .key = key };
	int rc = lzi_store_write(call, &write);

	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
}

/* LATZ_NOTFOUND: there is no namespace of that name. */
static int book_read(struct lzi_call *call, const char *name, struct entry *ret_entry)
{
	latz_value value = LATZ_VALUE_INIT;
	uint8_t key[BOOK_KEY_MAX];
	int rc = lzi_store_get_own(call, name_key(key, name), &value);

	if (rc == LATZ_OK)
		rc = entry_parse(value.data, value.size, ret_entry);
	latz_value_free(&value);
	return rc;
}

static int next_number(struct lzi_call *call, uint32_t *ret_number)
{
	uint8_t key[BOOK_KEY_MAX];
	struct lzi_write write = {
		.kind = LZI_WRITE_INCREMENT, .key = book_key(key, 'i', NULL, 0), .type = LATZ_INT, .by = 1, .ttl_ms = -1
	};
	int rc;

	lzi_space_mark_high(call->store);
	rc = lzi_store_write(call, &write);
	if (rc == LATZ_OK && (write.sum <= 0 || write.sum > UINT32_MAX))
		rc = lzi_error(LATZ_FULL, "there is no number left for another namespace");
	*ret_number = (uint32_t)write.sum;
	return rc;
}

int lzi_space_undoom(struct lzi_call *call, uint32_t number)
{
	uint8_t key[BOOK_KEY_MAX];

	return book_erase(call, doom_key(key, number));
}

/* ---- Slots that follow ---- */

static int claim(struct lzi_call *call, uint32_t number, struct lzi_space **ret_space)
{
	struct lzi_store *store = call->store;
	int rc = lzi_mutex_lock_patient(&store->control.shared->heap, store->control.timeout_ms, "the heap",
	                                &store->control.shared->image_beat);

	if (rc < 0)
		return rc;
	if (rc == LZI_OWNER_DIED) /* which its next holder mends */
		lzi_store_release(&store->control.shared->heap_repair, 1u);
	*ret_space = lzi_space_claim(store, number);
	lzi_mutex_unlock(&store->control.shared->heap);
	return *ret_space != NULL ? LATZ_OK
	                          : lzi_error(LATZ_FULL, "the pool has %u namespaces, those included that were dropped "
	                                                 "and whose keys have not all gone yet",
	                                      LZI_SPACES_MAX);
}

static void release_slot(struct lzi_store *store, struct lzi_space *space)
{
	lzi_space_wipe(store, lzi_space_index(store, space));
	lzi_store_relaxed(&space->state, (uint32_t)LZI_SPACE_NONE);
	LZI_POINT("space.wiped");
	lzi_store_release(&space->number, 0u);
}

static void doom(struct lzi_store *store, struct lzi_space *space)
{
	lzi_store_release(&space->state, (uint32_t)LZI_SPACE_DROPPED);
	lzi_store_release(&store->control.shared->spaces.doomed, 1u);
}

static int apply(struct lzi_call *call, struct lzi_space *space, const struct entry *entry)
{
	lzi_store_relaxed(&space->max_bytes, entry->max_bytes);
	lzi_store_relaxed(&space->max_entries, entry->max_entries);
	lzi_store_relaxed(&space->policy, entry->policy);
	lzi_store_relaxed(&space->ttl_ms, entry->ttl_ms);
	if (entry->max_age_ms != 0) {
		lzi_fetch_or(&call->store->control.shared->watch, (uint32_t)LZI_WATCH_RETAIN);
		lzi_fetch_or(&call->store->control.shared->retain.due, LZI_RETAIN_SWEEP);
	}
	lzi_store_seq_cst(&space->max_age_ms, entry->max_age_ms);
	if (entry->max_age_ms != 0) /* a sweep in between went by the old age */
		lzi_fetch_or(&call->store->control.shared->retain.due, LZI_RETAIN_SWEEP);
	return lzi_space_settle_queue(call, space);
}

static void call_it(struct lzi_space *space, const void *name, size_t size)
{
	memset(space->name, 0, sizeof space->name);
	memcpy(space->name, name, size < sizeof space->name ? size : sizeof space->name);
}

/* Who was making or dropping one died: the book tells how far he came. */
static int mend_slots(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	int rc = LATZ_OK;
	uint32_t i;

	for (i = 0; i < LZI_SPACES_MAX && rc == LATZ_OK; i++) {
		struct lzi_space *space = lzi_space_slot(store, i);
		uint32_t state = lzi_load_relaxed(&space->state);
		char name[LZI_SPACE_NAME_MAX + 1] = "";
		struct entry entry = { .number = 0 };
		uint8_t key[BOOK_KEY_MAX];

		if (state != LZI_SPACE_MAKING && state != LZI_SPACE_DROPPING)
			continue;
		memcpy(name, space->name, LZI_SPACE_NAME_MAX);
		rc = name[0] == '\0' ? LATZ_NOTFOUND : book_read(call, name, &entry);
		if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
			break;
		rc = LATZ_OK;
		if (entry.number == space->number) {
			if (state == LZI_SPACE_DROPPING)
				rc = book_erase(call, doom_key(key, space->number));
			if (rc == LATZ_OK)
				rc = apply(call, space, &entry);
			lzi_store_release(&space->state, (uint32_t)LZI_SPACE_LIVE);
		} else if (state == LZI_SPACE_MAKING) {
			release_slot(store, space);
		} else {
			doom(store, space);
		}
		LZI_POINT("space.mended");
	}
	return rc;
}

/* ---- Reading the whole book: the pool was restored ---- */

static int settle_name(struct lzi_call *call, const uint8_t *name, size_t size, const latz_value *value)
{
	struct lzi_space *space;
	struct entry entry;
	int rc = entry_parse(value->data, value->size, &entry);

	if (rc == LATZ_OK)
		rc = claim(call, entry.number, &space);
	if (rc == LATZ_OK)
		rc = apply(call, space, &entry);
	if (rc != LATZ_OK)
		return rc;
	call_it(space, name, size);
	lzi_store_release(&space->state, (uint32_t)LZI_SPACE_LIVE);
	return LATZ_OK;
}

/* A number to be collected: unless the drop did not come to pass. */
static int settle_doom(struct lzi_call *call, uint32_t number)
{
	struct lzi_space *space;
	uint8_t key[BOOK_KEY_MAX];
	int rc = claim(call, number, &space);

	if (rc != LATZ_OK)
		return rc;
	if (lzi_load_relaxed(&space->state) == LZI_SPACE_LIVE)
		return book_erase(call, doom_key(key, number));
	doom(call->store, space);
	return LATZ_OK;
}

/* Entries of one kind. */
static int settle_kind(struct lzi_call *call, char kind)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	uint8_t prefix[BOOK_KEY_MAX];
	struct lzi_scan *scan;
	latz_slice key;
	int rc;

	options.prefix = book_key(prefix, kind, NULL, 0);
	rc = lzi_scan_open(call, &options, &scan);
	if (rc != LATZ_OK)
		return rc;
	while ((rc = lzi_scan_next(call, scan, &key, &value)) == LATZ_OK) {
		const uint8_t *rest = (const uint8_t *)key.data + LZI_SPACE_PREFIX + 1;
		size_t size = key.size - LZI_SPACE_PREFIX - 1;

		if (kind == 'n')
			rc = settle_name(call, rest, size, &value);
		else if (size == 4)
			rc = settle_doom(call, (uint32_t)rest[0] << 24 | (uint32_t)rest[1] << 16 |
			                               (uint32_t)rest[2] << 8 | rest[3]);
		if (rc != LATZ_OK)
			break;
	}
	lzi_scan_close(scan);
	latz_value_free(&value);
	return rc == LATZ_DONE ? LATZ_OK : rc;
}

/* The pool's age, as it was before the restart: unless it was made with another. */
static int settle_age(struct lzi_call *call)
{
	struct lzi_shared *shared = call->store->control.shared;
	latz_value value = LATZ_VALUE_INIT;
	uint8_t key[BOOK_KEY_MAX];
	int rc = lzi_store_get_own(call, book_key(key, 'a', NULL, 0), &value);
	int64_t age = rc == LATZ_OK && value.size == 8 ? (int64_t)get_number(value.data, 8) : 0;

	latz_value_free(&value);
	if (age > 0 && age <= LZI_TTL_MAX_MS && lzi_load_relaxed(&shared->retain.max_age_ms) == 0) {
		lzi_fetch_or(&shared->watch, (uint32_t)LZI_WATCH_RETAIN);
		lzi_fetch_or(&shared->retain.due, LZI_RETAIN_SWEEP);
		lzi_store_seq_cst(&shared->retain.max_age_ms, age);
	}
	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
}

static int settle(struct lzi_call *call)
{
	uint32_t i;
	int rc = settle_age(call);

	if (rc == LATZ_OK)
		rc = settle_kind(call, 'n');

	if (rc == LATZ_OK)
		rc = settle_kind(call, 'd');
	/* Keys of a number that nobody knows: a log brought them back behind the drop. */
	for (i = 0; i < LZI_SPACES_MAX && rc == LATZ_OK; i++) {
		struct lzi_space *space = lzi_space_slot(call->store, i);

		if (lzi_load_relaxed(&space->number) != 0 && lzi_load_relaxed(&space->state) == LZI_SPACE_LOADED)
			doom(call->store, space);
	}
	if (rc == LATZ_OK)
		lzi_store_release(&call->store->control.shared->spaces.settle, 0u);
	return rc;
}

/* ---- The lock ---- */

static void unlock(struct lzi_call *call)
{
	if (!call->store->reads_only)
		lzi_mutex_unlock(&call->store->control.shared->spaces.mutex);
}

/* Ends with the mutex held, and slots that say what the book says. wait: else LATZ_BUSY at once. */
static int lock(struct lzi_call *call, int wait)
{
	struct lzi_store *store = call->store;
	struct lzi_spaces *spaces = &store->control.shared->spaces;
	int died, rc;

	if (store->reads_only) /* who sees a slot LIVE sees its name, and a name's number comes from its record */
		return lzi_load_acquire(&spaces->settle) == 0
		               ? lzi_space_open(store)
		               : lzi_error(LATZ_BUSY, "the pool was restored, and its namespaces are not in place yet");
	rc = wait ? lzi_mutex_lock_patient(&spaces->mutex, store->control.timeout_ms, "namespaces",
	                                   &store->control.shared->heartbeat)
	          : lzi_mutex_lock(&spaces->mutex, 0, "namespaces");
	if (rc < 0)
		return rc;
	died = rc == LZI_OWNER_DIED;
	rc = lzi_space_open(store);
	if (rc == LATZ_OK && died)
		rc = mend_slots(call);
	if (rc == LATZ_OK && lzi_load_acquire(&spaces->settle))
		rc = settle(call);
	if (rc != LATZ_OK)
		unlock(call);
	return rc;
}

void lzi_space_rest(struct lzi_call *call)
{
	const struct lzi_spaces *spaces = &call->store->control.shared->spaces;
	int rc;

	if (lzi_likely(lzi_load_acquire(&spaces->ready) == 0 && lzi_load_acquire(&spaces->settle) == 0))
		return;
	rc = lock(call, 0);
	if (rc == LATZ_OK)
		unlock(call);
	else if (rc != LATZ_BUSY && rc != LATZ_TIMEOUT)
		lzi_log(LATZ_LOG_INFO, "%s: namespaces: %s", call->store->name, lzi_error_text());
}

/* ---- Making, changing, dropping ---- */

static int make(struct lzi_call *call, const char *name, struct lzi_space **ret_space)
{
	struct entry entry = { .policy = LATZ_POLICY_DEFAULT };
	uint8_t key[BOOK_KEY_MAX], bytes[ENTRY_SIZE];
	int rc = lzi_audit_say_text(call->store, "namespace", "namespace", name);

	if (rc == LATZ_OK)
		rc = next_number(call, &entry.number);

	LZI_POINT("space.number");
	if (rc == LATZ_OK)
		rc = claim(call, entry.number, ret_space);
	if (rc != LATZ_OK)
		return rc;
	lzi_store_release(&(*ret_space)->state, (uint32_t)LZI_SPACE_MAKING);
	call_it(*ret_space, name, strlen(name));
	LZI_POINT("space.making");
	entry_make(&entry, bytes);
	rc = book_write(call, name_key(key, name), bytes, sizeof bytes); /* it is there from here on */
	LZI_POINT("space.made");
	if (rc == LATZ_OK)
		lzi_store_release(&(*ret_space)->state, (uint32_t)LZI_SPACE_LIVE);
	else
		release_slot(call->store, *ret_space);
	return rc;
}

int lzi_space_enter(struct lzi_call *call, const char *name, int may_make, uint32_t *ret_number, uint32_t *ret_slot)
{
	struct lzi_space *space = NULL;
	struct entry entry;
	int rc = lock(call, 1);

	if (rc != LATZ_OK)
		return rc;
	rc = book_read(call, name, &entry);
	if (rc == LATZ_OK) {
		space = lzi_space_find(call->store, entry.number);
		if (space == NULL)
			rc = lzi_error(LATZ_CORRUPT, "namespace %s has no slot", name);
	} else if (rc == LATZ_NOTFOUND && may_make) {
		rc = make(call, name, &space);
	}
	if (rc == LATZ_OK) {
		*ret_number = lzi_load_relaxed(&space->number);
		*ret_slot = lzi_space_index(call->store, space);
	}
	unlock(call);
	return rc;
}

static int say_limits(struct lzi_call *call, const char *name, const struct entry *entry)
{
	struct lzi_audit_note note;
	struct lzi_audit_text *text = lzi_audit_note(&note);

	lzi_audit_member(text, "namespace", name, strlen(name));
	lzi_audit_number(text, "max_bytes", entry->max_bytes);
	lzi_audit_number(text, "max_entries", entry->max_entries);
	lzi_audit_number(text, "policy", entry->policy);
	lzi_audit_number(text, "max_age_ms", (uint64_t)entry->max_age_ms);
	return lzi_audit_say(call->store, "limit", &note);
}

/* bounds NULL: only max_age_ms is another; it is -1 if it is not. */
static int change(struct lzi_call *call, uint32_t number, const struct lzi_space_bounds *bounds, int64_t max_age_ms)
{
	struct lzi_space *space;
	struct entry entry = { .number = number };
	uint8_t key[BOOK_KEY_MAX], bytes[ENTRY_SIZE];
	char name[LZI_SPACE_NAME_MAX + 1] = "";
	int rc = lock(call, 1);

	if (rc != LATZ_OK)
		return rc;
	space = lzi_space_find(call->store, number);
	if (space == NULL || lzi_load_relaxed(&space->state) != LZI_SPACE_LIVE)
		rc = lzi_error(LATZ_DEAD, "the namespace was dropped");
	if (rc == LATZ_OK) {
		memcpy(name, space->name, LZI_SPACE_NAME_MAX);
		entry.policy = bounds == NULL ? lzi_load_relaxed(&space->policy) : (uint32_t)bounds->policy;
		entry.max_bytes = bounds == NULL ? lzi_load_relaxed(&space->max_bytes) : bounds->max_bytes;
		entry.max_entries = bounds == NULL ? lzi_load_relaxed(&space->max_entries) : bounds->max_entries;
		entry.ttl_ms = bounds == NULL ? lzi_load_relaxed(&space->ttl_ms) : bounds->ttl_ms;
		entry.max_age_ms = max_age_ms < 0 ? lzi_load_relaxed(&space->max_age_ms) : max_age_ms;
		rc = say_limits(call, name, &entry);
	}
	if (rc == LATZ_OK) {
		entry_make(&entry, bytes);
		rc = book_write(call, name_key(key, name), bytes, sizeof bytes);
	}
	LZI_POINT("space.limited");
	/* If we die here, who comes next finds the slot as it was: bounds hold from the next restart on, or from when
	 * they are set again. */
	if (rc == LATZ_OK)
		rc = apply(call, space, &entry);
	unlock(call);
	if (rc == LATZ_OK)
		rc = lzi_space_trim(call, number);
	return rc == LATZ_OK && max_age_ms > 0 ? lzi_retain_sweep(call) : rc;
}

int lzi_space_limit(struct lzi_call *call, uint32_t number, const struct lzi_space_bounds *bounds)
{
	return change(call, number, bounds, bounds->max_age_ms);
}

int lzi_space_retain(struct lzi_call *call, uint32_t number, int64_t max_age_ms)
{
	return change(call, number, NULL, max_age_ms);
}

int lzi_space_note_age(struct lzi_call *call, int64_t max_age_ms)
{
	struct lzi_shared *shared = call->store->control.shared;
	uint8_t key[BOOK_KEY_MAX], bytes[8];
	int rc = lock(call, 1);

	if (rc != LATZ_OK)
		return rc;
	if (max_age_ms < 0)
		max_age_ms = lzi_load_relaxed(&shared->retain.max_age_ms);
	put_number(bytes, (uint64_t)max_age_ms, sizeof bytes);
	/* The record is no key that users know of, as long as there is an age: who dies between the two stores leaves
	 * this, and maintenance makes them agree. */
	lzi_fetch_or(&shared->retain.due, LZI_RETAIN_SETS);
	rc = max_age_ms == 0 ? book_erase(call, book_key(key, 'a', NULL, 0))
	                     : book_write(call, book_key(key, 'a', NULL, 0), bytes, sizeof bytes);
	LZI_POINT("retain.noted");
	if (rc == LATZ_OK && max_age_ms != 0) {
		lzi_fetch_or(&shared->watch, (uint32_t)LZI_WATCH_RETAIN);
		lzi_fetch_or(&shared->retain.due, LZI_RETAIN_SWEEP);
	}
	if (rc == LATZ_OK) {
		lzi_store_seq_cst(&shared->retain.max_age_ms, max_age_ms);
		if (max_age_ms != 0) /* a sweep in between went by the old age */
			lzi_fetch_or(&shared->retain.due, LZI_RETAIN_SWEEP);
		lzi_fetch_and(&shared->retain.due, ~(LZI_RETAIN_SETS | LZI_RETAIN_NOTE));
	}
	LZI_POINT("retain.set");
	unlock(call);
	return rc;
}

int lzi_space_drop(struct lzi_call *call, const char *name)
{
	struct lzi_space *space = NULL;
	struct entry entry;
	uint8_t key[BOOK_KEY_MAX];
	int rc = lock(call, 1);

	if (rc != LATZ_OK)
		return rc;
	rc = book_read(call, name, &entry);
	if (rc == LATZ_OK)
		rc = lzi_audit_say_text(call->store, "drop", "namespace", name);
	if (rc == LATZ_OK)
		rc = claim(call, entry.number, &space);
	if (rc != LATZ_OK) {
		unlock(call);
		return rc;
	}
	lzi_store_release(&space->state, (uint32_t)LZI_SPACE_DROPPING);
	LZI_POINT("space.dropping");
	rc = book_write(call, doom_key(key, entry.number), "", 0);
	LZI_POINT("space.doomed");
	if (rc == LATZ_OK)
		rc = book_erase(call, name_key(key, name)); /* it is not there from here on */
	LZI_POINT("space.dropped");
	if (rc == LATZ_OK)
		doom(call->store, space);
	else
		lzi_store_release(&space->state, (uint32_t)LZI_SPACE_LIVE);
	unlock(call);
	return rc;
}

/* ---- What there is ---- */

static void tell_of(struct lzi_store *store, const struct lzi_space *space, latz_namespace_info *info)
{
	struct lzi_space_cell sum;

	lzi_space_sum(store, lzi_space_index(store, space), &sum);
	info->keys = sum.keys > 0 ? (uint64_t)sum.keys : 0;
	info->bytes = sum.bytes > 0 ? (uint64_t)sum.bytes : 0;
	info->gets = sum.gets;
	info->hits = sum.hits;
	info->sets = sum.sets;
	info->deletes = sum.deletes;
	info->expired = sum.expired;
	info->evicted = lzi_load_relaxed(&space->evicted);
	info->evicted_bytes = lzi_load_relaxed(&space->evicted_bytes);
	info->refused = lzi_load_relaxed(&space->refused);
	info->max_bytes = lzi_load_relaxed(&space->max_bytes);
	info->max_entries = lzi_load_relaxed(&space->max_entries);
	info->policy = (latz_policy)lzi_load_relaxed(&space->policy);
	info->ttl_ms = lzi_load_relaxed(&space->ttl_ms);
	info->max_age_ms = lzi_load_relaxed(&space->max_age_ms);
}

int lzi_space_stats(struct lzi_call *call, uint32_t number, latz_stats_t *stats)
{
	const struct lzi_space *space = lzi_space_find(call->store, number);
	latz_namespace_info info;
	latz_stats_t out;

	if (space == NULL || lzi_load_relaxed(&space->state) != LZI_SPACE_LIVE)
		return lzi_error(LATZ_DEAD, "the namespace was dropped");
	tell_of(call->store, space, &info);
	memset(&out, 0, sizeof out);
	out.size = stats->size < sizeof out ? stats->size : sizeof out;
	out.keys = info.keys;
	out.live_bytes = info.bytes;
	out.gets = info.gets;
	out.hits = info.hits;
	out.sets = info.sets;
	out.deletes = info.deletes;
	out.expired = info.expired;
	out.evicted = info.evicted;
	out.evicted_bytes = info.evicted_bytes;
	out.refused = info.refused;
	out.max_bytes = info.max_bytes;
	out.max_entries = info.max_entries;
	out.policy = info.policy;
	out.max_age_ms = info.max_age_ms;
	out.snapshot_age_ms = -1;
	lzi_stats_guarded(call->store, &out);
	memcpy(stats, &out, out.size);
	return LATZ_OK;
}

struct listed {
	latz_namespace_info info;
	char name[LZI_SPACE_NAME_MAX + 1];
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

int lzi_space_list(struct lzi_call *call, latz_namespace_fn fn, void *arg)
{
	struct lzi_store *store = call->store;
	struct listed *list;
	unsigned count = 0, i;
	int rc;

	if (lzi_load_acquire(&store->control.shared->spaces.ready) == 0 &&
	    lzi_load_acquire(&store->control.shared->spaces.settle) == 0)
		return LATZ_OK;
	rc = lock(call, 1);
	if (rc != LATZ_OK)
		return rc;
	list = calloc(LZI_SPACES_MAX, sizeof *list);
	for (i = 0; list != NULL && i < LZI_SPACES_MAX; i++) {
		const struct lzi_space *space = lzi_space_slot(store, i);

		if (lzi_load_relaxed(&space->state) != LZI_SPACE_LIVE)
			continue;
		list[count].info.size = sizeof list[count].info;
		memcpy(list[count].name, space->name, LZI_SPACE_NAME_MAX);
		tell_of(store, space, &list[count++].info);
	}
	unlock(call);
	if (list == NULL)
		return lzi_error(LATZ_NOMEM, "namespaces");
	qsort(list, count, sizeof *list, compare_names);
	for (i = 0; i < count && rc == LATZ_OK; i++) {
		list[i].info.name = list[i].name;
		rc = fn(&list[i].info, arg);
	}
	free(list);
	return rc;
}
