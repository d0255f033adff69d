/*
 * Tkrzw HashDBM: a memory-mapped file on tmpfs, in-place updates, two buckets a key. It has no batch call that is
 * faster than the single ones (GetMulti and SetMulti go through maps of strings), so batches are loops of Get and
 * Set. One process at a time can have it open, so it takes no part in the rows with several.
 */
#include "bench.h"

#include <memory>
#include <string>
#include <tkrzw_dbm_hash.h>

namespace
{

struct store {
	tkrzw::HashDBM dbm;
	std::string path;
	std::string value;
	std::string values[BATCH];
};

std::string_view key_view(const uint8_t *key)
{
	return std::string_view((const char *)key, KEY_SIZE);
}

void *db_open(const char *dir, const char *name, int create, uint64_t keys)
{
	(void)create;
	std::unique_ptr<store> db(new store);
	db->path = std::string(dir) + "/" + name + ".tkh";
	tkrzw::HashDBM::TuningParameters tuning;
	tuning.update_mode = tkrzw::HashDBM::UPDATE_IN_PLACE;
	tuning.num_buckets = (int64_t)(keys < 1000 ? 1000 : keys) * 2;
	tuning.min_read_size = 160; /* a whole record at the first reading */
	tkrzw::Status status = db->dbm.OpenAdvanced(db->path, true, tkrzw::File::OPEN_DEFAULT, tuning);
	if (!status.IsOK()) {
		bench_say("tkrzw: %s", tkrzw::ToString(status).c_str());
		return nullptr;
	}
	return db.release();
}

void db_close(void *ptr)
{
	store *db = (store *)ptr;
	db->dbm.Close();
	delete db;
}

const uint8_t *db_get(void *ptr, const uint8_t *key)
{
	store *db = (store *)ptr;
	return db->dbm.Get(key_view(key), &db->value).IsOK() ? (const uint8_t *)db->value.data() : nullptr;
}

int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	store *db = (store *)ptr;
	return db->dbm.Set(key_view(key), std::string_view((const char *)value, VALUE_SIZE)).IsOK() ? 0 : -1;
}

int db_mget(void *ptr, const uint8_t *keys, size_t n, const uint8_t **values)
{
	store *db = (store *)ptr;
	for (size_t i = 0; i < n; i++)
		values[i] = db->dbm.Get(key_view(keys + i * KEY_SIZE), &db->values[i]).IsOK()
		                    ? (const uint8_t *)db->values[i].data()
		                    : nullptr;
	return 0;
}

int db_mset(void *ptr, const uint8_t *keys, const uint8_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (db_set(ptr, keys + i * KEY_SIZE, values + i * VALUE_SIZE) != 0)
			return -1;
	return 0;
}

int db_del(void *ptr, const uint8_t *keys, size_t n)
{
	store *db = (store *)ptr;
	for (size_t i = 0; i < n; i++)
		if (!db->dbm.Remove(key_view(keys + i * KEY_SIZE)).IsOK())
			return -1;
	return 0;
}

/* Its logical size: the file itself is grown ahead of need by doubling. */
int64_t db_bytes(void *ptr)
{
	int64_t size = -1;
	((store *)ptr)->dbm.GetFileSize(&size);
	return size;
}

} /* namespace */

extern "C" const struct system system_tkrzw = {
	"tkrzw",
	"Tkrzw HashDBM on tmpfs, in place, two buckets a key",
	CAN_WRITE | CAN_OVERWRITE | CAN_MGET,
	db_open,
	db_close,
	db_get,
	db_set,
	db_mget,
	db_mset,
	db_del,
	nullptr,
	nullptr,
	nullptr,
	db_bytes,
	nullptr,
};
