/** What goes over netlink while a test looks: events that the kernel tells, and requests that netkit sends. */
import { endianness } from 'node:os'
import type { Test } from 'tap'
import { createBridge, type Namespace } from '../../dist/index.js'
import { descriptorOf } from '../../dist/namespace/internal.js'
import { NetlinkConnection } from '../../dist/netlink/connection.js'
import { NetlinkSubscription } from '../../dist/netlink/subscription.js'
import { rtnetlinkConstants } from '../../dist/rtnetlink/constants.js'
import { eventually } from './counting.js'

const { RTM_DELLINK, RTM_DELNEIGH, RTM_NEWLINK, RTM_NEWNEIGH } = rtnetlinkConstants
/** RTNLGRP_… of linux/rtnetlink.h: links, IPv4 and IPv6 addresses, IPv4 and IPv6 routes. */
const groups = [1, 5, 9, 7, 11]

interface Event {
  type: string
  /** Of a link, or the link of a neighbor. */
  index: number | undefined
}

const names = new Map(
  Object.entries(rtnetlinkConstants)
    .filter(([name]) => /^RTM_(NEW|DEL)/.test(name))
    .map(([name, number]) => [number as number, name]),
)

/**
 * Listens to the changes of links, addresses and routes of a namespace, and of `more` groups (RTNLGRP_…). The result's function
 * gives those since its last call, by the names of their messages. For that it makes and deletes a link of its own: the kernel
 * tells in order, so that nothing that was to come is still under way.
 */
export async function eventsOf(t: Test, namespace: Namespace, more: number[] = []): Promise<() => Promise<string[]>> {
  const events: Event[] = []
  const subscription = await NetlinkSubscription.open(descriptorOf(namespace), 0, [...groups, ...more], {
    onMessage({ type, source, start }) {
      // Bridges tell of their own MAC addresses, as of neighbors.
      const ofLink = [RTM_NEWLINK, RTM_DELLINK, RTM_NEWNEIGH, RTM_DELNEIGH].includes(type as never)
      const index = ofLink ? source.view.getInt32(start + 4, endianness() === 'LE') : undefined
      events.push({ type: names.get(type) ?? String(type), index })
    },
    onOverrun: () => events.push({ type: 'overrun', index: undefined }),
  })
  t.teardown(() => subscription.close())
  return async () => {
    const mark = await createBridge({ name: 'netkit-mark', namespace })
    await mark.delete()
    const isOver = () => events.some(({ type, index }) => type === 'RTM_DELLINK' && index === mark.index)
    if (!(await eventually(isOver))) throw new Error('the kernel told nothing of a link that was made')
    return events
      .splice(0)
      .filter(({ index }) => index !== mark.index)
      .map(({ type }) => type)
  }
}

/** Calls a function, and counts the requests that netkit sends meanwhile. */
export async function requestsDuring(fn: () => unknown): Promise<number> {
  const original = NetlinkConnection.prototype.request
  let count = 0
  NetlinkConnection.prototype.request = function (request) {
    count++
    return original.call(this, request)
  }
  try {
    await fn()
  } finally {
    NetlinkConnection.prototype.request = original
  }
  return count
}

/** Calls a function, and gives what it asks the kernel to change meanwhile, by the names of the messages. */
export async function changesDuring(fn: () => unknown): Promise<string[]> {
  const original = NetlinkConnection.prototype.request
  const changes: string[] = []
  NetlinkConnection.prototype.request = function (request) {
    if (!request.syscall.startsWith('RTM_GET')) changes.push(request.syscall)
    return original.call(this, request)
  }
  try {
    await fn()
  } finally {
    NetlinkConnection.prototype.request = original
  }
  return changes
}
