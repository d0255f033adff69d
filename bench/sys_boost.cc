/*
 * Boost.Interprocess: a managed_mapped_file on tmpfs with a boost::unordered_map of interprocess strings, an
 * interprocess_mutex held around each operation (a batch: once around the batch). The file is as large as it will
 * ever need to be. Twice:
 *   boost        the usual way: boost::hash, and a table that grows by itself
 *   boost-tuned  as far as it goes: XXH3, two buckets a key reserved
 * In both, keys fit the strings' inline buffer and look-ups take the caller's bytes without building a string.
 */
#define XXH_INLINE_ALL
#include "bench.h"

#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/managed_mapped_file.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/unordered_map.hpp>
#include <functional>
#include <memory>
#include <string>
#include <xxhash.h>

namespace bip = boost::interprocess;

namespace
{

typedef bip::managed_mapped_file::segment_manager manager;
typedef bip::allocator<char, manager> char_allocator;
typedef bip::basic_string<char, std::char_traits<char>, char_allocator> text;

struct key_ref {
	const char *bytes;
};

struct hash_usual {
	std::size_t operator()(const text &key) const
	{
		return boost::hash_range(key.begin(), key.end());
	}
	std::size_t operator()(const key_ref &key) const
	{
		return boost::hash_range(key.bytes, key.bytes + KEY_SIZE);
	}
};

struct hash_tuned {
	std::size_t operator()(const text &key) const
	{
		return XXH3_64bits(key.data(), key.size());
	}
	std::size_t operator()(const key_ref &key) const
	{
		return XXH3_64bits(key.bytes, KEY_SIZE);
	}
};

struct key_equal {
	bool operator()(const text &a, const text &b) const
	{
		return a == b;
	}
	bool operator()(const key_ref &a, const text &b) const
	{
		return b.size() == KEY_SIZE && memcmp(a.bytes, b.data(), KEY_SIZE) == 0;
	}
	bool operator()(const text &a, const key_ref &b) const
	{
		return (*this)(b, a);
	}
};

typedef std::pair<const text, text> entry;
typedef bip::scoped_lock<bip::interprocess_mutex> lock;

template <class key_hash> struct store {
	typedef boost::unordered_map<text, text, key_hash, key_equal, bip::allocator<entry, manager>> table;

	enum {
		tuned = std::is_same < key_hash,
		hash_tuned > ::value
	};
	std::unique_ptr<bip::managed_mapped_file> file;
	table *map;
	bip::interprocess_mutex *mutex;
	std::string path;
	uint8_t value[VALUE_SIZE];
	uint8_t values[BATCH][VALUE_SIZE];

	const uint8_t *get(const uint8_t *key, uint8_t *out)
	{
		typename table::iterator it = map->find(key_ref{ (const char *)key }, key_hash(), key_equal());
		if (it == map->end())
			return nullptr;
		memcpy(out, it->second.data(), VALUE_SIZE);
		return out;
	}

	void set(const uint8_t *key, const uint8_t *value)
	{
		typename table::iterator it = map->find(key_ref{ (const char *)key }, key_hash(), key_equal());
		if (it != map->end()) {
			it->second.assign((const char *)value, VALUE_SIZE);
			return;
		}
		char_allocator allocator(file->get_segment_manager());
		map->emplace(text((const char *)key, KEY_SIZE, allocator),
		             text((const char *)value, VALUE_SIZE, allocator));
	}
};

template <class hash> void *db_open(const char *dir, const char *name, int create, uint64_t keys)
{
	try {
		std::unique_ptr<store<hash>> db(new store<hash>);
		typedef typename store<hash>::table table;
		db->path = std::string(dir) + "/" + name + (db->tuned ? ".boost-tuned" : ".boost");
		if (create) {
			uint64_t size = (keys < 100000 ? 100000 : keys) * 700;
			db->file.reset(new bip::managed_mapped_file(bip::create_only, db->path.c_str(), size));
			bip::allocator<entry, manager> allocator(db->file->get_segment_manager());
			db->map = db->file->template construct<table>("map")(db->tuned ? keys * 2 : 16, hash(),
			                                                     key_equal(), allocator);
			db->mutex = db->file->template construct<bip::interprocess_mutex>("mutex")();
		} else {
			db->file.reset(new bip::managed_mapped_file(bip::open_only, db->path.c_str()));
			db->map = db->file->template find<table>("map").first;
			db->mutex = db->file->template find<bip::interprocess_mutex>("mutex").first;
		}
		return db.release();
	} catch (const std::exception &e) {
		bench_say("boost: %s", e.what());
		return nullptr;
	}
}

template <class hash> void db_close(void *ptr)
{
	delete (store<hash> *)ptr;
}

template <class hash> const uint8_t *db_get(void *ptr, const uint8_t *key)
{
	store<hash> *db = (store<hash> *)ptr;
	lock guard(*db->mutex);
	return db->get(key, db->value);
}

template <class hash> int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	store<hash> *db = (store<hash> *)ptr;
	try {
		lock guard(*db->mutex);
		db->set(key, value);
		return 0;
	} catch (const std::exception &e) {
		bench_say("boost: %s", e.what());
		return -1;
	}
}

template <class hash> int db_mget(void *ptr, const uint8_t *keys, size_t n, const uint8_t **values)
{
	store<hash> *db = (store<hash> *)ptr;
	lock guard(*db->mutex);
	for (size_t i = 0; i < n; i++)
		values[i] = db->get(keys + i * KEY_SIZE, db->values[i]);
	return 0;
}

template <class hash> int db_mset(void *ptr, const uint8_t *keys, const uint8_t *values, size_t n)
{
	store<hash> *db = (store<hash> *)ptr;
	try {
		lock guard(*db->mutex);
		for (size_t i = 0; i < n; i++)
			db->set(keys + i * KEY_SIZE, values + i * VALUE_SIZE);
		return 0;
	} catch (const std::exception &e) {
		bench_say("boost: %s", e.what());
		return -1;
	}
}

template <class hash> int db_del(void *ptr, const uint8_t *keys, size_t n)
{
	store<hash> *db = (store<hash> *)ptr;
	lock guard(*db->mutex);
	for (size_t i = 0; i < n; i++) {
		auto it = db->map->find(key_ref{ (const char *)keys + i * KEY_SIZE }, hash(), key_equal());
		if (it == db->map->end())
			return -1;
		db->map->erase(it);
	}
	return 0;
}

/* What it has allocated, not how large its file was declared. */
template <class hash> int64_t db_bytes(void *ptr)
{
	store<hash> *db = (store<hash> *)ptr;
	return (int64_t)(db->file->get_size() - db->file->get_free_memory());
}

} /* namespace */

#define FUNCTIONS(hash) \
	db_open<hash>, db_close<hash>, db_get<hash>, db_set<hash>, db_mget<hash>, db_mset<hash>, db_del<hash>, \
		nullptr, nullptr, nullptr, db_bytes<hash>, nullptr

extern "C" const struct system system_boost = {
	"boost",
	"Boost.Interprocess: managed_mapped_file on tmpfs, unordered_map, interprocess_mutex around each operation",
	CAN_WRITE | CAN_OVERWRITE | CAN_SHARE | CAN_MGET,
	FUNCTIONS(hash_usual),
};

extern "C" const struct system system_boost_tuned = {
	"boost-tuned",
	"the same with XXH3 and all its buckets reserved (for comparison, no bar)",
	CAN_WRITE | CAN_OVERWRITE | CAN_MGET,
	FUNCTIONS(hash_tuned),
};
