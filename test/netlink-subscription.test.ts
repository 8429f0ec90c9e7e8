/** Events of the kernel: that they come, that lost ones are told of, and that nothing comes after closing. */
import './netlink-hooks.js'
import { execFileSync } from 'node:child_process'
import { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import type { Message } from '../dist/netlink/message.js'
import { NetlinkSubscription, type SubscriptionHandlers } from '../dist/netlink/subscription.js'
import { rtnetlinkConstants } from '../dist/rtnetlink/constants.js'
import { linkMessage } from '../dist/rtnetlink/link-attributes.js'
import { hook, real } from './netlink-hooks.js'
import { descriptors, eventually, leavesNoDescriptor, threads } from './support/counting.js'
import { needs } from './support/needs.js'
import { runProgram } from './support/program.js'
import { ipDo, scratch } from './support/scratch.js'
import '../dist/index.js'

const { RTM_NEWLINK, RTM_DELLINK, RTNLGRP_LINK } = rtnetlinkConstants
/** Of linux/rtnetlink.h. */
const RTNLGRP_IPV4_IFADDR = 5

const nameIn = (message: Message) => linkMessage.decode(message).attributes.name ?? ''

interface Watched {
  subscription: NetlinkSubscription
  /** 'new br0', 'del br0', 'type 20', 'overrun'. */
  log: string[]
  errors: unknown[]
}

async function watch(
  t: Test,
  namespace: Namespace,
  more: Partial<SubscriptionHandlers> = {},
  groups: number[] = [RTNLGRP_LINK],
): Promise<Watched> {
  const log: string[] = []
  const errors: unknown[] = []
  const subscription = await NetlinkSubscription.open(namespace.fd, 0, groups, {
    onMessage(message) {
      if (message.type === RTM_NEWLINK) log.push(`new ${nameIn(message)}`)
      else if (message.type === RTM_DELLINK) log.push(`del ${nameIn(message)}`)
      else log.push(`type ${message.type}`)
    },
    onOverrun: () => log.push('overrun'),
    onError: (error) => errors.push(error),
    ...more,
  })
  t.teardown(() => subscription.close())
  return { subscription, log, errors }
}

/** Each once, in the order of their first occurrence: the kernel may tell of a change several times. */
const once = (log: readonly string[]) => [...new Set(log)]

test('events come in their order', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  const links = await watch(t, namespace)
  const both = await watch(t, namespace, {}, [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR])
  await ipDo(namespace, 'link', 'add', 'br0', 'type', 'bridge')
  await ipDo(namespace, 'address', 'add', '10.0.0.1/24', 'dev', 'br0')
  await ipDo(namespace, 'link', 'add', 'br1', 'type', 'bridge')
  await ipDo(namespace, 'link', 'delete', 'br0')
  t.ok(await eventually(() => both.log.includes('del br0') && links.log.includes('del br0')))
  t.same(once(links.log), ['new br0', 'new br1', 'del br0'])
  t.same(once(both.log), ['new br0', 'type 20', 'new br1', 'type 21', 'del br0'])
  t.same([...links.errors, ...both.errors], [])
})

test('events of another namespace do not come', await needs('namespaces', 'ip'), async (t) => {
  const [here, there] = [await scratch(t), await scratch(t)]
  const { log } = await watch(t, here)
  await ipDo(there, 'link', 'add', 'br0', 'type', 'bridge')
  await ipDo(here, 'link', 'add', 'br1', 'type', 'bridge')
  t.ok(await eventually(() => log.includes('new br1')))
  t.notOk(log.includes('new br0'))
})

test('nothing comes after closing, also in a handler', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  let seen = 0
  let closing: Promise<void> | undefined
  const { subscription } = await watch(t, namespace, {
    onMessage() {
      seen++
      closing = subscription.close()
    },
  })
  const links = Array.from({ length: 20 }, (_, i) => `link add br${i} type bridge\n`).join('')
  await namespace.exec('ip', ['-batch', '-'], { check: true, input: links })
  t.ok(await eventually(() => closing !== undefined))
  t.equal(seen, 1)
  t.ok(subscription.closed)
  t.equal(subscription.close(), closing, 'twice is once')
  await closing
  await ipDo(namespace, 'link', 'add', 'last', 'type', 'bridge')
  t.equal(seen, 1)
})

test('events that were lost are told of, and later ones come', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  const sockets: number[] = []
  hook(t, 'openSocket', async (...args) => {
    const fd = await real.openSocket(...args)
    sockets.push(fd)
    return fd
  })
  const { log, errors } = await watch(t, namespace)
  // SO_RCVBUF and SO_RCVBUFFORCE: the least that the kernel gives.
  for (const option of [8, 33]) real.setSocketOption(sockets[0] ?? -1, 1, option, new Uint8Array(4))
  for (let round = 0; round < 3; round++) {
    log.length = 0
    const lines = Array.from({ length: 100 }, (_, i) => `link set lo alias a${i}\n`).join('')
    // This thread is held up, so that nothing is read meanwhile.
    namespace.run(() => execFileSync('ip', ['-batch', '-'], { input: lines }))
    t.ok(await eventually(() => log.includes('overrun')), `round ${round}`)
    t.equal(log.filter((entry) => entry === 'overrun').length, 1, 'once')
    t.ok(log.length < 100)
    log.length = 0
    await ipDo(namespace, 'link', 'set', 'lo', 'alias', `b${round}`)
    t.ok(await eventually(() => log.includes('new lo')), 'the subscription goes on')
  }
  t.same(errors, [])
})

test('a flood is read in turns', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  const { log, errors } = await watch(t, namespace)
  let turns = 0
  let most = 0
  hook(t, 'receive', (fd, reply) => {
    const received = real.receive(fd, reply)
    turns++
    most = Math.max(most, received)
    return received
  })
  const lines = Array.from({ length: 500 }, (_, i) => `link set lo alias a${i}\n`).join('')
  await namespace.exec('ip', ['-batch', '-'], { check: true, input: lines })
  t.ok(await eventually(() => log.length >= 500))
  t.same(once(log), ['new lo'])
  t.ok(turns >= 5 && most <= 256 * 1024, `${turns} turns, at most ${most} bytes`)
  t.same(errors, [])
})

test('a group that there is not', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  await leavesNoDescriptor(t, 'a failure', async () => {
    const handlers = { onMessage: () => {}, onOverrun: () => {} }
    await t.rejects(NetlinkSubscription.open(namespace.fd, 0, [RTNLGRP_LINK, 0x7fff_ffff], handlers), {
      code: 'EINVAL',
      syscall: 'setsockopt',
      message: /cannot set up a netlink socket \(NETLINK_ROUTE\)/,
    })
    hook(t, 'createPoller', (fd, callback) =>
      Object.assign(Object.create(real.createPoller(fd, callback)), { start: () => -12, close() {} }),
    )
    await t.rejects(NetlinkSubscription.open(namespace.fd, 0, [RTNLGRP_LINK], handlers), {
      code: 'ENOMEM',
      syscall: 'poll',
    })
  })
})

/** What `receive` returns from now on, until nothing is left: then the kernel's own. */
function receives(t: Test, results: (number | Buffer)[]): void {
  hook(t, 'receive', (fd, reply) => {
    const result = results.shift()
    if (result === undefined) return real.receive(fd, reply)
    if (typeof result === 'number') return result
    reply.set(result)
    return result.length
  })
}

test('bytes that are no messages, and events that do not fit', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  const { log, errors } = await watch(t, namespace)
  for (const loss of [Buffer.from('ffffffff00000000', 'hex'), -90, -105]) {
    log.length = 0
    receives(t, [loss])
    await ipDo(namespace, 'link', 'set', 'lo', 'alias', 'one')
    t.ok(await eventually(() => log.includes('overrun')), 'what cannot be read is lost')
    log.length = 0
    await ipDo(namespace, 'link', 'set', 'lo', 'alias', 'two')
    t.ok(await eventually(() => log.includes('new lo')), 'the subscription goes on')
  }
  t.same(errors, [])
})

test('losses are told of when the kernel has stopped losing', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  let socket = -1
  hook(t, 'openSocket', async (...args) => {
    socket = await real.openSocket(...args)
    return socket
  })
  let alias = ''
  let told = 0
  const { log, errors } = await watch(t, namespace, {
    onOverrun() {
      told++
      // A change right now: it must not be lost too.
      alias = `told${told}`
      namespace.run(() => execFileSync('ip', ['link', 'set', 'lo', 'alias', alias]))
    },
    onMessage: (message) => log.push(linkMessage.decode(message).attributes.alias ?? ''),
  })
  for (const option of [8, 33]) real.setSocketOption(socket, 1, option, Buffer.from([0, 64, 0, 0]))
  const lines = Array.from({ length: 200 }, (_, i) => `link set lo alias a${i}\n`).join('')
  namespace.run(() => execFileSync('ip', ['-batch', '-'], { input: lines }))
  t.ok(await eventually(() => log.includes('told1')), 'what happens from then on is told')
  t.equal(told, 1)
  t.same(once(log), ['told1'], 'and nothing of what was before')
  t.same(errors, [])
})

test('losing goes on for turns, and is told of once', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  const { log, errors } = await watch(t, namespace)
  let turns = 0
  const results: (number | Buffer)[] = Array.from({ length: 200 }, (_, i) => (i % 9 === 0 ? -105 : Buffer.alloc(64)))
  hook(t, 'receive', (fd, reply) => {
    const result = results.shift()
    if (result === undefined) return real.receive(fd, reply)
    if (results.length % 10 === 0) setImmediate(() => turns++)
    return typeof result === 'number' ? result : result.length
  })
  await ipDo(namespace, 'link', 'set', 'lo', 'alias', 'one')
  t.ok(await eventually(() => log.includes('overrun')))
  t.equal(results.length, 0)
  t.ok(turns > 5, 'the event loop goes on meanwhile')
  t.same([log, errors], [['overrun'], []])
})

test('an error of the socket ends the subscription', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  for (const results of [[-5], [-105, Buffer.alloc(64), -5]]) {
    let calls = 0
    const closed: boolean[] = []
    const { log, errors, subscription } = await watch(t, namespace, {
      onError: (error) => {
        closed.push(subscription.closed)
        errors.push(error)
      },
    })
    receives(t, results)
    await ipDo(namespace, 'link', 'set', 'lo', 'alias', 'one')
    t.ok(await eventually(() => errors.length > 0))
    await ipDo(namespace, 'link', 'set', 'lo', 'alias', 'two')
    hook(t, 'receive', () => ++calls)
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.match(errors, [{ code: 'EIO', syscall: 'recvmsg', message: /^cannot read netlink events: / }])
    t.same([log, closed, calls], [[], [true], 0], 'nothing comes after it')
  }
})

test('a poller that cannot be started again', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  let fire: (status: number, events: number) => void = () => {}
  let starts = 0
  const restore = hook(t, 'createPoller', (fd, callback) => {
    fire = callback
    const poller = real.createPoller(fd, callback)
    return Object.assign(Object.create(poller), {
      start: () => (++starts === 1 ? 0 : -12),
      close: () => poller.close(),
    })
  })
  const { log, errors, subscription } = await watch(t, namespace)
  restore()
  fire(0, 1)
  t.same(errors, [])
  fire(-9, 0)
  t.match(errors, [{ code: 'ENOMEM', syscall: 'poll' }])
  t.same([log, subscription.closed], [[], true])
})

test('a namespace without a name any more', await needs('names', 'ip'), async (t) => {
  const { createNamespace } = await import('../dist/namespace/open.js')
  const namespace = await createNamespace(`netkit-test-${process.pid}-watched`)
  t.teardown(() => namespace[Symbol.asyncDispose]())
  const { log, errors } = await watch(t, namespace)
  await ipDo(namespace, 'netns', 'delete', namespace.name ?? '')
  await ipDo(namespace, 'link', 'add', 'br0', 'type', 'bridge')
  t.ok(await eventually(() => log.includes('new br0')), 'the socket keeps the namespace')
  await namespace.close()
  t.same(errors, [])
})

test('an open subscription keeps the process, a closed one does not', await needs('namespaces'), async (t) => {
  const program = (close: string) => `
    import { NetlinkSubscription } from './dist/netlink/subscription.js'
    const subscription = await NetlinkSubscription.open(-1, 0, [1], { onMessage() {}, onOverrun() {} })
    let kept = false
    setTimeout(() => { kept = true; subscription.close() }, 100).unref()
    ${close}
    process.on('exit', () => console.log(kept))`
  t.match(await runProgram(program('')), { stdout: 'true\n', exitCode: 0 })
  t.match(await runProgram(program('subscription.close()')), { stdout: 'false\n', exitCode: 0 })
})

test('10,000 subscriptions leave nothing', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  const handlers = { onMessage: () => {}, onOverrun: () => {} }
  const round = async (times: number) => {
    for (let i = 0; i < times; i += 50) {
      await Promise.all(
        Array.from({ length: 50 }, async (_, j) => {
          const subscription = await NetlinkSubscription.open(
            j % 10 === 0 ? namespace.fd : -1,
            0,
            [RTNLGRP_LINK],
            handlers,
          )
          await subscription.close()
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
