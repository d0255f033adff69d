/*
 * Values through zstd and back, with dictionaries or without, and the training of these. Knows nothing of pools: what
 * it works with is given, but for each thread's contexts and buffers, which go with the thread.
 */
#ifndef LZI_CODEC_CODEC_H
#define LZI_CODEC_CODEC_H

#include <stddef.h>
#include <stdint.h>

/* ---- Dictionaries ------------------------------------------------------------------------------------------------ */

/* A dictionary made ready for use; any thread may use it. */
struct lzi_codec_dict;
/* Copies the bytes. LATZ_NOMEM, LATZ_CORRUPT. */
int lzi_codec_dict_new(unsigned number, const void *bytes, size_t size, struct lzi_codec_dict **ret_dict);
/* Nobody uses it any more. NULL is ignored. */
void lzi_codec_dict_free(struct lzi_codec_dict *dict);

/* Makes a dictionary of at most `room` bytes of samples that stand one after another. 0: they are too few, or too
 * unlike. Takes about a second for 4 MiB. */
size_t lzi_codec_train(const void *samples, const size_t *sizes, unsigned count, void *dict, size_t room);

/* ---- Values ------------------------------------------------------------------------------------------------------ */

/* Packs a value (format/packed.h). Returns how many bytes it is packed, 0 if that would save too little or there is no
 * memory: then it is stored as it is. *ret_packed stays until the thread's next call of this. */
size_t lzi_codec_pack(struct lzi_codec_dict *dict, int level, const void *raw, size_t size, const void **ret_packed);

/* Room of the thread's own for a packed value that is to be unpacked; NULL for want of memory. It stays until the
 * thread's next call of this. */
uint8_t *lzi_codec_room(size_t size);
/* Unpacks what was put there; its bytes are spoiled by it. dict, raw_size: what lzi_packed_parse() says. LATZ_OK,
 * LATZ_CORRUPT (whatever else may be in it, no byte is written past raw_size), LATZ_NOMEM. */
int lzi_codec_unpack(const struct lzi_codec_dict *dict, uint8_t *packed, size_t size, void *to, size_t raw_size);

/* Overwrites what the thread's last packing left in its buffer, to be called when that is used no more: of values that
 * must not stay in memory. What zstd keeps in its own contexts it does not get to. */
void lzi_codec_wipe(void);

/* Levels there are. */
int lzi_codec_level_valid(int level);
/* For level 0. */
#define LZI_CODEC_LEVEL 3

#endif
