/*
 * What a pool tells its audit log. The page `audit` in the pool's directory says where the log is and how its chain
 * ends; every process that attaches maps it and appends by itself. A feature bit of the header says that there is one,
 * so that a library which knows no logs refuses the pool.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/audit.h"
#include "store/audit_chain.h"
#include "store/seal.h"
#include "store/space.h"

#define FILE_NAME "audit"
/* What others may be waiting for, or can't fail, waits no longer. */
#define SHORT_MS 200

struct lzi_audit {
	struct lzi_chain chain;
	struct lzi_audit_page *page;
	const struct lzi_audit_page *seen; /* who only reads: the pool's page, `page` being a copy of it; else NULL */
	int opened; /* 1: the log knows that this process has the pool open */
	int warned; /* atomic */
	/* Of the page, as it was when it was mapped, and its checksum right. */
	uint32_t what;
	uint8_t secret[sizeof ((struct lzi_audit_page *)0)->secret];
	char who[1024];
};

/* ---- The page ---- */

/* Of what the maker wrote: who scribbles over the page must not have the log go on elsewhere. */
static uint32_t sum_of(const struct lzi_audit_page *page)
{
	uint32_t crc = lzi_crc32c(0, &page->what, sizeof page->what);

	crc = lzi_crc32c(crc, page->secret, sizeof page->secret);
	return lzi_crc32c(crc, page->path, sizeof page->path);
}

int lzi_audit_make(int poolfd, const char *name, const latz_options *options)
{
	struct lzi_audit_page page;
	int fd, rc;

	if (options->audit == NULL)
		return LATZ_OK;
	memset(&page, 0, sizeof page);
	memcpy(page.magic, LZI_AUDIT_MAGIC, sizeof page.magic);
	page.what = options->audit_keys;
	page.unborn = 1;
	rc = lzi_chain_path(options->audit, name, page.path);
	/* Else there would be a pool that nobody can open, nor destroy. */
	if (rc == LATZ_OK && (options->audit_keys & LATZ_AUDIT_LAX) == 0)
		rc = lzi_chain_try(page.path, options->timeout_ms == 0 ? 1000 : options->timeout_ms);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_random(page.secret, sizeof page.secret);
	page.crc = sum_of(&page);
	if (rc == LATZ_OK)
		rc = lzi_file_create(poolfd, FILE_NAME, options->mode == 0 ? 0600 : options->mode, &fd);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_file_allocate(fd, 0, sizeof page);
	if (rc == LATZ_OK)
		rc = lzi_file_write(fd, &page, sizeof page);
	lzi_file_close(fd);
	explicit_bzero(page.secret, sizeof page.secret);
	return rc;
}

static int map_page(int poolfd, int writable, struct lzi_audit_page **ret_page, struct lzi_audit_page *ret_made)
{
	struct lzi_audit_page *page;
	const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	uint64_t size;
	int fd, rc = writable ? lzi_file_open(poolfd, FILE_NAME, 1, &fd) : lzi_file_look(poolfd, FILE_NAME, &fd);

	if (rc != LATZ_OK)
		return rc == LATZ_NOTFOUND ? lzi_error(LATZ_CORRUPT, "pool has no file " FILE_NAME) : rc;
	rc = lzi_file_size(fd, &size);
	if (rc == LATZ_OK && size < sizeof *page)
		rc = lzi_error(LATZ_CORRUPT, "file " FILE_NAME " is truncated");
	page = rc == LATZ_OK ? lzi_os.mmap(NULL, sizeof *page, protection, MAP_SHARED, fd, 0) : MAP_FAILED;
	lzi_file_close(fd);
	if (rc == LATZ_OK && page == MAP_FAILED)
		rc = lzi_error(LATZ_NOMEM, "map file " FILE_NAME);
	if (rc != LATZ_OK)
		return rc;
	memcpy(ret_made, page, sizeof *ret_made);
	if (memcmp(ret_made->magic, LZI_AUDIT_MAGIC, sizeof page->magic) != 0 || ret_made->path[0] != '/' ||
	    memchr(ret_made->path, '\0', sizeof page->path) == NULL || ret_made->crc != sum_of(ret_made)) {
		munmap(page, sizeof *page);
		return lzi_error(LATZ_CORRUPT, "file " FILE_NAME " is damaged");
	}
	*ret_page = page;
	return LATZ_OK;
}

int lzi_audit_setting(int poolfd, struct lzi_audit_setting *ret_setting)
{
	struct lzi_audit_page made, *page;
	int rc = map_page(poolfd, 0, &page, &made);

	if (rc != LATZ_OK)
		return rc;
	munmap(page, sizeof *page);
	ret_setting->keys = made.what;
	memcpy(ret_setting->path, made.path, sizeof ret_setting->path);
	explicit_bzero(made.secret, sizeof made.secret);
	return LATZ_OK;
}

/* ---- Who ---- */

static void put_id(struct lzi_audit_text *text, const char *name, const uint8_t id[16])
{
	lzi_audit_hex(text, name, id, 16);
}

static void say_who(struct lzi_audit_text *text, const char *name, const uint8_t pool_id[16])
{
	char command[16];
	uint8_t boot[16];

	lzi_boot_id(boot);
	lzi_process_command(command);
	if (*name != '\0')
		lzi_audit_member(text, "pool", name, strlen(name));
	if (pool_id != NULL)
		put_id(text, "pool_id", pool_id);
	lzi_audit_raw(text, ",\"who\":{\"uid\":%u", lzi_process_user());
	lzi_audit_number(text, "pid", lzi_process_id());
	lzi_audit_number(text, "start", lzi_process_start());
	put_id(text, "boot", boot);
	lzi_audit_member(text, "command", command, strlen(command));
	lzi_audit_raw(text, "}");
}

/* The page, or a copy of it, of which nobody else knows: who only reads writes nothing of the pool's. Others find the
 * log to be longer then than the pool remembers, which is no wonder to them. */
static int take_page(struct lzi_audit *audit, int poolfd, int reads_only, struct lzi_audit_page *ret_made)
{
	struct lzi_audit_page *page = NULL;
	int rc = map_page(poolfd, !reads_only, &page, ret_made);

	if (rc != LATZ_OK)
		return rc;
	audit->page = page;
	if (!reads_only)
		return rc;
	audit->seen = page;
	audit->page = malloc(sizeof *page);
	if (audit->page == NULL)
		return lzi_error(LATZ_NOMEM, "audit log");
	*audit->page = *ret_made;
	audit->page->seq = 0; /* which may have been another than the head's: see look_again() */
	lzi_store_relaxed(&audit->page->lost, 0ull);
	return rc;
}

static void give_page(struct lzi_audit *audit)
{
	if (audit->seen != NULL) {
		munmap((void *)(uintptr_t)audit->seen, sizeof *audit->seen);
		if (audit->page != NULL)
			explicit_bzero(audit->page->secret, sizeof audit->page->secret);
		free(audit->page);
	} else if (audit->page != NULL) {
		munmap(audit->page, sizeof *audit->page);
	}
}

static int take(const char *name, int poolfd, const struct lzi_control *control, unsigned timeout_ms, int reads_only,
                struct lzi_audit **ret_audit)
{
	struct lzi_audit *audit = calloc(1, sizeof *audit);
	struct lzi_audit_page made;
	struct lzi_audit_text text;
	int rc = audit == NULL ? lzi_error(LATZ_NOMEM, "audit log") : take_page(audit, poolfd, reads_only, &made);

	if (rc == LATZ_OK)
		rc = lzi_chain_open(&audit->chain, made.path, audit->page, timeout_ms);
	if (rc != LATZ_OK && audit != NULL)
		give_page(audit);
	if (rc != LATZ_OK) {
		free(audit);
		return rc;
	}
	audit->chain.poolfd = poolfd;
	audit->chain.is_guest = reads_only;
	/* A file of the reader's would be none that the pool's owner could write to. */
	audit->chain.makes_none = reads_only && !lzi_file_is_ours(control->fd);
	audit->what = made.what;
	memcpy(audit->secret, made.secret, sizeof audit->secret);
	explicit_bzero(&made, sizeof made);
	text = (struct lzi_audit_text){ audit->who, 0, sizeof audit->who, 0 };
	say_who(&text, name, control->header->pool_id);
	*ret_audit = audit;
	return LATZ_OK;
}

static void give(struct lzi_audit *audit)
{
	if (audit == NULL)
		return;
	lzi_chain_close(&audit->chain);
	give_page(audit);
	free(audit);
}

/* ---- Telling ---- */

static LZI_COLD void missed(struct lzi_audit *audit, const char *event)
{
	lzi_fetch_add(&audit->page->lost, 1ull);
	if (lzi_exchange(&audit->warned, 1) == 0)
		lzi_log(LATZ_LOG_WARNING, "%s was not written down: %s", event, lzi_error_text());
}

int lzi_audit_missed(struct lzi_store *store, const char *event)
{
	missed(store->audit, event);
	return LATZ_OK;
}

/* Who only reads may be somebody who may not write the log, or can't see where it is: that is no reason to refuse him,
 * who may read the files as he likes. */
static int may_not(int rc)
{
	return rc == LATZ_ACCESS || rc == LATZ_NOTFOUND;
}

/* What was written since, so that what is missing is noticed. A writer may be at it: who can't get it whole keeps what
 * he has, since older does no harm. */
static void look_again(struct lzi_audit *audit)
{
	uint8_t head[LZI_AUDIT_HASH];
	uint64_t seq = lzi_load_acquire(&audit->seen->seq);

	if (seq <= audit->page->seq)
		return;
	lzi_racy_reads_begin();
	memcpy(head, audit->seen->head[seq & 1], sizeof head);
	lzi_racy_reads_end();
	lzi_fence_acquire();
	if (lzi_load_relaxed(&audit->seen->seq) != seq) /* that place is written only after the next number is */
		return;
	memcpy(audit->page->head[seq & 1], head, sizeof head);
	audit->page->seq = seq;
}

/* must: the event is not to happen if it can't be told of. most_ms: as of a chain's entry. */
static int tell_within(struct lzi_audit *audit, const char *event, const char *fields, int sync, int must,
                       unsigned most_ms)
{
	struct lzi_chain_entry entry = { event, audit->who, fields, most_ms };
	int rc;

	if (audit->seen != NULL)
		look_again(audit);
	rc = lzi_chain_append(&audit->chain, &entry, sync);
	if (rc == LATZ_OK) {
		lzi_store_relaxed(&audit->warned, 0);
		return rc;
	}
	if (must && (audit->what & LATZ_AUDIT_LAX) == 0)
		return rc;
	/* A log that is not his is no trouble of his, of which he could be told each time. */
	if (audit->seen != NULL && !audit->opened && may_not(rc))
		return must ? rc : LATZ_OK;
	missed(audit, event);
	return LATZ_OK;
}

static int tell(struct lzi_audit *audit, const char *event, const char *fields, int sync, int must)
{
	return tell_within(audit, event, fields, sync, must, 0);
}

/* An error's text is kept while something else is done. */
struct kept_text {
	char text[LZI_ERROR_DETAIL_SIZE];
};

static struct kept_text keep_text(void)
{
	struct kept_text kept;

	snprintf(kept.text, sizeof kept.text, "%s", lzi_error_text());
	return kept;
}

int lzi_audit_say(struct lzi_store *store, const char *event, const struct lzi_audit_note *note)
{
	if (!lzi_is_audited(store))
		return LATZ_OK;
	return tell(store->audit, event, note == NULL ? "" : note->data, 1, 1);
}

int lzi_audit_say_text(struct lzi_store *store, const char *event, const char *name, const char *value)
{
	struct lzi_audit_note note;

	if (!lzi_is_audited(store))
		return LATZ_OK;
	lzi_audit_note(&note);
	if (value != NULL)
		lzi_audit_member(&note.text, name, value, strlen(value));
	return lzi_audit_say(store, event, &note);
}

static void put_result(struct lzi_audit_text *text, int rc)
{
	const char *name = latz_strerror(rc); /* "LATZ_AUTH: ..." */

	lzi_audit_member(text, "result", name, strcspn(name, ":"));
}

int lzi_audit_failed(struct lzi_store *store, const char *event, int rc)
{
	struct lzi_audit_note note;
	struct kept_text kept;

	if (!lzi_is_audited(store) || rc == LATZ_OK)
		return rc;
	kept = keep_text();
	lzi_audit_note(&note);
	lzi_audit_member(&note.text, "of", event, strlen(event));
	put_result(&note.text, rc);
	(void)tell(store->audit, "failed", note.data, 1, 0);
	return lzi_error(rc, "%s", kept.text);
}

/* ---- Opening and closing ---- */

int lzi_audit_attach(struct lzi_store *store)
{
	int rc;

	if (lzi_likely((store->control.header->incompatible & LZI_FEATURE_AUDIT) == 0))
		return LATZ_OK;
	rc = take(store->name, store->poolfd, &store->control, store->control.timeout_ms, store->reads_only,
	          &store->audit);
	return store->reads_only && may_not(rc) ? LATZ_OK : rc;
}

/* From here on somebody tells of its death: before it is told that it came, as else nobody might. */
static void enlist(struct lzi_store *store)
{
	struct lzi_client *client = lzi_control_client(&store->control, store->client);

	lzi_store_relaxed(&client->user, lzi_process_user());
	lzi_store_relaxed(&client->started, lzi_process_start());
	lzi_fetch_or(&client->flags, LZI_CLIENT_AUDITED);
	LZI_POINT("audit.enlisted");
}

static void strike(struct lzi_store *store)
{
	if (store->client != UINT32_MAX)
		lzi_fetch_and(&lzi_control_client(&store->control, store->client)->flags, ~LZI_CLIENT_AUDITED);
}

int lzi_audit_open(struct lzi_store *store)
{
	struct lzi_audit *audit = store->audit;
	/* What was replaced is gone: to give up would be to lose both. */
	int must = !store->replaced, rc = LATZ_OK;

	if (!lzi_is_audited(store))
		return LATZ_OK;
	/* Not by the number of the last entry: somebody may have been refused before us. */
	if (!store->reads_only && lzi_load_acquire(&audit->page->unborn) != 0) {
		rc = lzi_audit_remember(store);
		if (rc == LATZ_OK)
			rc = tell(audit, "create", "", 0, must);
		if (rc == LATZ_OK)
			lzi_store_release(&audit->page->unborn, 0u);
	}
	if (rc == LATZ_OK && store->client != UINT32_MAX)
		enlist(store);
	if (rc == LATZ_OK)
		rc = tell(audit, "open", store->reads_only ? ",\"readonly\":true" : "", 1, must);
	if (rc != LATZ_OK)
		strike(store);
	if (store->reads_only && may_not(rc)) {
		lzi_audit_part(store);
		return LATZ_OK;
	}
	if (rc != LATZ_OK)
		return rc;
	audit->opened = 1;
	LZI_POINT("audit.opened");
	return LATZ_OK;
}

int lzi_audit_refused(struct lzi_store *store, const latz_options *options, int rc)
{
	struct lzi_audit_note note;
	struct kept_text kept;

	if (store->control.base == NULL || (store->control.header->incompatible & LZI_FEATURE_AUDIT) == 0)
		return rc;
	kept = keep_text();
	put_result(lzi_audit_note(&note), rc);
	if (store->reads_only)
		lzi_audit_raw(&note.text, ",\"readonly\":true");
	if (rc == LATZ_AUTH && options->password == NULL) /* who came by, and did not try one */
		lzi_audit_raw(&note.text, ",\"password\":false");
	if (store->audit == NULL)
		(void)!lzi_audit_attach(store);
	if (store->audit != NULL)
		(void)tell(store->audit, "refused", note.data, 1, 0);
	return lzi_error(rc, "%s", kept.text);
}

void lzi_audit_close(struct lzi_store *store)
{
	if (!lzi_is_audited(store) || !store->audit->opened)
		return;
	store->audit->opened = 0;
	(void)tell(store->audit, "close", store->reads_only ? ",\"readonly\":true" : "", 1, 0);
	LZI_POINT("audit.closed");
	strike(store);
}

void lzi_audit_part(struct lzi_store *store)
{
	give(store->audit);
	store->audit = NULL;
}

void lzi_audit_forget(struct lzi_store *store)
{
	if (!lzi_is_audited(store))
		return;
	lzi_file_drop(&store->audit->chain.fd);
	lzi_file_drop(&store->audit->chain.dirfd);
	store->audit->chain.key = NULL;
}

void lzi_audit_key(struct lzi_store *store, const uint8_t *key, const struct lzi_audit_seal *seal)
{
	if (lzi_is_audited(store))
		lzi_chain_key(&store->audit->chain, key, seal);
}

void lzi_audit_unlocked(struct lzi_store *store)
{
	if (lzi_is_audited(store) && store->secrets != NULL)
		lzi_audit_key(store, store->secrets->audit, &store->secrets->audit_seal);
}

void lzi_audit_rekeyed(struct lzi_store *store, const struct lzi_audit_seal *seal)
{
	if (!lzi_is_audited(store))
		return;
	lzi_audit_key(store, store->secrets->audit, seal);
	(void)tell(store->audit, "key", "", 1, 0);
}

static void tell_gone(struct lzi_audit *audit, struct lzi_client *client)
{
	struct lzi_audit_note note;
	struct lzi_audit_text *text = lzi_audit_note(&note);

	if ((lzi_load_acquire(&client->flags) & LZI_CLIENT_AUDITED) == 0)
		return;
	lzi_audit_raw(text, ",\"client\":{\"uid\":%u", lzi_load_relaxed(&client->user));
	lzi_audit_number(text, "pid", lzi_load_relaxed(&client->pid));
	lzi_audit_number(text, "start", lzi_load_relaxed(&client->started));
	lzi_audit_member(text, "command", client->command, strnlen(client->command, sizeof client->command));
	lzi_audit_raw(text, "}");
	(void)tell_within(audit, "gone", note.data, 0, 0, SHORT_MS);
	LZI_POINT("audit.gone"); /* dying here tells of it twice, which does no harm; the other way nobody would */
	lzi_fetch_and(&client->flags, ~LZI_CLIENT_AUDITED);
}

void lzi_audit_gone(struct lzi_store *store, uint32_t slot)
{
	if (lzi_is_audited(store))
		tell_gone(store->audit, lzi_control_client(&store->control, slot));
}

int lzi_audit_destroying(const char *name, int poolfd, const struct lzi_control *control)
{
	struct lzi_audit *audit;
	int rc;

	if (lzi_likely((control->header->incompatible & LZI_FEATURE_AUDIT) == 0))
		return LATZ_OK;
	rc = take(name, poolfd, control, control->timeout_ms, 0, &audit);
	if (rc != LATZ_OK)
		return rc;
	rc = tell(audit, "destroy", "", 1, 1);
	give(audit);
	return rc;
}

void lzi_audit_removing(const char *name, int poolfd, const struct lzi_control *control)
{
	struct lzi_audit *audit;
	uint32_t i;

	if (lzi_likely((control->header->incompatible & LZI_FEATURE_AUDIT) == 0))
		return;
	if (take(name, poolfd, control, SHORT_MS, 0, &audit) != LATZ_OK) {
		lzi_log(LATZ_LOG_WARNING, "%s: it goes, and that was not written down: %s", name, lzi_error_text());
		return;
	}
	for (i = 0; i < control->header->clients_max; i++) {
		struct lzi_client *client = lzi_control_client(control, i);

		if (lzi_load_acquire(&client->state) != 0 && !lzi_client_alive(control, i, UINT32_MAX))
			tell_gone(audit, client);
	}
	(void)tell(audit, "remove", "", 1, 0);
	give(audit);
}

/* ---- Keys ---- */

/* Members that name it. */
static int put_key(struct lzi_store *store, struct lzi_audit_text *text, latz_slice key)
{
	uint8_t digest[LZI_DIGEST_BYTES];
	int is_space = key.size == LZI_SPACE_PREFIX && memcmp(key.data, "\xff", 2) == 0; /* all of it, for a scan */
	struct lzi_space *space;
	unsigned strip;
	int rc;

	if (is_space || lzi_key_is_spaced(key.data, key.size)) {
		space = lzi_space_find(store, lzi_key_space(key.data));
		if (space != NULL)
			lzi_audit_member(text, "namespace", space->name, strnlen(space->name, sizeof space->name));
	}
	if (is_space)
		return LATZ_OK;
	strip = lzi_key_is_spaced(key.data, key.size) ? LZI_SPACE_PREFIX : *(const uint8_t *)key.data == 0xff;
	key.data = (const uint8_t *)key.data + strip;
	key.size -= strip;
	/* Not even on request is a key of an encrypted pool told; what it is sealed as has a digest, too. */
	if (store->audit->what & LATZ_AUDIT_PLAIN && store->seal == NULL) {
		lzi_audit_member(text, "key", key.data, key.size);
		if (key.size > LZI_AUDIT_TEXT_MAX)
			lzi_audit_number(text, "key_size", key.size);
		return LATZ_OK;
	}
	/* Half of it: enough to tell keys apart. */
	rc = lzi_digest(store->secrets != NULL ? store->secrets->audit_names : store->audit->secret, key.data,
	                key.size, digest);
	lzi_audit_hex(text, "key_hash", digest, sizeof digest / 2);
	return rc;
}

int lzi_audit_key_op(struct lzi_store *store, const char *op, latz_slice key)
{
	struct lzi_audit_note note;
	int rc;

	if (!lzi_is_audited(store) || store->reads_only || lzi_key_is_book(key.data, key.size))
		return LATZ_OK;
	rc = put_key(store, lzi_audit_note(&note), key);
	return rc == LATZ_OK ? tell(store->audit, op, note.data, 0, 1) : rc;
}

/* Whoever waits for all calls under way need not wait for the log. */
static int tell_outside(struct lzi_call *call, const char *op, latz_slice key)
{
	int inside = (call->actor->op & 1) != 0, rc;

	if (inside)
		lzi_call_end(call);
	rc = lzi_audit_key_op(call->store, op, key);
	if (inside)
		lzi_call_begin(call);
	return rc;
}

int lzi_audit_write(struct lzi_call *call, const struct lzi_write *write)
{
	static const char *const names[] = { [LZI_WRITE_SET] = "set",
		                             [LZI_WRITE_INCREMENT] = "increment",
		                             [LZI_WRITE_DELETE] = "delete",
		                             [LZI_WRITE_TOUCH] = "touch" };

	/* What maintenance does is nobody's deed: renewing for a hook, collecting what was in a dropped namespace. */
	if (write->kind >= sizeof names / sizeof *names || names[write->kind] == NULL || write->renew ||
	    (lzi_key_is_spaced(write->key.data, write->key.size) &&
	     !lzi_space_is_there(call->store, lzi_key_space(write->key.data))))
		return LATZ_OK;
	return tell_outside(call, names[write->kind], write->key);
}

int lzi_audit_read(struct lzi_call *call, latz_slice key, int rc)
{
	int told = rc == LATZ_OK || rc == LATZ_NOTFOUND || rc == LATZ_MISMATCH
	                   ? tell_outside(call, rc == LATZ_NOTFOUND ? "miss" : "get", key)
	                   : LATZ_OK;

	return told == LATZ_OK ? rc : told;
}

int lzi_audit_scan(struct lzi_call *call, latz_slice prefix)
{
	if (!lzi_audits(call, LZI_WATCH_AUDIT_READS) || !lzi_is_audited(call->store) || call->store->reads_only)
		return LATZ_OK;
	return prefix.size > 0 ? lzi_audit_key_op(call->store, "scan", prefix)
	                       : tell(call->store->audit, "scan", "", 0, 1);
}

/* ---- For people ---- */

int lzi_audit_status(struct lzi_call *call, latz_audit_status_t *status)
{
	const struct lzi_audit *audit = call->store->audit;
	const struct lzi_audit_page *page;
	latz_audit_status_t out;

	memset(&out, 0, sizeof out);
	if (audit != NULL) {
		page = audit->seen != NULL ? audit->seen : audit->page;
		out.keys = audit->what;
		out.seq = lzi_load_acquire(&page->seq);
		memcpy(out.head, page->head[out.seq & 1], sizeof out.head);
		out.lost = lzi_load_relaxed(&page->lost);
		snprintf(out.path, sizeof out.path, "%s", audit->chain.path);
	}
	out.size = status->size < sizeof out ? status->size : sizeof out;
	memcpy(status, &out, out.size);
	return LATZ_OK;
}

int lzi_audit_secret(struct lzi_call *call, uint8_t ret_key[LZI_KEY_BYTES])
{
	const struct lzi_store *store = call->store;

	if (store->secrets == NULL)
		return lzi_error(LATZ_INVALID, "pool %s has no password: nothing that it writes down is authenticated",
		                 store->name);
	memcpy(ret_key, store->secrets->audit, LZI_KEY_BYTES);
	return LATZ_OK;
}

int lzi_audit_rotate(const char *path, char *name, size_t size)
{
	char who[1024] = "";
	struct lzi_audit_text text = { who, 0, sizeof who, 0 };
	struct lzi_chain chain;
	uint64_t bytes = 0;
	int fd, rc = lzi_chain_open(&chain, path, NULL, 1000);

	if (rc != LATZ_OK)
		return rc;
	say_who(&text, "", NULL);
	rc = lzi_disk_open(chain.dirfd, chain.name, 1, &fd); /* which makes none */
	if (rc == LATZ_OK) {
		rc = lzi_file_size(fd, &bytes);
		lzi_file_close(fd);
	}
	if (rc == LATZ_OK && bytes == 0)
		rc = lzi_error(LATZ_INVALID, "audit log %s is empty", path);
	if (rc == LATZ_OK)
		rc = lzi_chain_rotate(&chain, who, name, size);
	lzi_chain_close(&chain);
	return rc;
}
