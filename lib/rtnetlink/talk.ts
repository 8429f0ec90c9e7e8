/** Requests to rtnetlink in a namespace, and dumps that survive interruption. */
import { atCaller, NetkitError, undoOnFailure } from '../errors.js'
import { capabilityHint, netlinkOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { type Description, wordsOf } from '../netlink/acknowledgement.js'
import type { NetlinkConnection, Outcome, Request } from '../netlink/connection.js'
import { type AnyDefinition, type Message, type MessageDefinition, netlinkConstants } from '../netlink/message.js'
import type { Struct, StructOf } from '../netlink/struct.js'
import type { AnyTable, AttributesOf } from '../netlink/table.js'
import { rtnetlinkConstants } from './constants.js'

const { NLM_F_DUMP } = netlinkConstants

type RequestName = Extract<keyof typeof rtnetlinkConstants, `RTM_${'NEW' | 'DEL' | 'GET'}${string}`>

export interface Ask<S extends Struct, T extends AnyTable> {
  definition: MessageDefinition<S, T>
  /** The request by its name, which errors carry. */
  request: RequestName
  flags?: number
  header: Partial<StructOf<S>>
  attributes: AttributesOf<T>
  /** What is being done, for the error: `cannot create veth1`, or a function that says so when asked. */
  what: Description['what']
}

function describe(
  namespace: Namespace,
  ask: { definition: AnyDefinition; request: RequestName; what: Description['what'] },
) {
  return {
    what: ask.what,
    syscall: ask.request,
    definition: ask.definition,
    hint: () => capabilityHint(namespace, 'CAP_NET_ADMIN'),
  }
}

function encode<S extends Struct, T extends AnyTable>(ask: Ask<S, T>, flags: number): Uint8Array {
  return ask.definition.encode(rtnetlinkConstants[ask.request], flags, ask.header, ask.attributes)
}

/** Sends a request that changes something. Bad input throws before anything is sent. */
export async function change<S extends Struct, T extends AnyTable>(
  namespace: Namespace,
  ask: Ask<S, T>,
): Promise<void> {
  const bytes = encode(ask, ask.flags ?? 0)
  const connection = await netlinkOf(namespace)
  await send(connection, { ...describe(namespace, ask), bytes })
}

async function send(connection: NetlinkConnection, request: Request): Promise<Outcome> {
  try {
    return await connection.request(request)
  } catch (error) {
    throw atCaller(error)
  }
}

/** Asks for one object; `read` gets the answer before its bytes are reused. Rejects with the kernel's refusal when there is none. */
export async function ask<S extends Struct, T extends AnyTable, R>(
  namespace: Namespace,
  question: Ask<S, T>,
  read: (message: Message) => R,
): Promise<R> {
  const bytes = encode(question, question.flags ?? 0)
  const connection = await netlinkOf(namespace)
  const answers: R[] = []
  await send(connection, {
    ...describe(namespace, question),
    bytes,
    onReply: (message) => answers.push(read(message)),
  })
  const [answer] = answers
  if (answer === undefined) {
    throw new NetkitError({
      message: wordsOf(question),
      errno: 2,
      syscall: question.request,
      kernelMessage: 'the kernel gave no answer',
    })
  }
  return answer
}

/** How often an interrupted dump is tried again before that is reported. */
const DUMP_ATTEMPTS = 10

/** A list that changed while it was read, each time it was tried: `results` is what the last try gave. */
export class InterruptedDumpError<R> extends NetkitError {
  constructor(
    what: string,
    syscall: string,
    /** What was listed; something may be missing from it, or be in it twice. */
    readonly results: R[],
  ) {
    const kernelMessage = `the list changed while it was read, ${DUMP_ATTEMPTS} times in a row`
    super({ message: what, errno: 4, syscall, kernelMessage })
  }
}

/**
 * Lists objects. A dump that the kernel marks as interrupted (NLM_F_DUMP_INTR: what is listed changed meanwhile) is tried
 * again; when it does not come to rest, rejects with an InterruptedDumpError (code EINTR), which carries the last results.
 */
export async function dump<S extends Struct, T extends AnyTable, R>(
  namespace: Namespace,
  question: Ask<S, T>,
  read: (message: Message) => R | undefined,
): Promise<R[]> {
  const bytes = encode(question, NLM_F_DUMP)
  const connection = await netlinkOf(namespace)
  let results: R[] = []
  for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
    results = []
    const { interrupted } = await send(connection, {
      ...describe(namespace, question),
      bytes,
      dump: true,
      onReply(message) {
        const result = read(message)
        if (result !== undefined) results.push(result)
      },
    })
    if (!interrupted) return results
  }
  throw new InterruptedDumpError(wordsOf(question), question.request, results)
}

/** Waits for all, whatever happens, and throws the first error: nothing of it may still be under way when it is undone. */
export async function allOrFirstError<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work)
  return results.map((result) => {
    if (result.status === 'rejected') throw atCaller(result.reason)
    return result.value
  })
}

/**
 * A request and the reading back of its effect, which were sent together: the request's error comes first, as without its
 * effect there is nothing to be read. What was done and cannot be read is undone by `undo`.
 */
export async function requestThenRead<T>(
  request: Promise<void>,
  reading: Promise<T>,
  undo: () => Promise<unknown> = async () => {},
): Promise<T> {
  const [requested, read] = await Promise.allSettled([request, reading])
  if (requested.status === 'rejected') throw atCaller(requested.reason)
  return undoOnFailure(async () => {
    if (read.status === 'rejected') throw atCaller(read.reason)
    return read.value
  }, undo)
}
