/*
 * The snapshot reader as a libFuzzer target. The first byte: bit 0, salvage; bit 1, all checksums are made right first,
 * so that what lies behind them is reached. Whatever is told must be in order and within bounds.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

#include "base/crc32c.h"
#include "base/hash.h"
#include "format/policy_state.h"
#include "format/snapshot.h"
#include "snap/snap.h"

const unsigned fuzz_runs = 20000;

struct told {
	uint64_t keys, sum;
	uint32_t size;
	uint8_t key[LZI_KEY_MAX];
};

static int tell_entry(const struct lzi_snap_entry *entry, void *arg)
{
	struct told *told = arg;
	uint32_t both = entry->key_size < told->size ? entry->key_size : told->size;
	const uint8_t *value = entry->value;
	int order;

	if (entry->key_size < 1 || entry->key_size > LZI_KEY_MAX)
		abort();
	order = memcmp(entry->key, told->key, both);
	if (order < 0 || (order == 0 && entry->key_size <= told->size))
		abort();
	for (uint32_t i = 0; i < entry->value_size; i++)
		told->sum += value[i];
	memcpy(told->key, entry->key, entry->key_size);
	told->size = entry->key_size;
	told->keys++;
	return 0;
}

static void tell_lost(const char *what, void *arg)
{
	struct told *told = arg;

	told->sum += strlen(what);
}

/* What passes has been added up. */
static int tell_policy(const void *state, uint64_t size, void *arg)
{
	const struct lzi_policy_state *header = state;
	const uint8_t *bytes = state;
	struct told *told = arg;

	for (uint64_t i = 0; i < size; i++)
		told->sum += bytes[i];
	if (lzi_policy_state_validate(header, size) == LATZ_OK &&
	    (header->size == 0 || header->size > LZI_POLICY_STATE_MAX || header->size != size - sizeof *header))
		abort();
	return 0;
}

static void put32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

/* Makes checksums, tags and the digest right, as far as sizes lead. */
static void seal(uint8_t *data, size_t size)
{
	size_t at = LZI_SNAP_HEADER_SIZE;
	uint32_t tag;

	if (size < at)
		return;
	tag = lzi_crc32c(0, data, at - 4);
	put32(data + at - 4, tag);
	while (size - at >= LZI_SNAP_FOOTER_SIZE) {
		uint8_t *head = data + at;
		uint64_t stored = get64(head + 24);

		put32(head + 4, tag);
		if (head[2] == 'F') {
			XXH128_hash_t digest = XXH3_128bits(data, at);

			put32(head + 40, (uint32_t)digest.low64);
			put32(head + 44, (uint32_t)(digest.low64 >> 32));
			put32(head + 48, (uint32_t)digest.high64);
			put32(head + 52, (uint32_t)(digest.high64 >> 32));
			put32(head + 60, lzi_crc32c(0, head, 60));
			return;
		}
		if (stored > size - at - LZI_SNAP_BLOCK_SIZE)
			stored = 0;
		put32(head + 40, lzi_crc32c(0, head + LZI_SNAP_BLOCK_SIZE, (size_t)stored));
		put32(head + 44, lzi_crc32c(0, head, 44));
		at += LZI_SNAP_BLOCK_SIZE + (size_t)stored;
	}
}

/* An open file that holds these bytes. */
static int file_of(const uint8_t *data, size_t size)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz_snap", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size ||
	    lseek(fd, 0, SEEK_SET) != 0)
		abort();
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct told told;
	struct lzi_snap_read read = {
		.name = "fuzz", .threads = 1, .entry = tell_entry, .policy = tell_policy,
		.lost = tell_lost, .arg = &told
	};
	struct lzi_snap_info info;
	uint8_t *copy;
	int rc;

	if (size < 1)
		return 0;
	copy = malloc(size);
	if (!copy)
		abort();
	memcpy(copy, data, size);
	if (data[0] & 2)
		seal(copy + 1, size - 1);
	read.fd = file_of(copy + 1, size - 1);
	read.salvage = data[0] & 1;
	memset(&told, 0, sizeof told);
	rc = lzi_snap_read(&read);
	if (rc != LATZ_OK && rc != LATZ_CORRUPT && rc != LATZ_VERSION)
		abort();
	if (rc == LATZ_OK && told.keys != read.info.keys)
		abort();
	/* What reads well must show at a glance too. */
	if (lzi_snap_peek(read.fd, "fuzz", &info) != LATZ_OK && rc == LATZ_OK && !read.salvage)
		abort();
	free(copy);
	return 0;
}

static int write_policy(struct lzi_snap_writer *writer, unsigned kind)
{
	struct {
		struct lzi_policy_state header;
		uint8_t bytes[100];
	} state;

	memset(&state, 0, sizeof state);
	state.header.policy = kind % 11;
	state.header.entries = kind;
	state.header.size = kind % sizeof state.bytes + 1;
	lzi_policy_state_seal(&state.header);
	return lzi_snap_write_policy(writer, &state, sizeof state.header + state.header.size);
}

/* Snapshots of 0 to some entries, with both codecs and values of all sizes, some with a policy's state. */
size_t fuzz_seed(unsigned kind, uint8_t *out, size_t room)
{
	static uint8_t value[270000];
	struct lzi_snap_info info = { .seq = kind, .ttl_ms = -1, .has_policy = kind % 5 == 1 };
	struct lzi_snap_writer *writer;
	unsigned count = kind / 4 * 5;
	int fd = memfd_create("fuzz_seed", MFD_CLOEXEC);
	ssize_t size;

	if (fd < 0 || lzi_snap_writer_open(fd, &info, kind & 4 ? 1 : -3, 1, &writer) != LATZ_OK ||
	    (info.has_policy && write_policy(writer, kind) != LATZ_OK))
		abort();
	for (unsigned i = 0; i < count; i++) {
		uint8_t key[40] = "a key that is shared 000";
		struct lzi_snap_entry entry = { .key = key, .value = value, .key_size = 24, .type = (uint8_t)i };

		key[22] = (uint8_t)('0' + i / 10);
		key[23] = (uint8_t)('0' + i % 10);
		entry.value_size = kind >= 12 && i < 2 ? (uint32_t)sizeof value - 100 * i : i * 3;
		entry.seq = 64ull << (i * 3);
		entry.deadline_wall_ms = i % 3 ? 0 : 1700000000000;
		if (lzi_snap_write(writer, &entry) != LATZ_OK)
			abort();
	}
	if (lzi_snap_finish(writer, NULL) != LATZ_OK)
		abort();
	out[0] = (uint8_t)(kind % 4);
	size = pread(fd, out + 1, room - 1, 0);
	close(fd);
	if (size < 0)
		abort();
	return (size_t)size + 1;
}
