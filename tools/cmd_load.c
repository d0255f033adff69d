/*
 * latzero load: keys and values from a file or a pipe of any size, written in batches.
 */
#include "load_line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BATCH_ITEMS = 512,
	BATCH_BYTES = 1 << 20, /* enough to make the batch's own cost vanish, little enough to stay in the cache */
};

/* Lines not yet written. Those of one batch have one type and one time to live, since latz_mset takes one for all. */
struct load_batch {
	latz_item items[BATCH_ITEMS];
	struct {
		size_t key, value; /* offsets in bytes, which may move while it grows */
	} places[BATCH_ITEMS];
	size_t count;
	char *bytes;
	size_t size, capacity;
	latz_type type;
	int64_t ttl_ms;
	uint64_t first_line;
};

struct load {
	const char *pool_name, *file_name;
	latz_pool *pool;
	FILE *file;
	bool jsonl, decided;
	latz_type type;
	uint64_t line, loaded, bytes;
	struct load_batch batch;
};

/* A batch is all or nothing, and may not fit into the pool's bounds at once. */
static int write_one_by_one(struct load *load, const latz_set_options *options)
{
	int rc = LATZ_OK;

	for (size_t i = 0; i < load->batch.count && rc == LATZ_OK; i++)
		rc = latz_set(load->pool, load->batch.items[i].key, load->batch.items[i].value, options);
	return rc;
}

static int flush_batch(struct load *load)
{
	struct load_batch *batch = &load->batch;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	char what[128];

	if (batch->count == 0)
		return CLI_OK;
	for (size_t i = 0; i < batch->count; i++) {
		batch->items[i].key.data = batch->bytes + batch->places[i].key;
		batch->items[i].value.data = batch->bytes + batch->places[i].value;
	}
	options.type = batch->type;
	options.ttl_ms = batch->ttl_ms;
	int rc = latz_mset(load->pool, batch->items, batch->count, &options);
	if (rc == LATZ_FULL || rc == LATZ_TOOBIG)
		rc = write_one_by_one(load, &options);
	if (rc != LATZ_OK) {
		snprintf(what, sizeof(what),
		         "writing lines %" PRIu64 " to %" PRIu64 " (%" PRIu64 " keys were loaded before)",
		         batch->first_line, load->line, load->loaded);
		return cli_fail(rc, what, load->pool_name, NULL);
	}
	load->loaded += batch->count;
	batch->count = 0;
	batch->size = 0;
	return CLI_OK;
}

static size_t put_bytes(struct load_batch *batch, latz_slice slice)
{
	size_t offset = batch->size;

	if (batch->capacity - batch->size < slice.size + 1) {
		batch->capacity = (batch->size + slice.size + 1) * 2;
		batch->bytes = cli_realloc(batch->bytes, batch->capacity);
	}
	if (slice.size > 0)
		memcpy(batch->bytes + offset, slice.data, slice.size);
	batch->size += slice.size;
	return offset;
}

static int add_entry(struct load *load, const struct load_entry *entry)
{
	struct load_batch *batch = &load->batch;
	int code;

	if (batch->count > 0 && (batch->count == BATCH_ITEMS || batch->size >= BATCH_BYTES ||
	                         batch->type != entry->type || batch->ttl_ms != entry->ttl_ms)) {
		load->line--; /* the entry's own line is not part of what is written now */
		code = flush_batch(load);
		load->line++;
		if (code != CLI_OK)
			return code;
	}
	if (batch->count == 0) {
		batch->first_line = load->line;
		batch->type = entry->type;
		batch->ttl_ms = entry->ttl_ms;
	}
	batch->places[batch->count].key = put_bytes(batch, entry->key);
	batch->places[batch->count].value = put_bytes(batch, entry->value);
	batch->items[batch->count].key.size = entry->key.size;
	batch->items[batch->count].value.size = entry->value.size;
	batch->count++;
	return CLI_OK;
}

/* Checks what would otherwise fail a whole batch without telling the line. */
static const char *check_entry(const struct load_entry *entry)
{
	if (entry->key.size == 0)
		return "the key is empty";
	if (entry->key.size > 32767)
		return "the key is longer than 32767 bytes";
	if (entry->value.size > UINT32_MAX)
		return "the value is longer than 4 GiB-1";
	if ((entry->type == LATZ_INT || entry->type == LATZ_FLOAT) && entry->value.size != 8)
		return "the value does not fit its type";
	if (entry->type == LATZ_BOOL && (entry->value.size != 1 || *(const unsigned char *)entry->value.data > 1))
		return "the value does not fit its type";
	if (entry->type == LATZ_NULL && entry->value.size != 0)
		return "the value does not fit its type";
	return NULL;
}

static int load_line(struct load *load, char *line, size_t size)
{
	struct load_entry entry;
	int code;

	load->line++;
	load->bytes += size;
	if (size > 0 && line[size - 1] == '\n')
		size--;
	if (size > 0 && line[size - 1] == '\r') /* of a file from elsewhere: one that is data is written \r */
		size--;
	if (size == 0)
		return CLI_OK; /* a key is never empty, so an empty line is none */
	if (!load->decided) {
		load->jsonl = line[strspn(line, " \t")] == '{';
		load->decided = true;
	}
	const char *wrong = load->jsonl ? load_line_jsonl(line, size, load->type, &entry)
	                                : load_line_tsv(line, size, load->type, &entry);
	if (wrong == NULL)
		wrong = check_entry(&entry);
	if (wrong == NULL)
		return add_entry(load, &entry);
	load->line--;
	code = flush_batch(load);
	load->line++;
	if (code != CLI_OK)
		return code;
	return cli_error(CLI_FAIL,
	                 "pool %s: %s line %" PRIu64 ": %s; %" PRIu64
	                 " keys before it were loaded, mend the line and load "
	                 "again",
	                 load->pool_name, load->file_name, load->line, wrong, load->loaded);
}

static int load_lines(struct load *load)
{
	struct cli_progress bar;
	struct stat info;
	char *line = NULL;
	size_t capacity = 0;
	ssize_t size;
	int code = CLI_OK;
	bool sized = fstat(fileno(load->file), &info) == 0 && S_ISREG(info.st_mode);

	cli_progress_begin(&bar, sized ? "loaded bytes" : "loaded lines", sized ? (uint64_t)info.st_size : 0);
	while (code == CLI_OK && (errno = 0, size = getline(&line, &capacity, load->file)) >= 0) {
		code = load_line(load, line, (size_t)size);
		if ((load->line & 1023) == 0)
			cli_progress_step(&bar, sized ? load->bytes : load->line);
	}
	cli_progress_end(&bar);
	if (code == CLI_OK && ferror(load->file))
		code = cli_error(CLI_FAIL, "pool %s: reading %s after line %" PRIu64 ": %s", load->pool_name,
		                 load->file_name, load->line, strerror(errno));
	if (code == CLI_OK)
		code = flush_batch(load);
	free(line);
	return code;
}

static void report(const struct load *load, uint64_t began_ns)
{
	double seconds = (double)(cli_now_ns() - began_ns) / 1e9;
	double rate = seconds > 0 ? (double)load->loaded / seconds : 0;
	char keys[CLI_TEXT_MAX], per_second[CLI_TEXT_MAX];

	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", load->pool_name);
		cli_json_u64("loaded", load->loaded);
		cli_json_double("seconds", seconds);
		cli_json_double("keys_per_second", rate);
		cli_json_end('}');
	} else {
		printf("loaded %s key%s in %.3f s, %s/s\n", cli_show_count(load->loaded, keys),
		       load->loaded == 1 ? "" : "s", seconds, cli_show_count((uint64_t)rate, per_second));
	}
}

/* What the file is: as said, by its name, or (decided later) by its first line. */
static int choose_format(struct load *load, const char *format)
{
	const char *dot = strrchr(load->file_name, '.');

	if (format == NULL && dot != NULL &&
	    (strcmp(dot, ".jsonl") == 0 || strcmp(dot, ".json") == 0 || strcmp(dot, ".ndjson") == 0))
		format = "jsonl";
	if (format == NULL && dot != NULL && strcmp(dot, ".tsv") == 0)
		format = "tsv";
	if (format == NULL)
		return CLI_OK;
	load->decided = true;
	load->jsonl = strcmp(format, "jsonl") == 0;
	if (!load->jsonl && strcmp(format, "tsv") != 0)
		return cli_error(CLI_USAGE, "--format %s: there are tsv and jsonl", format);
	return CLI_OK;
}

static int run_load(const struct cli_command *command, int argc, char **argv)
{
	static struct load load;
	const char *format = NULL, *type = NULL;
	const struct cli_option options[] = {
		{ "format", CLI_TEXT, &format },
		{ "type", CLI_TEXT, &type },
		{ NULL, CLI_FLAG, NULL },
	};

	int count = cli_parse(command, options, argc, argv, 1, 2);
	bool from_stdin = count < 2 || strcmp(argv[1], "-") == 0;
	load.pool_name = argv[0];
	load.file_name = from_stdin ? "stdin" : argv[1];
	if (type != NULL && !cli_type_parse(type, &load.type))
		return cli_error(
			CLI_USAGE,
			"--type %s: there are bytes, string, int, float, bool, json, msgpack, pickle and user64 to "
			"user127",
			type);
	int code = choose_format(&load, format);
	if (code != CLI_OK)
		return code;
	load.file = from_stdin ? stdin : fopen(argv[1], "re");
	if (load.file == NULL)
		return cli_error(CLI_FAIL, "pool %s: file %s: %s; check the path and who may read it", argv[0], argv[1],
		                 strerror(errno));
	code = cli_open_write(argv[0], 0, &load.pool); /* its thread keeps the index up meanwhile */
	if (code == CLI_OK) {
		uint64_t began_ns = cli_now_ns();
		code = load_lines(&load);
		if (code == CLI_OK)
			report(&load, began_ns);
		code = cli_close(argv[0], load.pool, code);
	}
	if (!from_stdin)
		fclose(load.file);
	free(load.batch.bytes);
	return code;
}

const struct cli_command cmd_load = {
	"load",
	"POOL [FILE|-]",
	"Loads keys and values, as latzero dump writes them",
	"Streams, so the input may have any size. Stops at the first bad line and tells its number; the lines before "
	"it are\n"
	"loaded. Keys that are there already are overwritten. Prints count and rate. The pool must be there.\n\n"
	"Options:\n"
	"  --format jsonl|tsv   without it by the file's name, else JSON Lines if the first line begins with {, else "
	"tsv\n"
	"  --type T             what the values of tsv lines are (bytes)\n\n"
	"jsonl: {\"key\":\"k\",\"type\":\"string\",\"value\":\"v\",\"ttl_ms\":5000}; key_b64 and value_b64 hold bytes "
	"in base64; type\n"
	"and ttl_ms may be left out (then: what the JSON value is, and the pool's default). tsv: KEY, a tab, VALUE.\n\n"
	"Examples:\n"
	"  latzero load cache cache.jsonl\n"
	"  printf 'a\\t1\\nb\\t2\\n' | latzero load cache --format tsv --type int\n",
	run_load,
};
