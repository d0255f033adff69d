/*
 * latz_snapshot_verify() with a password: that all opens which is as it was sealed, and that what somebody put together
 * anew, with checksums that are right, is found by it, and by nothing else; and what a snapshot says of how many keys
 * it has.
 */
#include "lib/suite.h"

#include "../../src/snap/snap.h"
#include "../../src/store/log.h"
#include "base/point.h"

#define RIGHT "open sesame"
#define WRONG "open barley"
#define KEYS 50

static void fill(latz_pool *pool)
{
	char name[32];

	for (int i = 0; i < KEYS; i++) {
		snprintf(name, sizeof name, "key %d", i);
		assert_ok(put(pool, name, name));
	}
}

static void make(struct fixture *f, const char *password, int encrypt)
{
	f->options.password = password;
	f->options.encrypt = encrypt;
	f->options.flags |= LATZ_NO_THREAD;
	assert_ok(latz_open("t", &f->options, &f->pool));
	fill(f->pool);
}

static const char *snapshot(struct fixture *f, char path[600], unsigned flags)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;

	options.flags = flags;
	snprintf(path, 600, "%s/.snapshot", f->dir);
	assert_ok(latz_snapshot(f->pool, path, &options));
	return path;
}

/* ---- Put together anew ---- */

enum change { NOTHING, SWAP, VERSION, TYPE, BARE, KEY, RECORD, WITHOUT, COPY, COPY_SEQ };

struct copying {
	struct lzi_snap_writer *writer;
	enum change change;
	unsigned n;
	int copies;
	uint8_t first[1024]; /* value of the first */
	uint32_t first_size;
	struct lzi_snap_info info;
	int fd;
};

static int begin(const struct lzi_snap_info *info, void *arg)
{
	struct copying *copying = arg;

	return lzi_snap_writer_open(copying->fd, info, 0, 1, &copying->writer);
}

static int copy(const struct lzi_snap_entry *entry, void *arg)
{
	struct copying *copying = arg;
	struct lzi_snap_entry changed = *entry;
	uint8_t key[1024], value[2048];
	int is_book = *(const uint8_t *)entry->key == 0xff;

	CHECK(entry->key_size <= sizeof key && entry->value_size <= sizeof value);
	memcpy(key, entry->key, entry->key_size);
	memcpy(value, entry->value, entry->value_size);
	changed.key = key;
	changed.value = value;
	if (copying->n == 0) {
		memcpy(copying->first, value, entry->value_size);
		copying->first_size = entry->value_size;
	}
	if (++copying->n == 2) {
		if (copying->change == SWAP) {
			changed.value = copying->first;
			changed.value_size = copying->first_size;
		}
		changed.seq += copying->change == VERSION;
		changed.type = copying->change == TYPE ? LATZ_BYTES + 1 : changed.type;
		changed.sealed = copying->change == BARE ? 0 : changed.sealed;
		key[entry->key_size - 1] ^= copying->change == KEY; /* the last bit: it stays in order */
	}
	if (is_book && copying->change == RECORD)
		value[entry->value_size - 100] ^= 1; /* a data key that nobody has */
	if (is_book && copying->change == WITHOUT)
		return LATZ_OK;
	return lzi_snap_write(copying->writer, &changed);
}

/* Of the record of keys, in front. */
static int copy_keys(uint64_t seq, const void *record, uint64_t size, void *arg)
{
	struct copying *copying = arg;
	uint8_t changed[2048];

	CHECK(size <= sizeof changed);
	memcpy(changed, record, size);
	changed[size - 100] ^= copying->change == COPY;
	copying->copies++;
	return lzi_snap_write_keys(copying->writer, seq + (copying->change == COPY_SEQ), changed, (uint32_t)size);
}

static int check_changed(const char *from, enum change change, const char *password)
{
	struct copying copying = { .change = change };
	struct lzi_snap_read read = { .name = from, .entry = copy, .begin = begin, .arg = &copying, .threads = 1 };
	/* Without the copy it is as older releases write it, and is found wanting by itself. */
	int with_copy = change == COPY || change == COPY_SEQ;
	char to[620];

	snprintf(to, sizeof to, "%s.changed", from);
	read.fd = open(from, O_RDONLY | O_CLOEXEC);
	copying.fd = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(read.fd >= 0 && copying.fd >= 0);
	read.keys = with_copy ? copy_keys : NULL;
	assert_ok(lzi_snap_read(&read));
	assert_ok(lzi_snap_finish(copying.writer, NULL));
	assert_int_equal(copying.copies, with_copy);
	close(read.fd);
	close(copying.fd);
	return latz_snapshot_verify(to, password, NULL);
}

/* ---- Tests ---- */

/* A file can be read twice, a pipe can't. */
static void standard_input(const char *path)
{
	int before = dup(STDIN_FILENO), fd = open(path, O_RDONLY), ends[2];

	assert_true(before >= 0 && fd >= 0 && pipe(ends) == 0);
	assert_true(dup2(fd, STDIN_FILENO) == STDIN_FILENO);
	assert_ok(latz_snapshot_verify("-", RIGHT, NULL));
	assert_true(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
	assert_rc(LATZ_UNSUPPORTED, latz_snapshot_verify("-", RIGHT, NULL));
	assert_true(dup2(before, STDIN_FILENO) == STDIN_FILENO);
	close(before);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}

static void all_opens(void **state)
{
	struct fixture *f = *state;
	latz_snapshot_info info = { .size = sizeof info };
	latz_rekey_options new_key = LATZ_REKEY_OPTIONS_INIT;
	latz_pool *sub;
	char path[600];

	make(f, RIGHT, 1);
	new_key.data_key = 1;
	assert_ok(latz_rekey(f->pool, &new_key));
	assert_ok(latz_namespace(f->pool, "ns", &sub));
	fill(sub);
	assert_ok(latz_close(sub));
	assert_ok(put(f->pool, "empty", ""));
	assert_ok(latz_snapshot_verify(snapshot(f, path, 0), RIGHT, &info));
	assert_int_equal(info.keys, 2 * KEYS + 1);
	assert_int_equal(info.encrypted, 1);
	assert_rc(LATZ_AUTH, latz_snapshot_verify(path, WRONG, NULL));
	assert_rc(LATZ_INVALID, latz_snapshot_verify(path, "", NULL));
	standard_input(path);
	assert_rc(LATZ_NOTFOUND, latz_snapshot_verify("/nonexistent", RIGHT, NULL));
}

static void changes_are_found(void **state)
{
	struct fixture *f = *state;
	char path[600];

	make(f, RIGHT, 1);
	snapshot(f, path, 0);
	assert_ok(check_changed(path, NOTHING, RIGHT));
	for (enum change change = SWAP; change <= RECORD; change++) {
		assert_ok(check_changed(path, change, NULL));
		assert_rc(LATZ_CORRUPT, check_changed(path, change, RIGHT));
	}
	assert_rc(LATZ_AUTH, check_changed(path, WITHOUT, RIGHT));
	assert_int_equal(truncate(path, 1000), 0);
	assert_rc(LATZ_CORRUPT, latz_snapshot_verify(path, RIGHT, NULL));
}

/* What is made of it would be a pool with other keys, or none, and nothing that can be read. */
static void without_its_keys(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_snapshot_options salvage = LATZ_SNAPSHOT_OPTIONS_INIT;
	char path[600], to[620];
	latz_pool *pool;

	make(f, RIGHT, 1);
	snapshot(f, path, 0);
	assert_ok(check_changed(path, WITHOUT, NULL));
	snprintf(to, sizeof to, "%s.changed", path);
	salvage.flags = LATZ_RESTORE_SALVAGE;
	options.flags = LATZ_KEEP;
	for (int round = 0; round < 4; round++) {
		options.password = round & 1 ? RIGHT : NULL;
		assert_rc(LATZ_CORRUPT, latz_restore(to, "other", &options, round & 2 ? &salvage : NULL));
		options.password = NULL;
		options.flags = 0;
		assert_rc(LATZ_NOTFOUND, latz_open("other", &options, &pool));
		options.flags = LATZ_KEEP;
	}
}

static void of_other_pools(void **state)
{
	struct fixture *f = *state;
	char path[600];

	make(f, NULL, 0);
	assert_ok(latz_snapshot_verify(snapshot(f, path, 0), NULL, NULL));
	assert_rc(LATZ_AUTH, latz_snapshot_verify(path, RIGHT, NULL));
}

static void of_a_password_alone(void **state)
{
	struct fixture *f = *state;
	char path[600];

	make(f, RIGHT, 0);
	assert_ok(latz_snapshot_verify(snapshot(f, path, 0), RIGHT, NULL));
	assert_rc(LATZ_AUTH, latz_snapshot_verify(path, WRONG, NULL));
}

/* But for the file's first pages. */
static void spoil(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 16384);
	for (off_t at = 8192; at < st.st_size; at += 512)
		assert_int_equal(pwrite(fd, "spoilt", 6, at), 6);
	close(fd);
}

/* The pool's own are not the user's, in whichever file, looked at whichever way. */
static void keys_are_counted(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub;
	char path[600];

	make(f, RIGHT, 1);
	for (int round = 0; round < 2; round++) {
		for (unsigned flags = 0; flags <= LATZ_SNAPSHOT_IMAGE; flags += LATZ_SNAPSHOT_IMAGE) {
			latz_snapshot_info info = { .size = sizeof info }, again = info;

			assert_ok(latz_snapshot_info_read(snapshot(f, path, flags), &info));
			assert_ok(latz_snapshot_verify(path, NULL, &again));
			assert_int_equal(info.keys, KEYS);
			assert_int_equal(again.keys, KEYS);
			assert_int_equal(info.image, flags != 0);
		}
		assert_ok(latz_namespace(f->pool, "ns", &sub)); /* a record of the book, too */
		assert_ok(latz_close(sub));
	}
	assert_ok(latz_snapshot_verify(path, RIGHT, NULL)); /* an image */
	assert_rc(LATZ_AUTH, latz_snapshot_verify(path, WRONG, NULL));
	spoil(path);
	assert_rc(LATZ_CORRUPT, latz_snapshot_verify(path, RIGHT, NULL));
}

/* Its record of keys stands at the end of a snapshot, and a copy of it in front. */
static void copy_is_checked(void **state)
{
	struct fixture *f = *state;
	char path[600];

	make(f, RIGHT, 1);
	snapshot(f, path, 0);
	assert_rc(LATZ_CORRUPT, check_changed(path, COPY, RIGHT));
	assert_non_null(strstr(latz_error_detail(), "the copy of the record of keys at its beginning is another"));
	assert_rc(LATZ_CORRUPT, check_changed(path, COPY_SEQ, RIGHT));
}

struct losses {
	unsigned count;
	bool readable; /* bytes of no key that anybody knows */
};

static void tell_loss(const char *what, void *arg)
{
	struct losses *losses = arg;

	losses->count++;
	losses->readable = losses->readable && strstr(what, "\\x") == NULL;
}

static void salvage(struct fixture *f, const char *path, const char *password, int want, unsigned *ret_keys)
{
	latz_snapshot_options how = LATZ_SNAPSHOT_OPTIONS_INIT;
	struct losses losses = { 0, true };
	latz_options options = f->options;
	latz_stats_t stats = { .size = sizeof stats };
	latz_pool *pool;

	options.password = password;
	options.encrypt = password != NULL && f->options.encrypt;
	how.flags = LATZ_RESTORE_SALVAGE | LATZ_RESTORE_REPLACE;
	how.lost = tell_loss;
	how.arg = &losses;
	assert_rc(want, latz_restore(path, "saved", &options, &how));
	if (want != LATZ_OK)
		return;
	assert_true(losses.count > 0 && losses.readable);
	assert_ok(latz_open("saved", &options, &pool));
	*ret_keys = (unsigned)count_keys(pool);
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.keys, *ret_keys); /* the pool's own are none of them */
	assert_ok(latz_verify(pool, NULL, NULL));
	assert_ok(latz_close(pool));
}

/* Blocks enough for one to be lost, of values that don't compress. */
static void fill_blocks(latz_pool *pool)
{
	uint8_t value[1000];
	char name[32];

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof name, "many %u", i);
		pattern_fill(value, sizeof value, i);
		assert_ok(latz_set(pool, latz_str(name), (latz_slice){ value, sizeof value }, NULL));
	}
}

/* A stream that was cut, or whose last block is damaged, opens with the copy: what is whole of it is not lost for the
 * want of keys, nor is a pool with a password one without. */
static void salvaged_without_its_end(void **state)
{
	struct fixture *f = *state;
	unsigned keys = 0, fewer = 0;
	char path[600];
	struct stat st;
	int fd;

	for (int encrypt = 0; encrypt < 2; encrypt++) {
		make(f, RIGHT, encrypt);
		fill_blocks(f->pool);
		fd = open(snapshot(f, path, 0), O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0 && fstat(fd, &st) == 0);
		assert_int_equal(pwrite(fd, "spoilt", 6, st.st_size - 200), 6);
		salvage(f, path, RIGHT, LATZ_OK, &keys);
		assert_true(keys > 2000 && keys < 3000 + KEYS);
		salvage(f, path, WRONG, LATZ_AUTH, NULL);
		salvage(f, path, NULL, LATZ_AUTH, NULL);
		assert_int_equal(ftruncate(fd, st.st_size / 2), 0);
		salvage(f, path, RIGHT, LATZ_OK, &fewer);
		assert_true(fewer > 500 && fewer < keys);
		/* Without its header nothing says that values are encrypted, but they themselves. */
		assert_int_equal(pwrite(fd, "spoilt", 6, 0), 6);
		salvage(f, path, RIGHT, LATZ_OK, &keys);
		assert_int_equal(keys, fewer);
		/* Both are lost: then nobody can. */
		assert_int_equal(pwrite(fd, "spoilt", 6, 400), 6);
		if (encrypt)
			salvage(f, path, RIGHT, LATZ_CORRUPT, NULL);
		close(fd);
		assert_int_equal(unlink(path), 0); /* it is no snapshot, and would not be replaced */
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
	}
}

/* What was restored with a log comes back from that, too; a wrong password makes no directory for one. */
static void restored_with_a_log(void **state)
{
	static const unsigned forms[] = { 0, LATZ_SNAPSHOT_IMAGE };
	struct fixture *f = *state;
	char path[600], disk[300];
	latz_options options;
	latz_pool *pool;

	snprintf(disk, sizeof disk, "%s/.disk", f->dir);
	assert_int_equal(mkdir(disk, 0700), 0);
	make(f, RIGHT, 1);
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const char *name = i == 0 ? "of-stream" : "of-image";

		snapshot(f, path, forms[i]);
		options = f->options;
		options.persist_dir = disk;
		options.password = WRONG;
		assert_rc(LATZ_AUTH, latz_restore(path, name, &options, NULL));
		options.password = RIGHT;
		assert_ok(latz_restore(path, name, &options, NULL));
		assert_ok(latz_open(name, &options, &pool));
		assert_ok(put(pool, "later", "too"));
		assert_ok(latz_close(pool));
		assert_ok(latz_open(name, &options, &pool));
		for (int k = 0; k < KEYS; k++) {
			char key[32];

			snprintf(key, sizeof key, "key %d", k);
			assert_ok(latz_get(pool, key_of(key), &f->value));
			assert_string_equal(f->value.data, key);
		}
		assert_ok(latz_get(pool, key_of("later"), &f->value));
		assert_ok(latz_close(pool));
	}
}

/* ---- While it is made -------------------------------------------------------------------------------------------- */

/* Whoever makes the copy is stopped at the point, and something is done to the pool. */
struct slow {
	struct fixture *f;
	const char *point;
	unsigned flags;
};

static int snapshots_slowly(void *arg)
{
	const struct slow *slow = arg;
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	char path[600];

	options.flags = slow->flags;
	snprintf(path, sizeof path, "%s/.slow", slow->f->dir);
	lzi_point_arm(slow->point, 1, LZI_POINT_STOP);
	CHECK_OK(latz_snapshot(slow->f->pool, path, &options));
	return 0;
}

static void restore_and_look(struct fixture *f, const char *key, const char *value)
{
	latz_options options = f->options;
	latz_pool *pool;
	char path[600];

	snprintf(path, sizeof path, "%s/.slow", f->dir);
	assert_ok(latz_snapshot_verify(path, RIGHT, NULL));
	assert_ok(latz_restore(path, "copy", &options, NULL));
	assert_ok(latz_open("copy", &options, &pool));
	assert_ok(latz_get(pool, key_of(key), &f->value));
	assert_string_equal(f->value.data, value);
	assert_ok(latz_verify(pool, NULL, NULL));
	assert_ok(latz_close(pool));
	(void)!latz_destroy("copy", &options);
}

/* Values that are sealed anew keep their versions: what is of a moment before has them with a key of after it. */
static void while_data_is_rekeyed(void **state)
{
	struct fixture *f = *state;
	struct slow slow[] = { { f, "snapshot.entry", 0 }, { f, "image.entry", LATZ_SNAPSHOT_IMAGE } };
	latz_rekey_options new_key = LATZ_REKEY_OPTIONS_INIT;
	struct proc proc;

	make(f, RIGHT, 1);
	new_key.data_key = 1;
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		proc_start(&proc, snapshots_slowly, &slow[i], false);
		proc_wait_stopped(&proc);
		assert_ok(latz_rekey(f->pool, &new_key));
		assert_int_equal(proc_continue(&proc), 0);
		restore_and_look(f, "key 7", "key 7");
	}
}

static void put_alike(struct fixture *f, const char *prefix)
{
	char key[32], value[200];

	for (int i = 0; i < 2000; i++) {
		snprintf(key, sizeof key, "%s%d", prefix, i);
		snprintf(value, sizeof value,
		         "{\"name\":\"user %d\",\"mail\":\"user%d@example.com\",\"roles\":[\"reader\"]}", i, i);
		assert_ok(put(f->pool, key, value));
	}
}

/* A dictionary that comes when the moment is about to be, and values of before the moment that need it. */
static void while_a_dictionary_is_made(void **state)
{
	struct fixture *f = *state;
	struct slow slow = { f, "pin.announced", 0 };
	latz_train_info info = { .size = sizeof info };
	struct proc proc;

	f->options.compress_min = 32;
	f->options.compress_dict = LATZ_DICT_TRAINED;
	make(f, RIGHT, 1);
	put_alike(f, "before");
	proc_start(&proc, snapshots_slowly, &slow, false);
	proc_wait_stopped(&proc);
	assert_ok(latz_train(f->pool, NULL, &info));
	assert_int_equal(info.dictionary, 1);
	put_alike(f, "after");
	assert_int_equal(proc_continue(&proc), 0);
	restore_and_look(f, "after3", "{\"name\":\"user 3\",\"mail\":\"user3@example.com\",\"roles\":[\"reader\"]}");
}

/* A directory on which a sync has failed: what is read from it is put into a snapshot at once, before the keys are
 * known. */
static void in_a_directory_that_is_distrusted(void **state)
{
	struct fixture *f = *state;
	static char disk[300]; /* the options name it until they are gone */
	char path[400];
	int dirfd;

	snprintf(disk, sizeof disk, "%s/.disk", f->dir);
	snprintf(path, sizeof path, "%s/t", disk);
	assert_int_equal(mkdir(disk, 0700), 0);
	f->options.persist_dir = disk;
	for (unsigned round = 0; round < 2; round++) {
		make(f, RIGHT, 1);
		assert_ok(latz_get(f->pool, key_of("key 7"), &f->value));
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
		dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(dirfd >= 0);
		lzi_persist_distrust(dirfd);
		close(dirfd);
		assert_ok(latz_open("t", &f->options, &f->pool));
		assert_ok(latz_get(f->pool, key_of("key 7"), &f->value));
		assert_string_equal(f->value.data, "key 7");
		assert_ok(latz_verify(f->pool, NULL, NULL));
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(all_opens),           DIR_TEST(changes_are_found),
		DIR_TEST(without_its_keys), DIR_TEST(of_other_pools),
		DIR_TEST(of_a_password_alone), DIR_TEST(keys_are_counted),
		DIR_TEST(restored_with_a_log), DIR_TEST(while_data_is_rekeyed),
		DIR_TEST(while_a_dictionary_is_made), DIR_TEST(in_a_directory_that_is_distrusted),
		DIR_TEST(copy_is_checked), DIR_TEST(salvaged_without_its_end),
	};

	return suite_run(tests);
}
