/*
 * What is encrypted in a snapshot, or an image, opened and thrown away. The keys stand behind most of what they are
 * needed for, so the first reading looks for them, and everything is read again.
 */
#include "config.h"

#include "store/snapshot_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "store/guess.h"
#include "store/keys_int.h"
#include "store/space.h"

struct checking {
	const char *name;
	const struct lzi_snap_info *info; /* NULL: of an image */
	struct lzi_keys keys, copy; /* copy: in front */
	int has_keys, has_copy;
	uint64_t copy_seq, keys_seq;
	uint64_t entries;
	/* From the second reading on. */
	struct lzi_secrets *secrets;
	struct lzi_siv *siv;
	struct lzi_aead *aead[LZI_DATA_KEYS];
	struct lzi_tie *tie[LZI_DATA_KEYS];
	uint8_t *text; /* what came out; nobody looks at it */
	size_t room;
};

static int find_keys(const struct lzi_snap_entry *entry, void *arg)
{
	struct checking *checking = arg;

	if ((checking->info != NULL && !checking->info->escaped) ||
	    !lzi_keys_is_record((latz_slice){ entry->key, entry->key_size }))
		return LATZ_OK;
	checking->has_keys = 1;
	checking->keys_seq = entry->seq;
	return lzi_keys_parse(entry->value, entry->value_size, &checking->keys);
}

static int find_copy(uint64_t seq, const void *record, uint64_t size, void *arg)
{
	struct checking *checking = arg;

	checking->has_copy = 1;
	checking->copy_seq = seq;
	return lzi_keys_parse(record, size, &checking->copy);
}

/* They are of one moment. */
static int check_copy(const struct checking *checking)
{
	if (!checking->has_copy ||
	    (checking->has_keys && checking->copy_seq == checking->keys_seq &&
	     memcmp(&checking->copy, &checking->keys, sizeof checking->keys) == 0))
		return LATZ_OK;
	return lzi_error(LATZ_CORRUPT, "%s: the copy of the record of keys at its beginning is another than the record",
	                 checking->name);
}

static int get_room(struct checking *checking, size_t size)
{
	uint8_t *grown = size <= checking->room ? checking->text : malloc(size);

	if (grown == NULL)
		return lzi_error(LATZ_NOMEM, "a value");
	if (grown != checking->text) {
		lzi_wipe(checking->text, checking->room);
		free(checking->text);
		checking->text = grown;
		checking->room = size;
	}
	return LATZ_OK;
}

static int open_key(struct checking *checking, const struct lzi_snap_entry *entry)
{
	int spaced = lzi_key_is_spaced(entry->key, entry->key_size);
	unsigned strip = spaced ? LZI_SPACE_PREFIX : 1;
	int rc;

	if (entry->key_size < strip + LZI_TAG_BYTES)
		return LATZ_CORRUPT;
	rc = lzi_seal_domain(checking->siv, spaced ? lzi_key_space(entry->key) : 0);
	return rc == LATZ_OK ? lzi_siv_open(checking->siv, (const uint8_t *)entry->key + strip, entry->key_size - strip,
	                                    checking->text)
	                     : rc;
}

/* As open_to() of seal.c does it with what is in a pool. */
static int open_value(struct checking *checking, const struct lzi_snap_entry *entry)
{
	struct lzi_aad aad = { NULL, sizeof(struct lzi_sealed_about), entry->key, entry->key_size };
	uint8_t tag[LZI_TAG_BYTES];
	struct lzi_sealed_about about;
	struct lzi_sealed sealed;
	struct lzi_aead **aead;
	struct lzi_tie **tie;
	int rc;

	if (entry->value_size < LZI_SEALED_HEAD)
		return LATZ_CORRUPT;
	memcpy(&sealed, entry->value, sizeof sealed);
	if (sealed.key >= LZI_DATA_KEYS || (checking->secrets->have >> sealed.key & 1) == 0)
		return LATZ_CORRUPT;
	aead = &checking->aead[sealed.key];
	tie = &checking->tie[sealed.key];
	if (*aead == NULL && (*aead = lzi_aead_new(checking->secrets->data[sealed.key])) == NULL)
		return LATZ_NOMEM;
	if (*tie == NULL && (*tie = lzi_sealed_tie_new(checking->secrets->data[sealed.key])) == NULL)
		return LATZ_NOMEM;
	rc = lzi_sealed_tie(*tie, &sealed, entry->seq, tag);
	if (rc == LATZ_OK && !lzi_same_tag(tag, sealed.head_tag))
		rc = LATZ_CORRUPT;
	lzi_sealed_describe(checking->secrets, &sealed, entry->type, &about);
	aad.head = &about;
	return rc == LATZ_OK ? lzi_aead_open(*aead, sealed.nonce, &aad, (const uint8_t *)entry->value + LZI_SEALED_HEAD,
	                                     entry->value_size - LZI_SEALED_HEAD, checking->text, sealed.body_tag)
	                     : rc;
}

/* *ret_wrong: of LATZ_CORRUPT, what it is. */
static int check(struct checking *checking, const struct lzi_snap_entry *entry, const char **ret_wrong)
{
	int rc;

	if (lzi_key_is_book(entry->key, entry->key_size) || checking->secrets->kind != LZI_LOCKED_ENCRYPTED) {
		*ret_wrong = "sealed, where nothing is";
		return entry->sealed ? LATZ_CORRUPT : LATZ_OK;
	}
	*ret_wrong = "not sealed, in a copy of an encrypted pool";
	if (!entry->sealed)
		return LATZ_CORRUPT;
	*ret_wrong = "sealed, but not as this key, version and type with the pool's keys";
	rc = get_room(checking, (size_t)entry->value_size + entry->key_size);
	if (rc == LATZ_OK)
		rc = open_key(checking, entry);
	return rc == LATZ_OK ? open_value(checking, entry) : rc;
}

static int open_entry(const struct lzi_snap_entry *entry, void *arg)
{
	struct checking *checking = arg;
	const char *wrong;
	int rc = check(checking, entry, &wrong);

	checking->entries++;
	return rc == LATZ_CORRUPT ? lzi_error(rc, "%s: entry %llu, version %llu: %s", checking->name,
	                                      (unsigned long long)checking->entries,
	                                      (unsigned long long)entry->seq, wrong)
	                          : rc;
}

static int unlock(struct checking *checking, const char *password)
{
	struct lzi_guess guess;
	int rc;

	if (!checking->has_keys)
		return lzi_error(LATZ_AUTH, "%s is of a pool without a password", checking->name);
	checking->secrets = lzi_secret_take(sizeof *checking->secrets);
	if (checking->secrets == NULL)
		return lzi_error(LATZ_NOMEM, "keys");
	rc = lzi_guess_begin(&guess, NULL, checking->name, checking->keys.id, 0);
	if (rc == LATZ_OK)
		rc = lzi_guess_end(&guess, lzi_keys_try(&checking->keys, password, checking->secrets));
	if (rc == LATZ_OK && (checking->siv = lzi_siv_new(checking->secrets->names)) == NULL)
		rc = LATZ_NOMEM;
	return rc;
}

static void end(struct checking *checking)
{
	unsigned i;

	lzi_secrets_give(checking->secrets);
	lzi_siv_free(checking->siv);
	for (i = 0; i < LZI_DATA_KEYS; i++) {
		lzi_aead_free(checking->aead[i]);
		lzi_tie_free(checking->tie[i]);
	}
	lzi_wipe(checking->text, checking->room);
	free(checking->text);
}

int lzi_snapshot_check(struct lzi_snap_read *read, const char *password)
{
	struct checking checking = { .name = read->name, .info = &read->info };
	off_t begin = lseek(read->fd, 0, SEEK_CUR); /* of what is stdin not always 0 */
	int rc;

	if (begin < 0)
		return lzi_error(LATZ_UNSUPPORTED,
		                 "with a password it is read twice, so it has to be a file, and no pipe");
	/* cppcheck-suppress autoVariables ; it is read before we return */
	read->arg = &checking;
	read->entry = find_keys;
	read->keys = find_copy;
	rc = lzi_snap_read(read);
	if (rc == LATZ_OK)
		rc = check_copy(&checking);
	if (rc == LATZ_OK)
		rc = unlock(&checking, password);
	if (rc == LATZ_OK && lseek(read->fd, begin, SEEK_SET) != begin)
		rc = lzi_error_sys(errno, "read %s again", read->name);
	if (rc == LATZ_OK) {
		read->entry = open_entry;
		read->keys = NULL;
		rc = lzi_snap_read(read);
	}
	end(&checking);
	return rc;
}

/* ---- Images ---- */

static struct lzi_snap_entry entry_of(const struct lzi_record *record)
{
	return (struct lzi_snap_entry){ .key = lzi_record_key(record),
		                        .value = lzi_record_value(record),
		                        .key_size = record->key_size,
		                        .value_size = record->value_size,
		                        .type = record->type,
		                        .seq = record->seq,
		                        .sealed = (record->flags & LZI_RECORD_SEALED) != 0 };
}

static int find_keys_record(const struct lzi_record *record, uint64_t offset, void *arg)
{
	struct lzi_snap_entry entry = entry_of(record);

	(void)offset;
	return find_keys(&entry, arg);
}

static int open_record(const struct lzi_record *record, uint64_t offset, void *arg)
{
	struct lzi_snap_entry entry = entry_of(record);
	const char *wrong;
	int rc = check(arg, &entry, &wrong);

	return rc == LATZ_CORRUPT ? lzi_error(rc, "record at offset %llu, version %llu: %s", (unsigned long long)offset,
	                                      (unsigned long long)entry.seq, wrong)
	                          : rc;
}

int lzi_image_check(const struct lzi_image *image, const char *password)
{
	struct checking checking = { .name = image->path };
	int rc = lzi_image_verify(image, find_keys_record, &checking);

	if (rc == LATZ_OK)
		rc = unlock(&checking, password);
	if (rc == LATZ_OK)
		rc = lzi_image_verify(image, open_record, &checking);
	end(&checking);
	return rc;
}
