/** Messages of the kernel and of iproute2, byte by byte: parse, compare, emit, and get the same bytes. */
import { type Test, test } from 'tap'
import { type AnyDefinition, HEADER_SIZE } from '../dist/netlink/message.js'
import { addressMessage, readAddress } from '../dist/rtnetlink/address.js'
import { linkMessage } from '../dist/rtnetlink/link-attributes.js'
import { readRoute, routeMessage } from '../dist/rtnetlink/route.js'
import * as addresses from './captures/addresses.js'
import * as bridges from './captures/bridge.js'
import { messageOf, capture as raw } from './captures/capture.js'
import * as links from './captures/links.js'
import * as requests from './captures/requests.js'
import * as routes from './captures/routes.js'
// Loads every file that has a table.
import '../dist/index.js'

const hex = (bytes: Uint8Array) =>
  Buffer.from(bytes)
    .toString('hex')
    .replace(/(.{8})/g, '$1 ')

/** Checks that what was read from a message is written as it came: all behind the struct nlmsghdr, which sending fills in. */
function emitsTheSame(t: Test, definition: AnyDefinition, bytes: Uint8Array, expected = bytes): void {
  const message = messageOf(bytes)
  const { header, attributes } = definition.decode(message)
  const again = definition.encode(message.type, message.flags, header, attributes)
  t.equal(hex(again.subarray(HEADER_SIZE)), hex(expected.subarray(HEADER_SIZE)), 'is written as it came')
}

test('lo', (t) => {
  const message = messageOf(links.loopback)
  t.match(message, { type: 16, flags: 2, sequence: 1, start: 16, end: 1468 })
  const { header, attributes } = linkMessage.decode(message)
  t.same(header, { family: 0, pad: 0, type: 772, index: 1, flags: 0x10049, change: 0 })
  const { statistics, statistics32, families, map, ...others } = attributes
  t.same(others, {
    name: 'lo',
    txQueueLength: 1000,
    operationalState: 'unknown',
    linkMode: 'default',
    '#67': raw('01'),
    mtu: 65536,
    minimumMtu: 0,
    maximumMtu: 0,
    group: 0,
    promiscuity: 0,
    allMulticast: 0,
    txQueues: 1,
    gsoMaxSegments: 65535,
    gsoMaxSize: 65536,
    groMaxSize: 65536,
    gsoIpv4MaxSize: 65536,
    groIpv4MaxSize: 65536,
    tsoMaxSize: 524280,
    tsoMaxSegments: 65535,
    '#66': raw('00000000'),
    rxQueues: 1,
    carrier: true,
    carrierChanges: 0,
    carrierUpCount: 0,
    carrierDownCount: 0,
    '#68': raw('0000'),
    '#69': raw('0000'),
    protocolDown: false,
    mac: '00:00:00:00:00:00',
    broadcast: '00:00:00:00:00:00',
    xdp: { attached: 'none' },
    queueingDiscipline: 'noqueue',
    '#32830': raw(''),
    '#32833': raw(''),
  })
  t.ok(Object.values(statistics ?? {}).every((count) => count === 0))
  t.equal(Object.keys(statistics ?? {}).length, 25)
  t.match(families, { inet: {}, inet6: { flags: 0x8000_0000, token: '::', addressGeneration: 'eui64' } })
  t.equal(statistics32?.length, 96)
  t.equal(map?.length, 32)
  emitsTheSame(t, linkMessage, links.loopback)
  t.end()
})

test('a veth whose other end is elsewhere', (t) => {
  const { header, attributes } = linkMessage.decode(messageOf(links.veth))
  t.same(header, { family: 0, pad: 0, type: 1, index: 7, flags: 0x1002, change: 0 })
  t.match(attributes, {
    name: 'veth3',
    operationalState: 'down',
    alias: 'uplink',
    carrier: false,
    mac: '02:00:00:00:00:03',
    info: { kind: 'veth' },
    parentNamespaceId: 0,
    parent: 2,
    queueingDiscipline: 'noop',
    properties: { alternativeNames: ['a-name-longer-than-fifteen'] },
  })
  // The alias is written without the NUL that the kernel sends: of the 255 bytes that it takes, all may be the alias.
  const expected = Buffer.from(links.veth)
  expected[expected.indexOf(raw('0b001400'))] = 0x0a
  emitsTheSame(t, linkMessage, links.veth, expected)
  t.end()
})

test('a tun', (t) => {
  const { header, attributes } = linkMessage.decode(messageOf(links.tun))
  t.same(header, { family: 0, pad: 0, type: 0xfffe, index: 5, flags: 0x1090, change: 0 })
  t.match(attributes, { name: 'tun0', txQueueLength: 500, info: { kind: 'tun' } })
  t.notOk('mac' in attributes)
  emitsTheSame(t, linkMessage, links.tun)
  t.end()
})

test('a bridge', (t) => {
  const { header, attributes } = linkMessage.decode(messageOf(bridges.bridge))
  t.match(header, { type: 1, index: 4, flags: 0x11043 })
  t.match(attributes, { name: 'br0', mac: '02:00:00:00:00:0b', info: { kind: 'bridge' } })
  t.match(attributes.info?.data, {
    garbageCollectionTimer: Number,
    forwardDelay: 4000,
    helloTime: 2000,
    maxAge: 20_000,
    ageingTime: 300_000,
    stp: false,
    priority: 4096,
    vlanFiltering: false,
    groupForwardMask: 8,
    bridgeId: '1000.02:00:00:00:00:0b',
    rootId: '1000.02:00:00:00:00:0b',
    rootPort: 0,
    topologyChange: false,
    groupAddress: '01:80:c2:00:00:00',
    multicastRouter: 'query',
    multicastSnooping: true,
    multicastHashMax: 4096,
    multicastLastMemberInterval: 1000,
    multicastMembershipInterval: 260_000,
    multicastStartupQueryInterval: 31_240,
    callIptables: false,
  })
  // Of the boolean options (struct br_boolopt_multi) those that have a name are written back, three of this kernel's five.
  const [options, named] = [raw('0c002e00 00000000 1f000000'), raw('0c002e00 00000000 07000000')]
  const expected = Buffer.from(bridges.bridge)
  const place = expected.indexOf(options)
  t.ok(place > 0)
  named.forEach((octet, i) => {
    expected[place + i] = octet
  })
  emitsTheSame(t, linkMessage, bridges.bridge, expected)
  t.end()
})

test("a bridge's port", (t) => {
  const { header, attributes } = linkMessage.decode(messageOf(bridges.port))
  t.match(header, { index: 3, flags: 0x11043 })
  t.match(attributes, { name: 'veth1', master: 4, parent: 2, info: { kind: 'veth', portKind: 'bridge' } })
  t.match(attributes, { promiscuity: 1, allMulticast: 1 })
  t.type(attributes.info?.portData, 'object')
  emitsTheSame(t, linkMessage, bridges.port)
  t.end()
})

test('addresses', (t) => {
  const forEver = { validLifetime: Number.POSITIVE_INFINITY, preferredLifetime: Number.POSITIVE_INFINITY }
  const cases = [
    [
      addresses.inet,
      {
        family: 'inet',
        address: '10.0.1.1/24',
        index: 4,
        scope: 'global',
        flags: ['permanent'],
        label: 'br0:a',
        broadcast: '10.0.1.255',
        ...forEver,
      },
    ],
    [
      addresses.peer,
      {
        family: 'inet',
        address: '10.0.9.1/32',
        index: 2,
        scope: 'global',
        flags: ['permanent'],
        label: 'veth2',
        peer: '10.0.9.2/30',
        ...forEver,
      },
    ],
    [
      addresses.inet6,
      {
        family: 'inet6',
        address: 'fd00::1/64',
        index: 4,
        scope: 'global',
        flags: ['nodad'],
        validLifetime: 3_599_000,
        preferredLifetime: 1_799_000,
      },
    ],
    [
      addresses.linkLocal,
      { family: 'inet6', address: 'fe80::ff:fe00:b/64', index: 4, scope: 'link', flags: ['permanent'], ...forEver },
    ],
  ] as const
  for (const [bytes, expected] of cases) {
    t.match(readAddress(addressMessage.decode(messageOf(bytes))), expected)
    emitsTheSame(t, addressMessage, bytes)
  }
  t.same(addressMessage.decode(messageOf(addresses.inet6)), {
    header: { family: 10, prefixLength: 64, flags: 2, scope: 0, index: 4 },
    attributes: {
      address: 'fd00::1',
      cacheInfo: addressMessage.decode(messageOf(addresses.inet6)).attributes.cacheInfo,
      flags: 2,
    },
  })
  t.end()
})

test('routes', (t) => {
  const common = { family: 'inet', table: 'main', type: 'unicast', scope: 'global', protocol: 'boot', flags: [] }
  const cases = [
    [
      routes.gateway,
      {
        ...common,
        to: '10.0.2.0/24',
        via: '10.0.1.254',
        index: 4,
        metric: 100,
        source: '10.0.1.1',
        mtu: 1400,
      },
    ],
    [routes.defaultRoute, { ...common, to: 'default', via: '10.0.1.254', index: 4 }],
    [
      routes.multipath,
      {
        ...common,
        to: '10.0.3.0/24',
        nexthops: [
          { via: '10.0.1.253', index: 4, weight: 2, flags: [] },
          { via: 'fd00::fe', index: 4, weight: 1, flags: [] },
        ],
      },
    ],
    [routes.blackhole, { ...common, to: '10.0.4.0/24', table: 1000, type: 'blackhole', protocol: 'static' }],
    [routes.inet6, { ...common, family: 'inet6', to: 'fd00:2::/64', via: 'fd00::ff', index: 4, metric: 1024 }],
  ] as const
  for (const [bytes, expected] of cases) {
    t.match(readRoute(routeMessage.decode(messageOf(bytes))), expected)
    emitsTheSame(t, routeMessage, bytes)
  }
  t.end()
})

/** Requests of iproute2 that netkit writes in the same way, byte by byte. */
test("iproute2's requests", (t) => {
  const cases: [AnyDefinition, Uint8Array, object, object][] = [
    [linkMessage, requests.setLink, { index: 11, flags: 1, change: 1 }, { mtu: 1400 }],
    [linkMessage, requests.setMaster, { index: 11 }, { master: 10 }],
    [linkMessage, requests.deleteLink, { index: 4 }, {}],
    [
      addressMessage,
      requests.addAddress,
      { family: 2, prefixLength: 24, index: 10 },
      { local: '10.0.2.1', label: 'br0:a', address: '10.0.2.1', broadcast: '10.0.2.255' },
    ],
    [
      addressMessage,
      requests.addAddress6,
      { family: 10, prefixLength: 64, flags: 2, index: 10 },
      { local: 'fd00::1', address: 'fd00::1', cacheInfo: { preferred: 1800, valid: 3600 } },
    ],
    [
      addressMessage,
      requests.deleteAddress,
      { family: 2, prefixLength: 24, index: 10 },
      { local: '10.0.2.1', address: '10.0.2.1' },
    ],
    [
      routeMessage,
      requests.addRoute,
      { family: 2, destinationLength: 24, table: 254, protocol: 3, type: 1 },
      { destination: '10.0.5.0', gateway: '10.0.1.254', priority: 100, metrics: { mtu: 1400 } },
    ],
    [
      routeMessage,
      requests.addRoute6,
      { family: 10, destinationLength: 64, table: 254, protocol: 3, type: 1 },
      { destination: 'fd00:2::', gateway: 'fd00::ff', outputLink: 10 },
    ],
    [
      routeMessage,
      requests.deleteRoute,
      { family: 2, destinationLength: 24, table: 254, scope: 255 },
      { destination: '10.0.5.0' },
    ],
  ]
  for (const [definition, bytes, header, attributes] of cases) {
    const message = messageOf(bytes)
    t.match(definition.decode(message), { header, attributes })
    const ours = Buffer.from(definition.encode(message.type, message.flags, header, { ...attributes }))
    ours.writeUInt32LE(message.sequence, 8)
    t.equal(hex(ours), hex(bytes))
  }
  t.end()
})

test("iproute2's requests that netkit writes a little differently", (t) => {
  // The kind has no NUL at its end there; the kernel takes both, and sends one.
  const veth = linkMessage.decode(messageOf(requests.addVeth))
  const peer = { mac: '02:00:00:00:00:06', name: 'veth6' }
  t.match(veth.attributes, {
    mtu: 1400,
    mac: '02:00:00:00:00:05',
    name: 'veth5',
    info: { kind: 'veth', data: { peer: { header: { index: 0 }, attributes: peer } } },
  })
  const bridge = linkMessage.decode(messageOf(requests.addBridge))
  t.same(bridge.attributes, {
    name: 'br1',
    info: { kind: 'bridge', data: { forwardDelay: 4000, ageingTime: 100_000 } },
  })
  for (const decoded of [veth, bridge]) {
    const again = linkMessage.encode(16, 0x605, decoded.header, decoded.attributes)
    t.same(linkMessage.decode(messageOf(again)), decoded)
  }
  // The padding of the last attribute is whatever was in its memory.
  const multipath = routeMessage.decode(messageOf(requests.addMultipath))
  t.match(multipath.attributes, {
    destination: '10.0.6.0',
    multipath: [
      { flags: 0, hops: 1, index: 10, attributes: { gateway: '10.0.1.253' } },
      { flags: 0, hops: 0, index: 10, attributes: { via: 'fd00::fe' } },
    ],
  })
  const clean = Buffer.from(requests.addMultipath)
  clean.writeUInt16LE(0, clean.length - 2)
  emitsTheSame(t, routeMessage, requests.addMultipath, clean)
  t.end()
})

test('messages with something in them that does not fit', (t) => {
  const malformed = (definition: AnyDefinition, text: string, path: string[], message: RegExp) =>
    t.throws(() => definition.decode(messageOf(raw(text))), { name: 'Malformed', path, message })
  const link = '10000000 00000000 00000000 00000000 00000000'
  const header = (length: string) => `${length}000000 10000000 00000000 00000000 00000000*4`
  malformed(linkMessage, `${header('26')} 0600 0400 0000`, ['IFLA_MTU'], /has 2 bytes where 4 are needed/)
  malformed(linkMessage, `${header('22')} 0600`, [], /ends with 2 bytes that are no attribute/)
  malformed(linkMessage, `${header('24')} 0900 0400`, [], /attribute 4 that claims 9 bytes where 4 are left/)
  malformed(linkMessage, `${header('24')} 0300 0400`, [], /attribute 4 with an impossible length of 3/)
  malformed(
    linkMessage,
    `${header('3c')} 1c001200 0b000100 62726964 67650000 0c000200 05000600 00000000`,
    ['IFLA_LINKINFO', 'IFLA_INFO_DATA', 'IFLA_BR_PRIORITY'],
    /has 1 bytes where 2 are needed/,
  )
  const address = (message: string, attribute: string, contents: string) =>
    malformed(
      addressMessage,
      `${message}000000 14000000 00000000 00000000 02180000 01000000 ${attribute}000100 ${contents}`,
      ['IFA_ADDRESS'],
      /has \d+ bytes where 4 or 16 make an address/,
    )
  address('20', '07', '0a000100')
  address('24', '09', '0a000100 01000000')
  address('30', '15', '00000000*5')
  const nexthop = (length: string) => `28000000 18000000 00000000 00000000 00000000*3 0c000900 ${length}0000 01000000`
  malformed(routeMessage, nexthop('0c00'), ['RTA_MULTIPATH'], /claims 12 bytes where 8 are left/)
  malformed(routeMessage, nexthop('0400'), ['RTA_MULTIPATH'], /claims 4 bytes where 8 are left/)
  t.throws(() => messageOf(raw(`15${link.slice(2)}`)), /holds a netlink message that claims 21 bytes where 20 are left/)
  t.throws(() => messageOf(raw(`ff${link.slice(2)}`)), /claims 255 bytes where 20 are left/)
  t.throws(() => messageOf(raw(`0f${link.slice(2)}`)), /claims 15 bytes where 20 are left/)
  t.throws(() => messageOf(raw('10000000 0000')), /ends with 6 bytes that are no netlink message/)
  t.end()
})

test('structs that are longer or shorter than expected', (t) => {
  const message = (text: string) => {
    const bytes = Buffer.from(raw(`00000000 10000000 00000000 00000000 ${text}`))
    bytes.writeUInt32LE(bytes.length, 0)
    return messageOf(bytes)
  }
  const zero = { family: 0, pad: 0, type: 0, index: 0, flags: 0, change: 0 }
  t.same(linkMessage.decode(message('')), { header: zero, attributes: {} })
  t.same(linkMessage.decode(message('07000100 05000000')).header, { ...zero, family: 7, type: 1, index: 5 })
  t.same(linkMessage.decode(message('07000100 0500')).header, { ...zero, family: 7, type: 1 }, 'a member that is cut')
  // Statistics of a kernel that counts less, and of one that counts more.
  const statistics = (words: number, length: string) =>
    linkMessage.decode(message(`00000000*4 ${length}1700 ${'01000000 00000000 '.repeat(words)}`)).attributes.statistics
  t.match(statistics(2, '1400'), { receivedPackets: 1, sentPackets: 1, receivedBytes: 0, receiveOtherHostDropped: 0 })
  t.match(statistics(30, 'f400'), { receivedPackets: 1, receiveOtherHostDropped: 1 })
  t.equal(Object.keys(statistics(30, 'f400') ?? {}).length, 25)
  // A scalar that is longer: a newer kernel's.
  t.match(linkMessage.decode(message('00000000*4 0c000400 dc050000 ffffffff')), { attributes: { mtu: 1500 } })
  t.end()
})

test('what was decoded does not change with the buffer, which is used again', (t) => {
  const before = linkMessage.decode(messageOf(links.veth))
  const bytes = Buffer.from(links.veth)
  const decoded = linkMessage.decode(messageOf(bytes))
  bytes.fill(0xff)
  t.same(decoded, before)
  t.end()
})
