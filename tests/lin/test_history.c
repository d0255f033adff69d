/*
 * The linearizability check checked: histories known to be good must pass, histories known to be bad must not.
 */
#include "lib/suite.h"
#include "history.h"

/* Kind, time of the call, time of its return, then fields; the result is LATZ_OK if not given. */
#define OP(kind_, from, ...) \
	{ \
		.kind = LIN_##kind_, .invoked = from, .returned = __VA_ARGS__ \
	}

static bool check2(const struct lin_op *a, size_t a_count, const struct lin_op *b, size_t b_count)
{
	struct lin_track tracks[2] = { { a, a_count }, { b, b_count } };

	return lin_check(tracks, 2, NULL);
}

#define CHECK2(a, b) check2(a, ARRAY_LEN(a), b, ARRAY_LEN(b))

/* One after another, read your own write. */
static void sequential(void **state)
{
	const struct lin_op good[] = { OP(SET, 1, 2, .value = 5, .got_version = 7),
		                       OP(GET, 3, 4, .got = 5, .got_version = 7), OP(DELETE, 5, 6),
		                       OP(GET, 7, 8, .rc = LATZ_NOTFOUND) };
	const struct lin_op bad_value[] = { OP(SET, 1, 2, .value = 5, .got_version = 7),
		                            OP(GET, 3, 4, .got = 6, .got_version = 7) };
	const struct lin_op bad_version[] = { OP(SET, 1, 2, .value = 5, .got_version = 7),
		                              OP(GET, 3, 4, .got = 5, .got_version = 8) };
	const struct lin_op lost[] = { OP(SET, 1, 2, .value = 5, .got_version = 7),
		                       OP(GET, 3, 4, .rc = LATZ_NOTFOUND) };
	const struct lin_op none[] = { OP(GET, 1, 2, .rc = LATZ_NOTFOUND) };

	(void)state;
	assert_true(check2(good, ARRAY_LEN(good), NULL, 0));
	assert_true(CHECK2(good, none));
	assert_false(check2(bad_value, ARRAY_LEN(bad_value), NULL, 0));
	assert_false(check2(bad_version, ARRAY_LEN(bad_version), NULL, 0));
	assert_false(check2(lost, ARRAY_LEN(lost), NULL, 0));
}

/* A read beside a write may see either; a read after a read that saw the new value may not see the old one. */
static void overlapping(void **state)
{
	const struct lin_op writes[] = { OP(SET, 1, 2, .value = 1, .got_version = 1),
		                         OP(SET, 10, 20, .value = 2, .got_version = 2) };
	const struct lin_op old_then_new[] = { OP(GET, 11, 12, .got = 1, .got_version = 1),
		                               OP(GET, 13, 14, .got = 2, .got_version = 2) };
	const struct lin_op new_then_old[] = { OP(GET, 11, 12, .got = 2, .got_version = 2),
		                               OP(GET, 13, 14, .got = 1, .got_version = 1) };
	const struct lin_op stale[] = { OP(GET, 21, 22, .got = 1, .got_version = 1) };
	const struct lin_op future[] = { OP(GET, 5, 6, .got = 2, .got_version = 2) };

	(void)state;
	assert_true(CHECK2(writes, old_then_new));
	assert_false(CHECK2(writes, new_then_old));
	assert_false(CHECK2(writes, stale));
	assert_false(CHECK2(writes, future));
}

/* Two increments at once must not return the same sum; a lost update is found. */
static void increments(void **state)
{
	const struct lin_op one[] = { OP(INCREMENT, 1, 10, .value = 1, .got = 1) };
	const struct lin_op two[] = { OP(INCREMENT, 1, 10, .value = 1, .got = 2) };
	const struct lin_op then_two[] = { OP(INCREMENT, 1, 10, .value = 1, .got = 1),
		                           OP(GET, 11, 12, .got = 2, .got_version = 9) };
	const struct lin_op then_one[] = { OP(INCREMENT, 1, 10, .value = 1, .got = 2),
		                           OP(GET, 11, 12, .got = 1, .got_version = 9) };
	const struct lin_op swap[] = { OP(SWAP, 1, 2, .value = 5), OP(INCREMENT, 3, 4, .rc = LATZ_TYPE, .value = 1) };
	const struct lin_op wrong_type[] = { OP(SET, 1, 2, .value = 5, .got_version = 1),
		                             OP(INCREMENT, 3, 4, .rc = LATZ_TYPE, .value = 1) };

	(void)state;
	assert_true(CHECK2(one, two));
	assert_false(CHECK2(one, one));
	assert_false(CHECK2(two, two));
	assert_true(CHECK2(two, then_two));
	assert_false(CHECK2(one, then_one));
	assert_true(check2(swap, 2, NULL, 0));
	assert_false(check2(wrong_type, 2, NULL, 0));
}

/* Of two conditional sets on one version at most one succeeds. */
static void conditional_sets(void **state)
{
	const struct lin_op first[] = { OP(SET, 1, 2, .value = 1, .got_version = 1),
		                        OP(SET_VERSION, 10, 20, .value = 2, .if_version = 1, .got_version = 2) };
	const struct lin_op also[] = { OP(SET_VERSION, 10, 20, .value = 3, .if_version = 1, .got_version = 3) };
	const struct lin_op refused[] = { OP(SET_VERSION, 10, 20, .value = 3, .if_version = 1, .rc = LATZ_MISMATCH) };
	const struct lin_op refused_early[] = { OP(SET_VERSION, 5, 6, .value = 3, .if_version = 1,
		                                   .rc = LATZ_MISMATCH) };
	const struct lin_op absent_a[] = { OP(SET_ABSENT, 1, 10, .value = 1, .got_version = 1) };
	const struct lin_op absent_b[] = { OP(SET_ABSENT, 1, 10, .value = 2, .got_version = 2) };
	const struct lin_op absent_no[] = { OP(SET_ABSENT, 1, 10, .value = 2, .rc = LATZ_EXISTS) };

	(void)state;
	assert_false(CHECK2(first, also));
	assert_true(CHECK2(first, refused));
	assert_false(CHECK2(first, refused_early));
	assert_false(CHECK2(absent_a, absent_b));
	assert_true(CHECK2(absent_a, absent_no));
	assert_false(CHECK2(absent_no, absent_no));
}

/* A swap returns what was there. */
static void swaps(void **state)
{
	const struct lin_op set[] = { OP(SET, 1, 2, .value = 1, .got_version = 1) };
	const struct lin_op good[] = { OP(SWAP, 3, 4, .value = 2, .got = 1, .got_version = 1),
		                       OP(SWAP, 5, 6, .value = 3, .got = 2, .got_version = 2) };
	const struct lin_op twice[] = { OP(SWAP, 3, 4, .value = 2, .got = 1, .got_version = 1),
		                        OP(SWAP, 5, 6, .value = 3, .got = 1, .got_version = 1) };
	const struct lin_op blind[] = { OP(SWAP, 3, 4, .value = 2) };

	(void)state;
	assert_true(CHECK2(set, good));
	assert_false(CHECK2(set, twice));
	assert_false(CHECK2(set, blind));
}

/* What never returned may have happened, or not, but only once and not before it was invoked. */
static void unfinished(void **state)
{
	const struct lin_op killed[] = { OP(SET, 1, 2, .value = 1, .got_version = 1), OP(SET, 10, 0, .value = 2) };
	const struct lin_op took_effect[] = { OP(GET, 30, 31, .got = 2, .got_version = 5) };
	const struct lin_op no_effect[] = { OP(GET, 30, 31, .got = 1, .got_version = 1) };
	const struct lin_op too_early[] = { OP(GET, 5, 6, .got = 2, .got_version = 5) };
	const struct lin_op late[] = { OP(GET, 30, 31, .got = 1, .got_version = 1),
		                       OP(GET, 32, 33, .got = 2, .got_version = 5) };
	const struct lin_op undone[] = { OP(GET, 30, 31, .got = 2, .got_version = 5),
		                         OP(GET, 32, 33, .got = 1, .got_version = 1) };

	(void)state;
	assert_true(CHECK2(killed, took_effect));
	assert_true(CHECK2(killed, no_effect));
	assert_false(CHECK2(killed, too_early));
	assert_true(CHECK2(killed, late));
	assert_false(CHECK2(killed, undone));
}

/* Long random histories made by a real sequential register pass; with one result changed they do not. */
static void generated(void **state)
{
	enum {
		COUNT = 3000
	};
	struct lin_op *ops[2];
	size_t count[2];
	struct rng rng;

	(void)state;
	rng_init(&rng, 99);
	for (int round = 0; round < 20; round++) {
		struct lin_track tracks[2];
		int64_t value = 0;
		uint64_t version = 0, now = 100;

		count[0] = count[1] = 0;
		ops[0] = check_alloc(COUNT * sizeof(struct lin_op));
		ops[1] = check_alloc(COUNT * sizeof(struct lin_op));
		for (int i = 0; i < COUNT; i++) {
			unsigned who = (unsigned)rng_below(&rng, 2);
			struct lin_op op = { .kind = rng_below(&rng, 2) ? LIN_GET : LIN_SET };

			now += 10;
			/* Takes effect at `now`; spreads over its neighbours, but not over its own process's. */
			op.invoked = now - rng_below(&rng, 5);
			op.returned = now + 1 + rng_below(&rng, 4);
			if (count[who] > 0 && rng_below(&rng, 2))
				op.invoked = ops[who][count[who] - 1].returned + 1;
			if (op.kind == LIN_SET) {
				op.value = value = i + 1;
				op.got_version = ++version;
			} else {
				op.rc = version ? LATZ_OK : LATZ_NOTFOUND;
				op.got = value;
				op.got_version = version;
			}
			ops[who][count[who]++] = op;
		}
		tracks[0] = (struct lin_track){ ops[0], count[0] };
		tracks[1] = (struct lin_track){ ops[1], count[1] };
		assert_true(lin_check(tracks, 2, NULL));
		for (size_t i = count[0] / 2; i < count[0]; i++) {
			if (ops[0][i].kind == LIN_GET) {
				ops[0][i].got += 1000;
				break;
			}
		}
		assert_false(lin_check(tracks, 2, NULL));
		free(ops[0]);
		free(ops[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequential),       cmocka_unit_test(overlapping), cmocka_unit_test(increments),
		cmocka_unit_test(conditional_sets), cmocka_unit_test(swaps),       cmocka_unit_test(unfinished),
		cmocka_unit_test(generated),
	};

	return suite_run(tests);
}
