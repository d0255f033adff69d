/* The linearizability check; see history.h. */
#include "lib/base.h"
#include "history.h"
#include "lib/rng.h"

/* What the key holds. version 0: some version nobody has told us yet. */
struct state {
	bool present, integer;
	int64_t value;
	uint64_t version;
};

/* A point of the search: how far each process is, and the state. */
struct config {
	uint32_t done[LIN_PROCESSES_MAX];
	struct state state;
};

struct search {
	const struct lin_track *tracks;
	unsigned processes;
	struct config *stack, *seen; /* seen: open addressing, used marks slots */
	bool *used;
	size_t stack_count, stack_capacity, seen_count, seen_capacity;
};

static uint64_t config_hash(const struct config *config)
{
	uint64_t hash = rng_mix((uint64_t)config->state.value ^ config->state.version << 20);

	hash = rng_mix(hash + config->state.present + 2 * config->state.integer);
	for (unsigned i = 0; i < LIN_PROCESSES_MAX; i++)
		hash = rng_mix(hash ^ config->done[i]);
	return hash;
}

static bool config_equal(const struct config *a, const struct config *b)
{
	return memcmp(a->done, b->done, sizeof(a->done)) == 0 && a->state.present == b->state.present &&
	       a->state.integer == b->state.integer && a->state.value == b->state.value &&
	       a->state.version == b->state.version;
}

static void seen_put(struct search *s, const struct config *config)
{
	size_t at = config_hash(config) & (s->seen_capacity - 1);

	while (s->used[at])
		at = (at + 1) & (s->seen_capacity - 1);
	s->used[at] = true;
	s->seen[at] = *config;
}

static void seen_grow(struct search *s)
{
	struct config *old = s->seen;
	bool *old_used = s->used;
	size_t old_capacity = s->seen_capacity;

	s->seen_capacity = old_capacity ? old_capacity * 2 : 1024;
	s->seen = check_alloc(s->seen_capacity * sizeof(s->seen[0]));
	s->used = check_alloc(s->seen_capacity);
	memset(s->used, 0, s->seen_capacity);
	for (size_t i = 0; i < old_capacity; i++) {
		if (old_used[i])
			seen_put(s, &old[i]);
	}
	free(old);
	free(old_used);
}

/* Remembers a configuration; false if it was known. */
static bool seen_add(struct search *s, const struct config *config)
{
	size_t at;

	if (s->seen_count * 2 >= s->seen_capacity)
		seen_grow(s);
	for (at = config_hash(config) & (s->seen_capacity - 1); s->used[at]; at = (at + 1) & (s->seen_capacity - 1)) {
		if (config_equal(&s->seen[at], config))
			return false;
	}
	s->used[at] = true;
	s->seen[at] = *config;
	s->seen_count++;
	return true;
}

static void push(struct search *s, const struct config *config)
{
	if (!seen_add(s, config))
		return;
	if (s->stack_count == s->stack_capacity) {
		s->stack_capacity = s->stack_capacity ? s->stack_capacity * 2 : 256;
		s->stack = check_realloc(s->stack, s->stack_capacity * sizeof(s->stack[0]));
	}
	s->stack[s->stack_count++] = *config;
}

static void write_state(struct state *state, int64_t value, bool integer, uint64_t version)
{
	*state = (struct state){ true, integer, value, version };
}

/* A read that returned OK: value and version must be those of the state. */
static bool explains_read(struct state *state, int64_t got, uint64_t version)
{
	if (!state->present || state->value != got)
		return false;
	if (state->version == 0)
		state->version = version;
	return state->version == version;
}

/* Whether an unfinished operation may have had its effect here; does it. */
static bool apply_unfinished(struct state *state, const struct lin_op *op)
{
	switch (op->kind) {
	case LIN_GET: return true;
	case LIN_SET_ABSENT:
		if (state->present)
			return false;
		write_state(state, op->value, true, 0);
		return true;
	case LIN_SET_VERSION:
		if (!state->present || (state->version != 0 && state->version != op->if_version))
			return false;
		write_state(state, op->value, true, 0);
		return true;
	case LIN_SET:
	case LIN_SWAP: write_state(state, op->value, op->kind == LIN_SET, 0); return true;
	case LIN_DELETE: *state = (struct state){ 0 }; return true;
	case LIN_INCREMENT:
		if (state->present && !state->integer)
			return false;
		write_state(state, (state->present ? state->value : 0) + op->value, true, 0);
		return true;
	}
	return false;
}

static bool apply_increment(struct state *state, const struct lin_op *op)
{
	if (op->rc == LATZ_TYPE)
		return state->present && !state->integer;
	if (op->rc != LATZ_OK || (state->present && !state->integer))
		return false;
	write_state(state, (state->present ? state->value : 0) + op->value, true, 0);
	return state->value == op->got;
}

static bool apply_set_version(struct state *state, const struct lin_op *op)
{
	if (op->rc == LATZ_NOTFOUND)
		return !state->present;
	if (op->rc == LATZ_MISMATCH)
		return state->present && (state->version == 0 || state->version != op->if_version);
	if (op->rc != LATZ_OK || !state->present || (state->version != 0 && state->version != op->if_version))
		return false;
	write_state(state, op->value, true, op->got_version);
	return true;
}

/* Whether the state explains the operation's result; moves the state on. */
static bool apply(struct state *state, const struct lin_op *op)
{
	if (op->returned == 0)
		return apply_unfinished(state, op);
	switch (op->kind) {
	case LIN_GET:
		if (op->rc == LATZ_NOTFOUND)
			return !state->present;
		return op->rc == LATZ_OK && explains_read(state, op->got, op->got_version);
	case LIN_SET: write_state(state, op->value, true, op->got_version); return op->rc == LATZ_OK;
	case LIN_SET_ABSENT:
		if (op->rc == LATZ_EXISTS)
			return state->present;
		if (op->rc != LATZ_OK || state->present)
			return false;
		write_state(state, op->value, true, op->got_version);
		return true;
	case LIN_SET_VERSION: return apply_set_version(state, op);
	case LIN_DELETE:
		if (op->rc == LATZ_NOTFOUND)
			return !state->present;
		if (op->rc != LATZ_OK || !state->present)
			return false;
		*state = (struct state){ 0 };
		return true;
	case LIN_INCREMENT: return apply_increment(state, op);
	case LIN_SWAP:
		if (op->rc != LATZ_OK)
			return false;
		if (op->got_version == 0 ? state->present : !explains_read(state, op->got, op->got_version))
			return false;
		write_state(state, op->value, false, 0);
		return true;
	}
	return false;
}

/* Pushes what can come next. True if nothing finished is left to explain. */
static bool expand(struct search *s, const struct config *config)
{
	uint64_t first_return = UINT64_MAX;
	bool all = true;

	for (unsigned i = 0; i < s->processes; i++) {
		const struct lin_track *track = &s->tracks[i];

		if (config->done[i] == track->count || track->ops[config->done[i]].returned == 0)
			continue;
		all = false;
		if (track->ops[config->done[i]].returned < first_return)
			first_return = track->ops[config->done[i]].returned;
	}
	for (unsigned i = 0; i < s->processes && !all; i++) {
		const struct lin_track *track = &s->tracks[i];
		struct config next = *config;

		/* Nothing may come before an operation that had returned when it was invoked. */
		if (config->done[i] == track->count || track->ops[config->done[i]].invoked > first_return)
			continue;
		if (!apply(&next.state, &track->ops[config->done[i]]))
			continue;
		next.done[i]++;
		push(s, &next);
	}
	return all;
}

static void note_longest(struct lin_stuck *stuck, const struct config *config)
{
	size_t total = 0;

	for (unsigned i = 0; i < LIN_PROCESSES_MAX; i++)
		total += config->done[i];
	if (total < stuck->total)
		return;
	stuck->total = total;
	for (unsigned i = 0; i < LIN_PROCESSES_MAX; i++)
		stuck->done[i] = config->done[i];
	stuck->present = config->state.present;
	stuck->value = config->state.value;
	stuck->version = config->state.version;
}

bool lin_check(const struct lin_track *tracks, unsigned processes, struct lin_stuck *stuck)
{
	struct search s = { .tracks = tracks, .processes = processes };
	struct config config = { { 0 }, { 0 } };
	struct lin_stuck longest = { .total = 0 };
	bool ok = false;

	CHECK(processes <= LIN_PROCESSES_MAX);
	push(&s, &config);
	while (!ok && s.stack_count > 0) {
		config = s.stack[--s.stack_count];
		note_longest(&longest, &config);
		ok = expand(&s, &config);
	}
	if (stuck != NULL)
		*stuck = longest;
	free(s.stack);
	free(s.seen);
	free(s.used);
	return ok;
}
