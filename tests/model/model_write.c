/* The writing operations of the model test; each changes pool and oracle alike. */
#include "model.h"

#define HOUR_MS ((int64_t)3600 * 1000)

static int64_t deadline_in(int64_t ttl_ms)
{
	return ttl_ms <= 0 ? -1 : (int64_t)(clock_ns() / 1000000) + ttl_ms;
}

/* 0, -1, or hours: expiry itself is do_expire's. */
static int64_t draw_ttl(struct model *m)
{
	switch (rng_below(&m->rng, 6)) {
	case 0: return -1;
	case 1: return HOUR_MS * (int64_t)rng_between(&m->rng, 1, 100);
	default: return 0;
	}
}

/* Notes a version that a call returned. */
static void note_version(struct model *m, struct oracle_entry *entry, uint64_t version)
{
	EXPECT(m, version != 0);
	EXPECT(m, version != entry->version_not);
	entry->version = version;
}

void do_set(struct model *m)
{
	const struct model_key *key = pick_own_key(m);
	latz_slice value = make_value(m, key);
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	struct oracle_entry *entry;
	uint64_t version = 0;

	options.type = VALUE_STAMPED;
	options.ttl_ms = draw_ttl(m);
	options.version = rng_below(&m->rng, 2) ? &version : NULL;
	int rc = latz_set(pick_pool(m), key->key, value, &options);
	if (was_full(m, rc))
		rc = latz_set(pick_pool(m), key->key, value, &options);
	EXPECT_RC(m, LATZ_OK, rc);
	entry = oracle_set(&m->oracle, key->key, value, VALUE_STAMPED);
	entry->deadline_ms = deadline_in(options.ttl_ms);
	if (options.version != NULL)
		note_version(m, entry, version);
}

/* What a conditional set must answer. */
static int expected_rc(struct model *m, const struct oracle_entry *entry, const latz_set_options *options)
{
	if (options->flags & LATZ_IF_ABSENT)
		return entry != NULL ? LATZ_EXISTS : LATZ_OK;
	if (options->flags & (LATZ_IF_PRESENT | LATZ_IF_VERSION) && entry == NULL)
		return LATZ_NOTFOUND;
	if (options->flags & LATZ_IF_VERSION) {
		EXPECT(m, entry->version != 0);
		return options->if_version == entry->version ? LATZ_OK : LATZ_MISMATCH;
	}
	return LATZ_OK;
}

void do_set_conditional(struct model *m)
{
	static const unsigned flags[] = { LATZ_IF_ABSENT,
		                          LATZ_IF_PRESENT,
		                          LATZ_IF_VERSION,
		                          LATZ_IF_CHANGED,
		                          LATZ_KEEP_TTL,
		                          LATZ_IF_PRESENT | LATZ_KEEP_TTL,
		                          LATZ_IF_VERSION | LATZ_KEEP_TTL };
	const struct model_key *key = pick_own_key(m);
	struct oracle_entry *entry = oracle_get(&m->oracle, key->key);
	latz_slice value = make_value(m, key);
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	int64_t old_deadline = entry != NULL ? entry->deadline_ms : -1;
	uint64_t version = 0;
	bool same = entry != NULL && rng_below(&m->rng, 2);
	int rc, want;

	options.flags = flags[rng_below(&m->rng, ARRAY_LEN(flags))];
	options.type = VALUE_STAMPED;
	options.version = &version;
	if (entry != NULL && entry->version == 0) {
		EXPECT_RC(m, LATZ_OK, latz_get(pick_pool(m), key->key, &m->value));
		check_own(m, entry, &m->value, true);
	}
	options.if_version = entry != NULL && rng_below(&m->rng, 3) ? entry->version : rng_next(&m->rng);
	want = expected_rc(m, entry, &options);
	if (options.flags & LATZ_IF_CHANGED && same) {
		/* The same again: nothing is written. */
		options.type = entry->type;
		value = slice(entry->value, entry->value_size);
		EXPECT_RC(m, LATZ_OK, latz_set(pick_pool(m), key->key, value, &options));
		EXPECT(m, version == entry->version);
		return;
	}
	rc = latz_set(pick_pool(m), key->key, value, &options);
	/* Random bytes that happen to be the bytes that are there are no change. */
	if (options.flags & LATZ_IF_CHANGED && entry != NULL && entry->type == options.type &&
	    oracle_compare(entry->value, entry->value_size, value.data, value.size) == 0) {
		EXPECT(m, rc == LATZ_OK && version == entry->version);
		return;
	}
	EXPECT_RC(m, want, rc);
	if (rc != LATZ_OK)
		return;
	entry = oracle_set(&m->oracle, key->key, value, VALUE_STAMPED);
	entry->deadline_ms = options.flags & LATZ_KEEP_TTL ? old_deadline : -1;
	note_version(m, entry, version);
}

void do_set_typed(struct model *m)
{
	static const latz_type types[] = { LATZ_INT,  LATZ_INT,  LATZ_INT,    LATZ_FLOAT,
		                           LATZ_BOOL, LATZ_NULL, LATZ_STRING, LATZ_USER + 63 };
	const struct model_key *key = pick_own_key(m);
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	uint64_t bits = rng_next(&m->rng);
	size_t size;

	options.type = types[rng_below(&m->rng, ARRAY_LEN(types))];
	if (options.type == LATZ_BOOL)
		bits &= 1;
	size = options.type == LATZ_NULL ? 0 : options.type == LATZ_BOOL ? 1 : 8;
	if (rng_below(&m->rng, 10) == 0 && (options.type == LATZ_INT || options.type == LATZ_FLOAT)) {
		EXPECT_RC(m, LATZ_TYPE, latz_set(pick_pool(m), key->key, slice(&bits, 7), &options));
		return;
	}
	int rc = latz_set(pick_pool(m), key->key, slice(&bits, size), &options);
	if (was_full(m, rc))
		rc = latz_set(pick_pool(m), key->key, slice(&bits, size), &options);
	EXPECT_RC(m, LATZ_OK, rc);
	oracle_set(&m->oracle, key->key, slice(&bits, size), options.type);
}

void do_delete(struct model *m)
{
	const struct model_key *key = pick_own_key(m);
	int rc = latz_delete(pick_pool(m), key->key);

	if (rc != LATZ_NOTFOUND || !may_be_gone(m, key->key))
		EXPECT_RC(m, oracle_delete(&m->oracle, key->key) ? LATZ_OK : LATZ_NOTFOUND, rc);
}

void do_increment(struct model *m)
{
	const struct model_key *key = pick_own_key(m);
	struct oracle_entry *entry = oracle_get(&m->oracle, key->key);
	int64_t by = rng_below(&m->rng, 8) ? (int64_t)rng_below(&m->rng, 1000) - 500 : (int64_t)rng_next(&m->rng);
	int64_t before = 0, sum = 0, result = 0, deadline = entry != NULL ? entry->deadline_ms : -1;
	int rc = latz_increment(pick_pool(m), key->key, by, &result);

	if (entry != NULL && entry->type != LATZ_INT) {
		EXPECT_RC(m, LATZ_TYPE, rc);
		return;
	}
	if (entry != NULL)
		memcpy(&before, entry->value, 8);
	if (__builtin_add_overflow(before, by, &sum)) {
		EXPECT_RC(m, LATZ_OVERFLOW, rc);
		return;
	}
	EXPECT_RC(m, LATZ_OK, rc);
	EXPECT(m, result == sum);
	oracle_set(&m->oracle, key->key, slice(&sum, 8), LATZ_INT)->deadline_ms = deadline;
}

void do_append(struct model *m)
{
	const struct model_key *key = pick_own_key(m);
	struct oracle_entry *entry = oracle_get(&m->oracle, key->key);
	size_t size = rng_below(&m->rng, 20) ? rng_below(&m->rng, 100) : rng_below(&m->rng, 70000), new_size = 0;
	size_t before = entry != NULL ? entry->value_size : 0;
	latz_type type = entry != NULL ? entry->type : LATZ_BYTES;
	int64_t deadline = entry != NULL ? entry->deadline_ms : -1;
	int rc;

	if (before + size > VALUE_MAX)
		return;
	/* What has no stamp must not grow to a size at which others expect one. */
	if (type == VALUE_STAMPED && before < STAMP_SIZE && before + size >= STAMP_SIZE)
		size = STAMP_SIZE - 1 - before;
	if (before > 0)
		memcpy(m->scratch, entry->value, before);
	rng_fill(&m->rng, m->scratch + before, size);
	rc = latz_append(pick_pool(m), key->key, slice(m->scratch + before, size), &new_size);
	if (type == LATZ_INT || type == LATZ_FLOAT || type == LATZ_BOOL || type == LATZ_NULL) {
		EXPECT_RC(m, LATZ_TYPE, rc);
		return;
	}
	EXPECT_RC(m, LATZ_OK, rc);
	EXPECT(m, new_size == before + size);
	if (size == 0 && entry != NULL) {
		/* Whether this writes is the engine's choice: read what it did. */
		uint64_t not_before = entry->version_not;

		oracle_set(&m->oracle, key->key, slice(m->scratch, before), type)->deadline_ms = deadline;
		oracle_get(&m->oracle, key->key)->version_not = not_before;
		return;
	}
	oracle_set(&m->oracle, key->key, slice(m->scratch, before + size), type)->deadline_ms = deadline;
}

void do_swap(struct model *m)
{
	const struct model_key *key = pick_own_key(m);
	struct oracle_entry *entry = oracle_get(&m->oracle, key->key);
	latz_slice value = make_value(m, key);

	int rc = latz_swap(pick_pool(m), key->key, value, &m->value);
	if (was_full(m, rc))
		rc = latz_swap(pick_pool(m), key->key, value, &m->value);
	EXPECT_RC(m, LATZ_OK, rc);
	if (entry != NULL && m->value.version == 0 && may_be_gone(m, key->key))
		entry = NULL;
	if (entry != NULL)
		check_own(m, entry, &m->value, true);
	else
		EXPECT(m, m->value.size == 0 && m->value.version == 0);
	oracle_set(&m->oracle, key->key, value, LATZ_BYTES);
}

void do_touch(struct model *m)
{
	const struct model_key *key = pick_own_key(m);
	struct oracle_entry *entry = oracle_get(&m->oracle, key->key), *renewed;
	int64_t ttl_ms = draw_ttl(m);
	uint64_t version, not_before;

	EXPECT_RC(m, entry != NULL ? LATZ_OK : LATZ_NOTFOUND, latz_touch(pick_pool(m), key->key, ttl_ms));
	if (entry == NULL)
		return;
	/* Entries are immutable, since old scans may share them; which deadline those show is not promised. The version
	 * stays. */
	entry->touched = true;
	version = entry->version;
	not_before = entry->version_not;
	memcpy(m->scratch, entry->value, entry->value_size);
	renewed = oracle_set(&m->oracle, key->key, slice(m->scratch, entry->value_size), entry->type);
	renewed->version = version;
	renewed->version_not = not_before;
	renewed->deadline_ms = deadline_in(ttl_ms);
}

void do_mset(struct model *m)
{
	latz_item items[24];
	size_t n = rng_below(&m->rng, ARRAY_LEN(items) + 1);
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	options.type = VALUE_STAMPED;
	for (size_t i = 0; i < n; i++) {
		const struct model_key *key = pick_own_key(m);
		latz_slice value = make_value(m, key);
		void *copy = check_alloc(value.size);

		memcpy(copy, value.data, value.size);
		items[i].key = key->key;
		items[i].value = slice(copy, value.size);
	}
	int rc = latz_mset(pick_pool(m), items, n, &options);
	if (was_full(m, rc))
		rc = latz_mset(pick_pool(m), items, n, &options);
	EXPECT_RC(m, LATZ_OK, rc);
	for (size_t i = 0; i < n; i++) {
		oracle_set(&m->oracle, items[i].key, items[i].value, VALUE_STAMPED);
		free((void *)items[i].value.data);
	}
}

/* What a transaction is to do to a key. */
struct change {
	const struct model_key *key;
	latz_slice value; /* data NULL: deleted */
};

static const struct change *change_of(const struct change *changes, size_t n, const struct model_key *key)
{
	while (n > 0 && changes[n - 1].key != key)
		n--;
	return n == 0 ? NULL : &changes[n - 1];
}

/* Reads its own writes, and else what there was. */
static void read_in_txn(struct model *m, latz_txn *txn, const struct model_key *key, const struct change *change)
{
	struct oracle_entry *entry = oracle_get(&m->oracle, key->key);
	bool there = change != NULL ? change->value.data != NULL : entry != NULL;

	EXPECT_RC(m, there ? LATZ_OK : LATZ_NOTFOUND, latz_txn_get(txn, key->key, &m->value));
	if (!there)
		return;
	if (change == NULL)
		check_own(m, entry, &m->value, true);
	else
		EXPECT(m, m->value.size == change->value.size &&
		                  memcmp(m->value.data, change->value.data, change->value.size) == 0);
}

void do_txn(struct model *m)
{
	struct change changes[16];
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	size_t n = rng_below(&m->rng, ARRAY_LEN(changes) + 1);
	bool commits = rng_below(&m->rng, 4) != 0;
	latz_txn *txn;

	options.type = VALUE_STAMPED;
	EXPECT_RC(m, LATZ_OK, latz_txn_begin(pick_pool(m), 0, &txn));
	for (size_t i = 0; i < n; i++) {
		changes[i].key = pick_own_key(m);
		changes[i].value = slice(NULL, 0);
		if (rng_below(&m->rng, 2) == 0)
			read_in_txn(m, txn, changes[i].key, change_of(changes, i, changes[i].key));
		if (rng_below(&m->rng, 4) == 0) {
			EXPECT_RC(m, LATZ_OK, latz_txn_delete(txn, changes[i].key->key));
			continue;
		}
		latz_slice value = make_value(m, changes[i].key);
		void *copy = check_alloc(value.size + 1);

		memcpy(copy, value.data, value.size);
		changes[i].value = slice(copy, value.size);
		EXPECT_RC(m, LATZ_OK, latz_txn_set(txn, changes[i].key->key, changes[i].value, &options));
	}
	EXPECT_RC(m, LATZ_OK, commits ? latz_txn_commit(txn) : latz_txn_abort(txn));
	for (size_t i = 0; i < n; i++) {
		if (commits && changes[i].value.data == NULL)
			oracle_delete(&m->oracle, changes[i].key->key);
		else if (commits)
			oracle_set(&m->oracle, changes[i].key->key, changes[i].value, VALUE_STAMPED);
		free((void *)changes[i].value.data);
	}
}

/* A deadline that passes: the key is gone for everything but scans opened before. */
void do_expire(struct model *m)
{
	const struct model_key *keys[8];
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	options.type = VALUE_STAMPED;
	options.ttl_ms = 1;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		keys[i] = pick_own_key(m);
		latz_slice value = make_value(m, keys[i]);
		int rc = latz_set(pick_pool(m), keys[i]->key, value, &options);
		if (was_full(m, rc))
			rc = latz_set(pick_pool(m), keys[i]->key, value, &options);
		EXPECT_RC(m, LATZ_OK, rc);
		oracle_delete(&m->oracle, keys[i]->key);
	}
	sleep_ms(20);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		EXPECT_RC(m, LATZ_NOTFOUND, latz_get(pick_pool(m), keys[i]->key, &m->value));
}

void do_clear(struct model *m)
{
	/* Others' keys are not ours to clear. */
	if (m->plan->processes > 1)
		return;
	EXPECT_RC(m, LATZ_OK, latz_clear(pick_pool(m)));
	oracle_clear(&m->oracle);
}
