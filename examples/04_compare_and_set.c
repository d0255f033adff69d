/*
 * Changing a value nobody else changed meanwhile: read it, work on it, write it if its version is still the same; else
 * start over. Here several threads move money between two accounts kept in one value.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <latzero/latzero.h>

#define THREADS 4
#define MOVES 2000

struct accounts {
	long long checking, savings;
};

static latz_pool *pool;

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

static void *move_money(void *arg)
{
	latz_value value = LATZ_VALUE_INIT;
	unsigned *retries = arg;

	for (int i = 0; i < MOVES;) {
		latz_set_options options = LATZ_SET_OPTIONS_INIT;
		struct accounts accounts;
		int rc;

		check(latz_get(pool, latz_str("accounts"), &value), "latz_get");
		memcpy(&accounts, value.data, sizeof(accounts));
		accounts.checking -= 1;
		accounts.savings += 1;
		options.flags = LATZ_IF_VERSION;
		options.if_version = value.version;
		rc = latz_set(pool, latz_str("accounts"), (latz_slice){ &accounts, sizeof(accounts) }, &options);
		if (rc == LATZ_MISMATCH) {
			(*retries)++;
			continue;
		}
		check(rc, "latz_set");
		i++;
	}
	latz_value_free(&value);
	return NULL;
}

int main(void)
{
	struct accounts accounts = { THREADS * MOVES, 0 };
	pthread_t threads[THREADS];
	unsigned retries[THREADS] = { 0 }, total = 0;
	latz_value value = LATZ_VALUE_INIT;

	check(latz_open("accounts", NULL, &pool), "latz_open");
	check(latz_set(pool, latz_str("accounts"), (latz_slice){ &accounts, sizeof(accounts) }, NULL), "latz_set");
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, move_money, &retries[i]) != 0)
			return 1;
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		total += retries[i];
	}
	check(latz_get(pool, latz_str("accounts"), &value), "latz_get");
	memcpy(&accounts, value.data, sizeof(accounts));
	printf("checking %lld, savings %lld, after %u retries\n", accounts.checking, accounts.savings, total);
	latz_value_free(&value);
	check(latz_close(pool), "latz_close");
	return accounts.checking != 0 || accounts.savings != THREADS * MOVES;
}
