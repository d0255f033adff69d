/*
 * Dictionaries of encrypted pools: sealed and opened; changed in any byte, moved to another number or pool, or plain,
 * they are damage.
 */
#include "config.h"

#include "lib/suite.h"
#include "store/pack.h"
#include "store/seal.h"

#define TEXT "pieces of values that are alike"
#define TEXT_SIZE ((uint32_t)sizeof(TEXT) - 1)

struct sealed_fixture {
	struct lzi_store store;
	struct lzi_seal seal;
	struct lzi_secrets secrets;
	struct lzi_dict_header *plain, *dict;
};

static int up(void **state)
{
	struct sealed_fixture *f = test_malloc(sizeof *f);

	memset(f, 0, sizeof *f);
	memset(f->secrets.master, 'm', sizeof f->secrets.master);
	memset(f->secrets.id, 'i', sizeof f->secrets.id);
	f->store.secrets = &f->secrets;
	f->store.seal = &f->seal;
	f->plain = test_malloc(sizeof *f->plain + TEXT_SIZE);
	memset(f->plain, 0, sizeof *f->plain);
	memcpy(f->plain + 1, TEXT, TEXT_SIZE);
	f->plain->number = 3;
	f->plain->size = TEXT_SIZE;
	lzi_dict_header_seal(f->plain);
	*state = f;
	return lzi_dict_seal(&f->store, f->plain, &f->dict);
}

static int down(void **state)
{
	struct sealed_fixture *f = *state;

	test_free(f->plain);
	free(f->dict);
	test_free(f);
	return 0;
}

static struct lzi_dict_header *copy_of(const struct lzi_dict_header *dict)
{
	struct lzi_dict_header *copy = test_malloc(sizeof *dict + dict->size);

	memcpy(copy, dict, sizeof *dict + dict->size);
	return copy;
}

static void opens(void **state)
{
	struct sealed_fixture *f = *state;
	struct lzi_dict_header *copy = copy_of(f->dict), *again;

	assert_int_equal(f->dict->size, TEXT_SIZE + LZI_DICT_SEALED_MORE);
	assert_int_equal(f->dict->number, 3);
	assert_ok(lzi_dict_header_validate(f->dict, 3));
	assert_ok(lzi_dict_validate(f->dict, f->dict + 1));
	assert_null(memmem(f->dict + 1, f->dict->size, TEXT, 8));
	assert_ok(lzi_dict_open(&f->store, copy));
	assert_int_equal(copy->size, TEXT_SIZE);
	assert_memory_equal(copy + 1, TEXT, TEXT_SIZE);
	test_free(copy);
	/* Never twice the same. */
	assert_ok(lzi_dict_seal(&f->store, f->plain, &again));
	assert_memory_not_equal(again + 1, f->dict + 1, again->size);
	free(again);
}

static void refused(struct sealed_fixture *f, struct lzi_dict_header *copy)
{
	assert_rc(LATZ_CORRUPT, lzi_dict_open(&f->store, copy));
	test_free(copy);
}

static void changed(void **state)
{
	struct sealed_fixture *f = *state;
	struct lzi_dict_header *copy;

	for (uint32_t i = 0; i < f->dict->size; i++) {
		copy = copy_of(f->dict);
		((uint8_t *)(copy + 1))[i] ^= 1;
		refused(f, copy);
	}
	copy = copy_of(f->dict);
	copy->number = 2;
	refused(f, copy);
	copy = copy_of(f->dict);
	copy->size--;
	refused(f, copy);
	copy = copy_of(f->dict);
	copy->size = LZI_DICT_SEALED_MORE;
	refused(f, copy);
	copy = copy_of(f->dict);
	copy->flags = 0;
	refused(f, copy);
	refused(f, copy_of(f->plain));
	f->secrets.id[0]++;
	refused(f, copy_of(f->dict));
	f->secrets.id[0]--;
	f->secrets.master[0]++;
	refused(f, copy_of(f->dict));
}

static void unknown_flags(void **state)
{
	struct sealed_fixture *f = *state;

	f->plain->flags = 2;
	lzi_dict_header_seal(f->plain);
	assert_rc(LATZ_VERSION, lzi_dict_header_validate(f->plain, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(opens, up, down),
		cmocka_unit_test_setup_teardown(changed, up, down),
		cmocka_unit_test_setup_teardown(unknown_flags, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
