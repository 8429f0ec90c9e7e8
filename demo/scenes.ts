/** What the scenes have in common: namespaces that answer, and links whose counters are looked at before and after. */
import { type Link, type Namespace, NetkitError, type Tap } from 'netkit'
import type { Attempts } from './attempts.js'
import type { Lifetime } from './lifetime.js'
import type { Member, Proof } from './reach.js'
import { detail, skipped } from './terminal.js'

/** What a scene needs. */
export interface Stage {
  lifetime: Lifetime
  proof: Proof
  attempts: Attempts
}

/** What the map draws. */
export interface Place {
  label: string
  namespace: Namespace
}

/** A program at the other side of a tap, which no list of the kernel's has. */
export interface Program {
  label: string
  address: string
  tap: Tap
}

/** What a scene has built. */
export interface Scene {
  title: string
  places: Place[]
  program?: Program
}

export type Host = Place & Member

/** A namespace that will have an address (without the prefix length), can be told to reach others, and answers them. */
export async function host({ lifetime, proof }: Stage, label: string, address: string): Promise<Host> {
  const namespace = await lifetime.namespace(label)
  const stop = await proof.prepare(namespace)
  lifetime.defer(`the echo in ${label}`, stop)
  return {
    label,
    namespace,
    address,
    reach: (target, count, signal) => proof.reach(namespace, target, count, signal),
  }
}

/** Does something, and shows how many frames went over each link meanwhile, by the kernel's own counters. */
export async function countingFrames(links: Link[], work: () => Promise<void>): Promise<void> {
  const before = await counters(links)
  await work()
  const after = await counters(links)
  detail('frames, by the counters of the links:')
  for (const [i, link] of links.entries()) {
    const sent = (after[i]?.sent ?? 0) - (before[i]?.sent ?? 0)
    const received = (after[i]?.received ?? 0) - (before[i]?.received ?? 0)
    detail(`${link.name.padEnd(18)}  ${String(sent).padStart(3)} sent  ${String(received).padStart(3)} received`)
    if (sent === 0 || received === 0) throw new Error(`no frame went over ${link.name}`)
  }
}

async function counters(links: Link[]): Promise<{ sent: number; received: number }[]> {
  await Promise.all(links.map((link) => link.refresh()))
  return links.map(({ stats }) => ({ sent: Number(stats?.sentPackets), received: Number(stats?.receivedPackets) }))
}

/** Without /dev/net/tun there are no taps, and everything else works: says so, and resolves to undefined. */
export async function unlessNoDevice<T>(open: () => Promise<T>): Promise<T | undefined> {
  try {
    return await open()
  } catch (error) {
    if (!(error instanceof NetkitError) || error.syscall !== 'open') throw error
    skipped('this scene', error.message)
    return undefined
  }
}
