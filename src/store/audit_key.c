/*
 * The key of an audit log: made, sealed, found again by the password.
 */
#include "config.h"

#include "store/audit_key.h"

#include <string.h>

#include "base/error.h"
#include "os/os.h"

#define RING_KEYS 32u
#define RING_TRIES 64u /* passwords that the pools of one log had: each costs scrypt */

struct lzi_audit_ring {
	const char *password; /* the caller's */
	unsigned keys, tries;
	struct {
		uint8_t id[LZI_AUDIT_KEY_ID];
		uint8_t key[LZI_KEY_BYTES];
	} key[RING_KEYS];
	int full; /* 1: there were more */
	struct {
		uint8_t salt[32];
		struct lzi_scrypt cost;
		int right; /* 0: the cost is none */
		uint8_t key[LZI_KEY_BYTES]; /* what the password makes of them */
	} tried[RING_TRIES];
};

int lzi_audit_key_make(const uint8_t master[LZI_KEY_BYTES], const uint8_t id[LZI_AUDIT_KEY_ID],
                       uint8_t ret_key[LZI_KEY_BYTES], uint8_t ret_names[LZI_KEY_BYTES])
{
	int rc = lzi_hkdf(master, LZI_KEY_BYTES, "latzero: the audit log", id, LZI_AUDIT_KEY_ID, ret_key,
	                  LZI_KEY_BYTES);

	return rc == LATZ_OK ? lzi_hkdf(master, LZI_KEY_BYTES, "latzero: keys in the audit log", id, LZI_AUDIT_KEY_ID,
	                                ret_names, LZI_KEY_BYTES)
	                     : rc;
}

/* What the key is sealed with. Deterministic, as the same is sealed by everybody who opens the pool. */
static int cipher_of(const uint8_t from_password[LZI_KEY_BYTES], const uint8_t id[LZI_AUDIT_KEY_ID],
                     struct lzi_siv **ret_siv)
{
	uint8_t *key = lzi_secret_take(LZI_SIV_KEY_BYTES);
	struct lzi_siv *siv = NULL;
	int rc = key == NULL ? lzi_error(LATZ_NOMEM, "keys")
	                     : lzi_hkdf(from_password, LZI_KEY_BYTES, "latzero: sealing the audit log's key", id,
	                                LZI_AUDIT_KEY_ID, key, LZI_SIV_KEY_BYTES);

	if (rc == LATZ_OK && (siv = lzi_siv_new(key)) == NULL)
		rc = LATZ_NOMEM;
	lzi_secret_give(key, LZI_SIV_KEY_BYTES);
	if (rc == LATZ_OK)
		rc = lzi_siv_domain(siv, id, LZI_AUDIT_KEY_ID);
	if (rc != LATZ_OK) {
		lzi_siv_free(siv);
		siv = NULL;
	}
	*ret_siv = siv;
	return rc;
}

int lzi_audit_key_seal(const uint8_t master[LZI_KEY_BYTES], const uint8_t from_password[LZI_KEY_BYTES],
                       struct lzi_audit_seal *seal)
{
	uint8_t *key = lzi_secret_take(2 * LZI_KEY_BYTES);
	struct lzi_siv *siv = NULL;
	int rc = key == NULL ? lzi_error(LATZ_NOMEM, "keys")
	                     : lzi_audit_key_make(master, seal->id, key, key + LZI_KEY_BYTES);

	if (rc == LATZ_OK)
		rc = cipher_of(from_password, seal->id, &siv);
	if (rc == LATZ_OK)
		rc = lzi_siv_seal(siv, key, LZI_KEY_BYTES, seal->sealed);
	lzi_siv_free(siv);
	lzi_secret_give(key, 2 * LZI_KEY_BYTES);
	return rc;
}

/* ---- Verifying --------------------------------------------------------------------------------------------------- */

struct lzi_audit_ring *lzi_audit_ring_new(const char *password)
{
	struct lzi_audit_ring *ring = lzi_secret_take(sizeof *ring);

	if (ring != NULL)
		ring->password = password;
	else
		(void)lzi_error(LATZ_NOMEM, "keys");
	return ring;
}

void lzi_audit_ring_free(struct lzi_audit_ring *ring)
{
	lzi_secret_give(ring, sizeof *ring);
}

const uint8_t *lzi_audit_ring_find(const struct lzi_audit_ring *ring, const uint8_t id[LZI_AUDIT_KEY_ID])
{
	unsigned i;

	for (i = 0; i < ring->keys; i++) {
		if (memcmp(ring->key[i].id, id, LZI_AUDIT_KEY_ID) == 0)
			return ring->key[i].key;
	}
	return NULL;
}

int lzi_audit_ring_is_full(const struct lzi_audit_ring *ring)
{
	return ring->full;
}

/* What the password makes of a salt and a cost; the number of the try. LATZ_TOOBIG: too many were tried. */
static int try_password(struct lzi_audit_ring *ring, const struct lzi_audit_seal *seal, unsigned *ret_try)
{
	struct lzi_scrypt cost = { seal->log2_n, seal->r, seal->p };
	unsigned i;
	int rc;

	for (i = 0; i < ring->tries; i++) {
		if (memcmp(ring->tried[i].salt, seal->salt, sizeof seal->salt) == 0 &&
		    memcmp(&ring->tried[i].cost, &cost, sizeof cost) == 0)
			break;
	}
	*ret_try = i;
	if (i < ring->tries)
		return LATZ_OK;
	if (i == RING_TRIES)
		return LATZ_TOOBIG;
	rc = lzi_scrypt(ring->password, strlen(ring->password), seal->salt, sizeof seal->salt, &cost,
	                ring->tried[i].key, LZI_KEY_BYTES);
	if (rc != LATZ_OK && rc != LATZ_INVALID) /* out of range: who has the file may write such */
		return rc;
	memcpy(ring->tried[i].salt, seal->salt, sizeof seal->salt);
	ring->tried[i].cost = cost;
	ring->tried[i].right = rc == LATZ_OK;
	ring->tries++;
	return LATZ_OK;
}

/* LATZ_CORRUPT: it is another password's, or made up. */
static int open_seal(const uint8_t from_password[LZI_KEY_BYTES], const struct lzi_audit_seal *seal, uint8_t *ret_key)
{
	struct lzi_siv *siv = NULL;
	int rc = cipher_of(from_password, seal->id, &siv);

	if (rc == LATZ_OK)
		rc = lzi_siv_open(siv, seal->sealed, sizeof seal->sealed, ret_key);
	lzi_siv_free(siv);
	return rc;
}

/* Each is opened, whatever others there were with its salt: salts stand in the file for everybody to use. */
int lzi_audit_ring_learn(struct lzi_audit_ring *ring, const struct lzi_audit_seal *seal)
{
	unsigned try;
	int rc;

	if (lzi_audit_ring_find(ring, seal->id) != NULL)
		return LATZ_OK;
	rc = ring->keys == RING_KEYS ? LATZ_TOOBIG : try_password(ring, seal, &try);
	if (rc == LATZ_TOOBIG) {
		ring->full = 1;
		return LATZ_OK;
	}
	if (rc != LATZ_OK || !ring->tried[try].right)
		return rc;
	rc = open_seal(ring->tried[try].key, seal, ring->key[ring->keys].key);
	if (rc == LATZ_OK)
		memcpy(ring->key[ring->keys++].id, seal->id, LZI_AUDIT_KEY_ID);
	return rc == LATZ_CORRUPT ? LATZ_OK : rc;
}
