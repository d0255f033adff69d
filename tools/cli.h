/*
 * What the commands of the latzero tool share: the option parser, error lines, texts (sizes, durations, escapes, JSON),
 * tables and progress. Public API only. Include it first: it asks for the GNU extensions of the system headers.
 */
#ifndef LATZERO_TOOLS_CLI_H
#define LATZERO_TOOLS_CLI_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <latzero/latzero.h>

/* Exit codes, the same for every command. */
enum {
	CLI_OK = 0,
	CLI_NO = 1,
	CLI_USAGE = 2,
	CLI_FAIL = 3
};

/* A command: `latzero NAME ...`. run gets the arguments after the name and returns the exit code. */
struct cli_command {
	const char *name;
	const char *synopsis; /* the arguments, e.g. "POOL KEY" */
	const char *summary;  /* one line, for the overview */
	const char *help;     /* options and examples, whole lines */
	int (*run)(const struct cli_command *command, int argc, char **argv);
};

/* The global options and what the terminal can do. */
struct cli_state {
	const char *program; /* a tool of its own, e.g. "latzero-snapshot"; NULL: latzero with its commands */
	const char *command; /* name, for error lines */
	const char *dir;     /* --dir, or NULL */
	const char *space;   /* --namespace, or NULL */
	const char *password_file, *password_fd;
	char *password; /* what cli_password() has read: latz_password_free() */
	bool json;
	bool tty;    /* stdout is a terminal */
	bool colour; /* and may be coloured */
};

extern struct cli_state cli;

/* ---- Options: cli.c --------------------------------------------------------------------------------------------- */

enum cli_kind {
	CLI_FLAG,     /* bool */
	CLI_TEXT,     /* const char * */
	CLI_COUNT,    /* uint64_t */
	CLI_INT,      /* int64_t */
	CLI_SIZE,     /* uint64_t: bytes, 64M */
	CLI_DURATION, /* int64_t milliseconds: 5s */
	CLI_TTL,      /* int64_t milliseconds as the library takes them: also "never" (-1) and "default" (0) */
	CLI_MODE      /* unsigned: octal */
};

/* An option --name of a command; a table of them ends with a NULL name. *out keeps its value if it is not given. */
struct cli_option {
	const char *name;
	enum cli_kind kind;
	void *out;
};

/* Takes options (and the global ones, and --help) out of argv and leaves the plain arguments in front, returning how
 * many. Exits with CLI_USAGE for a wrong option or a count outside min..max (max < 0: any). An argument like -5 is a
 * plain one; "--" makes all that follow plain. */
int cli_parse(const struct cli_command *command, const struct cli_option *options, int argc, char **argv, int min,
              int max);

/* Prints usage and options of a command to stdout. */
void cli_help(const struct cli_command *command);

/* ---- Errors: cli.c ---------------------------------------------------------------------------------------------- */

/* One line on stderr, "latzero COMMAND: ..."; returns code. */
int cli_error(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What to do about a pool found damaged, as a hint. */
const char *cli_hint_damaged(latz_pool *pool);
bool cli_is_durable(latz_pool *pool);
/* The error line for a failed call about a pool: what, which pool, the library's detail, what to do. hint may be NULL
 * for the usual one. Returns the exit code for rc. */
int cli_fail(int rc, const char *what, const char *pool, const char *hint);

/* The same about a key of it. When the key is not there and hint is NULL, it tells how to list the keys. */
int cli_fail_key(int rc, const char *what, const char *pool, latz_slice key, const char *hint);

/* The same about a snapshot's file. */
int cli_fail_file(int rc, const char *what, const char *file, const char *hint);

/* The same about the runtime directory. */
int cli_fail_dir(int rc, const char *what, const char *hint);

/* The same about a pool that could not be attached to, or removed. Who may only read it is told so. */
int cli_fail_attaching(int rc, const char *what, const char *pool, const char *hint);

/* The exit code for a result: the one place that says so. What the library calls an invalid argument (LATZ_INVALID) is
 * usage, whatever command it is of and whether it stood in the command line or in a file that this names. */
int cli_exit_code(int rc);

/* ---- Pools: cli.c ----------------------------------------------------------------------------------------------- */

/* What --password-file, --password-fd or else $LATZERO_PASSWORD_FILE gives, so that a password is never an argument or
 * a variable that others can see; NULL without one. It is read once, and the descriptor closed, so that no child gets
 * it; who forks calls this first. Exits, with the error line, if it can't be read. cli_password.c, as the next four. */
const char *cli_password(void);
/* One from where latz_password_read() takes it. which: what it is called in the error line. Returns an exit code. */
int cli_read_password(const char *which, const char *from, char **ret_password);
/* Whether it is a number, as --password-fd and its like take one. */
bool cli_is_fd(const char *text);
/* What to do about LATZ_AUTH. pool may be NULL. */
const char *cli_password_hint(const char *pool);
/* "encrypted", "password", or "no". */
const char *cli_locked_name(int password, int encrypted);

/* Fills in options with --dir and the password. To be called after cli_parse(). */
void cli_pool_options(latz_options *options, unsigned flags);

/* Attaches to a pool that must be there. hint: what to do if it is not (NULL: the usual). Returns an exit code, having
 * printed the error line if it is not CLI_OK. */
int cli_open(const char *name, unsigned flags, const char *hint, latz_pool **pool);

/* With --namespace, which both do: the pool's handle becomes the namespace's. make: it is made if it is not there.
 * cli_space.c, as the next. */
int cli_enter_namespace(const char *name, bool make, latz_pool **pool);
/* Whether the command may be about a namespace. */
bool cli_takes_namespace(const char *command);
/* Shows its bounds, having changed those that are not NULL. cmd_namespaces.c. */
int cli_limit_namespace(const char *name, latz_pool *sub, const char *max_bytes, const char *max_entries,
                        const char *policy, const int64_t *ttl_ms);

/* What the runtime directory tells of a pool; its texts are gone but for the path. False: there is none of that name
 * that we can see. */
struct cli_pool {
	latz_pool_info info;
	char path[4096];
};
bool cli_find_pool(const char *name, struct cli_pool *ret_pool);

/* Whether we may write its files. Then it is counted, too, what passwords we try. */
bool cli_may_write(const char *name);

/* The same for commands that look only: of another user, whose pool may be read but not written, a read-only client. */
int cli_open_read(const char *name, latz_pool **pool);

/* The same for commands that write, whose hint is to create the pool first. */
int cli_open_write(const char *name, unsigned flags, latz_pool **pool);

/* Closes; a failure is an error line and CLI_FAIL, unless code is worse already. */
int cli_close(const char *name, latz_pool *pool, int code);

/* The same after a write: a pool that only commands use has no maintenance thread for long, so each gives it a little
 * of its time; else overwritten and expired values would stay until a program attaches. */
int cli_close_write(const char *name, latz_pool *pool, int code);

/* A key argument, with --escaped decoded in place. Exits with CLI_USAGE if it can't be decoded. */
latz_slice cli_key(char *argument, bool escaped);

/* Monotonic nanoseconds. */
uint64_t cli_now_ns(void);

/* ---- Beginning and end of a program: cli_run.c ------------------------------------------------------------------- */

/* What the terminal can do; SIGPIPE is ignored. First of all. */
void cli_begin(void);
/* stdout's last words, and the password wiped. Returns the exit code. */
int cli_finish(int code);
/* main() of a program that is one command: from cli_begin() to cli_finish(). */
int cli_main(const struct cli_command *command, int argc, char **argv);

/* Between the two, warnings of the library are held back: of a call that fails the error line tells what they do, else
 * they are printed. rc: of the call, and returned. With $LATZERO_LOG all are printed at once. */
void cli_hold_log(void);
int cli_release_log(int rc);
/* latz_open() between them. */
int cli_attach(const char *name, const latz_options *options, latz_pool **pool);

/* SIGINT, SIGTERM and SIGHUP set a flag instead of ending the process. */
void cli_catch_signals(void);
bool cli_signalled(void);

/* Waits, attached, for Enter or the end of stdin (if input), a signal, or the pool's end: only that is an error. */
int cli_stay(const char *name, latz_pool *pool, bool input);

/* ---- Durability: cli_persist.c ----------------------------------------------------------------------------------- */

/* The options of durability, which create, persist and latzero-restore share. Start from CLI_PERSIST_INIT. */
struct cli_persist {
	const char *dir, *sync;
	int64_t sync_interval_ms;
	uint64_t checkpoint_bytes;
	bool snapshot_on_close;
};
/* clang-format off */
#define CLI_PERSIST_INIT { .sync = NULL }
/* Their entries in a table of options; --persist itself is the command's own. */
#define CLI_PERSIST_OPTIONS(persist)                                      \
	{ "sync", CLI_TEXT, &(persist).sync },                            \
	{ "sync-interval", CLI_DURATION, &(persist).sync_interval_ms },   \
	{ "checkpoint-bytes", CLI_SIZE, &(persist).checkpoint_bytes },    \
	{ "snapshot-on-close", CLI_FLAG, &(persist).snapshot_on_close }
#define CLI_PERSIST_HELP                                                                                       \
	"  --sync MODE         when writes go to the disk: always (each waits for it), interval (the default: a\n"  \
	"                      power cut loses at most --sync-interval), none (only when asked). The death of\n"    \
	"                      processes loses nothing in any mode\n"                                               \
	"  --sync-interval 1s  1ms to 1h\n"                                                                         \
	"  --checkpoint-bytes 256M  a log longer than that is replaced by a snapshot\n"                             \
	"  --snapshot-on-close the last user to leave writes a snapshot: the next start is faster\n"
/* clang-format on */

/* Into the library's options. CLI_USAGE, with its line, if they do not fit. */
int cli_persist_options(const struct cli_persist *persist, latz_options *options);
const char *cli_sync_name(latz_sync sync);

/* ---- Audit logs: cli_audit.c ------------------------------------------------------------------------------------- */

/* The options of audit logs, which create and latzero-restore share. */
struct cli_audit {
	const char *file, *keys;
	bool lax;
};
/* clang-format off */
#define CLI_AUDIT_OPTIONS(audit)                      \
	{ "audit", CLI_TEXT, &(audit).file },         \
	{ "audit-keys", CLI_TEXT, &(audit).keys },    \
	{ "audit-lax", CLI_FLAG, &(audit).lax }
#define CLI_AUDIT_HELP                                                                                                 \
	"  --audit FILE        who opens, closes, changes or destroys it is written down there; see latzero audit\n"   \
	"  --audit-keys all    and who writes or reads keys: writes, reads or all; with ,plain keys are not hashed\n"  \
	"  --audit-lax         what can't be written down happens all the same, instead of failing\n"
/* clang-format on */

/* Into the library's options. CLI_USAGE, with its line, if they do not fit. */
int cli_audit_options(const struct cli_audit *audit, latz_options *options);

/* ---- Bounds: cli_bound.c ----------------------------------------------------------------------------------------- */

#define CLI_POLICIES "adaptive|lru|fifo|clock|sieve|s3fifo|2q|arc|wtinylfu|none"

/* CLI_USAGE, with its line, if there is no such policy. */
int cli_parse_policy(const char *text, latz_policy *policy);
/* A size or a count; "none" is 0. */
bool cli_parse_bound(const char *text, bool is_size, uint64_t *bound);
bool cli_is_bounded(const latz_stats_t *stats);
/* 0 of nothing. */
double cli_percent(uint64_t part, uint64_t whole);

/* ---- Texts: cli_text.c ------------------------------------------------------------------------------------------ */

bool cli_parse_count(const char *text, uint64_t *count);
bool cli_parse_int(const char *text, int64_t *value);
bool cli_parse_size(const char *text, uint64_t *bytes); /* 4096, 64K, 64M, 2G, 1T; also KiB, MB */
bool cli_parse_duration(const char *text, int64_t *ms); /* 250ms 5s 2m 1h 1d */
bool cli_parse_ttl(const char *text, int64_t *ms);

enum {
	CLI_TEXT_MAX = 32
};
const char *cli_format_size(uint64_t bytes, char buffer[CLI_TEXT_MAX]);  /* "1.5 MiB" */
const char *cli_format_age(int64_t ms, char buffer[CLI_TEXT_MAX]);       /* "2h03m" */
const char *cli_format_ns(uint64_t ns, char buffer[CLI_TEXT_MAX]);       /* "1.25 us" */
const char *cli_format_count(uint64_t count, char buffer[CLI_TEXT_MAX]); /* "1 234 567" */

/* For people on a terminal, for programs in a pipe: there a plain number of bytes, milliseconds, nanoseconds. */
const char *cli_show_count(uint64_t count, char buffer[CLI_TEXT_MAX]);
const char *cli_show_size(uint64_t bytes, char buffer[CLI_TEXT_MAX]);
const char *cli_show_age(int64_t ms, char buffer[CLI_TEXT_MAX]);
const char *cli_show_ns(uint64_t ns, char buffer[CLI_TEXT_MAX]);

/* How many bytes at data are one valid UTF-8 character (no surrogates, nothing overlong); 0 if none. */
size_t cli_utf8_next(const unsigned char *data, size_t size);
bool cli_utf8_valid(const void *data, size_t size);

/* The tsv escapes: \t \n \r \\ and \xNN for every other byte that is not printable UTF-8; on a terminal also for
 * characters that reorder text. */
void cli_write_escaped(FILE *file, const void *data, size_t size);
/* Whether the UTF-8 character reorders what is around it: U+202A to U+202E, U+2066 to U+2069. */
bool cli_utf8_bidi(const void *character);
/* Decodes in place; false for an unknown escape. */
bool cli_unescape(char *data, size_t size, size_t *ret_size);

void cli_write_base64(FILE *file, const void *data, size_t size);
/* Decodes in place; false if it is not base64. */
bool cli_decode_base64(char *data, size_t size, size_t *ret_size);

/* ---- Eviction policies: cli_policy.c ----------------------------------------------------------------------------- */

bool cli_policy_parse(const char *text, latz_policy *policy);
const char *cli_policy_name(latz_policy policy);

/* ---- JSON on stdout: cli_json.c --------------------------------------------------------------------------------- */

/* An object or array; name is NULL at top level and in arrays. The end of the outermost one ends the line. */
void cli_json_begin(const char *name, char bracket);
void cli_json_end(char bracket);
void cli_json_text(const char *name, const char *text);
/* Bytes: "NAME":"text" if they are valid UTF-8, else "NAME_b64":"base64". */
void cli_json_bytes(const char *name, const void *data, size_t size);
void cli_json_base64(const char *name, const void *data, size_t size);
void cli_json_u64(const char *name, uint64_t value);
void cli_json_i64(const char *name, int64_t value);
void cli_json_double(const char *name, double value);
void cli_json_bool(const char *name, bool value);
void cli_json_null(const char *name);

/* ---- Values: cli_value.c ---------------------------------------------------------------------------------------- */

const char *cli_type_name(latz_type type, char buffer[CLI_TEXT_MAX]);
bool cli_type_parse(const char *text, latz_type *type);

/* The little-endian number in 8 bytes, and back. */
int64_t cli_value_int(const void *data);
double cli_value_float(const void *data);

/* The shortest text of a finite number that reads back as the same. */
const char *cli_format_double(double value, char buffer[CLI_TEXT_MAX]);

/* The bytes a value of this type has for a text. scratch: room for numbers. False if the text does not fit the type. */
bool cli_value_from_text(latz_type type, latz_slice text, unsigned char scratch[8], latz_slice *value);

/* Numbers and truth values as text, anything else as it is; escaped: with the tsv escapes. */
void cli_value_write(FILE *file, const latz_value *value, bool escaped);

/* "type", "value" or "value_b64", and "ttl_ms" as members of the JSON object begun. */
void cli_value_json(const latz_value *value);

/* ---- Tables and progress: cli_out.c ----------------------------------------------------------------------------- */

/* Colours; "" where there should be none. */
const char *cli_bold(void);
const char *cli_dim(void);
const char *cli_red(void);
const char *cli_yellow(void);
const char *cli_green(void);
const char *cli_plain(void);

/* A table: columns with a name, right-aligned if it starts with '>'. On a terminal aligned, with a heading; piped: the
 * cells with tabs between, no heading. */
struct cli_table;
struct cli_table *cli_table_open(const char *const *columns);
void cli_table_cell(struct cli_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints and frees. */
void cli_table_close(struct cli_table *table);

/* "name value" lines: aligned on a terminal, a tab between them piped. */
void cli_field(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A progress bar on stderr, if that is a terminal, from one second on. total 0: unknown. */
struct cli_progress {
	const char *what;
	uint64_t total, begin_ns, drawn_ns;
};
void cli_progress_begin(struct cli_progress *progress, const char *what, uint64_t total);
void cli_progress_step(struct cli_progress *progress, uint64_t done);
void cli_progress_end(struct cli_progress *progress);

/* Memory or exit. */
void *cli_realloc(void *memory, size_t size);

/* False once stdout can't be written any more (e.g. `| head`): stop producing. */
bool cli_out_ok(void);

/* ---- Snapshots: cli_snapshot.c ----------------------------------------------------------------------------------- */

/* Progress of a snapshot or restore, with its bar; ends the work when a signal came. */
struct cli_work {
	struct cli_progress bar;
	uint64_t begin_ns;
};
void cli_work_begin(struct cli_work *work, const char *what);
/* A latz_progress_fn; arg: struct cli_work. */
int cli_work_step(const latz_snapshot_progress *progress, void *arg);
/* Ends the bar; seconds since the beginning. */
double cli_work_end(struct cli_work *work);

/* --level and --threads into the options; CLI_USAGE, with its line, if they can't be. */
int cli_snapshot_options(int64_t level, uint64_t threads, latz_snapshot_options *options);

/* ---- Commands --------------------------------------------------------------------------------------------------- */

extern const struct cli_command cmd_create, cmd_list, cmd_inspect, cmd_get, cmd_set, cmd_del, cmd_exists, cmd_incr,
	cmd_append, cmd_ttl, cmd_keys, cmd_scan, cmd_load, cmd_dump, cmd_clear, cmd_destroy, cmd_sweep, cmd_verify,
	cmd_top, cmd_advise, cmd_bench, cmd_doctor, cmd_persist, cmd_rekey,
	cmd_simulate, cmd_train, cmd_limit, cmd_stats,
	cmd_watch, cmd_lock, cmd_namespaces, cmd_audit;

#endif
