/*
 * Reading an audit log from its beginning to its end: whether each entry is what was written, and follows the one
 * before. Lines that are no whole entries must be told of by the next that is one, `torn`, or are damage.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"
#include "store/audit.h"
#include "store/audit_chain.h"
#include "store/audit_key.h"

#define CHUNK (1u << 18)
#define LINE_MOST (16u << 20) /* what is longer, in one line or in torn ones, is no part of a log */
#define LOCK_TRIES 200
#define IDS_MOST 32

struct verifying {
	const latz_audit_options *options;
	latz_audit_info info;
	uint64_t line;    /* of what is looked at */
	uint64_t junk_line; /* where lines began that are no entries; 0: there are none */
	char *junk;
	size_t junk_size;
	int untold;    /* a `gap` or `unseen` was the line before: `torn` may come behind, of what stands before it */
	int after_gap; /* it was a `gap` */
	char *whole; /* the entry before such a one, which may have been cut to less than its line */
	size_t whole_size;
	uint64_t whole_line;
	int head_seen, any_wrong, begun;
	struct lzi_audit_ring *ring; /* of the password; NULL: none was given */
	unsigned ids; /* keys that entries have codes of */
	uint8_t id[IDS_MOST][LZI_AUDIT_KEY_ID];
	int (*line_fn)(struct verifying *v, const char *text, size_t size); /* size: with its newline */
};

static void complain(struct verifying *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(struct verifying *v, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (!v->any_wrong) /* what the call's detail says */
		(void)lzi_error(LATZ_CORRUPT, "%s", text);
	v->any_wrong = 1;
	v->info.wrong++;
	if (v->options->wrong != NULL)
		v->options->wrong(text, v->options->arg);
}

static void condemn_junk(struct verifying *v)
{
	complain(v, "line %llu was changed: it is no entry, or its hash is another", (unsigned long long)v->junk_line);
	v->junk_line = 0;
	v->junk_size = 0;
}

static int add_junk(struct verifying *v, const char *line, size_t size)
{
	char *grown;

	if (v->untold && v->junk_line != 0) /* that was another */
		condemn_junk(v);
	v->untold = 0;
	grown = v->junk_size + size > LINE_MOST ? NULL : realloc(v->junk, v->junk_size + size + 1);
	if (v->junk_line == 0)
		v->junk_line = v->line;
	if (grown == NULL)
		return lzi_error(LATZ_CORRUPT, "line %llu on: more than an audit log can have that is no entry",
		                 (unsigned long long)v->junk_line);
	v->junk = grown;
	memcpy(v->junk + v->junk_size, line, size);
	v->junk_size += size;
	return LATZ_OK;
}

static int is_event(const struct lzi_audit_line *parsed, const char *event)
{
	return parsed->event_size == strlen(event) && memcmp(parsed->event, event, parsed->event_size) == 0;
}

/* Whether a `torn` tells of these bytes. */
static int is_told(const struct lzi_audit_line *torn, const char *bytes, size_t size, int *ret_told)
{
	uint8_t digest[LZI_DIGEST_BYTES], told[LZI_DIGEST_BYTES];
	int rc = lzi_digest(NULL, bytes, size, digest);

	*ret_told = rc == LATZ_OK && torn->torn_hash != NULL && torn->torn_bytes == size &&
	            lzi_digest_parse(torn->torn_hash, told) && memcmp(told, digest, sizeof told) == 0;
	return rc;
}

/* A `torn` behind no line that is none: it may tell of an entry that is whole again, by the newline that was put behind
 * it. */
static int judge_whole(struct verifying *v, const struct lzi_audit_line *torn)
{
	int told = 0, rc = v->untold && v->whole != NULL ? is_told(torn, v->whole, v->whole_size, &told) : LATZ_OK;

	if (rc == LATZ_OK && told)
		complain(v, "line %llu was incomplete: it was cut after %zu bytes, which is its newline alone",
		         (unsigned long long)v->whole_line, v->whole_size - 1);
	else if (rc == LATZ_OK)
		complain(v, "line %llu tells of a torn entry before it, which is not there",
		         (unsigned long long)v->line);
	return rc;
}

/* What stood before an entry and was none: as it says, or damaged. Between the two may stand what the pool tells first:
 * that an entry is missing which it remembers. Then that is what was cut, and no writer that died. */
static int judge_junk(struct verifying *v, const struct lzi_audit_line *parsed)
{
	int is_gap = is_event(parsed, "gap"), told = 0, rc = LATZ_OK;

	if (is_event(parsed, "torn")) {
		if (v->junk_line == 0)
			return judge_whole(v, parsed);
		rc = is_told(parsed, v->junk, v->junk_size, &told);
		if (rc != LATZ_OK)
			return rc;
	}
	if (v->junk_line == 0 || (!v->untold && (is_gap || is_event(parsed, "unseen"))))
		return LATZ_OK;
	if (!told) {
		condemn_junk(v);
		return LATZ_OK;
	}
	if (v->untold && v->after_gap)
		complain(v, "line %llu is incomplete: it was cut after %zu bytes", (unsigned long long)v->junk_line,
		         v->junk_size - 1);
	else
		v->info.torn++;
	v->junk_line = 0;
	v->junk_size = 0;
	return LATZ_OK;
}

/* The line is an entry. */
static int keep_line(struct verifying *v, const struct lzi_audit_line *parsed, const char *text, size_t size)
{
	char *grown;

	v->after_gap = is_event(parsed, "gap");
	v->untold = v->after_gap || is_event(parsed, "unseen");
	if (v->untold)
		return LATZ_OK;
	grown = realloc(v->whole, size);
	if (grown == NULL)
		return lzi_error(LATZ_NOMEM, "a line");
	memcpy(grown, text, size);
	v->whole = grown;
	v->whole_size = size;
	v->whole_line = v->line;
	return LATZ_OK;
}

static void judge_place(struct verifying *v, const struct lzi_audit_line *parsed, const uint8_t *prev)
{
	static const uint8_t none[LZI_AUDIT_HASH];
	unsigned long long line = v->line, seq = parsed->seq, last = v->info.last_seq;

	if (v->info.entries == 0) {
		v->info.first_seq = parsed->seq;
		memcpy(v->info.previous, prev, sizeof v->info.previous);
		if (seq == 1 && memcmp(prev, none, sizeof none) != 0)
			complain(v, "line %llu: entry 1 follows another", line);
	} else if (is_event(parsed, "gap") && seq <= last) {
		complain(v, "line %llu: entries before it, %llu to %llu, were put there instead of others: entry %llu "
		            "is not what the pool remembers", line, seq, last, seq - 1);
	} else if (seq > last + 1) {
		complain(v, "line %llu: entries %llu to %llu are missing before it", line, last + 1, seq - 1);
	} else if (seq <= last) {
		complain(v, "line %llu: entry %llu stands behind entry %llu: twice, or in another order", line, seq,
		         last);
	} else if (memcmp(prev, v->info.head, sizeof v->info.head) != 0) {
		complain(v, "line %llu: entry %llu was changed or replaced: entry %llu follows another", line, last,
		         seq);
	}
	/* A file begins with saying so: else its first lines are missing. */
	if (!v->begun && !is_event(parsed, "begin") && !is_event(parsed, "torn")) {
		complain(v, "line %llu: the beginning of the file is missing", line);
		v->begun = 1;
	}
	v->begun |= is_event(parsed, "begin");
}

static int judge_mac(struct verifying *v, const char *text, const struct lzi_audit_line *parsed)
{
	uint8_t digest[LZI_DIGEST_BYTES], told[LZI_DIGEST_BYTES];
	const uint8_t *key = v->options->key;
	int rc;

	if (parsed->mac == NULL)
		return LATZ_OK;
	if (v->ring != NULL) {
		key = parsed->has_id ? lzi_audit_ring_find(v->ring, parsed->key_id) : NULL;
		if (key == NULL) { /* of another pool, or of who says so */
			v->info.other_keys++;
			return LATZ_OK;
		}
	}
	rc = key == NULL ? LATZ_OK : lzi_digest(key, text, parsed->maced, digest);
	if (key != NULL && rc == LATZ_OK &&
	    (!lzi_digest_parse(parsed->mac, told) || memcmp(told, digest, sizeof told) != 0)) {
		complain(v, "line %llu: entry %llu was not written by who has the key", (unsigned long long)v->line,
		         (unsigned long long)parsed->seq);
	} else {
		v->info.keyed++;
		v->info.last_keyed = parsed->seq;
	}
	return rc;
}

/* Before anything is judged: the keys that the password opens. After a new password they may stand behind what they are
 * of. */
static int learn(struct verifying *v, const char *text, size_t size)
{
	struct lzi_audit_line parsed;
	struct lzi_audit_seal seal;
	unsigned i;

	if (!lzi_audit_parse(text, size - 1, &parsed) || !parsed.has_id)
		return LATZ_OK;
	for (i = 0; i < v->ids && memcmp(v->id[i], parsed.key_id, sizeof parsed.key_id) != 0; i++)
		;
	if (i == v->ids && i < IDS_MOST)
		memcpy(v->id[v->ids++], parsed.key_id, sizeof parsed.key_id);
	return lzi_audit_parse_seal(text, &parsed, &seal) ? lzi_audit_ring_learn(v->ring, &seal) : LATZ_OK;
}

static int knows_all(const struct verifying *v)
{
	unsigned i;

	for (i = 0; i < v->ids && lzi_audit_ring_find(v->ring, v->id[i]) != NULL; i++)
		;
	return i == v->ids;
}

/* From a later file of the log: what this one has entries of. LATZ_DONE: no more is wanted. */
static int learn_wanted(struct verifying *v, const char *text, size_t size)
{
	struct lzi_audit_line parsed;
	struct lzi_audit_seal seal;
	unsigned i;
	int rc;

	if (!lzi_audit_parse(text, size - 1, &parsed) || !lzi_audit_parse_seal(text, &parsed, &seal))
		return LATZ_OK;
	for (i = 0; i < v->ids && memcmp(v->id[i], seal.id, sizeof seal.id) != 0; i++)
		;
	rc = i < v->ids ? lzi_audit_ring_learn(v->ring, &seal) : LATZ_OK;
	return rc == LATZ_OK && knows_all(v) ? LATZ_DONE : rc;
}

static int judge(struct verifying *v, const char *text, size_t size)
{
	uint8_t hash[LZI_AUDIT_HASH], digest[LZI_DIGEST_BYTES], prev[LZI_AUDIT_HASH];
	latz_audit_entry entry = { sizeof entry, ++v->line, 0, text, size - 1 };
	struct lzi_audit_line parsed;
	int rc;

	if (!lzi_audit_parse(text, size - 1, &parsed) || !lzi_digest_parse(parsed.hash, hash) ||
	    !lzi_digest_parse(parsed.prev, prev))
		return add_junk(v, text, size);
	rc = lzi_digest(NULL, text, parsed.hashed, digest);
	if (rc == LATZ_OK && memcmp(digest, hash, sizeof hash) != 0)
		return add_junk(v, text, size);
	if (rc == LATZ_OK)
		rc = judge_junk(v, &parsed);
	if (rc == LATZ_OK)
		rc = judge_mac(v, text, &parsed);
	if (rc != LATZ_OK)
		return rc;
	judge_place(v, &parsed, prev);
	rc = keep_line(v, &parsed, text, size);
	if (rc != LATZ_OK)
		return rc;
	if (!v->any_wrong)
		v->info.sound_keyed = v->info.last_keyed;
	v->info.entries++;
	v->info.last_seq = entry.seq = parsed.seq;
	memcpy(v->info.head, hash, sizeof hash);
	v->info.gone += (uint64_t)is_event(&parsed, "gone");
	v->info.unseen += (uint64_t)is_event(&parsed, "unseen");
	v->head_seen |= v->options->head != NULL && memcmp(hash, v->options->head, sizeof hash) == 0;
	return v->options->entry == NULL ? LATZ_OK : v->options->entry(&entry, v->options->arg);
}

/* All is read. */
static void conclude(struct verifying *v)
{
	if (v->junk_line != 0)
		condemn_junk(v);
	if (v->info.entries == 0 && !v->any_wrong)
		complain(v, "there is no entry in it");
	if (v->options->head != NULL && !v->head_seen)
		complain(v, "no entry has the hash that was given: entries are missing at the end, or were changed");
}

/* Its size, nobody being in the middle of an entry. */
static int whole_size(int fd, uint64_t *ret_size)
{
	int i, rc = LATZ_BUSY;

	for (i = 0; i < LOCK_TRIES && (rc = lzi_ofd_try(fd, 1ull << 40, 0)) == LATZ_BUSY; i++)
		lzi_sleep_us(1000);
	if (rc == LATZ_OK) {
		rc = lzi_file_size(fd, ret_size);
		lzi_ofd_unlock(fd, 1ull << 40);
		return rc;
	}
	return lzi_file_size(fd, ret_size);
}

static int read_lines(struct verifying *v, int fd, const char *path, uint64_t size)
{
	uint64_t at = 0, got = 0, room;
	size_t have = 0, capacity = CHUNK, begin;
	char *data = malloc(capacity), *grown, *newline;
	int rc = data == NULL ? lzi_error(LATZ_NOMEM, "a line") : LATZ_OK;

	while (rc == LATZ_OK && at < size) {
		if (have == capacity) { /* a line longer than all of it */
			grown = capacity >= LINE_MOST ? NULL : realloc(data, capacity * 2);
			rc = grown == NULL ? lzi_error(LATZ_CORRUPT, "line %llu is longer than an entry can be",
			                               (unsigned long long)v->line + 1)
			                   : LATZ_OK;
			data = grown == NULL ? data : grown;
			capacity = grown == NULL ? capacity : capacity * 2;
		}
		room = size - at < capacity - have ? size - at : capacity - have;
		if (rc == LATZ_OK)
			rc = lzi_disk_read_at(fd, path, data + have, room, at, &got);
		if (rc != LATZ_OK || got == 0)
			break;
		at += got;
		have += got;
		for (begin = 0; rc == LATZ_OK && (newline = memchr(data + begin, '\n', have - begin)) != NULL;
		     begin = (size_t)(newline - data) + 1)
			rc = v->line_fn(v, data + begin, (size_t)(newline - data) + 1 - begin);
		memmove(data, data + begin, have - begin);
		have -= begin;
	}
	free(data);
	v->info.tail_bytes = have;
	return rc;
}

static int open_log(const char *path, int *ret_fd, uint64_t *ret_size)
{
	struct lzi_chain chain;
	int rc = lzi_chain_open(&chain, path, NULL, 0);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_open(chain.dirfd, chain.name, 0, ret_fd);
	lzi_chain_close(&chain);
	if (rc != LATZ_OK)
		return rc;
	rc = whole_size(*ret_fd, ret_size);
	if (rc != LATZ_OK)
		lzi_file_close(*ret_fd);
	return rc;
}

/* The keys that the password opens: of the file itself, then of the others as far as they are wanted. */
static int learn_all(struct verifying *v, int fd, const char *path, uint64_t size)
{
	const char *const *other = v->options->files;
	int rc;

	v->ring = lzi_audit_ring_new(v->options->password);
	v->line_fn = learn;
	rc = v->ring == NULL ? LATZ_NOMEM : read_lines(v, fd, path, size);
	v->line_fn = learn_wanted;
	for (; rc == LATZ_OK && other != NULL && *other != NULL && !knows_all(v); other++) {
		rc = open_log(*other, &fd, &size);
		if (rc != LATZ_OK)
			return lzi_error_prefix(rc, "%s", *other);
		rc = read_lines(v, fd, *other, size);
		lzi_file_close(fd);
		rc = rc == LATZ_DONE ? LATZ_OK : rc;
	}
	return rc;
}

static int read_all(struct verifying *v, int fd, const char *path, uint64_t size)
{
	int rc = v->options->password != NULL ? learn_all(v, fd, path, size) : LATZ_OK;

	v->line_fn = judge;
	if (rc == LATZ_OK)
		rc = read_lines(v, fd, path, size);
	if (rc == LATZ_OK)
		conclude(v);
	if (rc == LATZ_OK && v->ring != NULL && v->info.other_keys > 0 && lzi_audit_ring_is_full(v->ring) &&
	    !v->any_wrong)
		rc = lzi_error(LATZ_TOOBIG, "it has keys that were sealed with more passwords than are tried");
	if (rc == LATZ_OK && v->ring != NULL && v->info.keyed == 0 && !v->any_wrong)
		rc = lzi_error(LATZ_AUTH,
		               v->info.other_keys > 0
		                       ? "no entry of it was authenticated with a key that this password opens: it "
		                         "takes one that the pool had while it was written, or the files after it"
		                       : "no entry of it has an authentication code: it is a log of pools without a "
		                         "password, or written anew");
	lzi_audit_ring_free(v->ring);
	return rc;
}

int lzi_audit_verify(const char *path, const latz_audit_options *options, latz_audit_info *info)
{
	struct verifying v = { .options = options };
	uint64_t size = 0;
	int fd = -1, rc = open_log(path, &fd, &size);

	if (rc != LATZ_OK)
		return rc;
	rc = read_all(&v, fd, path, size);
	lzi_file_close(fd);
	free(v.junk);
	free(v.whole);
	if (rc == LATZ_OK || rc == LATZ_CORRUPT || rc == LATZ_AUTH) {
		v.info.size = info->size < sizeof v.info ? info->size : sizeof v.info;
		memcpy(info, &v.info, v.info.size);
	}
	return rc == LATZ_OK && v.any_wrong ? LATZ_CORRUPT : rc;
}
