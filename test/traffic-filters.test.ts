/** The collection of filters: its verbs, what packets meet, wrong input. */
import t from 'tap'
import { needs } from './support/needs.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { pair } from './support/traffic.js'

t.test('the verbs', await needs('namespaces', 'qdisc:clsact', 'filter:u32', 'action:mirred'), async (t) => {
  const { left, right } = await pair(t)
  const { filters } = left
  t.same(await filters.list(), [], 'nowhere')
  t.same(await filters.list({ parent: 'ingress' }), [], 'no clsact')
  await t.rejects(filters.remove({ parent: 'ingress', preference: 1 }), { code: 'ENOENT' })
  const to = (link: Wrong) => ({ actions: [{ kind: 'mirred', action: 'redirect', link }] as const })
  await t.rejects(filters.add({ kind: 'u32', parent: 'ingress', ...to(right) }), { code: /^(EINVAL|ENOENT)$/ })
  await left.qdiscs.add({ kind: 'clsact' })
  await left.qdiscs.add({ kind: 'htb', handle: '1:' })
  await Promise.all([
    filters.add({ kind: 'u32', parent: 'ingress', preference: 1, ...to(right) }),
    filters.add({
      kind: 'u32',
      parent: 'ingress',
      preference: 2,
      protocol: 'ip',
      match: { source: '10.0.0.0/8' },
      ...to(right.index),
    }),
    filters.add({
      kind: 'u32',
      parent: 'ingress',
      preference: 2,
      protocol: 'ip',
      match: { source: '11.0.0.0/8' },
      ...to(right.index),
    }),
    filters.add({ kind: 'u32', parent: 'egress', preference: 3, chain: 5, ...to('right') }),
    filters.add({ kind: 'u32', parent: 'root', preference: 4, classId: '1:10' }),
  ])
  const list = async (filter: Parameters<typeof filters.list>[0]) =>
    (await filters.list(filter)).map(({ parent, preference, chain }) => `${parent} ${preference} ${chain}`).sort()
  t.same(await list({}), ['1: 4 0', 'egress 3 5', 'ingress 1 0', 'ingress 2 0', 'ingress 2 0'])
  t.same(await list({ parent: 'root' }), ['1: 4 0'])
  t.same(await list({ parent: '1:' }), ['1: 4 0'])
  t.same(await list({ parent: 'egress', chain: 5 }), ['egress 3 5'])
  t.same(await list({ parent: 'egress', chain: 6 }), [])
  t.same(await list({ preference: 2 }), ['ingress 2 0', 'ingress 2 0'])
  t.same(await list({ kind: 'flower' }), [])
  const streamed: number[] = []
  for await (const { preference } of filters.stream({ parent: 'ingress' })) streamed.push(preference)
  t.same(streamed.sort(), [1, 2, 2])
  const chains = await filters.chains({ parent: 'egress' })
  t.ok(
    chains.some(({ parent, chain }) => parent === 'egress' && chain === 5),
    JSON.stringify(chains),
  )
  const second = (await filters.list({ preference: 2 }))[1]
  t.match(await filters.get({ parent: 'ingress', preference: 2, handle: second?.handle }), { handle: second?.handle })
  t.equal(await filters.find({ parent: 'ingress', preference: 9 }), undefined)
  await t.rejects(filters.get({ parent: 'ingress', preference: 9 }), { code: 'ENOENT' })
  await t.rejects(
    filters.add({
      kind: 'u32',
      parent: 'ingress',
      preference: 2,
      protocol: 'ip',
      handle: second?.handle,
      ...to(right),
    }),
    { code: 'EEXIST' },
  )
  await filters.remove({ parent: 'ingress', preference: 2, handle: second?.handle, kind: 'u32' })
  t.same(await list({ preference: 2 }), ['ingress 2 0'])
  await filters.replace({
    kind: 'u32',
    parent: 'ingress',
    preference: 2,
    protocol: 'ip',
    match: { source: '12.0.0.0/8' },
    ...to(right),
  })
  t.match(
    (await filters.list({ preference: 2 })).map(({ options }) => (options as Wrong).keys),
    [[{ value: 0x0c00_0000 }]],
  )
  await filters.flush({ parent: 'ingress' })
  t.same(await list({}), ['1: 4 0', 'egress 3 5'])
  await filters.flush({ parent: 'ingress' })
  await filters.flush({ parent: 'egress' })
  t.same(await list({}), ['1: 4 0'])
  await filters.add({ kind: 'u32', parent: '1:', preference: 9, handle: '1:', divisor: 16 })
  await filters.add({
    kind: 'u32',
    parent: '1:',
    preference: 9,
    table: '1:5:',
    match: { source: '10.0.0.5' },
    classId: '1:5',
  })
  await filters.add({
    kind: 'u32',
    parent: '1:',
    preference: 9,
    protocol: 'all',
    link: '1:',
    hashMask: 0xff,
    hashOffset: 12,
  })
  const tables = await filters.list({ parent: '1:', preference: 9 })
  t.ok(
    tables.some(({ options }) => (options as Wrong).divisor === 16),
    'a table',
  )
  t.ok(
    tables.some(({ options }) => (options as Wrong).link === '1:' && (options as Wrong).hashMask === 0xff),
    'a link to it',
  )
  t.ok(
    tables.some(({ handle }) => /^1:5:/.test(String(handle))),
    'a filter in it',
  )
})

t.test(
  'a packet meets them',
  await needs('namespaces', 'ping', 'qdisc:clsact', 'filter:u32', 'action:mirred'),
  async (t) => {
    const { red, left, right } = await pair(t)
    await left.addAddress('10.0.0.1/24')
    await right.qdiscs.add({ kind: 'clsact' })
    // All that comes in at the right goes back.
    await right.filters.add({
      kind: 'u32',
      parent: 'ingress',
      preference: 1,
      actions: [{ kind: 'mirred', action: 'redirect', link: right }],
    })
    await left.waitFor({ running: true })
    await red.exec('ping', ['-c', '3', '-i', '0.01', '-W', '0.2', '10.0.0.2'])
    const [filter] = await right.filters.list({ parent: 'ingress' })
    t.ok((filter?.actions[0]?.statistics.packets ?? 0) >= 1, JSON.stringify(filter?.actions[0]?.statistics))
  },
)

t.test("u32's mark", await needs('namespaces', 'qdisc:clsact', 'filter:u32'), async (t) => {
  const { left } = await pair(t)
  await left.qdiscs.add({ kind: 'clsact' })
  const marked = { kind: 'u32', parent: 'ingress', preference: 1, mark: { value: 3, mask: 15 } } as const
  // Kernels without CONFIG_CLS_U32_MARK leave it out without a word.
  const result: Wrong = await left.filters.ensure(marked).catch((error: unknown) => error)
  if (result instanceof Error) {
    t.match(result, { code: 'EOPNOTSUPP', message: /the kernel left out a part of it/ })
    t.same(await left.filters.list(), [], 'nothing is left')
  } else t.match(result, { changed: true, filter: { options: { mark: { value: 3, mask: 15 } } } })
})

t.test('the queue that a packet leaves by', await needs('namespaces', 'qdisc:clsact', 'action:skbedit'), async (t) => {
  const { left } = await pair(t)
  await left.qdiscs.add({ kind: 'clsact' })
  const actions = [{ kind: 'skbedit', queue: 0 }] as const
  await left.filters.add({ kind: 'u32', parent: 'egress', preference: 1, actions })
  t.match(await left.filters.get({ parent: 'egress', preference: 1 }), {
    actions: [{ options: { queue: 0, verdict: 'pipe' } }],
  })
})

t.test('what the kernel does not have', await needs('namespaces', 'qdisc:clsact'), async (t) => {
  const { left } = await pair(t)
  await left.qdiscs.add({ kind: 'clsact' })
  const parent = 'ingress'
  await t.rejects(left.filters.add({ kind: 'nosuch', parent }), {
    code: 'ENOENT',
    message: /no filter 'nosuch': CONFIG_NET_CLS_NOSUCH$/,
  })
  if ((await needs('filter:u32')).skip !== false) return
  const actions = [{ kind: 'nosuch' }]
  await t.rejects(left.filters.add({ kind: 'u32', parent, preference: 1, actions }), {
    code: 'ENOENT',
    message: /no action 'nosuch': CONFIG_NET_ACT_NOSUCH$/,
  })
  t.same(await left.filters.list(), [])
})

t.test('wrong options of filters', await needs('namespaces'), async (t) => {
  const { left } = await pair(t)
  const u32 = { kind: 'u32', parent: 'ingress' }
  const flower = { kind: 'flower', parent: 'ingress' }
  const act = (action: unknown) => ({ ...u32, actions: [action] })
  const name = 'filter.actions[0]'
  const wrong: [unknown, string, RegExp | string][] = [
    [undefined, TYPE, 'filter must be an object'],
    [{ parent: 'ingress' }, TYPE, 'filter.kind must be a string'],
    [{ kind: 'u32' }, TYPE, 'filter.parent must be a string'],
    [{ ...u32, parent: 'here' }, VALUE, "filter.parent 'here'"],
    [{ ...u32, preference: 0 }, RANGE, 'filter.preference must be from 1'],
    [{ ...u32, protocol: 'tcp' }, VALUE, "filter.protocol 'tcp'"],
    [{ ...u32, handle: 5 }, TYPE, 'filter.handle must be a string'],
    [{ ...u32, handle: '800:::' }, VALUE, "filter.handle '800:::'"],
    [{ ...u32, classId: '1:' }, VALUE, "filter.classId '1:'"],
    [{ ...u32, match: { sourcePort: 5 } }, VALUE, 'filter.match'],
    [{ ...u32, match: { source: '10.0.0.1', destination: 'fd00::1' } }, VALUE, 'filter.match'],
    [{ ...u32, match: { source: '10.0.0.1', protocol: 'tcpp' } }, VALUE, "filter.match.protocol 'tcpp'"],
    [{ ...u32, keys: [{ value: 1, mask: 1, offset: 2 }] }, VALUE, 'filter.keys[0].offset 2: is not a multiple of 4'],
    [{ ...u32, divisor: 16, table: '1:' }, VALUE, "filter.table '1:': does not go with divisor"],
    [{ ...u32, skipHardware: true, skipSoftware: true }, VALUE, 'filter.skipSoftware true: leaves no place'],
    [{ ...u32, mtch: {} }, VALUE, "filter 'mtch': is not an option here; did you mean 'match'?"],
    [{ ...flower, sourcePort: 5 }, VALUE, "filter.sourcePort 5: needs an ipProtocol: 'tcp'"],
    [{ ...flower, ipProtocol: 'tcp', sourcePort: '5-4' }, VALUE, "filter.sourcePort '5-4': expected two ports"],
    [{ ...flower, icmpType: 5 }, VALUE, "filter.icmpType 5: needs an ipProtocol: 'icmp'"],
    [{ ...flower, sourceMac: '02:00' }, VALUE, "filter.sourceMac '02:00': is not a MAC address"],
    [{ ...flower, source: '10.0.0.1', destination: 'fd00::1' }, VALUE, 'filter.source'],
    [{ ...flower, arpSource: 'fd00::1' }, VALUE, 'filter.arpSource'],
    [{ ...flower, tcpFlags: { value: 1 } }, TYPE, 'filter.tcpFlags.mask must be an integer'],
    [{ ...flower, ctState: ['nothing'] }, VALUE, "filter.ctState[0] 'nothing'"],
    [{ ...flower, fragment: 'last' }, TYPE, 'filter.fragment must be true, false'],
    [{ ...flower, vlanId: 4096 }, RANGE, 'filter.vlanId must be from 0 to 4095'],
    [{ kind: 'bpf', parent: 'ingress' }, TYPE, 'filter.fd must be the descriptor'],
    [{ kind: 'bpf', parent: 'ingress', instructions: new Uint8Array(7) }, VALUE, 'filter.instructions'],
    [{ kind: 'other', parent: 'ingress', actions: [] }, VALUE, "filter 'actions'"],
    [{ ...u32, actions: 'drop' }, TYPE, 'filter.actions must be an array'],
    [act('dropp'), VALUE, `${name} 'dropp'`],
    [act(5), TYPE, `${name} must be an action or a verdict`],
    [act({ kind: 'gact', action: 'x' }), VALUE, `${name}.action 'x'`],
    [
      act({ kind: 'gact', action: 'drop', random: { type: 'random', each: 0, action: 'pass' } }),
      RANGE,
      `${name}.random.each`,
    ],
    [act({ kind: 'mirred', action: 'redirect' }), TYPE, `${name}.link must be an integer`],
    [act({ kind: 'mirred', action: 'send', link: 1 }), VALUE, `${name}.action 'send'`],
    [act({ kind: 'police', burst: 5 }), TYPE, `${name}.rate must be a rate`],
    [act({ kind: 'police', rate: 8000 }), TYPE, `${name}.burst must be an integer`],
    [
      act({ kind: 'police', rate: 8000, burst: 5, packetRate: 5 }),
      VALUE,
      `${name}.packetRate 5: and a rate exclude each other`,
    ],
    [act({ kind: 'vlan', action: 'push' }), TYPE, `${name}.id must be an integer`],
    [act({ kind: 'vlan', action: 'pop', id: 5 }), VALUE, `${name}.id 5: does not go with 'pop'`],
    [act({ kind: 'skbedit' }), TYPE, `${name}.mark must be a number`],
    [act({ kind: 'skbedit', mrk: 5 }), VALUE, `${name} 'mrk': is not an option here`],
  ]
  for (const [filter, code, message] of wrong) {
    await refused(t, JSON.stringify(filter) ?? 'nothing', () => left.filters.add(filter as Wrong), code, message)
  }
  await refused(t, 'ensure', () => left.filters.ensure(u32 as Wrong), TYPE, 'filter.preference must be a number')
  await refused(t, 'remove', () => left.filters.remove({ parent: 'ingress' } as Wrong), TYPE, 'match.preference')
  await refused(t, 'list', () => left.filters.list({ parent: 'x' }), VALUE, "filter.parent 'x'")
})
