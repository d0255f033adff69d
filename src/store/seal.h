/*
 * Private to store/ and the api: encrypted pools (doc/security.md). keys.c: passwords and the pool's keys. seal.c: keys
 * and values on their way in and out.
 *
 * Below the api a pool knows keys only as they are sealed (AES-SIV: the same key always becomes the same bytes): they
 * are what is hashed, ordered, logged, told in events. Values are sealed (AES-GCM) when a record is drafted, and opened
 * when it is read; a record's head, which ties the value to its key, version, type and pool, under the bucket's lock.
 */
#ifndef LZI_STORE_SEAL_H
#define LZI_STORE_SEAL_H

#include "crypt/crypt.h"
#include "format/audit.h"
#include "format/sealed.h"
#include "store/store_int.h"

/* In memory for secrets. */
struct lzi_secrets {
	uint8_t master[LZI_KEY_BYTES];
	uint8_t names[LZI_SIV_KEY_BYTES]; /* of the master: what keys are sealed with */
	uint8_t data[LZI_DATA_KEYS][LZI_KEY_BYTES];
	uint32_t have; /* bit n: data[n] is known */
	uint32_t kind; /* enum lzi_locked_kind */
	uint32_t current; /* data key of new records */
	uint8_t id[16];
	uint8_t audit[LZI_KEY_BYTES]; /* of the master: what the audit log is authenticated with, */
	uint8_t audit_names[LZI_KEY_BYTES]; /* and what keys are hashed with there */
	struct lzi_audit_seal audit_seal; /* the first of them, sealed with the password. No secret */
};

struct lzi_sealer;

/* An attachment's part in an encrypted pool. */
struct lzi_seal {
	uint32_t *unforked; /* 1; 0 in a forked child, whose copies of nonces are not its own. NULL: always 0 */
	pthread_mutex_t mutex; /* for taking over new data keys */
	uint32_t actors;
	struct lzi_sealer **sealer; /* of each thread slot, made and used by its thread alone */
	struct lzi_newest *newest;  /* what the process has seen of its keys (newest.c) */
};

/* ---- keys.c ---- */

/* After everything else of a pool is there, before anybody reads or writes keys: makes its keys if it is new and the
 * options want that, else looks whether the password is right, unless the caller is trusted. *secrets: NULL, or what a
 * parent or an earlier step of this very opening knows; taken if it is kept. LATZ_AUTH. */
int lzi_seal_join(struct lzi_call *call, const latz_options *options, int trusted, struct lzi_secrets **secrets);
/* LATZ_AUTH: the pool has a password, and who opens it none. */
int lzi_seal_missed(const struct lzi_store *store);
/* A pool that is being made: with what the options, or what it was restored from, say. *ret_secrets: NULL if it is not
 * locked. */
int lzi_seal_make(struct lzi_call *call, const latz_options *options, const char *from,
                  struct lzi_secrets **ret_secrets);
/* One more handle on a pool that this process has attached already. */
int lzi_seal_ask(struct lzi_store *store, const latz_options *options);
void lzi_secrets_give(struct lzi_secrets *secrets);
/* Learns of data keys that came after us. */
int lzi_seal_refresh(struct lzi_store *store);
/* move.c: the record anew, its value sealed with the data key of now. LATZ_NOTFOUND: it is somewhere else by now. */
int lzi_move_resealed(struct lzi_call *call, uint64_t unit);

/* ---- seal.c ---- */

/* With store->secrets. */
int lzi_seal_open(struct lzi_store *store);
void lzi_seal_close(struct lzi_store *store);
/* The thread gives its slot back. */
void lzi_seal_part(struct lzi_store *store, uint32_t index);
/* In a forked child, of what its parent had attached: the ciphers go, since the child makes its own; the keys are
 * locked, for the handles by which it may attach. */
void lzi_seal_forked(struct lzi_store *store);
/* And when the last of these is gone: the keys as well. */
void lzi_seal_forget(struct lzi_store *store);

static inline int lzi_is_sealed(const struct lzi_store *store)
{
	return lzi_unlikely(store->seal != NULL);
}

/* The domain of a namespace's keys, 0: of those in none. */
int lzi_seal_domain(struct lzi_siv *siv, uint32_t number);

/* What a sealed body is of. */
static inline void lzi_sealed_describe(const struct lzi_secrets *secrets, const struct lzi_sealed *sealed,
                                       uint8_t type, struct lzi_sealed_about *about)
{
	memset(about, 0, sizeof *about);
	memcpy(about->id, secrets->id, sizeof about->id);
	about->size = sealed->size;
	/* Nothing was ever sealed with anything in what is reserved: who puts something there finds that it fails. */
	about->what = (sealed->reserved[0] | sealed->reserved[1]) == 0 ? 'b' : 0;
	about->type = type;
	about->key = sealed->key;
	about->packed = sealed->packed;
}

/* What ties bodies that are sealed with a data key to their versions, with a key of that one's. NULL: no memory. */
struct lzi_tie *lzi_sealed_tie_new(const uint8_t data[LZI_KEY_BYTES]);
/* The head's tag. */
static inline int lzi_sealed_tie(struct lzi_tie *tie, const struct lzi_sealed *sealed, uint64_t seq,
                                 uint8_t ret_tag[LZI_TAG_BYTES])
{
	struct lzi_sealed_version version = { seq, { 'h' } };
	uint8_t first[LZI_TAG_BYTES];

	memcpy(first, &version, sizeof first);
	return lzi_tie(tie, first, sealed->body_tag, ret_tag);
}

/* A sealed value's size is told in 32 bits, what stands before it included. LATZ_TOOBIG. */
int lzi_seal_fits(uint64_t value_size);
/* Whether the value of a key is to be sealed: all but the book's. */
int lzi_seal_wanted(const struct lzi_store *store, latz_slice key);
/* Whether a record is none of ours, although its checksum is right: that takes no keys. Nobody may take its value for
 * one. */
static inline int lzi_seal_lacks(const struct lzi_store *store, uint8_t flags, latz_slice key)
{
	return lzi_is_sealed(store) && (flags & LZI_RECORD_SEALED) == 0 && lzi_seal_wanted(store, key);
}
int lzi_not_sealed(uint64_t offset);

/* A record that is being made, and what is known of it: not what stands in it, which others can write. */
struct lzi_sealing {
	struct lzi_record *record;
	latz_slice key; /* in memory of ours */
	uint8_t type, flags;
};
/* The value into the record, which has everything else but seq, crc included when this returns. */
int lzi_seal_body(struct lzi_call *call, const struct lzi_sealing *sealing, latz_slice value, uint32_t raw_size,
                  int packed, struct lzi_sealed *ret_sealed);
/* After seq is known, and while nobody else sees the record. */
int lzi_seal_head(struct lzi_call *call, const struct lzi_sealing *sealing, uint64_t seq,
                  const struct lzi_sealed *sealed);
/* Of a draft with a sealed value. */
static inline struct lzi_sealing lzi_draft_sealing(const struct lzi_draft *draft, latz_slice key, uint8_t type)
{
	return (struct lzi_sealing){ draft->record, key, type,
		                     (uint8_t)((draft->ext ? LZI_RECORD_EXT : 0) | LZI_RECORD_SEALED |
		                               (draft->flags & ~LZI_RECORD_PACKED)) };
}

/* A sealed value that was copied, whole, to memory of the thread's; its record's crc has been looked at. */
struct lzi_stored {
	uint8_t *bytes;
	uint32_t size;
	uint8_t type;
	uint64_t seq, offset;
	latz_slice key;
};
/* The value as it was before lzi_seal_body(): *ret_at points into stored->bytes. LATZ_CORRUPT, which names the record
 * by where it stands. */
int lzi_open_stored(struct lzi_store *store, const struct lzi_stored *stored, uint8_t **ret_at, uint32_t *ret_size);
/* Into *value: bytes, size; decompressed. */
int lzi_open_value(struct lzi_store *store, const struct lzi_stored *stored, latz_value *value);
/* The same without a copy but the caller's: bytes is not looked at, its head is in *sealed, not packed; the rest, in
 * memory that others write, at `body`. */
int lzi_open_in_place(struct lzi_store *store, const struct lzi_stored *stored, const struct lzi_sealed *sealed,
                      const uint8_t *body, latz_value *value);
/* A compressed or sealed value that was copied with its record's head, and found whole, into *value: as it was before,
 * or as_is, which is for sealed ones only. */
int lzi_open_copied(struct lzi_store *store, uint8_t *packed, const struct lzi_record *head, uint64_t offset,
                    latz_slice key, int as_is, latz_value *value);
/* A record that nobody changes meanwhile: a value of at most `room` bytes. */
int lzi_open_small(struct lzi_store *store, const struct lzi_record *record, latz_slice key, void *to, uint32_t room,
                   uint32_t *ret_size);

#endif
