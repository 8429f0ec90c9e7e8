"""The work of bench/netlink.mjs by pyroute2, as its users write it. See bench/c/netlink.c for the words."""
import sys
import time
from pyroute2 import IPRoute

GATEWAY = '192.168.77.2'


def veth(ipr, count):
    for i in range(count):
        ipr.link('add', ifname=f'a{i}', peer=f'b{i}', kind='veth')
        for name, last in ((f'a{i}', 1), (f'b{i}', 2)):
            index = ipr.link_lookup(ifname=name)[0]
            ipr.link('set', index=index, state='up')
            ipr.addr('add', index=index, address=f'10.{i >> 8}.{i & 255}.{last}', prefixlen=24)


def add_routes(ipr, count):
    index = ipr.link_lookup(ifname='v0')[0]
    for i in range(count):
        ipr.route('add', dst=f'10.{i >> 16}.{i >> 8 & 255}.{i & 255}/32', gateway=GATEWAY, oif=index)


def dump_routes(ipr, _count):
    return sum(len(str(route.get_attr('RTA_DST'))) + route['type'] for route in ipr.get_routes(family=2))


def dump_links(ipr, _count):
    return sum(link.get_attr('IFLA_STATS64')['rx_bytes'] for link in ipr.get_links())


def median(times):
    return sorted(times)[len(times) // 2]


def event(ipr, count):
    index = ipr.link_lookup(ifname='v0')[0]
    times = []
    with IPRoute() as listener:
        listener.bind()
        for i in range(count):
            start = time.perf_counter()
            ipr.link('set', index=index, mtu=1000 + i)
            while not any(message.get('index') == index for message in listener.get()):
                pass
            times.append((time.perf_counter() - start) * 1000)
            time.sleep(0.0002)
    return median(times)


def one(ipr, count):
    times = []
    for _ in range(count):
        start = time.perf_counter()
        ipr.get_links(1)
        times.append((time.perf_counter() - start) * 1000)
    return median(times)


works = {
    'veth': veth,
    'add-routes': add_routes,
    'dump-routes': dump_routes,
    'dump-links': dump_links,
    'event': event,
    'one': one,
}
with IPRoute() as route:
    begin = time.perf_counter()
    result = works[sys.argv[1]](route, int(sys.argv[2]))
    took = (time.perf_counter() - begin) * 1000
    print(result if sys.argv[1] in ('event', 'one') else took)
