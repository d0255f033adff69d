/*
 * Audit logs of locked pools: who has the password can tell what was written by those who had the pool open from what
 * was made up, whatever becomes of the pool and its password; who has not can't make anything up.
 */
#include "lib/suite.h"

#include "crypt/digest.h"

#define OLD "the first password"
#define NEW "the second password"

static const char *audited(struct fixture *f, char path[600], const char *password)
{
	snprintf(path, 600, "%s/the.audit", f->dir);
	f->options.audit = path;
	f->options.audit_keys = LATZ_AUDIT_WRITES;
	f->options.password = password;
	f->options.encrypt = password != NULL;
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("t", &f->options, &f->pool));
	return path;
}

static int verify(const char *path, const char *password, latz_audit_info *info)
{
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;

	*info = (latz_audit_info){ .size = sizeof *info };
	options.password = password;
	return latz_audit_verify(path, &options, info);
}

static void shut(struct fixture *f)
{
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
}

/* ---- Forging ---- */

struct forgery {
	const char *what, *instead; /* the first of it in the file; NULL: nothing */
	bool without_macs;
	unsigned drop; /* this entry, from 1 */
};

static void replace(char *line, size_t room, const char *what, const char *instead)
{
	char *at = strstr(line, what);

	assert_true(at != NULL && strlen(line) + strlen(instead) < room);
	memmove(at + strlen(instead), at + strlen(what), strlen(at + strlen(what)) + 1);
	memcpy(at, instead, strlen(instead));
}

/* What needs no key: a digest. */
static void chain(char *line, size_t room, uint8_t last[32])
{
	char text[65] = "", *at = strstr(line, ",\"hash\":\"");
	uint8_t digest[32];

	lzi_digest_text(last, text);
	memcpy(strstr(line, ",\"prev\":\"") + 9, text, 64);
	assert_non_null(at);
	*at = '\0';
	assert_ok(lzi_digest(NULL, line, strlen(line), digest));
	lzi_digest_text(digest, text);
	snprintf(at, room - (size_t)(at - line), ",\"hash\":\"%s\"}\n", text);
	memcpy(last, digest, 32);
}

/* Written anew, so that without a key it is a whole log. */
static void forge(const char *from, const char *to, const struct forgery *forgery)
{
	size_t size_in;
	char *data = file_read(from, &size_in);
	char *out = check_alloc(2 * size_in), *rest = data, *line;
	uint8_t last[32] = { 0 };
	unsigned number = 0, seq = 0;
	bool done = forgery->what == NULL;
	size_t size = 0;

	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		char changed[8192], *mac;

		if (++number == forgery->drop)
			continue;
		snprintf(changed, sizeof changed, "{\"seq\":%u%s", ++seq, strchr(line, ','));
		if (!done && strstr(changed, forgery->what) != NULL) {
			replace(changed, sizeof changed, forgery->what, forgery->instead);
			done = true;
		}
		mac = strstr(changed, ",\"mac\":\"");
		if (forgery->without_macs && mac != NULL)
			memmove(mac, strstr(mac, ",\"hash\""), strlen(strstr(mac, ",\"hash\"")) + 1);
		chain(changed, sizeof changed, last);
		memcpy(out + size, changed, strlen(changed));
		size += strlen(changed);
	}
	assert_true(done);
	file_write(to, out, size);
	free(out);
	free(data);
}

/* ---- Tests ---- */

static void what_is_found(void **state)
{
	struct fixture *f = *state;
	static const struct forgery forgeries[] = {
		{ "\"event\":\"set\"", "\"event\":\"del\"", false, 0 },
		{ "\"event\":\"open\"", "\"event\":\"shut\"", false, 0 },
		{ "\"uid\":", "\"uid\":1", false, 0 },
		{ NULL, NULL, false, 3 },
	};
	latz_audit_info info;
	char path[600], forged[620];

	audited(f, path, OLD);
	for (int i = 0; i < 5; i++)
		assert_ok(put(f->pool, "k", "v"));
	assert_ok(verify(path, OLD, &info));
	assert_int_equal(info.last_keyed, info.last_seq);
	assert_int_equal(info.keyed, info.entries);
	assert_int_equal(info.other_keys, 0);
	assert_rc(LATZ_AUTH, verify(path, NEW, &info));
	snprintf(forged, sizeof forged, "%s.forged", path);
	forge(path, forged, &(struct forgery){ .drop = 0 });
	assert_ok(verify(forged, OLD, &info)); /* forge() without a change makes what was there */
	for (size_t i = 0; i < ARRAY_LEN(forgeries); i++) {
		forge(path, forged, &forgeries[i]);
		assert_ok(verify(forged, NULL, &info)); /* which is why there are keys */
		assert_rc(LATZ_CORRUPT, verify(forged, OLD, &info));
	}
	/* All as if nobody had ever had a key. */
	forge(path, forged, &(struct forgery){ "\"event\":\"set\"", "\"event\":\"del\"", true, 0 });
	assert_ok(verify(forged, NULL, &info));
	assert_rc(LATZ_AUTH, verify(forged, OLD, &info));
}

static int rekey(latz_pool *pool, const char *password, int data_key)
{
	latz_rekey_options options = LATZ_REKEY_OPTIONS_INIT;

	options.password = password;
	options.data_key = data_key;
	return latz_rekey(pool, &options);
}

/* Both open all of it, before and after what came between, the pool being there or not. */
static void new_passwords(void **state)
{
	struct fixture *f = *state;
	latz_audit_info info;
	char path[600];

	audited(f, path, OLD);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(rekey(f->pool, NEW, 1));
	for (int i = 0; i < 2; i++) {
		assert_ok(verify(path, i == 0 ? OLD : NEW, &info)); /* nobody has opened it with the new one yet */
		assert_int_equal(info.keyed, info.entries);
	}
	f->options.password = NEW;
	assert_ok(put(f->pool, "k", "v2"));
	shut(f);
	assert_ok(latz_open("t", &f->options, &f->pool)); /* it went: this is one with other keys */
	shut(f);
	assert_rc(LATZ_NOTFOUND, latz_destroy("t", &f->options));
	assert_ok(verify(path, OLD, &info));
	assert_true(info.other_keys > 0 && info.keyed > 5);
	assert_ok(verify(path, NEW, &info));
	assert_int_equal(info.other_keys, 0);
	assert_int_equal(info.last_keyed, info.last_seq - 1); /* but `remove` */
}

static int writes_inherited(void *arg)
{
	struct fixture *f = arg;

	CHECK_OK(put(f->pool, "child", "v"));
	return 0;
}

/* Each file says by itself what it takes; so does what a child or a restored pool writes. */
static void in_each_file(void **state)
{
	struct fixture *f = *state;
	char path[600], name[700], snapshot[600];
	latz_audit_info info;

	audited(f, path, OLD);
	assert_ok(put(f->pool, "k", "v"));
	snprintf(snapshot, sizeof snapshot, "%s/snapshot", f->dir);
	assert_ok(latz_snapshot(f->pool, snapshot, NULL));
	assert_ok(latz_audit_rotate(path, name, sizeof name));
	assert_ok(verify(name, OLD, &info));
	assert_int_equal(info.keyed, info.entries - 1); /* but `rotate` */
	assert_rc(LATZ_AUTH, verify(path, OLD, &info)); /* nobody has written to it with the key */
	assert_ok(put(f->pool, "k", "v2"));
	assert_ok(verify(path, OLD, &info));
	assert_int_equal(info.keyed, info.entries - 1); /* but `begin` */
	assert_int_equal(proc_run(writes_inherited, f, 20000), 0);
	assert_ok(verify(path, OLD, &info));
	assert_int_equal(info.keyed, info.entries - 1 - info.gone);
	shut(f);
	assert_int_equal(truncate(path, 0), 0);
	assert_ok(latz_restore(snapshot, "t", &f->options, NULL));
	assert_ok(verify(path, OLD, &info));
	assert_true(info.keyed > 0);
}

/* A log of several pools, of which one has no password: what each vouches for. */
static void several_pools(void **state)
{
	struct fixture *f = *state;
	latz_options plain, other;
	latz_pool *second, *third;
	latz_audit_info info;
	char path[600];

	audited(f, path, OLD);
	other = plain = f->options;
	plain.password = NULL;
	plain.encrypt = 0;
	other.password = NEW;
	other.encrypt = 0;
	assert_ok(latz_open("plain", &plain, &second));
	assert_ok(latz_open("other", &other, &third));
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(put(second, "k", "v"));
	assert_ok(put(third, "k", "v"));
	assert_ok(verify(path, OLD, &info));
	assert_int_equal(info.keyed + info.other_keys, info.entries - 3);
	assert_true(info.other_keys == 3 && info.last_keyed == info.last_seq - 2);
	assert_ok(verify(path, NEW, &info)); /* a password without encryption will do */
	assert_true(info.keyed == 3 && info.last_keyed == info.last_seq);
	assert_ok(latz_close(second));
	assert_ok(latz_close(third));
}

/* Whose log has no key of the password's at all, and who says what can't be. */
static void without(void **state)
{
	struct fixture *f = *state;
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;
	uint8_t key[32] = { 1 };
	latz_audit_info info;
	char path[600];

	audited(f, path, NULL);
	assert_rc(LATZ_AUTH, verify(path, OLD, &info));
	assert_int_equal(info.entries, 3);
	assert_rc(LATZ_INVALID, verify(path, "", &info));
	options.key = key;
	options.password = OLD;
	assert_rc(LATZ_INVALID, latz_audit_verify(path, &options, NULL));
	options.password = NULL;
	options.size = offsetof(latz_audit_options, password); /* as older programs have it */
	assert_ok(latz_audit_verify(path, &options, NULL));
}

/* Seals that open nothing, as many as somebody likes. */
static void too_many_seals(void **state)
{
	struct fixture *f = *state;
	char path[600], forged[620], *line, *out, salt[65];
	uint8_t last[32] = { 0 };
	latz_audit_info info;
	size_t size_in;
	char *data;
	size_t size = 0;

	audited(f, path, OLD);
	shut(f);
	data = file_read(path, &size_in);
	line = strstr(data, "{\"seq\":1,");
	assert_non_null(strstr(line, "\"scrypt\":{"));
	*strchr(line, '\n') = '\0';
	out = check_alloc(100 * (strlen(line) + 16));
	snprintf(forged, sizeof forged, "%s.forged", path);
	for (int i = 0; i < 70; i++) {
		char changed[4096];

		snprintf(changed, sizeof changed, "{\"seq\":%d%s", i + 1, strchr(line, ','));
		snprintf(salt, sizeof salt, "%064x", i);
		memcpy(strstr(changed, "\"salt\":\"") + 8, salt, 64);
		/* So cheap that this test is: the cost is whose the file is. */
		replace(changed, sizeof changed, "\"log2_n\":1", "\"log2_n\":");
		chain(changed, sizeof changed, last);
		memcpy(out + size, changed, strlen(changed));
		size += strlen(changed);
	}
	file_write(forged, out, size);
	assert_rc(LATZ_TOOBIG, verify(forged, OLD, &info));
	free(out);
	free(data);
}

/* A seal that opens nothing, with the salt of a true one, before that. */
static void forged_seal(void **state)
{
	struct fixture *f = *state;
	char path[600], forged[620], made[4096];
	uint8_t last[32] = { 0 };
	latz_audit_info info;
	size_t size_in;
	char *data;
	char *line, *sealed;

	audited(f, path, OLD);
	shut(f);
	data = file_read(path, &size_in);
	line = strstr(data, "{\"seq\":1,");
	snprintf(made, sizeof made, "%.*s", (int)strcspn(line, "\n"), line);
	sealed = strstr(made, "\"sealed_key\":\"");
	assert_non_null(sealed);
	sealed[14] = sealed[14] == '0' ? '1' : '0';
	chain(made, sizeof made, last);
	snprintf(forged, sizeof forged, "%s.forged", path);
	file_write(forged, made, strlen(made));
	int fd = open(forged, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, data, size_in), size_in);
	close(fd);
	assert_rc(LATZ_CORRUPT, verify(forged, OLD, &info)); /* it stands there; but it hides nothing */
	assert_true(info.keyed >= 4 && info.other_keys == 0);
	free(data);
}

/* The password of now opens what was rotated before it came, with a file from after it. */
static void rotated_before(void **state)
{
	struct fixture *f = *state;
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;
	latz_audit_info info = { .size = sizeof info };
	const char *files[3] = { NULL, NULL, NULL };
	char path[600], first[700], second[700];

	audited(f, path, OLD);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_audit_rotate(path, first, sizeof first));
	assert_ok(put(f->pool, "k", "v2"));
	assert_ok(latz_audit_rotate(path, second, sizeof second));
	assert_ok(rekey(f->pool, NEW, 0));
	assert_rc(LATZ_AUTH, verify(first, NEW, &info));
	assert_non_null(strstr(latz_error_detail(), "the files after it"));
	options.password = NEW;
	options.files = files;
	files[0] = second;
	assert_rc(LATZ_AUTH, latz_audit_verify(first, &options, &info));
	files[1] = path;
	assert_ok(latz_audit_verify(first, &options, &info));
	assert_int_equal(info.keyed, info.entries - 1); /* but `rotate` */
	assert_ok(latz_audit_verify(second, &options, &info));
	assert_int_equal(info.other_keys, 0);
	options.password = OLD;
	assert_ok(latz_audit_verify(first, &options, &info));
	files[1] = "/nonexistent";
	options.password = NEW;
	assert_rc(LATZ_NOTFOUND, latz_audit_verify(first, &options, &info));
	options.password = OLD;
	assert_ok(latz_audit_verify(first, &options, &info)); /* not looked at */
}

static int verify_with(const char *path, const uint8_t key[32], latz_audit_info *info)
{
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;

	*info = (latz_audit_info){ .size = sizeof *info };
	options.key = key;
	return latz_audit_verify(path, &options, info);
}

/* Given out by whatever handle, it is one key, and goes on to be it. */
static void given_out(void **state)
{
	struct fixture *f = *state;
	latz_options reading = LATZ_OPTIONS_INIT;
	uint8_t key[32], again[32];
	latz_pool *other;
	latz_audit_info info;
	char path[600];

	audited(f, path, OLD);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_audit_key(f->pool, key));
	assert_rc(LATZ_INVALID, latz_audit_key(f->pool, NULL));
	assert_ok(verify_with(path, key, &info));
	assert_int_equal(info.last_keyed, info.last_seq);
	key[31] ^= 1;
	assert_rc(LATZ_CORRUPT, verify_with(path, key, &info));
	key[31] ^= 1;
	assert_ok(latz_namespace(f->pool, "space", &other));
	assert_ok(latz_audit_key(other, again));
	assert_memory_equal(again, key, sizeof key);
	assert_ok(latz_close(other));
	assert_ok(rekey(f->pool, NEW, 1));
	reading.dir = f->dir;
	reading.flags = (unsigned)LATZ_READONLY;
	reading.password = NEW;
	assert_ok(latz_open("t", &reading, &other));
	memset(again, 0, sizeof again);
	assert_ok(latz_audit_key(other, again));
	assert_memory_equal(again, key, sizeof key);
	assert_ok(latz_close(other));
	shut(f);
	assert_ok(verify_with(path, key, &info)); /* there is no pool any more */
	assert_int_equal(info.last_keyed, info.last_seq - 1); /* but `remove` */
	/* Asked for no password it has none. */
	f->options.audit = f->options.password = NULL;
	f->options.encrypt = 0;
	f->options.audit_keys = 0;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_rc(LATZ_INVALID, latz_audit_key(f->pool, again));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(what_is_found), DIR_TEST(new_passwords), DIR_TEST(in_each_file),
		DIR_TEST(several_pools), DIR_TEST(without),       DIR_TEST(too_many_seals),
		DIR_TEST(forged_seal),   DIR_TEST(rotated_before), DIR_TEST(given_out),
	};

	return suite_run(tests);
}
