/** What the scenes have in common: namespaces that answer, and links whose counters are looked at before and after. */
import { detail } from './terminal.mjs'

/**
 * What a scene needs.
 *
 * @typedef {object} Stage
 * @property {import('./lifetime.mjs').Lifetime} lifetime
 * @property {import('./reach.mjs').Proof} proof
 * @property {import('./attempts.mjs').Attempts} attempts
 */

/**
 * What the map draws.
 *
 * @typedef {object} Place
 * @property {string} label
 * @property {import('netkit').Namespace} namespace
 */

/**
 * A program at the other side of a tap, which no list of the kernel's has.
 *
 * @typedef {{ label: string, address: string, tap: import('netkit').Tap }} Program
 */

/** @typedef {{ title: string, places: Place[], program?: Program }} Scene */

/** @typedef {Place & import('./reach.mjs').Member} Host */

/**
 * A namespace that will have an address, can be told to reach others, and answers them.
 *
 * @param {Stage} stage @param {string} label @param {string} address without the prefix length
 * @returns {Promise<Host>}
 */
export async function host({ lifetime, proof }, label, address) {
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

/**
 * Does something, and shows how many frames went over each link meanwhile, by the kernel's own counters.
 *
 * @param {import('netkit').Link[]} links
 * @param {() => Promise<void>} work
 */
export async function countingFrames(links, work) {
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

/** @param {import('netkit').Link[]} links */
async function counters(links) {
  await Promise.all(links.map((link) => link.refresh()))
  return links.map(({ stats }) => ({ sent: Number(stats?.sentPackets), received: Number(stats?.receivedPackets) }))
}
