/*
 * The run to ten million keys: does anything get worse than the caches explain? The floor beside it shows what they
 * explain.
 */
#define _GNU_SOURCE
#include "run.h"

#include <stdlib.h>

enum {
	STEPS = 4,
	WINDOW = 1000,
	SLICES = 5,
	SLICE_OPS = 500000
};

static const unsigned millions[STEPS] = { 1, 2, 5, 10 };
static const char *const insert_metrics[STEPS] = { "big-insert-1", "big-insert-2", "big-insert-5", "big-insert-10" };
static const char *const window_metrics[STEPS] = { "big-window-1", "big-window-2", "big-window-5", "big-window-10" };
static const char *const get_metrics[STEPS] = { "big-get-1", "big-get-2", "big-get-5", "big-get-10" };
static const char *const set_metrics[STEPS] = { "big-set-1", "big-set-2", "big-set-5", "big-set-10" };

/* Inserts [first, end), noting the slowest run of WINDOW inserts. */
static void grow(const struct subject *s, uint64_t first, uint64_t end, int step)
{
	uint64_t start = bench_now_ns(), window = start, worst = 0;
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	for (uint64_t id = first; id < end; id++) {
		bench_key(id, key);
		bench_value(id, 0, value);
		if (s->system->set(s->db, key, value) != 0)
			bench_fail("%s: set failed at %llu keys", s->system->name, (unsigned long long)id);
		if ((id + 1) % WINDOW == 0) {
			uint64_t now = bench_now_ns();
			if (now - window > worst)
				worst = now - window;
			window = now;
		}
	}
	if (s->system->catch_up != NULL && s->system->catch_up(s->db) != 0)
		bench_fail("%s: catching up failed", s->system->name);
	result_add(insert_metrics[step], s->system->name, (double)(bench_now_ns() - start) / (double)(end - first));
	result_add(window_metrics[step], s->system->name, (double)worst / WINDOW);
	if (s->system->settle != NULL)
		s->system->settle(s->db);
}

void run_big(void)
{
	uint32_t *ids = malloc(SLICE_OPS * sizeof(ids[0]));
	if (ids == NULL)
		bench_fail("no memory");
	if (config.systems == NULL)
		config.systems = "latzero,floor";
	config.keys = (uint64_t)millions[STEPS - 1] * 1000000;
	config.rounds = SLICES;
	for (int i = 0; bench_systems[i] != NULL; i++) {
		if (!list_has(config.systems, bench_systems[i]->name))
			continue;
		bench_pin(-1);
		struct subject s = { bench_systems[i], bench_systems[i]->open(config.dir, "big", 1, config.keys) };
		if (s.db != NULL)
			subjects[subject_count++] = s;
	}
	bench_pin(bench_core_main());
	for (int step = 0; step < STEPS; step++) {
		uint64_t first = step == 0 ? 0 : (uint64_t)millions[step - 1] * 1000000;
		uint64_t end = (uint64_t)millions[step] * 1000000;
		bench_say("to %u million keys", millions[step]);
		for (unsigned i = 0; i < subject_count; i++)
			grow(&subjects[i], first, end, step);
		for (unsigned slice = 0; slice < SLICES; slice++) {
			bench_fill_uniform(ids, SLICE_OPS, end, slice + 50);
			for (unsigned i = 0; i < subject_count; i++) {
				const struct subject *s = &subjects[i];
				result_add(get_metrics[step], s->system->name, loop_get(s, ids, SLICE_OPS, 0, 1));
				result_add(set_metrics[step], s->system->name, loop_set(s, ids, SLICE_OPS, slice + 1));
				if (s->system->settle != NULL)
					s->system->settle(s->db);
			}
		}
	}
	for (unsigned i = 0; i < subject_count; i++)
		check_values(&subjects[i], config.keys, 10000);
	free(ids);
}
