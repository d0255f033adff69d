/*
 * The check of transactions' histories on histories whose answer is known.
 */
#include "graph.h"

#include "lib/suite.h"

static struct tg_txn txns[16];
static size_t count;
static char why[256];

static int begin(void **state)
{
	(void)state;
	memset(txns, 0, sizeof txns);
	count = 1;
	return 0;
}

/* Times are of no account unless a test gives some. */
static struct tg_txn *txn(uint64_t version)
{
	struct tg_txn *t = &txns[count++];

	t->outcome = TG_DONE;
	t->version = version;
	t->invoked = 1;
	t->returned = 1000;
	return t;
}

static void reads(struct tg_txn *t, unsigned key, uint32_t writer)
{
	t->ops[t->count++] = (struct tg_op){ (uint8_t)key, false, writer == 0, writer, txns[writer].version };
}

static void writes(struct tg_txn *t, unsigned key)
{
	t->ops[t->count++] = (struct tg_op){ .key = (uint8_t)key, .is_write = true };
}

static void deletes(struct tg_txn *t, unsigned key)
{
	t->ops[t->count++] = (struct tg_op){ .key = (uint8_t)key, .is_write = true, .absent = true };
}

static void at(struct tg_txn *t, uint64_t invoked, uint64_t returned)
{
	t->invoked = invoked;
	t->returned = returned;
}

static bool good(void)
{
	return tg_check(txns, count, why);
}

/* Keys x and y, written by 1 and 2. */
static void two_writes(void)
{
	struct tg_txn *t = txn(10);

	writes(t, 0);
	writes(t, 1);
	t = txn(20);
	writes(t, 0);
	writes(t, 1);
}

static void serial_ones(void **state)
{
	struct tg_txn *t;

	(void)state;
	two_writes();
	t = txn(0);
	reads(t, 0, 1);
	reads(t, 1, 1);
	t = txn(0);
	reads(t, 0, 2);
	reads(t, 1, 2);
	t = txn(30);
	reads(t, 0, 2);
	writes(t, 0);
	deletes(t, 1);
	t = txn(40);
	reads(t, 1, 0);
	reads(t, 0, 5);
	writes(t, 1);
	assert_true(good());
}

static void torn_read(void **state)
{
	struct tg_txn *t;

	(void)state;
	two_writes();
	t = txn(0);
	reads(t, 0, 1);
	reads(t, 1, 2);
	assert_false(good());
}

static void lost_update(void **state)
{
	struct tg_txn *t;

	(void)state;
	two_writes();
	for (unsigned i = 0; i < 2; i++) {
		t = txn(30 + i);
		reads(t, 0, 2);
		writes(t, 0);
	}
	assert_false(good());
}

static void write_skew(void **state)
{
	struct tg_txn *t;

	(void)state;
	two_writes();
	for (unsigned i = 0; i < 2; i++) {
		t = txn(30 + i);
		reads(t, 0, 2);
		reads(t, 1, 2);
		writes(t, i);
	}
	assert_false(good());
}

static void long_fork(void **state)
{
	struct tg_txn *t;

	(void)state;
	two_writes();
	writes(txn(30), 0);
	writes(txn(31), 1);
	t = txn(0);
	reads(t, 0, 3);
	reads(t, 1, 2);
	assert_true(good());
	t = txn(0);
	reads(t, 0, 2);
	reads(t, 1, 4);
	assert_false(good());
}

static void dirty_reads(void **state)
{
	struct tg_txn *t;

	(void)state;
	two_writes();
	txns[2].outcome = TG_NOT_DONE;
	t = txn(0);
	reads(t, 0, 2);
	assert_false(good());
}

static void killed_ones(void **state)
{
	struct tg_txn *t;

	(void)state;
	two_writes();
	/* Nobody has read of it: it need not have happened. */
	txns[2].outcome = TG_UNKNOWN;
	t = txn(0);
	reads(t, 0, 1);
	reads(t, 1, 1);
	assert_true(good());
	/* Somebody has read one of its writes, but not the other. */
	t = txn(0);
	reads(t, 0, 2);
	reads(t, 1, 1);
	assert_false(good());
}

static void real_time(void **state)
{
	struct tg_txn *t;

	(void)state;
	two_writes();
	at(&txns[1], 10, 20);
	at(&txns[2], 30, 40);
	t = txn(0);
	reads(t, 0, 1);
	at(t, 35, 50);
	assert_true(good());
	at(t, 45, 50); /* the second had returned */
	assert_false(good());
	t->timeless = true;
	assert_true(good());
	t->timeless = false;
	reads(txn(0), 0, 2);
	at(t, 35, 36);
	at(&txns[4], 10, 29); /* before it was called */
	assert_false(good());
}

static void deletes_count(void **state)
{
	struct tg_txn *t;

	(void)state;
	two_writes();
	t = txn(30);
	deletes(t, 0);
	writes(t, 1);
	t = txn(40);
	reads(t, 0, 0);
	writes(t, 2);
	assert_true(good());
	writes(txn(35), 0); /* before 40, which did not find it */
	assert_false(good());
	/* Perhaps since one who was killed had deleted it. */
	t = txn(0);
	t->outcome = TG_UNKNOWN;
	deletes(t, 0);
	assert_true(good());
}

static void from_nowhere(void **state)
{
	struct tg_txn *t;

	(void)state;
	two_writes();
	t = txn(0);
	reads(t, 0, 2);
	t->ops[0].version = 21;
	assert_false(good());
	t->ops[0].version = 20;
	t->ops[0].writer = 9;
	assert_false(good());
}

#define GRAPH_TEST(fn) cmocka_unit_test_setup(fn, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GRAPH_TEST(serial_ones),   GRAPH_TEST(torn_read),    GRAPH_TEST(lost_update), GRAPH_TEST(write_skew),
		GRAPH_TEST(long_fork),     GRAPH_TEST(dirty_reads),  GRAPH_TEST(killed_ones), GRAPH_TEST(real_time),
		GRAPH_TEST(deletes_count), GRAPH_TEST(from_nowhere),
	};

	return suite_run(tests);
}
