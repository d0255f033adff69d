/*
 * The header of a policy's state on its way, made and looked at. Every byte that comes in is hostile.
 */
#include "config.h"

#include "format/policy_state.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/atomic.h"
#include "base/crc32c.h"
#include "base/error.h"

void lzi_policy_state_seal(struct lzi_policy_state *state)
{
	memcpy(state->magic, LZI_POLICY_STATE_MAGIC, sizeof state->magic);
	state->major = LZI_POLICY_STATE_MAJOR;
	state->minor = LZI_POLICY_STATE_MINOR;
	memset(state->reserved, 0, sizeof state->reserved);
	state->crc = lzi_crc32c(0, state + 1, state->size);
	state->checksum = lzi_crc32c(0, state, offsetof(struct lzi_policy_state, checksum));
}

int lzi_policy_state_validate(const struct lzi_policy_state *state, uint64_t size)
{
	if (size < sizeof *state || memcmp(state->magic, LZI_POLICY_STATE_MAGIC, sizeof state->magic) != 0)
		return lzi_error(LATZ_CORRUPT, "no policy's state begins here");
	if (state->checksum != lzi_crc32c(0, state, offsetof(struct lzi_policy_state, checksum)))
		return lzi_error(LATZ_CORRUPT, "the header's checksum does not match");
	if (state->major != LZI_POLICY_STATE_MAJOR)
		return lzi_error(LATZ_VERSION, "a policy's state of format %u, this library reads %d", state->major,
		                 LZI_POLICY_STATE_MAJOR);
	if (state->size == 0 || state->size > LZI_POLICY_STATE_MAX || state->size != size - sizeof *state)
		return lzi_error(LATZ_CORRUPT, "a policy's state of %llu bytes", (unsigned long long)state->size);
	if (state->crc != lzi_crc32c(0, state + 1, state->size))
		return lzi_error(LATZ_CORRUPT, "the state's checksum does not match");
	return LATZ_OK;
}
