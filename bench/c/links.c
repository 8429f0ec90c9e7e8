// The floor for `bench/links.mjs`: veth pairs with addresses by rtnetlink, many requests a send, an acknowledgement for
// the last of them only. Makes the pairs in the namespace it is started in, and prints the milliseconds that took.
//
//   links COUNT    COUNT pairs a<i> and b<i>, both ends up, an IPv4 address on each
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, FIRST_INDEX = 1000 };

static char chunk[CHUNK + 4096];
static size_t used;
static struct nlmsghdr* last;
static unsigned sequence;
static int fd;

static void fail(const char* what) {
  fprintf(stderr, "links: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

// Sends what has gathered, and waits for the acknowledgement of the last request.
static void flush(void) {
  static char answers[256 * 1024];
  if (used == 0) return;
  last->nlmsg_flags |= NLM_F_ACK;
  unsigned awaited = last->nlmsg_seq;
  if (send(fd, chunk, used, 0) != (ssize_t)used) fail("send");
  used = 0;
  for (;;) {
    ssize_t length = recv(fd, answers, sizeof answers, 0);
    if (length < 0) fail("recv");
    for (struct nlmsghdr* answer = (void*)answers; NLMSG_OK(answer, length); answer = NLMSG_NEXT(answer, length)) {
      if (answer->nlmsg_type != NLMSG_ERROR) continue;
      errno = -((struct nlmsgerr*)NLMSG_DATA(answer))->error;
      if (errno != 0) fail("request");
      if (answer->nlmsg_seq == awaited) return;
    }
  }
}

static void* request(int type, int flags, size_t size) {
  if (used > CHUNK) flush();
  last = (void*)(chunk + used);
  memset(last, 0, NLMSG_SPACE(size));
  last->nlmsg_len = NLMSG_SPACE(size);
  last->nlmsg_type = type;
  last->nlmsg_flags = NLM_F_REQUEST | flags;
  last->nlmsg_seq = ++sequence;
  used += NLMSG_SPACE(size);
  return NLMSG_DATA(last);
}

static struct rtattr* attribute(int type, const void* data, size_t size) {
  struct rtattr* made = (void*)(chunk + used);
  made->rta_type = type;
  made->rta_len = RTA_LENGTH(size);
  memset(RTA_DATA(made), 0, RTA_SPACE(size) - RTA_LENGTH(0));
  if (data != NULL) memcpy(RTA_DATA(made), data, size);
  used += RTA_SPACE(size);
  last->nlmsg_len += RTA_SPACE(size);
  return made;
}

static void end(struct rtattr* nest) { nest->rta_len = chunk + used - (char*)nest; }

static void veth(int index, const char* name, const char* peer) {
  struct ifinfomsg* link = request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof *link);
  link->ifi_index = index;
  link->ifi_flags = link->ifi_change = IFF_UP;
  attribute(IFLA_IFNAME, name, strlen(name) + 1);
  struct rtattr* info = attribute(IFLA_LINKINFO, NULL, 0);
  attribute(IFLA_INFO_KIND, "veth", 4);
  struct rtattr* data = attribute(IFLA_INFO_DATA, NULL, 0);
  struct ifinfomsg other = {.ifi_index = index + 1};
  struct rtattr* nest = attribute(VETH_INFO_PEER, &other, sizeof other);
  attribute(IFLA_IFNAME, peer, strlen(peer) + 1);
  end(nest);
  end(data);
  end(info);
}

static void up(int index) {
  struct ifinfomsg* link = request(RTM_NEWLINK, 0, sizeof *link);
  link->ifi_index = index;
  link->ifi_flags = link->ifi_change = IFF_UP;
}

static void address(int index, unsigned host) {
  host = htonl(host);
  struct ifaddrmsg* message = request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
  message->ifa_family = AF_INET;
  message->ifa_prefixlen = 24;
  message->ifa_index = index;
  attribute(IFA_LOCAL, &host, sizeof host);
  attribute(IFA_ADDRESS, &host, sizeof host);
}

int main(int argc, char** argv) {
  int count = argc > 1 ? atoi(argv[1]) : 0;
  if (count < 1 || count > 10000) return fprintf(stderr, "usage: links COUNT\n"), 2;
  fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  int one = 1, size = 1 << 20;
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  double start = milliseconds();
  for (int i = 0; i < count; i++) {
    char name[16], peer[16];
    snprintf(name, sizeof name, "a%d", i);
    snprintf(peer, sizeof peer, "b%d", i);
    int index = FIRST_INDEX + 2 * i;
    unsigned network = 0x0a000000 + ((unsigned)i << 8);
    veth(index, name, peer);
    up(index + 1);
    address(index, network + 1);
    address(index + 1, network + 2);
  }
  flush();
  printf("%.3f\n", milliseconds() - start);
  return 0;
}
