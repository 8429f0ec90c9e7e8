/**
 * A layer between netkit and its addon, for tests that look at what goes through, or feed what the kernel sends once in a blue
 * moon. To be imported, for its effect alone, before anything of dist.
 */
import { createRequire } from 'node:module'
import type { Test } from 'tap'
import type { Native } from '../dist/native.js'
import { packageFolder } from './support/program.js'

const require = createRequire(import.meta.url)
const loader = require.resolve('node-gyp-build')

/** The addon itself. */
export const real = (require(loader) as (folder: string) => Native)(packageFolder)

// The addon's functions cannot be replaced: an object before it hides them.
const front: Native = Object.create(real)
const cached = require.cache[loader]
if (cached === undefined) throw new Error('node-gyp-build is not in the cache')
cached.exports = () => front

// What the machine allows is found out by making namespaces, which hooks would see: that is done before any test begins.
const { needs } = await import('./support/needs.js')
for (const requirement of ['namespaces', 'names', 'ip']) await needs(requirement)

/** Replaces a function of the addon, until the test ends or the function that is returned is called. */
export function hook<K extends keyof Native>(t: Test, name: K, replacement: Native[K]): () => void {
  Object.defineProperty(front, name, { value: replacement, configurable: true, writable: true })
  const restore = () => {
    delete (front as Partial<Native>)[name]
  }
  t.teardown(restore)
  return restore
}

/** A message of a request: the parts of its struct nlmsghdr. */
export interface Sent {
  type: number
  flags: number
  sequence: number
  bytes: Uint8Array
}

/** The messages of each exchange from now on that sends any. */
export function watchExchanges(t: Test): Sent[][] {
  const seen: Sent[][] = []
  hook(t, 'exchange', (fd, request, reply) => {
    if (request.length > 0) seen.push(messagesIn(request))
    return real.exchange(fd, request, reply)
  })
  return seen
}

/** The messages in some bytes. */
export function messagesIn(bytes: Uint8Array): Sent[] {
  const view = Buffer.from(bytes)
  const found: Sent[] = []
  for (let at = 0; at < view.length; at += (view.readUInt32LE(at) + 3) & ~3) {
    const [length, type, flags] = [view.readUInt32LE(at), view.readUInt16LE(at + 4), view.readUInt16LE(at + 6)]
    found.push({ type, flags, sequence: view.readUInt32LE(at + 8), bytes: view.subarray(at, at + length) })
  }
  return found
}
