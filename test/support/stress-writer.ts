/**
 * A thread that changes a namespace as fast as it can: many requests in each tick, half of them to be refused. It owns what it
 * changes, so that it can tell the outcome of each request beforehand. stress.test.ts starts several.
 */
import { subscribe } from 'node:diagnostics_channel'
import { parentPort, workerData } from 'node:worker_threads'
import {
  createBridge,
  type Link,
  type NetkitError,
  openNamespace,
  type TracedEnd,
  type TracedRequest,
} from '../../dist/index.js'

export interface WriterTask {
  /** Which of the writers this is: its addresses, routes and links have the number in them. */
  number: number
  /** The process and descriptor that hold the namespace open. */
  path: string
  milliseconds: number
}

/** What a writer says at its end. */
export interface WriterReport {
  asked: number
  settled: number
  /** What came out other than it had to, in words. */
  wrong: string[]
  /** Requests as netlink sees them, and how many of them ended. */
  sent: number
  ended: number
  /** What has to be there now. */
  addresses: string[]
  routes: string[]
  links: string[]
}

export const tableOf = (number: number) => 1000 + number

/** Addresses and routes of a writer, and how many changes of them it asks for in one tick. */
const KEYS = 40
const CHANGES = 60
const LINKS = 4

/** The same numbers in each run: a linear congruential generator (Numerical Recipes' constants). */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

async function write({ number, path, milliseconds }: WriterTask): Promise<WriterReport> {
  const report: WriterReport = {
    asked: 0,
    settled: 0,
    wrong: [],
    sent: 0,
    ended: 0,
    addresses: [],
    routes: [],
    links: [],
  }
  const wrong = (words: string) => report.wrong.length < 20 && report.wrong.push(words)
  const underWay = new Set<number>()
  subscribe('netkit:netlink:request', (message) => {
    const { id } = message as TracedRequest
    report.sent++
    if (underWay.has(id)) wrong(`request ${id} was sent twice`)
    underWay.add(id)
  })
  subscribe('netkit:netlink:end', (message) => {
    const { request, replies, error } = message as TracedEnd
    report.ended++
    if (!underWay.delete(request.id)) wrong(`request ${request.id} ended twice`)
    const expected = request.name.startsWith('RTM_GET') && error === undefined ? 1 : 0
    if (replies !== expected) wrong(`${request.what}: ${replies} replies`)
  })

  await using namespace = await openNamespace({ path })
  const base = await createBridge({ name: `w${number}`, namespace })
  const addresses = new Set<string>()
  const routes = new Set<string>()
  const links = new Map<string, Link>()
  const pick = random(number)

  /** Follows one request to its end, which has to be that code, or none. */
  async function expect<T>(what: string, code: string | undefined, promise: Promise<T>): Promise<T | undefined> {
    report.asked++
    try {
      const value = await promise
      if (code !== undefined) wrong(`${what} did not fail with ${code}`)
      return value
    } catch (error) {
      if ((error as NetkitError).code !== code) wrong(`${what}: ${error}`)
      return undefined
    } finally {
      report.settled++
    }
  }

  /** One change of a set whose every member is there or not, in the kernel as here: requests of one tick keep their order. */
  function change(set: Set<string>, key: string, add: () => Promise<void>, remove: () => Promise<unknown>) {
    const isThere = set.has(key)
    if (pick(2) === 0) {
      set.add(key)
      return expect(`add ${key}`, isThere ? 'EEXIST' : undefined, add())
    }
    set.delete(key)
    return expect(`remove ${key}`, isThere ? undefined : 'ENOENT', remove())
  }

  function changeOne(): Promise<unknown> {
    const key = pick(KEYS)
    if (pick(2) === 0) {
      const options = { link: base.index, address: `10.${number}.0.${key}/32` }
      const add = () => namespace.addresses.add(options)
      return change(addresses, options.address, add, () => namespace.addresses.remove(options))
    }
    const route = { to: `10.${100 + number}.${key}.0/24`, type: 'blackhole', table: tableOf(number) } as const
    const add = () => namespace.routes.add(route)
    return change(routes, route.to, add, () => namespace.routes.remove(route))
  }

  async function changeLink(): Promise<void> {
    const name = `w${number}-${pick(LINKS)}`
    const known = links.get(name)
    if (known !== undefined && pick(2) === 0) {
      links.delete(name)
      await expect(`delete ${name}`, undefined, known.delete())
      return
    }
    const made = await expect(`create ${name}`, known && 'EEXIST', createBridge({ name, namespace }))
    if (made !== undefined) links.set(name, made)
  }

  async function read(): Promise<void> {
    const found = await expect('read the link', undefined, namespace.links.get(base.name))
    if (found !== undefined && found.index !== base.index) wrong(`asked for ${base.name}, got ${found.name}`)
  }

  const end = performance.now() + milliseconds
  do {
    await Promise.all([...Array.from({ length: CHANGES }, changeOne), changeLink(), read(), read()])
  } while (performance.now() < end && report.wrong.length === 0)
  if (underWay.size > 0) wrong(`${underWay.size} requests did not end`)
  return { ...report, addresses: [...addresses], routes: [...routes], links: [base.name, ...links.keys()] }
}

parentPort?.postMessage(await write(workerData as WriterTask))
