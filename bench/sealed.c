/*
 * The benchmark of encrypted pools: what a get and a set cost beside those of a plain pool; values of 10 kB beside bare
 * OpenSSL on the same bytes; scans, which open every key; opening, which pays for the password.
 *
 * What is compared is measured in turns, round after round, so that what the machine does meanwhile falls on both. Bare
 * OpenSSL is AES-256-GCM with one context, the key set up once, a new nonce and 16 bytes of associated data for each
 * value: from and to memory that it has to itself.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"
#include "samples.h"

#define SMALL_KEYS 2000u
#define LARGE_KEYS 200u
#define LARGE 10000u
#define PASSWORD "of the benchmark"

static struct {
	const char *dir;
	unsigned rounds;
} config = { .rounds = 40 };
static char value[LARGE];
static char keys[SMALL_KEYS][24];

static latz_pool *attach(const char *name, int encrypt)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;

	options.dir = config.dir;
	options.password = encrypt ? PASSWORD : NULL;
	options.encrypt = encrypt;
	check(latz_open(name, &options, &pool), "latz_open");
	return pool;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *times, size_t n)
{
	qsort(times, n, sizeof *times, by_size);
	return times[n / 2];
}

/* ns a call. */
static double turn(latz_pool *pool, int set, unsigned count, size_t size)
{
	latz_value got = LATZ_VALUE_INIT;
	double begun = (double)bench_now_ns();
	unsigned i;

	for (i = 0; i < count; i++) {
		latz_slice key = { keys[i * 7 % count], 16 };

		check(set ? latz_set(pool, key, (latz_slice){ value, size }, NULL) : latz_get(pool, key, &got), "call");
	}
	begun = ((double)bench_now_ns() - begun) / count;
	latz_value_free(&got);
	return begun;
}

/* ---- Bare OpenSSL ------------------------------------------------------------------------------------------------ */

static struct {
	EVP_CIPHER_CTX *context[2];
	unsigned char (*sealed)[LARGE + 16];
	unsigned char out[LARGE];
	unsigned long long count;
} bare;

static void bare_begin(void)
{
	unsigned char key[32] = { 1 };
	int seal;

	for (seal = 0; seal < 2; seal++) {
		bare.context[seal] = EVP_CIPHER_CTX_new();
		if (EVP_CipherInit_ex(bare.context[seal], EVP_aes_256_gcm(), NULL, key, NULL, seal) != 1)
			exit(1);
	}
	bare.sealed = calloc(LARGE_KEYS, sizeof *bare.sealed);
}

static double bare_turn(int seal)
{
	double begun = (double)bench_now_ns();
	unsigned char nonce[12] = { 0 };
	unsigned i;
	int n, ok = 1;

	for (i = 0; i < LARGE_KEYS; i++) {
		unsigned at = i * 7 % LARGE_KEYS;
		unsigned char *text = bare.sealed[at], *tag = text + LARGE;
		EVP_CIPHER_CTX *context = bare.context[seal];

		memcpy(nonce, &at, sizeof at);
		ok &= EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, seal);
		ok &= EVP_CipherUpdate(context, NULL, &n, (const unsigned char *)keys[at], 16);
		ok &= EVP_CipherUpdate(context, seal ? text : bare.out, &n, seal ? (unsigned char *)value : text,
		                       LARGE);
		if (!seal)
			ok &= EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, tag);
		ok &= EVP_CipherFinal_ex(context, bare.out, &n);
		if (seal)
			ok &= EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag);
	}
	if (ok != 1) {
		fprintf(stderr, "OpenSSL fails\n");
		exit(1);
	}
	return ((double)bench_now_ns() - begun) / LARGE_KEYS;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static void small(latz_pool *plain, latz_pool *sealed)
{
	static const char *const name[] = { "get", "set" };
	unsigned n = config.rounds * 10, round, set;
	double *times[2][2];

	for (set = 0; set < 2; set++) {
		for (round = 0; round < 2; round++)
			times[set][round] = calloc(n, sizeof(double));
		(void)turn(plain, 1, SMALL_KEYS, 100);
		(void)turn(sealed, 1, SMALL_KEYS, 100);
	}
	for (round = 0; round < n; round++) {
		for (set = 0; set < 2; set++) {
			times[set][0][round] = turn(plain, (int)set, SMALL_KEYS, 100);
			times[set][1][round] = turn(sealed, (int)set, SMALL_KEYS, 100);
		}
	}
	for (set = 0; set < 2; set++) {
		double a = median(times[set][0], n), b = median(times[set][1], n);
		char text[80];

		printf("  %s of 100 bytes: plain %.0f ns, encrypted %.0f ns\n", name[set], a, b);
		snprintf(text, sizeof text, "%s of 100 bytes, encrypted: more than plain", name[set]);
		bar(text, -1, 1600, " ns", b - a);
		free(times[set][0]);
		free(times[set][1]);
	}
}

static void large(latz_pool *plain, latz_pool *sealed)
{
	static const char *const name[] = { "get", "set" };
	unsigned n = config.rounds * 10, round, set, which;
	double *times[2][3];

	bare_begin();
	for (set = 0; set < 2; set++) {
		for (which = 0; which < 3; which++)
			times[set][which] = calloc(n, sizeof(double));
		(void)turn(plain, 1, LARGE_KEYS, LARGE);
		(void)turn(sealed, 1, LARGE_KEYS, LARGE);
		(void)bare_turn(1);
	}
	for (round = 0; round < n; round++) {
		for (set = 0; set < 2; set++) {
			times[set][0][round] = turn(plain, (int)set, LARGE_KEYS, LARGE);
			times[set][1][round] = turn(sealed, (int)set, LARGE_KEYS, LARGE);
			times[set][2][round] = bare_turn((int)set);
		}
	}
	for (set = 0; set < 2; set++) {
		double a = median(times[set][0], n), b = median(times[set][1], n), c = median(times[set][2], n);
		char text[80];

		printf("  %s of 10 kB: plain %.0f ns, encrypted %.0f ns, bare OpenSSL %.0f ns\n", name[set], a, b, c);
		snprintf(text, sizeof text, "%s of 10 kB, encrypted / bare OpenSSL", name[set]);
		bar(text, -1, 1.3, "x", b / c);
		for (which = 0; which < 3; which++)
			free(times[set][which]);
	}
	free(bare.sealed);
	EVP_CIPHER_CTX_free(bare.context[0]);
	EVP_CIPHER_CTX_free(bare.context[1]);
}

static double scan_turn(latz_pool *pool, unsigned expected)
{
	double begun = (double)bench_now_ns();
	latz_value got = LATZ_VALUE_INIT;
	latz_scan *scan;
	latz_slice key;
	unsigned count = 0;

	check(latz_scan_open(pool, NULL, &scan), "latz_scan_open");
	while (latz_scan_next(scan, &key, &got) == LATZ_OK)
		count++;
	check(latz_scan_close(scan), "latz_scan_close");
	latz_value_free(&got);
	if (count != expected) {
		fprintf(stderr, "a scan has %u keys of %u\n", count, expected);
		exit(1);
	}
	return ((double)bench_now_ns() - begun) / count;
}

static void scans_and_opening(latz_pool *plain, latz_pool *sealed)
{
	double scan[2][16], open[16], begun;
	unsigned i;

	for (i = 0; i < 16; i++) {
		scan[0][i] = scan_turn(plain, SMALL_KEYS);
		scan[1][i] = scan_turn(sealed, SMALL_KEYS);
		begun = (double)bench_now_ns();
		check(latz_close(attach("sealed", 1)), "latz_close");
		open[i] = ((double)bench_now_ns() - begun) / 1e6;
	}
	printf("  scan, a key: plain %.0f ns, encrypted %.0f ns; opening with a password %.1f ms\n",
	       median(scan[0], 16), median(scan[1], 16), median(open, 16));
	bar("opening with a password", 1, 50, " ms", median(open, 16));
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	latz_pool *plain, *sealed;
	unsigned i;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'd': config.dir = optarg; break;
		case 'r': config.rounds = (unsigned)atoi(optarg); break;
		default: printf("Usage: ./dev bench sealed [--rounds 40]\n"); return option == 'h' ? 0 : 2;
		}
	}
	if (config.rounds < 1 || config.rounds > 10000)
		return 2;
	for (i = 0; i < SMALL_KEYS; i++)
		snprintf(keys[i], sizeof keys[i], "key:%012u", i);
	memset(value, 'v', sizeof value);
	plain = attach("plain", 0);
	sealed = attach("sealed", 1);
	small(plain, sealed);
	scans_and_opening(plain, sealed);
	large(plain, sealed);
	printf("\n");
	bars_print_counts();
	check(latz_close(plain), "latz_close");
	check(latz_close(sealed), "latz_close");
	return 0;
}
