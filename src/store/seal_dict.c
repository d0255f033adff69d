/*
 * Dictionaries of encrypted pools: they are pieces of values, so they are sealed like those, with a key of the master's
 * that nothing else is sealed with. What stands in files is sealed, everywhere; it is opened when a process makes one
 * ready for use. Its number is authenticated with it, as a value that is decompressed with another dictionary may come
 * out as another.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/pack.h"
#include "store/seal.h"

struct sealed_dict {
	uint8_t nonce[LZI_NONCE_BYTES]; /* random: a pool has 255 dictionaries at most */
	uint8_t tag[LZI_TAG_BYTES];
};
_Static_assert(sizeof(struct sealed_dict) == LZI_DICT_SEALED_MORE, "no padding");

struct about {
	uint8_t id[16];
	uint32_t number;
};
_Static_assert(sizeof(struct about) == 20, "no padding");

static int begin(const struct lzi_store *store, uint32_t number, struct about *about, struct lzi_aad *aad,
                 struct lzi_aead **ret_aead)
{
	const struct lzi_secrets *secrets = store->secrets;
	uint8_t key[LZI_KEY_BYTES];
	int rc = lzi_hkdf(secrets->master, sizeof secrets->master, "latzero: dictionaries", secrets->id,
	                  sizeof secrets->id, key, sizeof key);

	memcpy(about->id, secrets->id, sizeof about->id);
	about->number = number;
	*aad = (struct lzi_aad){ about, sizeof *about, NULL, 0 };
	*ret_aead = rc == LATZ_OK ? lzi_aead_new(key) : NULL;
	lzi_wipe(key, sizeof key);
	return rc == LATZ_OK && *ret_aead == NULL ? LATZ_NOMEM : rc;
}

int lzi_dict_seal(const struct lzi_store *store, const struct lzi_dict_header *dict,
                  struct lzi_dict_header **ret_dict)
{
	struct lzi_dict_header *made = malloc(sizeof *made + sizeof(struct sealed_dict) + dict->size);
	struct lzi_aead *aead = NULL;
	struct sealed_dict sealed;
	struct about about;
	struct lzi_aad aad;
	uint8_t *text;
	int rc;

	if (made == NULL)
		return lzi_error(LATZ_NOMEM, "dictionary");
	text = (uint8_t *)(made + 1) + sizeof sealed;
	rc = begin(store, dict->number, &about, &aad, &aead);
	if (rc == LATZ_OK)
		rc = lzi_draw(sealed.nonce, sizeof sealed.nonce);
	if (rc == LATZ_OK)
		rc = lzi_aead_seal(aead, sealed.nonce, &aad, dict + 1, dict->size, text, sealed.tag);
	lzi_aead_free(aead);
	if (rc != LATZ_OK) {
		free(made);
		return rc;
	}
	*made = *dict;
	memcpy(made + 1, &sealed, sizeof sealed);
	made->size = (uint32_t)sizeof sealed + dict->size;
	made->flags = LZI_DICT_SEALED;
	made->crc = lzi_crc32c(0, made + 1, made->size);
	lzi_dict_header_seal(made);
	*ret_dict = made;
	return LATZ_OK;
}

int lzi_dict_open(const struct lzi_store *store, struct lzi_dict_header *dict)
{
	uint8_t *text = (uint8_t *)(dict + 1) + sizeof(struct sealed_dict);
	uint32_t size = dict->size - (uint32_t)sizeof(struct sealed_dict);
	struct lzi_aead *aead = NULL;
	struct sealed_dict sealed;
	struct about about;
	struct lzi_aad aad;
	int rc;

	/* One in plain, in an encrypted pool, would let who made it choose what values become. */
	if ((dict->flags & LZI_DICT_SEALED) == 0 || dict->size <= sizeof sealed)
		return lzi_error(LATZ_CORRUPT, "dictionary %u is not encrypted", dict->number);
	memcpy(&sealed, dict + 1, sizeof sealed);
	rc = begin(store, dict->number, &about, &aad, &aead);
	if (rc == LATZ_OK)
		rc = lzi_aead_open(aead, sealed.nonce, &aad, text, size, text, sealed.tag);
	lzi_aead_free(aead);
	if (rc == LATZ_CORRUPT)
		return lzi_error(rc, "dictionary %u was not sealed with the pool's keys", dict->number);
	if (rc == LATZ_OK) {
		memmove(dict + 1, text, size);
		dict->size = size;
	}
	return rc;
}
