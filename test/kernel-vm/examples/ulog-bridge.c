/*
 * Passes the requests of device-mapper's "userspace" dirty log to a log server at a TCP address,
 * and its answers back to the kernel: the same structures, one after the other, without the
 * headers of netlink and connector.
 *
 *   ulog-bridge ADDRESS PORT
 *
 * The device that a server names for a log (answer of CTR) is one of its own machine, and is left
 * out.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/connector.h>
#include <linux/dm-log-userspace.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

enum { LARGEST = sizeof(struct dm_ulog_request) + 16384 };

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int open_connector(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_DM };
	int group = CN_IDX_DM;
	int fd = socket(PF_NETLINK, SOCK_DGRAM, NETLINK_CONNECTOR);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group))
		die("connector");
	return fd;
}

static int open_server(const char *host, const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		fprintf(stderr, "address is \"%s\", must be like 10.0.2.2\n", host);
		exit(2);
	}
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
		die("server");
	return fd;
}

static void send_all(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t sent = write(fd, bytes, size);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			die("server");
		bytes += sent;
		size -= sent;
	}
}

static void from_kernel(int connector, int server)
{
	static char buffer[NLMSG_SPACE(sizeof(struct cn_msg)) + LARGEST] __attribute__((aligned(16)));
	ssize_t size = recv(connector, buffer, sizeof buffer, 0);
	struct nlmsghdr *header = (struct nlmsghdr *)buffer;
	struct cn_msg *message = NLMSG_DATA(header);

	if (size < 0 && errno == EINTR)
		return;
	if (size < 0)
		die("connector");
	if (!NLMSG_OK(header, (size_t)size) || header->nlmsg_type != NLMSG_DONE ||
	    message->id.idx != CN_IDX_DM || message->id.val != CN_VAL_DM_USERSPACE_LOG ||
	    message->len < sizeof(struct dm_ulog_request))
		return;
	send_all(server, (char *)message->data, message->len);
}

static void to_kernel(int connector, struct dm_ulog_request *reply)
{
	static char buffer[NLMSG_SPACE(sizeof(struct cn_msg)) + LARGEST] __attribute__((aligned(16)));
	struct nlmsghdr *header = (struct nlmsghdr *)buffer;
	struct cn_msg *message = NLMSG_DATA(header);

	if (DM_ULOG_REQUEST_TYPE(reply->request_type) == DM_ULOG_CTR)
		reply->data_size = 0;
	memset(buffer, 0, NLMSG_LENGTH(sizeof *message));
	message->id.idx = CN_IDX_DM;
	message->id.val = CN_VAL_DM_USERSPACE_LOG;
	message->seq = reply->seq;
	message->len = sizeof *reply + reply->data_size;
	memcpy(message->data, reply, message->len);
	header->nlmsg_type = NLMSG_DONE;
	header->nlmsg_pid = getpid();
	header->nlmsg_len = NLMSG_LENGTH(sizeof *message + message->len);
	if (send(connector, buffer, header->nlmsg_len, 0) < 0)
		die("connector");
}

static void from_server(int connector, int server)
{
	static char buffer[LARGEST] __attribute__((aligned(16)));
	static size_t filled;
	struct dm_ulog_request *reply = (struct dm_ulog_request *)buffer;
	ssize_t size = read(server, buffer + filled, sizeof buffer - filled);

	if (size < 0 && errno == EINTR)
		return;
	if (size <= 0) {
		fprintf(stderr, "the log server has gone\n");
		exit(1);
	}
	filled += size;
	while (filled >= sizeof *reply) {
		size_t whole = sizeof *reply + reply->data_size;
		if (whole > sizeof buffer) {
			fprintf(stderr, "a reply has %u bytes of data\n", reply->data_size);
			exit(1);
		}
		if (filled < whole)
			return;
		to_kernel(connector, reply);
		filled -= whole;
		memmove(buffer, buffer + whole, filled);
	}
}

int main(int count, char **words)
{
	if (count != 3) {
		fprintf(stderr, "usage: ulog-bridge ADDRESS PORT\n");
		return 2;
	}
	int connector = open_connector();
	int server = open_server(words[1], words[2]);
	struct pollfd ready[] = {
		{ .fd = connector, .events = POLLIN },
		{ .fd = server, .events = POLLIN },
	};

	/* Whoever started it may load tables from now on. */
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (poll(ready, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (ready[0].revents)
			from_kernel(connector, server);
		if (ready[1].revents)
			from_server(connector, server);
	}
}
