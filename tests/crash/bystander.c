/*
 * Processes that just go on: each writes and reads its own keys around and around, which takes it through every bucket,
 * reads somebody else's keys for wholeness, and measures how long each call took.
 */
#define _GNU_SOURCE
#include "workload.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct walk {
	struct wl_bystander *b;
	latz_pool *pool;
	struct hn_meter meter;
	latz_value value;
	uint64_t *numbers; /* last acknowledged write of each key */
	uint64_t *doubts;  /* a write that timed out */
	uint64_t next;
};

static void complain(struct walk *w, const char *what, uint32_t i, int rc)
{
	if (w->b->tolerate_loss && (rc == LATZ_NOTFOUND || rc == LATZ_DEAD))
		return;
	if (w->b->bad++ < 5)
		hn_fail("bystander %u: %s of key %u: %s (%s)", w->b->owner, what, i, hn_rc(rc), latz_error_detail());
}

/* Whatever the words, the last number of the message is the holder's pid. */
static void blame(struct wl_bystander *b)
{
	const char *text = latz_error_detail(), *end = text + strlen(text);

	while (end > text && !isdigit((unsigned char)end[-1]))
		end--;
	while (end > text && isdigit((unsigned char)end[-1]))
		end--;
	b->timeouts++;
	b->blamed = isdigit((unsigned char)*end) ? atoll(end) : -1;
}

static void write_one(struct walk *w, uint32_t i)
{
	unsigned char bytes[160];
	char key[HN_KEY_MAX];
	size_t size = HN_VALUE_MIN + w->next % 120;
	latz_slice name = hn_key(key, w->b->owner, i);
	uint64_t start;
	int rc;

	hn_value_fill(bytes, size, w->b->owner, i, ++w->next);
	start = hn_meter_begin(&w->meter);
	rc = latz_set(w->pool, name, (latz_slice){ bytes, size }, NULL);
	hn_meter_end(&w->meter, start, &w->b->writes);
	w->b->ops++;
	if (rc == LATZ_OK) {
		w->numbers[i] = w->next;
		w->doubts[i] = 0;
	} else if (rc == LATZ_TIMEOUT && w->b->tolerate_timeout) {
		w->doubts[i] = w->next;
		blame(w->b);
	} else {
		complain(w, "set", i, rc);
	}
}

static void read_one(struct walk *w, uint32_t i)
{
	char key[HN_KEY_MAX];
	latz_slice name = hn_key(key, w->b->owner, i);
	uint64_t start = hn_meter_begin(&w->meter), number = 0;
	int rc = latz_get(w->pool, name, &w->value);

	hn_meter_end(&w->meter, start, &w->b->reads);
	w->b->ops++;
	if (rc == LATZ_NOTFOUND && w->numbers[i] == 0)
		return;
	if (rc != LATZ_OK) {
		complain(w, "get", i, rc);
	} else if (hn_value_check(w->value.data, w->value.size, w->b->owner, i, &number) != 0 ||
	           (number != w->numbers[i] && number != w->doubts[i])) {
		if (w->b->bad++ < 5)
			hn_fail("bystander %u: key %u holds write %llu, acknowledged was %llu", w->b->owner, i,
			        (unsigned long long)number, (unsigned long long)w->numbers[i]);
	}
}

static void peek_one(struct walk *w, uint32_t i)
{
	const struct hn_ledger *peek = w->b->peek;
	uint64_t start, number;
	char key[HN_KEY_MAX];
	latz_slice name;
	int rc;

	i %= peek->count;
	name = hn_key(key, peek->owner, i);
	start = hn_meter_begin(&w->meter);
	rc = latz_get(w->pool, name, &w->value);
	/* Copying half a megabyte is no waiting. */
	if (w->value.size < 4096)
		hn_meter_end(&w->meter, start, &w->b->reads);
	w->b->ops++;
	if (rc == LATZ_NOTFOUND)
		return;
	if (rc != LATZ_OK)
		complain(w, "get of another's", i, rc);
	else if (hn_value_check(w->value.data, w->value.size, peek->owner, i, &number) != 0 && w->b->bad++ < 5)
		hn_fail("bystander %u: read a torn value of %u/%u", w->b->owner, peek->owner, i);
}

int wl_bystander_run(void *arg)
{
	struct wl_bystander *b = arg;
	latz_options options = hn_options(b->dir, LATZ_CREATE | LATZ_NO_THREAD);
	struct walk w = { .b = b, .value = LATZ_VALUE_INIT };
	int rc;

	options.timeout_ms = b->timeout_ms;
	w.numbers = calloc(b->keys, sizeof *w.numbers);
	w.doubts = calloc(b->keys, sizeof *w.doubts);
	rc = latz_open(b->pool, &options, &w.pool);
	if (rc != LATZ_OK || !w.numbers || !w.doubts) {
		hn_fail("bystander %u: open: %s (%s)", b->owner, hn_rc(rc), latz_error_detail());
		b->bad++;
		return 1;
	}
	hn_meter_open(&w.meter);
	while (!b->stop) {
		for (uint32_t i = 0; i < b->keys && !b->stop; i++) {
			while (b->pause && !b->stop) {
				b->paused = 1;
				hn_sleep_us(500);
			}
			b->paused = 0;
			write_one(&w, i);
			read_one(&w, (uint32_t)(hn_mix(w.next) % b->keys));
			if (b->peek)
				peek_one(&w, (uint32_t)hn_mix(w.next ^ b->owner));
			/* A thread that sleeps now and then is woken promptly; one that never does measures the
			 * scheduler. */
			if (i % 32 == 31)
				hn_sleep_us(20);
		}
		b->laps++;
		b->ready = 1;
	}
	latz_value_free(&w.value);
	rc = latz_close(w.pool);
	if (rc != LATZ_OK)
		complain(&w, "close", 0, rc);
	return b->bad ? 1 : 0;
}
