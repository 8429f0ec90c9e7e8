// Requests to rtnetlink for the benchmarks' C programs: many in one send, an acknowledgement for the last of them only.
#ifndef NETKIT_BENCH_RTNL_H_
#define NETKIT_BENCH_RTNL_H_

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, ANSWERS = 256 * 1024, FIRST_INDEX = 1000 };

static char chunk[CHUNK + 4096];
static char answers[ANSWERS];
static size_t used;
static struct nlmsghdr* last;
static unsigned sequence;
static int fd;

static inline void fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static inline int open_socket(void) {
  int opened = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  int one = 1, size = 1 << 20;
  struct sockaddr_nl local = {.nl_family = AF_NETLINK};
  // An unbound socket is told of nothing: it has the number that the kernel's own messages come from.
  if (opened < 0 || bind(opened, (void*)&local, sizeof local) != 0) fail("socket");
  setsockopt(opened, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  setsockopt(opened, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);
  setsockopt(opened, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  return opened;
}

static inline ssize_t receive(int from) {
  ssize_t length = recv(from, answers, sizeof answers, 0);
  if (length < 0) fail("recv");
  return length;
}

// Sends what has gathered, and waits for the acknowledgement of the last request.
static inline void flush(void) {
  if (used == 0) return;
  last->nlmsg_flags |= NLM_F_ACK;
  unsigned awaited = last->nlmsg_seq;
  if (send(fd, chunk, used, 0) != (ssize_t)used) fail("send");
  used = 0;
  for (;;) {
    ssize_t length = receive(fd);
    for (struct nlmsghdr* answer = (void*)answers; NLMSG_OK(answer, length); answer = NLMSG_NEXT(answer, length)) {
      if (answer->nlmsg_type != NLMSG_ERROR) continue;
      errno = -((struct nlmsgerr*)NLMSG_DATA(answer))->error;
      if (errno != 0) fail("request");
      if (answer->nlmsg_seq == awaited) return;
    }
  }
}

static inline void* request(int type, int flags, size_t size) {
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

static inline struct rtattr* attribute(int type, const void* data, size_t size) {
  struct rtattr* made = (void*)(chunk + used);
  made->rta_type = type;
  made->rta_len = RTA_LENGTH(size);
  memset(RTA_DATA(made), 0, RTA_SPACE(size) - RTA_LENGTH(0));
  if (data != NULL) memcpy(RTA_DATA(made), data, size);
  used += RTA_SPACE(size);
  last->nlmsg_len += RTA_SPACE(size);
  return made;
}

static inline void end(struct rtattr* nest) { nest->rta_len = chunk + used - (char*)nest; }

static inline void veth(int index, const char* name, const char* peer) {
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

static inline void up(int index) {
  struct ifinfomsg* link = request(RTM_NEWLINK, 0, sizeof *link);
  link->ifi_index = index;
  link->ifi_flags = link->ifi_change = IFF_UP;
}

static inline void set_mtu(int index, unsigned mtu) {
  struct ifinfomsg* link = request(RTM_NEWLINK, 0, sizeof *link);
  link->ifi_index = index;
  attribute(IFLA_MTU, &mtu, sizeof mtu);
}

static inline void address(int index, unsigned host) {
  host = htonl(host);
  struct ifaddrmsg* message = request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
  message->ifa_family = AF_INET;
  message->ifa_prefixlen = 24;
  message->ifa_index = index;
  attribute(IFA_LOCAL, &host, sizeof host);
  attribute(IFA_ADDRESS, &host, sizeof host);
}

static inline void route(unsigned destination, unsigned gateway, int index) {
  destination = htonl(destination);
  gateway = htonl(gateway);
  struct rtmsg* message = request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
  message->rtm_family = AF_INET;
  message->rtm_dst_len = 32;
  message->rtm_table = RT_TABLE_MAIN;
  message->rtm_protocol = RTPROT_STATIC;
  message->rtm_type = RTN_UNICAST;
  attribute(RTA_DST, &destination, sizeof destination);
  attribute(RTA_GATEWAY, &gateway, sizeof gateway);
  attribute(RTA_OIF, &index, sizeof index);
}

static inline void neighbor(unsigned host, int index) {
  unsigned char mac[] = {2, 0, host >> 24, host >> 16, host >> 8, host};
  host = htonl(host);
  struct ndmsg* message = request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
  message->ndm_family = AF_INET;
  message->ndm_ifindex = index;
  message->ndm_state = NUD_PERMANENT;
  attribute(NDA_DST, &host, sizeof host);
  attribute(NDA_LLADDR, mac, sizeof mac);
}

// Asks for a list, and receives it without looking at more than where it ends. Returns the bytes.
static inline size_t receive_list(int type, size_t size, int family) {
  char* header = request(type, NLM_F_DUMP, size);
  *header = family;
  if (send(fd, chunk, used, 0) != (ssize_t)used) fail("send");
  used = 0;
  for (size_t bytes = 0;;) {
    ssize_t length = receive(fd);
    bytes += length;
    if (((struct nlmsghdr*)answers)->nlmsg_type == NLMSG_ERROR) fail("list");
    if (((struct nlmsghdr*)answers)->nlmsg_type == NLMSG_DONE) return bytes;
    // The end may come behind the last objects.
    for (struct nlmsghdr* part = (void*)answers; NLMSG_OK(part, length); part = NLMSG_NEXT(part, length)) {
      if (part->nlmsg_type == NLMSG_DONE) return bytes;
    }
  }
}

#endif  // NETKIT_BENCH_RTNL_H_
