/*
 * Buffers that grow.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <stdlib.h>

#include "base/error.h"
#include "snap/snap_int.h"

int lzi_buffer_reserve(struct lzi_buffer *buffer, size_t room)
{
	uint8_t *data;

	if (room <= buffer->room)
		return LATZ_OK;
	data = realloc(buffer->data, room);
	if (!data)
		return lzi_error(LATZ_NOMEM, "a block of %zu bytes", room);
	buffer->data = data;
	buffer->room = room;
	return LATZ_OK;
}

void lzi_buffer_free(struct lzi_buffer *buffer)
{
	free(buffer->data);
	buffer->data = NULL;
	buffer->size = buffer->room = 0;
}
