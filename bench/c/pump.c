// What the packet benchmark compares with: two taps joined in C. Namespaces come as descriptors 3 (near), 4 (far) and 5
// (between); the taps are made there, named `left` and `right`, and `ready` is printed.
//
// pump loop 64       read a frame, write it; up to 64 frames before the other direction has its turn
// pump batch N       read up to N frames, then write them
// pump vnet N        the same with offload: frames of up to 64 KiB, with a virtio_net_hdr before each
// pump tunnel N      from each tap to a UDP socket and from there to the other tap, N datagrams a system call; both
// ends of
//                    the tunnel are in this one thread
// pump blocking      only clears O_NONBLOCK on descriptors 3 and 4 (the flag belongs to the open file)
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

// linux/if_tun.h since 6.2
#define USO4 0x20
#define USO6 0x40

enum { NEAR = 3, FAR = 4, BETWEEN = 5, MOST = 1024, ROOM = 65664, SLAB = 2 << 20, MTU_ROOM = 1536, PORT = 9100 };

struct batch {
  int count;
  unsigned offset[MOST], length[MOST];
};

static uint8_t slab[SLAB];
static struct batch batch;

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static int open_tap(int namespace, const char* name, int offload) {
  if (setns(namespace, CLONE_NEWNET) < 0) fail("setns");
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0)};
  strcpy(request.ifr_name, name);
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) fail("TUNSETIFF");
  if (offload) {
    unsigned all = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    if (ioctl(fd, TUNSETOFFLOAD, all | USO4 | USO6) < 0 && ioctl(fd, TUNSETOFFLOAD, all) < 0) fail("TUNSETOFFLOAD");
  }
  return fd;
}

static int open_socket(int port, int peer) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(port)};
  if (fd < 0 || bind(fd, (struct sockaddr*)&address, sizeof address) < 0) fail("bind");
  address.sin_port = htons(peer);
  if (connect(fd, (struct sockaddr*)&address, sizeof address) < 0) fail("connect");
  int size = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  return fd;
}

// A frame that the other side refuses is lost, as on a cable; only a device that is gone ends the pump.
static void put(int fd, const void* frame, size_t length) {
  if (write(fd, frame, length) < 0 && errno == EBADFD) fail("write");
}

static void take_one_by_one(int from, int to, int most) {
  for (int i = 0; i < most; i++) {
    ssize_t length = read(from, slab, ROOM);
    if (length < 0) return;
    put(to, slab, length);
  }
}

// Reads what waits, packed at multiples of 64 bytes.
static void take(int from, int most, size_t room) {
  size_t position = 0;
  for (batch.count = 0; batch.count < most && SLAB - position >= room; batch.count++) {
    ssize_t length = read(from, slab + position, SLAB - position);
    if (length < 0) return;
    batch.offset[batch.count] = position;
    batch.length[batch.count] = length;
    position += (length + 63) & ~63;
  }
}

static void give(int to) {
  for (int i = 0; i < batch.count; i++) put(to, slab + batch.offset[i], batch.length[i]);
}

static struct mmsghdr messages[MOST];
static struct iovec parts[MOST];

static void into_tunnel(int from, int to, int most) {
  take(from, most, ROOM);
  for (int i = 0; i < batch.count; i++) {
    parts[i] = (struct iovec){.iov_base = slab + batch.offset[i], .iov_len = batch.length[i]};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
  for (int done = 0; done < batch.count;) {
    int count = sendmmsg(to, messages + done, batch.count - done, 0);
    if (count <= 0) return;
    done += count;
  }
}

static void out_of_tunnel(int from, int to, int most) {
  for (int i = 0; i < most; i++) {
    parts[i] = (struct iovec){.iov_base = slab + i * MTU_ROOM, .iov_len = MTU_ROOM};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
  int count = recvmmsg(from, messages, most, 0, NULL);
  for (int i = 0; i < count; i++) put(to, parts[i].iov_base, messages[i].msg_len);
}

int main(int count, char** words) {
  // Not to be left behind when the benchmark is killed.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const char* mode = count > 1 ? words[1] : "";
  if (strcmp(mode, "blocking") == 0) {
    for (int fd = NEAR; fd <= FAR; fd++) {
      if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0) fail("fcntl");
    }
    return 0;
  }
  int most = count > 2 ? atoi(words[2]) : 0;
  int loop = strcmp(mode, "loop") == 0, vnet = strcmp(mode, "vnet") == 0, tunnel = strcmp(mode, "tunnel") == 0;
  if ((!loop && !vnet && !tunnel && strcmp(mode, "batch") != 0) || most < 1 || most > MOST) {
    return fprintf(stderr, "usage: pump loop|batch|vnet|tunnel N, or pump blocking\n"), 2;
  }
  struct pollfd ends[4] = {{.fd = open_tap(NEAR, "left", vnet), .events = POLLIN},
                           {.fd = open_tap(FAR, "right", vnet), .events = POLLIN}};
  if (tunnel) {
    if (setns(BETWEEN, CLONE_NEWNET) < 0) fail("setns");
    ends[2] = (struct pollfd){.fd = open_socket(PORT, PORT + 1), .events = POLLIN};
    ends[3] = (struct pollfd){.fd = open_socket(PORT + 1, PORT), .events = POLLIN};
  }
  puts("ready");
  fflush(stdout);
  for (;;) {
    if (poll(ends, tunnel ? 4 : 2, -1) < 0 && errno != EINTR) fail("poll");
    for (int i = 0; i < 2; i++) {
      int tap = ends[i].fd, other = ends[!i].fd;
      // Frames of an MTU of 1,500 without offload: only the last one needs room for more.
      if (tunnel && ends[2 + i].revents != 0) out_of_tunnel(ends[2 + i].fd, tap, most);
      if (ends[i].revents == 0) continue;
      if (tunnel) {
        into_tunnel(tap, ends[2 + i].fd, most);
      } else if (loop) {
        take_one_by_one(tap, other, most);
      } else {
        take(tap, most, vnet ? ROOM : 2048);
        give(other);
      }
    }
  }
}
