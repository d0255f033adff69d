/*
 * Options, error lines and attaching: what every command begins and ends with.
 */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct cli_state cli;

enum {
	KEY_SHOWN = 200,   /* bytes of a key in an error line */
	MAINTAIN_US = 1000 /* at most, per writing command; without work it costs nothing to speak of */
};

/* ---- Options ---------------------------------------------------------------------------------------------------- */

/* A command's name is said behind latzero's; a program's own stands alone. */
static const char *prefix(void)
{
	return cli.program != NULL ? "" : "latzero ";
}

void cli_help(const struct cli_command *command)
{
	printf("Usage: %s%s%s%s\n%s.\n\n%s", prefix(), command->name, *command->synopsis != '\0' ? " " : "",
	       command->synopsis, command->summary, command->help);
	printf("\nGlobal options: --dir D, --namespace NS, --password-file F, --password-fd N, --json. More: man %s\n",
	       cli.program != NULL ? cli.program : "latzero");
}

static _Noreturn void usage_error(const struct cli_command *command, const char *what, const char *which)
{
	cli_error(CLI_USAGE, "%s%s; usage: %s%s%s%s (--help tells more)", what, which, prefix(), command->name,
	          *command->synopsis != '\0' ? " " : "", command->synopsis);
	exit(CLI_USAGE);
}

/* -5 and -0.5 are numbers, "-" is stdin: plain arguments. */
static bool is_option(const char *argument)
{
	return argument[0] == '-' && argument[1] != '\0' && !(argument[1] >= '0' && argument[1] <= '9');
}

static bool store_option(const struct cli_option *option, const char *text)
{
	switch (option->kind) {
	case CLI_FLAG: *(bool *)option->out = true; return true;
	case CLI_TEXT: *(const char **)option->out = text; return true;
	case CLI_COUNT: return cli_parse_count(text, option->out);
	case CLI_INT: return cli_parse_int(text, option->out);
	case CLI_SIZE: return cli_parse_size(text, option->out);
	case CLI_DURATION: return cli_parse_duration(text, option->out);
	case CLI_TTL: return cli_parse_ttl(text, option->out);
	case CLI_MODE: {
		char *end;
		unsigned long mode = strtoul(text, &end, 8);
		*(unsigned *)option->out = (unsigned)mode;
		return *text >= '0' && *text <= '7' && *end == '\0' && mode <= 0777;
	}
	}
	return false;
}

static const char *expected_form(enum cli_kind kind)
{
	switch (kind) {
	case CLI_COUNT:
	case CLI_INT: return " needs a whole number";
	case CLI_SIZE: return " needs a size like 4096, 64K or 2G";
	case CLI_DURATION: return " needs a duration like 250ms, 5s, 2m, 1h or 1d";
	case CLI_TTL: return " needs a duration like 250ms, 5s, 2m, 1h, 1d, or never or default";
	case CLI_MODE: return " needs an octal mode like 0600";
	default: return " needs a value";
	}
}

static const struct cli_option *find_option(const struct cli_option *options, const char *name, size_t size)
{
	for (; options != NULL && options->name != NULL; options++) {
		if (strlen(options->name) == size && memcmp(options->name, name, size) == 0)
			return options;
	}
	return NULL;
}

/* Takes the option at argv[i] and returns the index of the next argument. */
static int take_option(const struct cli_command *command, const struct cli_option *options, int argc, char **argv,
                       int i)
{
	static const struct cli_option globals[] = {
		{ "dir", CLI_TEXT, &cli.dir },
		{ "namespace", CLI_TEXT, &cli.space },
		{ "password-file", CLI_TEXT, &cli.password_file },
		{ "password-fd", CLI_TEXT, &cli.password_fd },
		{ "json", CLI_FLAG, &cli.json },
		{ NULL, CLI_FLAG, NULL },
	};
	const char *argument = argv[i];
	char what[160];

	if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
		cli_help(command);
		exit(CLI_OK);
	}
	const char *equals = strchr(argument, '=');
	size_t size = equals != NULL ? (size_t)(equals - argument) : strlen(argument);
	const struct cli_option *option = NULL;
	if (size > 2 && argument[1] == '-') {
		option = find_option(options, argument + 2, size - 2);
		if (option == NULL)
			option = find_option(globals, argument + 2, size - 2);
	}
	if (option == NULL)
		usage_error(command, "unknown option ", argument);
	if (option->kind == CLI_FLAG) {
		if (equals != NULL)
			usage_error(command, "this option takes no value: ", argument);
		store_option(option, NULL);
		return i + 1;
	}
	const char *text = equals != NULL ? equals + 1 : i + 1 < argc ? argv[i + 1] : NULL;
	if (text == NULL || !store_option(option, text)) {
		snprintf(what, sizeof(what), "--%s%s", option->name, expected_form(option->kind));
		if (text == NULL)
			usage_error(command, what, "");
		snprintf(what, sizeof(what), "--%s%s, not ", option->name, expected_form(option->kind));
		usage_error(command, what, *text != '\0' ? text : "nothing");
	}
	return equals != NULL ? i + 1 : i + 2;
}

int cli_parse(const struct cli_command *command, const struct cli_option *options, int argc, char **argv, int min,
              int max)
{
	int plain = 0;

	for (int i = 0; i < argc;) {
		if (strcmp(argv[i], "--") == 0) {
			while (++i < argc)
				argv[plain++] = argv[i];
		} else if (is_option(argv[i])) {
			i = take_option(command, options, argc, argv, i);
		} else {
			argv[plain++] = argv[i++];
		}
	}
	if (cli.space != NULL && (cli.program != NULL || !cli_takes_namespace(command->name)))
		usage_error(command, "it is about a whole pool: no --namespace ", cli.space);
	if (plain < min)
		usage_error(command, "too few arguments", "");
	if (max >= 0 && plain > max)
		usage_error(command, "one argument too many: ", argv[max]);
	if (cli.password_fd != NULL) /* before the command reads what comes behind it */
		(void)cli_password();
	return plain;
}

/* ---- Errors ----------------------------------------------------------------------------------------------------- */

int cli_error(int code, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	for (char *c = text; *c != '\0'; c++) { /* one line, and nothing that steers a terminal */
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (*c == '\xc2' && (unsigned char)c[1] >= 0x80 && (unsigned char)c[1] < 0xa0)
			c[0] = c[1] = '?'; /* U+0080 to U+009F */
		else if (cli_utf8_bidi(c)) /* looks no further than the NUL */
			c[0] = c[1] = c[2] = '?';
	}
	fflush(stdout);
	if (cli.program != NULL)
		fprintf(stderr, "%s: %s\n", cli.program, text);
	else
		fprintf(stderr, "latzero%s%s: %s\n", cli.command != NULL ? " " : "",
		        cli.command != NULL ? cli.command : "", text);
	return code;
}

int cli_exit_code(int rc)
{
	switch (rc) {
	case LATZ_OK: return CLI_OK;
	case LATZ_NOTFOUND:
	case LATZ_EXISTS:
	case LATZ_MISMATCH: return CLI_NO;
	case LATZ_INVALID: return CLI_USAGE;
	default: return CLI_FAIL;
	}
}

static const char *usual_hint(int rc)
{
	switch (rc) {
	case LATZ_NOTFOUND: return "latzero list shows the pools there are";
	case LATZ_TOOBIG: return "keys are 1 to 32767 bytes, values less than 4 GiB";
	case LATZ_NOSPC: return "free some room on that file system or delete keys; latzero doctor shows what there is";
	case LATZ_FULL: return "delete keys, or raise the bound with latzero limit";
	case LATZ_NOMEM: return "see latzero doctor for the limits of this process";
	case LATZ_BUSY: return "try again once the other side is done";
	case LATZ_TIMEOUT: return "that process is stopped: continue it (kill -CONT) or end it";
	case LATZ_ACCESS: return "check the owner and mode of the pool's directory and files";
	case LATZ_AUTH: return cli_password_hint(NULL);
	case LATZ_CORRUPT: return "latzero verify shows what is damaged; latzero destroy removes the pool";
	case LATZ_READONLY: return "have the pool's owner do it";
	case LATZ_VERSION: return "use the release that made it, or latzero destroy it";
	case LATZ_DEAD:
		return cli.space != NULL ? "the namespace was dropped meanwhile, or the pool destroyed"
		                         : "the pool was destroyed meanwhile: create it again";
	case LATZ_OVERFLOW: return "nothing was changed";
	case LATZ_CLIENTS: return "end a client, or create the pool with a larger --max-clients";
	case LATZ_IO: return "check the path; latzero doctor tells what the machine lacks";
	case LATZ_UNSUPPORTED: return "leave that option out";
	default: return NULL;
	}
}

/* What the line's detail is about may be something else than the pool or file. */
static const char *hint_of_detail(int rc, const char *of, const char *detail)
{
	if (rc == LATZ_AUTH && strstr(detail, "has no password") != NULL)
		return "leave --password-file and $LATZERO_PASSWORD_FILE out if you mean this one";
	if (rc == LATZ_TIMEOUT && strstr(detail, "others try passwords") != NULL) /* none of them is stopped */
		return "every wrong one has all others wait: end who tries them, or wait until they are done; latzero "
		       "inspect counts them";
	if (strcmp(of, "pool") == 0 && strstr(detail, "audit log /") != NULL &&
	    (rc == LATZ_IO || rc == LATZ_NOSPC || rc == LATZ_ACCESS))
		return "what can't be written down is not done: see that you can write there, in a directory of yours "
		       "with room, and the log goes on";
	return NULL;
}

/* of: "pool", "file", or "directory". */
static int fail(int rc, const char *what, const char *of, const char *name, const char *key, const char *hint)
{
	char detail[1024]; /* a hint may take a look at the pool, which has a detail of its own */
	snprintf(detail, sizeof(detail), "%s", latz_error_detail());
	bool has_detail = *detail != '\0';

	if (hint_of_detail(rc, of, detail) != NULL)
		hint = hint_of_detail(rc, of, detail);
	if (hint == NULL)
		hint = rc == LATZ_AUTH && strcmp(of, "pool") == 0 ? cli_password_hint(name) : usual_hint(rc);
	return cli_error(cli_exit_code(rc), "%s: %s%s%s%s: %s%s%s%s%s%s", what, of, *name != '\0' ? " " : "", name, key,
	                 latz_strerror(rc),
	                 has_detail ? " (" : "", has_detail ? detail : "", has_detail ? ")" : "",
	                 hint != NULL ? "; " : "", hint != NULL ? hint : "");
}

int cli_fail(int rc, const char *what, const char *pool, const char *hint)
{
	return fail(rc, what, "pool", pool, "", hint);
}

int cli_fail_dir(int rc, const char *what, const char *hint)
{
	return fail(rc, what, "runtime directory", "", "", hint);
}

bool cli_is_durable(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof(stats) };

	return latz_stats(pool, &stats) == LATZ_OK && stats.durable;
}

const char *cli_hint_damaged(latz_pool *pool)
{
	if (cli_is_durable(pool))
		return "what is on the disk is not what is damaged: latzero destroy and latzero create with --persist "
		       "bring the pool back from there";
	return "save what can be read with latzero dump, each namespace by itself, then destroy it";
}

/* Then latzero verify can't, either. */
static const char not_to_be_opened[] = "nothing of it can be looked at: put a snapshot in its place "
				       "(latzero-restore FILE POOL --replace), or remove it (latzero destroy)";

/* His files are to be read, and not to be written. */
static bool may_only_read(const char *name, uid_t *ret_owner)
{
	const char *dir = cli.dir != NULL ? cli.dir : getenv("LATZERO_DIR");
	char path[4096];
	struct stat st;

	if (dir == NULL || *dir == '\0' || geteuid() == 0)
		return false;
	int size = snprintf(path, sizeof(path), "%s/%s/pool", dir, name);
	if (size < 0 || (size_t)size >= sizeof(path) || stat(path, &st) != 0)
		return false;
	*ret_owner = st.st_uid;
	return st.st_uid != geteuid() && access(path, R_OK) == 0;
}

int cli_fail_attaching(int rc, const char *what, const char *pool, const char *hint)
{
	uid_t owner;

	if (rc == LATZ_ACCESS && may_only_read(pool, &owner))
		return cli_error(CLI_FAIL,
		                 "%s: pool %s: %s (it is user %u's, and we are user %u, who may only read it: get, "
		                 "keys, scan, dump, stats, top, inspect and the like); have its owner do the rest",
		                 what, pool, latz_strerror(LATZ_READONLY), (unsigned)owner, (unsigned)geteuid());
	return cli_fail(rc, what, pool, rc == LATZ_CORRUPT && hint == NULL ? not_to_be_opened : hint);
}

/* By how it begins: the library says nothing of one that is damaged. */
static bool is_image(const char *file)
{
	static const char magic[8] = "lz-img\r\n";
	char begin[sizeof(magic)];
	struct stat st;
	FILE *from = stat(file, &st) == 0 && S_ISREG(st.st_mode) ? fopen(file, "re") : NULL;

	if (from == NULL)
		return false;
	bool is = fread(begin, 1, sizeof(begin), from) == sizeof(begin) && memcmp(begin, magic, sizeof(magic)) == 0;
	fclose(from);
	return is;
}

static const char *file_hint(int rc)
{
	switch (rc) {
	case LATZ_NOTFOUND: return "check the path";
	case LATZ_NOSPC: return "free some room there, or give another path; what was there before still is";
	case LATZ_ACCESS: return "check the owner and mode of the file and its directory";
	case LATZ_CORRUPT: return "latzero-restore --salvage takes what is whole";
	case LATZ_VERSION: return "use the release that made it";
	case LATZ_EXISTS: return "give another path";
	case LATZ_IO: return "check the path and the disk";
	default: return usual_hint(rc);
	}
}

int cli_fail_file(int rc, const char *what, const char *file, const char *hint)
{
	struct stat st;

	if (hint == NULL && rc == LATZ_ACCESS && lstat(file, &st) == 0 && S_ISLNK(st.st_mode))
		hint = "give the path of the file itself";
	else if (rc == LATZ_CORRUPT && is_image(file))
		hint = "an image is not salvaged: use another copy; if it can be restored all the same, latzero dump "
		       "of that pool writes what is whole";
	else if (hint == NULL && rc == LATZ_INVALID && stat(file, &st) == 0 && S_ISDIR(st.st_mode))
		hint = "give the path of a file: in a persist directory snapshot-*.lzs are the snapshots";
	return fail(rc, what, "file", file, "", hint != NULL ? hint : file_hint(rc));
}

int cli_fail_key(int rc, const char *what, const char *pool, latz_slice key, const char *hint)
{
	char shown[KEY_SHOWN + 16], suggestion[160];
	size_t size = key.size < KEY_SHOWN ? key.size : KEY_SHOWN;

	if (key.size == 0) /* what is wrong with it says the detail */
		return fail(rc, what, "pool", pool, "", hint);
	while (size < key.size && size > 0 && ((const unsigned char *)key.data)[size] >> 6 == 2)
		size--; /* not in the middle of a character */
	snprintf(shown, sizeof(shown), ", key %.*s%s", (int)size, (const char *)key.data, size < key.size ? "..." : "");
	if (hint == NULL && rc == LATZ_NOTFOUND) {
		snprintf(suggestion, sizeof(suggestion), "latzero keys %.64s lists the keys", pool);
		hint = suggestion;
	} else if (hint == NULL && rc == LATZ_TYPE) {
		hint = "latzero inspect with pool and key shows the type it has";
	}
	return fail(rc, what, "pool", pool, shown, hint);
}

/* ---- Pools ------------------------------------------------------------------------------------------------------ */

void cli_pool_options(latz_options *options, unsigned flags)
{
	*options = (latz_options)LATZ_OPTIONS_INIT;
	options->flags = flags;
	options->dir = cli.dir;
	options->password = cli_password();
}

static int open_pool(const char *name, unsigned flags, const char *hint, bool make, latz_pool **pool)
{
	latz_options options;

	cli_pool_options(&options, flags);
	int rc = cli_attach(name, &options, pool);
	if (rc != LATZ_OK)
		return cli_fail_attaching(rc, "attaching", name, rc == LATZ_NOTFOUND ? hint : NULL);
	return cli.space == NULL ? CLI_OK : cli_enter_namespace(name, make, pool);
}

int cli_open(const char *name, unsigned flags, const char *hint, latz_pool **pool)
{
	return open_pool(name, flags, hint, false, pool);
}

struct pool_search {
	const char *name;
	struct cli_pool *pool;
	bool found;
};

static int find_pool(const latz_pool_info *info, void *arg)
{
	struct pool_search *search = arg;

	if (strcmp(info->name, search->name) != 0)
		return 0;
	search->found = true;
	search->pool->info = *info;
	snprintf(search->pool->path, sizeof(search->pool->path), "%s", info->path);
	return 1;
}

bool cli_find_pool(const char *name, struct cli_pool *ret_pool)
{
	struct pool_search search = { name, ret_pool, false };

	return latz_list(cli.dir, find_pool, &search) >= 0 && search.found;
}

/* Then it is not the pool that may not be written, but its audit log, say: and what looks is to be in that. */
bool cli_may_write(const char *name)
{
	struct cli_pool found;

	return cli_find_pool(name, &found) && access(found.path, W_OK) == 0;
}

int cli_open_read(const char *name, latz_pool **pool)
{
	latz_options options;

	cli_pool_options(&options, LATZ_NO_THREAD);
	int rc = cli_attach(name, &options, pool);
	if (rc == LATZ_ACCESS) {
		if (!cli_may_write(name))
			options.flags = (unsigned)LATZ_READONLY;
		rc = cli_attach(name, &options, pool);
	}
	if (rc != LATZ_OK)
		return cli_fail(rc, "attaching", name, rc == LATZ_CORRUPT ? not_to_be_opened : NULL);
	return cli.space == NULL ? CLI_OK : cli_enter_namespace(name, false, pool);
}

int cli_open_write(const char *name, unsigned flags, latz_pool **pool)
{
	char hint[160];

	/* Creating it here would be of no use: an ephemeral pool would go again with this command. */
	snprintf(hint, sizeof(hint), "create it first: latzero create %.64s --keep", name);
	return open_pool(name, flags, hint, true, pool);
}

int cli_close(const char *name, latz_pool *pool, int code)
{
	int rc = latz_close(pool);

	/* A pool somebody destroyed is gone, which is what closing wants. */
	if (rc != LATZ_OK && rc != LATZ_DEAD && code == CLI_OK)
		return cli_fail(rc, "detaching", name, NULL);
	return code;
}

int cli_close_write(const char *name, latz_pool *pool, int code)
{
	/* Whether there is more to do, or another is at it, matters not here, and a failure is not the command's. */
	if (code == CLI_OK)
		(void)!latz_maintain(pool, MAINTAIN_US);
	return cli_close(name, pool, code);
}

latz_slice cli_key(char *argument, bool escaped)
{
	latz_slice key = latz_str(argument);

	if (escaped && !cli_unescape(argument, key.size, &key.size)) {
		cli_error(CLI_USAGE, "a wrong escape in '%s'; there are \\t \\n \\r \\\\ and \\xNN", argument);
		exit(CLI_USAGE);
	}
	return key;
}

uint64_t cli_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void *cli_realloc(void *memory, size_t size)
{
	void *grown = realloc(memory, size);

	if (grown == NULL) {
		cli_error(CLI_FAIL, "no memory for %zu bytes; see latzero doctor for the limits of this process", size);
		exit(CLI_FAIL);
	}
	return grown;
}
