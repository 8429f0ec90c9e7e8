/** Requests on the real kernel: how they travel, how they end, and how they fail. */
import './netlink-hooks.js'
import { type Test, test } from 'tap'
import { AbortError, NetkitError } from '../dist/errors.js'
import type { Namespace } from '../dist/namespace/namespace.js'
import { NetlinkConnection, type Request } from '../dist/netlink/connection.js'
import { type Message, netlinkConstants } from '../dist/netlink/message.js'
import { addressMessage } from '../dist/rtnetlink/address.js'
import { rtnetlinkConstants } from '../dist/rtnetlink/constants.js'
import { type LinkAttributes, linkMessage } from '../dist/rtnetlink/link-attributes.js'
import { hook, real, watchExchanges } from './netlink-hooks.js'
import { descriptors, eventually, leavesNoDescriptor, threads } from './support/counting.js'
import { needs } from './support/needs.js'
import { runProgram } from './support/program.js'
import { ip, ipDo, scratch } from './support/scratch.js'
import '../dist/index.js'

const { NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_DUMP, NETLINK_ROUTE } = netlinkConstants
const { RTM_NEWLINK, RTM_NEWADDR } = rtnetlinkConstants

async function connect(t: Test, namespace: Namespace): Promise<NetlinkConnection> {
  const connection = await NetlinkConnection.open(namespace.fd, NETLINK_ROUTE)
  t.teardown(() => connection.close())
  return connection
}

const linkRequest = (
  syscall: keyof typeof rtnetlinkConstants,
  what: string,
  flags: number,
  header: object,
  own: LinkAttributes,
): Request => ({
  what,
  syscall,
  definition: linkMessage,
  bytes: linkMessage.encode(rtnetlinkConstants[syscall], flags, header, own),
})

const addBridge = (name: string) =>
  linkRequest('RTM_NEWLINK', `add ${name}`, NLM_F_CREATE | NLM_F_EXCL, {}, { name, info: { kind: 'bridge' } })
const deleteLink = (name: string) => linkRequest('RTM_DELLINK', `delete ${name}`, 0, {}, { name })
const getLink = (name: string, onReply: Request['onReply']): Request => ({
  ...linkRequest('RTM_GETLINK', `get ${name}`, 0, {}, { name }),
  onReply,
})
const dumpLinks = (onReply: Request['onReply']): Request => ({
  ...linkRequest('RTM_GETLINK', 'list the links', NLM_F_DUMP, {}, {}),
  dump: true,
  onReply,
})
const nameIn = (message: Message) => linkMessage.decode(message).attributes.name ?? ''

/** Pairs of veth, made by iproute2: `a0` and `b0`, `a1` and `b1` … */
async function manyLinks(namespace: Namespace, pairs: number): Promise<void> {
  const lines = Array.from({ length: pairs }, (_, i) => `link add a${i} type veth peer name b${i}`)
  await namespace.exec('ip', ['-batch', '-'], { check: true, input: `${lines.join('\n')}\n` })
}

const isAbort = { name: 'AbortError', code: 'ABORT_ERR' }

test('requests of a tick travel together', await needs('namespaces'), async (t) => {
  const connection = await connect(t, await scratch(t))
  const exchanges = watchExchanges(t)
  const work: Promise<unknown>[] = []
  const ask = (i: number) => work.push(connection.request(addBridge(`br${i}`)))
  ask(0)
  ask(1)
  // What a promise's callback asks for belongs to the same tick.
  await Promise.resolve().then(() => ask(2))
  await (async () => ask(3))()
  queueMicrotask(() => queueMicrotask(() => ask(4)))
  await new Promise((resolve) => setImmediate(resolve))
  await Promise.all(work)
  t.equal(exchanges.length, 1)
  const [sent = []] = exchanges
  t.equal(sent.length, 5)
  t.same(
    sent.map(({ type }) => type),
    Array(5).fill(RTM_NEWLINK),
  )
  t.same(
    sent.map(({ sequence }) => sequence),
    [1, 2, 3, 4, 5],
  )
  t.same(
    sent.map(({ flags }) => (flags & NLM_F_ACK) !== 0),
    [false, false, false, false, true],
  )
  const names = sent.map(({ bytes }) => /br\d/.exec(Buffer.from(bytes).toString('latin1'))?.[0])
  t.same(names.slice(0, 2), ['br0', 'br1'])
  t.same([...names].sort(), ['br0', 'br1', 'br2', 'br3', 'br4'])
  await connection.request(deleteLink('br0'))
  t.equal(exchanges.length, 2, 'the next tick has its own')
})

test('many requests travel in chunks of some', await needs('namespaces'), async (t) => {
  const connection = await connect(t, await scratch(t))
  const exchanges = watchExchanges(t)
  const answers: string[] = []
  const names = Array.from({ length: 1000 }, (_, i) => `br${i % 10}`)
  for (const name of new Set(names)) void connection.request(addBridge(name))
  await Promise.all(names.map((name) => connection.request(getLink(name, (message) => answers.push(nameIn(message))))))
  t.same(answers, names, 'the answers come in the order of the calls')
  t.equal(exchanges.flat().length, 1010)
  t.equal(exchanges.length, Math.ceil(1010 / 16), 'chunks are full')
  // Long ones: an attribute that the kernel does not know is passed over.
  const long = { name: 'nope', '#999': new Uint8Array(3000) } as LinkAttributes
  const request = linkRequest('RTM_DELLINK', 'delete nope', 0, {}, long)
  const refused = await Promise.allSettled(Array.from({ length: 50 }, () => connection.request(request)))
  t.ok(refused.every((result) => result.status === 'rejected' && result.reason.code === 'ENODEV'))
  for (const chunk of exchanges) {
    t.equal(chunk.filter(({ flags }) => (flags & NLM_F_ACK) !== 0).length, 1)
    const size = chunk.reduce((sum, { bytes }) => sum + bytes.length, 0)
    t.ok(size <= 32 * 1024, `${chunk.length} requests of ${size} bytes`)
  }
})

test('requests are dealt with in the order of the calls', await needs('namespaces'), async (t) => {
  const connection = await connect(t, await scratch(t))
  const seen: number[] = []
  const look = () =>
    connection.request(getLink('br0', ({ source, start }) => seen.push(source.view.getUint32(start + 8, true) & 1)))
  const results = await Promise.allSettled([
    look(),
    connection.request(addBridge('br0')),
    look(),
    connection.request(linkRequest('RTM_NEWLINK', 'up', 0, { flags: 1, change: 1 }, { name: 'br0' })),
    look(),
    connection.request(dumpLinks(undefined)),
    connection.request(deleteLink('br0')),
    look(),
  ])
  t.same(
    results.map(({ status }) => status === 'fulfilled'),
    [false, true, true, true, true, true, true, false],
  )
  t.same(seen, [0, 1])
})

test('a request with both NLM_F_REPLACE and NLM_F_EXCL is no dump', await needs('namespaces'), async (t) => {
  const connection = await connect(t, await scratch(t))
  const flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_REPLACE
  t.equal(NLM_F_EXCL | NLM_F_REPLACE, NLM_F_DUMP)
  const add = linkRequest('RTM_NEWLINK', 'add br0', flags, {}, { name: 'br0', info: { kind: 'bridge' } })
  t.same(await connection.request(add), { interrupted: false }, 'it has an acknowledgement, and not an end of a list')
  await t.rejects(connection.request(add), { code: 'EEXIST' })
})

test('an error is that of its request, and its neighbours succeed', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  const connection = await connect(t, namespace)
  const names = ['br0', 'br1', 'br0', 'br2', 'br1', 'br1', 'br3']
  const results = await Promise.allSettled(names.map((name) => connection.request(addBridge(name))))
  t.same(
    results.map((result) => (result.status === 'rejected' ? result.reason.code : 'made')),
    ['made', 'made', 'EEXIST', 'made', 'EEXIST', 'EEXIST', 'made'],
  )
  const [, , refused] = results
  t.match(refused?.status === 'rejected' && refused.reason, {
    name: 'NetkitError',
    code: 'EEXIST',
    errno: -17,
    syscall: 'RTM_NEWLINK',
    message: 'add br0: file exists (EEXIST, RTM_NEWLINK)',
  })
  t.ok(refused?.status === 'rejected' && refused.reason instanceof NetkitError)
  t.same(
    (await namespace.links.list({ kind: 'bridge' })).map(({ name }) => name),
    ['br0', 'br1', 'br2', 'br3'],
  )
})

test('a thousand failures at once: none is lost', await needs('namespaces'), async (t) => {
  const connection = await connect(t, await scratch(t))
  const names = Array.from({ length: 1000 }, (_, i) => `nope${i}`)
  const deleted = await Promise.allSettled(names.map((name) => connection.request(deleteLink(name))))
  const words = deleted.map((result) => result.status === 'rejected' && result.reason.message)
  t.same(
    words,
    names.map((name) => `delete ${name}: no such device (ENODEV, RTM_DELLINK)`),
  )
  // Refusals with much in them: the kernel's words, and its policy.
  const bad = { name: 'br9', info: { kind: 'bridge', data: { '#6': new Uint8Array(1) } } } as LinkAttributes
  const request = linkRequest('RTM_NEWLINK', 'add br9', NLM_F_CREATE, {}, bad)
  const refused = await Promise.allSettled(names.map(() => connection.request(request)))
  t.ok(refused.every((result) => result.status === 'rejected' && result.reason.code === 'ERANGE'))
})

test('thousands of questions at once: each has its answer', await needs('namespaces'), async (t) => {
  const connection = await connect(t, await scratch(t))
  await connection.request(addBridge('br0'))
  let answers = 0
  const question = getLink('br0', () => answers++)
  await Promise.all(Array.from({ length: 5000 }, () => connection.request(question)))
  t.equal(answers, 5000)
})

test('a dump larger than the receive buffer', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  await manyLinks(namespace, 150)
  const connection = await connect(t, namespace)
  let bytes = 0
  const [first, second, changed]: string[][] = [[], [], []]
  const [outcome] = await Promise.all([
    connection.request(
      dumpLinks((message) => {
        first?.push(nameIn(message))
        bytes += message.end - message.start + 16
      }),
    ),
    connection.request(dumpLinks((message) => second?.push(nameIn(message)))),
    connection.request(addBridge('br0')),
    connection.request(dumpLinks((message) => changed?.push(nameIn(message)))),
  ])
  t.same(outcome, { interrupted: false })
  t.ok(bytes > 256 * 1024, `${bytes} bytes`)
  t.equal(new Set(first).size, 301)
  t.same(second, first)
  const listed: { ifname: string }[] = await ip(namespace, 'link')
  t.same([...(changed ?? [])].sort(), listed.map(({ ifname }) => ifname).sort())
})

test('closing rejects what waits', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  await manyLinks(namespace, 50)
  await leavesNoDescriptor(t, 'closing', async () => {
    const connection = await NetlinkConnection.open(namespace.fd, NETLINK_ROUTE)
    const waiting = Array.from({ length: 600 }, (_, i) => connection.request(deleteLink(`nope${i}`)))
    const outcomes = Promise.allSettled([...waiting, connection.request(dumpLinks(undefined))])
    // Some are with the kernel, some are not sent.
    await new Promise((resolve) => setImmediate(resolve))
    t.notOk(connection.closed)
    const closing = connection.close()
    t.ok(connection.closed)
    t.equal(connection.close(), closing, 'twice is once')
    await closing
    const results = await outcomes
    const aborted = results.filter((result) => result.status === 'rejected' && result.reason instanceof AbortError)
    t.ok(aborted.length > 0, `${aborted.length} aborted`)
    t.match(aborted.at(-1), { reason: { ...isAbort, message: 'list the links: the connection was closed' } })
    await t.rejects(connection.request(deleteLink('x')), { ...isAbort, message: 'delete x: the connection is closed' })
    await connection.close()
  })
})

test(
  'closing before anything is sent, in an answer, and in the middle of a dump',
  await needs('namespaces', 'ip'),
  async (t) => {
    const namespace = await scratch(t)
    await manyLinks(namespace, 150)
    await leavesNoDescriptor(t, 'closing', async () => {
      const early = await NetlinkConnection.open(namespace.fd, NETLINK_ROUTE)
      const exchanges = watchExchanges(t)
      const request = early.request(addBridge('br0'))
      void early.close()
      await t.rejects(request, isAbort)
      t.equal(exchanges.length, 0)
      await t.rejects(namespace.links.get('br0'), { code: 'ENODEV' })

      const inside = await NetlinkConnection.open(namespace.fd, NETLINK_ROUTE)
      let seen = 0
      const dump = inside.request(
        dumpLinks(() => {
          seen++
          void inside.close()
        }),
      )
      const behind = inside.request(addBridge('br1'))
      await t.rejects(dump, isAbort)
      await t.rejects(behind, isAbort)
      t.equal(seen, 1, 'nothing is told after closing')
      await inside.close()
    })
  },
)

test('the kernel points at an attribute, and the error names it', await needs('namespaces'), async (t) => {
  const connection = await connect(t, await scratch(t))
  const make = (kind: string, data: object): Request =>
    linkRequest(
      'RTM_NEWLINK',
      `add a ${kind}`,
      NLM_F_CREATE,
      {},
      { name: 'x0', info: { kind, data: data as Record<string, unknown> } },
    )
  const short = new Uint8Array(1)
  await t.rejects(connection.request(make('bridge', { helloTime: 2000, '#6': short })), {
    attribute: 'IFLA_INFO_DATA.IFLA_BR_PRIORITY',
    kernelMessage: /^[A-Z]/,
    code: 'ERANGE',
    message: /^add a bridge: .* \(ERANGE, RTM_NEWLINK, IFLA_INFO_DATA\.IFLA_BR_PRIORITY\)$/,
  })
  const peer = { header: {}, attributes: { name: 'x1', '#4': short } }
  await t.rejects(connection.request(make('veth', { peer })), {
    name: 'NetkitError',
    attribute: 'VETH_INFO_PEER.IFLA_MTU',
  })
  await t.rejects(connection.request(make('nokind', {})), { code: 'EOPNOTSUPP', message: /^add a nokind: / })
  const badMaster = linkRequest('RTM_NEWLINK', 'set lo', 0, { index: 1 }, { '#10': short } as LinkAttributes)
  await t.rejects(connection.request(badMaster), { name: 'NetkitError', attribute: 'IFLA_MASTER' })
  const bytes = addressMessage.encode(
    RTM_NEWADDR,
    NLM_F_CREATE,
    { family: 2, index: 1, prefixLength: 24 },
    {
      local: '10.0.0.1',
      '#4': short,
    },
  )
  const badBroadcast = { what: 'add an address', syscall: 'RTM_NEWADDR', definition: addressMessage, bytes }
  await t.rejects(connection.request(badBroadcast), { name: 'NetkitError', attribute: 'IFA_BROADCAST' })
})

const SOL_SOCKET = 1
/** SO_RCVBUF and SO_RCVBUFFORCE. */
const receiveBufferOptions = [8, 33]
/** 8 KiB: room for two or three answers. */
const smallBuffer = Uint8Array.of(0, 32, 0, 0)

test('a receive buffer that is small from the start', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  hook(t, 'setSocketOption', (fd, level, option, value) => {
    const size = level === SOL_SOCKET && receiveBufferOptions.includes(option) ? smallBuffer : value
    return real.setSocketOption(fd, level, option, size)
  })
  const connection = await connect(t, namespace)
  await connection.request(addBridge('br0'))
  let answers = 0
  await Promise.all(Array.from({ length: 300 }, () => connection.request(getLink('br0', () => answers++))))
  t.equal(answers, 300, 'chunks are as small as the buffer')
  const listed: string[] = []
  await connection.request(dumpLinks((message) => listed.push(nameIn(message))))
  t.same(listed, ['lo', 'br0'])
})

test(
  'answers that are lost: nobody is told that it went well, and nobody waits for ever',
  await needs('namespaces'),
  async (t) => {
    const namespace = await scratch(t)
    let socket = -1
    hook(t, 'openSocket', async (...args) => {
      socket = await real.openSocket(...args)
      return socket
    })
    const connection = await connect(t, namespace)
    await connection.request(addBridge('br0'))
    for (const option of receiveBufferOptions) real.setSocketOption(socket, SOL_SOCKET, option, smallBuffer)
    let answers = 0
    const questions = Array.from({ length: 1000 }, () => connection.request(getLink('br0', () => answers++)))
    const deletions = Array.from({ length: 1000 }, (_, i) => connection.request(deleteLink(`nope${i}`)))
    const asked = await Promise.allSettled(questions)
    const lost = asked.filter((result) => result.status === 'rejected')
    t.ok(lost.length > 0, `${lost.length} of 1000 questions lost their answer`)
    t.equal(asked.length - lost.length, answers)
    t.ok(lost.every((result) => result.status === 'rejected' && result.reason.code === 'ENOBUFS'))
    t.match(lost[0], { reason: { syscall: 'RTM_GETLINK', message: /^get br0: .*answers were lost/ } })
    const codes = (await Promise.allSettled(deletions)).map(
      (result) => result.status === 'rejected' && result.reason.code,
    )
    t.same(
      codes.filter((code) => code !== 'ENODEV' && code !== 'ENOBUFS'),
      [],
      'none of these can have succeeded',
    )
    await connection.request(getLink('br0', () => answers++))
    await t.rejects(connection.request(deleteLink('nope')), { code: 'ENODEV' }, 'the connection goes on')
  },
)

test('a namespace without a name any more', await needs('names', 'ip'), async (t) => {
  const name = `netkit-test-${process.pid}-connection`
  const { createNamespace } = await import('../dist/namespace/open.js')
  const namespace = await createNamespace(name)
  t.teardown(() => namespace[Symbol.asyncDispose]())
  const connection = await connect(t, namespace)
  await connection.request(addBridge('br0'))
  await ipDo(namespace, 'netns', 'delete', name)
  await connection.request(deleteLink('br0'))
  t.pass('a connection keeps its namespace')
})

test('a connection that does nothing does not keep the process', await needs('namespaces'), async (t) => {
  const { stdout, exitCode } = await runProgram(`
    import { NetlinkConnection } from './dist/netlink/connection.js'
    import { linkMessage } from './dist/rtnetlink/link-attributes.js'
    const connection = await NetlinkConnection.open(-1, 0)
    let answers = 0
    const bytes = linkMessage.encode(18, 0, { index: 1 }, {})
    await connection.request({ bytes, what: 'get', syscall: 'RTM_GETLINK', definition: linkMessage, onReply: () => answers++ })
    process.on('exit', () => console.log('answers:', answers))`)
  t.same({ stdout, exitCode }, { stdout: 'answers: 1\n', exitCode: 0 })
})

test('10,000 connections leave nothing', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  const round = async (times: number) => {
    for (let i = 0; i < times; i += 50) {
      await Promise.all(
        Array.from({ length: 50 }, async (_, j) => {
          const connection = await NetlinkConnection.open(j % 10 === 0 ? namespace.fd : -1, NETLINK_ROUTE)
          if (j % 5 !== 0) return connection.close()
          const request = connection.request(deleteLink('nope')).catch((error: NetkitError) => error.code)
          // Half of them are closed before they are answered.
          if (j % 2 === 0) await request
          await connection.close()
          t.ok(['ENODEV', 'ABORT_ERR'].includes((await request) as string))
        }),
      )
    }
  }
  await round(100)
  const [fds, tasks, owned] = [descriptors(), threads(), real.ownedDescriptors()]
  await round(10_000)
  t.ok(await eventually(() => threads() <= tasks), `${threads()} threads, ${tasks} before`)
  t.equal(descriptors(), fds)
  t.equal(real.ownedDescriptors(), owned)
})
