/*
 * The ledger of acknowledged writes and the self-checking values: see ledger.h.
 */
#define _GNU_SOURCE
#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value_head {
	uint32_t owner, index;
	uint64_t number;
	uint64_t size;
	uint64_t check; /* of the four above, so that a foreign head is not taken for one */
};

_Static_assert(sizeof(struct value_head) == HN_VALUE_MIN, "HN_VALUE_MIN is the head");

const char *hn_rc(int rc)
{
	static char names[4][40];
	static unsigned turn;
	char *out = names[turn++ % 4];

	snprintf(out, sizeof names[0], "%s", latz_strerror(rc));
	out[strcspn(out, ":")] = 0;
	return out;
}

latz_options hn_options(const char *dir, unsigned flags)
{
	latz_options options = LATZ_OPTIONS_INIT;

	options.dir = dir;
	options.flags = flags;
	return options;
}

int hn_maintain(latz_pool *pool, int timeout_ms)
{
	uint64_t start = hn_now_ns();
	int rc;

	while ((rc = latz_maintain(pool, 0)) == LATZ_BUSY && hn_since_ms(start) < timeout_ms)
		hn_sleep_us(1000);
	return rc;
}

struct verify_state {
	const char *when;
	int count;
};

static void on_finding(const char *what, void *arg)
{
	struct verify_state *state = arg;

	if (state->count++ < 5)
		hn_fail("%s: verify: %s", state->when, what);
}

int hn_verify(latz_pool *pool, const char *when)
{
	struct verify_state state = { when, 0 };
	int rc = latz_verify(pool, on_finding, &state);

	if (rc != LATZ_OK && state.count == 0) {
		hn_fail("%s: verify: %s (%s)", when, latz_strerror(rc), latz_error_detail());
		state.count++;
	} else if (rc == LATZ_OK && state.count > 0) {
		hn_fail("%s: verify returned LATZ_OK but had findings", when);
	}
	return state.count;
}

/* ---- Keys and values -------------------------------------------------------------------------------------------- */

struct hn_ledger *hn_ledger_new(uint32_t owner, uint32_t count, uint32_t size_max)
{
	struct hn_ledger *ledger = hn_shared(sizeof *ledger + count * sizeof ledger->keys[0]);

	ledger->owner = owner;
	ledger->count = count;
	ledger->size_max = size_max;
	ledger->next = 1;
	return ledger;
}

void hn_ledger_reset(struct hn_ledger *ledger)
{
	for (uint32_t i = 0; i < ledger->count; i++)
		ledger->keys[i].acked = ledger->keys[i].flight = 0;
	ledger->next = 1;
	ledger->alive = 0;
	ledger->void_all = 0;
}

latz_slice hn_key(char *buf, uint32_t owner, uint32_t index)
{
	int n = snprintf(buf, HN_KEY_MAX, "key/%08x/%03u", (unsigned)hn_mix(index) & 0xffffffffu, owner);

	n += snprintf(buf + n, HN_KEY_MAX - (size_t)n, "/%u", index);
	if (index % 41 == 40) {
		memset(buf + n, 'k', 600);
		n += 600;
	}
	return (latz_slice){ buf, (size_t)n };
}

size_t hn_value_size(const struct hn_ledger *ledger, uint32_t index, uint64_t number)
{
	uint64_t r = hn_mix(number * 1000003u + index), lot = r % 1000, size;

	if (lot < 850)
		size = HN_VALUE_MIN + (r >> 20) % 150;
	else if (lot < 985)
		size = HN_VALUE_MIN + (r >> 20) % 4000;
	else if (lot < 997)
		size = HN_VALUE_MIN + (r >> 20) % 60000;
	else
		size = HN_VALUE_MIN + (r >> 20) % 400000;
	return size <= ledger->size_max ? size : HN_VALUE_MIN + size % (ledger->size_max - HN_VALUE_MIN + 1);
}

/* Every second value is of words, so that it can be compressed, the others are noise. There are other words from time
 * to time, and a dictionary of those before is worth little then. */
static uint64_t value_word(uint64_t *state, uint64_t number)
{
	uint64_t word = hn_random(state);

	return number % 2 ? hn_mix(number >> 10 << 3 | word % 8) : word;
}

void hn_value_fill(void *buf, size_t size, uint32_t owner, uint32_t index, uint64_t number)
{
	struct value_head head = { owner, index, number, size, 0 };
	uint64_t state = hn_mix(number) ^ ((uint64_t)owner << 32 | index);
	unsigned char *p = buf;

	head.check = hn_mix(state ^ size);
	memcpy(p, &head, sizeof head);
	for (size_t i = sizeof head; i < size; i += 8) {
		uint64_t word = value_word(&state, number);

		memcpy(p + i, &word, size - i < 8 ? size - i : 8);
	}
}

int hn_value_check(const void *buf, size_t size, uint32_t owner, uint32_t index, uint64_t *number)
{
	const unsigned char *p = buf;
	struct value_head head;
	uint64_t state;

	if (size < sizeof head)
		return -1;
	memcpy(&head, p, sizeof head);
	state = hn_mix(head.number) ^ ((uint64_t)owner << 32 | index);
	if (head.owner != owner || head.index != index || head.size != size || head.check != hn_mix(state ^ size))
		return -1;
	for (size_t i = sizeof head; i < size; i += 8) {
		uint64_t word = value_word(&state, head.number);

		if (memcmp(p + i, &word, size - i < 8 ? size - i : 8) != 0)
			return -1;
	}
	*number = head.number;
	return 0;
}

/* ---- Writing through the ledger --------------------------------------------------------------------------------- */

static _Thread_local unsigned char *scratch;
static _Thread_local size_t scratch_size;

static unsigned char *scratch_get(size_t size)
{
	if (size > scratch_size) {
		free(scratch);
		scratch = malloc(size);
		scratch_size = size;
		if (!scratch)
			hn_die("no memory");
	}
	return scratch;
}

static uint64_t flight_begin(struct hn_ledger *ledger, uint32_t index, int deletion)
{
	uint64_t number = atomic_fetch_add(&ledger->next, 1);

	ledger->alive = hn_now_ns();
	ledger->keys[index].flight = number << 1 | (uint64_t)deletion;
	return number;
}

/* `done`: the write was acknowledged. Acked before flight is cleared: in between both say the same. */
static void flight_end(struct hn_ledger *ledger, uint32_t index, int done)
{
	struct hn_entry *entry = &ledger->keys[index];

	if (done)
		entry->acked = entry->flight;
	entry->flight = 0;
}

int hn_ledger_set(struct hn_ledger *ledger, latz_pool *pool, uint32_t index)
{
	uint64_t number = flight_begin(ledger, index, 0);
	size_t size = hn_value_size(ledger, index, number);
	unsigned char *bytes = scratch_get(size);
	char key[HN_KEY_MAX];
	int rc;

	hn_value_fill(bytes, size, ledger->owner, index, number);
	rc = latz_set(pool, hn_key(key, ledger->owner, index), (latz_slice){ bytes, size }, NULL);
	flight_end(ledger, index, rc == LATZ_OK);
	return rc;
}

int hn_ledger_swap(struct hn_ledger *ledger, latz_pool *pool, uint32_t index)
{
	uint64_t acked = ledger->keys[index].acked, number = flight_begin(ledger, index, 0), old;
	size_t size = hn_value_size(ledger, index, number);
	unsigned char *bytes = scratch_get(size);
	latz_value before = LATZ_VALUE_INIT;
	char key[HN_KEY_MAX];
	int rc;

	hn_value_fill(bytes, size, ledger->owner, index, number);
	rc = latz_swap(pool, hn_key(key, ledger->owner, index), (latz_slice){ bytes, size }, &before);
	flight_end(ledger, index, rc == LATZ_OK);
	if (rc == LATZ_OK && before.version != 0 &&
	    (hn_value_check(before.data, before.size, ledger->owner, index, &old) != 0 || old << 1 != acked))
		hn_fail("swap of key %u/%u gave something else than what was there", ledger->owner, index);
	if (rc == LATZ_OK && before.version == 0 && acked != 0 && !(acked & 1) && !ledger->evicts)
		hn_fail("swap of key %u/%u found nothing, but write %llu was acknowledged", ledger->owner, index,
		        (unsigned long long)(acked >> 1));
	latz_value_free(&before);
	return rc;
}

#define MSET_MAX 64

int hn_ledger_mset(struct hn_ledger *ledger, latz_pool *pool, uint32_t first, uint32_t count)
{
	static _Thread_local char keys[MSET_MAX][HN_KEY_MAX];
	static _Thread_local unsigned char bytes[MSET_MAX][256];
	latz_item items[MSET_MAX] = { 0 };
	int rc;

	count = count < MSET_MAX ? count : MSET_MAX;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t index = (first + i) % ledger->count;
		uint64_t number = flight_begin(ledger, index, 0);
		size_t size = HN_VALUE_MIN + number % 200;

		hn_value_fill(bytes[i], size, ledger->owner, index, number);
		items[i].key = hn_key(keys[i], ledger->owner, index);
		items[i].value = (latz_slice){ bytes[i], size };
	}
	rc = latz_mset(pool, items, count, NULL);
	/* A failed mset may have written some: leave those in flight, either state is right. */
	for (uint32_t i = 0; rc == LATZ_OK && i < count; i++)
		flight_end(ledger, (first + i) % ledger->count, 1);
	return rc;
}

int hn_ledger_delete(struct hn_ledger *ledger, latz_pool *pool, uint32_t index)
{
	char key[HN_KEY_MAX];
	int rc;

	flight_begin(ledger, index, 1);
	rc = latz_delete(pool, hn_key(key, ledger->owner, index));
	flight_end(ledger, index, rc == LATZ_OK || rc == LATZ_NOTFOUND);
	return rc;
}

/* ---- Checking --------------------------------------------------------------------------------------------------- */

/* 1 if the state seen (0: no such key; else number << 1) is one the entry allows. */
static int allowed(uint64_t seen, uint64_t state)
{
	if (seen == 0)
		return state == 0 || (state & 1);
	return seen == state;
}

static void complain(const struct hn_ledger *ledger, uint32_t index, uint64_t seen, const char *when)
{
	uint64_t acked = ledger->keys[index].acked, flight = ledger->keys[index].flight;

	hn_fail("%s: key %u/%u: %s%llu, but acknowledged %s %llu, under way %s %llu", when, ledger->owner, index,
	        seen ? "holds write " : "not there ", (unsigned long long)(seen >> 1), acked & 1 ? "delete" : "set",
	        (unsigned long long)(acked >> 1), flight & 1 ? "delete" : "set", (unsigned long long)(flight >> 1));
}

int hn_ledger_check(struct hn_ledger *ledger, latz_pool *pool, int adopt, const char *when)
{
	latz_value value = LATZ_VALUE_INIT;
	char key[HN_KEY_MAX];
	int bad = 0;

	for (uint32_t i = 0; i < ledger->count && bad < 10; i++) {
		struct hn_entry *entry = &ledger->keys[i];
		int rc = latz_get(pool, hn_key(key, ledger->owner, i), &value);
		uint64_t seen = 0, number;

		if (rc == LATZ_OK && hn_value_check(value.data, value.size, ledger->owner, i, &number) != 0) {
			hn_fail("%s: key %u/%u is torn (%zu bytes)", when, ledger->owner, i, value.size);
			bad++;
			continue;
		}
		if (rc != LATZ_OK && rc != LATZ_NOTFOUND) {
			hn_fail("%s: get of key %u/%u: %s (%s)", when, ledger->owner, i, hn_rc(rc),
			        latz_error_detail());
			bad++;
			continue;
		}
		if (rc == LATZ_OK)
			seen = number << 1;
		if (!allowed(seen, entry->acked) && !(entry->flight && allowed(seen, entry->flight)) &&
		    !ledger->void_all && !(ledger->evicts && seen == 0)) {
			complain(ledger, i, seen, when);
			bad++;
		}
		/* What was evicted may come back from a log: as it was, or as who died meant it to be. */
		if (adopt && ledger->evicts && seen == 0) {
			if (entry->flight != 0 && (rc = hn_ledger_set(ledger, pool, i)) != LATZ_OK) {
				hn_fail("%s: set of key %u/%u: %s", when, ledger->owner, i, hn_rc(rc));
				bad++;
			}
		} else if (adopt) {
			entry->acked = seen;
			entry->flight = 0;
		}
	}
	latz_value_free(&value);
	return bad;
}
