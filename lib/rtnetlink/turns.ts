/** Work on the same object, one after another: of two `ensure`s at once, the second finds what the first one made. */
import type { Namespace } from '../namespace/namespace.js'

const last = new Map<string, Promise<unknown>>()

/** Runs a function when those that were asked for before with the same key, in the same namespace, are through. */
export function inTurn<T>(namespace: Namespace, key: string, work: () => Promise<T>): Promise<T> {
  const place = `${namespace.inode} ${key}`
  const before = last.get(place)
  const result = before === undefined ? work() : before.then(work, work)
  const forget = () => {
    if (last.get(place) === settled) last.delete(place)
  }
  const settled: Promise<void> = result.then(forget, forget)
  last.set(place, settled)
  return result
}
