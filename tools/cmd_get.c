/*
 * latzero get, exists and ttl: the commands that look at one key.
 */
#include "cli.h"

#include <inttypes.h>

static int print_value(latz_slice key, const latz_value *value)
{
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_bytes("key", key.data, key.size);
		cli_value_json(value);
		cli_json_u64("version", value->version);
		cli_json_end('}');
		return CLI_OK;
	}
	cli_value_write(stdout, value, false);
	if (cli.tty)
		putchar('\n');
	return CLI_OK;
}

static int run_get(const struct cli_command *command, int argc, char **argv)
{
	bool escaped = false;
	const struct cli_option options[] = {
		{ "escaped", CLI_FLAG, &escaped },
		{ NULL, CLI_FLAG, NULL },
	};
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;

	cli_parse(command, options, argc, argv, 2, 2);
	latz_slice key = cli_key(argv[1], escaped);
	int code = cli_open_read(argv[0], &pool);
	if (code != CLI_OK)
		return code;
	int rc = latz_get(pool, key, &value);
	code = rc == LATZ_OK ? print_value(key, &value) : cli_fail_key(rc, "getting the key", argv[0], key, NULL);
	latz_value_free(&value);
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_get = {
	"get",
	"POOL KEY",
	"Prints a key's value",
	"The value comes as it is, with a newline after it on a terminal only; int, float and bool values come as "
	"text.\n\n"
	"Options:\n"
	"  --escaped   KEY is in the escapes that keys are printed with (\\t \\n \\r \\\\ \\xNN)\n\n"
	"Examples:\n"
	"  latzero get cache greeting\n"
	"  latzero get cache logo > logo.png\n",
	run_get,
};

static int run_exists(const struct cli_command *command, int argc, char **argv)
{
	bool escaped = false;
	const struct cli_option options[] = {
		{ "escaped", CLI_FLAG, &escaped },
		{ NULL, CLI_FLAG, NULL },
	};
	latz_pool *pool;

	int count = cli_parse(command, options, argc, argv, 2, -1);
	int code = cli_open_read(argv[0], &pool);
	if (code != CLI_OK)
		return code;
	for (int i = 1; i < count && code != CLI_FAIL; i++) {
		latz_slice key = cli_key(argv[i], escaped);
		int rc = latz_exists(pool, key);
		if (rc != LATZ_OK && rc != LATZ_NOTFOUND) {
			code = cli_fail_key(rc, "looking for the key", argv[0], key, NULL);
			break;
		}
		if (rc == LATZ_NOTFOUND)
			code = CLI_NO;
		if (cli.json) {
			cli_json_begin(NULL, '{');
			cli_json_bytes("key", key.data, key.size);
			cli_json_bool("exists", rc == LATZ_OK);
			cli_json_end('}');
		} else {
			puts(rc == LATZ_OK ? "true" : "false");
		}
	}
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_exists = {
	"exists",
	"POOL KEY...",
	"Tells whether keys are there",
	"Prints true or false for each; exit 1 if one of them is not there.\n\n"
	"Options:\n"
	"  --escaped   KEY is in the escapes that keys are printed with (\\t \\n \\r \\\\ \\xNN)\n\n"
	"Example:\n"
	"  latzero exists cache greeting && echo there\n",
	run_exists,
};

static int print_ttl(const char *name, latz_pool *pool, latz_slice key)
{
	latz_key_info info = { .size = sizeof(info) };

	int rc = latz_key_stat(pool, key, &info);
	if (rc != LATZ_OK)
		return cli_fail_key(rc, "looking at the key", name, key, NULL);
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_bytes("key", key.data, key.size);
		cli_json_i64("ttl_ms", info.ttl_ms);
		cli_json_end('}');
	} else if (info.ttl_ms < 0) {
		puts("never");
	} else {
		printf("%" PRId64 "ms\n", info.ttl_ms);
	}
	return CLI_OK;
}

static int run_ttl(const struct cli_command *command, int argc, char **argv)
{
	bool escaped = false;
	const struct cli_option options[] = {
		{ "escaped", CLI_FLAG, &escaped },
		{ NULL, CLI_FLAG, NULL },
	};
	latz_pool *pool;
	int64_t ttl_ms = 0;

	int count = cli_parse(command, options, argc, argv, 2, 3);
	if (count == 3 && !cli_parse_ttl(argv[2], &ttl_ms))
		return cli_error(CLI_USAGE, "'%s' is not a time to live like 250ms, 5s, 2m, 1h, 1d, never or default",
		                 argv[2]);
	latz_slice key = cli_key(argv[1], escaped);
	int code = count == 3 ? cli_open(argv[0], LATZ_NO_THREAD, NULL, &pool) : cli_open_read(argv[0], &pool);
	if (code != CLI_OK)
		return code;
	if (count == 3) {
		int rc = latz_touch(pool, key, ttl_ms);
		if (rc != LATZ_OK)
			code = cli_fail_key(rc, "setting the time to live", argv[0], key, NULL);
	} else {
		code = print_ttl(argv[0], pool, key);
	}
	return count == 3 ? cli_close_write(argv[0], pool, code) : cli_close(argv[0], pool, code);
}

const struct cli_command cmd_ttl = {
	"ttl",
	"POOL KEY [NEW]",
	"Prints or sets how long a key has to live",
	"Prints the milliseconds left, like 4980ms, or never. NEW: 250ms, 5s, 2m, 1h, 1d, never, or default for the "
	"pool's.\n\n"
	"Options:\n"
	"  --escaped   KEY is in the escapes that keys are printed with (\\t \\n \\r \\\\ \\xNN)\n\n"
	"Examples:\n"
	"  latzero ttl cache greeting\n"
	"  latzero ttl cache greeting 30s\n",
	run_ttl,
};
