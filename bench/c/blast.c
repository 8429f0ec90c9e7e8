// The load of the packet benchmark: UDP datagrams as fast as one core makes them, and a socket that swallows them.
//
// blast send ADDRESS PORT BYTES MILLISECONDS
// blast sink PORT                             holds the port until it is killed; what overflows its buffer the kernel
// drops
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 32, LARGEST = 65507 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static int send_all(int fd, const struct sockaddr_in* to, size_t bytes, double milliseconds) {
  static char payload[LARGEST];
  struct iovec part = {.iov_base = payload, .iov_len = bytes};
  struct mmsghdr burst[BURST] = {0};
  for (int i = 0; i < BURST; i++) {
    burst[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
  }
  if (connect(fd, (const struct sockaddr*)to, sizeof *to) < 0) return 1;
  double end = now() + milliseconds;
  unsigned long sent = 0;
  while (now() < end) {
    int count = sendmmsg(fd, burst, BURST, 0);
    if (count > 0) sent += count;
  }
  printf("%lu\n", sent);
  return 0;
}

int main(int count, char** words) {
  // Not to be left behind when the benchmark is killed.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET};
  if (fd < 0) return 1;
  if (count == 3 && strcmp(words[1], "sink") == 0) {
    address.sin_port = htons(atoi(words[2]));
    if (bind(fd, (struct sockaddr*)&address, sizeof address) < 0) return 1;
    for (;;) pause();
  }
  if (count == 6 && strcmp(words[1], "send") == 0) {
    address.sin_port = htons(atoi(words[3]));
    size_t bytes = atoi(words[4]);
    if (inet_pton(AF_INET, words[2], &address.sin_addr) != 1 || bytes > LARGEST) return 2;
    return send_all(fd, &address, bytes, atof(words[5]));
  }
  fprintf(stderr, "usage: blast send ADDRESS PORT BYTES MILLISECONDS | blast sink PORT\n");
  return 2;
}
