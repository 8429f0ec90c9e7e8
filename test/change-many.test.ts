/** Many changes with one promise: the order, the errors, and how far ahead they are pulled. */
import './netlink-hooks.js'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import { createNamespace } from '../dist/namespace/open.js'
import { NetlinkConnection } from '../dist/netlink/connection.js'
import { netlinkConstants } from '../dist/netlink/message.js'
import { linkMessage } from '../dist/rtnetlink/link-attributes.js'
import { routeMessage } from '../dist/rtnetlink/route.js'
import { type Ask, change, changeMany } from '../dist/rtnetlink/talk.js'
import { hook, real, watchExchanges } from './netlink-hooks.js'
import { needs } from './support/needs.js'
import { ip, ipDo, scratch } from './support/scratch.js'
import '../dist/index.js'

const { NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL } = netlinkConstants

type RouteAsk = Ask<typeof routeMessage.header, typeof routeMessage.table>

const host = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`

function add(i: number): RouteAsk {
  return {
    definition: routeMessage,
    request: 'RTM_NEWROUTE',
    flags: NLM_F_CREATE | NLM_F_EXCL,
    header: { family: 2, destinationLength: 32, table: 254, protocol: 4, scope: 253, type: 1 },
    attributes: { destination: host(i), outputLink: 1 },
    what: `cannot add the route to ${host(i)}`,
  }
}

function* adds(count: number, pulled?: { count: number; returned: boolean }): Generator<RouteAsk> {
  try {
    for (let i = 0; i < count; i++) {
      if (pulled !== undefined) pulled.count++
      yield add(i)
    }
  } finally {
    if (pulled !== undefined) pulled.returned = true
  }
}

async function withLoopback(t: Parameters<typeof scratch>[0]): Promise<Namespace> {
  const namespace = await scratch(t)
  await ipDo(namespace, 'link', 'set', 'lo', 'up')
  return namespace
}

async function count(namespace: Namespace): Promise<number> {
  return (await ip(namespace, 'route')).length
}

test('thousands of changes in few messages', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withLoopback(t)
  const exchanges = watchExchanges(t)
  const progress: number[] = []
  await changeMany(namespace, adds(5000), { onProgress: (done) => progress.push(done) })
  t.equal(await count(namespace), 5000)
  t.equal(exchanges.flat().length, 5000)
  t.ok(exchanges.length < 400, `${exchanges.length} chunks`)
  for (const chunk of exchanges) {
    t.same(
      chunk.map(({ flags }) => (flags & NLM_F_ACK) !== 0),
      chunk.map((_, i) => i === chunk.length - 1),
      'the last asks for an acknowledgement',
    )
  }
  const numbers = exchanges.flat().map(({ sequence }) => sequence)
  t.equal(new Set(numbers).size, 5000)
  t.equal(progress.at(-1), 5000)
  t.same(
    progress,
    [...progress].sort((a, b) => a - b),
  )
  await changeMany(namespace, [])
})

test('they keep their place among other requests of the tick', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withLoopback(t)
  const bridge = (name: string) => ({
    definition: linkMessage,
    request: 'RTM_NEWLINK' as const,
    flags: NLM_F_CREATE,
    header: { flags: 1, change: 1 },
    attributes: { name, info: { kind: 'bridge' } },
    what: `cannot make ${name}`,
  })
  const exchanges = watchExchanges(t)
  await Promise.all([
    change(namespace, bridge('before')),
    changeMany(namespace, adds(1000)),
    change(namespace, bridge('after')),
    changeMany(namespace, [bridge('last')]),
  ])
  const kinds = exchanges.flat().map(({ type }) => type)
  t.same(kinds, [16, ...Array(1000).fill(24), 16, 16])
})

test('a refusal keeps nothing from being sent', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withLoopback(t)
  await changeMany(namespace, [add(3), add(700)])
  const error = await changeMany(namespace, adds(2000)).then(
    () => undefined,
    (reason) => reason,
  )
  t.match(error, {
    name: 'NetkitError',
    code: 'EEXIST',
    syscall: 'RTM_NEWROUTE',
    message: /^cannot add the route to 10\.0\.0\.3: /,
    failed: 2,
  })
  t.same(
    error.errors.map(({ message }: Error) => /to (\S+):/.exec(message)?.[1]),
    [host(3), host(700)],
  )
  t.equal(error.errors[0], error)
  t.notMatch(error.stack, /processTicks.*\n.*processTicks/)
  t.match(error.stack, /change-many\.test/)
  t.equal(await count(namespace), 2000)
  const all = await changeMany(namespace, adds(2000)).catch((reason) => reason)
  t.equal(all.failed, 2000)
  t.equal(all.errors.length, 100, 'not all of thousands of errors are kept')
  t.match(all, { message: /10\.0\.0\.0: / })
})

test('refusals are told alike where each is sent by itself', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withLoopback(t)
  await changeMany(namespace, [add(3), add(700)])
  const hear = () => {}
  subscribe('netkit:netlink:end', hear)
  t.teardown(() => unsubscribe('netkit:netlink:end', hear))
  const error = await changeMany(namespace, adds(1000)).catch((reason) => reason)
  t.match(error, { code: 'EEXIST', failed: 2, message: /10\.0\.0\.3: / })
  t.equal(error.errors.length, 2)
  const all = await changeMany(namespace, adds(1000)).catch((reason) => reason)
  t.equal(all.failed, 1000)
  t.equal(all.errors.length, 100)
})

test('what onProgress throws ends the call, and nothing else', await needs('namespaces'), async (t) => {
  const namespace = await withLoopback(t)
  const own = new Error('boom')
  const pulled = { count: 0, returned: false }
  const onProgress = () => {
    throw own
  }
  const error = await changeMany(namespace, adds(20_000, pulled), { onProgress }).catch((reason) => reason)
  t.equal(error, own)
  t.ok(pulled.count < 10_000, `${pulled.count} were pulled`)
  t.ok(pulled.returned)
  t.equal((await namespace.links.list()).length, 1, 'the connection is as it was')
  const routes = Array.from({ length: 20_000 }, (_, i) => ({ to: `${host(i)}/32`, type: 'blackhole' as const }))
  await namespace.routes.flush({ type: 'unicast' })
  await t.rejects(namespace.routes.addMany(routes, { onProgress }), own)
  const made = (await namespace.routes.list({ type: 'blackhole' })).length
  t.ok(made > 0 && made < 10_000, `${made} were added`)
})

test(
  'an attribute that the kernel points at is named, of the request that it is in',
  await needs('namespaces'),
  async (t) => {
    const namespace = await withLoopback(t)
    const bad = { ...add(5), attributes: { destination: host(5), outputLink: 1, '#7': new Uint8Array(2) } } as RouteAsk
    await t.rejects(changeMany(namespace, [add(1), bad, add(2)]), {
      attribute: 'RTA_PREFSRC',
      message: /10\.0\.0\.5/,
    })
  },
)

test('bad input among them', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withLoopback(t)
  const bad = { ...add(1), attributes: { destination: 'nonsense' } }
  await t.rejects(changeMany(namespace, [add(0), bad, add(2)]), { name: 'RangeError', code: 'ERR_INVALID_ARG_VALUE' })
  t.equal(await count(namespace), 2, 'the others are sent')
  const failing = function* () {
    yield* adds(1500)
    throw new RangeError('no more')
  }
  await t.rejects(changeMany(namespace, failing()), { code: 'EEXIST' }, 'the first error')
  t.equal(await count(namespace), 1500)
})

test('they are pulled as the kernel takes them', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withLoopback(t)
  await namespace.links.get('lo')
  const pulled = { count: 0, returned: false }
  let done = 0
  let ahead = 0
  const onProgress = (now: number) => {
    ahead = Math.max(ahead, pulled.count - done)
    done = now
  }
  await changeMany(namespace, adds(20_000, pulled), { onProgress })
  t.equal(pulled.count, 20_000)
  t.ok(ahead <= 3 * 512, `${ahead} pulled ahead`)
  t.ok(pulled.returned)
})

test('a signal stops the pulling', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withLoopback(t)
  const controller = new AbortController()
  const pulled = { count: 0, returned: false }
  const onProgress = (done: number) => {
    if (done > 2000) controller.abort(new Error('enough'))
  }
  await t.rejects(changeMany(namespace, adds(1e6, pulled), { signal: controller.signal, onProgress }), {
    name: 'AbortError',
    cause: { message: 'enough' },
  })
  t.ok(pulled.count < 6000, `${pulled.count} pulled`)
  t.ok(pulled.returned, 'the source is let go')
  t.equal(await count(namespace), pulled.count, 'nothing is under way when it rejects')
  const early = { count: 0, returned: false }
  await t.rejects(changeMany(namespace, adds(10, early), { signal: AbortSignal.abort() }), { name: 'AbortError' })
  t.equal(early.count, 0)
  await change(namespace, { ...add(0), request: 'RTM_DELROUTE', flags: 0 })
  t.pass('the connection goes on')
})

test('closing in the middle', await needs('namespaces'), async (t) => {
  const namespace = await createNamespace()
  await namespace.links.get('lo')
  const pulled = { count: 0, returned: false }
  const changing = changeMany(namespace, adds(1e6, pulled), {
    onProgress: () => {
      if (!namespace.closed) void namespace.close()
    },
  })
  await t.rejects(changing, { name: 'AbortError', message: /many changes.*closed/ })
  t.ok(pulled.count < 5000 && pulled.returned)
  await t.rejects(changeMany(namespace, adds(1)), { code: 'EBADF' })
})

test('answers that are lost, and a send that fails', await needs('namespaces'), async (t) => {
  const namespace = await withLoopback(t)
  await namespace.links.get('lo')
  let fail = { sent: -105, received: 0, error: 0, more: false }
  const restore = hook(t, 'exchange', async () => fail)
  await t.rejects(changeMany(namespace, adds(2000)), { code: 'ENOBUFS', failed: 2000, message: /cannot send/ })
  restore()
  let times = 0
  fail = { sent: 1, received: 0, error: -105, more: false }
  hook(t, 'exchange', async (fd, request, reply) => (times++ === 0 ? fail : real.exchange(fd, request, reply)))
  const error = await changeMany(namespace, adds(2000)).catch((reason) => reason)
  t.match(error, { code: 'ENOBUFS', message: /answers were lost/ })
  t.ok(error.failed < 2000, `${error.failed} of 2000 are not known`)
})

test('sequence numbers run over in a chunk, and pass over those in use', await needs('namespaces'), async (t) => {
  const namespace = await withLoopback(t)
  const connection = await NetlinkConnection.open(namespace.fd, 0, 0xffff_ffff - 700)
  t.teardown(() => connection.close())
  const exchanges = watchExchanges(t)
  const items = [...adds(3000)]
  const source = (list: RouteAsk[]) => ({
    next: () => list.shift(),
    write(writer: Parameters<typeof routeMessage.write>[0], ask: RouteAsk) {
      routeMessage.write(writer, 24, ask.flags ?? 0, ask.header, ask.attributes)
    },
    describe: (ask: RouteAsk) => ({ what: ask.what, syscall: ask.request, definition: routeMessage }),
    what: 'many',
  })
  await connection.requestMany(source(items))
  const numbers = exchanges.flat().map(({ sequence }) => sequence)
  t.equal(new Set(numbers).size, 3000)
  t.notOk(numbers.includes(0))
  t.ok(numbers.includes(1) && numbers.some((number) => number > 0xffff_f000))
  for (const chunk of exchanges)
    t.equal((chunk.at(-1)?.sequence ?? 0) - (chunk[0]?.sequence ?? 0), chunk.length - 1, 'a chunk has numbers in a row')
  await t.rejects(connection.requestMany(source([add(5), add(9000), add(6)])), { code: 'EEXIST', failed: 2 })
})
