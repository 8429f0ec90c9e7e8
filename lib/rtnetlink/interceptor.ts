/** What may stand between the collections of a namespace and the kernel: a transaction, a dry run. */
import type { Namespace } from '../namespace/namespace.js'
import type { Message } from '../netlink/message.js'
import type { Ask } from './talk.js'

// biome-ignore lint/suspicious/noExplicitAny: an ask of any message; whoever looks at one knows which
export type AnyAsk = Ask<any, any>

export interface Interceptor {
  /** A request that changes something: sent on, or not. */
  change(ask: AnyAsk): Promise<void>
  /** Settles when everything that was asked for before has been done. */
  order(): Promise<void>
  /** Answers a question in the kernel's place; undefined leaves it to the kernel. Called after `order`. */
  answer?(question: AnyAsk): Message | undefined
  /** The same for a list. */
  answers?(question: AnyAsk): Message[] | undefined
}

const interceptors = new WeakMap<Namespace, Interceptor>()

/** Puts something between a namespace (a view of one, which nobody else has) and the kernel, or takes it away. */
export function intercept(namespace: Namespace, interceptor: Interceptor | undefined): void {
  if (interceptor === undefined) interceptors.delete(namespace)
  else interceptors.set(namespace, interceptor)
}

export function interceptorOf(namespace: Namespace): Interceptor | undefined {
  return interceptors.get(namespace)
}
