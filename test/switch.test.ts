/** The native switch: learning, ageing, VLANs, isolation, limits, and ends that come and go. */
import { once } from 'node:events'
import { type Test, test } from 'tap'
import { createOffloadFrame, type OffloadFrame } from '../dist/packets/offload-header.js'
import { createSwitch, type Switch, type SwitchOptions } from '../dist/pump/switch.js'
import type { SwitchPort, SwitchPortOptions } from '../dist/pump/switch-port.js'
import { openDatagramBatch } from '../dist/sockets/datagram-batch.js'
import { createEndPair, type PairEnd } from '../dist/sockets/pair.js'
import { openTap, type Tap } from '../dist/tuntap/tap.js'
import { openTun } from '../dist/tuntap/tun.js'
import { eventually, leavesNoDescriptor, threads } from './support/counting.js'
import { needs } from './support/needs.js'
import { askProgram, runProgram } from './support/program.js'
import { ipDo, scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun', 'ip', 'ping')

/**
 * What is plugged into a port: sends frames, and collects what comes out. The switch's thread knows it once it has answered, as to
 * `on.addresses()`: what is sent sooner may pass it by.
 */
interface Station {
  port: SwitchPort
  end: PairEnd
  received: Buffer[]
  send(frame: Buffer): void
}

function station(t: Test, on: Switch, options: SwitchPortOptions = {}, offload = false): Station {
  const [end, plug] = createEndPair({ offload })
  const received: Buffer[] = []
  end.onBatch((batch) => {
    for (let i = 0; i < batch.length; i++) received.push(batch.copy(i))
  })
  t.teardown(() => Promise.all([end.close(), plug.close()]))
  return { port: on.addPort(plug, options), end, received, send: (frame) => void end.writeBatch([frame]) }
}

function start(t: Test, options: SwitchOptions = {}): Switch {
  const made = createSwitch(options)
  t.teardown(() => made.close())
  return made
}

const BROADCAST = 'ff:ff:ff:ff:ff:ff'
const mac = (n: number) => `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`
const octets = (text: string) => Buffer.from(text.replaceAll(':', ''), 'hex')

/** A frame with a number in it, and a VLAN tag where one is given. */
function frame(to: string, from: string, number = 0, tag?: number, length = 60): Buffer {
  const head = [octets(to), octets(from)]
  if (tag !== undefined) head.push(Buffer.from([0x81, 0, tag >> 8, tag & 255]))
  head.push(Buffer.from([0x88, 0xb5, number >> 8, number & 255]))
  return Buffer.concat(head, length)
}

/** The numbers in the frames that a station has received since the last look, and their tags. */
function taken(one: Station): string[] {
  return one.received.splice(0).map((got) => {
    const tagged = got.readUInt16BE(12) === 0x8100
    const number = got.readUInt16BE(tagged ? 18 : 14)
    return tagged ? `${number}@${got.readUInt16BE(14)}` : String(number)
  })
}

/** Until the switch has taken all frames that were sent so far, and the stations have what it sent on. */
async function settled(stations: Station[], on: Switch): Promise<void> {
  const sent = () => stations.reduce((sum, { end }) => sum + end.stats().framesWritten, 0)
  const came = () => on.ports.reduce((sum, port) => sum + port.stats().framesIn, 0)
  if (!(await eventually(() => came() === sent()))) throw new Error(`${came()} frames of ${sent()} came in`)
  // Asked in its thread, which answers when the frames that it has read are forwarded.
  await on.addresses()
  const out = () => on.ports.reduce((sum, port) => sum + port.stats().framesOut, 0)
  const got = () => stations.reduce((sum, { end }) => sum + end.stats().framesRead, 0)
  if (!(await eventually(() => out() === got()))) throw new Error(`${got()} frames of ${out()} went out`)
}

test('it floods what it does not know, and sends what it knows to one port', async (t) => {
  const on = start(t)
  const all = [station(t, on), station(t, on), station(t, on)]
  await on.addresses()
  const [a, b, c] = all as [Station, Station, Station]
  a.send(frame(mac(2), mac(1), 1))
  await settled(all, on)
  t.same([taken(a), taken(b), taken(c)], [[], ['1'], ['1']], 'to all but its own')
  b.send(frame(mac(1), mac(2), 2))
  await settled(all, on)
  t.same([taken(a), taken(b), taken(c)], [['2'], [], []])
  a.send(frame(mac(2), mac(1), 3))
  c.send(frame(BROADCAST, mac(3), 4))
  await settled(all, on)
  t.same([taken(a), taken(b).sort(), taken(c)], [['4'], ['3', '4'], []])
  t.same(
    (await on.addresses()).map(({ mac, port, vlan, fixed }) => [mac, port.number, vlan, fixed]),
    [1, 2, 3].map((n) => [mac(n), n - 1, 0, false]),
  )
  t.match(a.port.stats(), { framesIn: 2, bytesIn: 120, framesOut: 2, bytesOut: 120, flooded: 1, addresses: 1 })
  b.send(frame(mac(2), mac(4), 5))
  b.send(frame(mac(9), mac(1), 6))
  await settled(all, on)
  t.match(b.port.stats(), { filtered: 1, moves: 1 }, 'back to its own port; an address that moves')
  c.send(frame(mac(1), mac(3), 7))
  await settled(all, on)
  t.same(taken(b), ['7'], 'it is found where it was last')
})

test('a frame that is sent after addPort() goes to the new port', async (t) => {
  const on = start(t)
  const first = station(t, on)
  const all = [first]
  for (let i = 1; i <= 30; i++) {
    all.push(station(t, on))
    first.send(frame(BROADCAST, mac(1), i))
  }
  await settled(all, on)
  for (const [i, one] of all.slice(1).entries()) {
    // What was sent just before may reach it, too.
    const numbers = taken(one).map(Number)
    t.same(
      numbers.filter((number) => number > i),
      Array.from({ length: 30 - i }, (_, n) => n + i + 1),
    )
  }
})

test('no frame that no bridge forwards', async (t) => {
  const on = start(t)
  const all = [station(t, on), station(t, on)]
  await on.addresses()
  const [a, b] = all as [Station, Station]
  a.send(frame('01:80:c2:00:00:00', mac(1), 1))
  a.send(frame('01:80:c2:00:00:0e', mac(1), 2))
  a.send(frame('01:80:c2:00:00:10', mac(1), 3))
  a.send(frame(mac(2), '01:00:00:00:00:01', 4))
  a.send(frame(mac(2), '00:00:00:00:00:00', 5))
  a.send(frame(mac(2), mac(1), 6, undefined, 14))
  a.send(Buffer.alloc(13, 2))
  await settled(all, on)
  t.same(b.received.length, 2)
  t.match(a.port.stats(), { framesIn: 7, filtered: 2, invalid: 3, flooded: 2 })
  t.match(on.stats(), [
    { number: 0, framesIn: 7 },
    { number: 1, framesOut: 2 },
  ])
})

test('addresses age, are put there for good, and are forgotten', async (t) => {
  const on = start(t, { ageing: 50 })
  const all = [station(t, on), station(t, on), station(t, on)]
  await on.addresses()
  const [a, b, c] = all as [Station, Station, Station]
  a.send(frame(BROADCAST, mac(1), 0))
  await settled(all, on)
  t.ok(await eventually(async () => (await on.addresses()).length === 0), 'an address that is not heard of goes')
  t.equal(a.port.stats().addresses, 0)

  await b.port.addAddress(mac(7))
  t.match(await on.addresses(), [{ mac: mac(7), fixed: true, port: { number: 1 } }])
  all.forEach(taken)
  c.send(frame(mac(7), mac(3), 1))
  a.send(frame(mac(3), mac(7), 2))
  await settled(all, on)
  t.same([taken(a), taken(b), taken(c)], [[], ['1'], []], 'frames from it elsewhere are dropped')
  await a.port.addAddress(mac(7))
  t.match(
    (await on.addresses()).filter((one) => one.fixed),
    [{ mac: mac(7), port: { number: 0 } }],
  )
  await on.removeAddress(mac(7))
  await t.rejects(on.removeAddress(mac(7)), { code: 'ENOENT' })
  await t.rejects(a.port.addAddress('02:00:00:00:00'), { code: 'ERR_INVALID_ARG_VALUE' })
  await t.rejects(a.port.addAddress(mac(1), { vlan: 5 }), { code: 'ERR_OUT_OF_RANGE' })

  const lasting = start(t, { ageing: 0 })
  const some = [station(t, lasting), station(t, lasting)]
  await lasting.addresses()
  const [d, e] = some as [Station, Station]
  for (let i = 1; i < 9; i++) (i % 2 ? d : e).send(frame(BROADCAST, mac(i), i))
  await settled(some, lasting)
  t.equal((await lasting.addresses()).length, 8)
  await d.port.flush()
  t.same(
    (await lasting.addresses()).map((one) => one.mac),
    [2, 4, 6, 8].map(mac),
  )
  await lasting.flush()
  t.equal((await lasting.addresses()).length, 0)
})

test('a table with many addresses loses none, and says when it is full', async (t) => {
  const on = start(t, { addresses: 1000, ageing: 0 })
  const all = [station(t, on), station(t, on)]
  await on.addresses()
  const [a, b] = all as [Station, Station]
  const address = (n: number) =>
    `02:00:00:${(n >> 16).toString(16).padStart(2, '0')}:${((n >> 8) & 255).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`
  for (let n = 0; n < 1100; n++) {
    a.send(frame(mac(255), address(n), n))
    if (n % 100 === 99) await settled(all, on)
  }
  t.equal((await on.addresses()).length, 1000)
  t.match(a.port.stats(), { addresses: 1000, notLearnt: 100 })
  for (let n = 0; n < 1000; n += 3) await on.removeAddress(address(n))
  const left = new Set((await on.addresses()).map((one) => one.mac))
  t.equal(left.size, 666)
  t.ok([...Array(1000).keys()].every((n) => left.has(address(n)) === (n % 3 !== 0)))
  taken(b)
  for (let n = 0; n < 1000; n++) {
    b.send(frame(address(n), mac(1), n))
    if (n % 100 === 99) await settled(all, on)
  }
  t.equal(b.port.stats().flooded, 334, 'each that is left is found')
})

test('isolation and limits', async (t) => {
  const on = start(t)
  const all = [
    station(t, on, { isolated: true, addressLimit: 2 }),
    station(t, on, { isolated: true }),
    station(t, on, { broadcastLimit: 10, floodLimit: 20 }),
  ]
  await on.addresses()
  const [a, b, c] = all as [Station, Station, Station]
  a.send(frame(BROADCAST, mac(1), 1))
  b.send(frame(mac(1), mac(2), 2))
  await settled(all, on)
  t.same([taken(a), taken(b), taken(c)], [[], [], ['1']], 'isolated ports see only the others')
  for (let i = 3; i < 7; i++) a.send(frame(mac(33), mac(i), i))
  await settled(all, on)
  t.match(a.port.stats(), { overLimit: 3, addresses: 2 })
  t.same(taken(c), ['3'])
  for (let i = 0; i < 200; i++) c.send(frame(BROADCAST, mac(9), i))
  for (let i = 0; i < 200; i++) c.send(frame(mac(200), mac(9), i))
  await settled(all, on)
  const { overLimit } = c.port.stats()
  t.ok(overLimit > 300 && overLimit < 400, `${overLimit} frames of 400 are too many`)
  for (let i = 0; i < 50; i++) c.send(frame(mac(1), mac(9), i))
  all.forEach(taken)
  await settled(all, on)
  t.equal(c.port.stats().overLimit, overLimit, 'frames to a known address have no limit')
  await c.port.set({ broadcastLimit: undefined as never, floodLimit: undefined as never })
  for (let i = 0; i < 50; i++) c.send(frame(BROADCAST, mac(9), i))
  await settled(all, on)
  t.equal(c.port.stats().overLimit, overLimit, 'it is gone')
  await b.port.set({ learning: false })
  b.send(frame(BROADCAST, mac(77), 0))
  await settled(all, on)
  t.notOk((await on.addresses()).some((one) => one.mac === mac(77)))
})

test('VLANs', async (t) => {
  const on = start(t, { vlans: true })
  const all = [
    station(t, on, { vlan: 10 }),
    station(t, on, { vlan: 10, tagged: [20] }),
    station(t, on, { vlan: 20 }),
    station(t, on, { vlan: false, tagged: 'all' }),
    station(t, on),
  ]
  await on.addresses()
  const [a, b, c, d, e] = all as [Station, Station, Station, Station, Station]
  const look = () => all.map(taken)
  a.send(frame(BROADCAST, mac(1), 1))
  await settled(all, on)
  t.same(look(), [[], ['1'], [], ['1@10'], []])
  d.send(frame(BROADCAST, mac(4), 2, 20))
  await settled(all, on)
  t.same(look(), [[], ['2@20'], ['2'], [], []])
  d.send(frame(BROADCAST, mac(4), 3))
  d.send(frame(BROADCAST, mac(4), 4, 30))
  a.send(frame(BROADCAST, mac(1), 5, 20))
  a.send(frame(BROADCAST, mac(1), 6, 10))
  a.send(frame(BROADCAST, mac(1), 7, 0x6000))
  await settled(all, on)
  t.same(look(), [[], ['6', '7'], [], ['6@10', `7@${0x600a}`], []], 'no VLAN; not this port’s; its own; a priority')
  t.equal(d.port.stats().filtered, 2)
  t.equal(a.port.stats().filtered, 1)
  c.send(frame(mac(1), mac(3), 8))
  await settled(all, on)
  t.same(look(), [[], ['8@20'], [], ['8@20'], []], 'an address is known in its VLAN only')
  b.send(frame(mac(4), mac(2), 9, 20))
  b.send(frame(mac(4), mac(2), 10))
  await settled(all, on)
  t.same(look(), [['10'], [], [], ['9@20', '10@10'], []])
  e.send(frame(BROADCAST, mac(5), 11))
  await settled(all, on)
  t.same(look(), [[], [], [], ['11@1'], []], 'the first VLAN, when nothing is said')
  t.same(
    (await on.addresses()).filter((one) => one.mac === mac(2)).map((one) => one.vlan),
    [10, 20],
  )
  await a.port.set({ vlan: 20 })
  a.send(frame(mac(3), mac(1), 12))
  await settled(all, on)
  t.same(look(), [[], [], ['12'], [], []])
})

test('tags and offload headers', async (t) => {
  const on = start(t, { vlans: true })
  const all = [station(t, on, { vlan: 10 }, true), station(t, on, { vlan: false, tagged: [10] }, true)]
  await on.addresses()
  const [a, b] = all as [Station, Station]
  const made = createOffloadFrame(frame(BROADCAST, mac(1), 1), {
    needsChecksum: true,
    checksumStart: 34,
    checksumOffset: 6,
    headerLength: 42,
  })
  a.send(made)
  await settled(all, on)
  const there = b.received[0] as OffloadFrame
  t.same(taken(b), ['1@10'])
  t.match(there.header.toJSON(), { needsChecksum: true, checksumStart: 38, checksumOffset: 6, headerLength: 46 })
  b.send(there)
  await settled(all, on)
  const back = a.received[0] as OffloadFrame
  t.same(taken(a), ['1'])
  t.match(back.header.toJSON(), { checksumStart: 34, headerLength: 42 }, 'and back')
})

test('what a port refuses, and what comes from an address of another', async (t) => {
  const on = start(t)
  const all = [station(t, on), station(t, on)]
  await on.addresses()
  const [a, b] = all as [Station, Station]
  await b.port.addAddress(mac(2))
  a.send(frame(mac(9), mac(2), 1))
  await settled(all, on)
  t.match(a.port.stats(), { framesIn: 1, filtered: 1 })
  // Nobody is there to whom datagrams could go.
  const lost = on.addPort(await openDatagramBatch())
  t.teardown(() => lost.end.close())
  await on.addresses()
  a.send(frame(BROADCAST, mac(1), 2))
  await settled([a, b], on)
  t.match(lost.stats(), { framesOut: 0, bytesOut: 0, dropped: 1 })
  t.match(b.port.stats(), { framesOut: 1, dropped: 0 })
})

test('many long frames whose tag changes, in one batch', async (t) => {
  const on = start(t, { vlans: true })
  const tagged = station(t, on, { vlan: false, tagged: [10] }, true)
  const plain = station(t, on, { vlan: 10 }, true)
  await on.addresses()
  const [end, plug] = createEndPair({ offload: true })
  t.teardown(() => Promise.all([end.close(), plug.close()]))
  const long = (number: number, length: number, tag?: number) =>
    frame(BROADCAST, mac(1), number, tag, length).fill(number, 20)
  const sent = Array.from({ length: 25 }, (_, i) => (i % 17 === 8 ? long(i, 30_000, 0) : long(i, 60_000)))
  end.writeBatch(sent)
  on.addPort(plug, { vlan: 10 })
  t.ok(await eventually(() => tagged.received.length === sent.length && plain.received.length === sent.length))
  for (const { received } of [tagged, plain]) {
    t.same(
      received.map((got) => [got[30], got.at(-1)]),
      sent.map((_, i) => [i, i]),
    )
  }
})

test('options that are wrong', async (t) => {
  t.throws(() => createSwitch({ ageing: -1 }), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => createSwitch({ addresses: 0 }), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => createSwitch({ vlan: true } as never), { code: 'ERR_INVALID_ARG_VALUE', message: /vlans/ })
  const on = start(t)
  const [end, rest] = createEndPair()
  for (const [options, code] of [
    [{ vlan: 10 }, 'ERR_INVALID_ARG_VALUE'],
    [{ tagged: [1] }, 'ERR_INVALID_ARG_VALUE'],
    [{ addressLimit: 0 }, 'ERR_OUT_OF_RANGE'],
    [{ isolated: 1 }, 'ERR_INVALID_ARG_TYPE'],
    [{ isolate: true }, 'ERR_INVALID_ARG_VALUE'],
  ] as const) {
    t.throws(() => on.addPort(end, options as never), { code }, JSON.stringify(options))
  }
  t.throws(() => on.addPort({} as never), { code: 'ERR_INVALID_ARG_TYPE' })
  const port = on.addPort(end)
  t.throws(() => on.addPort(end), { code: 'ERR_INVALID_STATE', message: /by a switch/ }, 'one switch an end')
  t.throws(() => end.writeBatch([Buffer.alloc(60)]), { code: 'ERR_INVALID_STATE' })
  await t.rejects(end.batches().next(), { code: 'ERR_INVALID_STATE' })
  await port.remove()
  await port.remove()
  t.same(await port.done, { reason: 'removed' })
  await t.rejects(port.set({ isolated: true }), { code: 'ENODEV' })
  t.equal(end.writeBatch([Buffer.alloc(60)]), 1, 'a removed end is usable again')
  await Promise.all([end.close(), rest.close()])
  t.throws(() => on.addPort(end), { code: 'EBADF' })
})

test('ends come and go', async (t) => {
  const before = threads()
  await leavesNoDescriptor(t, 'a switch', async () => {
    const on = createSwitch()
    const [a, aPlug] = createEndPair()
    const [b, bPlug] = createEndPair()
    const ports = [on.addPort(aPlug), on.addPort(bPlug)]
    await bPlug.close()
    t.same(await ports[1]?.done, { reason: 'end-closed' })
    t.equal(on.ports.length, 1)
    await a.close()
    t.match(await ports[0]?.done, { reason: 'end-gone', error: { code: 'EPIPE' } }, 'the other side of a pair is gone')
    const [c, cPlug] = createEndPair()
    const third = on.addPort(cPlug)
    t.equal(third.number, 0, 'the lowest number')
    await on.close()
    await on.close()
    t.ok(on.closed)
    t.same(await third.done, { reason: 'switch-closed' })
    t.throws(() => on.addPort(cPlug), { code: 'ERR_INVALID_STATE' })
    t.notOk(cPlug.destroyed, 'its ends stay open')
    await Promise.all([b, c, aPlug, cPlug].map((end) => end.close()))

    const abort = new AbortController()
    const aborted = createSwitch({ signal: abort.signal })
    abort.abort()
    await aborted.done
    await createSwitch({ signal: AbortSignal.abort() }).done
  })
  t.ok(await eventually(() => threads() <= before), 'no thread is left')
})

test('a switch keeps the process alive, unless it is told not to; workers end with theirs', async (t) => {
  const source = (more: string) => `
    import { createEndPair, createSwitch } from './dist/index.js'
    const [a, b] = createEndPair()
    const on = createSwitch()
    on.addPort(b)
    ${more}
    console.log('1')
  `
  t.equal(await askProgram(source('on.unref()')), 1)
  const held = await runProgram(source('setTimeout(() => process.exit(7), 100).unref()'))
  t.equal(held.exitCode, 7, 'it is there until the timer, which alone would not keep it')
  const worker = `
    import { Worker } from 'node:worker_threads'
    const source = "const { createEndPair, createSwitch } = require('./dist/index.js'); const [a, b] = createEndPair(); createSwitch().addPort(b); require('node:worker_threads').parentPort.postMessage(1)"
    for (let i = 0; i < 5; i++) {
      const worker = new Worker(source, { eval: true, execArgv: [] })
      await new Promise((resolve) => worker.once('message', resolve))
      await worker.terminate()
    }
    console.log('1')
  `
  t.equal(await askProgram(worker), 1)
})

test('taps with and without offload on one switch', tun, async (t) => {
  const on = start(t)
  const spaces = await Promise.all([scratch(t), scratch(t), scratch(t)])
  const taps: Tap[] = []
  for (const [i, namespace] of spaces.entries()) {
    const tap = await openTap({
      namespace,
      name: 'tap0',
      addresses: [`10.0.1.${i + 1}/24`],
      up: true,
      offload: i < 2,
    })
    t.teardown(() => tap.close())
    taps.push(tap)
    on.addPort(tap, { name: `port${i}` })
  }
  const [red, blue, green] = spaces as [(typeof spaces)[0], (typeof spaces)[0], (typeof spaces)[0]]
  t.equal((await red.exec('ping', ['-c2', '-i0.02', '-W2', '10.0.1.3'])).exitCode, 0)
  const bytes = Buffer.alloc(2_000_000, 'netkit')
  for (const [from, to, host] of [
    [red, blue, '10.0.1.2'],
    [red, green, '10.0.1.3'],
    [green, blue, '10.0.1.2'],
  ] as const) {
    const server = await to.listen({ host, port: 80 }, (socket) => socket.pipe(socket))
    const socket = await from.connect({ host, port: 80 })
    socket.end(bytes)
    const parts: Buffer[] = []
    for await (const part of socket) parts.push(part)
    t.ok(Buffer.concat(parts).equals(bytes), `TCP to ${host} and back`)
    server.close()
    await once(server, 'close')
  }
  t.equal(on.ports[0]?.name, 'port0')
  const port = on.ports[2] as SwitchPort
  await ipDo(green, 'link', 'delete', 'tap0')
  t.match(await port.done, { reason: 'end-gone', error: { code: 'ENODEV', message: /tap0 was deleted/ } })
  t.equal((await red.exec('ping', ['-c1', '-W2', '10.0.1.2'])).exitCode, 0, 'the others go on')
  const other = await openTun({ namespace: green })
  t.throws(() => on.addPort(other), { code: 'ERR_INVALID_ARG_TYPE', message: /IP packets/ })
  await other.close()
})
