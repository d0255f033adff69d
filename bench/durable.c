/*
 * The durability benchmark: its options, the order of its rows, and the small things they share. Each row takes its
 * slices from every system in turn, round after round. Progress goes to stderr, the report to stdout.
 */
#define _GNU_SOURCE
#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct durable_config durable_config = { .keys = 1000000, .sync_keys = 100000, .rounds = 3, .seconds = 3 };

const struct durable_system *const durable_systems[] = {
#ifdef HAVE_LATZERO
	&durable_latzero,
	&durable_latzero_image,
#endif
	&durable_bare,
#ifdef HAVE_ROCKSDB
	&durable_rocksdb,
#endif
#ifdef HAVE_SQLITE
	&durable_sqlite,
#endif
#ifdef HAVE_LMDB
	&durable_lmdb,
#endif
#ifdef HAVE_REDIS
	&durable_redis,
#endif
#ifdef HAVE_MEMCACHED
	&durable_memcached,
#endif
	NULL
};

static const char *const row_names[] = { "interval", "always", "client", "snapshot", "tail",
	                                 "restore",  "attach", "replay", NULL };

static char reason[600];

int durable_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	return -1;
}

const char *durable_reason(void)
{
	return reason;
}

int durable_wanted(const char *row)
{
	return list_has(durable_config.only, row);
}

int durable_asked(const char *system)
{
	return list_has(durable_config.systems, system);
}

const struct durable_system *durable_system_find(const char *name)
{
	for (int i = 0; durable_systems[i] != NULL; i++)
		if (strcmp(durable_systems[i]->name, name) == 0)
			return durable_systems[i];
	return NULL;
}

void bulk_value(uint64_t id, uint8_t *value, size_t size)
{
	static const char text[] = "{\"state\":\"active\",\"region\":\"north\",\"tags\":[\"a\",\"b\"],\"count\":100},";
	uint64_t word = bench_word(id), state = word;
	memcpy(value, &word, 8);
	size_t at = 8;
	for (; at < size / 2; at += 8) {
		uint64_t x = bench_random(&state);
		memcpy(value + at, &x, size / 2 - at < 8 ? size / 2 - at : 8);
	}
	for (at = size / 2; at < size;) {
		size_t n = size - at < sizeof(text) - 1 ? size - at : sizeof(text) - 1;
		memcpy(value + at, text, n);
		at += n;
	}
}

void durable_check(const struct durable_system *system, void *db, uint64_t keys, size_t n)
{
	uint8_t key[KEY_SIZE], value[VALUE_MAX + 8];
	uint64_t seed = 77;
	if (system->get == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		uint64_t id = bench_random(&seed) % keys;
		bench_key(id, key);
		if (system->get(db, key, value) != 0)
			bench_fail("%s: key %llu cannot be read: %s", system->name, (unsigned long long)id, reason);
		if (bench_value_word(value) != bench_word(id))
			bench_fail("%s: key %llu has a wrong value", system->name, (unsigned long long)id);
	}
}

void durable_quiesce(void)
{
	int fd = open(durable_config.disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || syncfs(fd) != 0)
		bench_fail("%s: cannot sync: %s", durable_config.disk, strerror(errno));
	close(fd);
}

void durable_path(char path[PATH_SIZE * 2], const char *dir, const char *name)
{
	if ((size_t)snprintf(path, PATH_SIZE * 2, "%s/%s", dir, name) >= PATH_SIZE * 2)
		bench_fail("a path is too long");
}

static int remove_visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path); /* what is not there any more is fine */
	return 0;
}

void durable_remove(const char *path)
{
	nftw(path, remove_visit, 16, FTW_DEPTH | FTW_PHYS);
}

int64_t durable_file_bytes(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (int64_t)st.st_size : bench_tree_bytes(path);
}

double durable_seconds(uint64_t since_ns)
{
	return (double)(bench_now_ns() - since_ns) / 1e9;
}

/* ---- Rows in their order ---- */

static void run_all(void)
{
#ifdef HAVE_LATZERO
	rows_interval();
#endif
	if (durable_wanted("always") || durable_wanted("client")) {
		rows_sets_open();
		for (unsigned round = 0; round < durable_config.rounds; round++) {
			bench_say("durable sets, round %u of %u", round + 1, durable_config.rounds);
			if (durable_wanted("always"))
				row_always(round);
			if (durable_wanted("client"))
				row_client(round);
		}
		rows_sets_close();
	}
	if (durable_wanted("snapshot") || durable_wanted("restore")) {
		rows_bulk(100);
		rows_bulk(1000);
	}
#ifdef HAVE_LATZERO
	row_tail();
	row_attach_kept();
	row_replay();
#endif
}

static void usage(int rc)
{
	fprintf(stderr, "usage: ./dev bench durable [--quick] [--only ROW,...] [--systems NAME,...] [--rounds N]\n"
	                "                           [--keys N] [--seconds S]\n"
	                "  --quick   100k keys, 1 round, 1 s: does it work\n"
	                "  --keys    in the stores that are snapshotted (1000000)\n"
	                "  --seconds of a slice of sets (3)\n  rows:    ");
	for (int i = 0; row_names[i] != NULL; i++)
		fprintf(stderr, " %s", row_names[i]);
	fprintf(stderr, "\n  systems: ");
	for (int i = 0; durable_systems[i] != NULL; i++)
		fprintf(stderr, " %s", durable_systems[i]->name);
	fprintf(stderr, "\nAll that is durable is written below build/bench, or $LATZERO_BENCH_DISK.\n");
	exit(rc);
}

/* Every word of the list must be a row's or, rows NULL, a system's name. */
static void check_list(const char *list, const char *const *rows)
{
	size_t known = 0;
	if (list == NULL)
		return;
	for (int i = 0; rows != NULL ? rows[i] != NULL : durable_systems[i] != NULL; i++) {
		const char *name = rows != NULL ? rows[i] : durable_systems[i]->name;
		if (list_has(list, name))
			known += strlen(name) + 1;
	}
	if (known != strlen(list) + 1)
		usage(2);
}

static void parse(int argc, char **argv)
{
	struct durable_config *c = &durable_config;
	static const struct option options[] = {
		{ "quick", 0, NULL, 'q' }, { "only", 1, NULL, 'o' },   { "systems", 1, NULL, 's' },
		{ "keys", 1, NULL, 'k' },  { "rounds", 1, NULL, 'r' }, { "seconds", 1, NULL, 'n' },
		{ "dir", 1, NULL, 'd' },   { "disk", 1, NULL, 'D' },   { "help", 0, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'q':
			c->keys = 100000;
			c->sync_keys = 10000;
			c->rounds = 1;
			c->seconds = 1;
			break;
		case 'o': c->only = optarg; break;
		case 's': c->systems = optarg; break;
		case 'k': c->keys = strtoull(optarg, NULL, 10); break;
		case 'r': c->rounds = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'n': c->seconds = atof(optarg); break;
		case 'd': c->shm = optarg; break;
		case 'D': c->disk = optarg; break;
		case 'h': usage(0); break;
		default: usage(2);
		}
	}
	check_list(c->only, row_names);
	check_list(c->systems, NULL);
	/* sockets are in --dir, and their paths are short by nature */
	if (c->shm == NULL || strlen(c->shm) > 80 || c->disk == NULL || strlen(c->disk) >= PATH_SIZE ||
	    optind != argc || c->rounds < 1 || c->rounds > SAMPLES_MAX || c->keys < 10000 || c->keys > 100000000 ||
	    c->seconds < 0.1 || c->seconds > 600)
		usage(2);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "child") == 0)
		return child_main(argc, argv);
	parse(argc, argv);
	uint64_t start = bench_now_ns();
	run_all();
	durable_report();
	printf("\n%llu keys in the big stores, %llu in those that set durably, %u rounds, %.0f s\n",
	       (unsigned long long)durable_config.keys, (unsigned long long)durable_config.sync_keys,
	       durable_config.rounds, durable_seconds(start));
	return 0;
}
