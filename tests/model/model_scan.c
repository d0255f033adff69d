/*
 * Scans of the model test. Each open scan has a copy of the oracle of its moment and must return exactly that, in
 * order, however much is written between its steps. Others' keys in between are checked for order and wholeness.
 */
#include "model.h"

static bool in_range(const latz_scan_options *o, const void *key, size_t size)
{
	if (size < o->prefix.size || (o->prefix.size > 0 && memcmp(key, o->prefix.data, o->prefix.size) != 0))
		return false;
	if (o->from.data != NULL && oracle_compare(key, size, o->from.data, o->from.size) < 0)
		return false;
	return o->to.data == NULL || oracle_compare(key, size, o->to.data, o->to.size) < 0;
}

/* The next entry the scan must return of own keys; NULL at the end. */
static struct oracle_entry *next_expected(struct model_scan *s)
{
	while (s->at < s->then.count) {
		size_t index = s->options.reverse ? s->then.count - 1 - s->at : s->at;
		struct oracle_entry *entry = s->then.entries[index];

		if (in_range(&s->options, entry->key, entry->key_size))
			return entry;
		s->at++;
	}
	return NULL;
}

static int compare_slice(const void *key, const void *element)
{
	const latz_slice *want = key;
	const struct model_key *have = element;

	return oracle_compare(want->data, want->size, have->key.data, have->key.size);
}

static bool is_bounded(const struct model *m)
{
	return m->plan->max_bytes != 0 || m->plan->max_entries != 0;
}

/* Whether the scan would have come to the entry before the key. */
static bool is_behind(const struct model_scan *s, const struct oracle_entry *entry, latz_slice key)
{
	int order = oracle_compare(entry->key, entry->key_size, key.data, key.size);

	return s->options.reverse ? order > 0 : order < 0;
}

/* One step of a scan; false at its end. */
static bool scan_step(struct model *m, struct model_scan *s)
{
	struct oracle_entry *entry = next_expected(s);
	const struct model_key *known;
	latz_slice key = { NULL, 0 };
	bool finished = s->options.limit != 0 && s->returned == s->options.limit;
	int rc = latz_scan_next(s->scan, &key, &m->value);

	if (rc == LATZ_DONE) {
		EXPECT(m, finished || entry == NULL || is_bounded(m));
		return false;
	}
	EXPECT_RC(m, LATZ_OK, rc);
	/* Those that were evicted are not returned any more. */
	while (is_bounded(m) && entry != NULL && is_behind(s, entry, key)) {
		s->at++;
		entry = next_expected(s);
	}
	EXPECT_RC(m, LATZ_OK, rc);
	EXPECT(m, !finished);
	s->returned++;
	known = bsearch(&key, m->plan->keys, m->plan->key_count, sizeof(*known), compare_slice);
	EXPECT(m, known != NULL);
	EXPECT(m, in_range(&s->options, key.data, key.size));
	if (known->owner != m->me) {
		if (!s->options.keys_only)
			check_stamp(m, known, m->value.data, m->value.size, m->value.type);
		/* It must not jump over one of ours. */
		if (entry != NULL) {
			int order = oracle_compare(key.data, key.size, entry->key, entry->key_size);

			EXPECT(m, s->options.reverse ? order > 0 : order < 0);
		}
		return true;
	}
	EXPECT(m, entry != NULL);
	if (oracle_compare(key.data, key.size, entry->key, entry->key_size) != 0) {
		model_fail(m, __FILE__, __LINE__,
		           "scan (reverse %d, limit %" PRIu64
		           ") returned a key of %zu bytes, expected one of %zu, which comes %s; "
		           "the pool now has %s",
		           s->options.reverse, s->options.limit, key.size, entry->key_size,
		           oracle_compare(key.data, key.size, entry->key, entry->key_size) > 0 ? "before" : "after",
		           latz_strerror(latz_exists(m->pool, slice(entry->key, entry->key_size))));
	}
	check_own(m, entry, &m->value, !s->options.keys_only);
	s->at++;
	return true;
}

static latz_slice draw_bound(struct model *m, struct model_scan *s, unsigned which, bool prefix)
{
	const struct model_key *key = pick_any_key(m);
	size_t size = prefix ? rng_below(&m->rng, rng_below(&m->rng, 3) ? 3 : key->key.size + 1) : key->key.size;

	if (size > key->key.size)
		size = key->key.size;
	s->bounds[which] = check_alloc(size);
	memcpy(s->bounds[which], key->key.data, size);
	return slice(s->bounds[which], size);
}

void do_scan_open(struct model *m)
{
	struct model_scan *s = &m->scans[rng_below(&m->rng, SCANS_MAX)];

	if (s->scan != NULL)
		return;
	*s = (struct model_scan){ .options = LATZ_SCAN_OPTIONS_INIT };
	if (rng_below(&m->rng, 3) == 0)
		s->options.prefix = draw_bound(m, s, 0, true);
	if (rng_below(&m->rng, 3) == 0)
		s->options.from = draw_bound(m, s, 1, false);
	if (rng_below(&m->rng, 3) == 0)
		s->options.to = draw_bound(m, s, 2, false);
	s->options.reverse = (int)rng_below(&m->rng, 2);
	s->options.keys_only = rng_below(&m->rng, 4) == 0;
	s->options.limit = rng_below(&m->rng, 4) ? 0 : rng_between(&m->rng, 1, 100);
	EXPECT_RC(m, LATZ_OK, latz_scan_open(pick_pool(m), &s->options, &s->scan));
	oracle_copy(&s->then, &m->oracle);
}

static void scan_close(struct model *m, struct model_scan *s)
{
	if (s->scan == NULL)
		return;
	EXPECT_RC(m, LATZ_OK, latz_scan_close(s->scan));
	oracle_fini(&s->then);
	for (unsigned i = 0; i < ARRAY_LEN(s->bounds); i++)
		free(s->bounds[i]);
	s->scan = NULL;
}

void do_scan_step(struct model *m)
{
	struct model_scan *s = &m->scans[rng_below(&m->rng, SCANS_MAX)];
	uint64_t steps = rng_below(&m->rng, 100);

	if (s->scan == NULL)
		return;
	while (steps-- > 0) {
		if (!scan_step(m, s)) {
			scan_close(m, s);
			return;
		}
	}
}

void do_scan_close(struct model *m)
{
	scan_close(m, &m->scans[rng_below(&m->rng, SCANS_MAX)]);
}

void scans_close(struct model *m)
{
	for (unsigned i = 0; i < SCANS_MAX; i++)
		scan_close(m, &m->scans[i]);
}

/* Everything of ours, by one full scan and by the count of keys. */
void check_whole(struct model *m)
{
	struct model_scan s = { .options = LATZ_SCAN_OPTIONS_INIT };

	s.options.reverse = (int)rng_below(&m->rng, 2);
	EXPECT_RC(m, LATZ_OK, latz_scan_open(pick_pool(m), &s.options, &s.scan));
	oracle_copy(&s.then, &m->oracle);
	while (scan_step(m, &s))
		continue;
	EXPECT(m, next_expected(&s) == NULL || is_bounded(m));
	if (m->plan->processes == 1 && !is_bounded(m))
		EXPECT(m, s.returned == m->oracle.count);
	scan_close(m, &s);
}
