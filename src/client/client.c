/*
 * Client slots and pins. A client's life is its OFD lock; what stands in its slot is for people and for borrowed views.
 */
#include "config.h"

#include "client/client.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "os/os.h"

/* Recomputes what writers look at. Under `pins`. */
static void pins_recount(const struct lzi_control *control)
{
	uint64_t min = UINT64_MAX, max = 0;
	uint32_t i;

	for (i = 0; i < LZI_PINS_MAX; i++) {
		uint64_t seq = lzi_control_pin(control, i)->seq;

		if (seq != 0 && seq < min)
			min = seq;
		if (seq != 0 && seq > max)
			max = seq;
	}
	lzi_store_release(&control->shared->pin_min, min);
	lzi_store_release(&control->shared->pin_max, max);
}

static int pins_lock(const struct lzi_control *control)
{
	int rc = lzi_mutex_lock(&control->shared->pins, control->timeout_ms, "pins");

	if (rc == LZI_OWNER_DIED)
		pins_recount(control);
	return rc < 0 ? rc : LATZ_OK;
}

static void drop_pins_of(const struct lzi_control *control, uint32_t slot)
{
	uint32_t i;

	if (pins_lock(control) != LATZ_OK)
		return;
	for (i = 0; i < LZI_PINS_MAX; i++) {
		struct lzi_pin *pin = lzi_control_pin(control, i);

		if (pin->seq != 0 && pin->client == slot)
			lzi_store_relaxed(&pin->seq, 0ull);
	}
	pins_recount(control);
	lzi_mutex_unlock(&control->shared->pins);
}

/* Tells of a dead one, whose byte is ours, which keeps all others from the slot. What tells may wait for a disk: nobody
 * else is to wait for that, so `slots` is given back meanwhile. Dying in here leaves it all to the next reaper. Not
 * LATZ_OK: `slots` was not to be had again; told it is, and the byte is given back. */
static int tell_gone(const struct lzi_control *control, uint32_t slot, lzi_client_gone_fn gone, void *arg)
{
	struct lzi_client *client = lzi_control_client(control, slot);
	int rc;

	if (gone == NULL)
		return LATZ_OK;
	lzi_fetch_or(&client->flags, LZI_CLIENT_REAPED);
	lzi_mutex_unlock(&control->shared->slots);
	gone(slot, arg);
	rc = lzi_mutex_lock(&control->shared->slots, control->timeout_ms, "slots");
	if (rc >= 0)
		return LATZ_OK;
	lzi_fetch_and(&client->flags, ~LZI_CLIENT_REAPED);
	lzi_ofd_unlock(control->fd, LZI_LOCK_CLIENT + slot);
	return rc;
}

/* Takes one that is to be had; `slots` is held, and given back whatever comes of it. *ret_reaped, with LATZ_CLIENTS:
 * one will soon be free. */
static int claim(const struct lzi_control *control, uint32_t flags, lzi_client_gone_fn gone, void *arg,
                 uint32_t *ret_slot, uint32_t *ret_had_pid, int *ret_reaped)
{
	uint32_t i;
	int rc;

	*ret_reaped = 0;
	for (i = 0; i < control->header->clients_max; i++) {
		struct lzi_client *client = lzi_control_client(control, i);

		if (lzi_ofd_try(control->fd, LZI_LOCK_CLIENT + i, 1) != LATZ_OK) { /* alive, or being reaped */
			*ret_reaped |= (lzi_load_relaxed(&client->flags) & LZI_CLIENT_REAPED) != 0;
			continue;
		}
		LZI_POINT("attach.slot_locked");
		if (client->state != 0) { /* a dead one's, nobody has reaped it yet */
			drop_pins_of(control, i);
			rc = tell_gone(control, i, gone, arg);
			if (rc != LATZ_OK)
				return rc;
		}
		*ret_had_pid = client->state != 0 && lzi_exchange(&client->connected, 0u) != 0 ? client->pid : 0;
		memset(client, 0, sizeof *client); /* a dead one's hazards go with it */
		client->pid = lzi_process_id();
		client->since_ms = lzi_clock_mono_ms();
		client->flags = flags;
		lzi_process_command(client->command);
		lzi_store_relaxed(&client->life, lzi_fetch_add(&control->shared->locks.lives, 1ull) + 1);
		lzi_store_release(&client->state, 1u);
		LZI_POINT("attach.slot_taken");
		lzi_mutex_unlock(&control->shared->slots);
		*ret_slot = i;
		return LATZ_OK;
	}
	lzi_mutex_unlock(&control->shared->slots);
	return lzi_error(LATZ_CLIENTS, "all %u client slots are in use", control->header->clients_max);
}

int lzi_client_claim(const struct lzi_control *control, uint32_t flags, lzi_client_gone_fn gone, void *arg,
                     uint32_t *ret_slot, uint32_t *ret_had_pid)
{
	uint64_t until = lzi_clock_mono_ns() + (uint64_t)control->timeout_ms * 1000000;
	int reaped, rc;

	for (;;) {
		rc = lzi_mutex_lock(&control->shared->slots, control->timeout_ms, "slots");
		if (rc < 0)
			return rc;
		rc = claim(control, flags, gone, arg, ret_slot, ret_had_pid, &reaped);
		if (rc != LATZ_CLIENTS || !reaped || lzi_clock_mono_ns() > until)
			return rc;
		lzi_sleep_us(1000);
	}
}

void lzi_client_release(const struct lzi_control *control, uint32_t slot)
{
	struct lzi_client *client = lzi_control_client(control, slot);

	drop_pins_of(control, slot);
	lzi_store_release(&client->state, 0u);
	LZI_POINT("detach.slot_cleared");
	lzi_ofd_unlock(control->fd, LZI_LOCK_CLIENT + slot);
}

int lzi_client_alive(const struct lzi_control *control, uint32_t slot, uint32_t own)
{
	return slot == own || (lzi_load_acquire(&lzi_control_client(control, slot)->state) != 0 &&
	                       lzi_ofd_held(control->fd, LZI_LOCK_CLIENT + slot));
}

unsigned lzi_client_count(const struct lzi_control *control, uint32_t own)
{
	unsigned n = 0;
	uint32_t i;

	for (i = 0; i < control->header->clients_max; i++)
		n += (unsigned)lzi_client_alive(control, i, own);
	return n;
}

unsigned lzi_client_reap(const struct lzi_control *control, uint32_t own, lzi_client_gone_fn gone, void *arg)
{
	unsigned n = 0;
	uint32_t i;

	for (i = 0; i < control->header->clients_max; i++) {
		struct lzi_client *client = lzi_control_client(control, i);

		if (lzi_load_acquire(&client->state) == 0 || lzi_client_alive(control, i, own))
			continue;
		if (lzi_mutex_lock(&control->shared->slots, control->timeout_ms, "slots") < 0)
			return n;
		/* The lock on the slot keeps others from taking it while it is cleaned. */
		if (lzi_ofd_try(control->fd, LZI_LOCK_CLIENT + i, 1) == LATZ_OK) {
			memset(client->hazards, 0, sizeof client->hazards);
			drop_pins_of(control, i);
			if (tell_gone(control, i, gone, arg) != LATZ_OK)
				return n;
			lzi_fetch_and(&client->flags, ~LZI_CLIENT_REAPED);
			LZI_POINT("reap.client");
			lzi_store_release(&client->state, 0u);
			lzi_ofd_unlock(control->fd, LZI_LOCK_CLIENT + i);
			n++;
		}
		lzi_mutex_unlock(&control->shared->slots);
	}
	return n;
}

int lzi_pin_take(const struct lzi_control *control, uint32_t client, uint32_t *ret_pin, uint64_t *ret_seq)
{
	struct lzi_shared *shared = control->shared;
	uint64_t seq;
	uint32_t i;
	int rc = pins_lock(control);

	if (rc != LATZ_OK)
		return rc;
	for (i = 0; i < LZI_PINS_MAX && lzi_control_pin(control, i)->seq != 0; i++)
		;
	if (i == LZI_PINS_MAX) {
		lzi_mutex_unlock(&shared->pins);
		return lzi_error(LATZ_CLIENTS, "%u scans are open already", LZI_PINS_MAX);
	}
	/* Announce before the clock moves: a writer that sees the clock past the pin sees the pin too. The clock may
	 * move on by itself meanwhile, so what is announced first is the widest claim: everything. */
	lzi_control_pin(control, i)->client = client;
	lzi_store_relaxed(&lzi_control_pin(control, i)->seq, 1ull);
	lzi_store_seq_cst(&shared->pin_max, UINT64_MAX);
	lzi_store_seq_cst(&shared->pin_min, 1ull);
	LZI_POINT("pin.announced");
	seq = lzi_fetch_add(&shared->clock, LZI_SEQ_STRIDE) + LZI_SEQ_STRIDE - 1;
	lzi_store_relaxed(&lzi_control_pin(control, i)->seq, seq);
	pins_recount(control);
	LZI_POINT("pin.taken");
	lzi_mutex_unlock(&shared->pins);
	*ret_pin = i;
	*ret_seq = seq;
	return LATZ_OK;
}

void lzi_pin_drop(const struct lzi_control *control, uint32_t pin)
{
	/* Timing out leaves the pin to the reaping of this client: old versions stay a while, nothing is lost. */
	if (pins_lock(control) != LATZ_OK)
		return;
	lzi_store_relaxed(&lzi_control_pin(control, pin)->seq, 0ull);
	pins_recount(control);
	lzi_mutex_unlock(&control->shared->pins);
}

void lzi_pin_drop_all(const struct lzi_control *control)
{
	uint32_t i;

	for (i = 0; i < LZI_PINS_MAX; i++)
		lzi_store_relaxed(&lzi_control_pin(control, i)->seq, 0ull);
	pins_recount(control);
}
