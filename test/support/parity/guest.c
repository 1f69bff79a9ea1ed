/*
 * The kernel's side of random parity: runs programs of device-mapper commands and
 * requests in the guest, many at a time, and says what came of each. The commands
 * are described in commands.ts, which also has the emulator's side of them.
 *
 * One process for each worker, each with a loop device over a file in memory: so its
 * contents can be looked at and set by way of memory, past every cache. Requests run in
 * threads of their own, for any of them may wait until a later step. A worker that does
 * not come on is given up, its program called "hung", and another takes its place.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	SECTOR = 512,
	WORKERS_MAX = 64,
	OUT_BYTES = 4 << 20,
	DEVICES_MAX = 256,
	REQUESTS_MAX = 512,
	LABELS_MAX = 32,
	IOCTL_BYTES = 8 << 10,
	HUNG_AFTER_S = 60,
	PROCESSORS = 2,
	SAMPLES_EQUAL = 4,
};

/* Shared by the parent and its workers. */
struct slot {
	_Atomic long program; /* index of the program under way, -1: none */
	/* When its last command began. */
	_Atomic long since_s;
	_Atomic size_t length;
	char text[OUT_BYTES];
};

static struct shared {
	_Atomic long next;
	struct slot slots[WORKERS_MAX];
} *shared;

static char *programs; /* all of the input, and where each program begins */
static char **starts;
static long program_count;
static int settle_ms = 12;

/* This worker's. */
static int worker, control, out_fd;
static struct slot *slot;
static uint8_t *disk;
static size_t disk_bytes = 96 << 20;
static unsigned disk_major, disk_minor;
static int disk_statistics; /* what the disk has done so far, as a file */
static size_t watch_start[4], watch_bytes[4];
static int watches;

static struct device {
	char name[32]; /* as the program calls it */
	unsigned major, minor;
	int fd; /* open for requests, or -1 */
	int kept; /* left over from another program, and as good as new */
} devices[DEVICES_MAX];
static int device_count;

struct request {
	char kind; /* r, w, u, f, d; s, n: a suspend */
	int id, fd, done, reported, result;
	uint64_t sector, count;
	uint32_t tag;
	uint8_t *data;
	struct device *device;
	pthread_t thread;
};
static struct request requests[REQUESTS_MAX];
static int request_count;
static _Atomic int done_count;

static struct {
	char name[32];
	char *text;
} labels[LABELS_MAX];
static int label_count;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void say(const char *format, ...)
{
	va_list list;
	size_t at = slot->length;

	va_start(list, format);
	int n = vsnprintf(slot->text + at, OUT_BYTES - at, format, list);
	va_end(list);
	if (n > 0 && at + (size_t)n < OUT_BYTES)
		slot->length = at + (size_t)n;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- device-mapper ---------------------------------------------------------- */

static union {
	struct dm_ioctl header;
	char bytes[IOCTL_BYTES];
} dm;

static void dm_prepare(const char *name, unsigned flags)
{
	memset(&dm.header, 0, sizeof(dm.header));
	dm.header.version[0] = 4;
	dm.header.data_size = IOCTL_BYTES / 2;
	dm.header.data_start = sizeof(struct dm_ioctl);
	dm.header.flags = flags;
	snprintf(dm.header.name, sizeof(dm.header.name), "p%d-%.31s", worker, name);
}

static int dm_run(unsigned long request)
{
	return ioctl(control, request, &dm) < 0 ? errno : 0;
}

static struct device *find(const char *name)
{
	for (int i = 0; i < device_count; i++)
		if (!strcmp(devices[i].name, name))
			return &devices[i];
	return NULL;
}

static int create(const char *name)
{
	struct device *kept = find(name);

	if (kept && kept->kept) { /* from the program before */
		kept->kept = 0;
		return 0;
	}
	dm_prepare(name, 0);
	int error = dm_run(DM_DEV_CREATE);
	if (error)
		return error;
	if (device_count == DEVICES_MAX)
		die("too many devices");
	struct device *device = &devices[device_count++];
	snprintf(device->name, sizeof(device->name), "%s", name);
	device->major = major(dm.header.dev);
	device->minor = minor(dm.header.dev);
	device->fd = -1;
	device->kept = 0;
	return 0;
}

/* "@name" becomes the number of that device. */
static void expand(const char *from, char *to, size_t room)
{
	char *end = to + room - 32;

	while (*from && to < end) {
		if (*from != '@') {
			*to++ = *from++;
			continue;
		}
		char name[32];
		int n = 0;
		for (from++; *from && *from != ' ' && n < 31; from++)
			name[n++] = *from;
		name[n] = 0;
		struct device *device = find(name);
		if (!strcmp(name, "disk"))
			to += sprintf(to, "%u:%u", disk_major, disk_minor);
		else if (device)
			to += sprintf(to, "%u:%u", device->major, device->minor);
		else
			to += sprintf(to, "/none/%s", name);
	}
	*to = 0;
}

static int load(const char *name, char *table)
{
	dm_prepare(name, 0);
	char *at = dm.bytes + sizeof(struct dm_ioctl);
	char *save = NULL;

	for (char *line = strtok_r(table, ";", &save); line; line = strtok_r(NULL, ";", &save)) {
		struct dm_target_spec *spec = (struct dm_target_spec *)at;
		unsigned long long start = 0, length = 0;
		int words = 0;

		memset(spec, 0, sizeof(*spec));
		sscanf(line, "%llu %llu %15s %n", &start, &length, spec->target_type, &words);
		spec->sector_start = start;
		spec->length = length;
		char *parameters = at + sizeof(*spec);
		expand(line + words, parameters, 2048);
		size_t size = sizeof(*spec) + strlen(parameters) + 1;
		size = (size + 7) / 8 * 8;
		spec->next = size;
		at += size;
		dm.header.target_count++;
	}
	return dm_run(DM_TABLE_LOAD);
}

static void open_for_requests(struct device *device)
{
	char path[64];
	uint64_t bytes = 0;

	if (device->fd >= 0)
		return;
	snprintf(path, sizeof(path), "/dev/parity-%d-%s", worker, device->name);
	unlink(path);
	if (mknod(path, S_IFBLK | 0600, makedev(device->major, device->minor)))
		return;
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	unlink(path);
	if (fd < 0)
		return;
	if (ioctl(fd, BLKGETSIZE64, &bytes) || !bytes)
		close(fd);
	else
		device->fd = fd;
}

static int is_waiting(const struct device *device)
{
	for (int i = 0; i < request_count; i++)
		if (requests[i].device == device && !requests[i].done)
			return 1;
	return 0;
}

static int change_state(const char *name, unsigned flags)
{
	dm_prepare(name, flags);
	return dm_run(DM_DEV_SUSPEND);
}

static int remove_device(const char *name)
{
	struct device *device = find(name);

	if (device && device->fd >= 0 && !is_waiting(device)) {
		close(device->fd);
		device->fd = -1;
	}
	dm_prepare(name, 0);
	int error = dm_run(DM_DEV_REMOVE);
	if (!error && device)
		device->name[0] = 0; /* its place stays: requests point to it */
	return error;
}

/* Numbers of our devices are shown as "@name", of the disk as "@disk". */
static void say_words(const char *text)
{
	while (*text) {
		unsigned major_, minor_;
		int n = 0;
		int is_start = text[-1] == ' ' || text[-1] == 0;

		if (is_start && sscanf(text, "%u:%u%n", &major_, &minor_, &n) == 2) {
			const char *name = NULL;
			if (major_ == disk_major && minor_ == disk_minor)
				name = "disk";
			for (int i = 0; i < device_count; i++)
				if (devices[i].major == major_ && devices[i].minor == minor_ &&
				    devices[i].name[0])
					name = devices[i].name;
			if (name) {
				say("@%s", name);
				text += n;
				continue;
			}
		}
		say("%c", *text++);
	}
}

static int query(const char *name, unsigned flags)
{
	dm_prepare(name, flags);
	return dm_run(DM_TABLE_STATUS);
}

static void say_lines(const char *mark)
{
	char *base = dm.bytes + dm.header.data_start;
	char *at = base;

	if (dm.header.flags & DM_BUFFER_FULL_FLAG)
		say("%s full\n", mark);
	for (unsigned i = 0; i < dm.header.target_count; i++) {
		struct dm_target_spec *spec = (struct dm_target_spec *)at;
		char text[2048];

		snprintf(text + 1, sizeof(text) - 1, "%s", (char *)(spec + 1));
		text[0] = 0;
		say("%s %llu %llu %s ", mark, (unsigned long long)spec->sector_start,
		    (unsigned long long)spec->length, spec->target_type);
		say_words(text + 1);
		say("\n");
		at = base + spec->next;
	}
}

/* --- what is on the disk ------------------------------------------------------ */

static uint32_t hash(const uint8_t *bytes, size_t length)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < length; i++)
		h = (h ^ bytes[i]) * 16777619u;
	return h;
}

static void fill(uint8_t *to, uint64_t count, uint32_t tag, uint64_t first)
{
	for (uint64_t s = 0; s < count; s++) {
		uint32_t word = tag << 16 | ((first + s) & 0xffff);
		for (int i = 0; i < SECTOR / 4; i++)
			memcpy(to + s * SECTOR + i * 4, &word, 4);
	}
}

/* Sectors of one word each, as runs of words that count up: "8:10000,4:0". */
static char *describe(const uint8_t *data, uint64_t count)
{
	size_t room = 4096, at = 0;
	char *text = malloc(room);
	uint64_t s = 0;

	text[0] = 0;
	while (s < count) {
		const uint8_t *sector = data + s * SECTOR;
		uint32_t word, next;
		uint64_t run = 1;

		memcpy(&word, sector, 4);
		if (memcmp(sector, sector + 4, SECTOR - 4)) {
			at += sprintf(text + at, "%s1:x%x", s ? "," : "", hash(sector, SECTOR));
		} else {
			for (; s + run < count; run++) {
				const uint8_t *other = sector + run * SECTOR;
				memcpy(&next, other, 4);
				if (next != (word ? word + run : 0) || memcmp(other, other + 4, SECTOR - 4))
					break;
			}
			at += sprintf(text + at, "%s%llu:%x", s ? "," : "", (unsigned long long)run, word);
		}
		s += run;
		if (room - at < 64)
			text = realloc(text, room *= 2);
	}
	return text;
}

/* Words of four bytes as hexadecimal numbers, with how often each comes in a row: "0*12,7*1". */
static char *words(const uint8_t *data, uint64_t count)
{
	size_t length = count * SECTOR / 4;
	char *text = malloc(length * 14 + 1), *at = text;
	const uint32_t *word = (const uint32_t *)(const void *)data;

	for (size_t i = 0; i < length;) {
		size_t run = 1;
		while (i + run < length && word[i + run] == word[i])
			run++;
		at += sprintf(at, "%s%x*%zu", i ? "," : "", word[i], run);
		i += run;
	}
	return text;
}

/* Says what a label stands for now, where that has changed. Takes the text. */
static void say_changed(const char *name, char *text)
{
	int i = 0;

	while (i < label_count && strcmp(labels[i].name, name))
		i++;
	if (i == LABELS_MAX)
		die("too many labels");
	if (i == label_count) {
		snprintf(labels[i].name, sizeof(labels[i].name), "%s", name);
		labels[i].text = NULL;
		label_count++;
	}
	if (labels[i].text && !strcmp(labels[i].text, text)) {
		free(text);
		return;
	}
	free(labels[i].text);
	labels[i].text = text;
	say("c %s %s\n", name, text);
}

/* --- requests ----------------------------------------------------------------- */

/* With a header of its own: others may be at work with the one of this process. */
static int suspend_beside(const struct request *r)
{
	struct dm_ioctl header = { .version = { 4 }, .data_size = sizeof(header),
				   .data_start = sizeof(header), .flags = DM_SUSPEND_FLAG };

	if (r->kind == 'n')
		header.flags |= DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG;
	snprintf(header.name, sizeof(header.name), "p%d-%.31s", worker, r->device->name);
	return ioctl(control, DM_DEV_SUSPEND, &header);
}

static void *run_request(void *argument)
{
	struct request *r = argument;
	size_t bytes = r->count * SECTOR;
	off_t at = (off_t)(r->sector * SECTOR);
	uint64_t range[2] = { (uint64_t)at, bytes };
	ssize_t n = 0;

	if (r->kind == 'r')
		n = pread(r->fd, r->data, bytes, at);
	else if (r->kind == 'w')
		n = pwrite(r->fd, r->data, bytes, at);
	else if (r->kind == 'u')
		n = pwritev2(r->fd, &(struct iovec){ r->data, bytes }, 1, at, RWF_DSYNC);
	else if (r->kind == 's' || r->kind == 'n')
		n = suspend_beside(r);
	else if (r->kind == 'f')
		n = fsync(r->fd);
	else
		n = ioctl(r->fd, BLKDISCARD, range);
	if (n < 0)
		r->result = errno;
	else if (r->data && (size_t)n != bytes)
		r->result = -1;
	r->done = 1;
	atomic_fetch_add(&done_count, 1);
	return NULL;
}

static void request(char kind, int id, const char *name, uint64_t sector, uint64_t count,
		    uint32_t tag)
{
	struct device *device = find(name);
	uint64_t bytes = 0;

	if (device)
		open_for_requests(device);
	if (!device || device->fd < 0) {
		say("i %d no-device\n", id);
		return;
	}
	ioctl(device->fd, BLKGETSIZE64, &bytes);
	if ((sector + count) * SECTOR > bytes) {
		say("i %d beyond\n", id);
		return;
	}
	/* The kernel lets one discard of a device at a time reach it. */
	for (int i = 0; kind == 'd' && i < request_count; i++)
		if (requests[i].kind == 'd' && requests[i].device == device && !requests[i].done) {
			say("i %d busy\n", id);
			return;
		}
	if (request_count == REQUESTS_MAX)
		die("too many requests");
	struct request *r = &requests[request_count++];
	*r = (struct request){ .kind = kind, .id = id, .fd = device->fd, .sector = sector,
			       .count = count, .tag = tag, .device = device };
	if (kind == 'r' || kind == 'w' || kind == 'u') {
		if (posix_memalign((void **)&r->data, 4096, count * SECTOR))
			die("memory");
		if (kind != 'r')
			fill(r->data, count, tag, sector);
		else
			memset(r->data, 0xee, count * SECTOR);
	}
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 << 10);
	if (pthread_create(&r->thread, &attributes, run_request, r))
		die("thread");
}

static void say_requests(void)
{
	for (int i = 0; i < request_count; i++) {
		struct request *r = &requests[i];
		if (r->reported)
			continue;
		if (!r->done) {
			say("i %d waits\n", r->id);
			continue;
		}
		r->reported = 1;
		pthread_join(r->thread, NULL);
		if (r->kind == 'r' && !r->result) {
			char *text = describe(r->data, r->count);
			say("i %d 0 %s\n", r->id, text);
			free(text);
		} else {
			say("i %d %d\n", r->id, r->result);
		}
		free(r->data);
		r->data = NULL;
	}
}

/* --- observing ---------------------------------------------------------------- */

static uint32_t sample(const char *name)
{
	uint32_t h = (uint32_t)done_count;
	uint8_t text[256];
	ssize_t n = pread(disk_statistics, text, sizeof(text), 0);

	h = h * 31 + hash(text, n > 0 ? (size_t)n : 0);

	if (!query(name, 0)) {
		h = h * 31 + dm.header.event_nr;
		h = h * 31 + hash((uint8_t *)dm.bytes + dm.header.data_start, 512);
	}
	for (int i = 0; i < watches; i++)
		h = h * 31 + hash(disk + watch_start[i], watch_bytes[i]);
	return h;
}

/*
 * Lets everything run that can: at the lowest priority this comes back from a processor only when that
 * has nothing else to do. All disks being memory, nothing here waits for anything but processors.
 */
static void let_others_run(void)
{
	cpu_set_t one, all;

	CPU_ZERO(&all);
	for (int cpu = 0; cpu < PROCESSORS; cpu++) {
		CPU_SET(cpu, &all);
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		sched_yield();
	}
	sched_setaffinity(0, sizeof(all), &all);
}

/*
 * Whether the disk may have changed since its contents were last told: it counts the requests that
 * it has had. Looking at all of it takes longer than most steps.
 */
static int contents_changed = 1, contents_told;
static uint32_t disk_requests;

static void look_at_disk(void)
{
	uint8_t text[256];
	ssize_t n = pread(disk_statistics, text, sizeof(text), 0);
	uint32_t now = hash(text, n > 0 ? (size_t)n : 0);

	if (n <= 0 || now != disk_requests)
		contents_changed = 1;
	disk_requests = now;
}

/* Until nothing has changed for a while, in which all processors were idle some times. */
static void settle(const char *name)
{
	struct sched_param none = { .sched_priority = 0 };
	uint32_t last = 0;
	long since = now_ms(), limit = since + 10000;
	int equal = 0;

	sched_setscheduler(0, SCHED_IDLE, &none);
	for (;;) {
		let_others_run();
		uint32_t current = sample(name);
		long now = now_ms();
		if (current != last) {
			last = current;
			since = now;
			equal = 0;
		} else if (++equal >= SAMPLES_EQUAL && now - since >= settle_ms) {
			break;
		}
		if (now > limit) {
			say("! unsettled\n");
			break;
		}
		usleep(1000);
	}
	sched_setscheduler(0, SCHED_OTHER, &none);
}

static void observe(const char *name)
{
	settle(name);
	look_at_disk();
	say_requests();
	if (query(name, 0)) {
		say("e none\n");
		return;
	}
	unsigned flags = dm.header.flags;
	say("e %u%s%s%s\n", dm.header.event_nr, flags & DM_SUSPEND_FLAG ? " suspended" : "",
	    flags & DM_ACTIVE_PRESENT_FLAG ? " live" : "",
	    flags & DM_INACTIVE_PRESENT_FLAG ? " inactive" : "");
	say_lines("s");
	query(name, DM_STATUS_TABLE_FLAG);
	say_lines("t");
	if (flags & DM_INACTIVE_PRESENT_FLAG) {
		query(name, DM_STATUS_TABLE_FLAG | DM_QUERY_INACTIVE_TABLE_FLAG);
		say_lines("x");
	}
}

/* --- programs ----------------------------------------------------------------- */

static void command(char *line)
{
	char word[16] = "", name[32] = "", rest_flag[16] = "";
	int n = 0, id = 0, result = 0;
	unsigned long long a = 0, b = 0, c = 0;

	if (sscanf(line, "%15s %31s %n", word, name, &n) < 1)
		return;
	if (!strcmp(word, "step")) {
		/* Of one step all of the disk is told, or nothing. */
		if (contents_told)
			contents_changed = contents_told = 0;
		say("step %s\n", name);
		return;
	}
	if (!strcmp(word, "fill")) {
		sscanf(line, "fill %llu %llu %llx", &a, &b, &c);
		contents_changed = 1;
		if (c)
			fill(disk + a * SECTOR, b, (uint32_t)c, 0);
		else
			memset(disk + a * SECTOR, 0, b * SECTOR);
		return;
	}
	if (!strcmp(word, "watch")) {
		sscanf(line, "watch %llu %llu", &a, &b);
		watch_start[watches] = a * SECTOR;
		watch_bytes[watches++] = b * SECTOR;
		return;
	}
	if (!strcmp(word, "contents") || !strcmp(word, "bytes")) {
		sscanf(line + n, "%llu %llu", &a, &b);
		contents_told = 1;
		if (!contents_changed)
			return;
		uint8_t *data = disk + a * SECTOR;
		say_changed(name, word[0] == 'c' ? describe(data, b) : words(data, b));
		return;
	}
	if (!strcmp(word, "observe")) {
		observe(name);
		return;
	}
	if (!strcmp(word, "io")) {
		char kind = name[0];
		sscanf(line + n, "%d %31s %llu %llu %llx", &id, name, &a, &b, &c);
		request(kind, id, name, a, b, (uint32_t)c);
		return;
	}
	sscanf(line + n, "%15s", rest_flag);
	int noflush = !strcmp(rest_flag, "noflush");
	if (!strcmp(word, "create"))
		result = create(name);
	else if (!strcmp(word, "load"))
		result = load(name, line + n);
	else if (!strcmp(word, "suspend"))
		result = change_state(name, DM_SUSPEND_FLAG |
				      (noflush ? DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG : 0));
	else if (!strcmp(word, "resume"))
		result = change_state(name, noflush ? DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG : 0);
	else if (!strcmp(word, "remove"))
		result = remove_device(name);
	else if (!strcmp(word, "clear")) {
		dm_prepare(name, 0);
		result = dm_run(DM_TABLE_CLEAR);
	} else
		say("! unknown command %s\n", word);
	if (result)
		say("r %s %s %d\n", word, name, result);
}

/* All but the mirror itself is worth keeping: making a device takes long. */
static int is_worth_keeping(const struct device *device)
{
	return device->name[0] != 'm';
}

/* Whatever state the program has left, requests and mirrors end: disks below them come first. */
static void clean_up(void)
{
	char table[64];
	int kept = 0;

	for (int i = 0; i < device_count; i++) {
		if (!devices[i].name[0])
			continue;
		snprintf(table, sizeof(table), "0 1048576 error");
		load(devices[i].name, table);
		change_state(devices[i].name, DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG);
	}
	for (int i = 0; i < request_count; i++)
		if (!requests[i].reported)
			pthread_join(requests[i].thread, NULL);
	for (int i = device_count - 1; i >= 0; i--) {
		if (!devices[i].name[0] || is_worth_keeping(&devices[i]))
			continue;
		int error = remove_device(devices[i].name);
		if (error)
			fprintf(stderr, "p%d-%s stays: %s\n", worker, devices[i].name, strerror(error));
	}
	for (int i = 0; i < device_count; i++) {
		if (!devices[i].name[0])
			continue;
		devices[kept] = devices[i];
		devices[kept++].kept = 1;
	}
	for (int i = 0; i < label_count; i++)
		free(labels[i].text);
	device_count = kept;
	request_count = label_count = watches = 0;
	contents_changed = 1;
	contents_told = 0;
	done_count = 0;
}

static void run_program(long index)
{
	char *text = strdup(starts[index]);
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strcmp(line, "end"))
			break;
		slot->since_s = now_ms() / 1000;
		if (!strncmp(line, "program ", 8))
			say("%s\n", line);
		else
			command(line);
	}
	free(text);
	/* Where the kernel hangs from here on the program is over. */
	say("# clean-up\n");
	clean_up();
	say("end\n");
}

static void make_disk(void)
{
	char path[64];
	struct stat status;

	snprintf(path, sizeof(path), "/tmp/parity.%d", worker);
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0 || ftruncate(file, (off_t)disk_bytes))
		die(path);
	disk = mmap(NULL, disk_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (disk == MAP_FAILED)
		die("mmap");
	int loops = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	for (;;) {
		int number = ioctl(loops, LOOP_CTL_GET_FREE);
		snprintf(path, sizeof(path), "/dev/loop%d", number);
		int loop = number < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
		if (loop < 0)
			die(path);
		if (!ioctl(loop, LOOP_SET_FD, file)) {
			fstat(loop, &status);
			disk_major = major(status.st_rdev);
			disk_minor = minor(status.st_rdev);
			snprintf(path, sizeof(path), "/sys/block/loop%d/stat", number);
			disk_statistics = open(path, O_RDONLY | O_CLOEXEC);
			return; /* stays open, and so in use */
		}
		if (errno != EBUSY)
			die("LOOP_SET_FD");
		close(loop);
	}
}

static void flush_out(struct slot *from)
{
	size_t done = 0, length = from->length;

	while (done < length) {
		ssize_t n = write(out_fd, from->text + done, length - done);
		if (n <= 0)
			die("output");
		done += (size_t)n;
	}
	from->length = 0;
}

static void work(int number)
{
	worker = number;
	slot = &shared->slots[number];
	control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		die("/dev/mapper/control");
	make_disk();
	for (;;) {
		long index = atomic_fetch_add(&shared->next, 1);
		if (index >= program_count)
			break;
		slot->since_s = now_ms() / 1000;
		slot->program = index;
		run_program(index);
		slot->program = -1;
		flush_out(slot);
	}
	exit(0);
}

static void read_programs(const char *path)
{
	struct stat status;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &status))
		die(path);
	size_t size = (size_t)status.st_size, done = 0;
	programs = malloc(size + 1);
	while (done < size) {
		ssize_t n = read(fd, programs + done, size - done);
		if (n <= 0)
			die(path);
		done += (size_t)n;
	}
	programs[size] = 0;
	long room = 64;
	starts = malloc((size_t)room * sizeof(*starts));
	for (char *at = programs; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
		if (strncmp(at, "program ", 8))
			continue;
		if (program_count == room)
			starts = realloc(starts, (size_t)(room *= 2) * sizeof(*starts));
		starts[program_count++] = at;
	}
	/* Each is a text of its own. */
	for (long i = 1; i < program_count; i++)
		starts[i][-1] = 0;
}

/* usage: guest PROGRAMS OUTPUT WORKERS SETTLE-MS SECONDS */
int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	int workers = atoi(argv[3]), used = 0, running = 0;
	settle_ms = atoi(argv[4]);
	long deadline = now_ms() / 1000 + atol(argv[5]);
	pid_t pids[WORKERS_MAX];

	read_programs(argv[1]);
	out_fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (out_fd < 0)
		die(argv[2]);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	while (running < workers || running > 0) {
		long now = now_ms() / 1000;
		while (used < WORKERS_MAX && running < workers && shared->next < program_count &&
		       now < deadline) {
			shared->slots[used].program = -1;
			pids[used] = fork();
			if (!pids[used])
				work(used);
			used++;
			running++;
		}
		if (!running || now >= deadline)
			break;
		usleep(20000);
		for (int i = 0; i < used; i++) {
			struct slot *of = &shared->slots[i];
			if (pids[i] <= 0)
				continue;
			int status = 0;
			long index = of->program;
			int ended = waitpid(pids[i], &status, WNOHANG) == pids[i];
			int hung = !ended && index >= 0 && now - of->since_s > HUNG_AFTER_S;
			if (!ended && !hung)
				continue;
			if (hung || status) {
				char text[64];
				flush_out(of);
				int n = snprintf(text, sizeof(text), "%s %ld\nend\n", hung ? "hung" : "died", index);
				if (write(out_fd, text, (size_t)n) != n)
					die("output");
				if (hung)
					kill(pids[i], 9);
			}
			pids[i] = -1;
			running--;
		}
	}
	return 0;
}
