/*
 * The timed loops, the same for every system: make a key from the next id, call the system through its function
 * pointers, check word 0 of what comes back.
 *
 * A "chained" loop adds (word read xor word expected), which is 0, to the next id: the processor cannot know that,
 * so it cannot start on the next key before the value of this one has been copied out. That is what a caller sees
 * who needs an answer before the next question. Unchained, a processor overlaps neighbouring calls as far as its
 * window reaches.
 */
#define _GNU_SOURCE
#include "run.h"

#include <stdio.h>

static const uint64_t miss_offset = UINT64_C(1) << 40; /* ids from here on are never written */

static void expect(int ok, const struct subject *s, const char *what)
{
	if (!ok)
		bench_fail("%s: %s", s->system->name, what);
}

static inline __attribute__((always_inline)) double get_all(const struct subject *s, const uint32_t *ids, size_t n,
                                                            uint64_t offset, int chained)
{
	const uint8_t *(*get)(void *, const uint8_t *) = s->system->get;
	void *db = s->db;
	uint64_t bad = 0, carry = 0, start = bench_now_ns();
	uint8_t key[KEY_SIZE];
	for (size_t i = 0; i < n; i++) {
		uint64_t id = ids[i] + offset + (chained ? carry : 0);
		bench_key(id, key);
		const uint8_t *value = get(db, key);
		if (value == NULL)
			bench_fail("%s: key %llu is not there", s->system->name, (unsigned long long)id);
		carry = bench_value_word(value) ^ bench_word(id);
		bad |= carry;
	}
	double ns = (double)(bench_now_ns() - start) / (double)n;
	expect(bad == 0, s, "a get returned another key's value");
	return ns;
}

double loop_get(const struct subject *s, const uint32_t *ids, size_t n, uint64_t offset, int chained)
{
	return chained ? get_all(s, ids, n, offset, 1) : get_all(s, ids, n, offset, 0);
}

double loop_miss(const struct subject *s, const uint32_t *ids, size_t n)
{
	uint64_t found = 0, start = bench_now_ns();
	uint8_t key[KEY_SIZE];
	for (size_t i = 0; i < n; i++) {
		bench_key(ids[i] + miss_offset + found, key);
		found += s->system->get(s->db, key) != NULL;
	}
	double ns = (double)(bench_now_ns() - start) / (double)n;
	expect(found == 0, s, "a key that was never written was found");
	return ns;
}

double loop_mget(const struct subject *s, const uint32_t *ids, size_t n)
{
	uint64_t bad = 0, start = bench_now_ns();
	uint8_t keys[BATCH * KEY_SIZE];
	const uint8_t *values[BATCH];
	size_t done = 0;
	for (; done + BATCH <= n; done += BATCH) {
		for (size_t i = 0; i < BATCH; i++)
			bench_key(ids[done + i] + bad, keys + i * KEY_SIZE);
		expect(s->system->mget(s->db, keys, BATCH, values) == 0, s, "mget failed");
		for (size_t i = 0; i < BATCH; i++) {
			expect(values[i] != NULL, s, "mget missed a key");
			bad |= bench_value_word(values[i]) ^ bench_word(ids[done + i]);
		}
	}
	double ns = (double)(bench_now_ns() - start) / (double)done;
	expect(bad == 0, s, "mget returned another key's value");
	return ns;
}

double loop_set(const struct subject *s, const uint32_t *ids, size_t n, uint64_t generation)
{
	uint64_t start = bench_now_ns();
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	for (size_t i = 0; i < n; i++) {
		bench_key(ids[i], key);
		bench_value(ids[i], generation, value);
		expect(s->system->set(s->db, key, value) == 0, s, "set failed");
	}
	return (double)(bench_now_ns() - start) / (double)n;
}

double loop_mset(const struct subject *s, const uint32_t *ids, size_t n, uint64_t generation)
{
	uint64_t start = bench_now_ns();
	uint8_t keys[BATCH * KEY_SIZE], values[BATCH * VALUE_SIZE];
	size_t done = 0;
	for (; done + BATCH <= n; done += BATCH) {
		for (size_t i = 0; i < BATCH; i++) {
			bench_key(ids[done + i], keys + i * KEY_SIZE);
			bench_value(ids[done + i], generation, values + i * VALUE_SIZE);
		}
		expect(s->system->mset(s->db, keys, values, BATCH) == 0, s, "mset failed");
	}
	return (double)(bench_now_ns() - start) / (double)done;
}

double loop_insert(const struct subject *s, uint64_t first, size_t n, double *cpu_ns)
{
	uint64_t cpu = bench_cpu_ns(), start = bench_now_ns();
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	for (uint64_t id = first; id < first + n; id++) {
		bench_key(id, key);
		bench_value(id, 0, value);
		expect(s->system->set(s->db, key, value) == 0, s, "set of a fresh key failed");
	}
	if (s->system->catch_up != NULL)
		expect(s->system->catch_up(s->db) == 0, s, "catching up failed");
	double ns = (double)(bench_now_ns() - start) / (double)n;
	if (cpu_ns != NULL)
		*cpu_ns = (double)(bench_cpu_ns() - cpu) / (double)n;
	return ns;
}

/* Calls fn for batches of the ids from first on; the last one may be shorter. */
static void each_batch(const struct subject *s, uint64_t first, size_t n,
                       int (*fn)(const struct subject *, const uint8_t *, const uint8_t *, size_t), const char *what)
{
	uint8_t keys[BATCH * KEY_SIZE], values[BATCH * VALUE_SIZE];
	for (size_t done = 0, count; done < n; done += count) {
		count = n - done < BATCH ? n - done : BATCH;
		for (size_t i = 0; i < count; i++) {
			bench_key(first + done + i, keys + i * KEY_SIZE);
			bench_value(first + done + i, 0, values + i * VALUE_SIZE);
		}
		expect(fn(s, keys, values, count) == 0, s, what);
	}
}

static int batch_write(const struct subject *s, const uint8_t *keys, const uint8_t *values, size_t n)
{
	if (s->system->mset != NULL)
		return s->system->mset(s->db, keys, values, n);
	for (size_t i = 0; i < n; i++)
		if (s->system->set(s->db, keys + i * KEY_SIZE, values + i * VALUE_SIZE) != 0)
			return -1;
	return 0;
}

static int batch_delete(const struct subject *s, const uint8_t *keys, const uint8_t *values, size_t n)
{
	(void)values;
	return s->system->del(s->db, keys, n);
}

void load_keys(const struct subject *s, uint64_t first, size_t n)
{
	each_batch(s, first, n, batch_write, "loading failed");
}

void delete_keys(const struct subject *s, uint64_t first, size_t n)
{
	each_batch(s, first, n, batch_delete, "deleting failed");
}

double loop_scan(const struct subject *s, uint64_t keys)
{
	struct bench_scan scan = { 0, 0, 0, { 0, 0 } };
	uint64_t sum = 0, start = bench_now_ns();
	expect(s->system->scan(s->db, &scan) == 0, s, "scan failed");
	double ns = (double)(bench_now_ns() - start) / (double)keys;
	for (uint64_t id = 0; id < keys; id++)
		sum += bench_word(id);
	if (scan.keys != keys || scan.sum != sum || scan.disorder != 0)
		bench_fail("%s: scan: %llu keys of %llu, %llu out of order, values %s", s->system->name,
		           (unsigned long long)scan.keys, (unsigned long long)keys, (unsigned long long)scan.disorder,
		           scan.sum == sum ? "right" : "wrong");
	return ns;
}

void loop_tail_get(const struct subject *s, const uint32_t *ids, size_t n, float *ns)
{
	float tick_ns = (float)bench_tick_ns();
	uint64_t carry = 0;
	uint8_t key[KEY_SIZE];
	for (size_t i = 0; i < n; i++) {
		uint64_t id = ids[i] + carry;
		bench_key(id, key);
		uint64_t start = bench_ticks();
		const uint8_t *value = s->system->get(s->db, key);
		ns[i] = (float)(bench_ticks() - start) * tick_ns;
		expect(value != NULL, s, "a key is not there");
		carry |= bench_value_word(value) ^ bench_word(id);
	}
	expect(carry == 0, s, "a get returned another key's value");
}

void loop_tail_set(const struct subject *s, const uint32_t *ids, size_t n, uint64_t generation, float *ns)
{
	float tick_ns = (float)bench_tick_ns();
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	for (size_t i = 0; i < n; i++) {
		bench_key(ids[i], key);
		bench_value(ids[i], generation, value);
		uint64_t start = bench_ticks();
		int rc = s->system->set(s->db, key, value);
		ns[i] = (float)(bench_ticks() - start) * tick_ns;
		expect(rc == 0, s, "set failed");
	}
}

void check_values(const struct subject *s, uint64_t keys, size_t n)
{
	uint64_t state = 7;
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	for (size_t i = 0; i < n; i++) {
		uint64_t id = bench_random(&state) % keys, generation;
		bench_key(id, key);
		const uint8_t *got = s->system->get(s->db, key);
		expect(got != NULL, s, "check: a key is not there");
		memcpy(&generation, got + 8, 8);
		bench_value(id, generation, value);
		expect(memcmp(got, value, VALUE_SIZE) == 0, s, "check: a value has wrong bytes");
	}
}
