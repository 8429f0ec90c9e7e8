// One TCP connection in full flow, both its ends in this one thread, so that they never wait for each other's
// processor: bits per second that arrive.
//
// tcpload ADDRESS MILLISECONDS 3<near 4<far
#include "load.h"

enum { CHUNK = 256 * 1024, PORT = 9001, WARM_UP = 50, PATIENCE = 5000 };

static char sent[CHUNK], got[CHUNK];

static void expect(int fd, short events, const char* what) {
  struct pollfd wait = {.fd = fd, .events = events};
  errno = ETIMEDOUT;
  if (poll(&wait, 1, PATIENCE) != 1) fail(what);
}

// Sends and receives until a time. Returns how many bytes came.
static double flow(int out, int in, double end) {
  struct pollfd ends[2] = {{.fd = out, .events = POLLOUT}, {.fd = in, .events = POLLIN}};
  double bytes = 0;
  for (double left = end - now(); left > 0; left = end - now()) {
    if (poll(ends, 2, (int)left + 1) <= 0) continue;
    if ((ends[0].revents | ends[1].revents) & (POLLERR | POLLHUP)) fail("the connection broke");
    if (ends[1].revents != 0) {
      ssize_t length = recv(in, got, sizeof got, 0);
      if (length > 0) bytes += length;
    }
    if (ends[0].revents != 0) send(out, sent, sizeof sent, 0);
  }
  return bytes;
}

int main(int count, char** words) {
  if (count != 3) return fprintf(stderr, "usage: tcpload ADDRESS MILLISECONDS 3<near 4<far\n"), 2;
  end_with_parent();
  struct sockaddr_in to = address_of(words[1], PORT), any = address_of("0.0.0.0", PORT);
  int near = socket_in(NEAR, SOCK_STREAM | SOCK_NONBLOCK), listener = socket_in(FAR, SOCK_STREAM | SOCK_NONBLOCK),
      on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr*)&any, sizeof any) < 0 || listen(listener, 1) < 0) fail("listen");
  if (connect(near, (struct sockaddr*)&to, sizeof to) < 0 && errno != EINPROGRESS) fail("connect");
  expect(listener, POLLIN, "accept");
  int far = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (far < 0) fail("accept");
  expect(near, POLLOUT, "connect");

  flow(near, far, now() + WARM_UP);
  double start = now(), waits = waited();
  double bytes = flow(near, far, start + atof(words[2]));
  double took = now() - start;
  printf("{\"value\":%.0f,\"waited\":%.2f}\n", bytes * 8e3 / took, waited() - waits);
  // Not to leave the connection's last data on its way while the next load runs.
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(near, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  setsockopt(far, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  return 0;
}
