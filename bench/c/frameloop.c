// What the packet benchmark compares with: two taps joined by a plain read/write loop. The taps come as descriptors 3
// and 4.
//
// frameloop pump         copies frames both ways until it is killed
// frameloop blocking     clears O_NONBLOCK on both descriptors (the flag belongs to the open file, so the parent sees
// it too)
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { FIRST = 3, FRAMES_A_TURN = 64 };

// Copies what waits, up to a number of frames so that the other direction gets its turn.
static int copy(int from, int to) {
  static char frame[65600];
  for (int i = 0; i < FRAMES_A_TURN; i++) {
    ssize_t length = read(from, frame, sizeof frame);
    if (length < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    // A frame that the other side refuses is lost, as on a cable.
    if (write(to, frame, length) < 0 && errno == EBADFD) return -1;
  }
  return 0;
}

static int pump(void) {
  struct pollfd ends[2] = {{.fd = FIRST, .events = POLLIN}, {.fd = FIRST + 1, .events = POLLIN}};
  for (;;) {
    if (poll(ends, 2, -1) < 0 && errno != EINTR) return 1;
    for (int i = 0; i < 2; i++) {
      if (ends[i].revents != 0 && copy(ends[i].fd, ends[!i].fd) < 0) return 1;
    }
  }
}

static int block(void) {
  for (int fd = FIRST; fd < FIRST + 2; fd++) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) return 1;
  }
  return 0;
}

int main(int count, char** words) {
  // Not to be left behind when the benchmark is killed.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (count == 2 && strcmp(words[1], "pump") == 0) return pump();
  if (count == 2 && strcmp(words[1], "blocking") == 0) return block();
  fprintf(stderr, "usage: frameloop pump|blocking 3<>tap 4<>tap\n");
  return 2;
}
