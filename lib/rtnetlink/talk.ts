/** Requests to rtnetlink in a namespace, and dumps that survive interruption. */
import { atCaller, NetkitError, throwIfAborted, undoOnFailure } from '../errors.js'
import { capabilityHint, connectionOf, labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { type Description, wordsOf } from '../netlink/acknowledgement.js'
import { type BatchSource, firstOf, KEPT_ERRORS } from '../netlink/batch.js'
import type { Writer } from '../netlink/bytes.js'
import type { Outcome, Request } from '../netlink/connection.js'
import { type Message, type MessageDefinition, netlinkConstants } from '../netlink/message.js'
import type { Struct, StructOf } from '../netlink/struct.js'
import type { AnyTable, AttributesOf } from '../netlink/table.js'
import { isTraced } from '../netlink/trace.js'
import { rtnetlinkConstants } from './constants.js'
import { DumpStream, type StreamOptions } from './dump-stream.js'
import { interceptorOf } from './interceptor.js'
import { InterruptedDumpError } from './interrupted.js'

export { InterruptedDumpError } from './interrupted.js'

const { NLM_F_DUMP } = netlinkConstants

type RequestName = Extract<keyof typeof rtnetlinkConstants, `RTM_${'NEW' | 'DEL' | 'GET' | 'SET'}${string}`>

export interface Ask<S extends Struct, T extends AnyTable> {
  definition: MessageDefinition<S, T>
  /** The request by its name, which errors carry. */
  request: RequestName
  flags?: number
  header: Partial<StructOf<S>>
  attributes: AttributesOf<T>
  /** What is being done, for the error: `cannot create veth1`, or a function that says so when asked. */
  what: Description['what']
  /** Appends the same message, for those of which there are so many that it pays to know a quicker way. */
  write?: (writer: Writer) => void
}

function encode<S extends Struct, T extends AnyTable>(ask: Ask<S, T>, flags: number): Uint8Array {
  return ask.definition.encode(rtnetlinkConstants[ask.request], flags, ask.header, ask.attributes)
}

/** A question as the connection takes it. One object, as there are many: what errors need is looked up when there is one. */
class Question<S extends Struct, T extends AnyTable> implements Request {
  constructor(
    readonly namespace: Namespace,
    readonly ask: Ask<S, T>,
    readonly bytes: Uint8Array,
    readonly onReply: ((message: Message) => void) | undefined,
    readonly dump: boolean,
  ) {}

  get what(): Description['what'] {
    return this.ask.what
  }

  get syscall(): string {
    return this.ask.request
  }

  get definition(): Description['definition'] {
    return this.ask.definition
  }

  hint(): string | undefined {
    return capabilityHint(this.namespace, 'CAP_NET_ADMIN')
  }
}

const nothing = new Uint8Array(0)

/** Sends a question, at once and in the order of the calls. */
function send<S extends Struct, T extends AnyTable>(
  namespace: Namespace,
  question: Ask<S, T>,
  bytes: Uint8Array,
  onReply?: (message: Message) => void,
  dump = false,
): Promise<Outcome> {
  return connectionOf(namespace).request(new Question(namespace, question, bytes, onReply, dump))
}

/** Sends a request that changes something. Bad input throws before anything is sent. An error has the caller's line. */
export async function change<S extends Struct, T extends AnyTable>(
  namespace: Namespace,
  ask: Ask<S, T>,
): Promise<void> {
  const between = interceptorOf(namespace)
  try {
    await (between?.change(ask) ?? send(namespace, ask, encode(ask, ask.flags ?? 0)))
  } catch (error) {
    throw atCaller(error)
  }
}

/** Options of calls that send many requests. */
export interface ManyOptions {
  /** Stops the sending: what the kernel has been given is waited for, and the call rejects with an AbortError. */
  signal?: AbortSignal | undefined
  /** Called now and then with the number of requests that are done. What it throws ends the call, as `signal` does. */
  onProgress?: ((done: number) => void) | undefined
}

/**
 * Sends many requests that change something, in their order, with one promise for all. They are pulled from the iterable only
 * as the kernel takes them, and the event loop is not held up meanwhile; other requests to the namespace come before or after
 * all of them. All are sent whatever happens; rejects with the first error, whose `errors` has the first hundred and whose
 * `failed` is how many there were. What the iterable throws ends it.
 */
export async function changeMany<S extends Struct, T extends AnyTable>(
  namespace: Namespace,
  asks: Iterable<Ask<S, T>>,
  { signal, onProgress }: ManyOptions = {},
): Promise<void> {
  const between = interceptorOf(namespace)
  if (between !== undefined) return changeEach((ask) => between.change(ask), asks, { signal, onProgress })
  // Each has a trace of its own.
  if (isTraced()) return changeEach((ask) => change(namespace, ask), asks, { signal, onProgress })
  const iterator = asks[Symbol.iterator]()
  const source: BatchSource<Ask<S, T>> = {
    next() {
      const { done, value } = iterator.next()
      return done === true ? undefined : value
    },
    write(writer, ask) {
      if (ask.write !== undefined) return ask.write(writer)
      const { definition, request, flags = 0, header, attributes } = ask
      definition.write(writer, rtnetlinkConstants[request], flags, header, attributes)
    },
    describe: (ask) => new Question(namespace, ask, nothing, undefined, false),
    what: () => `cannot make many changes in ${labelOf(namespace)}`,
    onProgress,
  }
  try {
    await connectionOf(namespace).requestMany(source, signal)
  } catch (error) {
    throw atCaller(error)
  } finally {
    // A source that was not pulled to its end may have something to let go of.
    iterator.return?.()
  }
}

/** The same through a transaction, a dry run or a trace: one after the other. */
async function changeEach<S extends Struct, T extends AnyTable>(
  send: (ask: Ask<S, T>) => Promise<void>,
  asks: Iterable<Ask<S, T>>,
  { signal, onProgress }: ManyOptions,
): Promise<void> {
  const errors: unknown[] = []
  let failed = 0
  let done = 0
  for (const ask of asks) {
    throwIfAborted(signal, wordsOf(ask))
    await send(ask).catch((error: unknown) => {
      if (++failed <= KEPT_ERRORS) errors.push(error)
    })
    onProgress?.(++done)
  }
  if (failed > 0) throw firstOf(errors, failed)
}

/** Asks for one object; `read` gets the answer before its bytes are reused. Rejects with the kernel's refusal when there is none. */
export async function ask<S extends Struct, T extends AnyTable, R>(
  namespace: Namespace,
  question: Ask<S, T>,
  read: (message: Message) => R,
): Promise<R> {
  const between = interceptorOf(namespace)
  if (between !== undefined) await between.order()
  const known = between?.answer?.(question)
  if (known !== undefined) return read(known)
  let answer: { value: R } | undefined
  try {
    await send(namespace, question, encode(question, question.flags ?? 0), (message) => {
      answer ??= { value: read(message) }
    })
  } catch (error) {
    throw atCaller(error)
  }
  if (answer === undefined) {
    throw new NetkitError({
      message: wordsOf(question),
      errno: 2,
      syscall: question.request,
      kernelMessage: 'the kernel gave no answer',
    })
  }
  return answer.value
}

/** How often an interrupted dump is tried again before that is reported. */
const DUMP_ATTEMPTS = 10

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
  const between = interceptorOf(namespace)
  if (between !== undefined) await between.order()
  const known = between?.answers?.(question)
  if (known !== undefined) return known.map(read).filter((row) => row !== undefined)
  let results: R[] = []
  for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
    results = []
    const onReply = (message: Message) => {
      const result = read(message)
      if (result !== undefined) results.push(result)
    }
    try {
      const { interrupted } = await send(namespace, question, bytes, onReply, true)
      if (!interrupted) return results
    } catch (error) {
      throw atCaller(error)
    }
  }
  throw new InterruptedDumpError(wordsOf(question), question.request, results, DUMP_ATTEMPTS)
}

/**
 * Lists objects one by one, for `for await`, in constant memory: they are read from a socket of the stream's own, and no further
 * than they are taken. Leaving the loop closes it. A list that changed meanwhile ends with an InterruptedDumpError (code EINTR)
 * after its last row; `signal`, and closing the namespace handle, end it with an AbortError.
 */
export function dumpEach<S extends Struct, T extends AnyTable, R>(
  namespace: Namespace,
  question: Ask<S, T>,
  read: (message: Message) => R | undefined,
  options: StreamOptions = {},
): AsyncGenerator<R, void, undefined> {
  const request = new Question(namespace, question, encode(question, NLM_F_DUMP), undefined, true)
  return new DumpStream(namespace, request, read, options)
}

/** Waits for all, whatever happens, and throws the first error: nothing of it may still be under way when it is undone. */
export async function allOrFirstError<T extends readonly unknown[]>(
  work: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  if (work.length === 0) return [] as unknown as { -readonly [K in keyof T]: Awaited<T[K]> }
  const results = await Promise.allSettled(work)
  const values = results.map((result) => {
    if (result.status === 'rejected') throw atCaller(result.reason)
    return result.value
  })
  return values as { -readonly [K in keyof T]: Awaited<T[K]> }
}

/**
 * A request and the reading back of its effect, which were sent together: the request's error comes first, as without its
 * effect there is nothing to be read. What was done and cannot be read is undone by `undo`.
 */
export async function requestThenRead<T>(
  request: Promise<void>,
  reading: Promise<T>,
  undo?: () => Promise<unknown>,
): Promise<T> {
  const [requested, read] = await Promise.allSettled([request, reading])
  if (requested.status === 'rejected') throw atCaller(requested.reason)
  if (read.status === 'fulfilled') return read.value
  const failed = async () => {
    throw atCaller(read.reason)
  }
  return undo === undefined ? failed() : undoOnFailure(failed, undo)
}
