/**
 * A flood through everything that forwards: no frame is lost that is not counted, and memory does not grow. Some seconds each;
 * with NETKIT_TEST_LONG=1 ten minutes in all.
 */
import { test } from 'tap'
import { needs } from './support/needs.js'
import { askProgram } from './support/program.js'

const tun = await needs('namespaces', 'tun')
const long = process.env.NETKIT_TEST_LONG === '1'
const seconds = long ? 150 : 3

const ways: Record<string, string> = {
  'JavaScript, in batches': 'a.onBatch((batch) => { b.writeBatch(batch) })',
  'JavaScript, as a stream': 'a.pipe(b)',
  'a pump': "startPump(a, b, { direction: 'forward' })",
  'a switch': 'const on = createSwitch(); on.addPort(a); on.addPort(b)',
}

/** A packet socket on the first tap's interface sends as fast as it can, in turns with everything else. */
const source = (way: string) => `
  import { readFileSync } from 'node:fs'
  import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
  import { createNamespace, createSwitch, openPacketSocket, openTap, startPump } from './dist/index.js'
  const namespace = await createNamespace()
  namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
  const a = await openTap({ namespace, name: 'a', up: true })
  const b = await openTap({ namespace, name: 'b', up: true })
  const sender = await openPacketSocket({ namespace, link: a.link, direction: 'inbound' })
  ${way}
  const frame = (length) => Buffer.concat([Buffer.from('02000000000202000000000188b5', 'hex')], length)
  const frames = Array.from({ length: 128 }, (_, i) => frame(i % 4 === 0 ? 1514 : 60))
  const resident = () => {
    gc()
    return Number(/^VmRSS:\\s*(\\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))[1])
  }
  const flood = async (milliseconds) => {
    const end = performance.now() + milliseconds
    while (performance.now() < end) {
      sender.writeBatch(frames)
      await turn()
    }
    // What is under way arrives.
    for (let before = -1; a.stats().framesRead !== before; ) {
      before = a.stats().framesRead
      await delay(50)
    }
  }
  await flood(1000)
  const before = resident()
  await flood(${seconds * 1000})
  const after = resident()
  await b.link.refresh()
  const result = {
    growth: after - before,
    sent: sender.stats(),
    read: a.stats(),
    written: b.stats(),
    arrived: b.link.stats.receivedPackets,
  }
  console.log(JSON.stringify(result))
  process.exit(0)
`

for (const [name, way] of Object.entries(ways)) {
  test(`a flood through ${name}`, { ...tun, timeout: (long ? 300 : 60) * 1000 }, async (t) => {
    const { growth, sent, read, written, arrived } = await askProgram(source(way), { node: ['--expose-gc'] })
    t.ok(sent.framesWritten > 10_000, `${sent.framesWritten} frames sent`)
    t.equal(read.framesRead + read.dropped, sent.framesWritten, 'each is read, or counted as dropped')
    t.equal(
      written.framesWritten + written.refused,
      read.framesRead,
      'each that is read is written, or counted as refused',
    )
    t.equal(arrived, written.framesWritten, 'and arrives')
    // A leak of 64 bytes a frame would be ten times as much.
    t.ok(growth < 20_000, `memory has grown by ${growth} KiB`)
  })
}
