/* The durability benchmark's report: systems, tables, bars, and why what was not run was not. */
#define _GNU_SOURCE
#include "durable.h"

#include <math.h>
#include <stdio.h>

enum {
	NOTES_MAX = 64
};

/* All there are, in the order of the tables; latzero-plain and latzero-interval are the two pools of one row. */
static const char *const names[] = { "latzero", "latzero-image", "latzero-plain", "latzero-interval", "bare", "rocksdb",
	                             "sqlite",  "lmdb",          "redis",         "memcached",        NULL };

struct title {
	const char *metric, *row, *text;
	int decimals;
};

static const struct title titles[] = {
	{ "set", "interval", "overwrite of random keys, latzero (ns)", 1 },
	{ "set-cpu", "interval", "  processor time of the same, all threads (ns)", 1 },
	{ "always", "always", "durable sets, 8 clients (sets/s)", 0 },
	{ "always-times", "always", "  latzero's against it in the same turn (x)", 2 },
	{ "client", "client", "one durable set, one client: median (us)", 1 },
	{ "client-99", "client", "  p99 (us)", 1 },
	{ "client-bare", "client", "  median against the bare write's in the same round (x)", 3 },
	{ "snapshot-100", "snapshot", "snapshot to disk, values of 100 bytes (s)", 3 },
	{ "synced-100", "snapshot", "  until it is on the disk, whether or not the call waits for that (s)", 3 },
	{ "bytes-100", "snapshot", "  its size (MB)", 1 },
	{ "snapshot-1000", "snapshot", "snapshot to disk, values of 1000 bytes (s)", 3 },
	{ "synced-1000", "snapshot", "  until it is on the disk, whether or not the call waits for that (s)", 3 },
	{ "bytes-1000", "snapshot", "  its size (MB)", 1 },
	{ "tail-idle", "tail", "sets at 200000/s, nothing else going on: p99 (ns)", 0 },
	{ "tail-snapshot", "tail", "  during a snapshot: p99 (ns)", 0 },
	{ "tail-ratio", "tail", "  the one against the other (x)", 2 },
	{ "first-100", "restore", "restore to the first get, values of 100 bytes (s)", 4 },
	{ "all-100", "restore", "  to all keys readable (s)", 4 },
	{ "read-100", "restore", "  to then read every key once (s)", 4 },
	{ "first-1000", "restore", "restore to the first get, values of 1000 bytes (s)", 4 },
	{ "all-1000", "restore", "  to all keys readable (s)", 4 },
	{ "read-1000", "restore", "  to then read every key once (s)", 4 },
	{ "attach", "attach", "a kept pool, every process killed: latz_open to the first get (ms)", 3 },
	{ "replay", "replay", "warm start from a log of 2 sets a key, no snapshot (million records/s)", 3 },
};

static struct note {
	const char *row, *system;
	char reason[160];
} notes[NOTES_MAX];
static unsigned note_count;

void report_not_run(const char *row, const char *system, const char *reason)
{
	for (unsigned i = 0; i < note_count; i++)
		if (strcmp(notes[i].row, row) == 0 && strcmp(notes[i].system, system) == 0)
			return;
	bench_say("%s: %s not run: %s", row, system, reason);
	if (note_count == NOTES_MAX)
		return;
	struct note *note = &notes[note_count++];
	note->row = row;
	note->system = system;
	snprintf(note->reason, sizeof(note->reason), "%s", reason);
}

static void print_systems(void)
{
	printf("Systems\n");
	for (int i = 0; names[i] != NULL; i++) {
		const struct durable_system *system = durable_system_find(names[i]);
		if (strncmp(names[i], "latzero-p", 9) == 0 || strncmp(names[i], "latzero-int", 11) == 0)
			continue; /* two pools, not systems */
		const char *what =
			system == NULL ? "not run: not in this build (its package is missing)" : system->what;
		printf("  %-14s %s\n", names[i], durable_asked(names[i]) ? what : "not run: not asked for");
	}
}

static void print_table(const struct title *t)
{
	int any = 0;
	if (!durable_wanted(t->row))
		return;
	double own = result_median(t->metric, "latzero");
	for (int i = 0; names[i] != NULL; i++) {
		double min, max, median = result_range(t->metric, names[i], &min, &max);
		if (isnan(median))
			continue;
		if (!any++)
			printf("\n%s\n  %-16s %11s %11s %11s%s\n", t->text, "", "median", "min", "max",
			       isnan(own) ? "" : "  of latzero");
		printf("  %-16s %11.*f %11.*f %11.*f", names[i], t->decimals, median, t->decimals, min, t->decimals,
		       max);
		if (!isnan(own))
			printf("  %9.2fx", median / own);
		printf("\n");
	}
	if (!any)
		printf("\n%s\n  not run\n", t->text);
}

static double own(const char *metric)
{
	return result_median(metric, "latzero");
}

/* How many times as much as latzero's the peer's figure is. */
static double times(const char *metric, const char *peer)
{
	return result_median(metric, peer) / own(metric);
}

static void print_bars(void)
{
	static const char *const writers[] = { "rocksdb", "sqlite", "lmdb", "redis" };
	char text[80];
	printf("\nBars\n  %-58s    %-11s %9s\n", "", "target", "measured");
	if (durable_config.keys != 1000000)
		printf("  (they are meant for 1M keys; this run is for trying things out)\n");
	bar("set, sync=interval, against plain set", -1, 1.6, "x",
	    result_median("set", "latzero-interval") / result_median("set", "latzero-plain"));
	for (unsigned i = 0; i < sizeof(writers) / sizeof(writers[0]); i++) {
		snprintf(text, sizeof(text), "sets/s, sync=always, 8 clients, against %s", writers[i]);
		bar(text, 1, 1.5, "x", result_median("always-times", writers[i]));
	}
	bar("one client against one bare write and fdatasync", -1, 1.3, "x", own("client-bare"));
	for (int big = 0; big < 2; big++) {
		const char *metric = big ? "snapshot-1000" : "snapshot-100", *size = big ? "1000" : "100";
		snprintf(text, sizeof(text), "snapshot of %s-byte values: times faster than Redis SAVE", size);
		bar(text, 1, 1, "x", times(metric, "redis"));
		snprintf(text, sizeof(text), "snapshot of %s-byte values: times faster than mdb_copy -c", size);
		bar(text, 1, 1, "x", times(metric, "lmdb"));
	}
	bar("p99 of sets during a snapshot against idle", -1, 2, "x", own("tail-ratio"));
	for (int i = 0; i < 16; i++) {
		const char *form = i & 1 ? "latzero-image" : "latzero", *peer = i & 2 ? "memcached" : "redis";
		const char *what = i & 4 ? "all keys" : "first get";
		const char *metric = i & 8 ? i & 4 ? "all-1000" : "first-1000" : i & 4 ? "all-100" : "first-100";
		snprintf(text, sizeof(text), "%s of %s B%s: restore times faster than %s", what, i & 8 ? "1000" : "100",
		         i & 1 ? ", image" : "", peer);
		bar(text, 1, 3, "x", result_median(metric, peer) / result_median(metric, form));
	}
	bar("image restore to the first get, 1000-byte values", -1, 50, "ms",
	    result_median("first-1000", "latzero-image") * 1000);
	bar("a kept pool attached again after killing every process", -1, 1, "ms", own("attach"));
	bar("log replay, million records/s", 1, 1.5, "M/s", own("replay"));
	bars_print_counts();
}

void durable_report(void)
{
	print_systems();
	for (unsigned i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		print_table(&titles[i]);
	if (note_count > 0)
		printf("\nNot run\n");
	for (unsigned i = 0; i < note_count; i++)
		printf("  %-10s %-16s %s\n", notes[i].row, notes[i].system, notes[i].reason);
	print_bars();
	fputs("\n"
	      "Pools and sockets are on tmpfs, everything durable is in one directory of the disk. Times of latzero "
	      "are\n"
	      "from the call in a process that runs already, those of servers from their start. Files are in the page\n"
	      "cache when they are restored from. \"All keys readable\": the system counts them all, and answers; of "
	      "an image,\n"
	      "which brings keys in as they are read, every key has been read. Values\n"
	      "of the stores that are snapshotted: the first half random bytes, the second a repeated JSON text.\n",
	      stdout);
}
