/*
 * latzero audit: audit logs, read, verified, continued in a new file. They are files: the pools need not be there.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_BYTES 32
#define HASH_DIGITS 64

static bool parse_hex(const char *text, uint8_t bytes[HASH_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(text) != HASH_DIGITS || strspn(text, digits) != HASH_DIGITS)
		return false;
	for (int i = 0; i < HASH_DIGITS; i++) {
		unsigned digit = (unsigned)(strchr(digits, text[i]) - digits);
		bytes[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : bytes[i / 2] | digit);
	}
	return true;
}

static const char *format_hex(const uint8_t bytes[HASH_BYTES], char text[HASH_DIGITS + 1])
{
	for (int i = 0; i < HASH_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return text;
}

/* The first line of a file: the key in hexadecimal, since an argument is there for everybody to see. */
static int read_key(const char *path, uint8_t key[HASH_BYTES])
{
	char line[HASH_DIGITS + 2] = "";
	FILE *file = fopen(path, "re");
	bool got = file != NULL && fgets(line, sizeof(line), file) != NULL;

	if (file != NULL)
		fclose(file);
	line[strcspn(line, "\r\n")] = '\0';
	bool is_key = got && parse_hex(line, key);
	explicit_bzero(line, sizeof(line));
	if (!is_key)
		return cli_error(CLI_FAIL, "the first line of %s is no key: 64 digits of 0-9 a-f", path);
	return CLI_OK;
}

/* A log is no snapshot. */
static int fail_log(int rc, const char *what, const char *file, const char *hint)
{
	return cli_fail_file(rc, what, file,
	                     hint != NULL          ? hint
	                     : rc == LATZ_CORRUPT  ? "doc/audit.md says what that may mean"
	                     : rc == LATZ_NOTFOUND ? "check the path; latzero inspect tells where a pool's log is"
	                                           : NULL);
}

/* ---- verify ---- */

struct verifying {
	const char *file;
	uint64_t wrong;
	char first[400]; /* what is wrong: of all files the first that is */
};

static void print_wrong(const char *what, void *arg)
{
	struct verifying *verifying = arg;

	if (verifying->wrong++ == 0)
		snprintf(verifying->first, sizeof(verifying->first), "%s: %s", verifying->file, what);
	if (!cli.json) {
		printf("%s%s%s: %s\n", cli_red(), verifying->file, cli_plain(), what);
		return;
	}
	cli_json_begin(NULL, '{');
	cli_json_text("file", verifying->file);
	cli_json_text("wrong", what);
	cli_json_end('}');
}

/* What the codes vouch for, and what they don't. Behind what is wrong they vouch for each entry, but not for what
 * stands between: that is not told. */
static void print_authenticated(const char *file, const latz_audit_info *info)
{
	uint64_t to = info->wrong == 0 ? info->last_keyed : info->sound_keyed;

	if (to == 0) {
		printf(info->wrong == 0 ? "%s: no entry of it is authenticated by itself\n"
		                        : "%s: no entry before what is wrong is authenticated\n",
		       file);
		return;
	}
	printf("%s: authenticated up to entry %" PRIu64, file, to);
	if (info->wrong > 0) {
		printf(", which is before what is wrong\n");
		return;
	}
	if (to < info->last_seq)
		printf("; the %" PRIu64 " behind it may be anybody's who can write the file", info->last_seq - to);
	if (info->other_keys > 0)
		printf("; %" PRIu64 " are of pools with other keys", info->other_keys);
	printf("\n");
	uint64_t bare = to - info->first_seq + 1 - info->keyed - info->other_keys;
	if (bare > 0)
		printf("%s: %" PRIu64 " of these have no code of their own, and may be anybody's\n", file, bare);
}

static void print_verified(const char *file, const latz_audit_info *info, bool whole, bool checked)
{
	char head[HASH_DIGITS + 1], previous[HASH_DIGITS + 1];

	format_hex(info->head, head);
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("file", file);
		cli_json_bool("whole", whole);
		cli_json_u64("entries", info->entries);
		cli_json_u64("first", info->first_seq);
		cli_json_u64("last", info->last_seq);
		cli_json_text("head", head);
		cli_json_text("previous", format_hex(info->previous, previous));
		cli_json_u64("torn", info->torn);
		cli_json_u64("tail_bytes", info->tail_bytes);
		cli_json_u64("gone", info->gone);
		cli_json_u64("keyed", info->keyed);
		cli_json_u64("last_keyed", info->last_keyed);
		cli_json_u64("other_keys", info->other_keys);
		cli_json_u64("unseen", info->unseen);
		cli_json_u64("wrong", info->wrong);
		cli_json_u64("sound_keyed", info->sound_keyed);
		cli_json_end('}');
		return;
	}
	if (info->tail_bytes > 0)
		printf("%s: the last line is incomplete: it was cut after %" PRIu64
		       " byte%s, as it was written or later\n",
		       file, info->tail_bytes, info->tail_bytes == 1 ? "" : "s");
	if (info->unseen > 0)
		printf("%s: a file before it was not there any more when a pool went on: compare it with the entries "
		       "\"unseen\"\n",
		       file);
	if (checked)
		print_authenticated(file, info);
	else if (whole && info->keyed > 0)
		printf("%s: %" PRIu64 " entries have codes, which take the pool's password to be checked: "
		       "--password-file F\n", file,
		       info->keyed);
	if (whole)
		printf("%s: whole, entries %" PRIu64 " to %" PRIu64 "%s, head %s\n", file, info->first_seq,
		       info->last_seq, info->first_seq > 1 ? ", going on from a file before" : "", head);
}

struct verify_arguments {
	const char *head, *pool, *key_file;
};

/* What the pool knows of its log is better than what the log says. */
static int head_of_pool(const char *name, uint8_t head[HASH_BYTES], bool *any)
{
	latz_audit_status_t status = { .size = sizeof(status) };
	latz_pool *pool;
	int code = cli_open(name, LATZ_NO_THREAD, NULL, &pool);

	if (code != CLI_OK)
		return code;
	int rc = latz_audit_status(pool, &status);
	if (rc != LATZ_OK)
		code = cli_fail(rc, "reading the state of the audit log of", name, NULL);
	else if (status.path[0] == '\0')
		code = cli_error(CLI_NO, "pool %s: has no audit log", name);
	memcpy(head, status.head, HASH_BYTES);
	*any = status.seq > 0;
	return cli_close(name, pool, code);
}

/* What to do when nothing of a log is authenticated. */
static const char *about_password(const latz_audit_info *info)
{
	if (info->keyed == 0 && info->other_keys == 0)
		return "if its pools have none, leave --password-file and $LATZERO_PASSWORD_FILE out: then the chain "
		       "alone is checked";
	return "give a password that the pool had then, --password-file F, or with the one of now all files from this "
	       "one on, oldest first";
}

/* Several are one log in parts, oldest first; what was noted is somewhere in the last. */
static int verify_files(int count, char **files, latz_audit_options *options, const uint8_t *head,
                        struct verifying *verifying)
{
	latz_audit_info before = { .size = sizeof(before) };
	const char **others = cli_realloc(NULL, (size_t)count * sizeof(*others));
	bool any = false;
	int code = CLI_OK;

	options->files = others;
	for (int i = 0; i < count && code == CLI_OK; i++) {
		latz_audit_info info = { .size = sizeof(info) };
		uint64_t before_it = verifying->wrong;

		verifying->file = files[i];
		options->head = i == count - 1 ? head : NULL;
		/* The newest first: its password is the one that is known. */
		for (int k = 0; k < count - 1 - i; k++)
			others[k] = files[count - 1 - k];
		others[count - 1 - i] = NULL;
		int rc = latz_audit_verify(files[i], options, &info);
		any |= rc == LATZ_OK;
		/* A part that nobody who has the key wrote to: the others vouch for it, or do not. */
		if (rc == LATZ_AUTH && info.other_keys == 0 && (any || i < count - 1))
			rc = LATZ_OK;
		if (rc != LATZ_OK && verifying->wrong == before_it) {
			code = fail_log(rc, "verifying", files[i], rc == LATZ_AUTH ? about_password(&info) : NULL);
			break;
		}
		if (i > 0 && (info.first_seq != before.last_seq + 1 ||
		              memcmp(info.previous, before.head, sizeof(before.head)) != 0))
			print_wrong("does not go on where the file before it ends", verifying);
		print_verified(files[i], &info, verifying->wrong == before_it,
		               options->key != NULL || options->password != NULL);
		before = info;
	}
	free(others);
	return code;
}

static int verify(int count, char **files, const struct verify_arguments *arguments)
{
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;
	uint8_t head[HASH_BYTES], key[HASH_BYTES];
	bool has_head = arguments->head != NULL;
	struct verifying verifying = { .wrong = 0 };
	int code = CLI_OK;

	if (arguments->head != NULL && arguments->pool != NULL)
		return cli_error(CLI_USAGE, "--head and --pool exclude each other");
	if (has_head && !parse_hex(arguments->head, head))
		return cli_error(CLI_USAGE, "--head %s: a hash has 64 digits of 0-9 a-f", arguments->head);
	if (arguments->key_file != NULL && (code = read_key(arguments->key_file, key)) != CLI_OK)
		return code;
	if (arguments->pool != NULL && (code = head_of_pool(arguments->pool, head, &has_head)) != CLI_OK)
		return code;
	options.key = arguments->key_file != NULL ? key : NULL;
	options.password = options.key == NULL ? cli_password() : NULL;
	options.wrong = print_wrong;
	options.arg = &verifying;
	code = verify_files(count, files, &options, has_head ? head : NULL, &verifying);
	explicit_bzero(key, sizeof(key));
	if (code == CLI_OK && verifying.wrong > 1)
		return cli_error(CLI_FAIL, "%s, and %" PRIu64 " more %s wrong; doc/audit.md says what that may mean",
		                 verifying.first, verifying.wrong - 1, verifying.wrong == 2 ? "is" : "are");
	if (code == CLI_OK && verifying.wrong > 0)
		return cli_error(CLI_FAIL, "%s; doc/audit.md says what that may mean", verifying.first);
	return code;
}

/* ---- show ---- */

/* The text between two others in a line; an empty one if they are not there. */
static latz_slice between(latz_slice line, const char *begin, const char *end)
{
	const char *at = memmem(line.data, line.size, begin, strlen(begin)), *to;

	if (at == NULL)
		return latz_str("");
	at += strlen(begin);
	to = memmem(at, (size_t)((const char *)line.data + line.size - at), end, strlen(end));
	return (latz_slice){ at, to == NULL ? 0 : (size_t)(to - at) };
}

/* As tools/ know the format: its first members have fixed places, and quotes in texts are escaped. */
static int print_entry(const latz_audit_entry *entry, void *arg)
{
	latz_slice line = { entry->text, entry->text_size }, field[6], rest;
	static const char *const begins[] = { "\"time\":\"",       "\"event\":\"", ",\"pool\":\"",
		                              ",\"who\":{\"uid\":", "\"pid\":",     "\"command\":\"" };
	static const char *const ends[] = { "\"", "\"", "\"", ",", ",", "\"" };

	(void)arg;
	if (cli.json) {
		printf("%.*s\n", (int)line.size, (const char *)line.data);
		return cli_out_ok() ? 0 : 1;
	}
	for (int i = 0; i < 6; i++)
		field[i] = between(line, begins[i], ends[i]);
	rest = between(line, "\"}", ",\"prev\":\"");
	printf("%" PRIu64, entry->seq);
	for (int i = 0; i < 6; i++)
		printf("\t%.*s", (int)field[i].size, (const char *)field[i].data);
	printf("\t%.*s\n", (int)(rest.size > 0 ? rest.size - 1 : 0), rest.size > 0 ? (const char *)rest.data + 1 : "");
	return cli_out_ok() ? 0 : 1;
}

static int fail_reading(int rc, const char *file)
{
	return fail_log(rc, "reading", file, rc == LATZ_CORRUPT ? "latzero audit verify tells all" : NULL);
}

static int show(const char *file)
{
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;

	options.entry = print_entry;
	int rc = latz_audit_verify(file, &options, NULL);
	if (rc == 1)
		return CLI_OK;
	return rc == LATZ_OK ? CLI_OK : fail_reading(rc, file);
}

/* ---- head, rotate ---- */

static int print_head(const char *file)
{
	latz_audit_info info = { .size = sizeof(info) };
	char head[HASH_DIGITS + 1];
	int rc = latz_audit_verify(file, NULL, &info);

	if (rc != LATZ_OK)
		return fail_reading(rc, file);
	format_hex(info.head, head);
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_u64("seq", info.last_seq);
		cli_json_text("head", head);
		cli_json_end('}');
	} else {
		printf("%" PRIu64 "\t%s\n", info.last_seq, head);
	}
	return CLI_OK;
}

static int rotate(const char *file)
{
	char name[4096];
	int rc = latz_audit_rotate(file, name, sizeof(name));

	if (rc != LATZ_OK)
		return fail_log(rc, "rotating", file, NULL);
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("file", name);
		cli_json_end('}');
	} else {
		printf("%s\n", name);
	}
	return CLI_OK;
}

/* ---- key ---- */

/* Past stdio, whose buffers nobody wipes. file "-": stdout. */
static int write_key(const char *file, const uint8_t key[HASH_BYTES])
{
	bool streamed = strcmp(file, "-") == 0;
	char line[HASH_DIGITS + 2];
	int fd = streamed ? STDOUT_FILENO : open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return cli_error(errno == EEXIST ? CLI_NO : CLI_FAIL, "%s: %s%s", file, strerror(errno),
		                 errno == EEXIST ? "; give a name that nothing has" : "; check the path");
	format_hex(key, line);
	line[HASH_DIGITS] = '\n';
	ssize_t size = write(fd, line, HASH_DIGITS + 1);
	int failed = size == HASH_DIGITS + 1 ? 0 : size < 0 ? errno : ENOSPC;
	explicit_bzero(line, sizeof(line));
	if (!streamed && failed == 0 && fsync(fd) != 0)
		failed = errno;
	if (!streamed && close(fd) != 0 && failed == 0)
		failed = errno;
	if (failed == 0)
		return CLI_OK;
	if (!streamed)
		(void)unlink(file);
	return cli_error(CLI_FAIL, "writing the key to %s: %s", streamed ? "stdout" : file, strerror(failed));
}

static int give_key(const char *name, const char *file)
{
	uint8_t key[HASH_BYTES];
	latz_pool *pool;

	if (file == NULL)
		return cli_error(CLI_USAGE, "give a file for the key with --output F, or - for a pipe");
	if (strcmp(file, "-") == 0 && cli.tty)
		return cli_error(CLI_USAGE, "stdout is a terminal, and a key is not to be seen; give a file");
	int code = cli_open_read(name, &pool);
	if (code != CLI_OK)
		return code;
	int rc = latz_audit_key(pool, key);
	if (rc == LATZ_OK)
		code = write_key(file, key);
	else
		code = cli_fail(rc, "giving out the audit log's key of", name,
		                rc == LATZ_INVALID ? "latzero audit verify --head tells what was changed" : NULL);
	explicit_bzero(key, sizeof(key));
	return cli_close(name, pool, code);
}

static int run_audit(const struct cli_command *command, int argc, char **argv)
{
	struct verify_arguments arguments = { NULL, NULL, NULL };
	const char *output = NULL;
	const struct cli_option table[] = {
		{ "output", CLI_TEXT, &output },
		{ "head", CLI_TEXT, &arguments.head },
		{ "pool", CLI_TEXT, &arguments.pool },
		{ "key-file", CLI_TEXT, &arguments.key_file },
		{ NULL, CLI_FLAG, NULL },
	};
	int count = cli_parse(command, table, argc, argv, 2, -1);
	bool gives_key = strcmp(argv[0], "key") == 0;
	struct stat st;

	if (output != NULL && !gives_key)
		return cli_error(CLI_USAGE, "--output goes with latzero audit key");
	for (int i = 1; i < count && !gives_key; i++) {
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			return cli_error(CLI_USAGE, "%s is a directory; give a log: those made in it are POOL.audit",
			                 argv[i]);
	}
	if (strcmp(argv[0], "verify") == 0)
		return verify(count - 1, argv + 1, &arguments);
	if (arguments.head != NULL || arguments.pool != NULL || arguments.key_file != NULL)
		return cli_error(CLI_USAGE, "--head, --pool and --key-file go with latzero audit verify");
	if (count > 2)
		return cli_error(CLI_USAGE, "latzero audit %s takes one %s", argv[0], gives_key ? "pool" : "file");
	if (gives_key)
		return give_key(argv[1], output);
	if (strcmp(argv[0], "show") == 0)
		return show(argv[1]);
	if (strcmp(argv[0], "head") == 0)
		return print_head(argv[1]);
	if (strcmp(argv[0], "rotate") == 0)
		return rotate(argv[1]);
	return cli_error(CLI_USAGE, "latzero audit %s: there are verify, show, head, rotate and key", argv[0]);
}

const struct cli_command cmd_audit = {
	"audit",
	"verify|show|head|rotate FILE... or key POOL",
	"Verifies, shows or rotates an audit log",
	"The log of a pool made with latzero create --audit FILE. It need not be there any more.\n\n"
	"  verify FILE...   whether every entry is as it was written and follows the one before; of a log that was\n"
	"                   rotated, all its files, oldest first. Tells each line that is wrong; ends with 3 then\n"
	"  show FILE        the entries: number, time, event, pool, uid, pid, command, and what else there is\n"
	"  head FILE        the last entry's number and hash, to be noted where the log can't be changed\n"
	"  rotate FILE      a new file goes on; prints the old one's new name\n"
	"  key POOL --output F   the key that a locked pool's entries are authenticated with, for --key-file: to F,\n"
	"                   which must not be there and gets mode 0600; - for a pipe. It takes the password\n\n"
	"Options of verify:\n"
	"  --head HASH      an entry with this hash must be there: else the end was cut off, or all written anew\n"
	"  --pool POOL      the same with what the pool remembers\n"
	"With a password, --password-file F and the like, entries that a locked pool's users wrote are authenticated,\n"
	"and it tells up to which one, also if something behind that is wrong.\n"
	"The pool need not be there. A file takes a password that the pool had while it was written, or with the one\n"
	"of now, all files from it on. Without a password nothing is authenticated.\n"
	"  --key-file F     instead of a password, for who is not to know it: the log's own key, 64 hexadecimal\n"
	"                   digits, the first line of F, as latzero audit key gives it. It stays good when the\n"
	"                   password is changed, and when the pool is gone\n\n"
	"Examples:\n"
	"  latzero create cache --keep --audit /var/log/cache.audit\n"
	"  latzero audit verify /var/log/cache.audit --pool cache\n"
	"  latzero audit key cache --password-file ~/.cache-password --output ~/cache.key\n"
	"  latzero audit verify /var/log/cache.audit --key-file ~/cache.key\n"
	"  latzero audit show /var/log/cache.audit --json | jq 'select(.event == \"refused\")'\n",
	run_audit,
};
