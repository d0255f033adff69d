/*
 * The policies by entry once more, for tests to compare with: each written down from its description, over plain arrays
 * that are searched from one end to the other. Nothing is shared with src/policy/ but the numbers that are part of a
 * policy: a tenth, a quarter, a half, four fifths.
 */
#ifndef TESTS_UNIT_POLICY_NAIVE_H
#define TESTS_UNIT_POLICY_NAIVE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAIVE_ITEMS = 4096, /* in a queue */
	NAIVE_KEYS = 4096,  /* that W-TinyLFU counts: hashes are below */
};

struct naive_item {
	uint64_t hash;
	uint64_t weight;
	unsigned visits;
};

/* item[0] is the newest. */
struct naive_queue {
	struct naive_item item[NAIVE_ITEMS];
	int n;
};

struct naive {
	const char *policy;
	uint64_t capacity;
	struct naive_queue a, b, ghost_a, ghost_b;
	int hand;        /* SIEVE: position in a, -1: at the oldest */
	uint64_t target; /* ARC */
	unsigned count[NAIVE_KEYS];
	uint64_t counted, sample;
	struct naive_queue window;
};

static uint64_t queue_weight(const struct naive_queue *queue)
{
	uint64_t weight = 0;

	for (int i = 0; i < queue->n; i++)
		weight += queue->item[i].weight;
	return weight;
}

static int queue_find(const struct naive_queue *queue, uint64_t hash)
{
	for (int i = 0; i < queue->n; i++) {
		if (queue->item[i].hash == hash)
			return i;
	}
	return -1;
}

static struct naive_item queue_take(struct naive_queue *queue, int at)
{
	struct naive_item item = queue->item[at];

	memmove(&queue->item[at], &queue->item[at + 1], sizeof item * (size_t)(queue->n - at - 1));
	queue->n--;
	return item;
}

static struct naive_item queue_take_oldest(struct naive_queue *queue)
{
	return queue_take(queue, queue->n - 1);
}

static void queue_put(struct naive_queue *queue, struct naive_item item)
{
	if (queue->n == NAIVE_ITEMS)
		abort();
	memmove(&queue->item[1], &queue->item[0], sizeof item * (size_t)queue->n);
	queue->item[0] = item;
	queue->n++;
}

/* A ghost list of its own capacity. */
static void queue_put_ghost(struct naive_queue *queue, struct naive_item item, uint64_t capacity)
{
	if (item.weight > capacity)
		return;
	while (queue_weight(queue) + item.weight > capacity)
		queue_take_oldest(queue);
	queue_put(queue, item);
}

static int naive_lru(struct naive *naive, struct naive_item item)
{
	int at = queue_find(&naive->a, item.hash);

	if (at >= 0) {
		queue_put(&naive->a, queue_take(&naive->a, at));
		return 1;
	}
	while (queue_weight(&naive->a) + item.weight > naive->capacity)
		queue_take_oldest(&naive->a);
	queue_put(&naive->a, item);
	return 0;
}

static int naive_fifo(struct naive *naive, struct naive_item item)
{
	if (queue_find(&naive->a, item.hash) >= 0)
		return 1;
	while (queue_weight(&naive->a) + item.weight > naive->capacity)
		queue_take_oldest(&naive->a);
	queue_put(&naive->a, item);
	return 0;
}

static int naive_clock(struct naive *naive, struct naive_item item)
{
	int at = queue_find(&naive->a, item.hash);

	if (at >= 0) {
		naive->a.item[at].visits = 1;
		return 1;
	}
	while (queue_weight(&naive->a) + item.weight > naive->capacity) {
		struct naive_item oldest = queue_take_oldest(&naive->a);

		if (oldest.visits > 0) {
			oldest.visits = 0;
			queue_put(&naive->a, oldest);
		}
	}
	queue_put(&naive->a, item);
	return 0;
}

static int naive_sieve(struct naive *naive, struct naive_item item)
{
	struct naive_queue *queue = &naive->a;
	int at = queue_find(queue, item.hash);

	if (at >= 0) {
		queue->item[at].visits = 1;
		return 1;
	}
	while (queue_weight(queue) + item.weight > naive->capacity) {
		int hand = naive->hand < 0 ? queue->n - 1 : naive->hand;

		while (queue->item[hand].visits > 0) {
			queue->item[hand].visits = 0;
			hand = hand == 0 ? queue->n - 1 : hand - 1;
		}
		queue_take(queue, hand);
		naive->hand = hand - 1;
	}
	queue_put(queue, item);
	if (naive->hand >= 0)
		naive->hand++;
	return 0;
}

static int naive_s3fifo(struct naive *naive, struct naive_item item)
{
	struct naive_queue *small = &naive->a, *large = &naive->b, *ghost = &naive->ghost_a;
	uint64_t small_capacity = naive->capacity < 10 ? 1 : naive->capacity / 10;
	struct naive_queue *in[2] = { small, large };
	int was_ghost, at;

	for (int i = 0; i < 2; i++) {
		at = queue_find(in[i], item.hash);
		if (at >= 0) {
			in[i]->item[at].visits++;
			return 1;
		}
	}
	at = queue_find(ghost, item.hash);
	was_ghost = at >= 0;
	if (was_ghost)
		queue_take(ghost, at);
	while (queue_weight(small) + queue_weight(large) + item.weight > naive->capacity) {
		int gone = 0;

		if (small->n > 0 && queue_weight(large) <= naive->capacity - small_capacity) {
			while (!gone && small->n > 0) {
				struct naive_item oldest = queue_take_oldest(small);

				gone = oldest.visits < 2;
				oldest.visits = 0;
				if (gone)
					queue_put_ghost(ghost, oldest, naive->capacity * 9 / 10);
				else
					queue_put(large, oldest);
			}
		}
		while (!gone && large->n > 0) {
			struct naive_item oldest = queue_take_oldest(large);

			gone = oldest.visits == 0;
			if (!gone) {
				oldest.visits = (oldest.visits < 3 ? oldest.visits : 3) - 1;
				queue_put(large, oldest);
			}
		}
	}
	queue_put(was_ghost ? large : small, item);
	return 0;
}

static int naive_2q(struct naive *naive, struct naive_item item)
{
	struct naive_queue *in = &naive->a, *lru = &naive->b, *out = &naive->ghost_a;
	int at = queue_find(lru, item.hash), was_ghost;

	if (at >= 0) {
		queue_put(lru, queue_take(lru, at));
		return 1;
	}
	if (queue_find(in, item.hash) >= 0)
		return 1;
	at = queue_find(out, item.hash);
	was_ghost = at >= 0;
	if (was_ghost)
		queue_take(out, at);
	while (queue_weight(in) + queue_weight(lru) + item.weight > naive->capacity) {
		if (lru->n == 0 || (in->n > 0 && queue_weight(in) > naive->capacity / 4))
			queue_put_ghost(out, queue_take_oldest(in), naive->capacity / 2);
		else
			queue_take_oldest(lru);
	}
	queue_put(was_ghost ? lru : in, item);
	return 0;
}

/* REPLACE of the paper. */
static void naive_arc_replace(struct naive *naive, int in_second_ghosts)
{
	uint64_t once = queue_weight(&naive->a);

	if (naive->a.n > 0 && (naive->b.n == 0 || once > naive->target || (in_second_ghosts && once == naive->target)))
		queue_put(&naive->ghost_a, queue_take_oldest(&naive->a));
	else
		queue_put(&naive->ghost_b, queue_take_oldest(&naive->b));
}

static int naive_arc_full(const struct naive *naive, uint64_t weight)
{
	return queue_weight(&naive->a) + queue_weight(&naive->b) + weight > naive->capacity;
}

static int naive_arc(struct naive *naive, struct naive_item item)
{
	struct naive_queue *resident[2] = { &naive->a, &naive->b }, *ghosts[2] = { &naive->ghost_a, &naive->ghost_b };

	for (int i = 0; i < 2; i++) {
		int at = queue_find(resident[i], item.hash);

		if (at >= 0) {
			queue_put(&naive->b, queue_take(resident[i], at));
			return 1;
		}
	}
	for (int i = 0; i < 2; i++) {
		int at = queue_find(ghosts[i], item.hash);
		uint64_t here = queue_weight(ghosts[i]), other = queue_weight(ghosts[1 - i]), step;

		if (at < 0)
			continue;
		step = (other > here ? other / here : 1) * ghosts[i]->item[at].weight;
		if (i == 0)
			naive->target = naive->target + step < naive->capacity ? naive->target + step : naive->capacity;
		else
			naive->target = naive->target > step ? naive->target - step : 0;
		queue_take(ghosts[i], at);
		while (naive_arc_full(naive, item.weight))
			naive_arc_replace(naive, i == 1);
		queue_put(&naive->b, item);
		return 0;
	}
	while (naive_arc_full(naive, item.weight)) {
		uint64_t first = queue_weight(&naive->a) + queue_weight(&naive->ghost_a);
		uint64_t all = first + queue_weight(&naive->b) + queue_weight(&naive->ghost_b);

		if (first + item.weight > naive->capacity) {
			uint64_t limit = naive->capacity - item.weight;

			if (naive->ghost_a.n == 0) {
				queue_take_oldest(&naive->a);
				continue;
			}
			while (naive->ghost_a.n > 0 && queue_weight(&naive->a) + queue_weight(&naive->ghost_a) > limit)
				queue_take_oldest(&naive->ghost_a);
		} else {
			while (naive->ghost_b.n > 0 && all + item.weight > 2 * naive->capacity)
				all -= queue_take_oldest(&naive->ghost_b).weight;
		}
		naive_arc_replace(naive, 0);
	}
	queue_put(&naive->a, item);
	return 0;
}

static void naive_count(struct naive *naive, uint64_t hash)
{
	if (naive->count[hash] < 15)
		naive->count[hash]++;
	if (++naive->counted < naive->sample)
		return;
	for (int i = 0; i < NAIVE_KEYS; i++)
		naive->count[i] /= 2;
	naive->counted /= 2;
}

/* a: on probation, b: protected. */
static int naive_wtinylfu(struct naive *naive, struct naive_item item)
{
	uint64_t window = naive->capacity < 100 ? 1 : naive->capacity / 100;
	uint64_t protected = (naive->capacity - window) / 5 * 4;
	struct naive_queue *queues[3] = { &naive->window, &naive->a, &naive->b };

	for (int i = 0; i < 3; i++) {
		int at = queue_find(queues[i], item.hash);

		if (at < 0)
			continue;
		naive_count(naive, item.hash);
		queue_put(i == 0 ? &naive->window : &naive->b, queue_take(queues[i], at));
		while (queue_weight(&naive->b) > protected)
			queue_put(&naive->a, queue_take_oldest(&naive->b));
		return 1;
	}
	while (queue_weight(&naive->window) + queue_weight(&naive->a) + queue_weight(&naive->b) + item.weight >
	       naive->capacity) {
		struct naive_queue *from = naive->a.n > 0 ? &naive->a : &naive->b;
		const struct naive_queue *in = &naive->window;

		if (from->n == 0)
			queue_take_oldest(&naive->window);
		else if (in->n == 0 || queue_weight(in) + item.weight <= window)
			queue_take_oldest(from);
		else if (naive->count[in->item[in->n - 1].hash] > naive->count[from->item[from->n - 1].hash]) {
			queue_take_oldest(from);
			queue_put(&naive->a, queue_take_oldest(&naive->window));
		} else
			queue_take_oldest(&naive->window);
	}
	queue_put(&naive->window, item);
	naive_count(naive, item.hash);
	while (naive->window.n > 1 && queue_weight(&naive->window) > window)
		queue_put(&naive->a, queue_take_oldest(&naive->window));
	return 0;
}

/* 1: a hit. */
static int naive_request(struct naive *naive, uint64_t hash, uint64_t weight)
{
	static const struct {
		const char *name;
		int (*request)(struct naive *naive, struct naive_item item);
	} policies[] = {
		{ "lru", naive_lru },     { "fifo", naive_fifo },         { "clock", naive_clock },
		{ "sieve", naive_sieve }, { "s3fifo", naive_s3fifo },     { "2q", naive_2q },
		{ "arc", naive_arc },     { "wtinylfu", naive_wtinylfu },
	};

	for (unsigned i = 0; i < sizeof policies / sizeof policies[0]; i++) {
		if (strcmp(policies[i].name, naive->policy) == 0)
			return policies[i].request(naive, (struct naive_item){ .hash = hash, .weight = weight });
	}
	abort();
}

#endif
