/*
 * latzero set, append, incr and del: the commands that write single keys.
 */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All of stdin, in memory the caller frees; an endless one ends where values do. */
static int read_stdin(char **ret_data, size_t *ret_size)
{
	char *data = NULL;
	size_t size = 0, capacity = 0;

	for (;;) {
		if (size == capacity) {
			capacity = capacity * 2 + 65536;
			data = cli_realloc(data, capacity);
		}
		ssize_t got = read(STDIN_FILENO, data + size, capacity - size);
		if (got == 0)
			break;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(data);
			return cli_error(CLI_FAIL, "reading the value from stdin: %s", strerror(errno));
		}
		size += (size_t)got;
		if (size > UINT32_MAX) {
			free(data);
			return cli_error(CLI_FAIL,
			                 "reading the value from stdin: LATZ_TOOBIG: 4 GiB or more; values are less");
		}
	}
	*ret_data = data;
	*ret_size = size;
	return CLI_OK;
}

/* The value argument: text, "-" or nothing for stdin. *input is to be freed. */
static int take_value(char *argument, bool escaped, latz_slice *text, char **input)
{
	*input = NULL;
	if (argument == NULL || strcmp(argument, "-") == 0) {
		int code = read_stdin(input, &text->size);
		text->data = *input;
		return code;
	}
	*text = cli_key(argument, escaped);
	return CLI_OK;
}

struct set_arguments {
	bool if_absent, if_present, if_changed, keep_ttl, escaped;
	uint64_t if_version; /* UINT64_MAX: not asked for; no key ever has version 0 */
	int64_t ttl_ms;
	const char *type;
};

static int set_key(const char *name, latz_slice key, latz_slice value, const struct set_arguments *arguments,
                   latz_type type)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	uint64_t version = 0;
	latz_pool *pool;

	int code = cli_open_write(name, LATZ_NO_THREAD, &pool);
	if (code != CLI_OK)
		return code;
	options.flags = (arguments->if_absent ? LATZ_IF_ABSENT : 0) | (arguments->if_present ? LATZ_IF_PRESENT : 0) |
	                (arguments->if_changed ? LATZ_IF_CHANGED : 0) | (arguments->keep_ttl ? LATZ_KEEP_TTL : 0) |
	                (arguments->if_version != UINT64_MAX ? LATZ_IF_VERSION : 0);
	options.type = type;
	options.ttl_ms = arguments->ttl_ms;
	options.if_version = arguments->if_version;
	options.version = &version;
	int rc = latz_set(pool, key, value, &options);
	if (rc != LATZ_OK) {
		const char *hint = rc == LATZ_EXISTS     ? "nothing was written"
		                   : rc == LATZ_NOTFOUND ? "nothing was written"
		                   : rc == LATZ_MISMATCH ? "somebody wrote it meanwhile: get it again"
		                                         : NULL;
		code = cli_fail_key(rc, "setting the key", name, key, hint);
	} else if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_bytes("key", key.data, key.size);
		cli_json_u64("version", version);
		cli_json_end('}');
	}
	return cli_close_write(name, pool, code);
}

static const char *expected_text(latz_type type)
{
	switch (type) {
	case LATZ_INT: return "an int is a whole number of 64 bits, like -5";
	case LATZ_FLOAT: return "a float is a number like -0.5 or 1e9, inf or nan";
	case LATZ_BOOL: return "a bool is true, false, 1 or 0";
	default: return "a null has no value: leave it out";
	}
}

static int run_set(const struct cli_command *command, int argc, char **argv)
{
	struct set_arguments arguments = { .if_version = UINT64_MAX };
	const struct cli_option options[] = {
		{ "ttl", CLI_TTL, &arguments.ttl_ms },
		{ "type", CLI_TEXT, &arguments.type },
		{ "if-absent", CLI_FLAG, &arguments.if_absent },
		{ "if-present", CLI_FLAG, &arguments.if_present },
		{ "if-changed", CLI_FLAG, &arguments.if_changed },
		{ "if-version", CLI_COUNT, &arguments.if_version },
		{ "keep-ttl", CLI_FLAG, &arguments.keep_ttl },
		{ "escaped", CLI_FLAG, &arguments.escaped },
		{ NULL, CLI_FLAG, NULL },
	};
	latz_type type = LATZ_BYTES;
	unsigned char scratch[8];
	latz_slice text = { NULL, 0 }, value;
	char *input = NULL;

	int count = cli_parse(command, options, argc, argv, 2, 3);
	if (arguments.type != NULL && !cli_type_parse(arguments.type, &type))
		return cli_error(
			CLI_USAGE,
			"--type %s: there are bytes, string, int, float, bool, null, json, msgpack, pickle and "
			"user64 to user127",
			arguments.type);
	latz_slice key = cli_key(argv[1], arguments.escaped);
	if (type != LATZ_NULL || count > 2) {
		int code = take_value(count > 2 ? argv[2] : NULL, arguments.escaped, &text, &input);
		if (code != CLI_OK)
			return code;
	}
	if (!cli_value_from_text(type, text, scratch, &value)) {
		free(input);
		return cli_error(CLI_USAGE, "that value is no %s; %s", arguments.type, expected_text(type));
	}
	int code = set_key(argv[0], key, value, &arguments, type);
	free(input);
	return code;
}

const struct cli_command cmd_set = {
	"set",
	"POOL KEY [VALUE|-]",
	"Writes a key",
	"Without VALUE, or with -, the value is all of stdin. The pool must be there: latzero create POOL --keep.\n\n"
	"Options:\n"
	"  --type T        bytes (default), string, int, float, bool, null, json, msgpack, pickle, user64 to user127\n"
	"  --ttl D         time to live: 250ms, 5s, 2m, 1h, 1d, never; without it the pool's default\n"
	"  --keep-ttl      keep the deadline the key has\n"
	"  --if-absent     exit 1 if the key is there\n"
	"  --if-present    exit 1 if it is not\n"
	"  --if-version V  exit 1 unless it has version V (latzero inspect POOL KEY)\n"
	"  --if-changed    write nothing if type and bytes are the same already\n"
	"  --escaped       KEY and VALUE are in the escapes that keys are printed with (\\t \\n \\r \\\\ \\xNN)\n\n"
	"Examples:\n"
	"  latzero set cache greeting hello --ttl 1h\n"
	"  latzero set cache hits 0 --type int --if-absent\n"
	"  latzero set cache logo - < logo.png\n",
	run_set,
};

static int run_append(const struct cli_command *command, int argc, char **argv)
{
	bool escaped = false;
	const struct cli_option options[] = {
		{ "escaped", CLI_FLAG, &escaped },
		{ NULL, CLI_FLAG, NULL },
	};
	latz_slice tail = { NULL, 0 };
	latz_pool *pool;
	char *input;
	size_t size;

	int count = cli_parse(command, options, argc, argv, 2, 3);
	latz_slice key = cli_key(argv[1], escaped);
	int code = take_value(count > 2 ? argv[2] : NULL, escaped, &tail, &input);
	if (code != CLI_OK)
		return code;
	code = cli_open_write(argv[0], LATZ_NO_THREAD, &pool);
	if (code == CLI_OK) {
		int rc = latz_append(pool, key, tail, &size);
		if (rc != LATZ_OK) {
			code = cli_fail_key(rc, "appending", argv[0], key, NULL);
		} else if (cli.json) {
			cli_json_begin(NULL, '{');
			cli_json_bytes("key", key.data, key.size);
			cli_json_u64("size", size);
			cli_json_end('}');
		} else {
			printf("%zu\n", size);
		}
		code = cli_close_write(argv[0], pool, code);
	}
	free(input);
	return code;
}

const struct cli_command cmd_append = {
	"append",
	"POOL KEY [VALUE|-]",
	"Appends to a value and prints its size",
	"A key that is not there counts as empty. Without VALUE, or with -, all of stdin is appended.\n\n"
	"Options:\n"
	"  --escaped   KEY and VALUE are in the escapes that keys are printed with (\\t \\n \\r \\\\ \\xNN)\n\n"
	"Example:\n"
	"  date | latzero append cache log\n",
	run_append,
};

static int run_incr(const struct cli_command *command, int argc, char **argv)
{
	bool escaped = false;
	const struct cli_option options[] = {
		{ "escaped", CLI_FLAG, &escaped },
		{ NULL, CLI_FLAG, NULL },
	};
	int64_t by = 1, result;
	latz_pool *pool;

	int count = cli_parse(command, options, argc, argv, 2, 3);
	if (count == 3 && !cli_parse_int(argv[2], &by))
		return cli_error(CLI_USAGE, "'%s' is not a whole number of 64 bits", argv[2]);
	latz_slice key = cli_key(argv[1], escaped);
	int code = cli_open_write(argv[0], LATZ_NO_THREAD, &pool);
	if (code != CLI_OK)
		return code;
	int rc = latz_increment(pool, key, by, &result);
	if (rc != LATZ_OK) {
		code = cli_fail_key(rc, "incrementing", argv[0], key, NULL);
	} else if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_bytes("key", key.data, key.size);
		cli_json_i64("value", result);
		cli_json_end('}');
	} else {
		printf("%" PRId64 "\n", result);
	}
	return cli_close_write(argv[0], pool, code);
}

const struct cli_command cmd_incr = {
	"incr",
	"POOL KEY [N]",
	"Adds N (1) to an int and prints the sum",
	"A key that is not there counts as 0. N may be negative. Atomic among all processes.\n\n"
	"Options:\n"
	"  --escaped   KEY is in the escapes that keys are printed with (\\t \\n \\r \\\\ \\xNN)\n\n"
	"Examples:\n"
	"  latzero incr cache visits\n"
	"  latzero incr cache stock -3\n",
	run_incr,
};

static int run_del(const struct cli_command *command, int argc, char **argv)
{
	bool escaped = false;
	const struct cli_option options[] = {
		{ "escaped", CLI_FLAG, &escaped },
		{ NULL, CLI_FLAG, NULL },
	};
	unsigned deleted = 0, absent = 0;
	latz_pool *pool;

	int count = cli_parse(command, options, argc, argv, 2, -1);
	int code = cli_open(argv[0], LATZ_NO_THREAD, NULL, &pool);
	if (code != CLI_OK)
		return code;
	for (int i = 1; i < count && code == CLI_OK; i++) {
		latz_slice key = cli_key(argv[i], escaped);
		int rc = latz_delete(pool, key);
		if (rc == LATZ_OK)
			deleted++;
		else if (rc == LATZ_NOTFOUND)
			absent++;
		else
			code = cli_fail_key(rc, "deleting", argv[0], key, NULL);
	}
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_u64("deleted", deleted);
		cli_json_u64("absent", absent);
		cli_json_end('}');
	} else if (code == CLI_OK) {
		printf("%u\n", deleted);
	}
	if (code == CLI_OK && absent > 0)
		code = cli_error(CLI_NO, "pool %s: %u of these keys were not there; latzero keys %s lists the keys",
		                 argv[0], absent, argv[0]);
	return cli_close_write(argv[0], pool, code);
}

const struct cli_command cmd_del = {
	"del",
	"POOL KEY...",
	"Deletes keys and prints how many were there",
	"Exit 1 if one of them was not there; the others are deleted all the same.\n\n"
	"Options:\n"
	"  --escaped   KEY is in the escapes that keys are printed with (\\t \\n \\r \\\\ \\xNN)\n\n"
	"Example:\n"
	"  latzero del cache greeting farewell\n",
	run_del,
};
