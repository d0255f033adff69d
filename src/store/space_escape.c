/*
 * Files from before keys that begin with ff were escaped (format/space.h): their keys become what they are now.
 */
#include "config.h"

#include "store/space.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "store/keylist.h"
#include "store/log.h"

int lzi_space_escape(struct lzi_escaped *escaped, latz_slice *key)
{
	if (lzi_likely(*(const uint8_t *)key->data != 0xff))
		return LATZ_OK;
	if (key->size == LZI_KEY_MAX)
		return lzi_error(LATZ_TOOBIG, "a key of %u bytes that begins with ff; the limit of such is %u by now",
		                 LZI_KEY_MAX, LZI_KEY_MAX - 1);
	escaped->key[0] = 0xff;
	memcpy(escaped->key + 1, key->data, key->size);
	key->data = escaped->key;
	key->size++;
	return LATZ_OK;
}

/* All keys from ff on, as they are. */
static int collect(struct lzi_call *call, struct lzi_keylist *keys)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	struct lzi_scan *scan;
	latz_slice key;
	int rc;

	options.from = (latz_slice){ "\xff", 1 };
	options.keys_only = 1;
	rc = lzi_scan_open(call, &options, &scan);
	if (rc != LATZ_OK)
		return rc;
	while ((rc = lzi_scan_next(call, scan, &key, NULL)) == LATZ_OK) {
		rc = lzi_keylist_add(keys, key.data, key.size);
		if (rc != LATZ_OK)
			break;
	}
	lzi_scan_close(scan);
	return rc == LATZ_DONE ? LATZ_OK : rc;
}

/* From the last one on: what a key becomes is not before it, so it is none that is still to come. */
static int escape_one(struct lzi_call *call, latz_slice key, struct lzi_escaped *escaped, latz_value *value)
{
	struct lzi_write gone = { .kind = LZI_WRITE_DELETE, .key = key };
	struct lzi_loaded loaded = { .key = key };
	int rc = lzi_store_get(call, key, 0, value);

	if (rc != LATZ_OK)
		return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
	rc = lzi_space_escape(escaped, &loaded.key);
	if (rc != LATZ_OK)
		return rc;
	loaded.value = (latz_slice){ value->data, value->size };
	loaded.type = (uint8_t)value->type;
	loaded.seq = value->version;
	loaded.expiry = value->ttl_ms < 0 ? 0 : lzi_clock_mono_ms() + value->ttl_ms;
	rc = lzi_load_put(call, &loaded);
	return rc == LATZ_OK ? lzi_store_write(call, &gone) : rc;
}

/* The index came in from the image damaged: it is made anew of the records. */
static void forget_index(struct lzi_store *store)
{
	int dirfd;

	lzi_store_release(&store->control.shared->index_rebuild, 1u);
	lzi_index_close(&store->index);
	if (lzi_dir_open_at(store->poolfd, "index", &dirfd) != LATZ_OK)
		return;
	lzi_file_remove(dirfd, "data.mdb");
	lzi_file_close(dirfd);
}

int lzi_space_escape_all(struct lzi_call *call)
{
	struct lzi_escaped *escaped = malloc(sizeof *escaped);
	latz_value value = LATZ_VALUE_INIT;
	struct lzi_keylist keys;
	size_t i;
	int rc = escaped == NULL ? lzi_error(LATZ_NOMEM, "keys") : LATZ_OK;

	memset(&keys, 0, sizeof keys);
	call->store->escaping = 1; /* the table has them by the hash they had */
	if (rc == LATZ_OK)
		rc = collect(call, &keys);
	/* What is damaged in an image is told by the keys that are, not by the restore. */
	if (rc == LATZ_CORRUPT) {
		lzi_log(LATZ_LOG_WARNING, "%s: keys that begin with ff are not found: %s", call->store->name,
		        lzi_error_text());
		forget_index(call->store);
		keys.count = 0;
		rc = LATZ_OK;
	}
	for (i = keys.count; i-- > 0 && rc == LATZ_OK;)
		rc = escape_one(call, (latz_slice){ lzi_keylist_bytes(&keys, i), keys.item[i].size }, escaped, &value);
	call->store->escaping = 0;
	for (i = 0; i < keys.count; i++) {
		if (keys.item[i].size >= LZI_ENTRY_MAX) { /* its entry has the hash as well */
			forget_index(call->store);
			break;
		}
	}
	lzi_keylist_fini(&keys);
	latz_value_free(&value);
	free(escaped);
	return rc;
}
