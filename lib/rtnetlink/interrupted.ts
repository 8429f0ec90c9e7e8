/** Lists that changed while they were read. */
import { NetkitError } from '../errors.js'

/** A list that changed while it was read, each time it was tried: `results` is what the last try gave. */
export class InterruptedDumpError<R> extends NetkitError {
  constructor(
    what: string,
    syscall: string,
    /** What was listed; something may be missing from it, or be in it twice. Empty for a stream, which has given it. */
    readonly results: R[],
    attempts: number,
  ) {
    const kernelMessage = `the list changed while it was read${attempts > 1 ? `, ${attempts} times in a row` : ''}`
    super({ message: what, errno: 4, syscall, kernelMessage })
  }
}
