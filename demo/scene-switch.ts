/** Scene 4: three namespaces, each with a tap that is a port of a native switch, a thread of this process. */
import { capture, createSwitch, openTap, type Tap } from 'netkit'
import { COUNT } from './reach.js'
import { type Host, host, type Stage, unlessNoDevice } from './scenes.js'
import { detail, heading, milliseconds, step } from './terminal.js'

/** Bytes that go through the switch by TCP. */
const SIZE = 64 * 1024 * 1024
const PORT = 7008

export async function switchScene(stage: Stage): Promise<void> {
  const { lifetime } = stage
  heading('4. Three namespaces on a switch in this process')

  const members = await step('createNamespace: net0, net1 and net2', async () => [
    await host(stage, 'net0', '10.0.4.1'),
    await host(stage, 'net1', '10.0.4.2'),
    await host(stage, 'net2', '10.0.4.3'),
  ])
  const taps = await unlessNoDevice(() =>
    step('openTap: tap0 in each, with an address and offload, up', () => openTaps(stage, members)),
  )
  if (taps === undefined) return
  const lan = await step('createSwitch: a port for each tap', async () => {
    const made = createSwitch()
    lifetime.defer('the switch', () => made.close())
    for (const [i, tap] of taps.entries()) made.addPort(tap, { name: `net${i}` })
    return made
  })

  const [net0, net1, net2] = members as [Host, Host, Host]
  const taken = await capture({ link: (taps[0] as Tap).link, snapshotLength: 96 })
  lifetime.defer('the capture', () => taken.close())
  taken.stream.resume()
  for (const other of [net1, net2]) {
    await step(
      `net0 to ${other.label}`,
      () => net0.reach(other.address, COUNT, lifetime.signal),
      ({ sent, times, reason }) =>
        times.length === 0 ? `${reason}` : `${times.length} of ${sent} replies, ${middle(times)} ms`,
      ({ sent, times }) => times.length === sent,
    )
  }
  await taken.close()
  const { frames, bytes } = taken.stats()
  detail(`capture: ${frames} frames of net0 in ${bytes} bytes of pcapng`)
  if (frames === 0) throw new Error('the capture saw no frame')

  await step(
    `TCP: ${SIZE / 1024 ** 2} MiB from net1 to net2`,
    () => transfer(stage, net1, net2),
    ({ bytes: got, time }) => `${((got * 8) / time / 1e6).toFixed(1)} Gbit/s`,
    ({ bytes: got }) => got === SIZE,
  )
  detail('frames, by the counters of the ports:')
  for (const { name, framesIn, framesOut, flooded, dropped } of lan.stats()) {
    const counts = [framesIn, framesOut, flooded, dropped].map((count) => String(count).padStart(5))
    detail(`${name.padEnd(6)} ${counts[0]} in  ${counts[1]} out  ${counts[2]} flooded  ${counts[3]} dropped`)
    if (framesIn === 0 || framesOut === 0) throw new Error(`no frame went through the port of ${name}`)
  }
  detail(`the switch knows ${(await lan.addresses()).length} addresses`)
}

/** Those that are open when one cannot be are closed with the demo. */
async function openTaps({ lifetime }: Stage, members: Host[]): Promise<Tap[]> {
  const taps: Tap[] = []
  for (const { namespace, address } of members) {
    const tap = await openTap({ name: 'tap0', namespace, addresses: [`${address}/24`], up: true, offload: true })
    lifetime.defer('a tap of the switch', () => tap.close())
    taps.push(tap)
  }
  return taps
}

/** Sends SIZE bytes. Resolves to how many came, and how many milliseconds they took. */
async function transfer({ lifetime }: Stage, from: Host, to: Host): Promise<{ bytes: number; time: number }> {
  const block = Buffer.alloc(1024 * 1024)
  const server = await from.namespace.listen({ port: PORT }, (socket) => {
    socket.on('error', () => {})
    for (let sent = 0; sent < SIZE; sent += block.length) socket.write(block)
    socket.end()
  })
  lifetime.defer('the server behind the switch', () => server.close())
  const start = performance.now()
  const socket = await to.namespace.connect({ host: from.address, port: PORT, signal: lifetime.signal })
  let bytes = 0
  for await (const piece of socket) {
    lifetime.check()
    bytes += piece.length
  }
  return { bytes, time: performance.now() - start }
}

function middle(times: number[]): string {
  return milliseconds([...times].sort((a, b) => a - b)[times.length >> 1] ?? 0)
}
