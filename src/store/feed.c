/*
 * The change feed, writers' side: putting events into the ring (doc/together.md, "Change feed"). Lock-free: whoever is
 * stopped here holds up nobody else; a segment that he may still write to is left out until he is done.
 *
 * An event's cells are taken first and filled; nobody looks there, so a death costs nothing. Then the event gets its
 * number by a compare and swap of the number's word, which says from then on whose it is, where its cells are, and that
 * it is FILLING. After the write, or when its reaper knows what became of it, the word becomes READY or VOID. What a
 * thread may have in hand stands in its actor before it takes it: places from feed_low on, numbers from feed_first on.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/feed.h"
#include "store/seal.h"
#include "store/space.h"

/* ---- Cells ---- */

/* Whether what an actor may be writing reaches into a segment's last use or an earlier one; start: where its next use
 * begins. */
static int is_in_way(const struct lzi_actor *actor, const struct lzi_ring *ring, uint64_t start)
{
	uint64_t low = lzi_load_acquire(&actor->feed_low), high = lzi_load_acquire(&actor->feed_high), i;
	uint64_t end = start - ring->count + ring->segment, which = start / ring->segment % LZI_FEED_SEGMENTS;

	if (low == 0 || low - 1 >= end)
		return 0;
	low = (low - 1) / ring->segment;
	high = ((high < end && high != 0 ? high : end) - 1) / ring->segment;
	for (i = 0; i < LZI_FEED_SEGMENTS && low + i <= high; i++) {
		if ((low + i) % LZI_FEED_SEGMENTS == which)
			return 1;
	}
	return 0;
}

/* A segment is about to be used again. 0: somebody may still be writing to it. holds: so may we. */
static int enter(struct lzi_call *call, const struct lzi_ring *ring, uint64_t start, int holds)
{
	uint64_t *entered = lzi_ring_entered(ring, start & (ring->count - 1)), had = lzi_load_acquire(entered);
	uint32_t n = lzi_control_actors(&call->store->control), i;

	if (had > start)
		return 1;
	for (i = 0; i < n; i++) {
		if ((holds || i != call->index) && is_in_way(lzi_control_actor(&call->store->control, i), ring, start))
			return 0;
	}
	/* Before the cells are anybody's: a reader who sees new bytes sees this, too. */
	while (had <= start && !lzi_cas_acquire(entered, &had, start + 1))
		;
	LZI_POINT("feed.entered");
	return 1;
}

/* So many cells in a row. LATZ_FULL: none are to be had. */
static int take_cells(struct lzi_call *call, const struct lzi_ring *ring, uint64_t cells, uint64_t *ret_place)
{
	struct lzi_actor *actor = call->actor;
	uint64_t room = lzi_load_acquire(&ring->feed->room), start;
	unsigned left_out = 0;
	int holds = actor->feed_first != 0;

	for (;;) {
		start = room;
		if (start % ring->segment + cells > ring->segment)
			start += ring->segment - start % ring->segment;
		if (start % ring->segment == 0) {
			for (; left_out < LZI_FEED_SEGMENTS && !enter(call, ring, start, holds); left_out++)
				start += ring->segment;
			if (left_out == LZI_FEED_SEGMENTS)
				return LATZ_FULL;
		}
		lzi_store_release(&actor->feed_high, start + cells);
		if (!holds)
			lzi_store_release(&actor->feed_low, start + 1);
		LZI_POINT("feed.announced");
		if (lzi_cas_acquire(&ring->feed->room, &room, start + cells))
			break;
	}
	lzi_fence_release(); /* taken, then filled, in everybody's eyes */
	*ret_place = start;
	LZI_POINT("feed.room");
	return LATZ_OK;
}

/* ---- Numbers ---- */

/* The next number, for an event whose cells begin at `place`. */
static uint64_t take_number(struct lzi_call *call, const struct lzi_ring *ring, uint64_t place,
                            enum lzi_feed_state state)
{
	struct lzi_actor *actor = call->actor;
	uint64_t number, expected, had;
	uint64_t *word;

	for (;;) {
		number = lzi_load_acquire(&ring->feed->head);
		word = lzi_ring_word(ring, number);
		had = lzi_load_acquire(word);
		expected = number;
		if (lzi_feed_is_of(had, number, ring->count)) { /* taken: `head` is behind */
			(void)lzi_cas_acquire(&ring->feed->head, &expected, number + 1);
			continue;
		}
		lzi_store_release(&actor->feed_last, number + 1);
		if (actor->feed_first == 0)
			lzi_store_release(&actor->feed_first, number + 1);
		LZI_POINT("feed.numbered");
		if (lzi_load_acquire(&ring->feed->head) == number &&
		    lzi_cas_acquire(word, &had, lzi_feed_word(number, place, ring->count, state, call->index)))
			break;
	}
	LZI_POINT("feed.begun");
	expected = number;
	(void)lzi_cas_acquire(&ring->feed->head, &expected, number + 1); /* failing: somebody has done it for us */
	LZI_POINT("feed.headed");
	return number;
}

/* ---- Telling ---- */

static struct lzi_feed_event *event_at(const struct lzi_ring *ring, uint64_t cell)
{
	return (struct lzi_feed_event *)(void *)(ring->cells + cell * LZI_FEED_CELL);
}

/* Of a value, whether it is compressed or not. */
static uint32_t size_of(const struct lzi_record *record)
{
	struct lzi_sealed sealed;
	unsigned dict;
	uint64_t size;

	if (record->flags & LZI_RECORD_SEALED && record->value_size >= sizeof sealed) {
		memcpy(&sealed, lzi_record_value(record), sizeof sealed);
		return sealed.size;
	}
	if ((record->flags & LZI_RECORD_PACKED) == 0 ||
	    lzi_packed_parse(lzi_record_value(record), record->value_size, &dict, &size) != LATZ_OK)
		return record->value_size;
	return (uint32_t)size;
}

/* All but the number. */
static void fill(const struct lzi_ring *ring, uint64_t place, const struct lzi_telling *telling, uint64_t old_size,
                 uint8_t flags)
{
	struct lzi_feed_event *event = event_at(ring, place & (ring->count - 1));
	const struct lzi_record *old = telling->old;
	uint8_t *to = (uint8_t *)(event + 1);

	memset(event, 0, sizeof *event);
	event->version = telling->version;
	event->old_version = old != NULL && telling->kind == LATZ_EVENT_SET ? old->seq : 0;
	event->key_size = (uint16_t)telling->key.size;
	event->kind = (uint8_t)telling->kind;
	event->type = telling->type;
	event->client = telling->client;
	event->pid = telling->pid;
	event->flags = flags;
	if (old != NULL) {
		event->old_type = old->type;
		event->old_size = flags == 0 ? 0 : flags == LZI_FEED_OLD ? (uint32_t)old_size : size_of(old);
		event->flags |= flags == LZI_FEED_OLD && old->flags & LZI_RECORD_PACKED ? LZI_FEED_OLD_PACKED : 0;
		event->flags |= flags == LZI_FEED_OLD && old->flags & LZI_RECORD_SEALED ? LZI_FEED_OLD_SEALED : 0;
	}
	if (telling->key.size > 0)
		memcpy(to, telling->key.data, telling->key.size);
	if (old_size > 0)
		memcpy(to + telling->key.size, lzi_record_value(old), old_size);
}

void lzi_feed_tell(struct lzi_call *call, const struct lzi_telling *telling)
{
	struct lzi_feed *feed = &call->store->control.shared->feed;
	const struct lzi_record *old = telling->old;
	uint64_t place = 0, old_size = 0, cells, number;
	uint8_t flags = 0;
	struct lzi_ring ring;

	if (lzi_feed_map(call->store, &ring) != LATZ_OK) {
		lzi_fetch_add(&feed->unheard, 1ull);
		return;
	}
	if (old != NULL && lzi_load_relaxed(&feed->old_values) != 0) {
		old_size = lzi_load_relaxed(&old->value_size);
		flags = old_size > LZI_FEED_OLD_MAX ? LZI_FEED_OLD_LEFT_OUT : LZI_FEED_OLD;
		old_size = flags == LZI_FEED_OLD ? old_size : 0;
	}
	cells = lzi_feed_cells_of(telling->key.size, old_size);
	/* Places are counted in shared memory: one that would lead past the ring is none. */
	if (lzi_unlikely(take_cells(call, &ring, cells, &place) != LATZ_OK ||
	                 (place & (ring.count - 1)) + cells > ring.count)) {
		(void)take_number(call, &ring, 0, LZI_FEED_GONE);
		return;
	}
	fill(&ring, place, telling, old_size, flags);
	LZI_POINT("feed.filled");
	number = take_number(call, &ring, place, LZI_FEED_FILLING);
	lzi_store_relaxed(&event_at(&ring, place & (ring.count - 1))->number, number);
	LZI_POINT("feed.told");
}

/* The numbers that an actor may have begun: those that are its own get their end. Can be repeated. */
static void settle(const struct lzi_ring *ring, struct lzi_actor *actor, uint32_t index, int happened)
{
	uint64_t first = lzi_load_acquire(&actor->feed_first), last = lzi_load_acquire(&actor->feed_last), number;

	if (first == 0 || last < first)
		return;
	if (last - first >= ring->count)
		first = last - ring->count + 1;
	for (number = first - 1; number < last; number++) {
		uint64_t *word = lzi_ring_word(ring, number), had = lzi_load_acquire(word), cell = lzi_feed_cell(had);

		if (!lzi_feed_is_of(had, number, ring->count) || lzi_feed_actor(had) != index ||
		    lzi_feed_state(had) != LZI_FEED_FILLING)
			continue;
		if (cell < ring->count) /* it may have died before it wrote it */
			lzi_store_relaxed(&event_at(ring, cell)->number, number);
		/* Failing: we were away for so long that another event has the word. */
		(void)lzi_cas_acquire(word, &had, lzi_feed_with(had, happened ? LZI_FEED_READY : LZI_FEED_VOID));
		LZI_POINT("feed.settled");
	}
	lzi_fence_after_cas(); /* `asleep` is looked at after this */
}

static void forget(struct lzi_actor *actor)
{
	lzi_store_release(&actor->feed_first, 0ull);
	LZI_POINT("feed.forgotten");
	lzi_store_release(&actor->feed_low, 0ull);
}

void lzi_feed_settle(struct lzi_store *store, struct lzi_actor *actor, uint32_t index, int happened)
{
	struct lzi_ring ring;

	if (lzi_load_relaxed(&actor->feed_first) != 0 && lzi_feed_map(store, &ring) == LATZ_OK)
		settle(&ring, actor, index, happened);
	forget(actor);
}

void lzi_feed_ring(struct lzi_store *store)
{
	struct lzi_feed *feed = &store->control.shared->feed;

	if (lzi_load_relaxed(&feed->asleep) == 0 || lzi_exchange(&feed->asleep, 0u) == 0)
		return;
	LZI_POINT("feed.ringing");
	lzi_fetch_add(&feed->bell, 1u);
	lzi_futex_wake_some(&feed->bell, 1); /* who wakes up wakes others: not the writer's matter */
}

int lzi_feed_mend(struct lzi_store *store, struct lzi_actor *actor, uint32_t index, int happened)
{
	struct lzi_ring ring;
	int rc;

	if (lzi_load_acquire(&actor->feed_low) == 0 && lzi_load_acquire(&actor->feed_first) == 0)
		return LATZ_OK;
	rc = lzi_feed_map(store, &ring);
	if (rc == LATZ_OK)
		settle(&ring, actor, index, happened);
	else if (rc != LATZ_NOTFOUND)
		return rc;
	forget(actor);
	lzi_feed_ring(store);
	return LATZ_OK;
}

/* ---- What is told ---- */

void lzi_feed_set(struct lzi_call *call, latz_slice key, uint64_t version, uint8_t type, const struct lzi_record *old,
                  int present)
{
	struct lzi_telling telling = { LATZ_EVENT_SET, key, version, type, present ? old : NULL, 0, 0 };

	if (old != NULL && !present && lzi_load_relaxed(&old->died) == 0)
		lzi_feed_removed(call, LATZ_EVENT_EXPIRE, old);
	lzi_feed_tell(call, &telling);
}

void lzi_feed_removed(struct lzi_call *call, int kind, const struct lzi_record *record)
{
	struct lzi_telling telling = {
		kind, { lzi_record_key(record), record->key_size }, record->seq, record->type, record, 0, 0
	};

	/* What a dropped namespace had nobody knows any more. */
	if (lzi_unlikely(lzi_record_is_spaced(record)) &&
	    !lzi_space_is_there(call->store, lzi_key_space(lzi_record_key(record))))
		return;
	lzi_feed_tell(call, &telling);
}

/* Who gives the ring up waits for those that have announced a place; behind the fence either he sees that, or we that
 * nobody wants to know. */
static int announce(struct lzi_call *call)
{
	lzi_store_release(&call->actor->feed_high, 1ull);
	lzi_store_release(&call->actor->feed_low, 1ull);
	lzi_fence_full();
	if (lzi_is_fed(call->store))
		return 1;
	lzi_store_release(&call->actor->feed_low, 0ull);
	return 0;
}

void lzi_feed_alone(struct lzi_call *call, int kind, uint32_t client, uint32_t pid)
{
	struct lzi_telling telling = { kind, { NULL, 0 }, 0, 0, NULL, client, pid };

	if (!announce(call))
		return;
	lzi_feed_tell(call, &telling);
	lzi_feed_settle(call->store, call->actor, call->index, 1);
	lzi_feed_ring(call->store);
}

void lzi_feed_gap(struct lzi_call *call)
{
	struct lzi_ring ring;

	if (lzi_feed_map(call->store, &ring) == LATZ_OK)
		(void)take_number(call, &ring, 0, LZI_FEED_GONE);
	forget(call->actor);
}
