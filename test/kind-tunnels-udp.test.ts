/** Tunnels over UDP: vxlan and geneve. */
import t from 'tap'
import { createBridge, createLink, createVeth } from '../dist/index.js'
import { needs } from './support/needs.js'
import { scratch } from './support/scratch.js'
import { proveTunnel, type Row } from './support/tunnel-referee.js'

const vxlan: Row[] = [
  {
    options: { id: 10, port: 4789, local: '10.9.0.1', learning: false },
    words: 'id 10 dstport 4789 local 10.9.0.1 nolearning',
    shows: { id: 10, port: 4789, local: '10.9.0.1', learning: false },
  },
  {
    options: { id: 16_777_215, port: 4789, remote: '10.9.0.2', device: 'under', ttl: 5, tos: 'inherit', df: 'set' },
    words: 'id 16777215 dstport 4789 remote 10.9.0.2 dev under ttl 5 tos inherit df set',
    shows: { id: 16_777_215, remote: '10.9.0.2', link: 'under', ttl: 5, tos: '0x1', df: 'set' },
    from: { id: 16_777_215, port: 4789, remote: '10.9.0.9', device: 'under' },
  },
  {
    options: {
      id: 1,
      port: 4789,
      remote: 'fd00::2',
      local: 'fd00::1',
      ttl: 'inherit',
      tos: 4,
      df: 'inherit',
      flowLabel: 0x1234,
    },
    words: 'id 1 dstport 4789 remote fd00::2 local fd00::1 ttl inherit tos 4 df inherit flowlabel 0x1234',
    shows: { remote6: 'fd00::2', local6: 'fd00::1', ttl: undefined, tos: '0x4', df: 'inherit', label: '0x1234' },
  },
  {
    options: { id: 1, port: 4789, remote: '239.1.2.3', device: 'under', portRange: { low: 1000, high: 2000 } },
    words: 'id 1 dstport 4789 group 239.1.2.3 dev under srcport 1000 2000',
    shows: { group: '239.1.2.3', port_range: { low: 1000, high: 2000 } },
  },
  {
    options: { id: 1, port: 4789, remote: 'ff05::7', device: 'under' },
    words: 'id 1 dstport 4789 group ff05::7 dev under',
    shows: { group6: 'ff05::7', link: 'under' },
  },
  {
    options: { id: 1, port: 4789, ageing: 20_000, maxAddresses: 10, proxy: true, routeShortCircuit: true },
    words: 'id 1 dstport 4789 ageing 20 maxaddress 10 proxy rsc',
    shows: { ageing: 20, limit: 10, proxy: true, rsc: true },
  },
  {
    options: { id: 1, port: 4789, learning: false, ageing: 40_000 },
    words: 'id 1 dstport 4789 nolearning ageing 40',
    shows: { learning: false, ageing: 40 },
    from: { id: 1, port: 4789 },
  },
  {
    options: { id: 1, port: 4789, l2Miss: true, l3Miss: true, udpChecksum: false, remote: '10.0.0.1' },
    words: 'id 1 dstport 4789 l2miss l3miss noudpcsum remote 10.0.0.1',
    shows: { l2miss: true, l3miss: true, udp_csum: false },
  },
  {
    options: { id: 1, port: 4789, udpZeroChecksum6Send: true, remoteChecksumSend: true },
    words: 'id 1 dstport 4789 udp6zerocsumtx remcsumtx',
    shows: { udp_zero_csum6_tx: true, udp_zero_csum6_rx: false, remcsum_tx: true, remcsum_rx: undefined },
  },
  {
    options: { id: 1, port: 4789, udpZeroChecksum6Receive: true, remoteChecksumReceive: true },
    words: 'id 1 dstport 4789 udp6zerocsumrx remcsumrx',
    shows: { udp_zero_csum6_tx: false, udp_zero_csum6_rx: true, remcsum_tx: undefined, remcsum_rx: true },
  },
  {
    options: { id: 1, port: 4789, groupPolicy: true },
    words: 'id 1 dstport 4789 gbp',
    shows: { gbp: true },
  },
  { options: { id: 1, port: 4789, remoteChecksumNoPartial: true }, shows: { id: 1 } },
  {
    options: { id: 1, port: 4789, groupPolicy: false, remoteChecksumNoPartial: false, genericProtocol: false },
    reads: { id: 1, groupPolicy: undefined, remoteChecksumNoPartial: undefined, genericProtocol: undefined },
    words: 'id 1 dstport 4789',
    shows: { gbp: undefined, gpe: undefined },
  },
  {
    options: { external: true, port: 4789, learning: false, genericProtocol: true },
    reads: { id: 0, external: true, genericProtocol: true, learning: false },
    words: 'external dstport 4789 nolearning gpe',
    shows: { external: true, gpe: true, id: 0 },
  },
  {
    options: { external: true, port: 4789, vniFilter: true },
    reads: { external: true, vniFilter: true },
    words: 'external dstport 4789 vnifilter learning',
    shows: { external: true, vnifilter: true },
    takes: 'kernel:5.18',
  },
  { options: { id: 1, port: 4789, remote: '10.0.0.1', localBypass: false }, takes: 'kernel:6.5' },
  { options: { id: 1, port: 4789, remote: 'fd00::1', flowLabelPolicy: 'inherit' }, takes: 'kernel:6.8' },
  { options: { id: 1, port: 4789, reservedBits: 0x00ff_ffff_0000_00ffn }, takes: 'kernel:6.14' },
]

const geneve: Row[] = [
  {
    options: { id: 7, remote: '10.0.0.1', ttl: 5, tos: 'inherit', df: 'set', port: 6082, udpChecksum: true },
    words: 'id 7 remote 10.0.0.1 ttl 5 tos inherit df set dstport 6082 udpcsum',
    shows: { id: 7, remote: '10.0.0.1', ttl: 5, tos: '0x1', df: 'set', port: 6082, udp_csum: true },
  },
  {
    options: { id: 16_777_215, remote: 'fd00::1', ttl: 'inherit', flowLabel: 0x123, udpZeroChecksum6Send: false },
    words: 'id 16777215 remote fd00::1 ttl inherit flowlabel 0x123 noudp6zerocsumtx',
    shows: { id: 16_777_215, remote6: 'fd00::1', label: '0x123', udp_zero_csum6_tx: false },
  },
  {
    options: { id: 1, remote: 'fd00::1', udpZeroChecksum6Receive: true },
    words: 'id 1 remote fd00::1 udp6zerocsumrx',
    shows: { udp_zero_csum6_rx: true },
  },
  {
    options: { external: true, port: 6083 },
    words: 'external dstport 6083',
    shows: { external: true, port: 6083 },
  },
  { options: { external: true, innerProtocolInherit: true }, words: 'external innerprotoinherit' },
  {
    options: { id: 7, remote: '10.0.0.1', ttl: 'auto', tos: 8, df: 'inherit' },
    words: 'id 7 remote 10.0.0.1 ttl auto tos 8 df inherit',
    shows: { ttl: 0, tos: '0x8', df: 'inherit' },
  },
  { options: { id: 7, remote: '10.0.0.1', portRange: { low: 100, high: 200 } }, takes: 'kernel:6.15' },
]

// The kernel takes `multicastRoute`, and does not tell it.
await proveTunnel(t, 'vxlan', vxlan, { alike: true, excused: ['multicastRoute'] })
await proveTunnel(t, 'geneve', geneve)

t.test('the line of the contract', await needs('namespaces', 'kind:vxlan'), async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  const vx = await createLink({
    kind: 'vxlan',
    name: 'vx10',
    id: 10,
    local: '10.9.0.1',
    port: 4789,
    learning: false,
    master: br0,
    namespace: red,
  })
  t.equal(vx.master, br0.index)
  t.equal(vx.options.port, 4789)
  await vx.set({ port: { learning: false, neighborSuppression: true } })
  t.match(vx.port, { learning: false, neighborSuppression: true }, 'its options as a port of a bridge are others')
  t.equal(vx.options.port, 4789)
})

t.test('a parent is a device, and may be elsewhere', await needs('namespaces', 'kind:vxlan'), async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const [under, other] = await createVeth({ name: 'under', namespace: red }, { name: 'other', namespace: red })
  const here = await createLink({ kind: 'vxlan', name: 'here', id: 1, port: 4789, parent: 'under', namespace: red })
  t.equal(here.options.device, under.index)
  const there = await createLink({ kind: 'vxlan', name: 'there', id: 2, port: 4789, parent: under, namespace: box })
  t.equal(there.options.device, under.index)
  t.equal((await box.links.list({ kind: 'vxlan' })).length, 1)
  await here.set({ device: 'other' })
  t.equal(here.options.device, other.index)
})

t.test('wrong options', await needs('namespaces', 'kind:vxlan'), async (t) => {
  const red = await scratch(t)
  const cases: [options: object, code: string, message: RegExp][] = [
    [{ id: 1 << 24 }, 'ERR_OUT_OF_RANGE', /^options\.id must be from 0 to 16777215/],
    [{ flowLabel: 1 << 20 }, 'ERR_OUT_OF_RANGE', /^options\.flowLabel /],
    [{ port: 65_536 }, 'ERR_OUT_OF_RANGE', /^options\.port /],
    [{ port: '4789' }, 'ERR_INVALID_ARG_TYPE', /^options\.port /],
    [{ remote: '10.0.0.256' }, 'ERR_INVALID_ARG_VALUE', /^options\.remote /],
    [{ remote: 7 }, 'ERR_INVALID_ARG_TYPE', /^options\.remote /],
    [{ ttl: 256 }, 'ERR_OUT_OF_RANGE', /^options\.ttl /],
    [{ ttl: 'always' }, 'ERR_INVALID_ARG_TYPE', /^options\.ttl must be a number, 'auto' or 'inherit'/],
    [{ tos: 'always' }, 'ERR_INVALID_ARG_VALUE', /^options\.tos /],
    [{ ageing: 1500 }, 'ERR_INVALID_ARG_VALUE', /^options\.ageing .*whole seconds/],
    [{ portRange: { low: 2, high: 1 } }, 'ERR_INVALID_ARG_VALUE', /^options\.portRange .*ends before it begins/],
    [{ portRange: { low: 2 } }, 'ERR_INVALID_ARG_TYPE', /^options\.portRange\.high /],
    [{ portRange: [1, 2] }, 'ERR_INVALID_ARG_TYPE', /^options\.portRange /],
    [{ groupPolicy: 1 }, 'ERR_INVALID_ARG_TYPE', /^options\.groupPolicy /],
    [{ reservedBits: 1 }, 'ERR_INVALID_ARG_TYPE', /^options\.reservedBits /],
    [{ reservedBits: 1n << 64n }, 'ERR_INVALID_ARG_VALUE', /^options\.reservedBits /],
    [{ remote4: '10.0.0.1' }, 'ERR_INVALID_ARG_VALUE', /remote4/],
    [{ device: -1 }, 'ERR_INVALID_ARG_VALUE', /^options\.device /],
  ]
  for (const [options, code, message] of cases) {
    await t.rejects(createLink({ kind: 'vxlan', namespace: red, ...options } as never), { code, message })
  }
  const vx = await createLink({ kind: 'vxlan', name: 'vx', id: 1, port: 4789, namespace: red })
  await t.rejects(vx.set({ port: 4790 } as never), { code: 'ERR_INVALID_ARG_VALUE', message: /stays as it is/ })
  await t.rejects(vx.set({ id: 2 }), { code: 'EOPNOTSUPP', message: /Cannot change VNI/ })
  t.equal((await vx.refresh()).options.id, 1)
  const late = createLink({ kind: 'vxlan', name: 'late', id: 1, port: 4789, remote: '239.1.1.1', namespace: red })
  await t.rejects(late, { code: 'EINVAL', message: /Local interface required/ })
})
