/** Tunnels by GRE, over IPv4 and IPv6: gre, gretap, erspan, ip6gre, ip6gretap, ip6erspan. */
import t from 'tap'
import { createLink } from '../dist/index.js'
import { erspanKeys } from '../dist/rtnetlink/kinds/gre-attributes.js'
import { kindOf } from '../dist/rtnetlink/kinds/registry.js'
import { needs } from './support/needs.js'
import { ip, scratch } from './support/scratch.js'
import { proveTunnel, type Row } from './support/tunnel-referee.js'

const ends4 = { local: '10.0.0.2', remote: '10.0.0.1' }
const ends6 = { local: 'fd00::2', remote: 'fd00::1' }
const words4 = 'local 10.0.0.2 remote 10.0.0.1'
const words6 = 'local fd00::2 remote fd00::1'

/** What gre and gretap have in common. */
const gre: Row[] = [
  {
    options: { ...ends4, ttl: 5, tos: 4, device: 'under', fwmark: 7 },
    words: `${words4} ttl 5 tos 4 dev under fwmark 7`,
    shows: { local: '10.0.0.2', remote: '10.0.0.1', ttl: 5, tos: '0x4', link: 'under', fwmark: '0x7', pmtudisc: true },
    from: { ...ends4, key: 3 },
    reads: { ...ends4, ttl: 5, tos: 4, device: 'under', fwmark: 7, pmtuDiscovery: true },
  },
  {
    options: { ...ends4, inputKey: 5, outputKey: 0xffff_ffff, inputSequence: true, outputChecksum: true },
    words: `${words4} ikey 5 okey 4294967295 iseq ocsum`,
    shows: { ikey: '0.0.0.5', okey: '255.255.255.255', iseq: true, oseq: undefined, icsum: undefined, ocsum: true },
    reads: {
      ...ends4,
      inputKey: 5,
      outputKey: 0xffff_ffff,
      inputSequence: true,
      outputSequence: false,
      inputChecksum: false,
      outputChecksum: true,
    },
    from: { ...ends4, ttl: 9 },
  },
  {
    options: { ...ends4, key: 9, sequence: true, checksum: true, ttl: 'inherit', tos: 'inherit' },
    words: `${words4} key 9 seq csum ttl inherit tos inherit`,
    reads: { inputKey: 9, outputKey: 9, inputSequence: true, outputSequence: true, ttl: 'inherit', tos: 'inherit' },
    shows: { ikey: '0.0.0.9', okey: '0.0.0.9', iseq: true, oseq: true, icsum: true, ocsum: true, ttl: 0, tos: '0x1' },
    from: ends4,
  },
  {
    options: { ...ends4, inputChecksum: true, outputSequence: true },
    words: `${words4} icsum oseq`,
    reads: { inputKey: undefined, outputKey: undefined, inputChecksum: true, outputChecksum: false },
    shows: { icsum: true, oseq: true, ocsum: undefined, iseq: undefined, ikey: undefined },
  },
  {
    options: { remote: '10.0.0.1', pmtuDiscovery: false, ignoreDf: true },
    words: 'remote 10.0.0.1 nopmtudisc ignore-df',
    reads: { local: '0.0.0.0', pmtuDiscovery: false, ignoreDf: true },
    shows: { pmtudisc: false, ignore_df: true, local: 'any' },
  },
  {
    options: {
      ...ends4,
      encapsulationType: 'fou',
      encapsulationSourcePort: 5000,
      encapsulationDestinationPort: 5555,
      encapsulationFlags: { checksum: true, remoteChecksum: true },
    },
    words: `${words4} encap fou encap-sport 5000 encap-dport 5555 encap-csum encap-remcsum`,
    shows: { encap: { type: 'fou', sport: 5000, dport: 5555, csum: true, csum6: false, remcsum: true } },
    fou: true,
  },
  {
    options: {
      ...ends4,
      encapsulationType: 'gue',
      encapsulationDestinationPort: 5555,
      encapsulationFlags: { checksum6: true },
    },
    words: `${words4} encap gue encap-sport auto encap-dport 5555 encap-udp6-csum`,
    shows: { encap: { type: 'gue', dport: 5555, csum: false, csum6: true, remcsum: false } },
    fou: true,
  },
  {
    options: { external: true },
    words: 'external',
    shows: { external: true },
  },
]

const erspan = (ends: object, words: string): Row[] => [
  {
    options: { ...ends, key: 1, erspanVersion: 1, erspanIndex: 123 },
    words: `${words} key 1 seq erspan_ver 1 erspan 123`,
    reads: { inputKey: 1, outputKey: 1, inputSequence: true, outputSequence: true, erspanVersion: 1, erspanIndex: 123 },
    shows: { erspan_ver: 1, erspan_index: 123, ikey: '0.0.0.1', iseq: true, oseq: true },
  },
  {
    options: { ...ends, key: 1023, erspanVersion: 2, erspanDirection: 'egress', erspanHardwareId: 0x17 },
    words: `${words} key 1023 seq erspan_ver 2 erspan_dir egress erspan_hwid 0x17`,
    reads: { inputKey: 1023, erspanVersion: 2, erspanDirection: 'egress', erspanHardwareId: 0x17 },
    shows: { erspan_ver: 2, erspan_dir: 'egress', erspan_hwid: '0x17' },
  },
]

/** What ip6gre and ip6gretap have in common. */
const ip6gre: Row[] = [
  {
    options: {
      ...ends6,
      ttl: 5,
      encapsulationLimit: 'none',
      trafficClass: 0x12,
      flowLabel: 0x345,
      copyDscp: true,
      allowLocalRemote: true,
      fwmark: 8,
      device: 'under',
      key: 5,
    },
    words: `${words6} hoplimit 5 encaplimit none tclass 0x12 flowlabel 0x345 dscp inherit allow-localremote fwmark 8 dev under key 5`,
    reads: {
      ...ends6,
      ttl: 5,
      encapsulationLimit: 'none',
      trafficClass: 0x12,
      flowLabel: 0x345,
      copyDscp: true,
      allowLocalRemote: true,
      fwmark: 8,
      device: 'under',
      inputKey: 5,
      outputKey: 5,
    },
    shows: {
      ttl: 5,
      ip6_tnl_f_ign_encap_limit: true,
      tclass: '0x12',
      flowlabel: '0x00345',
      ip6_tnl_f_rcv_dscp_copy: true,
      ip6_tnl_f_allow_local_remote: true,
      fwmark: '0x8',
      link: 'under',
      ikey: '0.0.0.5',
    },
    from: { ...ends6, checksum: true },
  },
  {
    options: {
      remote: 'fd00::1',
      ttl: 64,
      encapsulationLimit: 3,
      trafficClass: 'inherit',
      flowLabel: 'inherit',
      fwmark: 'inherit',
    },
    words: 'remote fd00::1 encaplimit 3 tclass inherit flowlabel inherit fwmark inherit',
    shows: {
      ttl: 64,
      encap_limit: 3,
      ip6_tnl_f_use_orig_tclass: true,
      ip6_tnl_f_use_orig_flowlabel: true,
      ip6_tnl_f_use_orig_fwmark: true,
    },
    from: { remote: 'fd00::1', flowLabel: 7 },
  },
  {
    options: { ...ends6, ttl: 64, encapsulationLimit: 4, inputSequence: true, outputKey: 77 },
    words: `${words6} iseq okey 77`,
    shows: { iseq: true, oseq: undefined, okey: '0.0.0.77', ikey: undefined, encap_limit: 4 },
  },
  {
    options: { ...ends6, ttl: 64, encapsulationLimit: 4, sequence: true, checksum: true },
    words: `${words6} seq csum`,
    reads: { inputSequence: true, outputSequence: true, inputChecksum: true, outputChecksum: true },
    shows: { iseq: true, oseq: true, icsum: true, ocsum: true },
  },
  {
    options: { ...ends6, inputKey: 1, outputSequence: true, inputChecksum: true, outputChecksum: false },
    words: `${words6} ikey 1 oseq icsum`,
    reads: { inputKey: 1, outputKey: undefined, outputSequence: true, inputChecksum: true, outputChecksum: false },
    shows: { ikey: '0.0.0.1', okey: undefined, oseq: true, iseq: undefined, icsum: true, ocsum: undefined },
  },
  {
    options: {
      ...ends6,
      encapsulationType: 'fou',
      encapsulationSourcePort: 5000,
      encapsulationDestinationPort: 5555,
      encapsulationFlags: { checksum6: true },
    },
    words: `${words6} encap fou encap-sport 5000 encap-dport 5555 encap-udp6-csum`,
    shows: { encap: { type: 'fou', sport: 5000, dport: 5555, csum: false, csum6: true, remcsum: false } },
    fou: true,
  },
  { options: { external: true }, words: 'external', shows: { external: true } },
]

await proveTunnel(t, 'gre', gre)
await proveTunnel(t, 'gretap', gre)
/** What the kinds of GRE share is proved above. */
const shared = (kind: string) =>
  (kindOf(kind)?.options.keys ?? []).filter((key) => !(erspanKeys as readonly string[]).includes(key))
const outer = { options: { external: true }, words: 'external' }
await proveTunnel(t, 'erspan', [...erspan(ends4, words4), outer], { excused: shared('gre') })
await proveTunnel(t, 'ip6gre', ip6gre)
await proveTunnel(t, 'ip6gretap', ip6gre)
await proveTunnel(t, 'ip6erspan', erspan(ends6, words6), { excused: shared('ip6gre') })

t.test('changes leave the rest, also in one tick', await needs('namespaces', 'ip', 'kind:gre'), async (t) => {
  const red = await scratch(t)
  const made = { ...ends4, ttl: 5, tos: 8, key: 5, checksum: true }
  const gre1 = await createLink({ kind: 'gre', name: 'gre1', namespace: red, ...made })
  const before = gre1.options
  await gre1.set({ ttl: 9 })
  t.same(gre1.options, { ...before, ttl: 9 })
  // The kernel takes each for a complete description.
  await Promise.all([gre1.set({ outputKey: 6 }), gre1.set({ tos: 'inherit' }), gre1.set({ inputChecksum: false })])
  const changed = { ...before, ttl: 9, outputKey: 6, tos: 'inherit', inputChecksum: false }
  t.same((await gre1.refresh()).options, changed)
  await gre1.set({ key: null, mtu: 1400 })
  const { inputKey, outputKey, ...keyless } = changed
  t.same(gre1.options, keyless)
  t.equal(gre1.mtu, 1400)
  const [json] = await ip(red, 'link', 'show', 'gre1')
  t.match(json.linkinfo.info_data, { local: '10.0.0.2', remote: '10.0.0.1', ttl: 9, tos: '0x1', ocsum: true })
  t.notOk('ikey' in json.linkinfo.info_data)
  await t.rejects(gre1.set({ local: 'fd00::1' }), { code: 'ERR_INVALID_ARG_VALUE', message: /^changes\.local / })
  await t.rejects(gre1.set({ ttl: 7, ignoreDf: true }), { code: 'EINVAL', syscall: 'RTM_NEWLINK' })
  await gre1.set({ tos: 4 })
  t.equal(gre1.options.tos, 4, 'a change that failed is not waited for')
})

t.test('wrong options', async (t) => {
  const cases: [kind: string, options: object, code: string, message: RegExp][] = [
    ['gre', { local: 'fd00::1' }, 'ERR_INVALID_ARG_VALUE', /^options\.local 'fd00::1': is not an IPv4 address/],
    ['ip6gre', { remote: '10.0.0.1' }, 'ERR_INVALID_ARG_VALUE', /^options\.remote '10.0.0.1': is not an IPv6 address/],
    ['gre', { key: 2 ** 32 }, 'ERR_OUT_OF_RANGE', /^options\.inputKey /],
    ['gre', { sequence: 1 }, 'ERR_INVALID_ARG_TYPE', /^options\.inputSequence /],
    ['gre', { ignoreDf: true }, 'ERR_INVALID_ARG_VALUE', /^options\.ignoreDf .*pmtuDiscovery/],
    ['gre', { erspanIndex: 1 }, 'ERR_INVALID_ARG_VALUE', /^options 'erspanIndex': is not an option here/],
    ['gre', { inputFlags: 1 }, 'ERR_INVALID_ARG_VALUE', /inputFlags/],
    ['erspan', { erspanIndex: 1 << 20 }, 'ERR_OUT_OF_RANGE', /^options\.erspanIndex /],
    ['erspan', { erspanHardwareId: 64 }, 'ERR_OUT_OF_RANGE', /^options\.erspanHardwareId /],
    ['erspan', { erspanDirection: 'up' }, 'ERR_INVALID_ARG_VALUE', /^options\.erspanDirection /],
    ['ip6gre', { trafficClass: 256 }, 'ERR_OUT_OF_RANGE', /^options\.trafficClass /],
    ['ip6gre', { flowLabel: 'copy' }, 'ERR_INVALID_ARG_TYPE', /^options\.flowLabel must be a number or 'inherit'/],
    ['ip6gre', { encapsulationLimit: 'inherit' }, 'ERR_INVALID_ARG_TYPE', /^options\.encapsulationLimit .*'none'/],
    ['ip6gre', { copyDscp: 1 }, 'ERR_INVALID_ARG_TYPE', /^options\.copyDscp /],
    ['ip6gre', { tos: 1 }, 'ERR_INVALID_ARG_VALUE', /^options 'tos'/],
    ['gre', { encapsulationFlags: { sum: true } }, 'ERR_INVALID_ARG_VALUE', /encapsulationFlags/],
    ['gre', { encapsulationType: 'udp' }, 'ERR_INVALID_ARG_VALUE', /^options\.encapsulationType /],
  ]
  for (const [kind, options, code, message] of cases) {
    await t.rejects(createLink({ kind, ...options } as never), { code, message }, `${kind} ${JSON.stringify(options)}`)
  }
})
