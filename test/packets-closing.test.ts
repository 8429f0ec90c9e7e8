/** Every kind of end closed at every point: nothing hangs, nothing is left, and what is said is what the documentation says. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import type { FrameBatch } from '../dist/packets/batch.js'
import type { PacketEnd } from '../dist/packets/end.js'
import { startPump } from '../dist/pump/pump.js'
import { createSwitch } from '../dist/pump/switch.js'
import { openTap } from '../dist/tuntap/tap.js'
import { descriptors, eventually, threads } from './support/counting.js'
import { endKinds } from './support/end-kinds.js'
import { needs } from './support/needs.js'
import { numberedFrame } from './support/packets.js'
import { scratch } from './support/scratch.js'

const able = await needs('namespaces', 'tun')

/** Sends a frame now and then, until the end that gets them has done something with it. */
async function sendUntil(station: PacketEnd, done: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !done(); i++) {
    if (!station.destroyed) {
      try {
        station.writeBatch([numberedFrame(i)])
      } catch {
        // The other side of a pair or of a connection is closed.
      }
    }
    await turn()
  }
}

/** Ways to end, each with what is under way at that moment. */
const points: Record<string, (plug: PacketEnd, station: PacketEnd) => Promise<string | undefined>> = {
  async 'before anything'(plug) {
    await Promise.all([plug.close(), plug.close()])
    return undefined
  },
  async 'while a batch is awaited'(plug) {
    const next = plug.batches().next()
    await plug.close()
    return (await next).done === true ? undefined : 'the iteration goes on'
  },
  async 'in the loop over batches'(plug, station) {
    let rounds = 0
    const loop = (async () => {
      for await (const _ of plug.batches()) {
        rounds++
        await plug.close()
      }
    })()
    await sendUntil(station, () => rounds > 0)
    await loop
    return rounds === 1 ? undefined : `${rounds} rounds`
  },
  async 'in a callback'(plug, station) {
    let calls = 0
    let closing: Promise<void> | undefined
    plug.onBatch(() => {
      calls++
      closing = plug.close()
    })
    await sendUntil(station, () => calls > 0)
    await closing
    await turn()
    return calls === 1 ? undefined : `${calls} calls`
  },
  async 'in a data listener'(plug, station) {
    let frames = 0
    plug.on('data', () => {
      frames++
      void plug.close()
    })
    await sendUntil(station, () => frames > 0)
    if (!plug.closed) await once(plug, 'close')
    return frames === 1 ? undefined : `${frames} frames`
  },
  async 'with writes under way'(plug) {
    for (let i = 0; i < 1000; i++) plug.write(numberedFrame(i))
    await plug.close()
    return undefined
  },
  async 'after a batch, whose frames are asked for'(plug, station) {
    let batch: FrameBatch | undefined
    const batches = plug.batches()
    const next = batches.next().then((result) => {
      batch = result.value
    })
    await sendUntil(station, () => batch !== undefined)
    await next
    await plug.close()
    try {
      plug.writeBatch([numberedFrame(1)])
      return 'a closed end takes frames'
    } catch (error) {
      if ((error as { code?: string }).code !== 'EBADF') return `writing: ${error}`
    }
    try {
      plug.pollBatch(0)
      return 'a closed end can be asked'
    } catch (error) {
      return (error as { code?: string }).code === 'EBADF' ? undefined : `asking: ${error}`
    }
  },
  async 'while it is pumped'(plug, station) {
    const { createEndPair } = await import('../dist/sockets/pair.js')
    const [a, b] = createEndPair()
    const pump = startPump(plug, a)
    await sendUntil(station, () => b.pollBatch(0) !== undefined)
    await plug.close()
    const { reason, end } = await pump.done
    await Promise.all([a.close(), b.close()])
    return reason === 'end-closed' && end === 'a' ? undefined : `the pump ended with ${reason} of ${end}`
  },
  async 'while it is switched'(plug, station) {
    const on = createSwitch()
    const port = on.addPort(plug)
    await sendUntil(station, () => port.stats().framesIn > 0)
    await plug.close()
    const { reason } = await port.done
    await on.close()
    return reason === 'end-closed' ? undefined : `the port ended with ${reason}`
  },
  async 'released while it is read'(plug) {
    const next = plug.batches().next()
    const [fd = -1] = await plug.release()
    const { done } = await next
    const { native } = await import('../dist/native.js')
    native.ownDescriptor(fd)
    await native.closeDescriptor(fd)
    return done === true ? undefined : 'the iteration goes on'
  },
}

for (const [kind, make] of Object.entries(endKinds)) {
  test(`${kind}: closed at every point`, able, async (t) => {
    const namespace = await scratch(t)
    namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
    const close = async ({ plug, station }: { plug: PacketEnd; station: PacketEnd }) => {
      await Promise.all([plug.close(), station.close()])
    }
    await close(await make(t, namespace, false))
    const before = { descriptors: descriptors(), threads: threads() }
    for (const [name, end] of Object.entries(points)) {
      const both = await make(t, namespace, false)
      t.equal(await end(both.plug, both.station), undefined, name)
      await close(both)
      // What was not written any more is said to be aborted.
      const { destroyed, errored } = both.plug
      const isQuiet = errored === null || (name === 'with writes under way' && errored.name === 'AbortError')
      t.ok(destroyed && isQuiet, `${name}: without an error`)
      t.ok(await eventually(() => descriptors() <= before.descriptors), `${name}: no descriptor is left`)
    }
    t.ok(await eventually(() => threads() <= before.threads), 'no thread is left')
  })
}

test('a child that holds the descriptor is killed: the tap goes on, and goes when it is closed', able, async (t) => {
  const namespace = await scratch(t)
  namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
  const tap = await openTap({ namespace, name: 'tap0', up: true })
  const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', tap.fds[0] as number] })
  await once(child, 'spawn')
  t.equal(tap.writeBatch([numberedFrame(1)]), 1)
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.equal(tap.writeBatch([numberedFrame(2)]), 1)
  t.match(tap.stats(), { framesWritten: 2, refused: 0 })
  const second = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', tap.fds[0] as number] })
  await once(second, 'spawn')
  await tap.close()
  t.ok(await namespace.links.find('tap0'), 'it stays while a child holds it')
  second.kill('SIGKILL')
  await once(second, 'exit')
  t.ok(await eventually(async () => (await namespace.links.find('tap0')) === undefined), 'and goes with it')
})
