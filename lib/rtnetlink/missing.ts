/** Removing what is not there. */
import { type ErrnoName, errnoNumber } from '../errno.js'
import { hasCode, NetkitError } from '../errors.js'

/** What stands for "there is none" in the kernel's answer to a removal; what netkit's ENOENT says in its place. */
const answers = {
  RTM_DELADDR: { code: 'EADDRNOTAVAIL', kernelMessage: 'no such address' },
  RTM_DELROUTE: { code: 'ESRCH', kernelMessage: 'no such route' },
} as const satisfies Record<string, { code: ErrnoName; kernelMessage: string }>

/** The error of a removal: ENOENT when the kernel says in its own way that there is nothing to remove. */
export function removalError(error: unknown, syscall: keyof typeof answers, message: string): unknown {
  const { code, kernelMessage } = answers[syscall]
  if (!hasCode(error, code)) return error
  return new NetkitError({ message, errno: errnoNumber('ENOENT'), syscall, kernelMessage, cause: error })
}
