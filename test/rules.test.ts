/** Routing rules: made by netkit and read by iproute2, the other way round, the verbs, and what is refused. */
import t from 'tap'
import { createBridge, type Namespace, type NewRule, type Rule } from '../dist/index.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { number, said } from './support/referee.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
/** Rules may name only users that this user namespace has. */
const withUsers = await needs('namespaces', 'ip', 'root')

// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
type Json = any

const tosNames: Record<string, number> = { CS2: 0x40, EF: 0xb8 }

function ruleByIp(json: Json, family: string): object {
  const network = (address: string | undefined, length: number | undefined) =>
    address === undefined || address === 'all' ? undefined : `${address}/${length ?? (family === 'inet' ? 32 : 128)}`
  const range = (one: Json, start: Json, end: Json) =>
    one !== undefined ? { start: one, end: one } : start === undefined ? undefined : { start, end }
  const action = ['nop', 'goto'].find((word) => word in json) ?? json.action ?? 'lookup'
  return said({
    family,
    priority: json.priority,
    action,
    table: json.table === undefined ? undefined : number(json.table),
    goto: json.goto,
    invert: 'not' in json,
    from: network(json.src, json.srclen),
    to: network(json.dst, json.dstlen),
    inputLink: json.iif,
    outputLink: json.oif,
    mark: json.fwmark === undefined ? undefined : Number(json.fwmark),
    markMask: json.fwmark === undefined ? undefined : Number(json.fwmask ?? 0xffff_ffff),
    tos: json.tos === undefined ? undefined : (tosNames[json.tos] ?? Number(json.tos)),
    tunnelId: json.tun_id,
    flow: json.flow_to === undefined ? undefined : Number(json.flow_from ?? 0) * 65_536 + Number(json.flow_to),
    l3mdev: 'l3mdev' in json ? true : undefined,
    suppressPrefixLength: json.suppress_prefixlen,
    suppressGroup: json.suppress_ifgroup === undefined ? undefined : Number(json.suppress_ifgroup),
    uidRange: range(undefined, json.uid_start, json.uid_end),
    ipProtocol: json.ipproto === 'ipv6-icmp' ? 'icmpv6' : json.ipproto,
    sourcePorts: range(json.sport, json.sport_start, json.sport_end),
    destinationPorts: range(json.dport, json.dport_start, json.dport_end),
    protocol: number(json.protocol),
  })
}

/** Newer kernels tell the mask of each single port; this iproute2 does not know it. */
function ruleByNetkit({ flags: _, sourcePortMask: __, destinationPortMask: ___, ...rule }: Rule): object {
  return rule
}

async function both(namespace: Namespace): Promise<{ iproute2: object[]; netkit: object[] }> {
  const lists = await Promise.all(
    (['inet', 'inet6'] as const).map(async (family) => {
      const rules: Json[] = await ip(namespace, '-f', family, 'rule', 'show')
      return rules.map((rule) => ruleByIp(rule, family))
    }),
  )
  const [four, six] = await Promise.all([
    namespace.rules.list({ family: 'inet' }),
    namespace.rules.list({ family: 'inet6' }),
  ])
  return { iproute2: lists.flat(), netkit: [...four, ...six].map(ruleByNetkit) }
}

/** What is asked of netkit, and what iproute2 says for the same. */
const cases: [rule: NewRule, command: string][] = [
  [{ from: '10.0.1.0/24', table: 100, priority: 1000 }, 'from 10.0.1.0/24 table 100 priority 1000'],
  [{ to: '10.0.1.7', priority: 1001 }, 'to 10.0.1.7 priority 1001'],
  [
    { from: '10.0.0.0/8', to: '10.1.0.0/16', inputLink: 'lo', outputLink: 'eth9', table: 70_000, priority: 1002 },
    'from 10.0.0.0/8 to 10.1.0.0/16 iif lo oif eth9 table 70000 priority 1002',
  ],
  [{ mark: 5, markMask: 0xff, table: 7, priority: 1003 }, 'fwmark 5/0xff table 7 priority 1003'],
  [{ mark: 9, table: 'default', priority: 1004 }, 'fwmark 9 table default priority 1004'],
  [{ invert: true, from: '10.0.0.0/8', goto: 32_766, priority: 1005 }, 'not from 10.0.0.0/8 goto 32766 priority 1005'],
  [{ action: 'nop', tos: 0x10, priority: 1006 }, 'tos 0x10 nop priority 1006'],
  [
    { action: 'blackhole', uidRange: { start: 5, end: 7 }, ipProtocol: 'tcp', sourcePorts: 5, priority: 1007 },
    'uidrange 5-7 ipproto tcp sport 5 blackhole priority 1007',
  ],
  [
    { action: 'unreachable', ipProtocol: 'udp', destinationPorts: { start: 6, end: 7 }, priority: 1008 },
    'ipproto udp dport 6-7 unreachable priority 1008',
  ],
  [
    { action: 'prohibit', uidRange: 1000, protocol: 'bgp', priority: 1009 },
    'uidrange 1000-1000 prohibit protocol bgp priority 1009',
  ],
  [{ l3mdev: true, priority: 1010 }, 'l3mdev priority 1010'],
  [{ suppressPrefixLength: 0, priority: 1011 }, 'table main suppress_prefixlength 0 priority 1011'],
  [
    { suppressGroup: 5, flow: 3 * 65_536 + 4, priority: 1012 },
    'table main suppress_ifgroup 5 realms 3/4 priority 1012',
  ],
  [{ tunnelId: 5, goto: 99_999, priority: 1013 }, 'tun_id 5 goto 99999 priority 1013'],
  [{ protocol: 99, table: 55, priority: 1014 }, 'table 55 protocol 99 priority 1014'],
  [{ from: 'fd00::/16', tos: 0x40, table: 70_000, priority: 5 }, '-6 from fd00::/16 tos 0x40 table 70000 priority 5'],
  [{ family: 'inet6', action: 'unreachable', priority: 6 }, '-6 unreachable priority 6'],
  [
    { to: 'FD00:0::1', ipProtocol: 'icmpv6', table: 8, priority: 7 },
    '-6 to fd00::1 ipproto ipv6-icmp table 8 priority 7',
  ],
]

t.test('both ways', withUsers, async (t) => {
  const [ours, theirs] = [await scratch(t), await scratch(t)]
  for (const [rule, command] of cases) {
    await ours.rules.add(rule)
    const [family, ...rest] = command.startsWith('-6 ') ? command.split(' ') : ['-4', ...command.split(' ')]
    await ipDo(
      theirs,
      family as string,
      'rule',
      'add',
      ...rest,
      ...(rule.protocol === undefined ? ['protocol', 'static'] : []),
    )
    const [made, read] = [await both(ours), await both(theirs)]
    t.same(made.netkit, made.iproute2, `netkit makes ${command}`)
    t.same(read.netkit, read.iproute2, `iproute2 makes ${command}`)
    t.same(made.netkit, read.netkit, 'both make the same')
  }
  const rules = await ours.rules.list()
  const made = rules.filter(({ protocol }) => protocol !== 'kernel')
  t.equal(made.length, cases.length)
  for (const row of made) {
    await t.rejects(ours.rules.add(row), { code: 'EEXIST', syscall: 'RTM_NEWRULE', message: /^cannot add the rule: / })
    t.match(await ours.rules.ensure(row), { changed: false })
    await ours.rules.remove(row)
    await t.rejects(ours.rules.remove(row), {
      code: 'ENOENT',
      syscall: 'RTM_DELRULE',
      message: /^cannot remove the rule: /,
    })
    await ours.rules.add(row)
  }
  const order = (list: Rule[]) => [...list].sort((a, b) => a.family.localeCompare(b.family) || a.priority - b.priority)
  t.same(order(await ours.rules.list()), order(rules), 'rows make the same again')
})

t.test('ensure touches nothing that is as asked', withUsers, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  const events = await eventsOf(t, red)
  const wishes: NewRule[] = [...cases.map(([rule]) => rule), { inputLink: br0, table: 9 }, { table: 0x7fff_ffff }]
  for (const wish of wishes) {
    const what = JSON.stringify({ ...wish, inputLink: undefined })
    const [first, second] = await Promise.all([red.rules.ensure(wish), red.rules.ensure(wish)])
    t.match([first, second], [{ changed: true }, { changed: false, rule: first.rule }], what)
    await events()
    t.same(await red.rules.ensure(wish), { changed: false, rule: first.rule })
    t.same(
      await red.rules.ensure({ ...wish, priority: undefined }),
      { changed: false, rule: first.rule },
      'any priority',
    )
    t.same(await events(), [], 'nothing was touched')
  }
  const [rule] = cases[0] as [NewRule, string]
  for (const other of [{ to: '10.9.0.0/16' }, { table: 101 }, { mark: 5 }, { priority: 999 }, { protocol: 5 }]) {
    t.match(
      await red.rules.ensure({ ...rule, ...other }),
      { changed: true },
      `with ${JSON.stringify(other)} it is another`,
    )
  }
})

t.test('list, find, get, stream, flush', withUsers, async (t) => {
  const red = await scratch(t)
  const { rules } = red
  t.match(await rules.list({ family: 'inet' }), [
    { priority: 0, table: 'local', action: 'lookup', invert: false, protocol: 'kernel', flags: [] },
    { priority: 32_766, table: 'main' },
    { priority: 32_767, table: 'default' },
  ])
  for (const [rule] of cases) await rules.add(rule)
  await rules.add({ table: 44 })
  t.match(await rules.get({ table: 44 }), { priority: 999, family: 'inet' })
  const priorities = async (filter: NewRule) => {
    const streamed: number[] = []
    for await (const { priority } of rules.stream(filter)) streamed.push(priority)
    t.same(
      (await rules.list(filter)).map(({ priority }) => priority),
      streamed,
    )
    return streamed
  }
  t.same(await priorities({ from: '10.0.0.0/8' }), [1002, 1005])
  t.same(await priorities({ from: '10.0.0.0/8', invert: false }), [1002])
  t.same(await priorities({ table: 70_000 }), [1002, 5])
  t.same(await priorities({ table: 70_000, family: 'inet6' }), [5])
  t.same(await priorities({ action: 'unreachable' }), [1008, 6])
  t.same(await priorities({ action: 3 }), [1006])
  t.same(await priorities({ mark: 9 }), [1004])
  t.same(await priorities({ uidRange: 1000 }), [1009])
  t.same(await priorities({ uidRange: { start: 5, end: 7 }, sourcePorts: { start: 5, end: 5 } }), [1007])
  t.same(await priorities({ l3mdev: true }), [1010])
  t.same(await priorities({ protocol: 99 }), [1014])
  t.same(await priorities({ to: 'fd00::1' }), [7])
  t.same(await priorities({ priority: 5 }), [5])
  t.same(await priorities({ outputLink: 'eth9' }), [1002])
  t.equal((await priorities({ protocol: 'static' })).length, cases.length - 2 + 1)
  t.match(await rules.find({ goto: 99_999 }), { flags: ['unresolved'], tunnelId: 5 })
  t.equal(await rules.find({ goto: 5 }), undefined)
  const none = {
    code: 'ENOENT',
    syscall: 'RTM_GETRULE',
    message: /^no rule with from 10\.9\.0\.0\/16, table 5 in namespace/,
  }
  await t.rejects(rules.get({ from: '10.9.0.0/16', table: 5 }), none)
  await rules.remove({ priority: 1000 })
  await t.rejects(rules.remove({ priority: 1000 }), { code: 'ENOENT' })
  await rules.remove({ family: 'inet6', priority: 6, action: 'unreachable' })
  const gone = await rules.flush({ protocol: 'static' })
  t.equal(gone.length, cases.length - 2 + 1 - 2)
  t.same(await rules.flush({ protocol: 'static' }), [])
  t.same(await priorities({ family: 'inet' }), [0, 1009, 1014, 32_766, 32_767])
  await rules.flush({ family: 'inet' })
  t.same(await priorities({ family: 'inet' }), [0], 'the first one stays')
})

t.test('rules rule', namespaces, async (t) => {
  const red = await scratch(t)
  await createBridge({ name: 'br0', namespace: red, up: true, addresses: ['10.0.0.1/24', '10.0.0.7/24'] })
  await red.routes.add({ to: '192.0.2.0/24', via: '10.0.0.8' })
  await red.routes.add({ to: '192.0.2.0/24', via: '10.0.0.9', table: 100 })
  await red.rules.add({ from: '10.0.0.7', table: 100, priority: 1000 })
  t.match(await red.routes.lookup('192.0.2.5'), { via: '10.0.0.8', table: 'main' })
  t.match(await red.routes.lookup('192.0.2.5', { from: '10.0.0.7' }), { via: '10.0.0.9', table: 100 })
  await red.rules.add({ action: 'prohibit', ipProtocol: 'tcp', destinationPorts: 25, priority: 900 })
  await t.rejects(red.routes.lookup('192.0.2.5', { protocol: 'tcp', destinationPort: 25 }), { code: 'EACCES' })
})

for (const [since, rule] of [
  ['6.12', { dscp: 46, table: 5, priority: 1000 }],
  ['6.14', { family: 'inet6', flowLabel: 0x12345, flowLabelMask: 0xfffff, table: 5, priority: 1000 }],
  ['6.15', { dscp: 32, dscpMask: 0x30, table: 5, priority: 1000 }],
  ['6.15', { ipProtocol: 'udp', sourcePorts: 0x1000, sourcePortMask: 0xf000, table: 5, priority: 1000 }],
  ['6.15', { ipProtocol: 'tcp', destinationPorts: 0x1100, destinationPortMask: 0xff00, table: 5, priority: 1000 }],
] as [string, NewRule][]) {
  t.test(`of Linux ${since}: ${JSON.stringify(rule)}`, await needs('namespaces', `kernel:${since}`), async (t) => {
    const red = await scratch(t)
    t.match(await red.rules.ensure(rule), { changed: true })
    const row = await red.rules.get({ priority: 1000, family: rule.family })
    const ports = (value: unknown) => (typeof value === 'number' ? { start: value, end: value } : value)
    const { sourcePorts, destinationPorts, ...rest } = rule
    t.match(row, said({ ...rest, sourcePorts: ports(sourcePorts), destinationPorts: ports(destinationPorts) }))
    t.same(await red.rules.ensure(rule), { changed: false, rule: row })
    const same = await red.rules.ensure(row)
    t.equal(same.changed, false)
    await red.rules.remove(row)
  })
}

t.test('what the kernel refuses', namespaces, async (t) => {
  const red = await scratch(t)
  const add = (rule: NewRule) => red.rules.add(rule)
  const refusal = { syscall: 'RTM_NEWRULE', message: /^cannot add the rule: / }
  await t.rejects(add({ goto: 5, priority: 7 }), { ...refusal, code: 'EINVAL', kernelMessage: /[Bb]ackward goto/ })
  await t.rejects(add({ l3mdev: true, table: 5 }), { ...refusal, code: 'EINVAL' })
  await t.rejects(add({ table: 'main', action: 'goto' }), { ...refusal, code: 'EINVAL' })
  await add({ from: '10.0.0.0/8', priority: 7 })
  const inverted = { from: '10.0.0.0/8', priority: 7, invert: true }
  await t.rejects(add(inverted), { ...refusal, code: 'EEXIST' }, 'the kernel does not tell rules apart by it')
  await t.rejects(red.rules.ensure(inverted), { ...refusal, code: 'EEXIST' })
})

t.test('wrong input', namespaces, async (t) => {
  const red = await scratch(t)
  const wrong: [Wrong, string, RegExp][] = [
    [undefined, TYPE, /^rule must be an object/],
    [{ form: '10.0.0.0/8' }, VALUE, /^rule 'form': is not an option here; did you mean 'from'\?/],
    [{ from: 5 }, TYPE, /^rule\.from must be a string/],
    [{ from: '10.0.0.1/8' }, VALUE, /^rule\.from .*the network is '10\.0\.0\.0\/8'/],
    [{ from: '10.0.0.0/8', to: 'fd00::/8' }, VALUE, /^rule\.to 'fd00::\/8': is not of the family of 'from'/],
    [{ from: '10.0.0.0/8', family: 'inet6' }, VALUE, /^rule\.family 'inet6': is not the addresses'/],
    [{ family: 'ip' }, VALUE, /^rule\.family/],
    [{ priority: -1 }, RANGE, /^rule\.priority/],
    [{ action: 'drop' }, VALUE, /^rule\.action 'drop': expected one of lookup, goto/],
    [{ action: true }, TYPE, /^rule\.action/],
    [{ table: 'mian' }, VALUE, /^rule\.table/],
    [{ goto: 1.5 }, TYPE, /^rule\.goto/],
    [{ invert: 1 }, TYPE, /^rule\.invert/],
    [{ inputLink: 5 }, TYPE, /^rule\.inputLink/],
    [{ outputLink: 'a/b' }, VALUE, /^rule\.outputLink/],
    [{ mark: 2 ** 32 }, RANGE, /^rule\.mark/],
    [{ tos: 256 }, RANGE, /^rule\.tos/],
    [{ dscp: 64 }, RANGE, /^rule\.dscp/],
    [{ flowLabel: 2 ** 20 }, RANGE, /^rule\.flowLabel/],
    [{ tunnelId: -1n }, VALUE, /^rule\.tunnelId/],
    [{ suppressPrefixLength: 129 }, RANGE, /^rule\.suppressPrefixLength/],
    [{ uidRange: '5' }, TYPE, /^rule\.uidRange must be a number, or \{ start, end \}/],
    [{ uidRange: { start: 6, end: 5 } }, VALUE, /^rule\.uidRange\.end 5: is before the start, 6/],
    [{ sourcePorts: 0 }, RANGE, /^rule\.sourcePorts/],
    [{ destinationPorts: { start: 1 } }, TYPE, /^rule\.destinationPorts\.end/],
    [{ ipProtocol: 'TCP' }, VALUE, /^rule\.ipProtocol 'TCP': expected one of icmp, tcp/],
    [{ protocol: 'me' }, VALUE, /^rule\.protocol/],
  ]
  for (const [rule, code, message] of wrong) {
    for (const method of ['add', 'ensure', 'remove'] as const) {
      const what = JSON.stringify(rule, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
      await refused(t, `${method} ${what}`, () => red.rules[method](rule), code, message)
    }
  }
  await refused(t, 'remove', () => red.rules.remove({}), VALUE, /^rule \{\}: says nothing/)
  for (const nothing of [{}, { family: 'inet6' }] as const) {
    await refused(t, 'add', () => red.rules.add(nothing), VALUE, /^rule .*says nothing/)
    await refused(t, 'ensure', () => red.rules.ensure(nothing), VALUE, /^rule .*says nothing/)
  }
  await refused(t, 'list', () => red.rules.list({ table: 'x' } as Wrong), VALUE, /^filter\.table/)
  await refused(t, 'find', () => red.rules.find({ tabel: 5 } as Wrong), VALUE, /^match 'tabel': .*did you mean 'table'/)
})
