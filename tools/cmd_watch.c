/*
 * latzero watch: a pool's events as they happen.
 */
#include "cli.h"

#include <string.h>

static const struct kind {
	const char *name;
	latz_event_kind kind;
} kinds[] = {
	{ "set", LATZ_EVENT_SET },         { "delete", LATZ_EVENT_DELETE },
	{ "expire", LATZ_EVENT_EXPIRE },   { "evict", LATZ_EVENT_EVICT },
	{ "connect", LATZ_EVENT_CONNECT }, { "disconnect", LATZ_EVENT_DISCONNECT },
	{ "lost", LATZ_EVENT_LOST },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const char *kind_name(latz_event_kind kind)
{
	for (size_t i = 0; i < KINDS; i++) {
		if (kinds[i].kind == kind)
			return kinds[i].name;
	}
	return "unknown";
}

/* "set,expire". CLI_USAGE, with its line, if there is no such kind. */
static int parse_kinds(const char *text, unsigned *ret_kinds)
{
	while (*text != '\0') {
		size_t size = strcspn(text, ","), i;

		for (i = 0; i < KINDS; i++) {
			if (strlen(kinds[i].name) == size && strncmp(kinds[i].name, text, size) == 0)
				break;
		}
		if (i == KINDS)
			return cli_error(CLI_USAGE,
			                 "--kinds %.*s: there are set, delete, expire, evict, connect, disconnect",
			                 (int)size, text);
		*ret_kinds |= (unsigned)kinds[i].kind;
		text += size + (text[size] == ',');
	}
	return CLI_OK;
}

static bool has_key(const latz_event *event)
{
	return (event->kind & (LATZ_EVENT_CONNECT | LATZ_EVENT_DISCONNECT | LATZ_EVENT_LOST)) == 0;
}

static void print_json(const latz_event *event, bool old)
{
	cli_json_begin(NULL, '{');
	cli_json_u64("seq", event->seq);
	cli_json_text("kind", kind_name(event->kind));
	if (event->kind == LATZ_EVENT_LOST) {
		cli_json_u64("missed", event->missed);
	} else if (has_key(event)) {
		cli_json_bytes("key", event->key.data, event->key.size);
		cli_json_u64("version", event->version);
		if (event->kind == LATZ_EVENT_SET && event->old_version != 0)
			cli_json_u64("old_version", event->old_version);
		if (old && event->has_old) {
			cli_json_u64("old_size", event->old.size);
			if (event->old.data != NULL)
				cli_json_bytes("old", event->old.data, event->old.size);
		}
	} else {
		cli_json_u64("client", event->client);
		cli_json_i64("pid", event->pid);
	}
	cli_json_end('}');
}

static void print_text(const latz_event *event, bool old)
{
	printf("%llu\t%s", (unsigned long long)event->seq, kind_name(event->kind));
	if (event->kind == LATZ_EVENT_LOST) {
		printf("\t%llu missed", (unsigned long long)event->missed);
	} else if (has_key(event)) {
		putchar('\t');
		cli_write_escaped(stdout, event->key.data, event->key.size);
		if (old && event->has_old) {
			putchar('\t');
			if (event->old.data != NULL)
				cli_write_escaped(stdout, event->old.data, event->old.size);
		}
	} else {
		printf("\tpid %lld, slot %u", (long long)event->pid, event->client);
	}
	putchar('\n');
}

/* Until there were so many (0: any number), a signal, or the pool's end, which is an error. */
static int follow(const char *name, latz_watch *watch, uint64_t count, bool old)
{
	latz_event event = LATZ_EVENT_INIT;
	uint64_t seen = 0;
	int rc;

	while (!cli_signalled() && cli_out_ok() && (count == 0 || seen < count)) {
		rc = latz_watch_next(watch, 0, &event);
		if (rc == LATZ_TIMEOUT) { /* nothing more just now: out with what there is */
			if (fflush(stdout) != 0)
				break;
			rc = latz_watch_next(watch, 200, &event);
		}
		if (rc == LATZ_TIMEOUT)
			continue;
		if (rc != LATZ_OK)
			return cli_fail(rc, "watching", name, NULL);
		if (cli.json)
			print_json(&event, old);
		else
			print_text(&event, old);
		seen++;
	}
	return CLI_OK;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	const char *text = "";
	bool old = false, escaped = false;
	uint64_t count = 0;
	latz_watch *watch;
	latz_pool *pool;
	const struct cli_option table[] = {
		{ "kinds", CLI_TEXT, &text },           { "from", CLI_COUNT, &options.from_seq },
		{ "old", CLI_FLAG, &old },              { "count", CLI_COUNT, &count },
		{ "ring", CLI_SIZE, &options.ring_bytes }, { "escaped", CLI_FLAG, &escaped },
		{ NULL, CLI_FLAG, NULL },
	};

	int arguments = cli_parse(command, table, argc, argv, 1, 2);
	if (arguments > 1)
		options.prefix = cli_key(argv[1], escaped);
	options.old_values = old;
	int code = parse_kinds(text, &options.kinds);
	if (code != CLI_OK)
		return code;
	cli_catch_signals();
	code = cli_open(argv[0], 0, NULL, &pool);
	if (code != CLI_OK)
		return code;
	int rc = latz_watch_open(pool, &options, &watch);
	if (rc != LATZ_OK)
		return cli_close(argv[0], pool, cli_fail(rc, "watching", argv[0], NULL));
	code = follow(argv[0], watch, count, old);
	latz_watch_close(watch);
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_watch = {
	"watch",
	"POOL [PREFIX]",
	"Tells what happens, as it happens",
	"An event a line: its number, what it is, the key, separated by tabs; keys as latzero keys prints them.\n"
	"PREFIX: only of keys that start with it. Keys of namespaces are not told of; with --namespace only those of\n"
	"this one. Ends at a signal. A \"lost\" line says how many numbers were missed, as output was slower than\n"
	"writers. However slow it is, no writer waits for it.\n\n"
	"Options:\n"
	"  --kinds K,...  only these: set, delete, expire, evict, connect, disconnect\n"
	"  --from N       first what there was from event N on, as far as it is still known\n"
	"  --old          tell the value that was there before, too, up to 16 KiB\n"
	"  --count N      end after N lines\n"
	"  --ring SIZE    if nobody watches yet: remember so many bytes of events, 512K to 64M (1M)\n"
	"  --escaped      PREFIX is in the escapes that keys are printed with\n\n"
	"Example:\n"
	"  latzero watch cache user: --kinds set,expire\n",
	run,
};
