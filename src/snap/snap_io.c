/*
 * Bytes in and out of a snapshot's descriptor, which may be a pipe; buffers.
 */
#include "config.h"

#include <errno.h>
#include <latzero/latzero.h>
#include <stdlib.h>

#include "base/error.h"
#include "os/os.h"
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

/* A single call may not move more than 2 GiB. */
#define IO_MAX ((size_t)1 << 30)

int lzi_snap_io_write(int fd, const void *data, size_t size)
{
	const uint8_t *from = data;

	while (size > 0) {
		ssize_t n = lzi_os.write(fd, from, size < IO_MAX ? size : IO_MAX);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return lzi_error_sys(n < 0 ? errno : EIO, "write a snapshot");
		from += n;
		size -= (size_t)n;
	}
	return LATZ_OK;
}

int lzi_snap_io_read(int fd, void *data, size_t size, size_t *ret_size)
{
	uint8_t *to = data;
	size_t done = 0;

	while (done < size) {
		ssize_t n = lzi_os.read(fd, to + done, size - done < IO_MAX ? size - done : IO_MAX);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lzi_error_sys(errno, "read a snapshot");
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_size = done;
	return LATZ_OK;
}

int lzi_snap_io_read_at(int fd, void *data, size_t size, uint64_t offset, size_t *ret_size)
{
	uint8_t *to = data;
	size_t done = 0;

	while (done < size) {
		ssize_t n = lzi_os.pread(fd, to + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lzi_error_sys(errno, "read a snapshot");
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_size = done;
	return LATZ_OK;
}
