// What the load programs of the packet benchmark share. Each gets two namespaces as descriptors 3 (near) and 4 (far),
// runs for a time, and prints one line of JSON: `value` is what it measured, `waited` the milliseconds in which it
// could have run and another program had its processor.
#ifndef NETKIT_BENCH_LOAD_H_
#define NETKIT_BENCH_LOAD_H_

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { NEAR = 3, FAR = 4 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline void enter(int namespace) {
  if (setns(namespace, CLONE_NEWNET) < 0) fail("setns");
}

// A socket that belongs to a namespace.
static inline int socket_in(int namespace, int type) {
  enter(namespace);
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  return fd;
}

static inline struct sockaddr_in address_of(const char* text, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, text, &address.sin_addr) != 1) fail(text);
  return address;
}

// Milliseconds that this thread has run, and has waited for a processor (proc_pid_schedstat(5)).
static inline double schedule(int which) {
  unsigned long long times[2] = {0, 0};
  FILE* file = fopen("/proc/thread-self/schedstat", "r");
  if (file == NULL) return 0;
  int read = fscanf(file, "%llu %llu", &times[0], &times[1]);
  fclose(file);
  return read == 2 ? times[which] / 1e6 : 0;
}

static inline double busy(void) { return schedule(0); }
static inline double waited(void) { return schedule(1); }

// Not to be left behind when the benchmark is killed.
static inline void end_with_parent(void) { prctl(PR_SET_PDEATHSIG, SIGKILL); }

#endif
