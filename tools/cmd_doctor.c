/*
 * latzero doctor: what on this machine will hurt, and the remedy for each.
 */
#include "doctor.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

static unsigned failures, warnings;

void doctor_report(enum doctor_level level, const char *check, const char *remedy, const char *format, ...)
{
	static const char *const names[] = { "ok", "warn", "fail" };
	const char *colours[] = { cli_green(), cli_yellow(), cli_red() };
	char found[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(found, sizeof(found), format, arguments);
	va_end(arguments);
	failures += level == DOCTOR_FAIL;
	warnings += level == DOCTOR_WARN;
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("level", names[level]);
		cli_json_text("check", check);
		cli_json_text("found", found);
		if (remedy != NULL)
			cli_json_text("remedy", remedy);
		cli_json_end('}');
	} else if (cli.tty) {
		printf("%s%-4s%s  %-20s %s\n", colours[level], names[level], cli_plain(), check, found);
		if (remedy != NULL)
			printf("      %-20s %s-> %s%s\n", "", cli_bold(), remedy, cli_plain());
	} else {
		printf("%s\t%s\t%s\t%s\n", names[level], check, found, remedy != NULL ? remedy : "");
	}
}

bool doctor_read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return false;
	bool got = fgets(line, (int)size, file) != NULL;
	fclose(file);
	if (got)
		line[strcspn(line, "\n")] = '\0';
	return got;
}

/* ---- The file system -------------------------------------------------------------------------------------------- */

/* Where pools would be, or the nearest directory above that exists. */
static void find_directory(char *path, size_t size)
{
	const char *dir = cli.dir != NULL ? cli.dir : getenv("LATZERO_DIR");
	struct stat info;

	if (dir != NULL && *dir != '\0') {
		snprintf(path, size, "%s", dir);
	} else if (stat("/dev/shm", &info) == 0 && S_ISDIR(info.st_mode)) {
		snprintf(path, size, "/dev/shm/latzero-%u", (unsigned)geteuid());
	} else {
		const char *temp = getenv("TMPDIR");
		snprintf(path, size, "%s/latzero-%u", temp != NULL && *temp != '\0' ? temp : "/tmp",
		         (unsigned)geteuid());
	}
	while (stat(path, &info) != 0 && errno == ENOENT) {
		char *slash = strrchr(path, '/');
		if (slash == NULL)
			snprintf(path, size, ".");
		else if (slash == path)
			path[1] = '\0';
		else
			*slash = '\0';
		if (slash == NULL || slash == path)
			break;
	}
}

static const char *file_system_name(unsigned long type)
{
	switch (type) {
	case 0x01021994: return "tmpfs";
	case 0xEF53: return "ext4";
	case 0x58465342: return "xfs";
	case 0x9123683E: return "btrfs";
	case 0x794C7630: return "overlayfs";
	case 0x6969: return "nfs";
	case 0xFF534D42:
	case 0xFE534D42: return "cifs";
	case 0x65735546: return "fuse";
	default: return "another file system";
	}
}

static void check_space(const char *dir)
{
	struct statfs info;
	char size[CLI_TEXT_MAX], available[CLI_TEXT_MAX];

	if (statfs(dir, &info) != 0) {
		doctor_report(DOCTOR_FAIL, "file system", "give another directory with --dir or $LATZERO_DIR", "%s: %s",
		              dir, strerror(errno));
		return;
	}
	unsigned long type = (unsigned long)info.f_type & 0xffffffff;
	const char *name = file_system_name(type);
	if (strcmp(name, "tmpfs") == 0)
		doctor_report(DOCTOR_OK, "file system", NULL, "%s is tmpfs: memory", dir);
	else if (strcmp(name, "nfs") == 0 || strcmp(name, "cifs") == 0)
		doctor_report(DOCTOR_FAIL, "file system", "pools belong on a local one: use /dev/shm", "%s is on %s",
		              dir, name);
	else
		doctor_report(DOCTOR_WARN, "file system", "mount a tmpfs there, or use /dev/shm",
		              "%s is on %s: its writeback will be felt", dir, name);

	uint64_t block = (uint64_t)info.f_bsize, total = info.f_blocks * block, room = info.f_bavail * block;
	cli_format_size(total, size);
	cli_format_size(room, available);
	if (total == 0) /* a tmpfs without a limit says 0 */
		doctor_report(DOCTOR_OK, "space", NULL, "%s has no limit of its own", dir);
	else if (room < 16 * MIB)
		doctor_report(DOCTOR_WARN, "space",
		              "enlarge it: mount -o remount,size=50% /dev/shm (docker: --shm-size=1g), or delete "
		              "what fills it",
		              "%s has %s free of %s", dir, available, size);
	else if (total <= 64 * MIB)
		doctor_report(DOCTOR_WARN, "space", "the default of containers is 64 MiB: docker run --shm-size=1g",
		              "%s has %s free of %s", dir, available, size);
	else
		doctor_report(DOCTOR_OK, "space", NULL, "%s has %s free of %s", dir, available, size);
	if (info.f_files > 0 && info.f_ffree < 64)
		doctor_report(DOCTOR_WARN, "inodes", "mount with a larger nr_inodes", "%s has %" PRIu64 " left", dir,
		              (uint64_t)info.f_ffree);
	if (access(dir, W_OK | X_OK) != 0)
		doctor_report(DOCTOR_FAIL, "directory", "chmod or chown it, or give another with --dir",
		              "%s can't be written: %s", dir, strerror(errno));
}

/* ---- cgroups ---------------------------------------------------------------------------------------------------- */

/* The path of this process in a hierarchy: "0::/path" or "N:...,memory,...:/path". */
static bool find_cgroup(bool v2, char *path, size_t size)
{
	char line[4096];
	FILE *file = fopen("/proc/self/cgroup", "re");
	bool found = false;

	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		char *controllers = strchr(line, ':');
		char *where = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
		if (where == NULL)
			continue;
		*where++ = '\0';
		controllers++;
		if (v2)
			found = *controllers == '\0';
		for (char *state, *one = v2 ? NULL : strtok_r(controllers, ",", &state); one != NULL;
		     one = strtok_r(NULL, ",", &state))
			found = found || strcmp(one, "memory") == 0;
		if (found)
			snprintf(path, size, "%s", where);
	}
	fclose(file);
	return found;
}

/* The tightest limit on the way from our group to the root; SIZE_MAX-like values mean none. */
static bool tightest(const char *root, char *group, const char *limit_file, const char *usage_file, uint64_t *limit,
                     uint64_t *room)
{
	char path[8192], line[64];
	bool any = false;

	for (;;) {
		uint64_t bytes, used = 0;
		snprintf(path, sizeof(path), "%s%s/%s", root, group, limit_file);
		if (doctor_read_line(path, line, sizeof(line)) && cli_parse_count(line, &bytes) &&
		    bytes < UINT64_C(1) << 60) {
			snprintf(path, sizeof(path), "%s%s/%s", root, group, usage_file);
			if (doctor_read_line(path, line, sizeof(line)))
				(void)cli_parse_count(line, &used);
			uint64_t left = bytes > used ? bytes - used : 0;
			if (!any || left < *room) {
				*limit = bytes;
				*room = left;
			}
			any = true;
		}
		char *slash = strrchr(group, '/');
		if (*group == '\0' || slash == NULL)
			return any;
		*slash = '\0';
	}
}

static void check_cgroup(void)
{
	char group[4096], total[CLI_TEXT_MAX], left[CLI_TEXT_MAX];
	uint64_t limit = 0, room = 0;
	bool limited = find_cgroup(true, group, sizeof(group)) &&
	               tightest("/sys/fs/cgroup", group, "memory.max", "memory.current", &limit, &room);

	if (!limited)
		limited = find_cgroup(false, group, sizeof(group)) &&
		          tightest("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes", "memory.usage_in_bytes",
		                   &limit, &room);
	if (!limited) {
		doctor_report(DOCTOR_OK, "cgroup memory", NULL, "no limit");
		return;
	}
	cli_format_size(limit, total);
	cli_format_size(room, left);
	if (room < 64 * MIB || room < limit / 20)
		doctor_report(DOCTOR_WARN, "cgroup memory",
		              "raise memory.max: a pool's pages count, and the kernel kills when it is "
		              "reached",
		              "%s left of %s", left, total);
	else
		doctor_report(DOCTOR_OK, "cgroup memory", NULL, "%s left of %s, pools included", left, total);
}

/* ---- systemd ---------------------------------------------------------------------------------------------------- */

/* The last RemoveIPC= in a file wins. -1: it says nothing. */
static int read_remove_ipc(const char *path, int value)
{
	char line[512];
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return value;
	while (fgets(line, sizeof(line), file) != NULL) {
		char *text = line;
		while (isspace((unsigned char)*text))
			text++;
		if (strncmp(text, "RemoveIPC", 9) != 0)
			continue;
		text += 9;
		text += strspn(text, " \t");
		if (*text++ != '=')
			continue;
		text += strspn(text, " \t");
		value = !(strncasecmp(text, "no", 2) == 0 || strncasecmp(text, "false", 5) == 0 || *text == '0' ||
		          strncasecmp(text, "off", 3) == 0);
	}
	fclose(file);
	return value;
}

static void check_remove_ipc(const char *dir)
{
	static const char *const patterns[] = { "/usr/lib/systemd/logind.conf", "/etc/systemd/logind.conf",
		                                "/usr/lib/systemd/logind.conf.d/*.conf",
		                                "/run/systemd/logind.conf.d/*.conf",
		                                "/etc/systemd/logind.conf.d/*.conf" };
	int value = -1;

	if (access("/run/systemd/system", F_OK) != 0) {
		doctor_report(DOCTOR_OK, "RemoveIPC", NULL, "systemd does not run here");
		return;
	}
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		glob_t found;
		if (glob(patterns[i], 0, NULL, &found) == 0) {
			for (size_t j = 0; j < found.gl_pathc; j++)
				value = read_remove_ipc(found.gl_pathv[j], value);
			globfree(&found);
		}
	}
	if (value == 0)
		doctor_report(DOCTOR_OK, "RemoveIPC", NULL, "off: files in /dev/shm outlive a login");
	else if (geteuid() < 1000)
		doctor_report(DOCTOR_OK, "RemoveIPC", NULL, "on, but it spares system users such as this one");
	else if (strncmp(dir, "/dev/shm", 8) != 0)
		doctor_report(DOCTOR_OK, "RemoveIPC", NULL, "on, but it looks at /dev/shm alone and pools are in %s",
		              dir);
	else
		doctor_report(DOCTOR_WARN, "RemoveIPC",
		              "RemoveIPC=no in /etc/systemd/logind.conf, or loginctl enable-linger, or "
		              "$LATZERO_DIR elsewhere",
		              "systemd deletes this user's files in /dev/shm at the last logout, pools included");
}

/* ---- Memory and limits ------------------------------------------------------------------------------------------ */

static void check_huge_pages(void)
{
	char line[256], chosen[64] = "";

	if (!doctor_read_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled", line, sizeof(line))) {
		doctor_report(DOCTOR_OK, "huge pages", NULL, "this kernel has none for shared memory");
		return;
	}
	char *begin = strchr(line, '['), *end = begin != NULL ? strchr(begin, ']') : NULL;
	if (end != NULL)
		snprintf(chosen, sizeof(chosen), "%.*s", (int)(end - begin - 1), begin + 1);
	if (strcmp(chosen, "advise") == 0 || strcmp(chosen, "within_size") == 0 || strcmp(chosen, "always") == 0)
		doctor_report(DOCTOR_OK, "huge pages", NULL, "shared memory: %s", chosen);
	else if (strcmp(chosen, "never") == 0 || strcmp(chosen, "deny") == 0)
		doctor_report(DOCTOR_WARN, "huge pages",
		              "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled: large pools "
		              "then cost fewer TLB misses",
		              "shared memory: %s", chosen);
	else
		doctor_report(DOCTOR_OK, "huge pages", NULL, "shared memory: %s", *chosen != '\0' ? chosen : line);
}

static void format_limit(rlim_t limit, bool bytes, char text[CLI_TEXT_MAX])
{
	if (limit == RLIM_INFINITY)
		snprintf(text, CLI_TEXT_MAX, "no limit");
	else if (bytes)
		cli_format_size(limit, text);
	else
		snprintf(text, CLI_TEXT_MAX, "%" PRIu64, (uint64_t)limit);
}

static void check_limits(void)
{
	struct rlimit limit;
	char text[CLI_TEXT_MAX];

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		format_limit(limit.rlim_cur, false, text);
		if (limit.rlim_cur < 256)
			doctor_report(DOCTOR_WARN, "open files", "ulimit -n 1024: an attached pool holds a handful",
			              "%s", text);
		else
			doctor_report(DOCTOR_OK, "open files", NULL, "%s", text);
	}
	if (getrlimit(RLIMIT_AS, &limit) == 0) {
		format_limit(limit.rlim_cur, true, text);
		if (limit.rlim_cur != RLIM_INFINITY)
			doctor_report(DOCTOR_WARN, "address space",
			              "ulimit -v unlimited: a pool takes several times its size, mapped again "
			              "as it grows",
			              "%s", text);
		else
			doctor_report(DOCTOR_OK, "address space", NULL, "%s", text);
	}
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
		format_limit(limit.rlim_cur, true, text);
		doctor_report(DOCTOR_OK, "locked memory", NULL, "%s (pools lock only keys and passwords)", text);
	}
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
		format_limit(limit.rlim_cur, true, text);
		doctor_report(DOCTOR_WARN, "file size", "ulimit -f unlimited: a pool's files can't grow past it", "%s",
		              text);
	}
}

static int run_doctor(const struct cli_command *command, int argc, char **argv)
{
	struct utsname system;
	char dir[4096];

	cli_parse(command, NULL, argc, argv, 0, 0);
	find_directory(dir, sizeof(dir));
	if (uname(&system) == 0)
		doctor_report(DOCTOR_OK, "system", NULL, "latzero %s on %s %s %s", latz_version(), system.sysname,
		              system.release, system.machine);
	check_space(dir);
	check_cgroup();
	check_remove_ipc(dir);
	check_huge_pages();
	check_limits();
	doctor_check_kernel(dir);
	if (cli.tty && !cli.json)
		printf("\n%s%u failed, %u to look at%s\n", failures > 0 ? cli_red() : cli_green(), failures, warnings,
		       cli_plain());
	if (failures > 0)
		return cli_error(
			CLI_FAIL,
			"directory %s: %u of the features that pools need %s missing; the lines above tell the remedy",
			dir, failures, failures == 1 ? "is" : "are");
	return CLI_OK;
}

const struct cli_command cmd_doctor = {
	"doctor",
	"",
	"Reports what on this machine will hurt, with the remedy for each",
	"Looks at the file system pools are on (--dir, $LATZERO_DIR or /dev/shm), cgroup memory, systemd's RemoveIPC, "
	"huge pages,\n"
	"limits, and tries every kernel feature the library rests on. Each line: ok, warn or fail; what; what was "
	"found; remedy.\n"
	"Exit 3 if something needed fails.\n\n"
	"Example:\n"
	"  latzero doctor --json | jq 'select(.level != \"ok\")'\n",
	run_doctor,
};
