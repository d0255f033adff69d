/*
 * Keys and values of the model test. Keys: mostly short, some around and over 511 bytes with shared beginnings, a few
 * up to the limit; owners interleave in key order. Values: mostly small, some larger than an extent.
 */
#include "model.h"

struct stamp {
	uint64_t key_hash, counter, size, check;
};

static size_t draw_key_size(struct rng *rng)
{
	uint64_t kind = rng_below(rng, 100);

	if (kind < 70)
		return rng_between(rng, 1, 40);
	if (kind < 88)
		return rng_between(rng, 41, 200);
	if (kind < 96)
		return rng_between(rng, 490, 620);
	if (kind < 99)
		return rng_between(rng, 1000, 6000);
	return rng_between(rng, 30000, 32700); /* what every kind of handle takes */
}

static latz_slice draw_key(struct rng *rng)
{
	size_t size = draw_key_size(rng), random_from = 0;
	unsigned char *key = check_alloc(size);

	/* Long keys share their beginning, so that what tells them apart may lie behind any prefix an index keeps. */
	if (size > 40) {
		random_from = rng_below(rng, 2) ? size - rng_between(rng, 4, 30) : rng_below(rng, size);
		memset(key, 'L', random_from);
	}
	rng_fill(rng, key + random_from, size - random_from);
	if (rng_below(rng, 2)) {
		for (size_t i = random_from; i < size; i++)
			key[i] = (unsigned char)("abcL"[key[i] & 3]);
	}
	return slice(key, size);
}

static int compare_keys(const void *a, const void *b)
{
	const struct model_key *x = a, *y = b;

	return oracle_compare(x->key.data, x->key.size, y->key.data, y->key.size);
}

void plan_init(struct model_plan *plan)
{
	size_t wanted = plan->processes * 800 + 1200, count = 0;
	struct rng rng;

	rng_init(&rng, plan->seed);
	plan->keys = check_alloc(wanted * sizeof(plan->keys[0]));
	for (size_t i = 0; i < wanted; i++)
		plan->keys[i].key = draw_key(&rng);
	qsort(plan->keys, wanted, sizeof(plan->keys[0]), compare_keys);
	for (size_t i = 0; i < wanted; i++) {
		if (count > 0 && compare_keys(&plan->keys[count - 1], &plan->keys[i]) == 0)
			free((void *)plan->keys[i].key.data);
		else
			plan->keys[count++] = plan->keys[i];
	}
	plan->key_count = count;
	for (size_t i = 0; i < count; i++) {
		plan->keys[i].owner = (unsigned)rng_below(&rng, plan->processes);
		plan->keys[i].hash = rng_mix(plan->seed + i);
	}
}

void plan_fini(struct model_plan *plan)
{
	for (size_t i = 0; i < plan->key_count; i++)
		free((void *)plan->keys[i].key.data);
	free(plan->keys);
}

/* Half of the choices fall on an eighth of the keys, so that some are written often. */
const struct model_key *pick_any_key(struct model *m)
{
	size_t count = m->plan->key_count;

	if (rng_below(&m->rng, 2))
		return &m->plan->keys[rng_below(&m->rng, count / 8) * 8];
	return &m->plan->keys[rng_below(&m->rng, count)];
}

const struct model_key *pick_own_key(struct model *m)
{
	const struct model_key *key;

	do
		key = pick_any_key(m);
	while (key->owner != m->me);
	return key;
}

static size_t draw_value_size(struct rng *rng)
{
	uint64_t kind = rng_below(rng, 1000);

	if (kind < 600)
		return rng_below(rng, 65);
	if (kind < 880)
		return rng_between(rng, 65, 600);
	if (kind < 980)
		return rng_between(rng, 601, 8000);
	if (kind < 992)
		return rng_between(rng, 8000, 64000);
	if (kind < 998)
		return rng_between(rng, 65000, 66500);
	return rng_between(rng, 66500, VALUE_MAX / 2);
}

static uint64_t stamp_check(const struct stamp *stamp, const unsigned char *rest)
{
	uint64_t sum = rng_mix(stamp->key_hash ^ rng_mix(stamp->counter) ^ stamp->size);

	for (size_t i = 0; i + sizeof(*stamp) < stamp->size; i++)
		sum = sum * 0x100000001b3u ^ rest[i];
	return sum;
}

latz_slice make_value(struct model *m, const struct model_key *key)
{
	size_t size = draw_value_size(&m->rng);
	struct stamp stamp = { key->hash, ++m->counter, size, 0 };

	rng_fill(&m->rng, m->scratch, size);
	/* Alike, and not the same: what compresses, best with a dictionary. */
	for (size_t i = sizeof(stamp); m->plan->compress && i < size; i++) {
		if (m->scratch[i] >= 8)
			m->scratch[i] = (unsigned char)('a' + (i * i / 11 + key->hash % 3) % 26);
	}
	if (size >= sizeof(stamp)) {
		stamp.check = stamp_check(&stamp, m->scratch + sizeof(stamp));
		memcpy(m->scratch, &stamp, sizeof(stamp));
	}
	return slice(m->scratch, size);
}

uint64_t check_stamp(struct model *m, const struct model_key *key, const void *data, size_t size, latz_type type)
{
	struct stamp stamp;

	if (type != VALUE_STAMPED || size < STAMP_SIZE)
		return 0;
	_Static_assert(sizeof(stamp) == STAMP_SIZE, "the header names the size of a stamp");
	memcpy(&stamp, data, sizeof(stamp));
	EXPECT(m, stamp.key_hash == key->hash);
	/* latz_append may have made it longer. */
	EXPECT(m, stamp.size >= sizeof(stamp) && stamp.size <= size);
	EXPECT(m, stamp.check == stamp_check(&stamp, (const unsigned char *)data + sizeof(stamp)));
	return stamp.counter;
}

void check_foreign(struct model *m, const struct model_key *key, const void *data, size_t size, latz_type type)
{
	uint64_t *seen = &m->seen[key - m->plan->keys];
	uint64_t counter = check_stamp(m, key, data, size, type);

	if (counter == 0)
		return;
	EXPECT(m, counter >= *seen);
	*seen = counter;
}

bool may_be_gone(struct model *m, latz_slice key)
{
	if (m->plan->max_bytes == 0 && m->plan->max_entries == 0)
		return false;
	oracle_delete(&m->oracle, key);
	return true;
}

bool was_full(struct model *m, int rc)
{
	if (rc != LATZ_FULL || m->plan->max_bytes == 0)
		return false;
	scans_close(m);
	views_release(m);
	return true;
}

latz_pool *pick_pool(struct model *m)
{
	return m->second != NULL && rng_below(&m->rng, 2) ? m->second : m->pool;
}

static void check_ttl(struct model *m, const struct oracle_entry *entry, int64_t ttl_ms)
{
	int64_t want;

	if (entry->touched)
		return;
	if (entry->deadline_ms == -1) {
		EXPECT(m, ttl_ms == -1);
		return;
	}
	want = entry->deadline_ms - (int64_t)(clock_ns() / 1000000);
	if (ttl_ms < want - 30000 || ttl_ms > want + 30000)
		model_fail(m, __FILE__, __LINE__, "%" PRId64 " ms are left, expected %" PRId64, ttl_ms, want);
}

void check_own(struct model *m, struct oracle_entry *entry, const latz_value *value, bool with_data)
{
	EXPECT(m, value->type == entry->type);
	EXPECT(m, value->version != 0);
	EXPECT(m, value->version != entry->version_not);
	if (entry->version == 0)
		entry->version = value->version;
	EXPECT(m, value->version == entry->version);
	check_ttl(m, entry, value->ttl_ms);
	if (!with_data) {
		EXPECT(m, value->size == 0);
		return;
	}
	EXPECT(m, value->size == entry->value_size);
	EXPECT(m, value->size == 0 || memcmp(value->data, entry->value, value->size) == 0);
}
