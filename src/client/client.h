/*
 * Who is attached: a client slot a process (alive by OFD lock), an actor slot a thread (alive by robust mutex), pins
 * for open scans. Owns the mapped control file's slots; knows nothing of tables and heaps: what a dead actor left
 * undone is mended by a callback.
 */
#ifndef LZI_CLIENT_CLIENT_H
#define LZI_CLIENT_CLIENT_H

#include "base/atomic.h"
#include "format/control.h"

/* A mapped control file. */
struct lzi_control {
	uint8_t *base;
	const struct lzi_header *header; /* as it was found valid: this process's own copy */
	struct lzi_shared *shared;
	int fd;
	unsigned timeout_ms;
};

static inline struct lzi_pin *lzi_control_pin(const struct lzi_control *control, uint32_t i)
{
	return (struct lzi_pin *)(void *)(control->base + control->header->pins_offset) + i % LZI_PINS_MAX;
}

/* Slots that somebody's word names: one that there can't be is taken for the first. */
static inline struct lzi_client *lzi_control_client(const struct lzi_control *control, uint32_t slot)
{
	if (lzi_unlikely(slot >= control->header->clients_max))
		slot = 0;
	return (struct lzi_client *)(void *)(control->base + control->header->clients_offset) + slot;
}

static inline struct lzi_actor *lzi_control_actor(const struct lzi_control *control, uint32_t i)
{
	if (lzi_unlikely(i >= control->header->actors_max))
		i = 0;
	return (struct lzi_actor *)(void *)(control->base + control->header->actors_offset) + i;
}

static inline uint32_t *lzi_control_state(const struct lzi_control *control)
{
	return (uint32_t *)(void *)(control->base + offsetof(struct lzi_header, state));
}

/* Actors whose memory exists; a damaged count is cut to what the file holds. */
uint32_t lzi_control_actors(const struct lzi_control *control);

/* The slot's process is dead, and what stands there is still its own: its byte is ours. No lock of the pool's is held.
 */
typedef void (*lzi_client_gone_fn)(uint32_t slot, void *arg);

/* Takes a client slot for this process; calls gone (NULL: nobody cares) for a dead one that nobody has reaped.
 * *ret_had_pid: of a dead one that had it and of whom the change feed has not told that it left; 0 if there was none.
 * LATZ_CLIENTS, LATZ_TIMEOUT. */
int lzi_client_claim(const struct lzi_control *control, uint32_t flags, lzi_client_gone_fn gone, void *arg,
                     uint32_t *ret_slot, uint32_t *ret_had_pid);
void lzi_client_release(const struct lzi_control *control, uint32_t slot);
/* Whether a living process holds the slot. Right for the caller's own slot only if `own` names it. */
int lzi_client_alive(const struct lzi_control *control, uint32_t slot, uint32_t own);
unsigned lzi_client_count(const struct lzi_control *control, uint32_t own);
/* Frees slots, hazards and pins of dead processes, and calls gone for each. Returns how many there were. By one thread
 * of a process at a time: their locks on bytes are the same. */
unsigned lzi_client_reap(const struct lzi_control *control, uint32_t own, lzi_client_gone_fn gone, void *arg);

/* Mends what the actor left undone; the caller holds its `alive`. */
typedef int (*lzi_actor_mend_fn)(struct lzi_actor *actor, uint32_t index, void *arg);

/* Takes an actor slot for the calling thread, which holds it until lzi_actor_release() by the same thread. */
int lzi_actor_claim(const struct lzi_control *control, uint32_t client, lzi_actor_mend_fn mend, void *arg,
                    uint32_t *ret_index);
void lzi_actor_release(const struct lzi_control *control, uint32_t index);
/* If the actor's thread is dead: mends what it left, frees the slot, returns 1. 0 if it lives or is free; negative if
 * mending failed (the slot stays as it is, to be tried again). */
int lzi_actor_reap(const struct lzi_control *control, uint32_t index, lzi_actor_mend_fn mend, void *arg);
/* Reaps whoever is dead. Returns how many, or the first error. */
int lzi_actor_reap_all(const struct lzi_control *control, lzi_actor_mend_fn mend, void *arg);

/* A pin at the present: everything written before is at or below *ret_seq, everything after above it. */
int lzi_pin_take(const struct lzi_control *control, uint32_t client, uint32_t *ret_pin, uint64_t *ret_seq);
void lzi_pin_drop(const struct lzi_control *control, uint32_t pin);
/* For who is alone with the pool. */
void lzi_pin_drop_all(const struct lzi_control *control);

#endif
