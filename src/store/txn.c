/*
 * A transaction as its user has it: what it has read and what it is to write, in process memory. It reads as of one
 * moment, a pin taken at the first read, and its own writes before that.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/audit.h"
#include "store/idle.h"
#include "store/log.h"
#include "store/seal.h"
#include "store/txn.h"

#define NONE SIZE_MAX
#define INDEX_FROM 16u /* fewer items are looked through */
#define FEW 8u         /* items, and bytes, for which no memory of their own is asked */
#define ROOM 1024u

/* Where the version of an item's key goes when it is committed. */
struct wanted {
	size_t item;
	uint64_t *version;
};

struct lzi_txn {
	struct lzi_store *store;
	int reads_only;
	int sealed;   /* the pool is encrypted: values that were kept are wiped */
	uint32_t pin; /* UINT32_MAX: none yet */
	uint64_t seq;
	int64_t now_ms;
	int durable; /* a write asked for it */
	int is_fenced;
	struct lzi_fence fence; /* of its writes; the name is here: */
	void *fence_name;
	struct lzi_txn_item *items;
	size_t count, capacity;
	size_t *index, index_size; /* item + 1 by hash, open addressing; a power of two */
	size_t used;               /* of room */
	struct wanted *wanted;
	size_t wanted_count, wanted_capacity;
	struct wanted few_wanted[FEW];
	struct lzi_txn_item few[FEW];
	uint8_t room[ROOM];
};

static void init(struct lzi_txn *txn, struct lzi_store *store)
{
	memset(txn, 0, offsetof(struct lzi_txn, few_wanted));
	txn->store = store;
	txn->sealed = lzi_is_sealed(store);
	txn->pin = UINT32_MAX;
	txn->items = txn->few;
	txn->capacity = FEW;
	txn->wanted = txn->few_wanted;
	txn->wanted_capacity = FEW;
}

int lzi_txn_begin(struct lzi_call *call, int reads_only, struct lzi_txn **ret_txn)
{
	struct lzi_txn *txn = malloc(sizeof *txn);

	if (txn == NULL)
		return lzi_error(LATZ_NOMEM, "transaction");
	init(txn, call->store);
	txn->reads_only = reads_only;
	*ret_txn = txn;
	return LATZ_OK;
}

static void unpin(struct lzi_txn *txn)
{
	if (txn->pin != UINT32_MAX && txn->store->fork_count == lzi_fork_count) {
		lzi_idle_ended(&txn->store->control);
		lzi_pin_drop(&txn->store->control, txn->pin);
	}
	txn->pin = UINT32_MAX;
}

static void fini(struct lzi_txn *txn)
{
	if (txn->items != txn->few)
		free(txn->items);
	if (txn->wanted != txn->few_wanted)
		free(txn->wanted);
	free(txn->index);
}

/* Key and value, which may be another's by now if they are not kept. */
static void drop(const struct lzi_txn *txn, const struct lzi_txn_item *item)
{
	if (txn->sealed && item->memory != NULL)
		lzi_wipe(item->memory, item->write.key.size + item->write.value.size);
	free(item->memory);
}

void lzi_txn_end(struct lzi_txn *txn)
{
	size_t i;

	unpin(txn);
	for (i = 0; i < txn->count; i++)
		drop(txn, &txn->items[i]);
	if (txn->sealed)
		lzi_wipe(txn->room, txn->used);
	free(txn->fence_name);
	fini(txn);
	free(txn);
}

/* ---- Items ---- */

static void put_index(struct lzi_txn *txn, size_t item)
{
	size_t i = txn->items[item].hash & (txn->index_size - 1);

	while (txn->index[i] != 0)
		i = (i + 1) & (txn->index_size - 1);
	txn->index[i] = item + 1;
}

static int grow(struct lzi_txn *txn)
{
	size_t capacity = txn->capacity * 2, i;
	struct lzi_txn_item *items = realloc(txn->items == txn->few ? NULL : txn->items, capacity * sizeof *items);
	size_t *index;

	if (items == NULL)
		return lzi_error(LATZ_NOMEM, "transaction of %zu keys", capacity);
	if (txn->items == txn->few)
		memcpy(items, txn->few, sizeof txn->few);
	txn->items = items;
	if (capacity > INDEX_FROM) {
		index = calloc(capacity * 2, sizeof *index);
		if (index == NULL)
			return lzi_error(LATZ_NOMEM, "transaction of %zu keys", capacity);
		free(txn->index);
		txn->index = index;
		txn->index_size = capacity * 2;
		for (i = 0; i < txn->count; i++)
			put_index(txn, i);
	}
	txn->capacity = capacity;
	return LATZ_OK;
}

static int is_key(const struct lzi_txn_item *item, latz_slice key, uint64_t hash)
{
	return item->hash == hash && item->write.key.size == key.size &&
	       memcmp(item->write.key.data, key.data, key.size) == 0;
}

static size_t find(const struct lzi_txn *txn, latz_slice key, uint64_t hash)
{
	size_t i;

	if (txn->index == NULL) {
		for (i = 0; i < txn->count; i++) {
			if (is_key(&txn->items[i], key, hash))
				return i;
		}
		return NONE;
	}
	for (i = hash & (txn->index_size - 1); txn->index[i] != 0; i = (i + 1) & (txn->index_size - 1)) {
		if (is_key(&txn->items[txn->index[i] - 1], key, hash))
			return txn->index[i] - 1;
	}
	return NONE;
}

/* Memory for an item's key and value, in one. */
static int keep(struct lzi_txn *txn, struct lzi_txn_item *item, latz_slice key, latz_slice value)
{
	size_t size = key.size + value.size;
	int fits = size <= ROOM - txn->used;
	uint8_t *memory = fits ? txn->room + txn->used : malloc(size);

	if (memory == NULL)
		return lzi_error(LATZ_NOMEM, "key and value of a transaction, %zu bytes", size);
	txn->used += fits ? size : 0;
	memcpy(memory, key.data, key.size);
	if (value.size > 0)
		memcpy(memory + key.size, value.data, value.size);
	drop(txn, item);
	item->memory = fits ? NULL : memory;
	item->write.key = (latz_slice){ memory, key.size };
	item->write.value = (latz_slice){ memory + key.size, value.size };
	return LATZ_OK;
}

/* The key's item, made if there is none. */
static int item_of(struct lzi_txn *txn, latz_slice key, uint64_t hash, latz_slice value, struct lzi_txn_item **ret_item,
                   int *ret_made)
{
	size_t at = find(txn, key, hash);
	struct lzi_txn_item *item;
	int rc;

	*ret_made = at == NONE;
	if (at != NONE) {
		*ret_item = &txn->items[at];
		return LATZ_OK;
	}
	if (txn->count == txn->capacity && (rc = grow(txn)) != LATZ_OK)
		return rc;
	item = &txn->items[txn->count];
	memset(item, 0, sizeof *item);
	item->hash = hash;
	rc = keep(txn, item, key, value);
	if (rc != LATZ_OK)
		return rc;
	txn->count++;
	if (txn->index != NULL)
		put_index(txn, txn->count - 1);
	*ret_item = item;
	return LATZ_OK;
}

/* ---- Reading ---- */

/* Of the moment at which the transaction reads, whatever it has written. */
static int read_at(struct lzi_call *call, struct lzi_txn *txn, latz_slice key, uint64_t hash, latz_value *value)
{
	struct lzi_ahead ahead = { .hash = hash };
	int rc = LATZ_OK;

	if (txn->pin == UINT32_MAX) {
		rc = lzi_moment_take(call, &txn->pin, &txn->seq);
		if (rc != LATZ_OK) {
			txn->pin = UINT32_MAX;
			return rc;
		}
		txn->now_ms = lzi_clock_mono_ms();
	}
	lzi_call_begin(call);
	rc = lzi_read_at(call->store, key, &ahead, txn->seq, txn->now_ms, LZI_READ_VALUE, value);
	lzi_bump_relaxed(&call->actor->gets, 1ull);
	if (rc == LATZ_OK)
		lzi_bump_relaxed(&call->actor->hits, 1ull);
	lzi_call_end(call);
	return rc;
}

/* The same, remembered: it is looked at again when the transaction commits. */
static int read_noted(struct lzi_call *call, struct lzi_txn *txn, latz_slice key, uint64_t hash, latz_value *value)
{
	latz_slice none = { NULL, 0 };
	struct lzi_txn_item *item;
	int rc = read_at(call, txn, key, hash, value), noted, made;

	if ((rc != LATZ_OK && rc != LATZ_NOTFOUND) || txn->reads_only)
		return rc;
	noted = item_of(txn, key, hash, none, &item, &made);
	if (noted != LATZ_OK)
		return noted;
	item->is_read = 1;
	item->read_version = rc == LATZ_OK ? value->version : 0;
	return rc;
}

/* What the transaction itself is to write. */
static int read_own(struct lzi_call *call, struct lzi_txn *txn, const struct lzi_txn_item *item, latz_value *value)
{
	const struct lzi_write *write = &item->write;
	int64_t ttl_ms = write->ttl_ms;
	int rc;

	if (write->kind == LZI_WRITE_DELETE)
		return LATZ_NOTFOUND;
	if (write->flags & LATZ_KEEP_TTL) {
		rc = read_at(call, txn, write->key, item->hash, value);
		if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
			return rc;
		ttl_ms = rc == LATZ_OK ? value->ttl_ms : ttl_ms;
	}
	rc = txn->sealed ? lzi_value_reserve_secret(value, write->value.size)
	                 : lzi_value_reserve(value, write->value.size);
	if (rc != LATZ_OK)
		return rc;
	if (write->value.size > 0)
		memcpy(value->data, write->value.data, write->value.size);
	((char *)value->data)[write->value.size] = '\0';
	value->size = write->value.size;
	value->type = (latz_type)write->type;
	value->version = 0;
	value->ttl_ms = ttl_ms > 0 ? ttl_ms : -1;
	return LATZ_OK;
}

int lzi_txn_get(struct lzi_call *call, struct lzi_txn *txn, latz_slice key, latz_value *value)
{
	uint64_t hash = lzi_store_hash(call->store, key.data, key.size);
	size_t at = find(txn, key, hash);

	if (at != NONE && txn->items[at].is_written)
		return read_own(call, txn, &txn->items[at], value);
	if (lzi_audits(call, LZI_WATCH_AUDIT_READS)) {
		int rc = lzi_audit_key_op(call->store, "get", key);

		if (rc != LATZ_OK)
			return rc;
	}
	return read_noted(call, txn, key, hash, value);
}

/* ---- Writing ---- */

#define CONDITIONS (LATZ_IF_ABSENT | LATZ_IF_PRESENT | LATZ_IF_VERSION | LATZ_IF_CHANGED)

/* A condition is a read. 1: the value is the same already; the key has an item. */
static int check_conditions(struct lzi_call *call, struct lzi_txn *txn, const struct lzi_write *write)
{
	size_t at = find(txn, write->key, lzi_store_hash(call->store, write->key.data, write->key.size));
	int own = at != NONE && txn->items[at].is_written; /* which has no version yet */
	latz_value value = LATZ_VALUE_INIT;
	int rc = lzi_txn_get(call, txn, write->key, &value), there = rc == LATZ_OK;

	if (rc == LATZ_NOTFOUND)
		rc = LATZ_OK;
	if (rc != LATZ_OK)
		; /* not to be told */
	else if (write->flags & LATZ_IF_ABSENT && there)
		rc = LATZ_EXISTS;
	else if (write->flags & (LATZ_IF_PRESENT | LATZ_IF_VERSION) && !there)
		rc = LATZ_NOTFOUND;
	else if (write->flags & LATZ_IF_VERSION && (own || value.version != write->if_version))
		rc = LATZ_MISMATCH;
	else if (write->flags & LATZ_IF_CHANGED && there && value.type == (latz_type)write->type &&
	         value.size == write->value.size &&
	         (value.size == 0 || memcmp(value.data, write->value.data, value.size) == 0))
		rc = 1;
	latz_value_free(&value);
	return rc;
}

/* A thread announces one lock at a time. */
static int keep_fence(struct lzi_txn *txn, const struct lzi_fence *fence)
{
	if (!txn->is_fenced) {
		txn->fence_name = malloc(fence->name.size);
		if (txn->fence_name == NULL)
			return lzi_error(LATZ_NOMEM, "a lock's name");
		memcpy(txn->fence_name, fence->name.data, fence->name.size);
		txn->fence = *fence;
		txn->fence.name.data = txn->fence_name;
		txn->is_fenced = 1;
		return LATZ_OK;
	}
	if (fence->token != txn->fence.token || fence->name.size != txn->fence.name.size ||
	    memcmp(fence->name.data, txn->fence_name, fence->name.size) != 0)
		return lzi_error(LATZ_INVALID, "the writes of a transaction name one lock and token at most");
	return LATZ_OK;
}

/* Room for one more. */
static int reserve_wanted(struct lzi_txn *txn)
{
	size_t capacity = txn->wanted_capacity * 2;
	struct wanted *wanted;

	if (txn->wanted_count < txn->wanted_capacity)
		return LATZ_OK;
	wanted = realloc(txn->wanted == txn->few_wanted ? NULL : txn->wanted, capacity * sizeof *wanted);
	if (wanted == NULL)
		return lzi_error(LATZ_NOMEM, "versions of a transaction");
	if (txn->wanted == txn->few_wanted)
		memcpy(wanted, txn->few_wanted, sizeof txn->few_wanted);
	txn->wanted = wanted;
	txn->wanted_capacity = capacity;
	return LATZ_OK;
}

static void want(struct lzi_txn *txn, size_t item, uint64_t *version)
{
	if (version != NULL)
		txn->wanted[txn->wanted_count++] = (struct wanted){ item, version };
}

int lzi_txn_write(struct lzi_call *call, struct lzi_txn *txn, const struct lzi_write *write, uint64_t *ret_version)
{
	uint64_t hash = lzi_store_hash(call->store, write->key.data, write->key.size);
	struct lzi_txn_item *item;
	unsigned before = 0;
	int64_t ttl_ms = write->ttl_ms;
	int rc = LATZ_OK, made;

	if (write->flags & LATZ_DURABLE && !lzi_is_durable(txn->store))
		return lzi_error(LATZ_UNSUPPORTED, "LATZ_DURABLE: pool %s has no log", txn->store->name);
	if (write->fence != NULL)
		rc = keep_fence(txn, write->fence);
	if (rc == LATZ_OK && ret_version != NULL)
		rc = reserve_wanted(txn);
	if (rc == LATZ_OK && write->flags & CONDITIONS)
		rc = check_conditions(call, txn, write);
	if (rc == 1) {
		want(txn, find(txn, write->key, hash), ret_version);
		return LATZ_OK;
	}
	if (rc != LATZ_OK)
		return rc;
	rc = item_of(txn, write->key, hash, write->value, &item, &made);
	if (rc != LATZ_OK)
		return rc;
	before = item->is_written && item->write.kind == LZI_WRITE_SET ? item->write.flags : 0;
	/* What it keeps may be what this transaction has given it. */
	if (write->flags & LATZ_KEEP_TTL && item->is_written && (before & LATZ_KEEP_TTL) == 0 &&
	    item->write.kind == LZI_WRITE_SET)
		ttl_ms = item->write.ttl_ms;
	else
		before = write->flags & LATZ_KEEP_TTL && !(item->is_written && item->write.kind == LZI_WRITE_DELETE)
		                 ? LATZ_KEEP_TTL
		                 : 0;
	if (!made) {
		rc = keep(txn, item, write->key, write->value);
		if (rc != LATZ_OK)
			return rc;
	}
	item->write.kind = write->kind;
	item->write.flags = before & LATZ_KEEP_TTL;
	item->write.type = write->type;
	item->write.ttl_ms = ttl_ms;
	item->is_written = 1;
	want(txn, (size_t)(item - txn->items), ret_version);
	txn->durable |= (write->flags & LATZ_DURABLE) != 0;
	return LATZ_OK;
}

/* ---- Ending ---- */

static int wait_durable(struct lzi_store *store, int wanted)
{
	return wanted || lzi_load_relaxed(&store->control.shared->durable) == LZI_DURABLE_ALWAYS
	               ? lzi_log_wait(store)
	               : LATZ_OK;
}

/* What was written has the transaction's; what was the same already, and is so still, its own. */
static void tell_versions(const struct lzi_txn *txn, uint64_t seq)
{
	size_t i;

	for (i = 0; i < txn->wanted_count; i++) {
		const struct lzi_txn_item *item = &txn->items[txn->wanted[i].item];

		if (!item->is_written || item->write.kind == LZI_WRITE_SET)
			*txn->wanted[i].version = item->is_written ? seq : item->read_version;
	}
}

int lzi_txn_end_with(struct lzi_call *call, struct lzi_txn *txn)
{
	const struct lzi_fence *fence = txn->is_fenced ? &txn->fence : NULL;
	size_t i, writes = 0;
	uint64_t seq = 0;
	int rc;

	unpin(txn); /* so that the writes need not keep what it has read */
	for (i = 0; i < txn->count; i++)
		writes += txn->items[i].is_written;
	/* What was read is of one moment anyhow. */
	if (writes == 0) {
		rc = lzi_fence_begin(call, fence);
		lzi_fence_end(call, fence);
		if (rc == LATZ_OK)
			tell_versions(txn, 0);
		return rc;
	}
	rc = lzi_txn_commit(call, txn->items, txn->count, fence, &seq);
	if (rc != LATZ_OK)
		return rc;
	tell_versions(txn, seq);
	return wait_durable(txn->store, txn->durable);
}

/* ---- Many at once ---- */

/* The later of two of the same key counts, after the conditions have been held against the earlier. */
static int merge(struct lzi_txn *txn, const struct lzi_write *write, const latz_item *from)
{
	uint64_t hash = lzi_store_hash(txn->store, from->key.data, from->key.size);
	size_t at = find(txn, from->key, hash);
	struct lzi_txn_item *item;
	int rc;

	if (at != NONE) {
		if (write->flags & LATZ_IF_ABSENT)
			return LATZ_EXISTS;
		if (write->flags & LATZ_IF_VERSION)
			return LATZ_MISMATCH;
		txn->items[at].write.value = from->value;
		return LATZ_OK;
	}
	if (txn->count == txn->capacity && (rc = grow(txn)) != LATZ_OK)
		return rc;
	item = &txn->items[txn->count++];
	memset(item, 0, sizeof *item);
	item->hash = hash;
	item->write = *write;
	item->write.key = from->key;
	item->write.value = from->value;
	item->is_written = 1;
	if (txn->index != NULL)
		put_index(txn, txn->count - 1);
	return LATZ_OK;
}

int lzi_store_mset(struct lzi_call *call, const struct lzi_write *write, const latz_item *items, size_t n,
                   uint64_t *ret_version)
{
	struct lzi_txn txn;
	int durable = (write->flags & LATZ_DURABLE) != 0, rc = LATZ_OK;
	struct lzi_write each = *write;
	size_t i;

	if (durable && !lzi_is_durable(call->store))
		return lzi_error(LATZ_UNSUPPORTED, "LATZ_DURABLE: pool %s has no log", call->store->name);
	each.flags &= ~(unsigned)LATZ_DURABLE; /* once, at the end */
	init(&txn, call->store);
	lzi_analyzed_written(txn.few); /* as many as are counted */
	for (i = 0; i < n && rc == LATZ_OK; i++)
		rc = merge(&txn, &each, &items[i]);
	if (rc == LATZ_OK && txn.count > 0)
		rc = lzi_txn_commit(call, txn.items, txn.count, write->fence, ret_version);
	fini(&txn);
	return rc == LATZ_OK && n > 0 ? wait_durable(call->store, durable) : rc;
}
