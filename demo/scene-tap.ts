/** Scene 3: a namespace with a tap, at whose other side is this program. It answers ARP and ping, and pings back. */
import { openTap } from 'netkit'
import type { Member } from './reach.js'
import { host, type Scene, type Stage, unlessNoDevice } from './scenes.js'
import { type Direction, Station } from './station.js'
import { detail, heading, step, unicode } from './terminal.js'

/** How many frames are shown as they pass. */
const SHOWN = 6

/** Undefined when taps are not to be had here. */
export async function tapScene(stage: Stage): Promise<Scene | undefined> {
  const { lifetime, attempts } = stage
  const title = 'A namespace with a tap, and this program at its other side'
  heading(`3. ${title}`)

  const net0 = await step('createNamespace: net0', () => host(stage, 'net0', '10.0.3.1'))
  const options = { name: 'tap0', namespace: net0.namespace, addresses: ['10.0.3.1/24'], up: true }
  const tap = await unlessNoDevice(() => step('openTap: tap0 in net0, with an address, up', () => openTap(options)))
  if (tap === undefined) return undefined
  detail(`tap0 has 10.0.3.1/24; its frames come out of descriptor ${tap.fds[0]} of this process`)

  const station = new Station(tap, { mac: '02:00:00:00:03:02', address: '10.0.3.2' })
  const seen: string[] = []
  station.onFrame = (direction, text) => seen.push(`${arrow(direction)} ${text}`)
  const running = station.run()
  running.catch((error) => lifetime.fail(error))
  lifetime.defer('the program at tap0', async () => {
    await tap.close()
    await running
  })

  const program: Member = {
    label: 'program',
    address: station.address,
    reach: station.ping.bind(station),
  }
  // One after the other, for the list of frames to be read.
  await attempts.within({ title, short: '3 tap', members: [net0, program] }, 1)

  const [from, to] = [arrow('in'), arrow('out')]
  detail(`the first of ${seen.length} frames that the program saw (${from} from net0, ${to} to it):`)
  for (const line of seen.filter((text) => !text.includes('IPv6')).slice(0, SHOWN)) detail(`  ${line}`)
  detail('all of them:')
  for (const [kind, count] of station.counts) {
    detail(`${kind.padEnd(18)}  ${String(count.in).padStart(3)} in    ${String(count.out).padStart(3)} out`)
  }
  const asked = station.count('echo request').in + station.count('UDP').in
  if (asked === 0 || station.count('ARP request').in === 0) throw new Error('the program saw no packet from net0')
  return { title, places: [net0], program: { label: 'program', address: station.address, tap } }
}

function arrow(direction: Direction): string {
  if (unicode) return direction === 'in' ? '←' : '→'
  return direction === 'in' ? '<-' : '->'
}
