/** Requests as a connection is given them, and the errors that they end with. */
import { errnoNumber } from '../errno.js'
import { NetkitError } from '../errors.js'
import { type Acknowledgement, type Description, refusal, wordsOf } from './acknowledgement.js'
import type { Malformed } from './attribute.js'
import type { Message } from './message.js'

export interface Request extends Description {
  /** A message as MessageDefinition.encode makes it. */
  readonly bytes: Uint8Array
  /** The kernel answers with a list that NLMSG_DONE ends. The flags do not tell: NLM_F_DUMP is NLM_F_REPLACE | NLM_F_EXCL. */
  readonly dump?: boolean | undefined
  /** Called with each message of the answer, synchronously: its bytes are reused afterwards. */
  readonly onReply?: ((message: Message) => void) | undefined
}

/** How a request ended, when it did not fail. */
export interface Outcome {
  /** NLM_F_DUMP_INTR was seen: what was listed changed meanwhile, and the answer may lack something. */
  interrupted: boolean
}

/** A request on its way. */
export interface Pending {
  readonly request: Request
  readonly dump: boolean
  sequence: number
  interrupted: boolean
  failure: unknown
  resolve(outcome: Outcome): void
  reject(error: unknown): void
}

export const EBADMSG = errnoNumber('EBADMSG')

/** The refusal; the words for it are the caller's functions, and what they throw must not keep others from being settled. */
export function refusalOf(request: Uint8Array, description: Description, acknowledgement: Acknowledgement): unknown {
  try {
    return refusal(acknowledgement, request, description)
  } catch (error) {
    return error
  }
}

/** The error of a request that something else failed for: sending, or receiving. */
export function failureOf(description: Description, cause: NetkitError): NetkitError {
  return new NetkitError({
    message: wordsOf(description),
    errno: -cause.errno,
    syscall: description.syscall,
    kernelMessage: cause.message,
    cause,
  })
}

/** The error of an answer that cannot be read. */
export function malformedAnswer(error: Malformed, description: Description): NetkitError {
  return new NetkitError({
    message: wordsOf(description),
    errno: EBADMSG,
    syscall: description.syscall,
    kernelMessage: `the kernel's answer ${error.message}`,
    attribute: error.path.length === 0 ? undefined : error.path.slice(-2).join('.'),
  })
}
