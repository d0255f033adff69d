/*
 * Private to snap/: buffers that grow, reading ahead.
 */
#ifndef LZI_SNAP_SNAP_INT_H
#define LZI_SNAP_SNAP_INT_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "format/snapshot.h"

struct lzi_snap_info;
/* footer NULL: its fields 0. */
void lzi_snap_info_fill(struct lzi_snap_info *info, const struct lzi_snap_header *header,
                        const struct lzi_snap_footer *footer);

struct lzi_buffer {
	uint8_t *data;
	size_t size, room;
};

/* Room for `room` bytes; what is there stays. LATZ_NOMEM, with detail. */
int lzi_buffer_reserve(struct lzi_buffer *buffer, size_t room);
void lzi_buffer_free(struct lzi_buffer *buffer);

/* What errors call the descriptor, which may be a pipe's. */
#define LZI_SNAP_NAME "a snapshot"

/* ---- Reading ahead (snap_input.c) -------------------------------------------------------------------------------- */

struct lzi_snap_input {
	int fd;
	int end;                  /* the descriptor has no more */
	uint64_t offset;          /* of the next byte, from where reading began */
	struct lzi_buffer window; /* bytes read and not taken: from `at` to window.size */
	size_t at;
	XXH3_state_t *digest; /* of all that was taken */
};

int lzi_snap_input_init(struct lzi_snap_input *input, int fd);
void lzi_snap_input_fini(struct lzi_snap_input *input);
/* At least `size` bytes in the window, unless the end comes before; *ret_have: how many there are. */
int lzi_snap_input_fill(struct lzi_snap_input *input, size_t size, size_t *ret_have);
/* Takes bytes of the window. */
void lzi_snap_input_skip(struct lzi_snap_input *input, size_t size, int digested);
/* Takes up to `size` bytes into `to`; to->size is less at the end. Memory follows what is really there. */
int lzi_snap_input_take(struct lzi_snap_input *input, struct lzi_buffer *to, size_t size);
/* Gives back the bytes taken last. The digest is worth nothing afterwards. */
int lzi_snap_input_untake(struct lzi_snap_input *input, const void *data, size_t size);

#endif
