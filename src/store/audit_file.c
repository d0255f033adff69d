/*
 * Looking at an audit log's file before something is appended to it: where it ends, and whether an entry that the pool
 * remembers is still there. The latter goes by the entry's hash, which is of the whole line: where a line with that
 * hash stands and is right, that is the entry.
 */
#include "config.h"

#include "store/audit_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "crypt/digest.h"
#include "os/os.h"

#define WINDOW_MIN 4096u
#define WINDOW_MAX (4u << 20)
#define FILES_MOST 64 /* that are gone back through */
#define BACK_MOST (64ull << 20) /* that is gone back in one: it is done under the file's lock */

/* Whether it is a whole entry; its number and hash. */
static int is_entry(const char *line, size_t size, struct lzi_audit_mark *ret_mark, struct lzi_audit_line *ret_parsed)
{
	uint8_t digest[LZI_DIGEST_BYTES];

	if (!lzi_audit_parse(line, size, ret_parsed) || !lzi_digest_parse(ret_parsed->hash, ret_mark->hash) ||
	    lzi_digest(NULL, line, ret_parsed->hashed, digest) != LATZ_OK ||
	    memcmp(digest, ret_mark->hash, sizeof digest) != 0)
		return 0;
	ret_mark->seq = ret_parsed->seq;
	return 1;
}

static int read_part(const struct lzi_audit_file *file, char *data, uint64_t size, uint64_t at)
{
	uint64_t got = 0;
	int rc = lzi_disk_read_at(file->fd, file->name, data, size, at, &got);

	return rc == LATZ_OK && got < size ? lzi_error(LATZ_IO, "it became shorter under its lock") : rc;
}

/* ---- Its end ---- */

/* The last entry in a window of the file; what is before its first newline is looked at only if it is the file's
 * beginning. *ret_end: just behind its newline. */
static int last_in(const char *window, size_t size, int is_first, struct lzi_audit_mark *ret_last, size_t *ret_end)
{
	struct lzi_audit_line parsed;
	size_t end = size, begin;

	for (;; end = begin) {
		const char *newline = end == 0 ? NULL : memrchr(window, '\n', end);

		if (newline == NULL)
			return 0;
		end = (size_t)(newline - window);
		newline = end == 0 ? NULL : memrchr(window, '\n', end);
		if (newline == NULL && !is_first)
			return 0;
		begin = newline == NULL ? 0 : (size_t)(newline - window) + 1;
		if (is_entry(window + begin, end - begin, ret_last, &parsed)) {
			*ret_end = end + 1;
			return 1;
		}
	}
}

int lzi_audit_file_end(const struct lzi_audit_file *file, struct lzi_audit_mark *ret_last, uint64_t *ret_end)
{
	static const char first[] = "{\"seq\":";
	uint64_t window = WINDOW_MIN, size = file->size;
	char *data = NULL, *grown;
	size_t end;
	int rc;

	*ret_end = 0;
	for (; size > 0; window *= 16) {
		window = window < size ? window : size;
		grown = realloc(data, window);
		rc = grown == NULL ? lzi_error(LATZ_NOMEM, "its end") : LATZ_OK;
		data = grown == NULL ? data : grown;
		if (rc == LATZ_OK)
			rc = read_part(file, data, window, size - window);
		if (rc == LATZ_OK && last_in(data, window, window == size, ret_last, &end)) {
			*ret_end = size - window + end;
			free(data);
			return LATZ_OK;
		}
		if (rc == LATZ_OK && window == size) /* a first entry that was torn, perhaps after others were */
			rc = memcmp(data, first, size < sizeof first - 1 ? size : sizeof first - 1) == 0
			             ? 1
			             : lzi_error(LATZ_INVALID, "it is no audit log");
		else if (rc == LATZ_OK && window >= WINDOW_MAX)
			rc = lzi_error(LATZ_CORRUPT, "there is no whole entry in its last %u bytes", WINDOW_MAX);
		if (rc == 1)
			break;
		if (rc != LATZ_OK) {
			free(data);
			return rc;
		}
	}
	free(data);
	memset(ret_last, 0, sizeof *ret_last);
	return LATZ_OK;
}

/* ---- What is remembered ---- */

/* Its first whole entry and what that follows. seq 0: none was found near its beginning. */
static int first_of(const struct lzi_audit_file *file, struct lzi_audit_mark *ret_first,
                    uint8_t ret_prev[LZI_AUDIT_HASH])
{
	uint64_t size = file->size < WINDOW_MAX ? file->size : WINDOW_MAX;
	char *data = malloc(size + 1), *newline;
	struct lzi_audit_line parsed;
	size_t at = 0;
	int rc = data == NULL ? lzi_error(LATZ_NOMEM, "its beginning") : read_part(file, data, size, 0);

	ret_first->seq = 0;
	while (rc == LATZ_OK && (newline = memchr(data + at, '\n', size - at)) != NULL) {
		if (is_entry(data + at, (size_t)(newline - data) - at, ret_first, &parsed) &&
		    lzi_digest_parse(parsed.prev, ret_prev))
			break;
		ret_first->seq = 0;
		at = (size_t)(newline - data) + 1;
	}
	free(data);
	return rc;
}

/* Whether somebody wrote it who has the key, if there is one. */
static int is_ours(const struct lzi_audit_file *file, const char *line, const struct lzi_audit_line *parsed)
{
	uint8_t told[LZI_DIGEST_BYTES], digest[LZI_DIGEST_BYTES];

	if (file->key == NULL)
		return 1;
	return parsed->mac != NULL && lzi_digest_parse(parsed->mac, told) &&
	       lzi_digest(file->key, line, parsed->maced, digest) == LATZ_OK &&
	       memcmp(told, digest, sizeof told) == 0;
}

/* Whether an entry is the one that is known, or the gap that was told of behind that, by who died before the gap was
 * remembered instead: it need not be told of again. Verification finds it, by what stands there. Whoever can write the
 * file can make up such a gap: where there is a key, it is to have been told by who has that. */
static int speaks_of(const struct lzi_audit_file *file, const char *line, const struct lzi_audit_line *parsed,
                     const struct lzi_audit_mark *mark, const struct lzi_audit_mark *known)
{
	static const char gap[] = "gap";
	uint8_t prev[LZI_AUDIT_HASH];

	if (mark->seq == known->seq)
		return memcmp(mark->hash, known->hash, sizeof mark->hash) == 0;
	return mark->seq == known->seq + 1 && parsed->event_size == sizeof gap - 1 &&
	       memcmp(parsed->event, gap, sizeof gap - 1) == 0 && lzi_digest_parse(parsed->prev, prev) &&
	       memcmp(prev, known->hash, sizeof prev) == 0 && is_ours(file, line, parsed);
}

/* Whether the entry stands in the window, whose first line may be cut unless it is the file's beginning. */
static int stands_in(const struct lzi_audit_file *file, const char *window, size_t size, int is_first,
                     const struct lzi_audit_mark *known)
{
	char text[LZI_DIGEST_TEXT + 1] = "";
	struct lzi_audit_line parsed;
	struct lzi_audit_mark mark;
	const char *at = window, *begin, *end = window + size;

	lzi_digest_text(known->hash, text);
	/* Each line once, however often it has the text: somebody may have filled the file with it. */
	for (; (at = memmem(at, (size_t)(end - at), text, LZI_DIGEST_TEXT)) != NULL;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		begin = memrchr(window, '\n', (size_t)(at - window));
		if (newline == NULL)
			return 0;
		at = newline;
		if (begin == NULL && !is_first)
			continue;
		begin = begin == NULL ? window : begin + 1;
		if (is_entry(begin, (size_t)(newline - begin), &mark, &parsed) &&
		    speaks_of(file, begin, &parsed, &mark, known))
			return 1;
	}
	return 0;
}

/* Windows from the end on, each with a line's length of the one behind it. last: the number that the file ends with.
 * No further than what came after the entry can reach, and what a write left that was torn, which
 * lzi_audit_file_end() gets past: else a file that somebody made long, be it with a hole, would stop everybody for as
 * long as it takes to read. */
static int stands_there(const struct lzi_audit_file *file, const struct lzi_audit_mark *known, uint64_t last,
                        int *ret_there)
{
	uint64_t begin = file->size, end, window = WINDOW_MIN, behind = last > known->seq ? last - known->seq : 0;
	uint64_t most = behind < BACK_MOST / LZI_AUDIT_LINE_MAX ? WINDOW_MAX + (behind + 1) * LZI_AUDIT_LINE_MAX
	                                                        : BACK_MOST;
	uint64_t least = file->size > most ? file->size - most : 0;
	char *data = malloc(WINDOW_MAX);
	int rc = data == NULL ? lzi_error(LATZ_NOMEM, "what is behind it") : LATZ_OK;

	*ret_there = 0;
	while (rc == LATZ_OK && begin > least && !*ret_there) {
		end = file->size - begin < LZI_AUDIT_LINE_MAX ? file->size : begin + LZI_AUDIT_LINE_MAX;
		if (window > WINDOW_MAX)
			window = WINDOW_MAX;
		begin = end < window ? 0 : end - window;
		rc = read_part(file, data, end - begin, begin);
		if (rc == LATZ_OK)
			*ret_there = stands_in(file, data, (size_t)(end - begin), begin == 0, known);
		window *= 16;
	}
	free(data);
	return rc;
}

/* The file that was rotated away when this one began, whose first entry is known. LATZ_NOTFOUND. */
static int open_before(const struct lzi_audit_file *file, const char *name, uint64_t first, char ret_name[320],
                       struct lzi_audit_file *ret_before)
{
	int rc;

	*ret_before = *file;
	ret_before->name = ret_name;
	snprintf(ret_name, 320, "%s.%llu", name, (unsigned long long)(first - 1));
	rc = lzi_disk_open(file->dirfd, ret_name, 0, &ret_before->fd);
	if (rc == LATZ_NOTFOUND) { /* who rotated it died in between */
		snprintf(ret_name, 320, "%s.next", name);
		rc = lzi_disk_open(file->dirfd, ret_name, 0, &ret_before->fd);
	}
	if (rc != LATZ_OK)
		return rc == LATZ_NOMEM ? rc : LATZ_NOTFOUND;
	rc = lzi_file_size(ret_before->fd, &ret_before->size);
	if (rc != LATZ_OK)
		lzi_file_close(ret_before->fd);
	return rc;
}

/* In one file, which ends with number `last`. UNSEEN: look in the one before, which ends with *ret_end. */
static int recall_in(const struct lzi_audit_file *file, const struct lzi_audit_mark *known, uint64_t last,
                     struct lzi_audit_mark *ret_end, enum lzi_audit_memory *ret)
{
	struct lzi_audit_mark first;
	int there = 0, rc = first_of(file, &first, ret_end->hash);

	if (rc != LATZ_OK)
		return rc;
	*ret = LZI_AUDIT_UNSEEN;
	ret_end->seq = first.seq - 1;
	if (first.seq != 0 && first.seq > known->seq + 1)
		return LATZ_OK;
	if (first.seq == known->seq + 1)
		there = memcmp(ret_end->hash, known->hash, sizeof known->hash) == 0;
	else
		rc = stands_there(file, known, last, &there);
	*ret = there ? LZI_AUDIT_THERE : LZI_AUDIT_NOT;
	return rc;
}

int lzi_audit_file_recall(const struct lzi_audit_file *file, const struct lzi_audit_mark *known, uint64_t last,
                          enum lzi_audit_memory *ret)
{
	struct lzi_audit_file now = *file, before;
	struct lzi_audit_mark end;
	char names[2][320];
	int i, there = 1, rc = recall_in(file, known, last, &end, ret);

	for (i = 0; i < FILES_MOST && rc == LATZ_OK && *ret == LZI_AUDIT_UNSEEN; i++) {
		rc = open_before(file, file->name, end.seq + 1, names[i & 1], &before);
		if (i > 0)
			lzi_file_close(now.fd);
		if (rc != LATZ_OK)
			return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
		now = before;
		rc = stands_there(&now, &end, end.seq, &there);
		if (rc == LATZ_OK && !there)
			*ret = LZI_AUDIT_NOT; /* it goes on from something else */
		else if (rc == LATZ_OK)
			rc = recall_in(&now, known, end.seq, &end, ret);
	}
	if (i > 0)
		lzi_file_close(now.fd);
	return rc;
}
