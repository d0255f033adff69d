/*
 * Money moves between accounts in transactions, by several processes at once: whoever adds up all accounts at any
 * moment finds the same sum, also when one of the processes is killed in the middle.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <latzero/latzero.h>

#define ACCOUNTS 8
#define FUNDS 1000

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

static latz_slice account(unsigned number, char text[24])
{
	snprintf(text, 24, "account-%u", number);
	return latz_str(text);
}

static int read_money(latz_txn *txn, unsigned number, int64_t *money)
{
	latz_value value = LATZ_VALUE_INIT;
	char text[24];
	int rc = latz_txn_get(txn, account(number, text), &value);

	if (rc == LATZ_OK)
		memcpy(money, value.data, sizeof *money);
	latz_value_free(&value);
	return rc;
}

static int write_money(latz_txn *txn, unsigned number, int64_t money)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_slice bytes = { &money, sizeof money };
	char text[24];

	options.type = LATZ_INT;
	return latz_txn_set(txn, account(number, text), bytes, &options);
}

struct transfer {
	unsigned from, to;
	int64_t money;
};

/* Runs again when somebody else has changed one of the two accounts meanwhile. */
static int transfer(latz_txn *txn, void *arg)
{
	const struct transfer *t = arg;
	int64_t from, to;
	int rc = read_money(txn, t->from, &from);

	if (rc == LATZ_OK)
		rc = read_money(txn, t->to, &to);
	if (rc == LATZ_OK)
		rc = write_money(txn, t->from, from - t->money);
	return rc == LATZ_OK ? write_money(txn, t->to, to + t->money) : rc;
}

static void move_money(latz_pool *pool, unsigned seed, int forever)
{
	for (unsigned i = 0; forever || i < 5000; i++) {
		struct transfer t = { seed % ACCOUNTS, (seed + 1 + seed / 8 % (ACCOUNTS - 1)) % ACCOUNTS, seed % 50 };

		check(latz_txn_run(pool, transfer, &t), "latz_txn_run");
		seed = seed * 1103515245 + 12345;
	}
}

static int64_t add_up(latz_pool *pool)
{
	int64_t sum = 0, money = 0;
	latz_txn *txn;

	check(latz_txn_begin(pool, (unsigned)LATZ_READONLY, &txn), "latz_txn_begin");
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		check(read_money(txn, i, &money), "latz_txn_get");
		sum += money;
	}
	check(latz_txn_commit(txn), "latz_txn_commit");
	return sum;
}

int main(void)
{
	latz_item items[ACCOUNTS];
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	int64_t funds = FUNDS;
	char text[ACCOUNTS][24];
	latz_pool *pool;
	pid_t workers[3];

	check(latz_open("bank", NULL, &pool), "latz_open");
	options.type = LATZ_INT;
	for (unsigned i = 0; i < ACCOUNTS; i++)
		items[i] = (latz_item){ account(i, text[i]), { &funds, sizeof funds } };
	check(latz_mset(pool, items, ACCOUNTS, &options), "latz_mset"); /* all of them or none */
	for (unsigned i = 0; i < 3; i++) {
		workers[i] = fork();
		if (workers[i] == 0) {
			move_money(pool, i + 1, i == 0); /* the first one until it is killed */
			_exit(0);
		}
	}
	for (unsigned i = 0; i < 2000; i++) {
		int64_t sum = add_up(pool);

		if (sum != ACCOUNTS * FUNDS) {
			printf("%lld are missing\n", (long long)(ACCOUNTS * FUNDS - sum));
			return 1;
		}
		if (i == 1000)
			kill(workers[0], SIGKILL);
	}
	for (unsigned i = 0; i < 3; i++)
		waitpid(workers[i], NULL, 0);
	printf("added up 2000 times while money moved: %lld each time\n", (long long)add_up(pool));
	check(latz_close(pool), "latz_close");
	return 0;
}
