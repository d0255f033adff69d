/*
 * What a policy knew, on its way in a snapshot: the golden file, which the writer makes too; a reader that does not
 * want it; what is wrong with the block, which is the snapshot's damage, and with what is in it, which is not.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <latzero/latzero.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "format/policy_state.h"
#include "format/snapshot.h"
#include "snap/snap.h"

#define STATE "a policy's own bytes"
#define STATE_SIZE (sizeof STATE - 1)
#define SIZE (sizeof(struct lzi_policy_state) + STATE_SIZE)
#define BLOCK LZI_SNAP_HEADER_SIZE
#define PAYLOAD (BLOCK + LZI_SNAP_BLOCK_SIZE)

struct bytes {
	uint8_t data[4096];
	size_t size;
};

struct told {
	unsigned keys, states, lost;
	uint64_t size;
	uint8_t state[SIZE];
};

static void golden(struct bytes *bytes)
{
	const char *top = getenv("top_srcdir");
	char command[1000];
	FILE *f;

	top = top ? top : ".";
	snprintf(command, sizeof command, "perl '%s/tests/golden/make.pl' '%s/tests/golden/good-snapshot-policy.txt'",
	         top, top);
	f = popen(command, "r");
	assert_non_null(f);
	bytes->size = fread(bytes->data, 1, sizeof bytes->data, f);
	assert_int_equal(pclose(f), 0);
}

static struct lzi_policy_state *make_state(void)
{
	struct lzi_policy_state *state = calloc(1, SIZE);

	assert_non_null(state);
	state->policy = LATZ_POLICY_LRU;
	state->hash_seed = 0x1122334455667788;
	state->entries = 4096;
	state->size = STATE_SIZE;
	state->by_bytes = 1;
	memcpy(state + 1, STATE, STATE_SIZE);
	lzi_policy_state_seal(state);
	return state;
}

static int tell_entry(const struct lzi_snap_entry *entry, void *arg)
{
	(void)entry;
	((struct told *)arg)->keys++;
	return 0;
}

static int tell_state(const void *state, uint64_t size, void *arg)
{
	struct told *told = arg;

	told->states++;
	told->size = size;
	assert_int_equal(told->keys, 0);
	memcpy(told->state, state, size < SIZE ? size : SIZE);
	return 0;
}

static void tell_lost(const char *what, void *arg)
{
	(void)what;
	((struct told *)arg)->lost++;
}

static int read_bytes(const struct bytes *bytes, int salvage, int wanted, struct told *told)
{
	struct lzi_snap_read read = { .fd = memfd_create("test_snap_policy", MFD_CLOEXEC),
		                      .name = "some.lzs",
		                      .salvage = salvage,
		                      .entry = tell_entry,
		                      .policy = wanted ? tell_state : NULL,
		                      .lost = tell_lost,
		                      .arg = told };
	int rc;

	memset(told, 0, sizeof *told);
	assert_int_equal(write(read.fd, bytes->data, bytes->size), bytes->size);
	assert_int_equal(lseek(read.fd, 0, SEEK_SET), 0);
	rc = lzi_snap_read(&read);
	close(read.fd);
	return rc;
}

static void golden_good(void **arg)
{
	static const uint8_t id[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
		                        0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	struct lzi_snap_info info = {
		.seq = 0x1234, .touched_ns = 5000000000, .wall_ms = 1700000000123, .ttl_ms = -1, .has_policy = 1
	};
	struct lzi_snap_entry entry = { "apple", "red", 5, 3, 1, 300, 0, 0 };
	struct lzi_policy_state *state = make_state();
	struct lzi_snap_writer *writer;
	struct bytes want, made;
	struct told told;
	int fd = memfd_create("test_snap_policy", MFD_CLOEXEC);

	(void)arg;
	golden(&want);
	memcpy(info.log_id, id, 16);
	assert_int_equal(lzi_snap_writer_open(fd, &info, 0, 1, &writer), LATZ_OK);
	assert_int_equal(lzi_snap_write_policy(writer, state, SIZE), LATZ_OK);
	assert_int_equal(lzi_snap_write(writer, &entry), LATZ_OK);
	assert_int_equal(lzi_snap_finish(writer, NULL), LATZ_OK);
	made.size = (size_t)pread(fd, made.data, sizeof made.data, 0);
	close(fd);
	assert_int_equal(made.size, want.size);
	assert_memory_equal(made.data, want.data, want.size);

	assert_int_equal(read_bytes(&want, 0, 1, &told), LATZ_OK);
	assert_int_equal(told.states, 1);
	assert_int_equal(told.keys, 1);
	assert_int_equal(told.size, SIZE);
	assert_memory_equal(told.state, state, SIZE);
	assert_int_equal(lzi_policy_state_validate((const struct lzi_policy_state *)(const void *)told.state, SIZE),
	                 LATZ_OK);
	assert_int_equal(read_bytes(&want, 0, 0, &told), LATZ_OK);
	assert_int_equal(told.states, 0);
	assert_int_equal(told.keys, 1);
	free(state);
}

/* As if it had been written so: the block's checksums are right, and the snapshot's digest is of other bytes, which
 * only counts at the end. */
static void put_block(struct bytes *bytes, uint64_t size, uint32_t count)
{
	struct lzi_snap_block block = {
		.codec = LZI_SNAP_POLICY, .raw_size = size, .stored_size = size, .count = count
	};

	memcpy(&block.tag, bytes->data + BLOCK - 4, 4);
	block.payload_crc = lzi_crc32c(0, bytes->data + PAYLOAD, SIZE);
	lzi_snap_block_make(&block, bytes->data + BLOCK);
}

static void bad_blocks(void **arg)
{
	static const uint64_t sizes[] = { 0, sizeof(struct lzi_policy_state),
		                          sizeof(struct lzi_policy_state) + LZI_POLICY_STATE_MAX + 1, UINT64_MAX };
	struct bytes bytes;
	struct told told;

	(void)arg;
	for (unsigned i = 0; i < 6; i++) {
		golden(&bytes);
		if (i < 4)
			put_block(&bytes, sizes[i], 0);
		else if (i == 4)
			put_block(&bytes, SIZE, 1);
		else
			bytes.data[PAYLOAD + SIZE - 1] ^= 1;
		assert_int_equal(read_bytes(&bytes, 0, 1, &told), LATZ_CORRUPT);
		assert_int_equal(told.states, 0);
		if (strncmp(lzi_error_text(), "some.lzs: offset ", 17) != 0 ||
		    (i < 5 && !strstr(lzi_error_text(), "a policy's state of such a size")))
			fail_msg("%u: %s", i, lzi_error_text());
		/* It takes no key with it. */
		assert_int_equal(read_bytes(&bytes, 1, 1, &told), LATZ_OK);
		assert_int_equal(told.states, 0);
		assert_int_equal(told.keys, 1);
		assert_true(told.lost > 0);
	}
}

static void bad_states(void **arg)
{
	struct lzi_policy_state *state = make_state();
	uint8_t *bytes = (uint8_t *)state;

	(void)arg;
	for (size_t i = 0; i < SIZE; i++) {
		bytes[i] ^= 1;
		assert_int_equal(lzi_policy_state_validate(state, SIZE), LATZ_CORRUPT);
		bytes[i] ^= 1;
		assert_int_equal(lzi_policy_state_validate(state, i), LATZ_CORRUPT);
	}
	assert_int_equal(lzi_policy_state_validate(state, SIZE), LATZ_OK);
	state->major++;
	state->checksum = lzi_crc32c(0, state, offsetof(struct lzi_policy_state, checksum));
	assert_int_equal(lzi_policy_state_validate(state, SIZE), LATZ_VERSION);
	free(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_good),
		cmocka_unit_test(bad_blocks),
		cmocka_unit_test(bad_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
