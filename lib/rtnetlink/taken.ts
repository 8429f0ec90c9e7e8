/** Which of several names is the one that is taken. */
import { hasCode, NetkitError } from '../errors.js'
import { sameNamespace } from '../namespace/identity.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { fetchLink } from './link-lookup.js'

/** A link that was to be made. */
export interface Wish {
  namespace: Namespace
  name?: string | undefined
  index?: number | undefined
}

/** The error of a request that makes or names links, with what is in the way when the kernel says only that something is. */
export async function sayWhatIsTaken(error: unknown, wishes: readonly Wish[]): Promise<unknown> {
  if (!hasCode(error, 'EEXIST') || error.kernelMessage !== undefined) return error
  const [left, right] = wishes
  const alike = left?.name !== undefined && left.name === right?.name && sameNamespace(left.namespace, right.namespace)
  const found = await Promise.all(wishes.map(inTheWay))
  const taken = found.flat()
  if (taken.length === 0 && alike) taken.push(`both would have the name ${left?.name}`)
  if (taken.length === 0) return error
  const [what = ''] = error.message.split(': ')
  const { errno, syscall, attribute } = error
  const message = `${what}, as ${taken.join(' and ')}`
  return new NetkitError({ message, errno: -errno, syscall, attribute, cause: error })
}

async function inTheWay({ namespace, name, index }: Wish): Promise<string[]> {
  const isThere = (key: string | number) =>
    fetchLink(namespace, key, '').then(
      () => true,
      () => false,
    )
  const where = labelOf(namespace)
  const taken: string[] = []
  if (name !== undefined && !name.includes('%') && (await isThere(name)))
    taken.push(`the name ${name} is taken in ${where}`)
  if (index !== undefined && (await isThere(index))) taken.push(`the index ${index} is taken in ${where}`)
  return taken
}
