/** `link.limit`: a rate for what leaves a link and one for what comes in, without a word of queueing disciplines. */
import { hasCode, namedError, undoOnFailure } from '../../errors.js'
import { checkOneOf, checkOptions } from '../../validate.js'
import { accompany, unaccompany } from '../companions.js'
import { createLink } from '../create-link.js'
import type { Link } from '../link.js'
import { defineLinkFacet } from '../link-facet.js'
import { allOrFirstError } from '../talk.js'
import { inTurn } from '../turns.js'
import { lacksAction } from './failure.js'
import type { TrafficFilter } from './filter.js'
import './filters.js'
import './qdiscs.js'
import { checkCount, checkRate, checkTime, type Rate } from './units.js'

/** What `link.limit` takes. What is not named stays as it is; null takes a limit off. */
export interface LinkLimits {
  /** The rate of what leaves the link. What is more waits, up to `latency`, and is dropped then. */
  egress?: Rate | null
  /** The rate of what comes in. What is more is dropped, or waits: see `ingressBy`. */
  ingress?: Rate | null
  /** Bytes that may pass at once. Default: what passes in 10 ms (policed: 50 ms), and at least 32 KiB (policed: 128 KiB). */
  burst?: number
  /** The longest that a packet waits, in milliseconds. Default: 50. */
  latency?: number
  /**
   * 'police' drops what is over the rate; 'queue' leads the packets through an ifb link ('nk-limit-' and the link's index, 'nk-lim-' and it in hexadecimal from a million on),
   * where they wait as those that leave do; it goes with the limit and with `link.delete()`. Default: 'police', and 'queue' where the kernel has no police action.
   */
  ingressBy?: 'police' | 'queue'
}

/** One of the limits that a link has. */
export interface Limit {
  /** Bits per second. */
  rate: number
  /** Bytes that may pass at once. */
  burst: number
}

/** What `link.limits()` reads: the limits that `link.limit` has set. */
export interface CurrentLimits {
  egress?: Limit & { latency: number }
  ingress?: Limit & { by: 'police' | 'queue' }
}

/** The queueing disciplines that are ours bear this name. */
const HANDLE = '4e4b:'
/** So that no other filter keeps a packet from it. */
const PREFERENCE = 1
/** "netkit limit", and whether the clsact was made for it. */
const COOKIE = '6e65746b6974206c696d697400'
const COOKIE_WITH_QDISC = '6e65746b6974206c696d697401'

const parent = 'ingress'
/** A name has 15 bytes: large indexes are hexadecimal. */
const queueName = (index: number) => (index < 1e6 ? `nk-limit-${index}` : `nk-lim-${index.toString(16)}`)
/** The index of the link that an ifb of ours serves. */
function indexOfQueue({ name }: Link): number | undefined {
  const [, decimal, hexadecimal] = /^nk-lim(?:it-(\d+)|-([\da-f]+))$/.exec(name) ?? []
  const index = decimal === undefined ? Number.parseInt(hexadecimal ?? '', 16) : Number(decimal)
  return queueName(index) === name ? index : undefined
}

const shaped = (rate: number, mtu: number) => Math.ceil(Math.max(32_768, 2 * (mtu + 32), rate / 800))
const policed = (rate: number) => Math.ceil(Math.max(131_072, rate / 160))

interface Wanted {
  egress?: number | null
  ingress?: number | null
  burst?: number
  latency: number
  by?: 'police' | 'queue'
}

function check(limits: LinkLimits): Wanted {
  checkOptions(limits, 'limits', ['egress', 'ingress', 'burst', 'latency', 'ingressBy'])
  const { egress, ingress, burst, latency = 50, ingressBy } = limits
  const rateOf = (value: Rate | null | undefined, name: string) =>
    value === undefined || value === null ? value : checkRate(value, name)
  const wanted: Wanted = { latency: checkTime(latency, 'limits.latency', 60_000) }
  const [out, into] = [rateOf(egress, 'limits.egress'), rateOf(ingress, 'limits.ingress')]
  if (out !== undefined) wanted.egress = out
  if (into !== undefined) wanted.ingress = into
  if (burst !== undefined) wanted.burst = checkCount(burst, 'limits.burst', 1)
  if (ingressBy !== undefined) {
    checkOneOf(ingressBy, 'limits.ingressBy', ['police', 'queue'])
    wanted.by = ingressBy
  }
  return wanted
}

/** The token bucket at a link's root that is ours. Rejects with EEXIST when somebody else's qdisc is there. */
async function shape(link: Link, rate: number, { burst, latency }: Wanted): Promise<boolean> {
  const root = await link.qdiscs.find()
  if (root !== undefined && root.handle !== '0:' && root.handle !== HANDLE) {
    const what = `cannot limit ${link.name}: it has the qdisc ${root.kind} ${root.handle} at its root`
    throw namedError('EEXIST', 'RTM_NEWQDISC', what)
  }
  const wanted = { kind: 'tbf', handle: HANDLE, rate, burst: burst ?? shaped(rate, link.mtu), latency } as const
  return (await link.qdiscs.ensure(wanted)).changed
}

async function unshape(link: Link): Promise<boolean> {
  const root = await link.qdiscs.find({ parent: 'root', handle: HANDLE })
  if (root === undefined) return false
  await link.qdiscs.remove()
  return true
}

/** The filter of ours, and whatever else is at its preference. */
async function ownFilter(link: Link): Promise<{ own?: TrafficFilter; other?: TrafficFilter }> {
  const known = await link.filters.list({ parent, chain: 0, preference: PREFERENCE })
  const own = known.find(({ actions }) => [COOKIE, COOKIE_WITH_QDISC].includes(actions[0]?.cookie ?? ''))
  const other = known.find((one) => one !== own)
  return { ...(own === undefined ? {} : { own }), ...(other === undefined ? {} : { other }) }
}

/** How a filter of ours works. */
const wayOf = (filter: TrafficFilter) => (filter.actions[0]?.kind === 'police' ? 'police' : 'queue')

/** The ifb link that a filter of ours leads to. */
async function queueOf(link: Link, filter: TrafficFilter): Promise<Link | undefined> {
  const index = (filter.actions[0]?.options as { link?: number } | undefined)?.link
  if (index === undefined) return undefined
  try {
    return await link.namespace.links.get(index)
  } catch (error) {
    if (hasCode(error, 'ENODEV')) return undefined
    throw error
  }
}

async function limitIngress(link: Link, rate: number, wanted: Wanted): Promise<boolean> {
  const { own, other } = await ownFilter(link)
  if (other !== undefined) {
    const what = `cannot limit ${link.name}: it has a ${other.kind} filter of preference ${PREFERENCE} at ingress`
    throw namedError('EEXIST', 'RTM_NEWTFILTER', what)
  }
  if (own !== undefined && wanted.by !== undefined && wayOf(own) !== wanted.by) {
    await unlimitIngress(link)
    return limitIngress(link, rate, wanted)
  }
  if (own !== undefined) return adjust(link, own, rate, wanted)
  await sweep(link)
  const place = await link.qdiscs.find({ parent: 'clsact' })
  if (place === undefined) await link.qdiscs.add({ kind: 'clsact' })
  const cookie = place === undefined ? COOKIE_WITH_QDISC : COOKIE
  return undoOnFailure(
    async () => {
      if (wanted.by === 'queue') return queue(link, rate, wanted, cookie)
      try {
        await police(link, rate, wanted, cookie)
        return true
      } catch (error) {
        if (wanted.by === 'police' || !lacksAction(error)) throw error
        return queue(link, rate, wanted, cookie)
      }
    },
    async () => {
      if (place === undefined) await link.qdiscs.remove({ parent: 'clsact' })
    },
  )
}

/** Another rate for a limit that there is. */
async function adjust(link: Link, own: TrafficFilter, rate: number, wanted: Wanted): Promise<boolean> {
  if (wayOf(own) === 'police') return police(link, rate, wanted, own.actions[0]?.cookie ?? COOKIE)
  const ifb = await queueOf(link, own)
  if (ifb !== undefined) {
    if (ifb.name === queueName(link.index)) accompany(link.namespace, link.index, ifb.name)
    return shape(ifb, rate, wanted)
  }
  await unlimitIngress(link)
  return limitIngress(link, rate, { ...wanted, by: 'queue' })
}

async function police(link: Link, rate: number, { burst }: Wanted, cookie: string): Promise<boolean> {
  // What is within the rate goes on to the other filters.
  const action = { rate, burst: burst ?? policed(rate), exceed: 'drop', notExceed: 'continue', cookie } as const
  const actions = [{ kind: 'police', ...action }] as const
  return (await link.filters.ensure({ kind: 'u32', parent, preference: PREFERENCE, actions })).changed
}

/**
 * Deletes the ifb links that nothing leads to: what is left of this link's index, as no filter of it is ours, and of links that
 * went without netkit's knowing, as with a namespace or another program.
 */
async function sweep(link: Link): Promise<void> {
  const { links } = link.namespace
  const queues = (await links.list({ kind: 'ifb' })).filter((one) => indexOfQueue(one) !== undefined)
  if (queues.length === 0) return
  // Listed afterwards: whoever has made a queue meanwhile has a link.
  const served = new Set((await links.list()).map(({ index }) => index))
  served.delete(link.index)
  await allOrFirstError(queues.filter((one) => !served.has(indexOfQueue(one) as number)).map((one) => one.delete()))
}

async function queue(link: Link, rate: number, wanted: Wanted, cookie: string): Promise<boolean> {
  const ifb = await createLink({ kind: 'ifb', name: queueName(link.index), namespace: link.namespace, up: true })
  return undoOnFailure(
    async () => {
      await shape(ifb, rate, wanted)
      const actions = [{ kind: 'mirred', action: 'redirect', link: ifb, cookie }] as const
      await link.filters.add({ kind: 'u32', parent, preference: PREFERENCE, actions })
      accompany(link.namespace, link.index, ifb.name)
      return true
    },
    () => ifb.delete(),
  )
}

async function unlimitIngress(link: Link): Promise<boolean> {
  const { own } = await ownFilter(link)
  if (own === undefined) {
    await sweep(link)
    return false
  }
  const ifb = wayOf(own) === 'queue' ? await queueOf(link, own) : undefined
  await link.filters.remove({ parent, preference: PREFERENCE, handle: own.handle, kind: own.kind })
  await ifb?.delete()
  unaccompany(link.namespace, link.index)
  await sweep(link)
  if (own.actions[0]?.cookie !== COOKIE_WITH_QDISC) return true
  const left = [...(await link.filters.list({ parent })), ...(await link.filters.list({ parent: 'egress' }))]
  if (left.length === 0) await link.qdiscs.remove({ parent: 'clsact' })
  return true
}

async function setLimits(link: Link, limits: LinkLimits): Promise<{ changed: boolean }> {
  const wanted = check(limits)
  return inTurn(link.namespace, `limit ${link.index}`, () => apply(link, wanted))
}

async function apply(link: Link, wanted: Wanted): Promise<{ changed: boolean }> {
  const { egress, ingress } = wanted
  const before = await readLimits(link)
  let changed = false
  if (egress === null) changed = await unshape(link)
  else if (egress !== undefined) changed = await shape(link, egress, wanted)
  const changesIngress = async () => {
    if (ingress === undefined) return changed
    const did = ingress === null ? await unlimitIngress(link) : await limitIngress(link, ingress, wanted)
    return did || changed
  }
  const restore = async () => {
    if (!changed) return
    if (before.egress === undefined) await unshape(link)
    else await shape(link, before.egress.rate, before.egress)
  }
  return { changed: await undoOnFailure(changesIngress, restore) }
}

async function readLimits(link: Link): Promise<CurrentLimits> {
  const [root, { own }] = await Promise.all([link.qdiscs.find({ parent: 'root', handle: HANDLE }), ownFilter(link)])
  const limits: CurrentLimits = {}
  if (root?.kind === 'tbf') {
    const { rate, burst, latency } = root.options as unknown as Required<CurrentLimits>['egress']
    limits.egress = { rate, burst, latency }
  }
  if (own === undefined) return limits
  const by = wayOf(own)
  const queued = by === 'queue' ? await (await queueOf(link, own))?.qdiscs.find() : own.actions[0]
  if (queued === undefined) return limits
  const { rate, burst } = queued.options as unknown as Limit
  limits.ingress = { rate, burst, by }
  return limits
}

declare module '../link.js' {
  interface Link<K extends string = string> {
    /**
     * Limits the rate of what leaves the link, and of what comes in: `link.limit({ egress: '100mbit', ingress: '50mbit' })`.
     * Resolves to whether anything had to be done. null takes a limit off again, whole. When the one cannot be set, the other is
     * as it was.
     *
     * What leaves is held back by a tbf at the root; what comes in is met by a filter of preference 1 at the ingress of a clsact.
     * @throws ERR_INVALID_ARG_… for wrong limits; NetkitError EEXIST when the link has a qdisc of somebody else's at its root, or
     * a filter at that preference; ENOENT when the kernel lacks what it takes
     */
    readonly limit: (limits: LinkLimits) => Promise<{ changed: boolean }>
    /** The limits that `limit` has set. */
    readonly limits: () => Promise<CurrentLimits>
  }
}

defineLinkFacet('limit', (link) => (limits: LinkLimits) => setLimits(link, limits))
defineLinkFacet('limits', (link) => () => readLimits(link))
