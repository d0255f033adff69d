/*
 * A policy's state is copied under `maint`, written with the snapshot or into the persist directory, and adopted by the
 * next pool when its records are there: checked and mended where nobody else sees it, then moved into a state of the
 * size that the pool wants.
 *
 * Keys are known to it by their hash. So the next pool must use the same seed, and take it before its first record.
 */
#include "config.h"

#include "store/carry.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "policy/policy.h"

#define FILE_NAME "policy.state"
#define FILE_TMP "policy.tmp"

/* Into memory that is ready: others wait meanwhile. Returns bytes; 0: there is nothing to be had, or it is larger. */
static uint64_t copy_state(struct lzi_store *store, struct lzi_policy_state *state, uint64_t room)
{
	const struct lzi_bound *bound = &store->control.shared->bound;
	const struct lzi_policy *policy;
	struct lzi_policy_block from;
	uint64_t size = 0;

	if (lzi_hear(store) != LATZ_OK || (policy = lzi_policy_begin(store, &from)) == NULL)
		return 0;
	state->entries = lzi_load_relaxed(&bound->state_entries);
	if (from.size <= room)
		size = policy->size(state->entries);
	if (size > from.size)
		size = 0;
	memcpy(state + 1, from.at, size);
	state->policy = (uint32_t)policy->id;
	state->by_bytes = bound->max_bytes != 0;
	lzi_policy_end(store);
	return size;
}

struct lzi_policy_state *lzi_carry_take(struct lzi_store *store)
{
	uint64_t room = lzi_load_relaxed(&store->control.shared->bound.state_size);
	struct lzi_policy_state *state;

	if (!lzi_is_bounded(store) || room == 0 || room > LZI_POLICY_STATE_MAX)
		return NULL;
	room += room / 2; /* it may be made larger before we get to it */
	if (room > LZI_POLICY_STATE_MAX)
		room = LZI_POLICY_STATE_MAX;
	state = malloc(sizeof *state + room);
	if (state == NULL)
		return NULL;
	memset(state, 0, sizeof *state + room);
	if (lzi_maint_lock(store, 1) >= 0) {
		state->size = copy_state(store, state, room);
		lzi_maint_unlock(store);
	}
	if (state->size == 0) {
		free(state);
		return NULL;
	}
	state->hash_seed = store->control.header->hash_seed;
	lzi_policy_state_seal(state);
	return state;
}

/* Whether the pool's policy can do anything with it. */
static int is_usable(const struct lzi_store *store, const struct lzi_policy_state *state)
{
	const struct lzi_bound *bound = &store->control.shared->bound;

	return lzi_is_bounded(store) && state->policy == lzi_load_relaxed(&bound->policy) &&
	       state->by_bytes == (bound->max_bytes != 0) && lzi_policy_by_id((latz_policy)state->policy) != NULL;
}

/* What came first decides. */
int lzi_carry_seed(struct lzi_store *store, uint64_t seed)
{
	struct lzi_header *header = (struct lzi_header *)(uintptr_t)store->control.header;

	if (store->hear.seeded || lzi_store_keys(store) != 0)
		return header->hash_seed == seed;
	header->hash_seed = seed;
	lzi_header_seal(header);
	memcpy(store->control.base, header, LZI_HEADER_CHECKED + sizeof header->checksum);
	store->hear.seeded = 1;
	return 1;
}

/* Checks what is ours now; it goes if it is of no use. */
static struct lzi_policy_state *consider(struct lzi_store *store, struct lzi_policy_state *state, uint64_t size)
{
	int rc = lzi_policy_state_validate(state, size);

	if (rc == LATZ_OK && is_usable(store, state) && lzi_carry_seed(store, state->hash_seed))
		return state;
	if (rc != LATZ_OK)
		lzi_log(LATZ_LOG_INFO, "%s: what its policy knew is passed over: %s", store->name, lzi_error_text());
	free(state);
	return NULL;
}

struct lzi_policy_state *lzi_carry_bring(struct lzi_store *store, const void *bytes, uint64_t size)
{
	struct lzi_policy_state *state = malloc(size);

	if (state == NULL)
		return NULL;
	memcpy(state, bytes, size);
	return consider(store, state, size);
}

void lzi_carry_adopt(struct lzi_call *call, struct lzi_policy_state *state)
{
	struct lzi_store *store = call->store;
	const struct lzi_policy *policy;
	struct lzi_policy_block from;
	int rc;

	if (state == NULL)
		return;
	from = (struct lzi_policy_block){ state + 1, state->size };
	policy = lzi_policy_by_id((latz_policy)state->policy);
	if (policy == NULL || policy->mend(from) != 0) {
		lzi_log(LATZ_LOG_INFO, "%s: what its policy knew is not of this policy", store->name);
	} else if (lzi_maint_lock(store, 1) >= 0) {
		rc = lzi_hear_adopt(store, state->entries, from);
		if (rc != LATZ_OK)
			lzi_log(LATZ_LOG_INFO, "%s: what its policy knew is lost: %s", store->name, lzi_error_text());
		lzi_hear_tidy(call);
		lzi_bound_refresh(store);
		lzi_maint_unlock(store);
	}
	free(state);
}

/* ---- In the persist directory ---- */

static int write_file(int dirfd, const struct lzi_policy_state *state)
{
	int fd, rc = lzi_disk_create(dirfd, FILE_TMP, &fd);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_write_at(fd, FILE_TMP, state, sizeof *state + state->size, 0);
	if (rc == LATZ_OK)
		rc = lzi_disk_sync_all(fd, FILE_TMP);
	lzi_file_close(fd);
	LZI_POINT("carry.synced");
	if (rc == LATZ_OK)
		rc = lzi_disk_rename(dirfd, FILE_TMP, FILE_NAME);
	LZI_POINT("carry.renamed");
	if (rc == LATZ_OK)
		return lzi_disk_sync_dir(dirfd);
	(void)!lzi_disk_remove(dirfd, FILE_TMP);
	return rc;
}

void lzi_carry_save(struct lzi_store *store)
{
	struct lzi_policy_state *state;

	if (store->persist.dirfd < 0 || (state = lzi_carry_take(store)) == NULL)
		return;
	if (write_file(store->persist.dirfd, state) != LATZ_OK)
		lzi_log(LATZ_LOG_INFO, "%s: what its policy knows is not kept: %s", store->name, lzi_error_text());
	free(state);
}

static struct lzi_policy_state *read_file(struct lzi_store *store)
{
	const uint64_t room = sizeof(struct lzi_policy_state) + LZI_POLICY_STATE_MAX + 1;
	struct lzi_policy_state *state = NULL;
	uint64_t got = 0;
	int fd, rc = lzi_disk_open(store->persist.dirfd, FILE_NAME, 0, &fd);

	if (rc == LATZ_NOTFOUND)
		return NULL;
	if (rc == LATZ_OK) {
		uint64_t size = 0;

		rc = lzi_file_size(fd, &size);
		if (rc == LATZ_OK && (size > room || (state = malloc(size + 1)) == NULL))
			rc = lzi_error(LATZ_NOMEM, FILE_NAME " of %llu bytes", (unsigned long long)size);
		if (rc == LATZ_OK)
			rc = lzi_disk_read_at(fd, FILE_NAME, state, size + 1, 0, &got);
		lzi_file_close(fd);
	}
	if (rc == LATZ_OK)
		return consider(store, state, got);
	lzi_log(LATZ_LOG_INFO, "%s: what its policy knew can't be read: %s", store->name, lzi_error_text());
	free(state);
	return NULL;
}

struct lzi_policy_state *lzi_carry_load(struct lzi_store *store)
{
	/* After a death the log goes on where the file does not. */
	struct lzi_policy_state *state = store->persist.was_left ? read_file(store) : NULL;

	/* From now on it is of the past. */
	if (lzi_disk_remove(store->persist.dirfd, FILE_NAME) != LATZ_OK)
		lzi_log(LATZ_LOG_INFO, "%s: %s", store->name, lzi_error_text());
	return state;
}
