/*
 * Private to store/: compressed values and their dictionaries (doc/compression.md). pack.c: values on their way in and
 * out. dict.c: the pool's dictionaries, where they are kept. train.c: making new ones.
 */
#ifndef LZI_STORE_PACK_H
#define LZI_STORE_PACK_H

#include "codec/codec.h"
#include "format/packed.h"
#include "store/store_int.h"

/* ---- pack.c ---- */

/* Whether a value of the size is to be tried. */
static inline int lzi_pack_wanted(const struct lzi_store *store, uint64_t size)
{
	uint32_t least = lzi_load_relaxed(&store->control.shared->compress_min);

	return lzi_unlikely(least != 0) && size >= least;
}

/* 1: *value is the packed one now, until the thread packs another. 0: it is left as it is. */
int lzi_pack(struct lzi_store *store, latz_slice *value);
/* What was copied to lzi_codec_room(), and found whole, into *value: bytes, size. Where it stood is for the error. */
int lzi_unpack(struct lzi_store *store, uint8_t *packed, size_t size, uint64_t offset, latz_value *value);
/* The settings from now on; of what the options have. */
void lzi_compress_settings(struct lzi_shared *shared, const latz_options *options);

/* ---- dict.c ---- */

/* Number of the newest; 0 none. */
static inline unsigned lzi_dict_newest(const struct lzi_store *store)
{
	return (unsigned)(lzi_load_acquire(&store->control.shared->compress.dicts) & 0xff);
}

/* A dictionary ready for use; it stays until the process detaches. LATZ_CORRUPT, LATZ_NOMEM. */
int lzi_dict_find(struct lzi_store *store, unsigned number, struct lzi_codec_dict **ret_dict);
void lzi_dict_part(struct lzi_store *store);
/* Header and bytes in one, to be freed. */
int lzi_dict_read(struct lzi_store *store, unsigned number, struct lzi_dict_header **ret_dict);
/* Adds what follows the header, whose number is filled in. In a durable pool it is on the disk first. */
int lzi_dict_add(struct lzi_store *store, struct lzi_dict_header *dict);
/* The same of one from a snapshot, unless it is there. */
int lzi_dict_bring(struct lzi_store *store, const struct lzi_dict_header *dict);
/* All of them into a persist directory whose log begins, and no others stay there. */
int lzi_dict_save(struct lzi_store *store, int dirfd, const uint8_t log_id[16]);
/* seal_dict.c: of an encrypted pool. A sealed copy, to be freed; its number counts. In place. LATZ_CORRUPT. */
int lzi_dict_seal(const struct lzi_store *store, const struct lzi_dict_header *dict,
                  struct lzi_dict_header **ret_dict);
int lzi_dict_open(const struct lzi_store *store, struct lzi_dict_header *dict);
/* From a persist directory, into a pool that is being made. ret_id: of their log, if there are any. */
int lzi_dict_load(struct lzi_store *store, int dirfd, uint8_t ret_id[16]);
/* Whether a name in a persist directory is a dictionary's. */
int lzi_dict_is(const char *name);
/* Every one of them is whole. */
int lzi_dict_verify(struct lzi_store *store);
/* Bytes of the file that count, and how many dictionaries they are. */
uint64_t lzi_dict_extent(const struct lzi_store *store, unsigned *ret_count);
/* The file, made of bytes from an image: they are dictionaries. poolfd -1: only looks. */
int lzi_dict_file(int poolfd, unsigned mode, const uint8_t *bytes, uint64_t size, struct lzi_shared *shared);
/* Reads from the file. */
int lzi_dict_copy(struct lzi_store *store, void *to, uint64_t at, uint64_t size);

/* ---- train.c ---- */

/* The janitor's: trains if it is time, and only as often as it is worth its while. */
void lzi_train_by_itself(struct lzi_call *call);

#endif
