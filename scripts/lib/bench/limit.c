/*
 * The physical limit: what the machine can do with the system calls that a mirror of two legs
 * cannot do without, and nothing else.
 *
 *   limit read|write random|sequential BLOCK IN_FLIGHT SIZE SECONDS FILE [FILE]
 *
 * A client process keeps IN_FLIGHT requests in flight over a pair of unix sockets. A request is 28
 * bytes, which for a write are followed by a block; for all answers that came together it sends the
 * next requests together. The server process receives as much as there is into one buffer, calls
 * pwrite on each file (or pread on the first) for every request, and answers all of them with one
 * send: 16 bytes, and the block for a read. Nothing is checked, logged, allocated or copied, and
 * nobody sleeps: both look again and again whether something came, for a wake-up may cost more than
 * the request. Blocks of 256 KiB and more are received one by one, and their answers sent one by
 * one; with two files a second thread writes the second one.
 *
 * Prints: REQUESTS SECONDS SECONDS_IN_WHICH_THE_SERVER_WORKED, all threads together.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST = 28, REPLY = 16, BATCH = 256 * 1024, IN_FLIGHT_MAX = 64, LOOKS_MAX = 1000 };

static int writing, is_random, in_flight, files[2], file_count;
static size_t block;
static uint64_t blocks;

static void fail(const char *what) {
  perror(what);
  _exit(1);
}

static int send_all(int fd, struct iovec *parts, int count) {
  while (count > 0) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0) return -1;
    while (count > 0 && (size_t)sent >= parts->iov_len) {
      sent -= parts->iov_len;
      parts++;
      count--;
    }
    if (count > 0) {
      parts->iov_base = (char *)parts->iov_base + sent;
      parts->iov_len -= sent;
    }
  }
  return 0;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

/* In which this process looked for bytes and found none. */
static double waited;

/* At least `least` bytes, at most `most`; less only at the end. */
static size_t receive(int fd, char *into, size_t least, size_t most) {
  size_t got = 0;
  while (got < least) {
    ssize_t n = recv(fd, into + got, most - got, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
      double start = now();
      for (int looks = 1; n < 0 && errno == EAGAIN; looks++) {
        // The second thread may need the processor.
        if (looks % LOOKS_MAX == 0) sched_yield();
        n = recv(fd, into + got, most - got, MSG_DONTWAIT);
      }
      waited += now() - start;
    }
    if (n < 0 && errno != ECONNRESET) fail("recv");
    if (n <= 0) break;
    got += n;
  }
  return got;
}

static struct { sem_t start, done; const char *data; off_t offset; double worked; } second;

static void put(int file, const char *data, off_t offset) {
  if (pwrite(file, data, block, offset) != (ssize_t)block) fail("pwrite");
}

static void *write_second(void *unused) {
  for (;;) {
    sem_wait(&second.start);
    double start = now();
    put(files[1], second.data, second.offset);
    second.worked += now() - start;
    sem_post(&second.done);
  }
  return unused;
}

static void carry_out(const char *request, char *data) {
  uint64_t offset;
  memcpy(&offset, request + 16, sizeof offset);
  if (!writing) {
    if (pread(files[0], data, block, offset) != (ssize_t)block) fail("pread");
  } else if (file_count == 2 && block >= BATCH) {
    second.data = data;
    second.offset = offset;
    sem_post(&second.start);
    put(files[0], data, offset);
    double start = now();
    sem_wait(&second.done);
    waited += now() - start;
  } else {
    for (int i = 0; i < file_count; i++) put(files[i], data, offset);
  }
}

static void answer(int fd, char *replies, size_t length) {
  struct iovec part = {replies, length};
  if (send_all(fd, &part, 1) < 0) fail("send");
}

static void serve_large(int fd) {
  char *request = malloc(REQUEST), *buffer = malloc(REPLY + block);
  while (receive(fd, request, REQUEST, REQUEST) == REQUEST) {
    if (writing && receive(fd, buffer + REPLY, block, block) < block) return;
    carry_out(request, buffer + REPLY);
    answer(fd, buffer, REPLY + (writing ? 0 : block));
  }
}

static void serve_small(int fd) {
  size_t whole = REQUEST + (writing ? block : 0), reply = REPLY + (writing ? 0 : block);
  size_t held = 0, most = BATCH + whole;
  char *buffer = malloc(most), *replies = malloc(IN_FLIGHT_MAX * reply);
  for (;;) {
    size_t got = receive(fd, buffer + held, 1, most - held), at = 0, answered = 0;
    if (got == 0) return;
    held += got;
    for (; held - at >= whole; at += whole, answered += reply) {
      char *data = writing ? buffer + at + REQUEST : replies + answered + REPLY;
      carry_out(buffer + at, data);
    }
    held -= at;
    memmove(buffer, buffer + at, held);
    if (answered > 0) answer(fd, replies, answered);
  }
}

/* Sends so many requests with one call. */
static void request(int fd, int count, char *data) {
  static uint64_t state = 88172645463325252ull, next;
  static char requests[IN_FLIGHT_MAX][REQUEST];
  struct iovec parts[2 * IN_FLIGHT_MAX];
  int used = 0;
  for (int i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    uint64_t offset = (is_random ? state % blocks : next++ % blocks) * block;
    memcpy(requests[i] + 16, &offset, sizeof offset);
    parts[used++] = (struct iovec){requests[i], REQUEST};
    if (writing) parts[used++] = (struct iovec){data, block};
  }
  if (count > 0 && send_all(fd, parts, used) < 0) fail("send");
}

static void run_client(int fd, double seconds) {
  size_t reply = REPLY + (writing ? 0 : block), held = 0, most = BATCH + reply;
  char *data = malloc(block), *buffer = malloc(most);
  memset(data, 0x5a, block);
  double start = now(), end = start;
  uint64_t done = 0;
  request(fd, in_flight, data);
  for (int open = in_flight; open > 0;) {
    size_t got = receive(fd, buffer, 1, most);
    if (got == 0) fail("the server ended");
    held += got;
    end = now();
    int answered = held / reply;
    held -= answered * reply;
    done += answered;
    if (end - start < seconds) request(fd, answered, data);
    else open -= answered;
  }
  printf("%lu %.6f ", done, end - start);
}

int main(int count, char **words) {
  if (count < 8) return fputs("limit: too few arguments\n", stderr), 2;
  writing = strcmp(words[1], "write") == 0;
  is_random = strcmp(words[2], "random") == 0;
  block = strtoull(words[3], NULL, 10);
  in_flight = atoi(words[4]);
  blocks = strtoull(words[5], NULL, 10) / block;
  for (; file_count < 2 && words[7 + file_count]; file_count++) {
    files[file_count] = open(words[7 + file_count], O_RDWR);
    if (files[file_count] < 0) fail(words[7 + file_count]);
  }
  int pair[2];
  if (in_flight > IN_FLIGHT_MAX) return fputs("limit: too many requests in flight\n", stderr), 2;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) fail("socketpair");
  int shared = MAP_SHARED | MAP_ANONYMOUS;
  double *worked = mmap(NULL, sizeof *worked, PROT_READ | PROT_WRITE, shared, -1, 0);
  if (worked == MAP_FAILED) fail("mmap");
  pid_t server = fork();
  if (server < 0) fail("fork");
  if (server == 0) {
    pthread_t thread;
    close(pair[0]);
    sem_init(&second.start, 0, 0);
    sem_init(&second.done, 0, 0);
    pthread_create(&thread, NULL, write_second, NULL);
    double start = now();
    if (block >= BATCH) serve_large(pair[1]);
    else serve_small(pair[1]);
    *worked = now() - start - waited + second.worked;
    _exit(0);
  }
  close(pair[1]);
  run_client(pair[0], atof(words[6]));
  close(pair[0]);
  int status;
  if (waitpid(server, &status, 0) < 0 || status != 0) fail("server");
  printf("%.6f\n", *worked);
  return 0;
}
