// The work of bench/netlink.mjs by libnl-route-3, with its objects, as its users write it: one request after the other,
// each acknowledged; lists by caches. See bench/c/netlink.c for the words.
#include <linux/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern unsigned int if_nametoindex(const char* name);

static struct nl_sock* sock;
static unsigned long sum;
static int seen;

static void check(int error, const char* what) {
  if (error >= 0) return;
  fprintf(stderr, "libnl: %s: %s\n", what, nl_geterror(error));
  exit(1);
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static int compare(const void* left, const void* right) {
  double difference = *(const double*)left - *(const double*)right;
  return difference < 0 ? -1 : difference > 0;
}

static struct nl_addr* inet(unsigned host, int prefix) {
  host = __builtin_bswap32(host);
  struct nl_addr* made = nl_addr_build(2, &host, sizeof host);
  nl_addr_set_prefixlen(made, prefix);
  return made;
}

static void up(int index) {
  struct rtnl_link *link = rtnl_link_alloc(), *change = rtnl_link_alloc();
  rtnl_link_set_ifindex(link, index);
  rtnl_link_set_flags(change, IFF_UP);
  check(rtnl_link_change(sock, link, change, 0), "up");
  rtnl_link_put(link);
  rtnl_link_put(change);
}

static void address(int index, unsigned host) {
  struct nl_addr* local = inet(host, 24);
  struct rtnl_addr* made = rtnl_addr_alloc();
  rtnl_addr_set_ifindex(made, index);
  check(rtnl_addr_set_local(made, local), "local");
  check(rtnl_addr_add(sock, made, 0), "address");
  rtnl_addr_put(made);
  nl_addr_put(local);
}

static void veth(int count) {
  for (int i = 0; i < count; i++) {
    char name[16], peer[16];
    snprintf(name, sizeof name, "a%d", i);
    snprintf(peer, sizeof peer, "b%d", i);
    struct rtnl_link *link = rtnl_link_veth_alloc(), *other = rtnl_link_veth_get_peer(link);
    rtnl_link_set_name(link, name);
    rtnl_link_set_name(other, peer);
    rtnl_link_put(other);
    check(rtnl_link_add(sock, link, NLM_F_CREATE | NLM_F_EXCL), "veth");
    rtnl_link_put(link);
    int near = if_nametoindex(name), far = if_nametoindex(peer);
    up(near);
    up(far);
    address(near, 0x0a000001 + ((unsigned)i << 8));
    address(far, 0x0a000002 + ((unsigned)i << 8));
  }
}

static void add_routes(int count) {
  int index = if_nametoindex("v0");
  for (int i = 0; i < count; i++) {
    struct nl_addr *to = inet(0x0a000000 + (unsigned)i, 32), *via = inet(0xc0a84d02, 32);
    struct rtnl_route* route = rtnl_route_alloc();
    rtnl_route_set_family(route, 2);
    rtnl_route_set_table(route, 254);
    rtnl_route_set_dst(route, to);
    struct rtnl_nexthop* hop = rtnl_route_nh_alloc();
    rtnl_route_nh_set_ifindex(hop, index);
    rtnl_route_nh_set_gateway(hop, via);
    rtnl_route_add_nexthop(route, hop);
    check(rtnl_route_add(sock, route, NLM_F_EXCL), "route");
    rtnl_route_put(route);
    nl_addr_put(to);
    nl_addr_put(via);
  }
}

static void dump_routes(void) {
  struct nl_cache* cache;
  check(rtnl_route_alloc_cache(sock, 2, 0, &cache), "routes");
  for (struct nl_object* each = nl_cache_get_first(cache); each != NULL; each = nl_cache_get_next(each)) {
    struct rtnl_route* route = (struct rtnl_route*)each;
    sum += nl_addr_get_prefixlen(rtnl_route_get_dst(route)) + rtnl_route_get_table(route) +
           rtnl_route_get_protocol(route) + rtnl_route_get_scope(route) + rtnl_route_get_type(route);
    if (rtnl_route_get_nnexthops(route) > 0) sum += rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(route, 0));
  }
}

static void dump_links(void) {
  struct nl_cache* cache;
  check(rtnl_link_alloc_cache(sock, AF_UNSPEC, &cache), "links");
  for (struct nl_object* each = nl_cache_get_first(cache); each != NULL; each = nl_cache_get_next(each)) {
    for (int counter = 0; counter <= RTNL_LINK_TX_WIN_ERR; counter++) {
      sum += rtnl_link_get_stat((struct rtnl_link*)each, counter);
    }
  }
}

static int on_event(struct nl_msg* message, void* data) {
  (void)data;
  seen |= ((struct ifinfomsg*)nlmsg_data(nlmsg_hdr(message)))->ifi_index == (int)sum;
  return NL_OK;
}

static double event(int count) {
  struct nl_sock* listener = nl_socket_alloc();
  nl_socket_disable_seq_check(listener);
  nl_socket_modify_cb(listener, NL_CB_VALID, NL_CB_CUSTOM, on_event, NULL);
  check(nl_connect(listener, NETLINK_ROUTE), "connect");
  check(nl_socket_add_memberships(listener, RTNLGRP_LINK, 0), "membership");
  double* times = calloc(count, sizeof *times);
  sum = if_nametoindex("v0");
  for (int i = 0; i < count; i++) {
    struct rtnl_link *link = rtnl_link_alloc(), *change = rtnl_link_alloc();
    rtnl_link_set_ifindex(link, sum);
    rtnl_link_set_mtu(change, 1000 + i);
    seen = 0;
    double start = milliseconds();
    check(rtnl_link_change(sock, link, change, 0), "mtu");
    while (!seen) check(nl_recvmsgs_default(listener), "event");
    times[i] = milliseconds() - start;
    rtnl_link_put(link);
    rtnl_link_put(change);
    usleep(200);
  }
  qsort(times, count, sizeof *times, compare);
  return times[count / 2];
}

static double one(int count) {
  double* times = calloc(count, sizeof *times);
  for (int i = 0; i < count; i++) {
    struct rtnl_link* link;
    double start = milliseconds();
    check(rtnl_link_get_kernel(sock, 1, NULL, &link), "link");
    times[i] = milliseconds() - start;
    rtnl_link_put(link);
  }
  qsort(times, count, sizeof *times, compare);
  return times[count / 2];
}

int main(int argc, char** argv) {
  const char* work = argc > 2 ? argv[1] : "";
  int count = argc > 2 ? atoi(argv[2]) : 0;
  sock = nl_socket_alloc();
  check(nl_connect(sock, NETLINK_ROUTE), "connect");
  double start = milliseconds(), time = -1;
  if (strcmp(work, "veth") == 0)
    veth(count);
  else if (strcmp(work, "add-routes") == 0)
    add_routes(count);
  else if (strcmp(work, "dump-routes") == 0)
    dump_routes();
  else if (strcmp(work, "dump-links") == 0)
    dump_links();
  else if (strcmp(work, "event") == 0)
    time = event(count);
  else if (strcmp(work, "one") == 0)
    time = one(count);
  else
    return 2;
  printf("%.4f\n", time >= 0 ? time : milliseconds() - start);
  return 0;
}
