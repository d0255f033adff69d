/*
 * What latzero stats tells Prometheus: text exposition format 0.0.4. Base units, counters that end in _total, each
 * family of samples once and together, nothing that grows with the keys. Applications name their counters as they
 * like: where a name would not do, or is another's, it is changed, and the help tells what it is in the pool.
 */
#include "stats.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAME_MAX_BYTES = 96 /* of a family: that of a counter, and what it is made longer by */
};

static const char *const endings[] = { "_bucket", "_count", "_sum", "_total" };

static bool ends_in(const char *name, const char *ending)
{
	size_t size = strlen(name), tail = strlen(ending);

	return size > tail && strcmp(name + size - tail, ending) == 0;
}

/* A number without the noise of binary fractions. */
static const char *number(double value, char text[CLI_TEXT_MAX])
{
	if (isinf(value))
		return value > 0 ? "+Inf" : "-Inf";
	snprintf(text, CLI_TEXT_MAX, "%.15g", value);
	return text;
}

static void header(const char *family, const char *type, const char *help, const char *known_as)
{
	printf("# HELP %s ", family);
	for (; *help != '\0'; help++) {
		if (*help == '\\')
			putchar('\\');
		putchar(*help);
	}
	if (strcmp(family, known_as) != 0)
		printf(" (%s)", known_as);
	printf("\n# TYPE %s %s\n", family, type);
}

/* ---- Figures of the pool ---- */

static void print_figure(const char *pool, const latz_stats_t *stats, const struct stats_figure *figure)
{
	static const struct {
		const char *strip, *add;
		double scale;
	} units[] = {
		[STATS_COUNT] = { "", "_total", 1 },           [STATS_LEVEL] = { "", "", 1 },
		[STATS_MILLIS] = { "_ms", "_seconds", 1e-3 },  [STATS_NANOS] = { "_ns", "_seconds", 1e-9 },
		[STATS_SPENT] = { "_ns", "_seconds_total", 1e-9 },
	};
	char family[NAME_MAX_BYTES], text[CLI_TEXT_MAX];
	int64_t value = stats_value(stats, figure);

	snprintf(family, sizeof(family), "latzero_%.*s%s",
	         (int)(strlen(figure->name) - strlen(units[figure->kind].strip)), figure->name,
	         units[figure->kind].add);
	header(family, ends_in(family, "_total") ? "counter" : "gauge", figure->help, family);
	if (units[figure->kind].scale == 1)
		printf("%s{pool=\"%s\"} %" PRId64 "\n", family, pool, value);
	else /* -1 stands for none, in any unit */
		printf("%s{pool=\"%s\"} %s\n", family, pool,
		       number(value < 0 ? -1 : (double)value * units[figure->kind].scale, text));
}

static void print_evictions(const char *pool, const latz_stats_t *stats)
{
	static const char family[] = "latzero_evictions_total";

	header(family, "counter", "Keys evicted, by what for; those of namespaces too", family);
	for (size_t i = 0; i < stats_figures_count; i++) {
		if (stats_figures[i].kind == STATS_EVICTED)
			printf("%s{pool=\"%s\",reason=\"%s\"} %" PRId64 "\n", family, pool, stats_figures[i].help,
			       stats_value(stats, &stats_figures[i]));
	}
}

/* ---- Namespaces ---- */

struct space {
	char name[65];
	latz_namespace_info info;
};

struct spaces {
	struct space *list;
	size_t count;
};

static int add_space(const latz_namespace_info *info, void *arg)
{
	struct spaces *spaces = arg;
	struct space *space;

	spaces->list = cli_realloc(spaces->list, (spaces->count + 1) * sizeof(*spaces->list));
	space = &spaces->list[spaces->count++];
	space->info = *info;
	snprintf(space->name, sizeof(space->name), "%s", info->name);
	return 0;
}

static int print_spaces(const char *pool_name, latz_pool *pool)
{
	static const struct {
		const char *name, *help;
		size_t at;
	} families[] = {
#define OF(field) offsetof(latz_namespace_info, field)
		{ "keys", "Keys of a namespace", OF(keys) },
		{ "bytes", "Bytes of its records", OF(bytes) },
		{ "max_bytes", "Bound of its bytes, 0 for none", OF(max_bytes) },
		{ "max_entries", "Bound of its keys, 0 for none", OF(max_entries) },
		{ "gets_total", "Gets in it", OF(gets) },
		{ "hits_total", "Gets in it that found something", OF(hits) },
		{ "sets_total", "Writes in it", OF(sets) },
		{ "deletes_total", "Deletes in it", OF(deletes) },
		{ "expired_total", "Its keys collected after their time to live", OF(expired) },
		{ "evicted_total", "Its keys evicted for its own bounds", OF(evicted) },
		{ "evicted_bytes_total", "Bytes of their records", OF(evicted_bytes) },
		{ "refused_total", "Writes refused for its own bounds", OF(refused) },
#undef OF
	};
	struct spaces spaces = { NULL, 0 };
	char family[NAME_MAX_BYTES];
	int rc = latz_namespaces(pool, add_space, &spaces);

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]) && rc == LATZ_OK && spaces.count > 0; i++) {
		snprintf(family, sizeof(family), "latzero_namespace_%s", families[i].name);
		header(family, ends_in(family, "_total") ? "counter" : "gauge", families[i].help, family);
		for (size_t j = 0; j < spaces.count; j++) {
			uint64_t value;

			memcpy(&value, (const char *)&spaces.list[j].info + families[i].at, sizeof(value));
			printf("%s{pool=\"%s\",namespace=\"%s\"} %" PRIu64 "\n", family, pool_name,
			       spaces.list[j].name, value);
		}
	}
	free(spaces.list);
	return rc;
}

/* ---- Counters of applications, and the library's histograms ---- */

struct counter {
	char family[NAME_MAX_BYTES];
	latz_counter_info info;
};

struct counters {
	const char *pool;
	struct counter *list;
	size_t count;
};

/* Whether a family of the kind has samples of the name, or is of the name itself. */
static bool claims(const struct counter *counter, const char *name)
{
	size_t size = strlen(counter->family);

	if (strncmp(counter->family, name, size) != 0)
		return false;
	name += size;
	return *name == '\0' || (counter->info.kind == LATZ_HISTOGRAM &&
	                         (strcmp(name, "_bucket") == 0 || strcmp(name, "_count") == 0 ||
	                          strcmp(name, "_sum") == 0));
}

/* Whether one of those before has a name of this one's. */
static bool is_taken(const struct counters *counters, const struct counter *counter)
{
	for (size_t i = 0; i < counters->count; i++) {
		char name[NAME_MAX_BYTES + 8];

		if (claims(&counters->list[i], counter->family))
			return true;
		for (size_t j = 0; j < 3 && counter->info.kind == LATZ_HISTOGRAM; j++) {
			snprintf(name, sizeof(name), "%s%s", counter->family, endings[j]);
			if (claims(&counters->list[i], name))
				return true;
		}
	}
	return false;
}

/* A counter ends in _total; other kinds in nothing that means another. Who comes second to a name gets a number. */
static void choose_family(const struct counters *counters, struct counter *counter)
{
	bool counts = counter->info.kind == LATZ_COUNTER;
	const char *add = counts ? "_total" : "", *name = counter->info.name;
	size_t stem = strlen(name);
	unsigned number = 1;

	if (counts && ends_in(name, "_total"))
		stem -= strlen("_total");
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]) && !counts; i++) {
		if (ends_in(name, endings[i]))
			add = "_value";
	}
	snprintf(counter->family, sizeof(counter->family), "%.*s%s", (int)stem, name, add);
	while (is_taken(counters, counter))
		snprintf(counter->family, sizeof(counter->family), "%.*s_%u%s", (int)stem, name, ++number, add);
}

static int add_counter(const latz_counter_info *info, void *arg)
{
	struct counters *counters = arg;
	struct counter *counter;

	counters->list = cli_realloc(counters->list, (counters->count + 1) * sizeof(*counters->list));
	counter = &counters->list[counters->count];
	counter->info = *info;
	choose_family(counters, counter);
	counters->count++;
	return 0;
}

static void print_histogram(const char *pool, const struct counter *counter)
{
	const latz_counter_info *info = &counter->info;
	char text[2][CLI_TEXT_MAX] = { "", "" };

	for (unsigned i = 0; i < LATZ_COUNTER_POWERS; i++) {
		double bound = (double)(((uint64_t)1 << (i + 3)) - 1) * info->scale; /* the largest that is below */

		number(bound, text[i % 2]);
		if (isinf(bound) || strcmp(text[0], text[1]) == 0)
			continue;
		printf("%s_bucket{pool=\"%s\",le=\"%s\"} %" PRIu64 "\n", counter->family, pool, text[i % 2],
		       info->below[i]);
	}
	printf("%s_bucket{pool=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", counter->family, pool, info->count);
	printf("%s_sum{pool=\"%s\"} %s\n", counter->family, pool, number((double)info->sum * info->scale, text[0]));
	printf("%s_count{pool=\"%s\"} %" PRIu64 "\n", counter->family, pool, info->count);
}

static void print_counter(const char *pool, const struct counter *counter)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	static const char *const about[] = { "A counter", "A gauge", "A histogram" };
	const latz_counter_info *info = &counter->info;
	bool counts = info->kind == LATZ_COUNTER;
	char text[CLI_TEXT_MAX];

	header(counter->family, types[info->kind], info->help[0] != '\0' ? info->help : about[info->kind], info->name);
	if (info->kind == LATZ_HISTOGRAM)
		print_histogram(pool, counter);
	else if (info->scale == 1 && counts)
		printf("%s{pool=\"%s\"} %" PRIu64 "\n", counter->family, pool, (uint64_t)info->value);
	else if (info->scale == 1)
		printf("%s{pool=\"%s\"} %" PRId64 "\n", counter->family, pool, info->value);
	else
		printf("%s{pool=\"%s\"} %s\n", counter->family, pool,
		       number((counts ? (double)(uint64_t)info->value : (double)info->value) * info->scale, text));
}

int stats_prometheus(const char *name, latz_pool *pool, const latz_stats_t *stats)
{
	struct counters counters = { name, NULL, 0 };
	int rc;

	for (size_t i = 0; i < stats_figures_count; i++) {
		if (stats_figures[i].kind != STATS_EVICTED)
			print_figure(name, stats, &stats_figures[i]);
	}
	print_evictions(name, stats);
	rc = print_spaces(name, pool);
	if (rc == LATZ_OK)
		rc = latz_counters(pool, add_counter, &counters);
	for (size_t i = 0; i < counters.count && rc == LATZ_OK; i++)
		print_counter(name, &counters.list[i]);
	free(counters.list);
	return rc;
}
