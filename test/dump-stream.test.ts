/** Lists read row by row: how far they are read, and how they end. */
import './netlink-hooks.js'
import { setTimeout as delay } from 'node:timers/promises'
import { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import { createNamespace } from '../dist/namespace/open.js'
import { netlinkConstants } from '../dist/netlink/message.js'
import { linkMessage } from '../dist/rtnetlink/link-attributes.js'
import { type Route, readRoute, routeMessage } from '../dist/rtnetlink/route.js'
import { dumpEach, InterruptedDumpError } from '../dist/rtnetlink/talk.js'
import { hook, messagesIn, real } from './netlink-hooks.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { runProgram } from './support/program.js'
import { ipDo, scratch } from './support/scratch.js'
import '../dist/index.js'

const { NLM_F_DUMP, NLM_F_MULTI, NLMSG_DONE, NLMSG_ERROR } = netlinkConstants

function routes(namespace: Namespace, signal?: AbortSignal): AsyncGenerator<Route, void, undefined> {
  const question = {
    definition: routeMessage,
    request: 'RTM_GETROUTE' as const,
    header: { family: 2 },
    attributes: { table: 254 },
    what: 'list the routes',
  }
  return dumpEach(namespace, question, (message) => readRoute(routeMessage.decode(message)), { signal })
}

function links(namespace: Namespace): AsyncGenerator<string, void, undefined> {
  const question = {
    definition: linkMessage,
    request: 'RTM_GETLINK' as const,
    header: {},
    attributes: {},
    what: 'list the links',
  }
  return dumpEach(namespace, question, (message) => linkMessage.decode(message).attributes.name)
}

/** A namespace with so many routes to single hosts. */
async function withRoutes(t: Test, count: number): Promise<Namespace> {
  const namespace = await scratch(t)
  await ipDo(namespace, 'link', 'set', 'lo', 'up')
  const lines = Array.from({ length: count }, (_, i) => `route add 10.${i >> 16}.${(i >> 8) & 255}.${i & 255} dev lo`)
  await namespace.exec('ip', ['-batch', '-'], { check: true, input: `${lines.join('\n')}\n` })
  return namespace
}

/** Counts the receiving from now on. */
function countExchanges(t: Test): { count: number; bytes: number } {
  const seen = { count: 0, bytes: 0 }
  hook(t, 'exchange', async (fd, request, reply) => {
    seen.count++
    const result = await real.exchange(fd, request, reply)
    seen.bytes += result.received
    return result
  })
  return seen
}

test('a stream gives what a list gives', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withRoutes(t, 5000)
  const listed = await namespace.routes.list({ family: 'inet' })
  const streamed: Route[] = []
  await leavesNoDescriptor(t, 'a stream to its end', async () => {
    for await (const route of routes(namespace)) streamed.push(route)
  })
  t.equal(streamed.length, 5000)
  t.same(streamed, listed)
})

test('nothing is received that is not taken', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withRoutes(t, 6000)
  const seen = countExchanges(t)
  const stream = routes(namespace)
  await delay(5)
  t.equal(seen.count, 0, 'nothing is asked before the first row is')
  t.equal((await stream.next()).done, false)
  t.equal(seen.count, 1)
  const portion = seen.bytes
  await delay(20)
  await namespace.links.get('lo')
  t.equal(seen.count, 2, 'the namespace is not held up, and the stream not read')
  let rows = 1
  let most = 0
  for await (const _ of stream) {
    rows++
    most = Math.max(most, seen.bytes - portion - rows * 52)
  }
  t.equal(rows, 6000)
  t.ok(most < 200 * 1024, `${most} bytes ahead`)
  t.ok(seen.count > 3, `${seen.count} portions`)
})

test('a stream that is left closes its socket at once', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withRoutes(t, 5000)
  await leavesNoDescriptor(t, 'break', async () => {
    for await (const _ of routes(namespace)) break
  })
  await leavesNoDescriptor(t, 'an error', async () => {
    const failing = async () => {
      for await (const _ of routes(namespace)) throw new Error('mine')
    }
    await t.rejects(failing(), { message: 'mine' })
  })
  await leavesNoDescriptor(t, 'return while rows are waited for', async () => {
    const stream = routes(namespace)
    const waiting = stream.next()
    t.same(await stream.return(), { value: undefined, done: true })
    t.same(await waiting, { value: undefined, done: true })
    t.same(await stream.next(), { value: undefined, done: true })
  })
  await leavesNoDescriptor(t, 'throw', async () => {
    const stream = routes(namespace)
    await stream.next()
    await t.rejects(stream.throw(new Error('mine')), { message: 'mine' })
    t.same(await stream.next(), { value: undefined, done: true })
  })
  await leavesNoDescriptor(t, 'disposing', async () => {
    const stream = routes(namespace)
    await stream.next()
    await stream[Symbol.asyncDispose]()
    t.same(await stream.next(), { value: undefined, done: true })
  })
  await leavesNoDescriptor(t, 'one that was never begun', async () => {
    t.same(await routes(namespace).return(), { value: undefined, done: true })
  })
})

test('many calls of next at once', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withRoutes(t, 3000)
  const stream = routes(namespace)
  const results = await Promise.all(Array.from({ length: 3005 }, () => stream.next()))
  t.equal(results.filter(({ done }) => done === false).length, 3000)
  t.same(
    results.slice(-5).map(({ done }) => done),
    Array(5).fill(true),
  )
  const order = results.slice(0, 3000).map(({ value }) => (value as Route).to)
  t.same(
    order,
    (await namespace.routes.list({ family: 'inet' })).map(({ to }) => to),
  )
})

test('a stream ends by its signal, and with its namespace handle', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await withRoutes(t, 5000)
  const controller = new AbortController()
  const stream = routes(namespace, controller.signal)
  await leavesNoDescriptor(t, 'a signal', async () => {
    await stream.next()
    controller.abort(new Error('enough'))
    await t.rejects(stream.next(), { name: 'AbortError', cause: { message: 'enough' } })
    t.same(await stream.next(), { value: undefined, done: true })
  })
  await t.rejects(routes(namespace, AbortSignal.abort()).next(), { name: 'AbortError' })

  const other = await createNamespace()
  const idle = links(other)
  await idle.next()
  const late = links(other)
  await other.close()
  await t.rejects(idle.next(), { name: 'AbortError', message: /closed/ })
  await t.rejects(late.next(), { code: 'EBADF' })
})

test('a list that changes while it is read ends with an error', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  const lines = Array.from({ length: 150 }, (_, i) => `link add a${i} type veth peer name b${i}`)
  await namespace.exec('ip', ['-batch', '-'], { check: true, input: `${lines.join('\n')}\n` })
  const rows: string[] = []
  const read = async () => {
    for await (const name of links(namespace)) {
      if (rows.push(name) === 1) await ipDo(namespace, 'link', 'add', 'x0', 'type', 'bridge')
    }
  }
  const error = await read().then(
    () => undefined,
    (reason: unknown) => reason,
  )
  t.ok(error instanceof InterruptedDumpError)
  t.match(error, {
    code: 'EINTR',
    syscall: 'RTM_GETLINK',
    message: /^list the links: the list changed while it was read \(/,
  })
  t.ok(rows.length >= 301, `${rows.length} rows came before`)
})

test('answers that are refusals, forged or cut off', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  const message = (type: number, sequence: number, payload: Uint8Array) => {
    const bytes = Buffer.concat([Buffer.alloc(16), payload, Buffer.alloc(-payload.length & 3)])
    bytes.writeUInt32LE(16 + payload.length, 0)
    bytes.writeUInt16LE(type, 4)
    bytes.writeUInt16LE(NLM_F_MULTI, 6)
    bytes.writeUInt32LE(sequence, 8)
    return bytes
  }
  const name = (text: string) => {
    const attribute = Buffer.alloc(8)
    attribute.writeUInt16LE(8, 0)
    attribute.writeUInt16LE(3, 2)
    attribute.write(text, 4, 'latin1')
    return Buffer.concat([Buffer.alloc(16), attribute])
  }
  const answer = (bytes: Uint8Array, error = 0) =>
    hook(t, 'exchange', async (_fd, request, reply) => {
      t.equal((messagesIn(request)[0]?.flags ?? NLM_F_DUMP) & NLM_F_DUMP, NLM_F_DUMP)
      reply.set(bytes)
      return { sent: request.length, received: bytes.length, error, more: false }
    })
  const all = async () => {
    const rows: string[] = []
    for await (const row of links(namespace)) rows.push(row)
    return rows
  }
  const [one, two, end] = [
    message(16, 1, name('one')),
    message(16, 1, name('two')),
    message(NLMSG_DONE, 1, Buffer.alloc(4)),
  ]
  await leavesNoDescriptor(t, 'strange answers', async () => {
    answer(
      Buffer.concat([
        message(16, 7, name('not')),
        one,
        message(1, 1, Buffer.alloc(0)),
        two,
        end,
        message(16, 1, name('no')),
      ]),
    )
    t.same(await all(), ['one', 'two'], 'other sequence numbers, NOOPs and what comes after the end are passed over')
    answer(Buffer.concat([one, two, end]).subarray(0, one.length + 20))
    await t.rejects(all(), { code: 'EBADMSG', message: /^list the links: / })
    answer(message(16, 1, name('one').subarray(0, 19)))
    await t.rejects(all(), { code: 'EBADMSG' }, 'an attribute that is cut off')
    const refused = Buffer.concat([Buffer.from([0xea, 0xff, 0xff, 0xff]), Buffer.alloc(16)])
    answer(Buffer.concat([one, message(NLMSG_ERROR, 1, refused)]))
    await t.rejects(all(), { code: 'EINVAL', syscall: 'RTM_GETLINK' })
    answer(Buffer.concat([one]), -105)
    await t.rejects(all(), { code: 'ENOBUFS', message: /cannot receive the list/ })
    hook(t, 'exchange', async () => ({ sent: -1, received: 0, error: 0, more: false }))
    await t.rejects(all(), { code: 'EPERM', message: /cannot send/ })
    hook(t, 'openSocket', async () => -24)
    await t.rejects(all(), { code: 'EMFILE' })
  })
})

test('an answer that comes late is waited for, until the stream is ended', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  await leavesNoDescriptor(t, 'waiting', async () => {
    // Nothing is sent, so nothing comes.
    hook(t, 'exchange', (fd, _request, reply) => real.exchange(fd, new Uint8Array(), reply))
    const stream = links(namespace)
    const waiting = stream.next()
    await delay(20)
    await stream.return()
    t.same(await waiting, { value: undefined, done: true })
  })
})

test('a stream that was forgotten is closed', await needs('namespaces'), async (t) => {
  const { stdout, exitCode, stderr } = await runProgram(
    `
    import { createNamespace } from './dist/index.js'
    import { linkMessage } from './dist/rtnetlink/link-attributes.js'
    import { dumpEach } from './dist/rtnetlink/talk.js'
    import { native } from './dist/native.js'
    const namespace = await createNamespace()
    await namespace.links.list()
    const before = native.ownedDescriptors()
    const ask = { definition: linkMessage, request: 'RTM_GETLINK', header: {}, attributes: {}, what: 'list' }
    await (async () => { await dumpEach(namespace, ask, (message) => message.type).next() })()
    console.log(native.ownedDescriptors() - before)
    for (let i = 0; i < 100 && native.ownedDescriptors() > before; i++) {
      gc()
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    console.log(native.ownedDescriptors() - before)
    await namespace.delete()`,
    { node: ['--expose-gc'] },
  )
  t.match(stderr, /stream of a list was garbage-collected/)
  t.same({ stdout, exitCode }, { stdout: '1\n0\n', exitCode: 0 })
})

test('streams come and go without leaving anything', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  await leavesNoDescriptor(t, '500 streams', async () => {
    for (let i = 0; i < 500; i += 10) {
      await Promise.all(
        Array.from({ length: 10 }, async (_, j) => {
          const stream = links(namespace)
          if (j % 3 > 0) await stream.next()
          if (j % 3 === 2) await stream.next()
          await stream.return()
        }),
      )
    }
  })
  t.ok(await eventually(() => true))
})
