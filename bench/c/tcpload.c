// One TCP connection in full flow, from one process to another: bits per second that arrive.
//
// tcpload ADDRESS MILLISECONDS 3<near 4<far
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/wait.h>

#include "load.h"

enum { CHUNK = 128 * 1024, PORT = 9001, WARM_UP = 50, PATIENCE = 5000 };

// What a process of the two has done while it was measured.
struct part {
  double bytes, took, busy, waited;
};

static char chunk[CHUNK];

static void expect(int fd, short events, const char* what) {
  struct pollfd wait = {.fd = fd, .events = events};
  errno = ETIMEDOUT;
  if (poll(&wait, 1, PATIENCE) != 1) fail(what);
}

// Sends, or receives, until a time.
static double flow(int fd, int sends, double end) {
  double bytes = 0;
  while (now() < end) {
    ssize_t length = sends ? send(fd, chunk, sizeof chunk, MSG_NOSIGNAL) : recv(fd, chunk, sizeof chunk, 0);
    if (length > 0) bytes += length;
    if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR)) fail("the connection broke");
  }
  return bytes;
}

static struct part measured(int fd, int sends, double begin, double milliseconds) {
  flow(fd, sends, begin);
  struct part part = {.busy = -busy(), .waited = -waited(), .took = -now()};
  part.bytes = flow(fd, sends, begin + milliseconds);
  part.took += now();
  part.busy += busy();
  part.waited += waited();
  // The other one may still be in the middle of it.
  if (sends) flow(fd, sends, now() + 20);
  return part;
}

static double more(double value, double than) { return value > than ? value - than : 0; }

int main(int count, char** words) {
  if (count != 3) return fprintf(stderr, "usage: tcpload ADDRESS MILLISECONDS 3<near 4<far\n"), 2;
  end_with_parent();
  double milliseconds = atof(words[2]);
  struct sockaddr_in to = address_of(words[1], PORT), any = address_of("0.0.0.0", PORT);
  int near = socket_in(NEAR, SOCK_STREAM), listener = socket_in(FAR, SOCK_STREAM), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr*)&any, sizeof any) < 0 || listen(listener, 1) < 0) fail("listen");
  // Reads and writes give up now and then, to look at the time.
  struct timeval patience = {.tv_sec = 0, .tv_usec = 20000};
  setsockopt(near, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  fcntl(near, F_SETFL, O_NONBLOCK);
  if (connect(near, (struct sockaddr*)&to, sizeof to) < 0 && errno != EINPROGRESS) fail("connect");
  expect(listener, POLLIN, "accept");
  int far = accept(listener, NULL, NULL);
  if (far < 0) fail("accept");
  expect(near, POLLOUT, "connect");
  fcntl(near, F_SETFL, 0);
  setsockopt(far, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);

  struct part* receiver = mmap(NULL, sizeof *receiver, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (receiver == MAP_FAILED) fail("mmap");
  double begin = now() + WARM_UP;
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    end_with_parent();
    *receiver = measured(far, 0, begin, milliseconds);
    _exit(0);
  }
  struct part sender = measured(near, 1, begin, milliseconds);
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) return 1;
  // On one core the two wait for each other, too, which is no disturbance.
  double by_others[] = {more(sender.waited, receiver->busy), more(receiver->waited, sender.busy)};
  printf("{\"value\":%.0f,\"waited\":%.2f}\n", receiver->bytes * 8e3 / receiver->took,
         by_others[by_others[1] > by_others[0]]);
  // Not to leave the connection's last data on its way while the next load runs.
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(near, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  setsockopt(far, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  return 0;
}
