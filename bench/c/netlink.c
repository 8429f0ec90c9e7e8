// The floor for `bench/netlink.mjs`, in the namespace it is started in. Prints the milliseconds that the work took; for
// `event` and `one` the median of each.
//
//   netlink setup COUNT       a pair v0 and w0, up, 192.168.77.1/24, and COUNT - 1 more pairs
//   netlink veth COUNT        pairs a<i> and b<i>, both ends up, an IPv4 address on each
//   netlink add-routes COUNT  routes to single hosts, 10.0.0.0 and on, by way of 192.168.77.2
//   netlink add-neighbors COUNT  permanent neighbors on v0, 172.16.0.0 and on
//   netlink dump-routes 1     receives all IPv4 routes
//   netlink dump-links 1      receives all links
//   netlink event COUNT       from the request that changes v0's MTU to the event
//   netlink one COUNT         asks for `lo`, one request after the other
#include "rtnl.h"

static const unsigned GATEWAY = 0xc0a84d02;

static int compare(const void* left, const void* right) {
  double difference = *(const double*)left - *(const double*)right;
  return difference < 0 ? -1 : difference > 0;
}

static double median(double* times, int count) {
  qsort(times, count, sizeof *times, compare);
  return times[count / 2];
}

static void pairs(int count, const char* names[2], int first, int with_address) {
  for (int i = first; i < count; i++) {
    char name[16], peer[16];
    snprintf(name, sizeof name, "%s%d", names[0], i);
    snprintf(peer, sizeof peer, "%s%d", names[1], i);
    int index = FIRST_INDEX + 2 * i;
    unsigned network = 0x0a000000 + ((unsigned)i << 8);
    veth(index, name, peer);
    up(index + 1);
    if (!with_address) continue;
    address(index, network + 1);
    address(index + 1, network + 2);
  }
  flush();
}

static double event(int count) {
  int listener = open_socket(), group = RTNLGRP_LINK;
  if (setsockopt(listener, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) fail("setsockopt");
  double* times = calloc(count, sizeof *times);
  for (int i = 0; i < count; i++) {
    double start = milliseconds();
    set_mtu(FIRST_INDEX, 1000 + i);
    flush();
    for (int seen = 0; !seen;) {
      ssize_t length = receive(listener);
      for (struct nlmsghdr* told = (void*)answers; NLMSG_OK(told, length); told = NLMSG_NEXT(told, length)) {
        seen |= ((struct ifinfomsg*)NLMSG_DATA(told))->ifi_index == FIRST_INDEX;
      }
    }
    times[i] = milliseconds() - start;
    usleep(200);
    while (recv(listener, answers, sizeof answers, MSG_DONTWAIT) > 0) continue;
  }
  return median(times, count);
}

static double one(int count) {
  double* times = calloc(count, sizeof *times);
  for (int i = 0; i < count; i++) {
    double start = milliseconds();
    struct ifinfomsg* link = request(RTM_GETLINK, 0, sizeof *link);
    link->ifi_index = 1;
    if (send(fd, chunk, used, 0) != (ssize_t)used) fail("send");
    used = 0;
    receive(fd);
    if (((struct nlmsghdr*)answers)->nlmsg_type != RTM_NEWLINK) fail("no link");
    times[i] = milliseconds() - start;
  }
  return median(times, count);
}

int main(int argc, char** argv) {
  const char* work = argc > 1 ? argv[1] : "";
  int count = argc > 2 ? atoi(argv[2]) : 0;
  if (count < 1 || count > 16000000) return fprintf(stderr, "usage: netlink WORK COUNT\n"), 2;
  fd = open_socket();
  double start = milliseconds(), time = -1;
  if (strcmp(work, "setup") == 0) {
    pairs(count, (const char*[]){"v", "w"}, 0, 0);
    address(FIRST_INDEX, GATEWAY - 1);
    flush();
  } else if (strcmp(work, "veth") == 0) {
    pairs(count, (const char*[]){"a", "b"}, 0, 1);
  } else if (strcmp(work, "add-routes") == 0) {
    for (int i = 0; i < count; i++) route(0x0a000000 + (unsigned)i, GATEWAY, FIRST_INDEX);
    flush();
  } else if (strcmp(work, "add-neighbors") == 0) {
    for (int i = 0; i < count; i++) neighbor(0xac100000 + (unsigned)i, FIRST_INDEX);
    flush();
  } else if (strcmp(work, "dump-neighbors") == 0) {
    receive_list(RTM_GETNEIGH, sizeof(struct ndmsg), AF_INET);
  } else if (strcmp(work, "dump-routes") == 0) {
    receive_list(RTM_GETROUTE, sizeof(struct rtmsg), AF_INET);
  } else if (strcmp(work, "dump-links") == 0) {
    receive_list(RTM_GETLINK, sizeof(struct ifinfomsg), AF_UNSPEC);
  } else if (strcmp(work, "event") == 0) {
    time = event(count);
  } else if (strcmp(work, "one") == 0) {
    time = one(count);
  } else {
    return fprintf(stderr, "netlink: what is %s?\n", work), 2;
  }
  printf("%.4f\n", time >= 0 ? time : milliseconds() - start);
  return 0;
}
