/* The reading operations of the model test. */
#include "model.h"

/* What a read of any key returned, rc included. */
static void check_read(struct model *m, const struct model_key *key, int rc, const latz_value *value)
{
	struct oracle_entry *entry;

	if (key->owner != m->me) {
		EXPECT(m, rc == LATZ_OK || rc == LATZ_NOTFOUND);
		if (rc == LATZ_OK)
			check_foreign(m, key, value->data, value->size, value->type);
		return;
	}
	entry = oracle_get(&m->oracle, key->key);
	if (entry != NULL && rc == LATZ_NOTFOUND && may_be_gone(m, key->key))
		return;
	EXPECT_RC(m, entry != NULL ? LATZ_OK : LATZ_NOTFOUND, rc);
	if (entry != NULL)
		check_own(m, entry, value, true);
}

void do_get(struct model *m)
{
	const struct model_key *key = pick_any_key(m);
	int rc = latz_get(pick_pool(m), key->key, &m->value);

	check_read(m, key, rc, &m->value);
	if (rc == LATZ_OK)
		EXPECT(m, ((const char *)m->value.data)[m->value.size] == '\0');
}

void do_get_if_changed(struct model *m)
{
	const struct model_key *key = pick_own_key(m);
	struct oracle_entry *entry = oracle_get(&m->oracle, key->key);
	uint64_t version = rng_next(&m->rng);
	int rc;

	if (entry != NULL && entry->version != 0 && rng_below(&m->rng, 2)) {
		rc = latz_get_if_changed(pick_pool(m), key->key, entry->version, &m->value);
		if (rc != LATZ_NOTFOUND || !may_be_gone(m, key->key))
			EXPECT_RC(m, LATZ_MISMATCH, rc);
		return;
	}
	if (entry != NULL && entry->version_not != 0 && rng_below(&m->rng, 2))
		version = entry->version_not;
	rc = latz_get_if_changed(pick_pool(m), key->key, version, &m->value);
	check_read(m, key, rc, &m->value);
}

void do_exists(struct model *m)
{
	const struct model_key *key = pick_any_key(m);
	int rc = latz_exists(pick_pool(m), key->key);

	if (key->owner != m->me)
		EXPECT(m, rc == LATZ_OK || rc == LATZ_NOTFOUND);
	else if (rc != LATZ_NOTFOUND || !may_be_gone(m, key->key))
		EXPECT_RC(m, oracle_get(&m->oracle, key->key) != NULL ? LATZ_OK : LATZ_NOTFOUND, rc);
}

void do_mget(struct model *m)
{
	enum {
		MGET_MAX = 40
	};
	const struct model_key *keys[MGET_MAX];
	latz_slice slices[MGET_MAX];
	latz_value values[MGET_MAX];
	int results[MGET_MAX];
	size_t n = rng_between(&m->rng, 1, MGET_MAX);

	for (size_t i = 0; i < n; i++) {
		keys[i] = pick_any_key(m);
		slices[i] = keys[i]->key;
		values[i] = (latz_value)LATZ_VALUE_INIT;
		results[i] = 12345;
	}
	EXPECT_RC(m, LATZ_OK, latz_mget(pick_pool(m), slices, n, values, results));
	for (size_t i = 0; i < n; i++) {
		check_read(m, keys[i], results[i], &values[i]);
		latz_value_free(&values[i]);
	}
}

void do_key_stat(struct model *m)
{
	const struct model_key *key = pick_own_key(m);
	struct oracle_entry *entry = oracle_get(&m->oracle, key->key);
	latz_key_info info = { .size = sizeof(info) };
	latz_value value = LATZ_VALUE_INIT;
	int rc = latz_key_stat(pick_pool(m), key->key, &info);

	EXPECT_RC(m, entry != NULL ? LATZ_OK : LATZ_NOTFOUND, rc);
	if (entry == NULL)
		return;
	EXPECT(m, info.value_size == entry->value_size);
	EXPECT(m, info.record_bytes >= info.stored_size + entry->key_size);
	EXPECT(m, info.stored_size <= entry->value_size + sealed_bytes());
	value.type = info.type;
	value.version = info.version;
	value.ttl_ms = info.ttl_ms;
	check_own(m, entry, &value, false);
}

void do_borrow(struct model *m)
{
	const struct model_key *key = pick_any_key(m);
	struct model_view *slot = &m->views[rng_below(&m->rng, VIEWS_MAX)];
	latz_value value = LATZ_VALUE_INIT;
	int rc;

	if (slot->used)
		return;
	memset(&slot->view, 0, sizeof(slot->view));
	rc = latz_borrow(pick_pool(m), key->key, &slot->view);
	value.data = (void *)slot->view.data;
	value.size = slot->view.size;
	value.type = slot->view.type;
	value.version = slot->view.version;
	value.ttl_ms = slot->view.ttl_ms;
	check_read(m, key, rc, &value);
	if (rc != LATZ_OK)
		return;
	slot->used = true;
	slot->size = value.size;
	slot->copy = check_alloc(value.size);
	if (value.size > 0)
		memcpy(slot->copy, value.data, value.size);
}

static void release(struct model *m, struct model_view *slot)
{
	if (!slot->used)
		return;
	EXPECT(m, slot->view.size == slot->size);
	EXPECT(m, slot->size == 0 || memcmp(slot->view.data, slot->copy, slot->size) == 0);
	EXPECT_RC(m, LATZ_OK, latz_release(&slot->view));
	free(slot->copy);
	slot->used = false;
}

void do_release(struct model *m)
{
	release(m, &m->views[rng_below(&m->rng, VIEWS_MAX)]);
}

void views_release(struct model *m)
{
	for (unsigned i = 0; i < VIEWS_MAX; i++)
		release(m, &m->views[i]);
}
