/** What a link's change failed for, when the kernel says little: a name that is taken, an option that it was built without. */
import { atCaller, hasCode, NetkitError } from '../errors.js'
import type { OwnOptions } from './kind-options.js'
import { kindOf } from './kinds/registry.js'
import { sayWhatIsTaken, type Wish } from './taken.js'

/** A request under way, whose error says what is in the way of `wish`, or what an option of the kind lacks. */
export async function orSayWhy(
  asked: Promise<void>,
  kind: string | undefined,
  data: OwnOptions | undefined,
  wish: Wish,
): Promise<void> {
  try {
    await asked
  } catch (error) {
    throw atCaller(sayWhatLacks(await sayWhatIsTaken(error, [wish]), kind, data))
  }
}

/** The error of a request with options of a kind, with what the kernel would need for them as its hint. */
export function sayWhatLacks(error: unknown, kind: string | undefined, data: OwnOptions | undefined): unknown {
  if (!hasCode(error, 'EOPNOTSUPP') || error.kernelMessage !== undefined) return error
  const key = Object.keys(kindOf(kind)?.needs ?? {}).find((option) => data?.[option] !== undefined)
  if (key === undefined) return error
  const [message = ''] = error.message.split(': ')
  const { errno, syscall, attribute } = error
  const hint = `this kernel has no ${key}: ${kindOf(kind)?.needs?.[key]} gives it`
  return new NetkitError({ message, errno: -errno, syscall, attribute, hint, cause: error })
}
