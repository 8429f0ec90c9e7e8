/** Attribute numbers, structs and constants are held against the kernel's headers, by a C program that is compiled and not run. */
import { spawnSync } from 'node:child_process'
import { test } from 'tap'
import { errnoName } from '../dist/errno.js'
import { acknowledgementAttributes } from '../dist/netlink/acknowledgement.js'
import { allHeaderNames } from '../dist/netlink/header-words.js'
import { allStructs } from '../dist/netlink/struct.js'
import { allTables } from '../dist/netlink/table.js'
import { offloadConstants } from '../dist/packets/constants.js'
import { unixConstants } from '../dist/packets/unix.js'
import { linkAttributes } from '../dist/rtnetlink/link-attributes.js'
import { socketConstants } from '../dist/sockets/constants.js'
import { tunConstants } from '../dist/tuntap/constants.js'
import { AF_INET, AF_INET6, AF_UNSPEC } from '../dist/values/ip.js'
// Loads every file that has a table.
import '../dist/index.js'

/** The headers that all names come from. */
const preamble = `
#include <stddef.h>
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/version.h>
#include <linux/netlink.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_bonding.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/if_tunnel.h>
#include <linux/in.h>
#include <linux/ip6_tunnel.h>
#include <linux/if_tunnel.h>
#include <linux/icmpv6.h>
#include <linux/fib_rules.h>
#include <linux/in.h>
#include <linux/lwtunnel.h>
#include <linux/mpls.h>
#include <linux/mpls_iptunnel.h>
#include <linux/seg6.h>
#include <linux/seg6_iptunnel.h>
#include <linux/seg6_local.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/net_namespace.h>
#include <linux/neighbour.h>
#include <linux/if_vlan.h>
#include <linux/gen_stats.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/in.h>
#include <linux/if_arp.h>
#include <linux/virtio_net.h>
#include <linux/udp.h>
#include <linux/tcp.h>
#include <linux/sock_diag.h>
#include <linux/tc_act/tc_gact.h>
#include <linux/tc_act/tc_mirred.h>
#include <linux/tc_act/tc_skbedit.h>
#include <linux/tc_act/tc_vlan.h>
#include <linux/nexthop.h>
#include <linux/veth.h>
#include <linux/can/vxcan.h>
`

/** The oldest headers that have all names but those in `newer`: Debian 12's. */
const oldest = [6, 1] as const

/** Names that came later, with the kernel that brought them: looked at when the headers are as new. */
const newer: Readonly<Record<string, readonly [number, number]>> = {
  TUN_F_USO4: [6, 2],
  TUN_F_USO6: [6, 2],
  VIRTIO_NET_HDR_GSO_UDP_L4: [6, 2],
  DEVCONF_FORCE_FORWARDING: [6, 17],
  IFLA_BR_FDB_N_LEARNED: [6, 7],
  IFLA_BR_FDB_MAX_LEARNED: [6, 7],
  MDBA_MDB_EATTR_DST: [6, 4],
  MDBA_MDB_EATTR_DST_PORT: [6, 4],
  MDBA_MDB_EATTR_VNI: [6, 4],
  MDBA_MDB_EATTR_IFINDEX: [6, 4],
  MDBA_MDB_EATTR_SRC_VNI: [6, 4],
  MDBE_ATTR_SRC_LIST: [6, 3],
  MDBE_ATTR_GROUP_MODE: [6, 3],
  MDBE_ATTR_RTPROT: [6, 3],
  MDBE_ATTR_DST: [6, 4],
  MDBE_ATTR_DST_PORT: [6, 4],
  MDBE_ATTR_VNI: [6, 4],
  MDBE_ATTR_IFINDEX: [6, 4],
  MDBE_ATTR_SRC_VNI: [6, 4],
  MDBE_SRC_LIST_ENTRY: [6, 3],
  MDBE_SRCATTR_ADDRESS: [6, 3],
  BRIDGE_VLANDB_ENTRY_MCAST_N_GROUPS: [6, 3],
  BRIDGE_VLANDB_ENTRY_MCAST_MAX_GROUPS: [6, 3],
  BRIDGE_VLANDB_ENTRY_NEIGH_SUPPRESS: [6, 4],
  IFLA_VXLAN_LOCALBYPASS: [6, 5],
  IFLA_VXLAN_LABEL_POLICY: [6, 8],
  IFLA_VXLAN_RESERVED_BITS: [6, 14],
  IFLA_VXLAN_MC_ROUTE: [6, 17],
  VXLAN_LABEL_FIXED: [6, 8],
  VXLAN_LABEL_INHERIT: [6, 8],
  IFLA_GENEVE_PORT_RANGE: [6, 15],
  ifla_geneve_port_range: [6, 15],
  'ifla_geneve_port_range.low': [6, 15],
  'ifla_geneve_port_range.high': [6, 15],
  NTF_EXT_LOCKED: [6, 2],
  NTF_EXT_EXT_VALIDATED: [6, 17],
  IFLA_MACVLAN_BC_CUTOFF: [6, 4],
  IFLA_NETKIT_PEER_INFO: [6, 7],
  IFLA_NETKIT_PRIMARY: [6, 7],
  IFLA_NETKIT_POLICY: [6, 7],
  IFLA_NETKIT_PEER_POLICY: [6, 7],
  IFLA_NETKIT_MODE: [6, 7],
  NETKIT_PASS: [6, 7],
  NETKIT_DROP: [6, 7],
  NETKIT_L2: [6, 7],
  NETKIT_L3: [6, 7],
  IFLA_NETKIT_SCRUB: [6, 13],
  IFLA_NETKIT_PEER_SCRUB: [6, 13],
  NETKIT_SCRUB_NONE: [6, 13],
  NETKIT_SCRUB_DEFAULT: [6, 13],
  IFLA_BRPORT_MAB: [6, 2],
  IFLA_BRPORT_MCAST_N_GROUPS: [6, 3],
  IFLA_BRPORT_MCAST_MAX_GROUPS: [6, 3],
  IFLA_BRPORT_NEIGH_VLAN_SUPPRESS: [6, 4],
  IFLA_BRPORT_BACKUP_NHID: [6, 6],
  TCA_NETEM_PRNG_SEED: [6, 6],
  IFLA_GSO_IPV4_MAX_SIZE: [6, 3],
  IFLA_GRO_IPV4_MAX_SIZE: [6, 3],
  TCA_MIRRED_BLOCKID: [6, 8],
  FRA_DSCP: [6, 12],
  FRA_FLOWLABEL: [6, 14],
  FRA_FLOWLABEL_MASK: [6, 14],
  FRA_SPORT_MASK: [6, 15],
  FRA_DPORT_MASK: [6, 15],
  FRA_DSCP_MASK: [6, 15],
  'nexthop_grp.weight_high': [6, 12],
}

/** Names that no header for programs has, and where they are: nothing can be held against them. */
const internal: Readonly<Record<string, string>> = { ENOTSUPP: 'include/linux/errno.h' }

/** Every errno that has a name. */
function errnos(): [string, number][] {
  const numbers = Array.from({ length: 600 }, (_, i) => i + 1).filter((number) => errnoName(number) !== `E${number}`)
  return numbers.map((number) => [errnoName(number), number])
}

/** An assertion whose failure shows `what`, left out when the headers are older than the name. */
function assertion(name: string, condition: string, what: string): string[] {
  if (internal[name] !== undefined) return []
  const line = `_Static_assert(${condition}, "${what}");`
  const since = newer[name]
  return since === undefined
    ? [line]
    : [`#if LINUX_VERSION_CODE >= KERNEL_VERSION(${since[0]}, ${since[1]}, 0)`, line, '#endif']
}

const constant = ([name, number]: readonly [string, number]) =>
  assertion(name, `(${name}) == ${number}`, `${name} is not ${number}`)

function structAssertions(): string[] {
  return allStructs.flatMap(({ name, size, fields }) => [
    ...assertion(name, `sizeof(struct ${name}) >= ${size}`, `struct ${name} has not ${size} bytes`),
    ...fields.flatMap((field) => {
      const member = `${name}.${field.name}`
      const place = `offsetof(struct ${name}, ${field.name}) == ${field.offset}`
      const width = `sizeof(((struct ${name} *)0)->${field.name}) == ${field.type.size}`
      return assertion(member, `${place} && ${width}`, `${member} has not ${field.type.size} bytes at ${field.offset}`)
    }),
  ])
}

const attributeNumbers = () =>
  allTables.flatMap(({ attributes }) => attributes.map(({ name, number }): [string, number] => [name, number]))

/** The compiler's complaints about some assertions; empty when all hold. */
function complaints(assertions: readonly string[]): string {
  const source = `${preamble}\n${assertions.join('\n')}\n`
  const { error, status, stderr } = spawnSync('cc', ['-std=gnu11', '-fsyntax-only', '-x', 'c', '-'], {
    input: source,
    encoding: 'utf8',
  })
  if (error) throw error
  return status === 0 ? '' : stderr || `cc ended with ${status}`
}

/** Why the headers cannot be compared with here, or false. */
function reason(): string | false {
  try {
    const said = complaints([])
    if (said !== '') return `no C compiler with the kernel's headers: ${said.split('\n')[0]}`
    const old = complaints([`_Static_assert(LINUX_VERSION_CODE >= KERNEL_VERSION(${oldest.join(', ')}, 0), "");`])
    return old === '' ? false : `the kernel's headers are older than ${oldest.join('.')}`
  } catch (error) {
    return `no C compiler: ${(error as Error).message}`
  }
}

const skip = reason()

test('attribute numbers are those of the headers', { skip }, (t) => {
  const numbers = attributeNumbers()
  t.ok(numbers.length > 150, `${numbers.length} attributes in ${allTables.length} tables`)
  t.ok(numbers.some(([name]) => name === 'IFLA_BR_FORWARD_DELAY') && numbers.some(([name]) => name === 'RTAX_MTU'))
  t.equal(complaints(numbers.flatMap(constant)), '')
  t.end()
})

test('an attribute number stands once in its table', (t) => {
  for (const { attributes } of allTables) {
    const numbers = attributes.map(({ number }) => number)
    t.same(numbers, [...new Set(numbers)], `the table of ${attributes[0]?.name}`)
  }
  t.end()
})

test('structs have the layout of the headers', { skip }, (t) => {
  const names = allStructs.map(({ name }) => name)
  for (const name of ['ifinfomsg', 'ifaddrmsg', 'rtmsg', 'rtnexthop', 'rtnl_link_stats64'])
    t.ok(names.includes(name), name)
  t.equal(complaints(structAssertions()), '')
  t.end()
})

test('constants are those of the headers', { skip }, (t) => {
  const all: (readonly [string, number])[] = [
    ...allHeaderNames,
    ...Object.entries(tunConstants),
    ...Object.entries(offloadConstants),
    ...Object.entries(unixConstants),
    ...Object.entries(socketConstants),
    ...Object.entries({ AF_UNSPEC, AF_INET, AF_INET6 }),
    ...errnos(),
  ]
  t.ok(all.length > 250, `${all.length} constants`)
  t.equal(complaints(all.flatMap(constant)), '')
  t.end()
})

test('every errno of the headers has a name', { skip }, (t) => {
  const { stdout } = spawnSync('cc', ['-dM', '-E', '-include', 'errno.h', '-x', 'c', '/dev/null'], { encoding: 'utf8' })
  const macros = [...stdout.matchAll(/^#define (E[A-Z0-9]+) (\d+)$/gm)].map(([, name = '', number]) => [
    name,
    Number(number),
  ])
  t.ok(macros.length > 120)
  for (const [name, number] of macros) t.equal(errnoName(Number(number)), name)
  t.end()
})

test('a wrong number, a wrong layout and an unknown name do not pass', { skip }, (t) => {
  t.match(complaints(constant(['IFLA_MTU', 5])), 'IFLA_MTU is not 5')
  t.match(complaints(constant(['IFLA_NETKIT', 5])), /IFLA_NETKIT.* undeclared/)
  const wrong = assertion('ifinfomsg.ifi_index', 'offsetof(struct ifinfomsg, ifi_index) == 8', 'ifi_index is not at 8')
  t.match(complaints(wrong), 'ifi_index is not at 8')
  t.end()
})

test('the exceptions are about what there is', (t) => {
  const names = new Set([...attributeNumbers(), ...allHeaderNames, ...errnos()].map(([name]) => name))
  for (const name of Object.keys({ ...tunConstants, ...offloadConstants })) names.add(name)
  for (const { name, fields } of allStructs) for (const field of fields) names.add(`${name}.${field.name}`)
  for (const { name, fields } of allStructs) for (const one of fields) names.add(name).add(`${name}.${one.name}`)
  for (const name of [...Object.keys(newer), ...Object.keys(internal)]) t.ok(names.has(name), name)
  t.ok(names.has(linkAttributes.nameOf('mtu')) && names.has(acknowledgementAttributes.nameOf('policy')))
  t.end()
})
