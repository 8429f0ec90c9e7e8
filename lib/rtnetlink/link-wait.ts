/** Waiting until a link is as asked, by the kernel's events. */
import { inspect } from 'node:util'
import { AbortError, atCaller, lateError, namedError, throwIfAborted } from '../errors.js'
import { descriptorOf, labelOf, onClose } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { checkNotThenable, checkSynchronous } from '../namespace/run.js'
import { copyOf } from '../netlink/bytes.js'
import type { Message } from '../netlink/message.js'
import { NetlinkSubscription } from '../netlink/subscription.js'
import { checkBoolean, checkInteger, checkOneOf, checkOptions, checkSignal, typeError } from '../validate.js'
import { AF_UNSPEC } from '../values/ip.js'
import { operationalStates, rtnetlinkConstants } from './constants.js'
import { linkMessage } from './link-attributes.js'

export type OperationalState = keyof typeof operationalStates

/** What `Link#waitFor` waits for: each given property has this value. */
export interface LinkCondition {
  up?: boolean
  /** The interface is up and its lower layer works (IFF_RUNNING): frames can pass. */
  running?: boolean
  operationalState?: OperationalState
}

export interface WaitOptions {
  /** Milliseconds; ETIMEDOUT after them. Default: 5,000. Infinity waits for ever. */
  timeout?: number
  signal?: AbortSignal
}

/** The link that is waited for, as its Link shows it here. */
export interface Waiting {
  readonly namespace: Namespace
  readonly index: number
  readonly name: string
  /** Takes a new snapshot from the kernel. */
  fetch(): Promise<void>
  /** Takes an event's payload as the snapshot. */
  take(payload: Uint8Array): void
  /** Whether the snapshot is as asked. May throw what the caller's function throws. */
  holds(): boolean
}

/** Waits as `Link#waitFor` says. */
export async function waitForLink(link: Waiting, condition: object, options: WaitOptions): Promise<void> {
  checkOptions(options, 'options', ['timeout', 'signal'])
  const { timeout = 5000, signal } = options
  checkSignal(signal, 'options.signal')
  if (timeout !== Number.POSITIVE_INFINITY) checkInteger(timeout, 'options.timeout', 0, 0x7fff_ffff)
  const { namespace, name } = link
  const what = `waiting for ${name}`
  throwIfAborted(signal, what)

  let resolve: () => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<void>((...settle) => {
    ;[resolve, reject] = settle
  })
  const closed = () => reject(new AbortError(`${what} was aborted: ${labelOf(namespace)} was closed`))
  const look = () =>
    link
      .fetch()
      .then(() => link.holds() && resolve())
      .catch((error: unknown) => (namespace.closed ? closed() : reject(error)))
  const onMessage = ({ source, start, end, type }: Message) => {
    const header = linkMessage.header.decode(source, start, end - start)
    // A bridge tells of its ports in messages of its own family: one that leaves it is not deleted.
    if (header.index !== link.index || header.family !== AF_UNSPEC) return
    if (type === rtnetlinkConstants.RTM_DELLINK) {
      reject(namedError('ENODEV', 'RTM_DELLINK', `${what}: it was deleted, or moved to another namespace`))
      return
    }
    link.take(copyOf(source.bytes, start, end))
    try {
      if (link.holds()) resolve()
    } catch (error) {
      reject(error)
    }
  }
  const subscription = await NetlinkSubscription.open(descriptorOf(namespace), 0, [rtnetlinkConstants.RTNLGRP_LINK], {
    onMessage,
    onOverrun: () => void look(),
    onError: reject,
  })
  const late = () => reject(lateError('RTM_GETLINK', `${what} to be ${wished(condition)}`, timeout))
  const abort = () => reject(new AbortError(`${what} was aborted`, signal?.reason))
  const forget = onClose(namespace, closed)
  signal?.addEventListener('abort', abort, { once: true })
  if (signal?.aborted) abort()
  // What happened before the subscription is not told by it. Whatever the timeout, this look counts.
  const first = look()
  const timer = Number.isFinite(timeout) ? setTimeout(() => void first.then(late), timeout) : undefined
  try {
    await promise
  } catch (error) {
    throw atCaller(error)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
    forget()
    await subscription.close()
  }
}

const always = 'because a promise, whatever comes of it, would be taken for a yes'

/** A function whose answer is a yes or no. Throws a TypeError for an async one, at once or when it gives a promise. */
export function synchronousCheck<L>(holds: (subject: L) => boolean, name: string): (subject: L) => boolean {
  checkSynchronous(holds, name, always)
  return (subject) => {
    const answer = holds(subject)
    checkNotThenable(answer, name, always)
    return answer
  }
}

/** A condition as a function of the link. Throws ERR_INVALID_ARG_… when it is none. */
export function conditionCheck<L extends Record<keyof LinkCondition, unknown>>(
  condition: LinkCondition | ((link: L) => boolean),
): (link: L) => boolean {
  if (typeof condition === 'function') return synchronousCheck(condition, 'condition')
  if (typeof condition !== 'object' || condition === null)
    throw typeError('condition', 'an object or a function', condition)
  checkOptions(condition, 'condition', ['up', 'running', 'operationalState'])
  for (const key of ['up', 'running'] as const) {
    if (condition[key] !== undefined) checkBoolean(condition[key], `condition.${key}`)
  }
  if (condition.operationalState !== undefined) {
    checkOneOf(
      condition.operationalState,
      'condition.operationalState',
      Object.keys(operationalStates) as OperationalState[],
    )
  }
  const wishes = Object.entries(condition).filter(([, value]) => value !== undefined) as [
    keyof LinkCondition,
    unknown,
  ][]
  return (link) => wishes.every(([key, value]) => link[key] === value)
}

function wished(condition: object): string {
  return typeof condition === 'function' ? 'as asked' : inspect(condition, { breakLength: Number.POSITIVE_INFINITY })
}
