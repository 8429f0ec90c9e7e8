// UDP datagrams as fast as one core makes them, to a socket that nobody reads: what is measured is how many arrive
// there, per second. `sent` counts all that were sent.
//
// blast ADDRESS BYTES MILLISECONDS 3<near 4<far
#include "load.h"

enum { BURST = 32, LARGEST = 65507, PORT = 9000 };

// Datagrams that have reached this thread's namespace: those that were read, and those that found their socket full
// (proc_net(5), snmp). Unlike the device's counters they count each of those that came as one large frame.
static unsigned long received(void) {
  char line[512];
  unsigned long read = 0, without_port = 0, errors = 0;
  FILE* file = fopen("/proc/thread-self/net/snmp", "r");
  if (file == NULL) fail("/proc/thread-self/net/snmp");
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "Udp: %lu %lu %lu", &read, &without_port, &errors) == 3) break;
  }
  fclose(file);
  return read + errors;
}

static int send_burst(int fd, struct mmsghdr* burst) {
  int count = sendmmsg(fd, burst, BURST, 0);
  return count > 0 ? count : 0;
}

int main(int count, char** words) {
  if (count != 4) return fprintf(stderr, "usage: blast ADDRESS BYTES MILLISECONDS 3<near 4<far\n"), 2;
  end_with_parent();
  size_t bytes = atoi(words[2]);
  if (bytes > LARGEST) return 2;
  struct sockaddr_in to = address_of(words[1], PORT), any = address_of("0.0.0.0", PORT);
  int near = socket_in(NEAR, SOCK_DGRAM), far = socket_in(FAR, SOCK_DGRAM);
  if (bind(far, (struct sockaddr*)&any, sizeof any) < 0) fail("bind");
  if (connect(near, (struct sockaddr*)&to, sizeof to) < 0) fail("connect");

  static char payload[LARGEST];
  struct iovec part = {.iov_base = payload, .iov_len = bytes};
  struct mmsghdr burst[BURST] = {0};
  for (int i = 0; i < BURST; i++) burst[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
  // The first frames ask for an address, and fill the queues on the way.
  double begin = now() + 20, end = begin + atof(words[3]);
  unsigned long sent = 0;
  while (now() < begin) sent += send_burst(near, burst);
  unsigned long before = received();
  double start = now(), waits = waited();
  while (now() < end) sent += send_burst(near, burst);
  double took = now() - start;
  double rate = (received() - before) * 1e3 / took;
  printf("{\"value\":%.1f,\"sent\":%lu,\"waited\":%.2f}\n", rate, sent, waited() - waits);
  return 0;
}
