/** Queueing disciplines and classes: netkit makes and tc reads, tc makes and netkit reads. */
import t from 'tap'
import type { NewRawQdisc, Qdisc } from '../dist/index.js'
import { rtnetlinkConstants } from '../dist/rtnetlink/constants.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ipDo } from './support/scratch.js'
import { pair, tc, tcDo } from './support/traffic.js'

const { RTNLGRP_TC } = rtnetlinkConstants
const namespaces = await needs('namespaces')
const withTc = await needs('namespaces', 'tc')

interface Case {
  kind: string
  /** What netkit is told, and reads back; `read` has what is read beside or otherwise. */
  options: Record<string, unknown>
  read?: Record<string, unknown>
  /** What tc is told for the same, and the options that it shows. */
  words: string
  shown: Record<string, unknown>
}

const mbit = (n: number) => n * 125_000

const cases: Case[] = [
  {
    kind: 'tbf',
    options: { rate: '100mbit', burst: 32_768, latency: 50 },
    read: { rate: 100_000_000, limit: 657_768 },
    words: 'rate 100mbit burst 32768 latency 50ms',
    shown: { rate: mbit(100), burst: 32_768, lat: 50_000 },
  },
  {
    kind: 'tbf',
    options: { rate: 8_000_000, burst: 5000, limit: 20_000, peakRate: '16mbit', mtu: 1540 },
    read: { peakRate: 16_000_000, latency: 15 },
    words: 'rate 8mbit burst 5000 limit 20000 peakrate 16mbit mtu 1540',
    shown: { rate: 1_000_000, burst: 5000 },
  },
  {
    kind: 'tbf',
    options: { rate: '80gbit', burst: 1_000_000, limit: 3_000_000, overhead: 24, minimumUnit: 64 },
    read: { rate: 80_000_000_000, latency: 0.2 },
    words: 'rate 80gbit burst 1000000 limit 3000000 overhead 24 mpu 64',
    shown: { rate: 10_000_000_000 },
  },
  { kind: 'pfifo', options: { limit: 77 }, words: 'limit 77', shown: { limit: 77 } },
  { kind: 'bfifo', options: { limit: 77_000 }, words: 'limit 77000', shown: { limit: 77_000 } },
  {
    kind: 'prio',
    options: { bands: 4, priorityMap: [3, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1] },
    words: 'bands 4 priomap 3 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1',
    shown: { bands: 4, priomap: [3, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1] },
  },
  {
    kind: 'htb',
    options: { defaultClass: '8001:30', rateToQuantum: 20, directQueueLength: 55 },
    read: { offload: false, directPackets: 0 },
    words: 'default 30 r2q 20 direct_qlen 55',
    shown: { r2q: 20, default: '0x30', direct_qlen: 55 },
  },
  {
    kind: 'fq',
    options: { limit: 500, flowLimit: 50, quantum: 3028, flowMaximumRate: '10mbit', refillDelay: 40, pacing: true },
    read: { flowMaximumRate: 10_000_000 },
    words: 'limit 500 flow_limit 50 quantum 3028 maxrate 10mbit refill_delay 40ms pacing',
    shown: { limit: 500, flow_limit: 50, quantum: 3028, maxrate: mbit(10), refill_delay: 40_000 },
  },
  {
    kind: 'fq_codel',
    options: { limit: 600, flows: 256, target: 10, interval: 200, quantum: 300, ecn: false, memoryLimit: 1_000_000 },
    words: 'limit 600 flows 256 target 10ms interval 200ms quantum 300 noecn memory_limit 1000000',
    shown: { limit: 600, flows: 256, quantum: 300, memory_limit: 1_000_000 },
  },
  {
    kind: 'codel',
    options: { limit: 600, target: 10, interval: 200, ecn: true },
    words: 'limit 600 target 10ms interval 200ms ecn',
    shown: { limit: 600 },
  },
  {
    kind: 'sfq',
    options: { quantum: 3000, perturbation: 10_000, limit: 100, divisor: 512, depth: 50 },
    words: 'quantum 3000 perturb 10 limit 100 divisor 512 depth 50',
    shown: { quantum: 3000, perturb: 10, limit: 100, divisor: 512, depth: 50 },
  },
  {
    kind: 'netem',
    options: {
      ...{ delay: 100, jitter: 10, delayCorrelation: 25, loss: { probability: 0.5, correlation: 20 }, limit: 2000 },
      ...{ duplicate: 1, corrupt: 0.1, reorder: { probability: 25, correlation: 50 }, gap: 5, rate: '1mbit' },
    },
    read: { rate: 1_000_000 },
    words: 'limit 2000 delay 100ms 10ms 25% loss 0.5% 20% duplicate 1% corrupt 0.1% reorder 25% 50% gap 5 rate 1mbit',
    shown: {
      ...{ limit: 2000, delay: { delay: 0.1, jitter: 0.01, correlation: 0.25 }, gap: 5, ecn: false },
      'loss-random': { loss: 0.005, correlation: 0.2 },
      duplicate: { duplicate: 0.01, correlation: 0 },
      reorder: { reorder: 0.25, correlation: 0.5 },
      corrupt: { corrupt: 0.001, correlation: 0 },
    },
  },
  {
    kind: 'netem',
    options: { loss: { model: 'gilbert', p: 1, r: 10, lossWhenBad: 70, lossWhenGood: 0.1 }, limit: 1000, ecn: true },
    words: 'loss gemodel 1% 10% 70% 0.1% ecn',
    shown: { limit: 1000, 'loss-gemodel': { p: 0.01, r: 0.1, '1-h': 0.7, '1-k': 0.001 }, ecn: true },
  },
  {
    kind: 'netem',
    options: {
      loss: { model: 'state', p13: 1, p31: 99, p32: 2, p23: 98, p14: 3 },
      slot: { least: 1, most: 2, packets: 3, bytes: 4 },
    },
    read: { limit: 1000 },
    words: 'loss state 1% 99% 2% 98% 3% slot 1ms 2ms packets 3 bytes 4',
    shown: { 'loss-state': { p13: 0.01, p31: 0.99, p32: 0.02, p23: 0.98, p14: 0.03 } },
  },
]

/** Numbers that tc shows as fractions are not exact. */
function near(found: unknown, wanted: unknown): boolean {
  if (typeof found === 'number' && typeof wanted === 'number') return Math.abs(found - wanted) <= Math.abs(wanted) / 500
  if (typeof found === 'object' && typeof wanted === 'object' && found !== null && wanted !== null) {
    return Object.entries(wanted).every(([key, value]) => near((found as Wrong)[key], value))
  }
  return found === wanted
}

for (const { kind, options, read, words, shown } of cases) {
  t.test(`${kind} ${words}`, await needs('namespaces', 'tc', `qdisc:${kind}`), async (t) => {
    const { red, left, right } = await pair(t)
    const handle = '8001:'
    const wanted = { ...options, ...read }
    await left.qdiscs.add({ kind, handle, ...options } as NewRawQdisc)
    await tcDo(red, 'qdisc', 'add', 'dev', 'right', 'root', 'handle', handle, kind, ...words.split(' '))
    const [byTc] = await tc(red, 'qdisc', 'show', 'dev', 'left')
    t.match(byTc, { kind, handle, root: true })
    for (const [key, value] of Object.entries(shown)) {
      t.ok(
        near(byTc.options[key], value),
        `${key} is ${JSON.stringify(byTc.options[key])}, not ${JSON.stringify(value)}`,
      )
    }
    const text = async (dev: string) =>
      (await red.exec('tc', ['-d', 'qdisc', 'show', 'dev', dev], { check: true })).stdout
    t.equal(await text('left'), await text('right'), 'tc sees no difference to what it made')
    for (const link of [left, right]) {
      const qdisc = await link.qdiscs.get()
      t.match(qdisc, { index: link.index, kind, handle, parent: 'root', statistics: { bytes: Number, drops: 0 } })
      for (const [key, value] of Object.entries(wanted)) {
        t.ok(
          near((qdisc.options as Wrong)[key], value),
          `${link.name}: ${key} is ${JSON.stringify((qdisc.options as Wrong)[key])}`,
        )
      }
    }
    const made = await left.qdiscs.get()
    const { statistics: _, ...rest } = made
    const events = await eventsOf(t, red, [RTNLGRP_TC])
    t.match(await left.qdiscs.ensure({ kind, handle, ...options } as NewRawQdisc), { changed: false })
    t.notOk((await events()).includes('RTM_NEWQDISC'), 'ensure touches nothing')
    t.match(await right.qdiscs.ensure({ kind, ...options } as NewRawQdisc), { changed: false }, 'nor what tc has made')
    t.match(await left.qdiscs.get(), rest)
    await left.qdiscs.remove({ handle })
    t.match(await tc(red, 'qdisc', 'show', 'dev', 'left'), [{ kind: /^(noqueue|pfifo_fast|fq_codel|mq)$/ }])
  })
}

t.test('netem, what tc does not show', await needs('namespaces', 'qdisc:netem'), async (t) => {
  const { left } = await pair(t)
  const table = Array.from({ length: 1024 }, (_, i) => i * 16 - 8192)
  await left.qdiscs.add({ kind: 'netem', delay: 10, jitter: 5, distribution: table })
  t.match(await left.qdiscs.get(), { options: { delay: 10, jitter: 5, limit: 1000 } })
  await left.qdiscs.replace({ kind: 'netem', loss: 7 })
  const { options } = await left.qdiscs.get()
  t.equal((options as Wrong).loss, 7)
  t.equal((options as Wrong).delay, undefined, 'what is not named is nothing again')
})

t.test("netem's seed", await needs('namespaces', 'qdisc:netem', 'kernel:6.6'), async (t) => {
  const { left } = await pair(t)
  await left.qdiscs.add({ kind: 'netem', loss: 5, seed: 4711 })
  t.match(await left.qdiscs.get(), { options: { loss: 5, seed: 4711 } })
})

t.test('the verbs', namespaces, async (t) => {
  const { red, left, right } = await pair(t)
  t.match(await left.qdiscs.get(), { kind: 'noqueue', handle: '0:', parent: 'root', options: {} })
  t.equal(await left.qdiscs.find({ parent: 'ingress' }), undefined)
  await t.rejects(left.qdiscs.get({ parent: '1:2' }), { code: 'ENOENT', message: /^no qdisc at 1:2 of left/ })
  await t.rejects(
    left.qdiscs.remove(),
    { code: 'ENOENT', syscall: 'RTM_DELQDISC' },
    "the kernel's own cannot be removed",
  )
  await t.rejects(left.qdiscs.remove({ parent: 'ingress' }), { code: 'ENOENT' })
  await t.rejects(left.qdiscs.remove({ handle: '7:' }), { code: 'ENOENT' })
  const tbf = { kind: 'tbf', rate: '100mbit', burst: 32_768, latency: 50 } as const
  t.match(await left.qdiscs.ensure({ ...tbf, handle: '1:' }), { changed: true, qdisc: { kind: 'tbf', handle: '1:' } })
  await t.rejects(left.qdiscs.add({ ...tbf, handle: '1:' }), {
    code: 'EEXIST',
    message: /^cannot add the qdisc tbf at root of left: /,
  })
  await left.qdiscs.replace({ ...tbf, handle: '1:', rate: '50mbit' })
  t.match(await left.qdiscs.get({ handle: '1:' }), { options: { rate: 50_000_000 } })
  t.match(await left.qdiscs.ensure({ ...tbf, handle: '1:' }), {
    changed: true,
    qdisc: { options: { rate: 100_000_000 } },
  })
  await left.qdiscs.replace({ kind: 'htb', handle: '2:' })
  t.match(await left.qdiscs.get(), { kind: 'htb', handle: '2:' })
  await left.qdiscs.replace({ kind: 'htb', handle: '2:', defaultClass: '2:5' })
  t.match(await left.qdiscs.get(), { kind: 'htb', handle: '2:', options: { defaultClass: '2:5' } }, 'made anew')
  await Promise.all([left.qdiscs.add({ kind: 'clsact' }), right.qdiscs.add({ kind: 'ingress' })])
  t.match(await left.qdiscs.list({ parent: 'clsact' }), [{ kind: 'clsact', handle: 'ffff:', parent: 'ingress' }])
  t.same((await left.qdiscs.list()).map(({ kind }) => kind).sort(), ['clsact', 'htb'])
  const all = await red.qdiscs.list()
  t.same(
    all
      .filter(({ index }) => index !== 1)
      .map(({ index, kind }) => [index === left.index ? 'left' : 'right', kind].join())
      .sort(),
    ['left,clsact', 'left,htb', 'right,ingress', 'right,noqueue'],
  )
  t.same((await red.qdiscs.list({ link: 'left', kind: 'htb' })).length, 1)
  const streamed: Qdisc[] = []
  for await (const qdisc of red.qdiscs.stream({ link: right })) streamed.push(qdisc)
  t.same(streamed.map(({ kind }) => kind).sort(), ['ingress', 'noqueue'])
  t.match(await left.qdiscs.ensure({ kind: 'clsact' }), { changed: false })
  await left.qdiscs.remove({ parent: 'clsact' })
  await t.rejects(left.qdiscs.remove({ parent: 'clsact' }), { code: 'ENOENT' })
  await left.qdiscs.remove()
  t.match(await left.qdiscs.list(), [{ kind: 'noqueue' }])
})

t.test('a kind that the kernel does not have', namespaces, async (t) => {
  const { left } = await pair(t)
  const error = await left.qdiscs.add({ kind: 'nosuch' }).catch((reason: unknown) => reason)
  t.match(error, {
    code: 'ENOENT',
    syscall: 'RTM_NEWQDISC',
    hint: "this kernel has no qdisc 'nosuch': CONFIG_NET_SCH_NOSUCH",
  })
  await t.rejects(left.qdiscs.ensure({ kind: 'nosuch', data: { '#1': new Uint8Array(4) } }), {
    message: /CONFIG_NET_SCH_NOSUCH$/,
  })
  const other: Wrong = await left.qdiscs
    .replace({ kind: 'pfifo', limit: 5, parent: '9:1' })
    .catch((reason: unknown) => reason)
  t.equal(other.code, 'ENOENT', 'of a parent that is not there')
  t.equal(other.hint, undefined)
})

t.test('a kind without a file', withTc, async (t) => {
  const { red, left } = await pair(t)
  await tcDo(
    red,
    'qdisc',
    'add',
    'dev',
    'left',
    'root',
    'handle',
    '5:',
    'red',
    ...'limit 100000 avpkt 1000 bandwidth 10mbit'.split(' '),
  ).catch(() => t.comment('no red here'))
  const known = await left.qdiscs.find({ handle: '5:' })
  if (known === undefined) return
  t.match(known, { kind: 'red' })
  t.ok((known.options as Wrong).data['#1'] instanceof Uint8Array)
  const { data } = known.options as { data: Record<`#${number}`, Uint8Array> }
  t.match(await left.qdiscs.ensure({ kind: 'red', data }), { changed: false })
})

t.test('classes of htb', await needs('namespaces', 'tc', 'qdisc:htb'), async (t) => {
  const { red, left, right } = await pair(t)
  const words = 'rate 10mbit ceil 50mbit burst 15000 cburst 20000 prio 2 quantum 3000'.split(' ')
  const kind = 'htb' as const
  const own = {
    rate: '10mbit',
    ceiling: '50mbit',
    burst: 15_000,
    ceilingBurst: 20_000,
    priority: 2,
    quantum: 3000,
  } as const
  await left.qdiscs.add({ kind, handle: '1:', defaultClass: '1:30' })
  await tcDo(red, 'qdisc', 'add', 'dev', 'right', 'root', 'handle', '1:', 'htb', 'default', '30')
  await Promise.all([
    left.classes.add({ kind, parent: '1:', handle: '1:1', rate: '80gbit' }),
    left.classes.add({ kind, parent: '1:1', handle: '1:1a', ...own }),
    left.qdiscs.add({ kind: 'pfifo', limit: 5, parent: '1:1a', handle: '1a:' }),
  ])
  await tcDo(red, 'class', 'add', 'dev', 'right', 'parent', '1:', 'classid', '1:1', 'htb', 'rate', '80gbit')
  await tcDo(red, 'class', 'add', 'dev', 'right', 'parent', '1:1', 'classid', '1:1a', 'htb', ...words)
  await tcDo(red, 'qdisc', 'add', 'dev', 'right', 'parent', '1:1a', 'handle', '1a:', 'pfifo', 'limit', '5')
  const text = async (dev: string) => {
    const { stdout } = await red.exec('tc', ['-d', 'class', 'show', 'dev', dev], { check: true })
    return stdout.trim().split('\n').sort()
  }
  t.equal((await text('left')).length, 2)
  t.same(await text('left'), await text('right'), 'tc sees no difference to what it made')
  for (const link of [left, right]) {
    t.match(await link.classes.get('1:1a'), {
      ...{ index: link.index, kind, handle: '1:1a', parent: '1:1', leaf: '1a:' },
      options: {
        rate: 10_000_000,
        ceiling: 50_000_000,
        burst: 15_000,
        ceilingBurst: 20_000,
        priority: 2,
        quantum: 3000,
        level: 0,
      },
      statistics: { bytes: 0, packets: 0 },
    })
    t.match(await link.classes.get('1:1'), {
      parent: 'root',
      options: { rate: 80_000_000_000, ceiling: 80_000_000_000 },
    })
    t.equal((await link.qdiscs.get()).options.defaultClass, '1:30')
    t.match(await link.classes.ensure({ kind, parent: '1:1', handle: '1:1a', ...own }), { changed: false })
  }
  const { classes } = left
  t.same(
    (await classes.list({ parent: '1:1' })).map(({ handle }) => handle),
    ['1:1a'],
  )
  t.same(
    (await classes.list({ parent: 'root', kind })).map(({ handle }) => handle),
    ['1:1'],
  )
  t.same(await classes.list({ qdisc: '2:' }), [])
  const streamed: string[] = []
  for await (const { handle } of classes.stream({ qdisc: '1:' })) streamed.push(handle)
  t.same(streamed.sort(), ['1:1', '1:1a'])
  t.equal(await classes.find('1:99'), undefined)
  await t.rejects(classes.get('1:99'), { code: 'ENOENT' })
  await t.rejects(classes.add({ kind, parent: '1:1', handle: '1:1a', ...own }), { code: 'EEXIST' })
  await classes.replace({ kind, parent: '1:1', handle: '1:1a', ...own, rate: '20mbit' })
  t.match(await classes.get('1:1a'), { options: { rate: 20_000_000 }, leaf: '1a:' })
  t.match(await classes.ensure({ kind, parent: '1:1', handle: '1:1a', ...own }), {
    changed: true,
    class: { options: { rate: 10_000_000 } },
  })
  await t.rejects(classes.remove('1:1'), { code: 'EBUSY' }, 'it has parts')
  await classes.remove('1:1a')
  await classes.remove('1:1')
  await t.rejects(classes.remove('1:1'), { code: 'ENOENT' })
  await t.rejects(classes.add({ kind, parent: '2:', handle: '2:1', rate: 8000 }), { code: 'ENOENT' })
  const wrong: [Record<string, unknown>, string, RegExp | string][] = [
    [
      { kind, parent: '1:', handle: '2:1', rate: 8000 },
      VALUE,
      "class.parent '1:': is not of the same queueing discipline",
    ],
    [{ kind, parent: '1:', handle: '1:', rate: 8000 }, VALUE, "class.handle '1:'"],
    [{ kind, parent: '1:', handle: '1:1' }, TYPE, 'class.rate must be a number of bits per second'],
    [{ kind, parent: '1:', handle: '1:1', rate: 8000, ceiling: 800 }, VALUE, 'class.ceiling'],
    [{ kind, parent: '1:', handle: '1:1', rate: 8000, priority: 8 }, RANGE, 'class.priority must be from 0 to 7'],
    [{ kind, parent: '1:', handle: '1:1', rate: 8000, ceil: 8 }, VALUE, "class 'ceil'"],
  ]
  for (const [one, code, message] of wrong) await refused(t, 'a class', () => classes.add(one as Wrong), code, message)
})

t.test('what is counted', await needs('namespaces', 'tc', 'ping', 'qdisc:tbf'), async (t) => {
  const { red, left } = await pair(t)
  await left.addAddress('10.0.0.1/24')
  await ipDo(red, 'neighbor', 'add', '10.0.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'left')
  await left.qdiscs.add({ kind: 'tbf', rate: '1mbit', burst: 5000, limit: 5000 })
  await red.exec('ping', ['-c', '20', '-i', '0.002', '-s', '1000', '-W', '1', '10.0.0.2'])
  const [{ bytes, packets, drops, overlimits }] = await tc(red, 'qdisc', 'show', 'dev', 'left')
  const { statistics } = await left.qdiscs.get()
  t.match(statistics, { bytes, packets, drops, overlimits })
  t.ok(statistics.packets > 0, `${statistics.packets} packets`)
})

t.test('wrong options of qdiscs', namespaces, async (t) => {
  const { left } = await pair(t)
  const tbf = { kind: 'tbf', rate: '100mbit', burst: 32_768, latency: 50 }
  const wrong: [unknown, string, RegExp | string][] = [
    [undefined, TYPE, 'qdisc must be an object'],
    [{}, TYPE, 'qdisc.kind must be a string'],
    [{ ...tbf, rate: '100' }, VALUE, "qdisc.rate '100': expected a number with one of bit, kbit"],
    [{ ...tbf, rate: '100mbps' }, VALUE, "qdisc.rate '100mbps': 'bps' are bytes in tc"],
    [{ ...tbf, rate: 7 }, RANGE, 'qdisc.rate must be from 8'],
    [{ ...tbf, rate: true }, TYPE, 'qdisc.rate must be a number of bits per second'],
    [{ ...tbf, burst: undefined }, TYPE, 'qdisc.burst must be an integer'],
    [{ ...tbf, limit: 5 }, VALUE, 'qdisc.latency 50: says the same as limit'],
    [{ ...tbf, latency: undefined }, TYPE, 'qdisc.latency must be a number of milliseconds'],
    [{ ...tbf, latency: -1 }, RANGE, 'qdisc.latency'],
    [{ ...tbf, peakRate: '1mbit', mtu: 1500 }, VALUE, "qdisc.peakRate '1mbit': must be more than the rate"],
    [{ ...tbf, peakRate: '1gbit' }, TYPE, 'qdisc.mtu must be a number of bytes'],
    [{ ...tbf, mtu: 5 }, VALUE, 'qdisc.mtu 5: goes with peakRate'],
    [{ ...tbf, brst: 5 }, VALUE, "qdisc 'brst': is not an option here; did you mean 'burst'?"],
    [{ ...tbf, handle: '1:2' }, VALUE, "qdisc.handle '1:2'"],
    [{ ...tbf, handle: 1 }, TYPE, 'qdisc.handle must be a string'],
    [{ ...tbf, parent: 'egress' }, VALUE, "qdisc.parent 'egress'"],
    [{ ...tbf, parent: 'ingress' }, VALUE, "qdisc.parent 'ingress'"],
    [{ kind: 'clsact', parent: 'root' }, VALUE, "qdisc.parent 'root': is not where clsact hangs"],
    [{ kind: 'prio', bands: 17 }, RANGE, 'qdisc.bands must be from 2 to 16'],
    [{ kind: 'prio', priorityMap: [1] }, VALUE, 'qdisc.priorityMap'],
    [{ kind: 'prio', priorityMap: Array(16).fill(3) }, RANGE, 'qdisc.priorityMap[0] must be from 0 to 2'],
    [{ kind: 'htb', defaultClass: 30 }, TYPE, 'qdisc.defaultClass must be a string'],
    [{ kind: 'fq', pacing: 1 }, TYPE, 'qdisc.pacing must be true or false'],
    [{ kind: 'fq', flowMaximumRate: '1tbit' }, RANGE, 'qdisc.flowMaximumRate must be from 8'],
    [{ kind: 'fq_codel', target: '5ms' }, TYPE, 'qdisc.target must be a number of milliseconds'],
    [{ kind: 'sfq', perturbation: 1500 }, TYPE, 'qdisc.perturbation (in seconds) must be an integer'],
    [{ kind: 'netem', loss: 101 }, RANGE, 'qdisc.loss must be from 0 to 100'],
    [{ kind: 'netem', loss: { probability: '5' } }, TYPE, 'qdisc.loss.probability must be a number of per cent'],
    [{ kind: 'netem', loss: { model: 'x' } }, VALUE, "qdisc.loss.model 'x'"],
    [{ kind: 'netem', jitter: 5 }, VALUE, 'qdisc.jitter 5: goes with delay'],
    [{ kind: 'netem', reorder: 5 }, VALUE, 'qdisc.reorder 5: needs a delay'],
    [{ kind: 'netem', cellSize: 5 }, VALUE, 'qdisc.cellSize 5: goes with rate'],
    [{ kind: 'netem', delay: 1, distribution: [] }, VALUE, 'qdisc.distribution'],
    [{ kind: 'netem', slot: { least: 1, packet: 4 } }, VALUE, "qdisc.slot 'packet'"],
    [{ kind: 'other', data: 5 }, TYPE, 'TCA_OPTIONS must be an object of attributes'],
  ]
  for (const [qdisc, code, message] of wrong) {
    await refused(t, JSON.stringify(qdisc) ?? 'nothing', () => left.qdiscs.add(qdisc as Wrong), code, message)
  }
  await refused(t, 'a filter', () => left.qdiscs.list({ parent: 'nowhere' }), VALUE, "filter.parent 'nowhere'")
  await refused(t, 'a filter', () => left.qdiscs.list({ kinds: 'x' } as Wrong), VALUE, "filter 'kinds'")
  await refused(t, 'a match', () => left.qdiscs.remove({ handle: 'x' }), VALUE, "match.handle 'x'")
})
