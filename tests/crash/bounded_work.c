/*
 * What a member of the bounded soak does: sets of 16 bytes to 1 MiB, gets, deletes, deadlines, appends, increments and
 * borrowed views, each checked. See bounded.h.
 */
#define _GNU_SOURCE
#include "bounded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How late a deadline may be noticed by our clock. */
#define LATE_MS 20
#define OPS_AT_ONCE 64u

struct worker {
	unsigned me;
	struct bd_member *own;
	latz_pool *pool;
	uint64_t rnd;
	latz_value value;
	latz_view view; /* one borrowed view at a time */
	unsigned view_owner, view_key, view_ops;
};

struct bd_config bd_config;

/* ---- Values ----------------------------------------------------------------------------------------------------- */

struct head {
	uint64_t number;
	uint32_t size;
	uint32_t check;
};

#define SIZE_MIN 16u
#define SIZE_MOST (1u << 20)

_Static_assert(sizeof(struct head) == SIZE_MIN, "the least value is a head");

static size_t size_of(uint64_t number, unsigned key)
{
	uint64_t r = hn_mix(number * 1000003u + key), lot = r % 1000, n = r >> 20;

	return SIZE_MIN + (size_t)(lot < 600   ? n % 240
	                           : lot < 900 ? n % 4000
	                           : lot < 985 ? n % 60000
	                           : lot < 995 ? n % 300000
	                                       : n % (SIZE_MOST - SIZE_MIN + 1));
}

/* What a value takes in the pool, about: its key and the record's head with it. */
static size_t cost_of(uint64_t number, unsigned key)
{
	return size_of(number, key) + 100 + (key % 41 == 40 ? 600 : 0);
}

static uint32_t check_of(unsigned owner, unsigned key, uint64_t number, size_t size)
{
	return (uint32_t)(hn_mix(hn_mix(number) ^ ((uint64_t)owner << 32 | key) ^ (uint64_t)size << 7) >> 16);
}

static void fill(unsigned char *p, size_t size, unsigned owner, unsigned key, uint64_t number)
{
	struct head head = { number, (uint32_t)size, check_of(owner, key, number, size) };
	uint64_t state = number ^ ((uint64_t)owner << 32 | key);

	memcpy(p, &head, sizeof head);
	for (size_t i = sizeof head; i < size; i += 8) {
		uint64_t word = hn_random(&state);

		memcpy(p + i, &word, size - i < 8 ? size - i : 8);
	}
}

/* 0 if it is a whole value of the key; *number: which. */
static int check_plain(const unsigned char *p, size_t size, unsigned owner, unsigned key, uint64_t *number)
{
	struct head head;
	uint64_t state;

	if (size < sizeof head)
		return -1;
	memcpy(&head, p, sizeof head);
	if (head.size != size || head.check != check_of(owner, key, head.number, size) ||
	    size != size_of(head.number, key))
		return -1;
	state = head.number ^ ((uint64_t)owner << 32 | key);
	for (size_t i = sizeof head; i < size; i += 8) {
		uint64_t word = hn_random(&state);

		if (memcmp(p + i, &word, size - i < 8 ? size - i : 8) != 0)
			return -1;
	}
	*number = head.number;
	return 0;
}

/* A tail is heads in a row, their numbers without a gap. */
static int check_tail(const unsigned char *p, size_t size, unsigned owner, unsigned key, uint64_t *number)
{
	struct head head;
	uint64_t last = 0;

	if (size == 0 || size % sizeof head != 0)
		return -1;
	for (size_t i = 0; i < size; i += sizeof head) {
		memcpy(&head, p + i, sizeof head);
		if ((i > 0 && head.number != last + 1) || head.size != sizeof head ||
		    head.check != check_of(owner, key, head.number, sizeof head))
			return -1;
		last = head.number;
	}
	*number = last;
	return 0;
}

static int check_value(const void *p, size_t size, unsigned owner, unsigned key, uint64_t *number)
{
	if (key < BD_PLAIN)
		return check_plain(p, size, owner, key, number);
	if (key < BD_PLAIN + BD_TAILS)
		return check_tail(p, size, owner, key, number);
	if (size != 8)
		return -1;
	memcpy(number, p, 8);
	return *number > 0 && *number < 1ull << 40 ? 0 : -1;
}

/* ---- Results ---------------------------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
	return (int64_t)(hn_now_ns() / 1000000);
}

static latz_slice key_name(char buf[HN_KEY_MAX], unsigned owner, unsigned key)
{
	return hn_key(buf, owner, key);
}

static void bad(struct worker *w, const char *what, unsigned owner, unsigned key, uint64_t seen)
{
	const struct bd_key *k = &bd_config.shared->member[owner].key[key];

	hn_fail("member %u: %s of key %u/%u: saw %llu, acknowledged %s%llu, under way %s%llu", w->me, what, owner, key,
	        (unsigned long long)seen, k->acked & 1 ? "deletion " : "", (unsigned long long)(k->acked >> 1),
	        k->flight & 1 ? "deletion " : "", (unsigned long long)(k->flight >> 1));
	w->own->bad++;
}

/* The promise is about what is alive; refusing with more than that alive is right. */
static void refused(struct worker *w)
{
	latz_stats_t s = { .size = sizeof s };
	uint64_t part;

	bd_config.shared->full++;
	if (latz_stats(w->pool, &s) != LATZ_OK)
		return;
	part = s.live_bytes * 1000 / bd_config.max_bytes;
	if (bd_config.shared->full_live == 0 || part < bd_config.shared->full_live)
		bd_config.shared->full_live = part;
	if (part >= bd_config.live_percent * 10)
		return;
	if (bd_config.shared->full_low++ < 3)
		hn_fail("member %u: LATZ_FULL with %llu.%llu %% of max_bytes alive: %llu live, %llu dead, heap %llu, "
		        "table "
		        "%llu, index %llu, all %llu; %llu extents, %llu free, %llu given back",
		        w->me, (unsigned long long)part / 10, (unsigned long long)part % 10,
		        (unsigned long long)s.live_bytes, (unsigned long long)s.dead_bytes,
		        (unsigned long long)s.heap_bytes, (unsigned long long)s.table_bytes,
		        (unsigned long long)s.index_bytes, (unsigned long long)s.file_bytes,
		        (unsigned long long)s.extents, (unsigned long long)s.extents_free,
		        (unsigned long long)s.extents_hole);
}

/* 1: the write was done. */
static int done(struct worker *w, const char *what, int rc)
{
	if (rc == LATZ_OK || rc == LATZ_NOTFOUND)
		return rc == LATZ_OK;
	if (rc == LATZ_FULL) {
		refused(w);
		return 0;
	}
	hn_fail("member %u: %s: %s (%s)", w->me, what, hn_rc(rc), latz_error_detail());
	w->own->bad++;
	return 0;
}

/* ---- Reading ---------------------------------------------------------------------------------------------------- */

/* before: what was acknowledged when the read began. */
static void judge_seen(struct worker *w, unsigned owner, unsigned key, const void *p, size_t size, uint64_t before,
                       int64_t gone_ms, int64_t begun_ms)
{
	const struct bd_key *k = &bd_config.shared->member[owner].key[key];
	uint64_t number = 0, acked, flight;

	if (check_value(p, size, owner, key, &number) != 0) {
		bad(w, "torn or foreign value", owner, key, size);
		return;
	}
	if (owner == w->me && number << 1 != before)
		bad(w, "wrong value", owner, key, number);
	if (owner == w->me && gone_ms != 0 && begun_ms > gone_ms + LATE_MS)
		bad(w, "value past its deadline", owner, key, number);
	if (owner == w->me || key >= BD_PLAIN + BD_TAILS)
		return;
	flight = k->flight;
	acked = k->acked;
	/* An older one than was acknowledged before, or one never written. */
	if (number << 1 < (before & ~1ull) || (before & 1 && number << 1 <= before) ||
	    (number << 1 > acked && flight >> 1 < number))
		bad(w, "older value, or of the future,", owner, key, number);
}

static int get(struct worker *w, unsigned owner, unsigned key)
{
	const struct bd_key *k = &bd_config.shared->member[owner].key[key];
	uint64_t before = k->acked;
	int64_t gone = k->gone_ms, begun = now_ms();
	char name[HN_KEY_MAX];
	int rc = latz_get(w->pool, key_name(name, owner, key), &w->value);

	bd_config.shared->gets++;
	if (rc == LATZ_NOTFOUND)
		return 0;
	if (rc != LATZ_OK) {
		done(w, "get", rc);
		return 0;
	}
	bd_config.shared->hits++;
	judge_seen(w, owner, key, w->value.data, w->value.size, before, gone, begun);
	/* Memory is what this is about: a large buffer is not kept. */
	if (w->value.capacity > 1u << 16)
		latz_value_free(&w->value);
	return 1;
}

static void release(struct worker *w)
{
	uint64_t number;
	int rc;

	if (!w->view.owner)
		return;
	if (check_value(w->view.data, w->view.size, w->view_owner, w->view_key, &number) != 0)
		bad(w, "view that changed", w->view_owner, w->view_key, w->view.size);
	rc = latz_release(&w->view);
	if (rc != LATZ_OK)
		done(w, "release", rc);
	memset(&w->view, 0, sizeof w->view);
}

static void borrow(struct worker *w, unsigned owner, unsigned key)
{
	char name[HN_KEY_MAX];
	int rc;

	release(w);
	rc = latz_borrow(w->pool, key_name(name, owner, key), &w->view);
	bd_config.shared->borrows++;
	if (rc == LATZ_OK) {
		w->view_owner = owner;
		w->view_key = key;
		w->view_ops = 0;
	} else {
		memset(&w->view, 0, sizeof w->view);
		if (rc != LATZ_NOTFOUND)
			done(w, "borrow", rc);
	}
}

/* ---- Writing ---------------------------------------------------------------------------------------------------- */

static uint64_t begin(struct worker *w, unsigned key, uint64_t state)
{
	struct bd_key *k = &w->own->key[key];

	k->gone_ms = 0;
	k->flight = state;
	return state >> 1;
}

static void end(struct worker *w, unsigned key, int ok)
{
	struct bd_key *k = &w->own->key[key];

	if (ok)
		k->acked = k->flight;
	k->flight = 0;
}

static void drop(struct worker *w, unsigned key)
{
	uint64_t before = w->own->key[key].acked, number = w->own->next++;
	char name[HN_KEY_MAX];
	int rc;

	begin(w, key, number << 1 | 1);
	rc = latz_delete(w->pool, key_name(name, w->me, key));
	if (rc == LATZ_NOTFOUND)
		rc = LATZ_OK;
	if (!done(w, "delete", rc)) {
		end(w, key, 0);
		return;
	}
	bd_config.shared->deletes++;
	end(w, key, 1);
	if (before != 0 && !(before & 1))
		w->own->own_live -= cost_of(before >> 1, key);
}

/* Without eviction a member keeps its share by itself. What is appended to is not counted: it is little. */
static void keep_share(struct worker *w)
{
	uint64_t all = bd_config.max_bytes / 100 * bd_config.live_percent, tails = bd_config.max_bytes / 20;

	if (bd_config.policy != LATZ_POLICY_NONE)
		return;
	while (w->own->own_live + SIZE_MOST / 8 > (all - tails) / bd_config.members && !w->own->bad) {
		unsigned key = (unsigned)(hn_random(&w->rnd) % BD_PLAIN);

		if (w->own->key[key].acked != 0 && !(w->own->key[key].acked & 1))
			drop(w, key);
	}
}

static void set(struct worker *w, unsigned key)
{
	latz_set_options o = LATZ_SET_OPTIONS_INIT;
	uint64_t number, before;
	unsigned char *bytes;
	char name[HN_KEY_MAX];
	int64_t from;
	size_t size;
	int ok;

	keep_share(w);
	before = w->own->key[key].acked;
	number = w->own->next++;
	size = size_of(number, key);
	bytes = malloc(size);
	if (!bytes)
		hn_die("no memory");
	fill(bytes, size, w->me, key, number);
	if (bd_config.policy != LATZ_POLICY_NONE && hn_random(&w->rnd) % 10 == 0)
		o.ttl_ms = 50 + (int64_t)(hn_random(&w->rnd) % 3000);
	begin(w, key, number << 1);
	ok = done(w, "set", latz_set(w->pool, key_name(name, w->me, key), (latz_slice){ bytes, size }, &o));
	from = now_ms();
	end(w, key, ok);
	free(bytes);
	if (!ok)
		return;
	bd_config.shared->sets++;
	bd_config.shared->set_bytes += size;
	w->own->own_live += cost_of(number, key) - (before != 0 && !(before & 1) ? cost_of(before >> 1, key) : 0);
	w->own->key[key].gone_ms = o.ttl_ms > 0 ? from + o.ttl_ms : 0;
	if (hn_random(&w->rnd) % 4 == 0 && !get(w, w->me, key) && (o.ttl_ms == 0 || now_ms() < from + o.ttl_ms / 2))
		bad(w, "key just written, not there,", w->me, key, 0);
}

static void touch(struct worker *w, unsigned key)
{
	int64_t ttl = bd_config.policy == LATZ_POLICY_NONE || hn_random(&w->rnd) % 2
	                      ? -1
	                      : 20 + (int64_t)(hn_random(&w->rnd) % 2000);
	char name[HN_KEY_MAX];
	int ok;

	/* What is there stays what it is; until when is open if we die. */
	begin(w, key, w->own->key[key].acked);
	ok = done(w, "touch", latz_touch(w->pool, key_name(name, w->me, key), ttl));
	end(w, key, 0);
	bd_config.shared->touches++;
	if (ok && ttl > 0)
		w->own->key[key].gone_ms = now_ms() + ttl;
}

static void append(struct worker *w, unsigned key)
{
	struct bd_key *k = &w->own->key[key];
	uint64_t number = (k->acked >> 1) + 1;
	struct head head = { number, sizeof head, check_of(w->me, key, number, sizeof head) };
	size_t size = 0, most = key % 16 == 0 ? 128u << 10 : 4096;
	char name[HN_KEY_MAX];
	int ok;

	begin(w, key, number << 1);
	ok = done(w, "append",
	          latz_append(w->pool, key_name(name, w->me, key), (latz_slice){ &head, sizeof head }, &size));
	end(w, key, ok);
	bd_config.shared->appends++;
	if (ok && (size == 0 || size % sizeof head != 0))
		bad(w, "append's new size", w->me, key, size);
	if (!ok || size < most)
		return;
	begin(w, key, number << 1 | 1);
	ok = latz_delete(w->pool, key_name(name, w->me, key));
	end(w, key, ok == LATZ_OK || ok == LATZ_NOTFOUND);
	if (ok != LATZ_NOTFOUND)
		done(w, "delete", ok);
}

static void increment(struct worker *w, unsigned key)
{
	struct bd_key *k = &w->own->key[key];
	uint64_t before = k->acked >> 1;
	int64_t sum = 0;
	char name[HN_KEY_MAX];
	int ok;

	begin(w, key, (before + 1) << 1);
	ok = done(w, "increment", latz_increment(w->pool, key_name(name, w->me, key), 1, &sum));
	/* It began anew if it had been evicted. */
	if (ok && sum == 1)
		k->flight = 2;
	else if (ok && sum != (int64_t)before + 1)
		bad(w, "increment", w->me, key, (uint64_t)sum);
	end(w, key, ok);
	bd_config.shared->increments++;
}

/* ---- Joining ---------------------------------------------------------------------------------------------------- */

/* What the one before us was writing when it died is there or not: from now on it is what we see. What is not there
 * will not come back. */
static void adopt(struct worker *w)
{
	char name[HN_KEY_MAX];

	w->own->own_live = 0;
	for (unsigned key = 0; key < BD_KEYS && !w->own->bad; key++) {
		struct bd_key *k = &w->own->key[key];
		uint64_t flight = k->flight, acked = k->acked, number = 0;
		int rc;

		if (flight != 0) {
			rc = latz_get(w->pool, key_name(name, w->me, key), &w->value);
			if (rc == LATZ_OK && check_value(w->value.data, w->value.size, w->me, key, &number) != 0)
				bad(w, "torn value after a death", w->me, key, w->value.size);
			else if (rc == LATZ_OK && number << 1 != acked && number << 1 != flight &&
			         !(key >= BD_PLAIN + BD_TAILS && number == 1))
				bad(w, "value after a death", w->me, key, number);
			else if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
				done(w, "get after a death", rc);
			if (rc == LATZ_NOTFOUND)
				k->acked = key < BD_PLAIN + BD_TAILS ? (flight > acked ? flight : acked) | 1 : 0;
			else
				k->acked = number << 1;
			k->flight = 0;
			k->gone_ms = 0;
		}
		if (key < BD_PLAIN && k->acked != 0 && !(k->acked & 1))
			w->own->own_live += cost_of(k->acked >> 1, key);
	}
}

/* How much is alive, from when the pool has been filled. */
static void note_live(struct worker *w)
{
	struct bd_shared *sh = bd_config.shared;
	latz_stats_t s = { .size = sizeof s };
	uint64_t part;

	if (sh->ops < bd_config.ops / 4 || latz_stats(w->pool, &s) != LATZ_OK)
		return;
	part = s.live_bytes * 1000 / bd_config.max_bytes;
	sh->live_sum += part;
	sh->live_looks++;
	if (sh->live_least == 0 || part < sh->live_least)
		sh->live_least = part;
}

/* ---- The member ------------------------------------------------------------------------------------------------- */

static void one(struct worker *w)
{
	unsigned r = (unsigned)(hn_random(&w->rnd) % 100), plain = (unsigned)(hn_random(&w->rnd) % BD_PLAIN),
		 owner = (unsigned)(hn_random(&w->rnd) % bd_config.members);
	unsigned tail = BD_PLAIN + plain % BD_TAILS, counter = BD_PLAIN + BD_TAILS + plain % BD_COUNTERS;

	/* Half of the reads go to a tenth of the keys. */
	if (hn_random(&w->rnd) % 2)
		plain /= 10;
	if (r < 38)
		get(w, owner, plain);
	else if (r < 40)
		get(w, owner, hn_random(&w->rnd) % 2 ? tail : counter);
	else if (r < 72)
		set(w, plain);
	else if (r < 79)
		drop(w, plain);
	else if (r < 83)
		touch(w, plain);
	else if (r < 90)
		append(w, tail);
	else if (r < 98)
		increment(w, counter);
	else
		borrow(w, owner, plain);
	if (w->view.owner && ++w->view_ops > 20)
		release(w);
}

latz_options bd_options(unsigned flags)
{
	latz_options o = hn_options(bd_config.dir, LATZ_CREATE | LATZ_KEEP | LATZ_NO_GUARD | flags);

	o.max_bytes = bd_config.max_bytes;
	o.policy = bd_config.policy;
	return o;
}

int bd_member_run(void *arg)
{
	unsigned me = *(unsigned *)arg;
	struct worker w = { .me = me, .own = &bd_config.shared->member[me], .value = LATZ_VALUE_INIT };
	/* Some have no janitor of their own. */
	latz_options o = bd_options(me % 4 == 3 ? LATZ_NO_THREAD : 0);
	int rc;

	w.rnd = hn_seed * 977 + me * 131 + w.own->joined++ * 7919;
	if (bd_config.group && cg_enter(bd_config.group) != 0)
		hn_die("can't enter the cgroup");
	rc = latz_open(BD_POOL, &o, &w.pool);
	if (rc != LATZ_OK) {
		hn_fail("member %u: open: %s (%s)", me, hn_rc(rc), latz_error_detail());
		return 1;
	}
	if (w.own->next == 0)
		w.own->next = 1;
	adopt(&w);
	while (!bd_config.shared->stop && !w.own->bad && bd_config.shared->ops < bd_config.ops) {
		for (unsigned i = 0; i < OPS_AT_ONCE && !w.own->bad; i++)
			one(&w);
		bd_config.shared->ops += OPS_AT_ONCE;
		if (hn_random(&w.rnd) % 16 == 0)
			note_live(&w);
		if (o.flags & LATZ_NO_THREAD)
			(void)!latz_maintain(w.pool, 1000);
	}
	release(&w);
	latz_value_free(&w.value);
	rc = latz_close(w.pool);
	if (rc != LATZ_OK)
		hn_fail("member %u: close: %s (%s)", me, hn_rc(rc), latz_error_detail());
	return rc != LATZ_OK || w.own->bad ? 1 : 0;
}
