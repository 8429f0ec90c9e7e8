/** Answers that the kernel gives once in a blue moon, or never: fed through a layer before the addon. */
import './netlink-hooks.js'
import { type Test, test } from 'tap'
import type { Poller } from '../dist/native.js'
import { NetlinkConnection, type Request } from '../dist/netlink/connection.js'
import { netlinkConstants } from '../dist/netlink/message.js'
import { linkMessage } from '../dist/rtnetlink/link-attributes.js'
import { InterruptedDumpError } from '../dist/rtnetlink/talk.js'
import * as acknowledgements from './captures/acknowledgements.js'
import * as links from './captures/links.js'
import { hook, messagesIn, real, type Sent } from './netlink-hooks.js'
import { descriptors } from './support/counting.js'
import { needs } from './support/needs.js'
import { ipDo, scratch } from './support/scratch.js'
import '../dist/index.js'

const { NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTI, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP } = netlinkConstants
const RTM_GETLINK = 18
const RTM_NEWLINK = 16

/** A message of the kernel's. */
function message(type: number, flags: number, sequence: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(16), payload, Buffer.alloc(-payload.length & 3)])
  bytes.writeUInt32LE(16 + payload.length, 0)
  bytes.writeUInt16LE(type, 4)
  bytes.writeUInt16LE(flags, 6)
  bytes.writeUInt32LE(sequence, 8)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return bytes
}

const refused = (errno: number, { sequence, bytes }: Sent) =>
  message(NLMSG_ERROR, 0x100, sequence, Buffer.concat([int32(-errno), bytes.subarray(0, 16)]))
/** The payload of an RTM_NEWLINK: lo's. */
const loopback = links.loopback.subarray(16)

interface Answer {
  bytes: Uint8Array
  error?: number
  more?: boolean
}

/** A kernel: what it answers to the messages of a datagram; none, when the socket is only read. */
function kernel(t: Test, answer: (sent: Sent[]) => Answer): () => void {
  return hook(t, 'exchange', async (_fd, request, reply) => {
    const { bytes, error = 0, more = false } = answer(request.length === 0 ? [] : messagesIn(request))
    reply.set(bytes)
    return { sent: request.length, received: bytes.length, error, more }
  })
}

async function connect(t: Test, sequence = 0): Promise<NetlinkConnection> {
  const connection = await NetlinkConnection.open(-1, 0, sequence)
  t.teardown(() => connection.close())
  return connection
}

function question(what: string, onReply?: Request['onReply'], flags = 0): Request {
  const bytes = linkMessage.encode(RTM_GETLINK, flags, { index: 1 }, {})
  return { what, syscall: 'RTM_GETLINK', definition: linkMessage, bytes, onReply, dump: flags === NLM_F_DUMP }
}

test('an interrupted dump is read again', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  for (let i = 0; i < 40; i++) await ipDo(namespace, 'link', 'add', `a${i}`, 'type', 'veth', 'peer', 'name', `b${i}`)
  let dumps = 0
  let disturb = 1
  // A datagram at a time, and something changes between the first two.
  const restore = hook(t, 'exchange', async (fd, request, reply) => {
    const starts = request.length > 0 && messagesIn(request).some(({ flags }) => (flags & NLM_F_DUMP) === NLM_F_DUMP)
    if (starts) dumps++
    const result = await real.exchange(fd, request, reply.subarray(0, 64 * 1024))
    if (starts && dumps <= disturb) await ipDo(namespace, 'link', 'add', `x${dumps}`, 'type', 'bridge')
    return result
  })
  const listed = (await namespace.links.list()).map(({ name }) => name)
  t.equal(dumps, 2, 'the first was interrupted')
  t.equal(listed.length, 82)
  t.ok(listed.includes('x1'))

  dumps = 0
  disturb = Number.POSITIVE_INFINITY
  await ipDo(namespace, 'link', 'delete', 'x1')
  const error = await namespace.links.list().then(
    () => t.fail('the list never came to rest'),
    (reason: InterruptedDumpError<unknown>) => reason,
  )
  t.ok(error instanceof InterruptedDumpError)
  t.match(error, { code: 'EINTR', syscall: 'RTM_GETLINK', message: /changed while it was read, 10 times in a row/ })
  t.equal(dumps, 10)
  t.ok((error as InterruptedDumpError<unknown>).results.length >= 81, 'what the last try gave is not thrown away')
  restore()
  t.equal((await namespace.links.list()).length, 91)
})

test('the mark of an interruption may be on any message of a dump', async (t) => {
  const connection = await connect(t)
  for (const marked of [0, 1, 2]) {
    kernel(t, ([{ sequence } = { sequence: 0 } as Sent]) => {
      const flags = [0, 1, 2].map((i) => NLM_F_MULTI | (i === marked ? NLM_F_DUMP_INTR : 0))
      const parts = [RTM_NEWLINK, RTM_NEWLINK, NLMSG_DONE].map((type, i) =>
        message(type, flags[i] ?? 0, sequence, type === NLMSG_DONE ? int32(0) : loopback),
      )
      return { bytes: Buffer.concat(parts) }
    })
    let answers = 0
    t.same(await connection.request(question('list', () => answers++, NLM_F_DUMP)), { interrupted: true })
    t.equal(answers, 2)
  }
})

test('a dump that fails at its end', async (t) => {
  const connection = await connect(t)
  kernel(t, ([{ sequence } = { sequence: 0 } as Sent]) => {
    const end = Buffer.from(acknowledgements.failedDump)
    end.writeUInt32LE(sequence, 8)
    return { bytes: Buffer.concat([message(RTM_NEWLINK, NLM_F_MULTI, sequence, loopback), end]) }
  })
  let answers = 0
  await t.rejects(connection.request(question('list', () => answers++, NLM_F_DUMP)), {
    code: 'EINVAL',
    kernelMessage: 'Filter by device index not supported for link dumps',
  })
  t.equal(answers, 1)
  await t.rejects(
    connection.request(question('list', undefined, NLM_F_DUMP)),
    { code: 'EINVAL' },
    'the next one is sent',
  )
})

test('one dump at a time, in parts, and what is asked for behind it waits', async (t) => {
  const connection = await connect(t)
  const log: string[] = []
  let parts = 0
  let sequence = 0
  kernel(t, (sent) => {
    log.push(sent.length === 0 ? 'read' : sent.map(({ flags }) => ((flags & NLM_F_DUMP) === 0 ? 'get' : 'dump')).join())
    const [first] = sent
    if (first === undefined || (first.flags & NLM_F_DUMP) !== 0) {
      sequence = first?.sequence ?? sequence
      parts++
      const last = parts % 3 === 0
      const bytes = message(last ? NLMSG_DONE : RTM_NEWLINK, NLM_F_MULTI, sequence, last ? int32(0) : loopback)
      return { bytes, more: !last }
    }
    return { bytes: Buffer.concat(sent.map((one) => message(RTM_NEWLINK, 0, one.sequence, loopback))) }
  })
  const answers: string[] = []
  await Promise.all([
    connection.request(question('a', () => answers.push('a'), NLM_F_DUMP)),
    connection.request(question('b', () => answers.push('b'), NLM_F_DUMP)),
    connection.request(question('c', () => answers.push('c'))),
    connection.request(question('d', () => answers.push('d'))),
  ])
  t.same(log, ['dump', 'read', 'read', 'dump', 'read', 'read', 'get,get'])
  t.same(answers, ['a', 'a', 'b', 'b', 'c', 'd'])
})

test('nothing is sent while answers wait in the socket', async (t) => {
  const connection = await connect(t)
  const log: string[] = []
  const kept: Sent[] = []
  kernel(t, (sent) => {
    log.push(sent.length === 0 ? 'read' : 'sent')
    kept.push(...sent)
    const now = kept.splice(0, 10)
    return { bytes: Buffer.concat(now.map((one) => refused(19, one))), more: kept.length > 0 }
  })
  const results = await Promise.allSettled(Array.from({ length: 1024 }, () => connection.request(question('get'))))
  t.ok(results.every((result) => result.status === 'rejected' && result.reason.code === 'ENODEV'))
  // Two chunks are under way; what did not fit in the buffer is read before the next two.
  t.match(`${log.join(' ')} `, /^(sent (sent )?(read )+){2,}$/)
})

/** Pollers that are fired by the test. */
function pollers(t: Test) {
  const made: { started: boolean; closed: boolean; fire(status?: number): void }[] = []
  hook(t, 'createPoller', (_fd, callback): Poller => {
    const poller = { started: false, closed: false, fire: (status = 0) => callback(status, 1) }
    made.push(poller)
    return {
      start: () => {
        poller.started = true
        return 0
      },
      stop: () => {
        poller.started = false
      },
      close: () => {
        poller.started = false
        poller.closed = true
      },
      ref: () => {},
      unref: () => {},
    }
  })
  return made
}

test('an answer that comes later is waited for, and then nothing is', async (t) => {
  const made = pollers(t)
  const connection = await connect(t)
  let asked: Sent[] = []
  let reads = 0
  kernel(t, (sent) => {
    asked.push(...sent)
    if (sent.length > 0 || ++reads === 1) return { bytes: new Uint8Array() }
    const bytes = Buffer.concat(asked.map((one) => message(RTM_NEWLINK, 0, one.sequence, loopback)))
    asked = []
    return { bytes }
  })
  const answers: string[] = []
  const first = connection.request(question('a', () => answers.push('a')))
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.match(made, [{ started: true }])
  made[0]?.fire()
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.match(made, [{ started: true }], 'readable, but there was nothing')
  // The answers of both are read by the exchange of the second: nothing is left to wait for.
  reads = 0
  const second = connection.request(question('b', () => answers.push('b')))
  await new Promise((resolve) => setTimeout(resolve, 20))
  made[0]?.fire()
  await new Promise((resolve) => setTimeout(resolve, 20))
  made[0]?.fire(-9)
  await Promise.all([first, second])
  t.same(answers, ['a', 'b'])
  t.match(made, [{ started: false, closed: false }], 'a started poller would keep the process alive')
  const third = connection.request(question('c'))
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.match(made, [{ started: true }])
  await Promise.all([t.rejects(third, { name: 'AbortError' }), connection.close()])
  t.match(made, [{ started: false, closed: true }])
})

test('sequence numbers wrap, and pass over 0', async (t) => {
  pollers(t)
  const connection = await connect(t, 0xffff_fffd)
  const seen: number[] = []
  let silent = true
  kernel(t, (sent) => {
    seen.push(...sent.map(({ sequence }) => sequence))
    return { bytes: silent ? new Uint8Array() : Buffer.concat(sent.map((one) => refused(19, one))) }
  })
  const waiting = [1, 2, 3, 4].map(() => connection.request(question('get')))
  await new Promise((resolve) => setTimeout(resolve, 10))
  t.same(seen, [0xffff_fffe, 0xffff_ffff, 1, 2])
  silent = false
  await t.rejects(connection.request(question('get')), { code: 'ENODEV' })
  t.equal(seen.at(-1), 3)
  // The kernel answers in order: those before have been dealt with.
  t.ok((await Promise.allSettled(waiting)).every(({ status }) => status === 'fulfilled'))
})

test('what is not for any request is passed over', async (t) => {
  const connection = await connect(t)
  kernel(t, ([{ sequence } = { sequence: 0 } as Sent]) => ({
    bytes: Buffer.concat([
      message(RTM_NEWLINK, 0, 0, loopback),
      message(RTM_NEWLINK, 0, sequence ^ 0x1000, loopback),
      message(NLMSG_NOOP, 0, sequence),
      message(RTM_NEWLINK, 0, sequence, loopback),
      message(NLMSG_ERROR, 0x100, sequence, Buffer.concat([int32(0), Buffer.alloc(16)])),
      message(NLMSG_ERROR, 0x100, sequence, Buffer.concat([int32(-5), Buffer.alloc(16)])),
    ]),
  }))
  const types: number[] = []
  t.same(await connection.request(question('get', ({ type }) => types.push(type))), { interrupted: false })
  t.same(types, [RTM_NEWLINK])
})

test('an answer that lies about its length fails all that wait, and only them', async (t) => {
  const connection = await connect(t)
  kernel(t, ([first, ...others]) => {
    const answer = message(RTM_NEWLINK, 0, first?.sequence ?? 0, loopback)
    const lie = message(RTM_NEWLINK, 0, others[0]?.sequence ?? 0, loopback)
    lie.writeUInt32LE(0xffff_fff0, 0)
    return { bytes: Buffer.concat(others.length > 0 ? [answer, lie] : [answer]) }
  })
  const results = await Promise.allSettled(['a', 'b', 'c'].map((what) => connection.request(question(what))))
  t.match(results, [
    { status: 'fulfilled' },
    { reason: { code: 'EBADMSG', syscall: 'RTM_GETLINK', message: /^b: .*claims 4294967280 bytes/ } },
    { reason: { code: 'EBADMSG', message: /^c: / } },
  ])
  t.same(await connection.request(question('d')), { interrupted: false })
})

test('an answer with an attribute that lies', async (t) => {
  const connection = await connect(t)
  const spoilt = Buffer.from(loopback)
  // IFLA_MTU has two bytes of contents less than it needs, and is the last.
  const cut = spoilt.subarray(0, spoilt.indexOf(Buffer.from('08000400', 'hex')) + 6)
  cut.writeUInt16LE(6, cut.length - 6)
  kernel(t, (sent) => ({ bytes: Buffer.concat(sent.map((one) => message(RTM_NEWLINK, 0, one.sequence, cut))) }))
  const results = await Promise.allSettled([
    connection.request(question('a', (answer) => linkMessage.decode(answer))),
    connection.request(question('b')),
  ])
  t.match(results, [
    {
      reason: {
        code: 'EBADMSG',
        message: "a: the kernel's answer has 2 bytes where 4 are needed (EBADMSG, RTM_GETLINK, IFLA_MTU)",
        attribute: 'IFLA_MTU',
      },
    },
    { status: 'fulfilled' },
  ])
})

test('functions of the caller that throw hurt their request alone', async (t) => {
  const connection = await connect(t)
  const failure = new Error('the caller failed')
  const fail = () => {
    throw failure
  }
  kernel(t, (sent) => ({
    bytes: Buffer.concat(
      sent.map((one, i) => (i < 2 ? message(RTM_NEWLINK, 0, one.sequence, loopback) : refused(1, one))),
    ),
  }))
  const results = await Promise.allSettled([
    connection.request(question('a', fail)),
    connection.request(question('b', () => {})),
    connection.request({ ...question('c'), hint: fail }),
    connection.request({ ...question('d'), what: fail }),
    connection.request({ ...question('e'), hint: () => 'become root' }),
  ])
  t.match(results, [
    { reason: failure },
    { status: 'fulfilled' },
    { reason: failure },
    { reason: { code: 'EPERM', message: /^RTM_GETLINK: operation not permitted/ } },
    { reason: { code: 'EPERM', hint: 'become root' } },
  ])
})

test('words that cannot be had keep nobody from being settled', async (t) => {
  const wordless = {
    ...question('a'),
    what: () => {
      throw new Error('the caller failed')
    },
  }
  const connection = await connect(t)
  const lossy = kernel(t, () => ({ bytes: new Uint8Array(), error: -105 }))
  t.match(await Promise.allSettled([connection.request(wordless), connection.request(question('b'))]), [
    { reason: { code: 'ENOBUFS', message: /^RTM_GETLINK: / } },
    { reason: { code: 'ENOBUFS', message: /^b: / } },
  ])
  lossy()
  const waiting = Promise.allSettled([connection.request(wordless), connection.request(question('b'))])
  await connection.close()
  t.match(await waiting, [
    { reason: { name: 'AbortError', message: 'RTM_GETLINK: the connection was closed' } },
    { reason: { name: 'AbortError', message: 'b: the connection was closed' } },
  ])
})

test('closing in an answer: the descriptor is not used again', async (t) => {
  for (const rest of [{ more: true }, { error: -105 }]) {
    const connection = await NetlinkConnection.open(-1, 0)
    let exchanges = 0
    const restore = kernel(t, (sent) => {
      exchanges++
      return { bytes: Buffer.concat(sent.map((one) => message(RTM_NEWLINK, 0, one.sequence, loopback))), ...rest }
    })
    let before = 0
    const close = () => {
      before = exchanges
      void connection.close()
    }
    await t.rejects(connection.request(question('a', close)), { name: 'AbortError' })
    await connection.close()
    await new Promise((resolve) => setImmediate(resolve))
    t.ok(before > 0)
    t.equal(exchanges, before)
    restore()
  }
})

test('a send that fails', async (t) => {
  const connection = await connect(t)
  const restore = hook(t, 'exchange', async () => ({ sent: -105, received: 0, error: 0, more: false }))
  const results = await Promise.allSettled([
    connection.request(question('a')),
    connection.request(question('b', undefined, NLM_F_DUMP)),
  ])
  t.match(results, [
    {
      reason: {
        code: 'ENOBUFS',
        syscall: 'RTM_GETLINK',
        message: /^a: cannot send a netlink request/,
        cause: { syscall: 'sendmsg' },
      },
    },
    { reason: { code: 'ENOBUFS', message: /^b: / } },
  ])
  restore()
  let answers = 0
  await connection.request(question('get', () => answers++))
  t.equal(answers, 1, 'the connection goes on')
})

test('after a loss the socket is emptied before anything is sent', async (t) => {
  const connection = await connect(t)
  const log: string[] = []
  let losses = 0
  kernel(t, (sent) => {
    log.push(sent.length === 0 ? 'read' : 'sent')
    if (losses === 0 || losses === 1) {
      losses++
      return { bytes: new Uint8Array(), error: losses === 1 ? -105 : -90 }
    }
    return { bytes: Buffer.concat(sent.map((one) => message(RTM_NEWLINK, 0, one.sequence, loopback))) }
  })
  await t.rejects(connection.request(question('a')), { code: 'ENOBUFS', message: /^a: .*answers were lost/ })
  await connection.request(question('b'))
  t.same(log, ['sent', 'read', 'read', 'sent'])
  losses = 3
  const broken = kernel(t, () => ({ bytes: new Uint8Array(), error: -9 }))
  await t.rejects(
    connection.request(question('c')),
    { code: 'EBADF' },
    'an error that stays is not read again and again',
  )
  broken()
})

test('closing while an exchange is under way drops its answer', async (t) => {
  const before = descriptors()
  const connection = await NetlinkConnection.open(-1, 0)
  let answer: () => void = () => {}
  let asked: Sent[] = []
  let exchanges = 0
  hook(t, 'exchange', async (_fd, request, reply) => {
    exchanges++
    asked = messagesIn(request)
    await new Promise<void>((resolve) => {
      answer = resolve
    })
    const bytes = Buffer.concat(asked.map((one) => message(RTM_NEWLINK, 0, one.sequence, loopback)))
    reply.set(bytes)
    return { sent: request.length, received: bytes.length, error: 0, more: true }
  })
  let answers = 0
  const request = connection.request(question('a', () => answers++))
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(asked.length, 1)
  await Promise.all([t.rejects(request, { name: 'AbortError' }), connection.close()])
  answer()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(answers, 0)
  t.equal(exchanges, 1, 'what waits in the socket is not read any more')
  t.equal(descriptors(), before)
})
