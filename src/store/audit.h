/*
 * Private to store/: what a pool tells its audit log (doc/audit.md), and logs as files. A pool that has none has a NULL
 * where all of this begins.
 */
#ifndef LZI_STORE_AUDIT_H
#define LZI_STORE_AUDIT_H

#include "format/audit.h"
#include "store/store_int.h"

/* On making a pool, its control file not sealed yet; nothing without options->audit. */
int lzi_audit_make(int poolfd, const char *name, const latz_options *options);

/* What a pool says of its log. */
struct lzi_audit_setting {
	unsigned keys; /* LATZ_AUDIT_* */
	char path[LZI_AUDIT_PATH_MAX];
};
int lzi_audit_setting(int poolfd, struct lzi_audit_setting *ret_setting);
/* options without an audit log get the one that the pool had, if it comes back from its persist directory or is
 * replaced; they point into setting then. */
int lzi_audit_inherit(int dirfd, const char *name, int replaces, latz_options *options,
                      struct lzi_audit_setting *setting);
/* In the persist directory, of a pool that has one; nothing of one that is not durable. A lax log's pool is opened and
 * made durable without. */
int lzi_audit_remember(struct lzi_store *store);
/* A pool that is there gets that persist directory, which it holds and where no pool is: before it says so. */
int lzi_audit_begin_dir(struct lzi_store *store);
/* A pool that is being made has it for itself: what was there is not its. LZI_IN_USE: since lzi_audit_inherit() looked,
 * the one that is in there came to be audited: it is to be made again. */
int lzi_audit_take_dir(struct lzi_store *store, const char *dir);

/* Opens the log, if the pool has one, and tells it of who is gone; nothing is refused for want of it before
 * lzi_audit_open(), and there not what has taken another pool's place. */
int lzi_audit_attach(struct lzi_store *store);
int lzi_audit_open(struct lzi_store *store);
/* The open fails: rc, with its text, stays what it is. */
int lzi_audit_refused(struct lzi_store *store, const latz_options *options, int rc);
void lzi_audit_close(struct lzi_store *store);
void lzi_audit_part(struct lzi_store *store);
/* In a forked child, of its parent's. */
void lzi_audit_forget(struct lzi_store *store);
/* What is authenticated with from now on by this process: 32 bytes, which stay where they are. NULL: nothing. seal: may
 * be NULL. */
void lzi_audit_key(struct lzi_store *store, const uint8_t *key, const struct lzi_audit_seal *seal);
/* That, when there are store->secrets; and when the password is another, which the log is told of. */
void lzi_audit_unlocked(struct lzi_store *store);
void lzi_audit_rekeyed(struct lzi_store *store, const struct lzi_audit_seal *seal);
/* Its process is dead. */
void lzi_audit_gone(struct lzi_store *store, uint32_t slot);

/* Without an attachment: of who destroys the pool, and of who takes its files away. LATZ_OK also if it has no log. */
int lzi_audit_destroying(const char *name, int poolfd, const struct lzi_control *control);
void lzi_audit_removing(const char *name, int poolfd, const struct lzi_control *control);

/* Members of an entry that is about to be written. */
struct lzi_audit_note {
	struct lzi_audit_text text;
	char data[3 * 6 * LZI_AUDIT_TEXT_MAX];
};

static inline struct lzi_audit_text *lzi_audit_note(struct lzi_audit_note *note)
{
	note->data[0] = '\0';
	note->text = (struct lzi_audit_text){ note->data, 0, sizeof note->data, 0 };
	return &note->text;
}

/* An event of a pool that has a log, before it happens. note may be NULL. Not LATZ_OK: it is not to. */
int lzi_audit_say(struct lzi_store *store, const char *event, const struct lzi_audit_note *note);
/* The same with a member of text, which may be NULL. */
int lzi_audit_say_text(struct lzi_store *store, const char *event, const char *name, const char *value);
/* It could not be told, and has happened all the same: LATZ_OK. The thread's error says why. */
int lzi_audit_missed(struct lzi_store *store, const char *event);
/* It did not happen: rc, with its text, stays what it is. */
int lzi_audit_failed(struct lzi_store *store, const char *event, int rc);

#define lzi_is_audited(store) lzi_unlikely((store)->audit != NULL)

/* Bytes that its page takes. */
static inline uint64_t lzi_audit_blocks(const struct lzi_store *store)
{
	return lzi_is_audited(store) ? sizeof(struct lzi_audit_page) : 0;
}

/* Keys: of pools whose watch word says so. */
int lzi_audit_key_op(struct lzi_store *store, const char *op, latz_slice key);
/* These two within a call, which is left meanwhile: nothing of the pool is in hand. */
int lzi_audit_write(struct lzi_call *call, const struct lzi_write *write);
/* A read that came to rc. That, or why it is not to be told. */
int lzi_audit_read(struct lzi_call *call, latz_slice key, int rc);

#endif
