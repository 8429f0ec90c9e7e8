// Round trips of one small datagram at a time: it is sent, awaited at the other side, sent back, and awaited here.
// Microseconds: `value` is the median.
//
// rtt ADDRESS MILLISECONDS 3<near 4<far
#include "load.h"

enum { PORT = 9002, BYTES = 56, MOST = 1 << 18, SETTLE = 20 };

static float times[MOST];

static int compare(const void* left, const void* right) {
  float difference = *(const float*)left - *(const float*)right;
  return difference < 0 ? -1 : difference > 0;
}

static int bound(int namespace) {
  struct sockaddr_in any = address_of("0.0.0.0", PORT);
  struct timeval patience = {.tv_sec = 0, .tv_usec = 200000};
  int fd = socket_in(namespace, SOCK_DGRAM);
  if (bind(fd, (struct sockaddr*)&any, sizeof any) < 0) fail("bind");
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

int main(int count, char** words) {
  if (count != 3) return fprintf(stderr, "usage: rtt ADDRESS MILLISECONDS 3<near 4<far\n"), 2;
  end_with_parent();
  struct sockaddr_in to = address_of(words[1], PORT), from;
  int near = bound(NEAR), far = bound(FAR), done = 0, lost = 0;
  char payload[BYTES] = {0};
  double begin = now() + SETTLE, end = begin + atof(words[2]), waits = waited();
  for (double start = now(); start < end && done < MOST; start = now()) {
    socklen_t length = sizeof from;
    if (sendto(near, payload, BYTES, 0, (struct sockaddr*)&to, sizeof to) != BYTES) fail("sendto");
    if (recvfrom(far, payload, BYTES, 0, (struct sockaddr*)&from, &length) != BYTES ||
        sendto(far, payload, BYTES, 0, (struct sockaddr*)&from, length) != BYTES ||
        recv(near, payload, BYTES, 0) != BYTES) {
      lost++;
    } else if (start >= begin) {
      times[done++] = (now() - start) * 1e3;
    }
  }
  if (done == 0) return fprintf(stderr, "rtt: nothing came back\n"), 1;
  qsort(times, done, sizeof *times, compare);
  printf("{\"value\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"lost\":%d,\"waited\":%.2f}\n", times[done / 2],
         times[done * 9 / 10], times[done * 99 / 100], lost, waited() - waits);
  return 0;
}
