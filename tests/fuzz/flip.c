/*
 * Random bytes scribbled over a closed pool's files, which are then opened, read, scanned, verified and written by a
 * child. Whatever it finds, it must not crash and not hang. Meant to run under AddressSanitizer.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../bad/damage.h"

static uint64_t seconds = 60, timeout_ms = 20000, trial_only;
static int is_short, with_index, strict_data;
static const char *only_file, *keep_dir, *replay_dir;

static const struct hn_option options[] = {
	{ "short", "20 seconds", NULL, NULL, &is_short },
	{ "seconds", "how long (default 60)", &seconds, NULL, NULL },
	{ "timeout-ms", "a child over this hangs (default 20000)", &timeout_ms, NULL, NULL },
	{ "trial", "only this trial of the seed (the pool itself differs each time: see --keep)", &trial_only, NULL,
	  NULL },
	{ "keep", "copy the pools that fail into this directory, which exists", NULL, &keep_dir, NULL },
	{ "replay", "only try this copy: a directory that holds `pool`", NULL, &replay_dir, NULL },
	{ "file", "only damage this file", NULL, &only_file, NULL },
	{ "index", "damage the ordered index's pages too, which LMDB reads without checking them", NULL, NULL,
	  &with_index },
	{ "strict", "wrong data is a failure too", NULL, NULL, &strict_data },
	{ 0 }
};

static const char *const files[] = { "pool", "pool", "heap", "heap", "table", "extents", "index/data.mdb" };

/* One place: a byte, a word, a line, or a stretch copied from elsewhere. */
static void scribble(uint64_t *rnd, char *what, size_t room)
{
	unsigned n = (unsigned)(sizeof files / sizeof *files) - (with_index ? 0 : 1);
	const char *file = only_file ? only_file : files[hn_random(rnd) % n];
	uint64_t size = damage_size(file), at, word;
	unsigned char bytes[256];
	size_t length;

	if (size == 0)
		return;
	/* The beginnings of files hold what matters most. */
	at = hn_random(rnd) % 3 ? hn_random(rnd) % size : hn_random(rnd) % (size < 16384 ? size : 16384);
	switch (hn_random(rnd) % 5) {
	case 0:
		damage_flip(file, at, (unsigned char)(1u << hn_random(rnd) % 8));
		length = 1;
		break;
	case 1:
		length = 1;
		damage_flip(file, at, 0xff);
		break;
	case 2: /* a word near the limits of what it may be */
		at &= ~7ull;
		word = hn_random(rnd) % 2 ? ~0ull >> hn_random(rnd) % 64 : 1ull << hn_random(rnd) % 64;
		length = size - at < 8 ? size - at : 8;
		damage_write(file, at, &word, length);
		break;
	default:
		length = 1 + hn_random(rnd) % sizeof bytes;
		for (size_t i = 0; i < length; i++)
			bytes[i] = (unsigned char)hn_random(rnd);
		if (length > size - at)
			length = size - at;
		damage_write(file, at, bytes, length);
		break;
	}
	snprintf(what + strlen(what), room - strlen(what), " %s@%llu+%zu", file, (unsigned long long)at, length);
}

static void damage(uint64_t trial, char *what, size_t room)
{
	uint64_t rnd = hn_mix(hn_seed) ^ trial;

	snprintf(what, room, "trial %llu:", (unsigned long long)trial);
	damage_restore();
	for (uint64_t n = 1 + hn_random(&rnd) % 4; n > 0; n--)
		scribble(&rnd, what, room);
}

/* The same damage once more, to look at it later. */
static void keep(uint64_t trial)
{
	char what[400], from[400], to[600];

	damage(trial, what, sizeof what);
	damage_path(from, sizeof from, ".");
	snprintf(to, sizeof to, "%s/trial-%llu", keep_dir, (unsigned long long)trial);
	mkdir(to, 0700);
	snprintf(to, sizeof to, "%s/trial-%llu/pool", keep_dir, (unsigned long long)trial);
	if (hn_copy_tree(from, to) == 0)
		printf("kept in %s\n", to);
}

static int replay(void)
{
	struct damage_result r;
	char from[500], to[500];

	damage_restore();
	damage_path(to, sizeof to, ".");
	snprintf(from, sizeof from, "%s/pool", replay_dir);
	hn_remove_tree(to);
	if (hn_copy_tree(from, to) != 0)
		hn_die("%s cannot be copied", from);
	r = damage_try(0, (int)timeout_ms);
	printf("open %s, %d keys missing, %d calls with errors, verify %s %s\n", hn_rc(r.open_rc), r.missing, r.refused,
	       hn_rc(r.verify_rc), r.detail);
	return damage_judge(&r, replay_dir);
}

static int body(void)
{
	uint64_t offset, size, start = hn_now_ns(), trial, opened = 0, refused = 0, wrong = 0;

	if (is_short)
		seconds = 20;
	if (damage_prepare(&offset, &size) != 0)
		return 1;
	if (replay_dir)
		return replay();
	for (trial = trial_only ? trial_only : 1; hn_since_ms(start) < (double)seconds * 1e3 && hn_failures() < 10;
	     trial++) {
		struct damage_result r;
		char what[400];

		damage(trial, what, sizeof what);
		if (trial_only || hn_verbose)
			printf("%s\n", what);
		r = damage_try(trial % 2 ? LATZ_CREATE : 0, (int)timeout_ms);
		opened += r.open_rc == LATZ_OK;
		refused += r.open_rc != LATZ_OK;
		wrong += r.wrong > 0;
		if (!strict_data)
			r.wrong = 0;
		if (damage_judge(&r, what) && keep_dir)
			keep(trial);
		if (trial_only)
			break;
	}
	printf("flip: %llu trials in %.0f s: %llu refused at open, %llu opened, wrong data in %llu; %d failures\n",
	       (unsigned long long)(opened + refused), hn_since_ms(start) / 1e3, (unsigned long long)refused,
	       (unsigned long long)opened, (unsigned long long)wrong, hn_failures());
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return (unsigned)(is_short ? 20 : seconds) + 60;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "flip",   "scribbles over a pool's files and opens them",
		                            options,  0,
		                            watchdog, body };

	return hn_main(&program, argc, argv);
}
