/*
 * Private to store/: the change feed (doc/together.md). feed.c: putting events into the ring. feed_ring.c: making it,
 * giving it up. feed_tend.c: who comes and goes, and what a watched pool wants to be done in time. watch.c:
 * subscribers.
 */
#ifndef LZI_STORE_FEED_H
#define LZI_STORE_FEED_H

#include "format/feed.h"
#include "store/store_int.h"

/* The ring as this process has it mapped. */
struct lzi_ring {
	struct lzi_feed *feed;
	struct lzi_feed_page *page;
	uint64_t *words;
	uint8_t *cells;
	uint64_t count;   /* of cells */
	uint64_t segment; /* cells in one */
};

static inline uint64_t *lzi_ring_word(const struct lzi_ring *ring, uint64_t number)
{
	return &ring->words[number & (ring->count - 1)];
}

/* The word of a segment that has the cell. */
static inline uint64_t *lzi_ring_entered(const struct lzi_ring *ring, uint64_t cell)
{
	return &ring->page->segment[cell / ring->segment % LZI_FEED_SEGMENTS].entered;
}

/* ---- feed.c. Events are put there in three steps: told before the write happens, settled after it, and then, without
 * the bucket's lock, the bell. All that a thread has told and not settled happens together: a transaction tells all its
 * events before it commits. What it has told when it dies is settled by its reaper. ---- */

struct lzi_telling {
	int kind; /* latz_event_kind */
	latz_slice key;
	uint64_t version;
	uint8_t type;
	const struct lzi_record *old; /* whose value may be wanted; NULL: none */
	uint32_t client, pid;
};

/* In a pool that is fed (lzi_is_fed(), looked at under the bucket's lock). Never fails: an event for which there is no
 * room counts as missed. */
void lzi_feed_tell(struct lzi_call *call, const struct lzi_telling *telling);
/* happened: what was told did. */
void lzi_feed_settle(struct lzi_store *store, struct lzi_actor *actor, uint32_t index, int happened);
/* Wakes who sleeps. */
void lzi_feed_ring(struct lzi_store *store);
/* For a dead actor. */
int lzi_feed_mend(struct lzi_store *store, struct lzi_actor *actor, uint32_t index, int happened);

/* What a set tells: that of an expired record nobody has collected, too. `old`: the slot's record, or NULL. */
void lzi_feed_set(struct lzi_call *call, latz_slice key, uint64_t version, uint8_t type, const struct lzi_record *old,
                  int present);
/* What a removal tells. */
void lzi_feed_removed(struct lzi_call *call, int kind, const struct lzi_record *record);
/* An event that belongs to no write: told, settled, rung. */
void lzi_feed_alone(struct lzi_call *call, int kind, uint32_t client, uint32_t pid);
/* A number that stands for a time in which nobody was told. */
void lzi_feed_gap(struct lzi_call *call);

/* ---- feed_ring.c ---- */

/* LATZ_OK: *ret_ring is valid as long as there is a ring. */
int lzi_feed_map(struct lzi_store *store, struct lzi_ring *ret_ring);
void lzi_feed_close(struct lzi_store *store);
/* Bytes that its file takes. */
uint64_t lzi_feed_blocks(const struct lzi_store *store);
/* One subscriber more: makes the ring, if need be, of about so many bytes (0: of the usual size). When it returns,
 * every write that begins is told of. *ret_next: the next event's number. */
int lzi_feed_join(struct lzi_call *call, uint64_t bytes, int old_values, uint64_t *ret_next);
void lzi_feed_part(struct lzi_store *store, int old_values);
/* In maintenance: stops telling, and gives the ring up, when nobody has subscribed for a while. */
void lzi_feed_rest(struct lzi_call *call);

/* ---- feed_tend.c ---- */

/* A process has come, and was let in: from now on somebody is to tell that it left. */
void lzi_feed_connect(struct lzi_call *call);
/* This process leaves. */
void lzi_feed_disconnect(struct lzi_store *store);
/* As lzi_client_gone_fn. */
void lzi_feed_client_gone(uint32_t slot, void *call);
/* How often it is to be called while somebody subscribes. */
#define LZI_FEED_TEND_MS 40
/* Reaps the dead, tells of processes that died, expires what is due; unless somebody has just done so. */
void lzi_feed_tend(struct lzi_call *call);

#endif
