/** Tunnels of IP in IP, and of IPsec: ipip, sit, ip6tnl, vti, vti6, xfrm; and wireguard. */
import t from 'tap'
import { createLink } from '../dist/index.js'
import { needs } from './support/needs.js'
import { ipDo, scratch } from './support/scratch.js'
import { proveTunnel, type Row } from './support/tunnel-referee.js'

const ends4 = { local: '10.0.0.2', remote: '10.0.0.1' }
const ends6 = { local: 'fd00::2', remote: 'fd00::1' }
const words4 = 'local 10.0.0.2 remote 10.0.0.1'
const words6 = 'local fd00::2 remote fd00::1'

const ipip: Row[] = [
  {
    options: { ...ends4, ttl: 5, tos: 4, device: 'under', fwmark: 5, mode: 'any' },
    words: `${words4} ttl 5 tos 4 dev under fwmark 5 mode any`,
    shows: { ...ends4, ttl: 5, tos: '0x4', link: 'under', fwmark: '0x5', proto: 'any', pmtudisc: true },
    from: { ...ends4, mode: 'any' },
  },
  {
    options: { ...ends4, mode: 'ipip', pmtuDiscovery: false, ttl: 'inherit', tos: 'inherit' },
    words: `${words4} mode ipip nopmtudisc ttl inherit tos inherit`,
    shows: { proto: 'ipip', pmtudisc: false, ttl: 0, tos: '0x1' },
    from: { ...ends4, tos: 8, mode: 'ipip' },
  },
  { options: { ...ends4, mode: 'mpls' }, words: `${words4} mode mplsip`, shows: { proto: 'mplsip' } },
  { options: ends4, reads: { ...ends4, mode: 'ipip' }, shows: { proto: 'ipip' } },
  {
    options: {
      ...ends4,
      encapsulationType: 'gue',
      encapsulationSourcePort: 5000,
      encapsulationDestinationPort: 5555,
      encapsulationFlags: { checksum: true },
    },
    words: `${words4} encap gue encap-sport 5000 encap-dport 5555 encap-csum`,
    shows: { encap: { type: 'gue', sport: 5000, dport: 5555, csum: true, remcsum: false } },
    fou: true,
  },
  { options: { external: true }, words: 'external', shows: { external: true } },
]

const sit: Row[] = [
  {
    options: { ...ends4, ttl: 5, mode: 'any', device: 'under' },
    words: `${words4} ttl 5 mode any dev under`,
    reads: { ...ends4, ttl: 5, mode: 'any', device: 'under', isatap: false, sixRdPrefix: '2002::/16' },
    shows: { ...ends4, ttl: 5, proto: 'any', link: 'under', isatap: undefined, prefix: '2002::', prefixlen: 16 },
    from: { ...ends4, mode: 'any' },
  },
  {
    options: { local: '10.0.0.2', ttl: 64, sixRdPrefix: '2001:db8::/32', sixRdRelayPrefix: '10.0.0.0/8' },
    words: 'local 10.0.0.2 ttl 64 6rd-prefix 2001:db8::/32 6rd-relay_prefix 10.0.0.0/8',
    shows: { prefix: '2001:db8::', prefixlen: 32, relay_prefix: '10.0.0.0', relay_prefixlen: 8 },
    from: { local: '10.0.0.2', ttl: 64 },
  },
  {
    options: { local: '10.0.0.2', isatap: true, mode: 'ip6ip', pmtuDiscovery: true },
    words: 'local 10.0.0.2 isatap mode ip6ip',
    shows: { isatap: true, proto: 'ip6ip' },
  },
  {
    options: { ...ends4, mode: 'ipip', tos: 'inherit' },
    words: `${words4} mode ipip tos inherit`,
    shows: { proto: 'ipip' },
  },
  {
    options: { ...ends4, mode: 'mplsip', fwmark: 3 },
    words: `${words4} mode mplsip fwmark 3`,
    shows: { proto: 'mplsip' },
  },
  {
    options: {
      ...ends4,
      encapsulationType: 'gue',
      encapsulationSourcePort: 5000,
      encapsulationDestinationPort: 5555,
      encapsulationFlags: { checksum: true },
    },
    words: `${words4} encap gue encap-sport 5000 encap-dport 5555 encap-csum`,
    shows: { encap: { type: 'gue', sport: 5000, dport: 5555, csum: true, remcsum: false } },
    fou: true,
  },
]

const ip6tnl: Row[] = [
  {
    options: {
      ...ends6,
      mode: 'ipip6',
      ttl: 7,
      encapsulationLimit: 6,
      trafficClass: 0x11,
      flowLabel: 0x22,
      copyDscp: true,
      device: 'under',
    },
    words: `${words6} mode ipip6 hoplimit 7 encaplimit 6 tclass 0x11 flowlabel 0x22 dscp inherit dev under`,
    shows: {
      ...ends6,
      proto: 'ipip6',
      ttl: 7,
      encap_limit: 6,
      tclass: '0x11',
      flowlabel: '0x00022',
      ip6_tnl_f_rcv_dscp_copy: true,
      link: 'under',
    },
    from: { ...ends6, mode: 'ipip6', fwmark: 4 },
  },
  {
    options: {
      ...ends6,
      mode: 'any',
      ttl: 64,
      encapsulationLimit: 'none',
      trafficClass: 'inherit',
      flowLabel: 'inherit',
      allowLocalRemote: true,
      fwmark: 'inherit',
    },
    words: `${words6} mode any encaplimit none tclass inherit flowlabel inherit allow-localremote fwmark inherit`,
    shows: {
      proto: 'any',
      ttl: 64,
      ip6_tnl_f_ign_encap_limit: true,
      ip6_tnl_f_use_orig_tclass: true,
      ip6_tnl_f_use_orig_flowlabel: true,
      ip6_tnl_f_use_orig_fwmark: true,
      ip6_tnl_f_allow_local_remote: true,
    },
  },
  {
    options: { ...ends6, mode: 'ip6ip6', ttl: 64, encapsulationLimit: 4 },
    words: `${words6} mode ip6ip6`,
    reads: { ...ends6, trafficClass: 0, flowLabel: 0, copyDscp: false, allowLocalRemote: false, fwmark: 0 },
    shows: { proto: 'ip6ip6', encap_limit: 4 },
  },
  { options: { external: true, mode: 'any' }, words: 'external mode any', shows: { external: true } },
  {
    options: {
      ...ends6,
      encapsulationType: 'fou',
      encapsulationSourcePort: 5000,
      encapsulationDestinationPort: 5555,
      encapsulationFlags: { checksum6: true },
    },
    words: `${words6} encap fou encap-sport 5000 encap-dport 5555 encap-udp6-csum`,
    shows: { encap: { type: 'fou', sport: 5000, dport: 5555, csum6: true, remcsum: false } },
    fou: true,
  },
]

const vti = (ends: object, words: string): Row[] => [
  {
    options: { ...ends, inputKey: 5, outputKey: 6, device: 'under', fwmark: 4 },
    words: `${words} ikey 5 okey 6 dev under fwmark 4`,
    shows: { ...ends, ikey: '0.0.0.5', okey: '0.0.0.6', link: 'under', fwmark: '0x4' },
    from: { ...ends, key: 9 },
  },
  {
    options: { ...ends, key: 7 },
    words: `${words} key 7`,
    reads: { ...ends, inputKey: 7, outputKey: 7 },
    shows: { ikey: '0.0.0.7', okey: '0.0.0.7' },
    from: { ...ends, inputKey: 1, outputKey: 2 },
  },
]

const xfrm: Row[] = [
  {
    options: { interfaceId: 0xffff_fff0, device: 'under' },
    words: 'dev under if_id 0xfffffff0',
    shows: { if_id: '0xfffffff0' },
    from: { interfaceId: 5, device: 'under' },
  },
  { options: { external: true }, words: 'external', shows: { external: true } },
]

await proveTunnel(t, 'ipip', ipip)
await proveTunnel(t, 'sit', sit)
await proveTunnel(t, 'ip6tnl', ip6tnl)
await proveTunnel(t, 'vti', vti(ends4, words4))
await proveTunnel(t, 'vti6', vti(ends6, words6))
await proveTunnel(t, 'xfrm', xfrm)

t.test('wireguard', await needs('namespaces', 'ip', 'kind:wireguard'), async (t) => {
  const red = await scratch(t)
  const wg = await createLink({ kind: 'wireguard', name: 'wg0', namespace: red, mtu: 1400, up: true })
  t.match(wg, { kind: 'wireguard', mtu: 1400, up: true, options: {} })
  await ipDo(red, 'link', 'add', 'wg1', 'type', 'wireguard')
  t.same((await red.links.list({ kind: 'wireguard' })).map(({ name }) => name).sort(), ['wg0', 'wg1'])
})

t.test('changes leave the rest', await needs('namespaces', 'kind:sit', 'kind:ip6tnl'), async (t) => {
  const red = await scratch(t)
  const six = { sixRdPrefix: '2001:db8::/32', sixRdRelayPrefix: '10.0.0.0/8' }
  const sit1 = await createLink({ kind: 'sit', name: 'sit1', namespace: red, local: '10.0.0.2', ttl: 64, ...six })
  const before = sit1.options
  await sit1.set({ ttl: 65 })
  t.same(sit1.options, { ...before, ttl: 65 })
  const ip6 = { ...ends6, mode: 'any', flowLabel: 'inherit', trafficClass: 3, encapsulationLimit: 'none' } as const
  const tnl = await createLink({ kind: 'ip6tnl', name: 'tnl1', namespace: red, ...ip6 })
  const known = tnl.options
  await Promise.all([tnl.set({ trafficClass: 4 }), tnl.set({ copyDscp: true })])
  t.same(tnl.options, { ...known, trafficClass: 4, copyDscp: true })
})

t.test('wrong options', async (t) => {
  const cases: [kind: string, options: object, code: string, message: RegExp][] = [
    ['sit', { sixRdPrefix: '10.0.0.0/8' }, 'ERR_INVALID_ARG_VALUE', /^options\.sixRdPrefix .*IPv6 prefix/],
    ['sit', { sixRdPrefix: '2001:db8::' }, 'ERR_INVALID_ARG_VALUE', /^options\.sixRdPrefix .*prefix length is missing/],
    ['sit', { sixRdRelayPrefix: 'fd00::/8' }, 'ERR_INVALID_ARG_VALUE', /^options\.sixRdRelayPrefix .*IPv4 prefix/],
    ['sit', { isatap: 1 }, 'ERR_INVALID_ARG_TYPE', /^options\.isatap /],
    ['sit', { external: true }, 'ERR_INVALID_ARG_VALUE', /^options 'external': is not an option/],
    ['ipip', { mode: 'ip6ip' }, 'ERR_INVALID_ARG_VALUE', /^options\.mode .*any, ipip, mpls/],
    ['ip6tnl', { local: '10.0.0.1' }, 'ERR_INVALID_ARG_VALUE', /^options\.local /],
    ['vti', { key: -1 }, 'ERR_OUT_OF_RANGE', /^options\.inputKey /],
    ['vti6', { remote: '10.0.0.1' }, 'ERR_INVALID_ARG_VALUE', /^options\.remote /],
    ['wireguard', { port: 51_820 }, 'ERR_INVALID_ARG_TYPE', /^options\.port /],
  ]
  for (const [kind, options, code, message] of cases) {
    await t.rejects(createLink({ kind, ...options } as never), { code, message }, `${kind} ${JSON.stringify(options)}`)
  }
})
