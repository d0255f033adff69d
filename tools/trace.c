/*
 * Reading request traces. The whole trace is kept, since it is run through several caches and some of those have the
 * size of a share of its keys; each key is kept once.
 */
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

enum {
	CHUNK = 1 << 17,
	LINE_MAX_BYTES = 1 << 16, /* the longest key there can be, its size, and blanks */
};

/* What has been read of a line so far, over the borders of chunks. */
struct reader {
	struct trace *trace;
	FILE *file;
	char line[LINE_MAX_BYTES];
	size_t size;
	uint64_t number;
};

/* ---- Keys ------------------------------------------------------------------------------------------------------- */

static uint64_t hash_key(const char *key, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)key[i]) * 0x100000001b3ull;
	return hash ^ hash >> 29;
}

/* The place of a key in the table: its own, or the free one it would get. */
static uint32_t *place_of(const struct trace *trace, const char *key, size_t size)
{
	uint32_t i = (uint32_t)hash_key(key, size) & (trace->buckets - 1);

	for (;; i = (i + 1) & (trace->buckets - 1)) {
		uint32_t number = trace->bucket[i];
		if (number == 0)
			break;
		size_t start = trace->start[number - 1];
		if (trace->start[number] - start == size && memcmp(trace->text + start, key, size) == 0)
			break;
	}
	return &trace->bucket[i];
}

static void grow_keys(struct trace *trace)
{
	trace->keys_capacity = trace->keys_capacity == 0 ? 4096 : trace->keys_capacity * 2;
	trace->start = cli_realloc(trace->start, ((size_t)trace->keys_capacity + 1) * sizeof(*trace->start));
	trace->start[0] = 0;
	trace->buckets = trace->keys_capacity * 2;
	trace->bucket = cli_realloc(trace->bucket, trace->buckets * sizeof(*trace->bucket));
	memset(trace->bucket, 0, trace->buckets * sizeof(*trace->bucket));
	for (uint32_t i = 0; i < trace->keys; i++)
		*place_of(trace, trace->text + trace->start[i], trace->start[i + 1] - trace->start[i]) = i + 1;
}

static uint32_t number_key(struct trace *trace, const char *key, size_t size, uint64_t bytes)
{
	if (trace->keys == trace->keys_capacity)
		grow_keys(trace);
	uint32_t *place = place_of(trace, key, size);
	if (*place != 0)
		return *place - 1;
	size_t end = trace->start[trace->keys];
	if (trace->text_capacity - end < size) {
		trace->text_capacity = (end + size) * 2;
		trace->text = cli_realloc(trace->text, trace->text_capacity);
	}
	memcpy(trace->text + end, key, size);
	trace->start[++trace->keys] = end + size;
	trace->bytes_distinct += bytes;
	*place = trace->keys;
	return trace->keys - 1;
}

/* ---- Lines ------------------------------------------------------------------------------------------------------ */

static int bad_line(const struct reader *reader, const char *wrong)
{
	return cli_error(CLI_FAIL, "trace %s line %" PRIu64 ": %s; each line is a key, or a key and its bytes",
	                 reader->trace->name, reader->number, wrong);
}

/* The line in the reader, without its newline. */
static int take_line(struct reader *reader)
{
	struct trace *trace = reader->trace;
	char *line = reader->line, *rest;
	uint64_t bytes = 0;

	reader->number++;
	while (reader->size > 0 && strchr(" \t\r", line[reader->size - 1]) != NULL)
		reader->size--;
	line[reader->size] = '\0';
	if (memchr(line, '\0', reader->size) != NULL)
		return bad_line(reader, "has a byte 0");
	line += strspn(line, " \t");
	size_t size = strcspn(line, " \t");
	reader->size = 0;
	if (size == 0)
		return CLI_OK;
	if (size > 32767)
		return bad_line(reader, "the key is longer than 32767 bytes");
	rest = line + size + strspn(line + size, " \t");
	if (*rest != '\0') {
		if (!cli_parse_count(rest, &bytes))
			return bad_line(reader, "the second word is no number of bytes");
		trace->sized = true;
	}
	if (trace->keys == UINT32_MAX / 4)
		return bad_line(reader, "there are too many distinct keys");
	if (trace->count == trace->capacity) {
		trace->capacity = trace->capacity == 0 ? 65536 : trace->capacity * 2;
		trace->key = cli_realloc(trace->key, trace->capacity * sizeof(*trace->key));
		trace->bytes = cli_realloc(trace->bytes, trace->capacity * sizeof(*trace->bytes));
	}
	trace->key[trace->count] = number_key(trace, line, size, bytes);
	trace->bytes[trace->count++] = bytes;
	return CLI_OK;
}

static int take_text(struct reader *reader, const char *text, size_t size)
{
	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t part = end != NULL ? (size_t)(end - text) : size;

		if (part >= sizeof(reader->line) - reader->size) {
			reader->number++;
			return bad_line(reader, "is too long");
		}
		memcpy(reader->line + reader->size, text, part);
		reader->size += part;
		if (end == NULL)
			return CLI_OK;
		int code = take_line(reader);
		if (code != CLI_OK)
			return code;
		text += part + 1;
		size -= part + 1;
	}
	return CLI_OK;
}

/* ---- Files ------------------------------------------------------------------------------------------------------ */

static int read_error(const struct reader *reader)
{
	return cli_error(CLI_FAIL, "trace %s: reading: %s; check the file and its disk", reader->trace->name,
	                 strerror(errno));
}

static int read_plain(struct reader *reader, char *chunk, size_t size)
{
	int code = take_text(reader, chunk, size);

	while (code == CLI_OK && (size = fread(chunk, 1, CHUNK, reader->file)) > 0)
		code = take_text(reader, chunk, size);
	return code;
}

static int read_compressed(struct reader *reader, char *chunk, size_t size, ZSTD_DStream *stream, char *text)
{
	size_t left = 0;
	int code = CLI_OK;

	do {
		ZSTD_inBuffer in = { chunk, size, 0 };
		while (code == CLI_OK && in.pos < in.size) {
			ZSTD_outBuffer out = { text, CHUNK, 0 };
			left = ZSTD_decompressStream(stream, &out, &in);
			if (ZSTD_isError(left))
				return cli_error(CLI_FAIL,
				                 "trace %s: zstd: %s after line %" PRIu64 "; fetch the file again",
				                 reader->trace->name, ZSTD_getErrorName(left), reader->number);
			code = take_text(reader, text, out.pos);
		}
		/* What has been decompressed but had no room comes without more input. */
		while (code == CLI_OK && left > 0) {
			ZSTD_inBuffer none = { chunk, 0, 0 };
			ZSTD_outBuffer out = { text, CHUNK, 0 };
			size_t rc = ZSTD_decompressStream(stream, &out, &none);
			if (ZSTD_isError(rc) || out.pos == 0)
				break;
			left = rc;
			code = take_text(reader, text, out.pos);
		}
	} while (code == CLI_OK && (size = fread(chunk, 1, CHUNK, reader->file)) > 0);
	if (code == CLI_OK && left > 0 && !ferror(reader->file))
		return cli_error(CLI_FAIL, "trace %s: ends in the middle of a zstd frame; fetch the file again",
		                 reader->trace->name);
	return code;
}

static int read_file(struct reader *reader)
{
	static const unsigned char magic[4] = { 0x28, 0xb5, 0x2f, 0xfd };
	char *chunk = cli_realloc(NULL, CHUNK), *text = NULL;
	size_t size = fread(chunk, 1, CHUNK, reader->file);
	int code;

	if (size >= sizeof(magic) && memcmp(chunk, magic, sizeof(magic)) == 0) {
		ZSTD_DStream *stream = ZSTD_createDStream();
		text = cli_realloc(NULL, CHUNK);
		code = stream == NULL ? cli_error(CLI_FAIL, "out of memory")
		                      : read_compressed(reader, chunk, size, stream, text);
		ZSTD_freeDStream(stream);
	} else {
		code = read_plain(reader, chunk, size);
	}
	if (code == CLI_OK && ferror(reader->file))
		code = read_error(reader);
	if (code == CLI_OK && reader->size > 0)
		code = take_line(reader);
	free(text);
	free(chunk);
	return code;
}

int trace_read(struct trace *trace, const char *path)
{
	struct reader *reader = cli_realloc(NULL, sizeof(*reader));
	bool from_stdin = strcmp(path, "-") == 0;

	memset(trace, 0, sizeof(*trace));
	trace->name = from_stdin ? "stdin" : path;
	memset(reader, 0, sizeof(*reader));
	reader->trace = trace;
	reader->file = from_stdin ? stdin : fopen(path, "re");
	int code = reader->file == NULL ? cli_error(CLI_FAIL, "trace %s: %s; check the path and who may read it", path,
	                                            strerror(errno))
	                                : read_file(reader);
	if (code == CLI_OK && trace->count == 0)
		code = cli_error(CLI_FAIL, "trace %s: there are no requests in it", trace->name);
	if (reader->file != NULL && !from_stdin)
		fclose(reader->file);
	free(reader);
	return code;
}

void trace_free(struct trace *trace)
{
	free(trace->key);
	free(trace->bytes);
	free(trace->text);
	free(trace->start);
	free(trace->bucket);
	memset(trace, 0, sizeof(*trace));
}
