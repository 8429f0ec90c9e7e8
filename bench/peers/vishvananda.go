// The work of bench/netlink.mjs by github.com/vishvananda/netlink, as its users write it. See bench/c/netlink.c for the words.
package main

import (
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
)

var sum int

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "vishvananda:", err)
		os.Exit(1)
	}
}

func host(base uint32, i int) net.IP {
	at := base + uint32(i)
	return net.IPv4(byte(at>>24), byte(at>>16), byte(at>>8), byte(at))
}

func finish(name string, i int, last byte) {
	link, err := netlink.LinkByName(name)
	check(err)
	check(netlink.LinkSetUp(link))
	address := &net.IPNet{IP: net.IPv4(10, byte(i>>8), byte(i), last), Mask: net.CIDRMask(24, 32)}
	check(netlink.AddrAdd(link, &netlink.Addr{IPNet: address}))
}

func veth(count int) {
	for i := 0; i < count; i++ {
		near, far := fmt.Sprint("a", i), fmt.Sprint("b", i)
		attributes := netlink.NewLinkAttrs()
		attributes.Name = near
		check(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: far}))
		finish(near, i, 1)
		finish(far, i, 2)
	}
}

func addRoutes(count int) {
	link, err := netlink.LinkByName("v0")
	check(err)
	gateway := net.IPv4(192, 168, 77, 2)
	for i := 0; i < count; i++ {
		to := &net.IPNet{IP: host(0x0a000000, i), Mask: net.CIDRMask(32, 32)}
		check(netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: to, Gw: gateway}))
	}
}

func dumpRoutes() {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	check(err)
	for _, route := range routes {
		sum += route.LinkIndex + route.Table + int(route.Protocol) + int(route.Scope) + route.Type + len(route.Gw)
		if route.Dst != nil {
			sum += len(route.Dst.IP)
		}
	}
}

func dumpLinks() {
	links, err := netlink.LinkList()
	check(err)
	for _, link := range links {
		sum += int(link.Attrs().Statistics.RxBytes + link.Attrs().Statistics.TxPackets)
	}
}

func median(times []float64) float64 {
	sort.Float64s(times)
	return times[len(times)/2]
}

func since(start time.Time) float64 { return float64(time.Since(start).Nanoseconds()) / 1e6 }

func event(count int) float64 {
	link, err := netlink.LinkByName("v0")
	check(err)
	updates := make(chan netlink.LinkUpdate, 100)
	done := make(chan struct{})
	check(netlink.LinkSubscribe(updates, done))
	times := make([]float64, count)
	for i := range times {
		start := time.Now()
		check(netlink.LinkSetMTU(link, 1000+i))
		for update := range updates {
			if int(update.Index) == link.Attrs().Index {
				break
			}
		}
		times[i] = since(start)
		time.Sleep(200 * time.Microsecond)
		for len(updates) > 0 {
			<-updates
		}
	}
	return median(times)
}

func one(count int) float64 {
	times := make([]float64, count)
	for i := range times {
		start := time.Now()
		_, err := netlink.LinkByIndex(1)
		check(err)
		times[i] = since(start)
	}
	return median(times)
}

func main() {
	count, err := strconv.Atoi(os.Args[2])
	check(err)
	start := time.Now()
	took := -1.0
	switch os.Args[1] {
	case "veth":
		veth(count)
	case "add-routes":
		addRoutes(count)
	case "dump-routes":
		dumpRoutes()
	case "dump-links":
		dumpLinks()
	case "event":
		took = event(count)
	case "one":
		took = one(count)
	default:
		os.Exit(2)
	}
	if took < 0 {
		took = since(start)
	}
	fmt.Printf("%.4f\n", took)
}
