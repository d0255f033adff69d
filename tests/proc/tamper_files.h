/*
 * For tests that change the files which an encrypted pool has made: what is written to it, and that nothing else is
 * ever read. LATZ_TEST_FLIPS: how many bytes (default 20; where it is quick some times that).
 */
#ifndef TESTS_PROC_TAMPER_FILES_H
#define TESTS_PROC_TAMPER_FILES_H

#include "tamper.h"

#define KEYS 20u

struct outcome {
	unsigned refused, whole, corrupt, missing;
};

static inline const char *key_name(unsigned i)
{
	static char name[16];

	snprintf(name, sizeof name, "key%u", i);
	return name;
}

/* Each twice: a letter, then the small one. */
static inline void write_keys(latz_pool *pool)
{
	for (unsigned i = 0; i < KEYS; i++)
		assert_ok(set_letter(pool, key_name(i), (char)('A' + i)));
	for (unsigned i = 0; i < KEYS; i++)
		assert_ok(set_letter(pool, key_name(i), (char)('a' + i)));
}

/* old_too: the newer half may be cut off. */
static inline void check_keys(struct tampered *t, latz_pool *pool, bool old_too, struct outcome *outcome)
{
	unsigned corrupt = 0, missing = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		int rc = latz_get(pool, latz_str(key_name(i)), &t->value);

		corrupt += rc == LATZ_CORRUPT;
		missing += rc == LATZ_NOTFOUND;
		if (rc == LATZ_CORRUPT || rc == LATZ_NOTFOUND)
			continue;
		assert_ok(rc);
		if (!is_letter(t->value.data, t->value.size, (char)('a' + i)) &&
		    !(old_too && is_letter(t->value.data, t->value.size, (char)('A' + i))))
			fail_msg("%s has a value that was never written", key_name(i));
	}
	outcome->corrupt += corrupt > 0;
	outcome->missing += corrupt == 0 && missing > 0;
	outcome->whole += corrupt == 0 && missing == 0;
}

static inline void print_outcome(const char *what, const struct outcome *outcome)
{
	print_message("# %s: %u refused, %u with LATZ_CORRUPT, %u with keys missing, %u whole\n", what,
	              outcome->refused, outcome->corrupt, outcome->missing, outcome->whole);
}

static inline unsigned flips(void)
{
	return (unsigned)env_number("LATZ_TEST_FLIPS", 20);
}

#endif
