/*
 * Keys and values of encrypted pools on their way in and out (seal.h). Each thread has ciphers of its own, set up when
 * it first needs them.
 *
 * Nonces: 72 random bits, drawn when a thread's sealer is made, in a forked child, and again after 2^24 records; then
 * 24 bits that count. Nothing about them is shared or stored, so neither forks nor restarts nor a snapshot restored
 * twice can bring one back. With 2^20 draws the chance that any two are the same is 2^-33.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/newest.h"
#include "store/pack.h"
#include "store/seal.h"

#define PREFIX 9u
#define RECORDS_A_DRAW (1u << 24)

struct lzi_sealer {
	struct lzi_siv *siv;
	struct lzi_aead *aead[LZI_DATA_KEYS];
	struct lzi_tie *tie[LZI_DATA_KEYS]; /* there is one where there is an aead */
	uint64_t domain; /* of siv; + 1 */
	uint32_t left;   /* of records for which the prefix may be used */
	uint8_t prefix[PREFIX];
};

/* ---- Sealers ----------------------------------------------------------------------------------------------------- */

int lzi_seal_open(struct lzi_store *store)
{
	struct lzi_seal *seal = calloc(1, sizeof *seal);

	if (seal == NULL)
		return lzi_error(LATZ_NOMEM, "keys");
	seal->sealer = calloc(store->control.header->actors_max, sizeof *seal->sealer);
	seal->actors = store->control.header->actors_max;
	seal->newest = lzi_newest_make();
	if (seal->sealer == NULL || seal->newest == NULL) {
		lzi_newest_free(seal->newest);
		free(seal->sealer);
		free(seal);
		return lzi_error(LATZ_NOMEM, "keys");
	}
	seal->unforked = lzi_unforked_take();
	if (seal->unforked != NULL)
		*seal->unforked = 1;
	pthread_mutex_init(&seal->mutex, NULL);
	store->seal = seal;
	return LATZ_OK;
}

static void sealer_free(struct lzi_sealer *sealer)
{
	unsigned i;

	if (sealer == NULL)
		return;
	lzi_siv_free(sealer->siv);
	for (i = 0; i < LZI_DATA_KEYS; i++) {
		lzi_aead_free(sealer->aead[i]);
		lzi_tie_free(sealer->tie[i]);
	}
	free(sealer);
}

/* Not to be found any more before it goes: a child that is forked meanwhile must not free it again. */
static struct lzi_sealer *take_out(struct lzi_seal *seal, uint32_t index)
{
	struct lzi_sealer *sealer = seal->sealer[index];

	lzi_store_release(&seal->sealer[index], NULL);
	return sealer;
}

void lzi_seal_part(struct lzi_store *store, uint32_t index)
{
	if (store->seal == NULL || index >= store->seal->actors)
		return;
	sealer_free(take_out(store->seal, index));
}

void lzi_seal_forked(struct lzi_store *store)
{
	uint32_t i;

	for (i = 0; store->seal != NULL && i < store->seal->actors; i++)
		sealer_free(take_out(store->seal, i));
	if (store->held)
		lzi_seal_forget(store);
	else if (store->secrets != NULL)
		lzi_secret_inherited(store->secrets, sizeof *store->secrets);
}

void lzi_seal_forget(struct lzi_store *store)
{
	lzi_secrets_give(store->secrets);
	store->secrets = NULL;
}

void lzi_seal_close(struct lzi_store *store)
{
	struct lzi_seal *seal = store->seal;
	uint32_t i;

	lzi_seal_forget(store);
	if (seal == NULL)
		return;
	store->seal = NULL;
	for (i = 0; i < seal->actors; i++)
		sealer_free(seal->sealer[i]);
	free(seal->sealer);
	lzi_newest_free(seal->newest);
	lzi_secret_give(seal->unforked, sizeof *seal->unforked);
	pthread_mutex_destroy(&seal->mutex);
	free(seal);
}

static LZI_NOINLINE int sealer_make(struct lzi_store *store, uint32_t index, struct lzi_sealer **ret_sealer)
{
	struct lzi_sealer *sealer = calloc(1, sizeof *sealer);

	if (sealer == NULL)
		return lzi_error(LATZ_NOMEM, "cipher");
	sealer->siv = lzi_siv_new(store->secrets->names);
	if (sealer->siv == NULL) {
		free(sealer);
		return LATZ_NOMEM;
	}
	*ret_sealer = store->seal->sealer[index] = sealer;
	return LATZ_OK;
}

static inline int find(struct lzi_store *store, uint32_t index, struct lzi_sealer **ret_sealer)
{
	if (lzi_unlikely(index >= store->seal->actors))
		return lzi_error(LATZ_CLIENTS, "%u threads that only read", index);
	*ret_sealer = store->seal->sealer[index];
	return lzi_likely(*ret_sealer != NULL) ? LATZ_OK : sealer_make(store, index, ret_sealer);
}

static int find_own(struct lzi_store *store, struct lzi_sealer **ret_sealer)
{
	struct lzi_call call;
	int rc = lzi_thread_find(store, &call);

	return rc == LATZ_OK ? find(store, call.index, ret_sealer) : rc;
}

struct lzi_tie *lzi_sealed_tie_new(const uint8_t data[LZI_KEY_BYTES])
{
	struct lzi_tie *tie = NULL;
	uint8_t derived[LZI_KEY_BYTES];

	if (lzi_hkdf(data, LZI_KEY_BYTES, "latzero: versions", "", 0, derived, sizeof derived) == LATZ_OK)
		tie = lzi_tie_new(derived);
	lzi_wipe(derived, sizeof derived);
	return tie;
}

/* The ciphers of a data key, which a record may name that came after we had last looked. */
static LZI_NOINLINE int aead_make(struct lzi_store *store, struct lzi_sealer *sealer, unsigned key)
{
	struct lzi_secrets *secrets = store->secrets;
	int rc = LATZ_OK;

	if (key >= LZI_DATA_KEYS)
		return LATZ_CORRUPT;
	if ((lzi_load_acquire(&secrets->have) >> key & 1) == 0)
		rc = lzi_seal_refresh(store);
	if (rc != LATZ_OK)
		return rc;
	if ((lzi_load_acquire(&secrets->have) >> key & 1) == 0)
		return LATZ_CORRUPT;
	if (sealer->tie[key] == NULL)
		sealer->tie[key] = lzi_sealed_tie_new(secrets->data[key]);
	if (sealer->tie[key] != NULL)
		sealer->aead[key] = lzi_aead_new(secrets->data[key]);
	return sealer->aead[key] != NULL ? LATZ_OK : LATZ_NOMEM;
}

static inline int aead_of(struct lzi_store *store, struct lzi_sealer *sealer, unsigned key)
{
	return lzi_likely(key < LZI_DATA_KEYS && sealer->aead[key] != NULL) ? LATZ_OK : aead_make(store, sealer, key);
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

int lzi_seal_domain(struct lzi_siv *siv, uint32_t number)
{
	uint8_t bytes[5] = { 'n', (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
		             (uint8_t)number };

	return lzi_siv_domain(siv, bytes, sizeof bytes);
}

static int set_domain(struct lzi_sealer *sealer, uint32_t domain)
{
	int rc;

	if (lzi_likely(sealer->domain == (uint64_t)domain + 1))
		return LATZ_OK;
	sealer->domain = 0;
	rc = lzi_seal_domain(sealer->siv, domain);
	if (rc == LATZ_OK)
		sealer->domain = (uint64_t)domain + 1;
	return rc;
}

int lzi_store_is_sealed(const struct lzi_store *store)
{
	return store->seal != NULL;
}

unsigned lzi_seal_prefix(uint32_t number, uint8_t *to)
{
	if (number == 0) {
		*to = 0; /* so that no sealed key begins with ff */
		return 1;
	}
	lzi_space_prefix(number, to);
	return LZI_SPACE_PREFIX;
}

static int seal_name(struct lzi_call *call, uint32_t domain, const void *name, size_t size, uint8_t *to)
{
	struct lzi_sealer *sealer;
	int rc = find(call->store, call->index, &sealer);

	if (lzi_likely(rc == LATZ_OK))
		rc = set_domain(sealer, domain);
	return lzi_likely(rc == LATZ_OK) ? lzi_siv_seal(sealer->siv, name, size, to) : rc;
}

int lzi_seal_key(struct lzi_call *call, uint32_t number, latz_slice key, uint8_t *to, size_t *ret_size)
{
	unsigned prefix = lzi_seal_prefix(number, to);

	*ret_size = prefix + LZI_TAG_BYTES + key.size;
	return seal_name(call, number, key.data, key.size, to + prefix);
}

static int open_name(struct lzi_store *store, uint32_t domain, const void *name, size_t size, void *to)
{
	struct lzi_sealer *sealer;
	int rc = find_own(store, &sealer);

	if (rc == LATZ_OK)
		rc = set_domain(sealer, domain);
	if (rc == LATZ_OK)
		rc = lzi_siv_open(sealer->siv, name, size, to);
	return rc == LATZ_CORRUPT ? lzi_error(rc, "a key in the pool was not sealed with the pool's keys") : rc;
}

int lzi_key_seen(struct lzi_store *store, latz_slice *key, uint32_t *ret_number, uint8_t *to)
{
	int spaced = lzi_key_is_spaced(key->data, key->size);
	uint32_t number = spaced ? lzi_key_space(key->data) : 0;
	unsigned strip = spaced ? LZI_SPACE_PREFIX : store->seal != NULL || *(const uint8_t *)key->data == 0xff;
	int rc;

	*ret_number = number;
	if (lzi_unlikely(key->size < strip)) /* no key is, nor a lock's name; but that says who may write the pool */
		return lzi_error(LATZ_CORRUPT, "a key in the pool has no bytes");
	key->data = (const uint8_t *)key->data + strip;
	key->size -= strip;
	if (store->seal == NULL || (spaced && number == 0)) /* the book */
		return LATZ_OK;
	rc = open_name(store, number, key->data, key->size, to);
	if (rc != LATZ_OK)
		return rc;
	key->data = to;
	key->size -= LZI_TAG_BYTES;
	return LATZ_OK;
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

int lzi_seal_wanted(const struct lzi_store *store, latz_slice key)
{
	return store->seal != NULL && !lzi_key_is_book(key.data, key.size);
}

int lzi_seal_fits(uint64_t value_size)
{
	return value_size <= LZI_VALUE_MAX - LZI_SEALED_HEAD
	               ? LATZ_OK
	               : lzi_error(LATZ_TOOBIG, "value of %llu bytes; the limit in an encrypted pool is %llu",
	                           (unsigned long long)value_size,
	                           (unsigned long long)(LZI_VALUE_MAX - LZI_SEALED_HEAD));
}

static int next_nonce(struct lzi_seal *seal, struct lzi_sealer *sealer, uint8_t nonce[LZI_NONCE_BYTES])
{
	uint32_t count;
	int rc;

	if (lzi_unlikely(sealer->left == 0 || seal->unforked == NULL || *seal->unforked == 0)) {
		rc = lzi_draw(sealer->prefix, sizeof sealer->prefix);
		if (rc != LATZ_OK)
			return rc;
		sealer->left = RECORDS_A_DRAW;
	}
	count = --sealer->left;
	memcpy(nonce, sealer->prefix, PREFIX);
	nonce[9] = (uint8_t)(count >> 16);
	nonce[10] = (uint8_t)(count >> 8);
	nonce[11] = (uint8_t)count;
	return LATZ_OK;
}

static uint8_t *value_of(const struct lzi_sealing *sealing)
{
	return (uint8_t *)sealing->record + lzi_record_head(sealing->flags & LZI_RECORD_EXT) + sealing->key.size;
}

int lzi_seal_body(struct lzi_call *call, const struct lzi_sealing *sealing, latz_slice value, uint32_t raw_size,
                  int packed, struct lzi_sealed *ret_sealed)
{
	struct lzi_store *store = call->store;
	uint8_t *to = value_of(sealing);
	struct lzi_aad aad = { NULL, sizeof(struct lzi_sealed_about), sealing->key.data, sealing->key.size };
	struct lzi_sealed sealed = { .size = raw_size, .packed = (uint8_t)packed };
	struct lzi_sealed_about about;
	struct lzi_sealer *sealer;
	int rc = find(store, call->index, &sealer);

	if (rc == LATZ_OK && lzi_unlikely(lzi_load_relaxed(&store->control.shared->guarded.data_key) !=
	                                  lzi_load_relaxed(&store->secrets->current)))
		rc = lzi_seal_refresh(store);
	if (rc == LATZ_OK) {
		sealed.key = (uint8_t)lzi_load_relaxed(&store->secrets->current);
		rc = aead_of(store, sealer, sealed.key);
	}
	if (lzi_likely(rc == LATZ_OK))
		rc = next_nonce(store->seal, sealer, sealed.nonce);
	if (lzi_unlikely(rc != LATZ_OK))
		return rc == LATZ_CORRUPT ? lzi_error(rc, "the pool's data key %u is not there", sealed.key) : rc;
	lzi_sealed_describe(store->secrets, &sealed, sealing->type, &about);
	aad.head = &about;
	rc = lzi_aead_seal_to(sealer->aead[sealed.key], sealed.nonce, &aad, value.data, value.size,
	                      to + LZI_SEALED_HEAD, sealed.body_tag);
	memcpy(to, &sealed, sizeof sealed);
	*ret_sealed = sealed;
	sealing->record->crc = lzi_record_crc((uint32_t)value.size + LZI_SEALED_HEAD, (uint16_t)sealing->key.size,
	                                      sealing->type, sealing->flags, sealing->key.data, to);
	return rc;
}

int lzi_seal_head(struct lzi_call *call, const struct lzi_sealing *sealing, uint64_t seq,
                  const struct lzi_sealed *sealed)
{
	struct lzi_store *store = call->store;
	uint8_t tag[LZI_TAG_BYTES];
	struct lzi_sealer *sealer;
	int rc = find(store, call->index, &sealer);

	if (rc == LATZ_OK)
		rc = aead_of(store, sealer, sealed->key);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_sealed_tie(sealer->tie[sealed->key], sealed, seq, tag);
	if (lzi_likely(rc == LATZ_OK))
		memcpy(value_of(sealing) + offsetof(struct lzi_sealed, head_tag), tag, sizeof tag);
	return rc;
}

/* The head first: it says that the body is this version's. `body` is the thread's own, or, if it is racy, anybody's. */
LZI_INLINE int open_to(struct lzi_store *store, const struct lzi_stored *stored, const struct lzi_sealed *sealed,
                       const uint8_t *body, int racy, void *to)
{
	struct lzi_aad aad = { NULL, sizeof(struct lzi_sealed_about), stored->key.data, stored->key.size };
	uint32_t size = stored->size - LZI_SEALED_HEAD;
	uint8_t tag[LZI_TAG_BYTES];
	struct lzi_sealed_about about;
	struct lzi_sealer *sealer;
	int rc = store->seal == NULL ? LATZ_CORRUPT : find_own(store, &sealer);

	if (rc == LATZ_OK)
		rc = aead_of(store, sealer, sealed->key);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_sealed_tie(sealer->tie[sealed->key], sealed, stored->seq, tag);
	if (lzi_unlikely(rc != LATZ_OK))
		return rc;
	if (lzi_unlikely(!lzi_same_tag(tag, sealed->head_tag)))
		return LATZ_CORRUPT;
	lzi_sealed_describe(store->secrets, sealed, stored->type, &about);
	aad.head = &about;
	return (racy ? lzi_aead_open_from : lzi_aead_open)(sealer->aead[sealed->key], sealed->nonce, &aad, body, size,
	                                                   to, sealed->body_tag);
}

static int open_copy(struct lzi_store *store, const struct lzi_stored *stored, void *to)
{
	struct lzi_sealed sealed;

	memcpy(&sealed, stored->bytes, sizeof sealed);
	return open_to(store, stored, &sealed, stored->bytes + LZI_SEALED_HEAD, 0, to);
}

static LZI_COLD int not_ours(const struct lzi_stored *stored, int rc)
{
	if (rc != LATZ_CORRUPT)
		return rc;
	return lzi_error(rc, "record at heap offset %llu: sealed, but not as this key, version and type of this pool",
	                 (unsigned long long)stored->offset);
}

int lzi_not_sealed(uint64_t offset)
{
	return lzi_error(LATZ_CORRUPT, "record at heap offset %llu: not sealed, in an encrypted pool",
	                 (unsigned long long)offset);
}

int lzi_open_stored(struct lzi_store *store, const struct lzi_stored *stored, uint8_t **ret_at, uint32_t *ret_size)
{
	int rc = stored->size < LZI_SEALED_HEAD ? LATZ_CORRUPT
	                                        : open_copy(store, stored, stored->bytes + LZI_SEALED_HEAD);

	*ret_at = stored->bytes + LZI_SEALED_HEAD;
	*ret_size = stored->size - LZI_SEALED_HEAD;
	return lzi_likely(rc == LATZ_OK) ? rc : not_ours(stored, rc);
}

int lzi_open_value(struct lzi_store *store, const struct lzi_stored *stored, latz_value *value)
{
	struct lzi_sealed sealed;
	uint8_t *at;
	uint32_t size;
	int rc;

	if (lzi_unlikely(stored->size < LZI_SEALED_HEAD))
		return not_ours(stored, LATZ_CORRUPT);
	memcpy(&sealed, stored->bytes, sizeof sealed);
	if (sealed.packed) {
		rc = lzi_open_stored(store, stored, &at, &size);
		if (rc != LATZ_OK)
			return rc;
		rc = lzi_value_reserve_secret(value, 0); /* so that it is one, however large it gets */
		if (rc == LATZ_OK)
			rc = lzi_unpack(store, at, size, stored->offset, value);
		lzi_wipe(at, size);
		return rc;
	}
	size = stored->size - LZI_SEALED_HEAD;
	rc = lzi_value_reserve_secret(value, size);
	if (rc != LATZ_OK)
		return rc;
	rc = open_copy(store, stored, value->data);
	if (lzi_unlikely(rc != LATZ_OK))
		return not_ours(stored, rc);
	((char *)value->data)[size] = '\0';
	value->size = size;
	return LATZ_OK;
}

int lzi_open_in_place(struct lzi_store *store, const struct lzi_stored *stored, const struct lzi_sealed *sealed,
                      const uint8_t *body, latz_value *value)
{
	uint32_t size = stored->size - LZI_SEALED_HEAD;
	int rc = lzi_value_reserve_secret(value, size);

	if (rc != LATZ_OK)
		return rc;
	rc = open_to(store, stored, sealed, body, 1, value->data);
	if (lzi_unlikely(rc != LATZ_OK))
		return not_ours(stored, rc);
	((char *)value->data)[size] = '\0';
	value->size = size;
	return LATZ_OK;
}

int lzi_open_copied(struct lzi_store *store, uint8_t *packed, const struct lzi_record *head, uint64_t offset,
                    latz_slice key, int as_is, latz_value *value)
{
	struct lzi_stored stored = { packed, head->value_size, head->type, head->seq, offset, key };
	int rc;

	if (lzi_seal_lacks(store, head->flags, key)) /* to compress takes no keys either */
		return lzi_not_sealed(offset);
	if ((head->flags & LZI_RECORD_SEALED) == 0)
		return lzi_unpack(store, packed, head->value_size, offset, value);
	if (!as_is)
		return lzi_open_value(store, &stored, value);
	rc = lzi_value_reserve(value, head->value_size);
	if (rc != LATZ_OK)
		return rc;
	memcpy(value->data, packed, head->value_size);
	value->size = head->value_size;
	return LATZ_OK;
}

int lzi_open_small(struct lzi_store *store, const struct lzi_record *record, latz_slice key, void *to, uint32_t room,
                   uint32_t *ret_size)
{
	uint8_t bytes[LZI_SEALED_HEAD + 64], *at;
	struct lzi_stored stored = { bytes, lzi_load_relaxed(&record->value_size), record->type, record->seq, 0, key };
	int rc;

	if (stored.size > sizeof bytes || stored.size < LZI_SEALED_HEAD || stored.size - LZI_SEALED_HEAD > room)
		return lzi_error(LATZ_TYPE, "the value is another");
	memcpy(bytes, lzi_record_value(record), stored.size);
	rc = lzi_open_stored(store, &stored, &at, ret_size);
	if (rc == LATZ_OK)
		memcpy(to, at, *ret_size);
	lzi_wipe(bytes, sizeof bytes);
	return rc;
}
