/*
 * Locked pools: the record that holds a pool's keys, sealed with what scrypt makes of the password; asking for it.
 * Who tries passwords pays scrypt for each, and after a wrong one waits (guess.c).
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "crypt/digest.h"
#include "store/audit_key.h"
#include "store/guess.h"
#include "store/keys_int.h"
#include "store/space.h"

#define SCRYPT_MS 50u
#define RECORD_KEY_SIZE (LZI_SPACE_PREFIX + 1)

void lzi_secrets_give(struct lzi_secrets *secrets)
{
	lzi_secret_give(secrets, sizeof *secrets);
}

/* ---- The record -------------------------------------------------------------------------------------------------- */

static latz_slice record_key(uint8_t to[RECORD_KEY_SIZE])
{
	lzi_space_prefix(0, to);
	to[LZI_SPACE_PREFIX] = 'k';
	return (latz_slice){ to, RECORD_KEY_SIZE };
}

latz_slice lzi_keys_record_key(uint8_t to[LZI_KEYS_RECORD_ROOM])
{
	_Static_assert(RECORD_KEY_SIZE <= LZI_KEYS_RECORD_ROOM, "it fits");
	return record_key(to);
}

static int keys_valid(const struct lzi_keys *keys)
{
	return memcmp(keys->magic, LZI_KEYS_MAGIC, sizeof keys->magic) == 0 &&
	       (keys->kind == LZI_LOCKED_PASSWORD || keys->kind == LZI_LOCKED_ENCRYPTED) &&
	       keys->current < LZI_DATA_KEYS;
}

int lzi_keys_parse(const void *data, size_t size, struct lzi_keys *ret_keys)
{
	if (size >= 12 && memcmp(data, LZI_KEYS_MAGIC, 8) == 0 && ((const uint8_t *)data)[8] != LZI_KEYS_VERSION)
		return lzi_error(LATZ_VERSION, "the pool's keys are of another version of latzero");
	if (size != sizeof *ret_keys)
		return lzi_error(LATZ_CORRUPT, "the record of the pool's keys has %zu bytes", size);
	memcpy(ret_keys, data, sizeof *ret_keys);
	return keys_valid(ret_keys) ? LATZ_OK : lzi_error(LATZ_CORRUPT, "the record of the pool's keys is damaged");
}

int lzi_keys_is_record(latz_slice key)
{
	uint8_t wanted[RECORD_KEY_SIZE];

	return key.size == RECORD_KEY_SIZE && memcmp(key.data, record_key(wanted).data, RECORD_KEY_SIZE) == 0;
}

int lzi_keys_read(struct lzi_call *call, struct lzi_keys *ret_keys, uint64_t *ret_version)
{
	latz_value value = LATZ_VALUE_INIT;
	uint8_t key[RECORD_KEY_SIZE];
	int rc = lzi_store_get_own(call, record_key(key), &value);

	if (rc == LATZ_OK) {
		rc = lzi_keys_parse(value.data, value.size, ret_keys);
		if (ret_version != NULL)
			*ret_version = value.version;
	}
	latz_value_free(&value);
	return rc;
}

int lzi_keys_are_gone(struct lzi_call *call)
{
	struct lzi_keys keys;

	return lzi_keys_read(call, &keys, NULL) == LATZ_NOTFOUND;
}

static unsigned used(const struct lzi_keys *keys)
{
	unsigned i, n = 0;

	for (i = 0; i < LZI_DATA_KEYS; i++)
		n += keys->data[i].used != 0;
	return n;
}

void lzi_keys_tell(struct lzi_store *store, const struct lzi_keys *keys)
{
	uint32_t *word = &store->control.shared->guarded.data_keys, told = lzi_load_relaxed(word), n = used(keys);

	while (told < n && !lzi_cas_acquire(word, &told, n))
		;
}

unsigned lzi_keys_count(struct lzi_call *call, int *ret_encrypted)
{
	struct lzi_keys keys;
	int found = lzi_keys_read(call, &keys, NULL) == LATZ_OK;
	unsigned n = found ? used(&keys) : 0;

	if (ret_encrypted != NULL)
		*ret_encrypted = lzi_is_sealed(call->store) || (found && keys.kind == LZI_LOCKED_ENCRYPTED);
	return n;
}

int lzi_keys_moved(void)
{
	return lzi_error(LATZ_BUSY, "the pool's values are being sealed with new data keys all the time: try again");
}

/* ---- Sealing keys with keys -------------------------------------------------------------------------------------- */

static int mac_of(const struct lzi_secrets *secrets, const struct lzi_keys *keys, uint8_t mac[32])
{
	uint8_t key[32];
	int rc = lzi_hkdf(secrets->master, sizeof secrets->master, "latzero: the record of keys", keys->id,
	                  sizeof keys->id, key, sizeof key);

	if (rc == LATZ_OK)
		rc = lzi_digest(key, keys, offsetof(struct lzi_keys, mac), mac);
	lzi_wipe(key, sizeof key);
	return rc;
}

int lzi_keys_write(struct lzi_call *call, const struct lzi_secrets *secrets, struct lzi_keys *keys, uint64_t version)
{
	uint8_t key[RECORD_KEY_SIZE];
	struct lzi_write write = { .kind = LZI_WRITE_SET,
		                   .key = record_key(key),
		                   .value = { keys, sizeof *keys },
		                   .flags = version == 0 ? LATZ_IF_ABSENT : LATZ_IF_VERSION,
		                   .type = LATZ_BYTES,
		                   .if_version = version,
		                   .ttl_ms = -1 };
	uint64_t sets = call->actor->sets;
	int rc = mac_of(secrets, keys, keys->mac);

	lzi_space_mark_high(call->store);
	if (rc == LATZ_OK)
		rc = lzi_store_write(call, &write);
	lzi_store_relaxed(&call->actor->sets, sets); /* nor has he set anything */
	return rc;
}

int lzi_keys_check(const struct lzi_secrets *secrets, const struct lzi_keys *keys)
{
	uint8_t mac[32];
	int rc = mac_of(secrets, keys, mac);

	return rc != LATZ_OK || memcmp(mac, keys->mac, sizeof mac) == 0
	               ? rc
	               : lzi_error(LATZ_CORRUPT, "the record of the pool's keys was changed without the password");
}

/* With the password's key: seals the master, or opens it; and seals what who has the password verifies the audit log
 * with. LATZ_AUTH: another password. */
static int with_password(struct lzi_keys *keys, const char *password, const uint8_t *seal, uint8_t *ret_master,
                         struct lzi_audit_seal *ret_audit)
{
	struct lzi_scrypt cost = { keys->log2_n, keys->r, keys->p };
	uint8_t *key = lzi_secret_take(LZI_KEY_BYTES);
	struct lzi_aad aad = { keys->id, sizeof keys->id, &keys->log2_n, 12 };
	struct lzi_aead *aead = NULL;
	int rc;

	if (key == NULL)
		return lzi_error(LATZ_NOMEM, "keys");
	rc = lzi_scrypt(password, strlen(password), keys->salt, sizeof keys->salt, &cost, key, LZI_KEY_BYTES);
	if (rc == LATZ_INVALID)
		rc = lzi_error(LATZ_CORRUPT, "the record of the pool's keys is damaged");
	else if (rc == LATZ_OK && (aead = lzi_aead_new(key)) == NULL)
		rc = LATZ_NOMEM;
	if (rc == LATZ_OK)
		rc = seal != NULL
		             ? lzi_aead_seal(aead, keys->nonce, &aad, seal, LZI_KEY_BYTES, keys->master, keys->tag)
		             : lzi_aead_open(aead, keys->nonce, &aad, keys->master, LZI_KEY_BYTES, ret_master,
		                             keys->tag);
	if (rc == LATZ_CORRUPT && seal == NULL && aead != NULL)
		rc = LATZ_AUTH;
	memcpy(ret_audit->id, keys->id, sizeof ret_audit->id);
	memcpy(ret_audit->salt, keys->salt, sizeof ret_audit->salt);
	ret_audit->log2_n = keys->log2_n;
	ret_audit->r = keys->r;
	ret_audit->p = keys->p;
	if (rc == LATZ_OK)
		rc = lzi_audit_key_seal(seal != NULL ? seal : ret_master, key, ret_audit);
	lzi_aead_free(aead);
	lzi_secret_give(key, LZI_KEY_BYTES);
	return rc;
}

/* A data key into the record, or out of it. */
static int with_master(struct lzi_secrets *secrets, struct lzi_keys *keys, unsigned n, int seal)
{
	uint32_t number = n;
	struct lzi_aad aad = { keys->id, sizeof keys->id, &number, sizeof number };
	struct lzi_aead *aead = NULL;
	uint8_t key[LZI_KEY_BYTES];
	int rc = lzi_hkdf(secrets->master, sizeof secrets->master, "latzero: data keys", keys->id, sizeof keys->id, key,
	                  sizeof key);

	if (rc == LATZ_OK && (aead = lzi_aead_new(key)) == NULL)
		rc = LATZ_NOMEM;
	lzi_wipe(key, sizeof key);
	if (rc == LATZ_OK)
		rc = seal ? lzi_aead_seal(aead, keys->data[n].nonce, &aad, secrets->data[n], LZI_KEY_BYTES,
		                          keys->data[n].key, keys->data[n].tag)
		          : lzi_aead_open(aead, keys->data[n].nonce, &aad, keys->data[n].key, LZI_KEY_BYTES,
		                          secrets->data[n], keys->data[n].tag);
	lzi_aead_free(aead);
	return rc == LATZ_CORRUPT ? lzi_error(rc, "the pool's data key %u is damaged", n) : rc;
}

/* What follows from the master: the rest of the record, and the keys that are not in it. */
static int unlock(struct lzi_secrets *secrets, struct lzi_keys *keys)
{
	unsigned i;
	int rc = lzi_keys_check(secrets, keys);

	for (i = 0; i < LZI_DATA_KEYS && rc == LATZ_OK; i++) {
		if (keys->data[i].used == 0)
			continue;
		rc = with_master(secrets, keys, i, 0);
		secrets->have |= 1u << i;
	}
	if (rc == LATZ_OK)
		rc = lzi_hkdf(secrets->master, sizeof secrets->master, "latzero: names of keys", keys->id,
		              sizeof keys->id, secrets->names, sizeof secrets->names);
	if (rc == LATZ_OK)
		rc = lzi_audit_key_make(secrets->master, keys->id, secrets->audit, secrets->audit_names);
	secrets->kind = keys->kind;
	secrets->current = keys->current;
	memcpy(secrets->id, keys->id, sizeof secrets->id);
	return rc;
}

int lzi_keys_add(const struct lzi_secrets *secrets, struct lzi_keys *keys, unsigned n)
{
	/* Not into ours: another process may be the one whose data key n it becomes. */
	struct lzi_secrets *copy = lzi_secret_take(sizeof *copy);
	int rc;

	if (copy == NULL)
		return lzi_error(LATZ_NOMEM, "keys");
	memcpy(copy->master, secrets->master, sizeof copy->master);
	rc = lzi_draw_secret(copy->data[n], LZI_KEY_BYTES);
	if (rc == LATZ_OK)
		rc = lzi_draw(keys->data[n].nonce, sizeof keys->data[n].nonce);
	if (rc == LATZ_OK)
		rc = with_master(copy, keys, n, 1);
	keys->data[n].used = 1;
	keys->current = n;
	lzi_secrets_give(copy);
	return rc;
}

int lzi_keys_lock(const struct lzi_secrets *secrets, struct lzi_keys *keys, const char *password,
                  struct lzi_audit_seal *ret_audit)
{
	struct lzi_scrypt cost;
	int rc = lzi_scrypt_cost(SCRYPT_MS, &cost);

	if (rc == LATZ_OK)
		rc = lzi_draw(keys->salt, sizeof keys->salt);
	if (rc == LATZ_OK)
		rc = lzi_draw(keys->nonce, sizeof keys->nonce);
	if (rc != LATZ_OK)
		return rc;
	keys->log2_n = cost.log2_n;
	keys->r = cost.r;
	keys->p = cost.p;
	return with_password(keys, password, secrets->master, NULL, ret_audit);
}

static int keys_make(struct lzi_secrets *secrets, struct lzi_keys *keys, const char *password, int encrypt)
{
	int rc;

	memset(keys, 0, sizeof *keys);
	memcpy(keys->magic, LZI_KEYS_MAGIC, sizeof keys->magic);
	keys->version = LZI_KEYS_VERSION;
	keys->kind = encrypt ? LZI_LOCKED_ENCRYPTED : LZI_LOCKED_PASSWORD;
	rc = lzi_draw(keys->id, sizeof keys->id);
	if (rc == LATZ_OK)
		rc = lzi_draw_secret(secrets->master, sizeof secrets->master);
	if (rc == LATZ_OK)
		rc = lzi_keys_add(secrets, keys, 0);
	if (rc == LATZ_OK)
		rc = lzi_keys_lock(secrets, keys, password, &secrets->audit_seal);
	if (rc == LATZ_OK)
		rc = mac_of(secrets, keys, keys->mac);
	return rc == LATZ_OK ? unlock(secrets, keys) : rc;
}

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

int lzi_keys_try(struct lzi_keys *keys, const char *password, struct lzi_secrets *secrets)
{
	int rc = with_password(keys, password, NULL, secrets->master, &secrets->audit_seal);

	return rc == LATZ_OK ? unlock(secrets, keys) : rc;
}

/* from: the file that the pool is made from, whose password it is; NULL: the pool's. */
static int needs_password(const struct lzi_store *store, const char *from)
{
	return from != NULL ? lzi_error(LATZ_AUTH, "%s needs a password", from)
	                    : lzi_error(LATZ_AUTH, "pool %s needs a password", store->name);
}

int lzi_seal_missed(const struct lzi_store *store)
{
	return lzi_load_acquire(&store->control.shared->guarded.kind) == LZI_LOCKED_NOT ? LATZ_OK
	                                                                                : needs_password(store, NULL);
}

/* LATZ_AUTH. making: the pool is not there yet, but for us; from: as needs_password(). */
static int ask(struct lzi_call *call, const char *password, int making, const char *from,
               struct lzi_secrets **ret_secrets)
{
	struct lzi_store *store = call->store;
	struct lzi_secrets *secrets;
	struct lzi_guess guess;
	struct lzi_keys keys;
	int rc;

	if (password == NULL)
		return needs_password(store, from);
	secrets = lzi_secret_take(sizeof *secrets);
	if (secrets == NULL)
		return lzi_error(LATZ_NOMEM, "keys");
	rc = lzi_keys_read(call, &keys, NULL);
	if (rc == LATZ_OK)
		rc = lzi_guess_begin(&guess, store, from, keys.id, making);
	if (rc == LATZ_OK) {
		rc = lzi_keys_read(call, &keys, NULL); /* another password may have come while we waited */
		if (rc == LATZ_OK)
			rc = lzi_keys_try(&keys, password, secrets);
		rc = lzi_guess_end(&guess, rc);
	}
	if (rc != LATZ_OK) {
		lzi_secrets_give(secrets);
		return rc == LATZ_NOTFOUND ? lzi_error(LATZ_CORRUPT, "the record of the pool's keys is gone") : rc;
	}
	*ret_secrets = secrets;
	return LATZ_OK;
}

/* What the options ask for is what the pool is. */
static int check_wish(const struct lzi_store *store, const latz_options *options, uint32_t kind)
{
	if (kind == LZI_LOCKED_NOT && options->password != NULL)
		return lzi_error(LATZ_AUTH, "pool %s has no password: it is not the one that is meant", store->name);
	if (kind != LZI_LOCKED_ENCRYPTED && options->encrypt)
		return lzi_error(LATZ_AUTH, "pool %s is not encrypted", store->name);
	return LATZ_OK;
}

int lzi_seal_make(struct lzi_call *call, const latz_options *options, const char *from,
                  struct lzi_secrets **ret_secrets)
{
	struct lzi_store *store = call->store;
	struct lzi_guarded *guarded = &store->control.shared->guarded;
	uint32_t mark = LZI_LOCKED_NOT;
	struct lzi_keys keys;
	int rc = lzi_keys_read(call, &keys, NULL), marked = LATZ_OK;

	*ret_secrets = NULL;
	if (rc == LATZ_NOTFOUND && store->persist.dirfd >= 0)
		marked = lzi_locked_mark(store->persist.dirfd, &mark);
	if (marked != LATZ_OK)
		return marked;
	if (rc == LATZ_OK) { /* of what it was restored from */
		rc = ask(call, options->password, 1, from, ret_secrets);
	} else if (rc == LATZ_NOTFOUND && options->password == NULL) {
		/* What is left of a locked pool's log, or of none, is not everybody's. */
		return lzi_locked_refuse(store->name, mark);
	} else if (rc == LATZ_NOTFOUND) {
		if (lzi_store_keys(store) != 0)
			return lzi_error(LATZ_AUTH,
			                 "%s%s has no password, and is not locked by one now: load its keys into a "
			                 "locked pool instead (latzero dump, latzero load)",
			                 from == NULL ? "what is restored of pool " : "",
			                 from == NULL ? store->name : from);
		*ret_secrets = lzi_secret_take(sizeof **ret_secrets);
		/* Where one was encrypted the next is, though nothing of that can be restored. */
		rc = *ret_secrets == NULL ? lzi_error(LATZ_NOMEM, "keys")
		                          : keys_make(*ret_secrets, &keys, options->password,
		                                      options->encrypt || mark == LZI_LOCKED_ENCRYPTED);
		if (rc == LATZ_OK)
			rc = lzi_keys_write(call, *ret_secrets, &keys, 0);
	}
	if (rc == LATZ_OK)
		rc = check_wish(store, options, keys.kind);
	if (rc == LATZ_OK && store->persist.dirfd >= 0)
		rc = lzi_locked_remember(store->persist.dirfd, keys.kind);
	if (rc != LATZ_OK) {
		lzi_secrets_give(*ret_secrets);
		*ret_secrets = NULL;
		return rc;
	}
	lzi_store_relaxed(&guarded->data_key, keys.current);
	lzi_keys_tell(store, &keys);
	lzi_store_release(&guarded->kind, keys.kind);
	return LATZ_OK;
}

int lzi_seal_join(struct lzi_call *call, const latz_options *options, int trusted, struct lzi_secrets **secrets)
{
	struct lzi_store *store = call->store;
	uint32_t kind = lzi_load_acquire(&store->control.shared->guarded.kind);
	struct lzi_keys keys;
	int rc;

	if (*secrets != NULL) {
		rc = lzi_keys_read(call, &keys, NULL);
		if (rc == LATZ_NOTFOUND || (rc == LATZ_OK && memcmp(keys.id, (*secrets)->id, sizeof keys.id) != 0))
			rc = lzi_error(LATZ_DEAD, "the name is another pool's");
		kind = (*secrets)->kind; /* as below */
	} else if (trusted) {
		rc = kind == LZI_LOCKED_ENCRYPTED ? lzi_error(LATZ_DEAD, "the name is another pool's") : LATZ_OK;
	} else {
		rc = check_wish(store, options, kind);
		if (rc == LATZ_OK && kind != LZI_LOCKED_NOT)
			rc = ask(call, options->password, 0, NULL, secrets);
		/* What the record says that only who has the password could write: a word that anybody can change must
		 * not make us store values as they are. */
		if (rc == LATZ_OK && kind != LZI_LOCKED_NOT)
			kind = (*secrets)->kind;
	}
	if (rc != LATZ_OK)
		return rc;
	store->secrets = *secrets;
	*secrets = NULL;
	/* A forked child can't ask for the password again. Zeros must not pass for keys there. */
	if (store->secrets != NULL && (rc = lzi_secret_bequeath(store->secrets, sizeof *store->secrets)) != LATZ_OK)
		return rc;
	return kind == LZI_LOCKED_ENCRYPTED ? lzi_seal_open(store) : LATZ_OK;
}

int lzi_seal_ask(struct lzi_store *store, const latz_options *options)
{
	uint32_t kind = lzi_load_acquire(&store->control.shared->guarded.kind);
	struct lzi_secrets *secrets = NULL;
	struct lzi_call call;
	int rc = check_wish(store, options, kind);

	if (rc != LATZ_OK || kind == LZI_LOCKED_NOT)
		return rc;
	rc = lzi_thread_find(store, &call);
	if (rc == LATZ_OK)
		rc = ask(&call, options->password, 0, NULL, &secrets);
	lzi_secrets_give(secrets);
	return rc;
}

int lzi_seal_refresh(struct lzi_store *store)
{
	struct lzi_secrets *secrets = store->secrets;
	struct lzi_keys keys;
	struct lzi_call call;
	int rc = lzi_thread_find(store, &call);

	if (rc == LATZ_OK)
		rc = lzi_keys_read(&call, &keys, NULL);
	if (rc == LATZ_OK)
		rc = lzi_keys_check(secrets, &keys);
	if (rc != LATZ_OK)
		return rc;
	pthread_mutex_lock(&store->seal->mutex);
	for (unsigned i = 0; i < LZI_DATA_KEYS && rc == LATZ_OK; i++) {
		if (keys.data[i].used == 0 || secrets->have >> i & 1)
			continue;
		rc = with_master(secrets, &keys, i, 0);
		if (rc == LATZ_OK)
			lzi_store_release(&secrets->have, secrets->have | 1u << i);
	}
	/* An older record, put back, does not bring an older key back. */
	if (rc == LATZ_OK && keys.current > secrets->current && secrets->have >> keys.current & 1)
		lzi_store_release(&secrets->current, keys.current);
	pthread_mutex_unlock(&store->seal->mutex);
	return rc;
}
