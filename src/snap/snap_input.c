/*
 * A stream that is read front to back, with a window on the bytes to come: to look at a header before it is taken, to
 * look for the next one behind damage, and to give back bytes that turned out to be no payload.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"
#include "snap/snap_int.h"

#define WINDOW ((size_t)64 << 10)
#define TAKE_STEP ((size_t)1 << 20)

int lzi_snap_input_init(struct lzi_snap_input *input, int fd)
{
	memset(input, 0, sizeof *input);
	input->fd = fd;
	input->digest = XXH3_createState();
	if (!input->digest)
		return lzi_error(LATZ_NOMEM, "a digest");
	XXH3_128bits_reset(input->digest);
	return LATZ_OK;
}

void lzi_snap_input_fini(struct lzi_snap_input *input)
{
	lzi_buffer_free(&input->window);
	XXH3_freeState(input->digest);
}

int lzi_snap_input_fill(struct lzi_snap_input *input, size_t size, size_t *ret_have)
{
	struct lzi_buffer *window = &input->window;
	size_t have = window->size - input->at;
	uint64_t n;
	int rc = LATZ_OK;

	if (have < size && !input->end) {
		if (have > 0)
			memmove(window->data, window->data + input->at, have);
		input->at = 0;
		window->size = have;
		rc = lzi_buffer_reserve(window, size > WINDOW ? size : WINDOW);
		if (rc == LATZ_OK)
			rc = lzi_disk_read(input->fd, LZI_SNAP_NAME, window->data + have, window->room - have, &n);
		if (rc != LATZ_OK)
			return rc;
		input->end = n < window->room - have;
		window->size += n;
		have += n;
	}
	*ret_have = have;
	return rc;
}

void lzi_snap_input_skip(struct lzi_snap_input *input, size_t size, int digested)
{
	if (digested)
		XXH3_128bits_update(input->digest, input->window.data + input->at, size);
	input->at += size;
	input->offset += size;
}

/* What the window has, then from the descriptor, which spares a copy. */
static int take(struct lzi_snap_input *input, uint8_t *to, size_t size, size_t *ret_size)
{
	size_t have = input->window.size - input->at, n = have < size ? have : size;
	uint64_t more = 0;
	int rc = LATZ_OK;

	if (n > 0)
		memcpy(to, input->window.data + input->at, n);
	input->at += n;
	if (n < size && !input->end) {
		rc = lzi_disk_read(input->fd, LZI_SNAP_NAME, to + n, size - n, &more);
		input->end = rc == LATZ_OK && more < size - n;
	}
	if (n + more > 0)
		XXH3_128bits_update(input->digest, to, n + more);
	input->offset += n + more;
	*ret_size = n + more;
	return rc;
}

int lzi_snap_input_take(struct lzi_snap_input *input, struct lzi_buffer *to, size_t size)
{
	to->size = 0;
	while (to->size < size) {
		/* A size that is a lie gets no more memory than twice the bytes that are there. */
		size_t step = to->size > TAKE_STEP ? to->size : TAKE_STEP, n;
		int rc;

		if (step > size - to->size)
			step = size - to->size;
		rc = lzi_buffer_reserve(to, to->size + step);
		if (rc == LATZ_OK)
			rc = take(input, to->data + to->size, step, &n);
		if (rc != LATZ_OK)
			return rc;
		to->size += n;
		if (n < step)
			break;
	}
	return LATZ_OK;
}

int lzi_snap_input_untake(struct lzi_snap_input *input, const void *data, size_t size)
{
	struct lzi_buffer *window = &input->window;
	size_t have = window->size - input->at;
	int rc = lzi_buffer_reserve(window, have + size > WINDOW ? have + size : WINDOW);

	if (rc != LATZ_OK)
		return rc;
	if (have > 0)
		memmove(window->data + size, window->data + input->at, have);
	if (size > 0)
		memcpy(window->data, data, size);
	input->at = 0;
	window->size = have + size;
	input->offset -= size;
	return LATZ_OK;
}
