/** What the layers above may ask of a namespace, and its users may not. Not exported from the package. */
import type { NetlinkConnection } from '../netlink/connection.js'
import { typeError } from '../validate.js'
import type { NamespaceHandle } from './handle.js'
import type { Namespace } from './namespace.js'
import { type Capability, missingCapability } from './privileges.js'

type CloseCallback = () => void | Promise<void>

const handles = new WeakMap<object, NamespaceHandle>()
/** Kept here and not in the handle: what refers to a namespace must not keep it from being collected. */
const closeCallbacks = new WeakMap<Namespace, Set<CloseCallback>>()

/** Called once, by the constructor. */
export function attachHandle(namespace: Namespace, handle: NamespaceHandle): void {
  handles.set(namespace, handle)
}

/** Views of namespaces: objects of their own with the handle of another, which they keep from being collected. */
const originals = new WeakMap<Namespace, Namespace>()

/** Makes a namespace the view of another. Called once, by whoever made it. */
export function attachView(view: Namespace, original: Namespace): void {
  handles.set(view, handleOf(original))
  originals.set(view, originalOf(original))
}

/** The namespace that a view shows; a namespace that is no view itself. */
export function originalOf(namespace: Namespace): Namespace {
  return originals.get(namespace) ?? namespace
}

export function isView(namespace: Namespace): boolean {
  return originals.has(namespace)
}

export function isNamespace(value: unknown): value is Namespace {
  return typeof value === 'object' && value !== null && handles.has(value)
}

/** The handle of a namespace, open or closed; a TypeError when the value is not a Namespace. */
export function handleOf(namespace: Namespace, name = 'namespace'): NamespaceHandle {
  const handle = handles.get(namespace)
  if (handle === undefined) throw typeError(name, 'a Namespace', namespace)
  return handle
}

/** What the addon takes as a namespace: a descriptor, or -1 for the environment's own. Throws EBADF when it is closed. */
export function descriptorOf(namespace: Namespace): number {
  return handleOf(namespace).descriptor
}

/** What messages call it: 'namespace red'. */
export function labelOf(namespace: Namespace): string {
  return handleOf(namespace).label
}

/** The hint of an EPERM or EACCES in this namespace: see `missingCapability`. */
export function capabilityHint(namespace: Namespace, capability: Capability): string | undefined {
  const handle = handleOf(namespace)
  return handle.closed ? undefined : missingCapability(handle.descriptor, capability, handle.label)
}

/**
 * The netlink connection of this namespace handle for a protocol (NETLINK_ROUTE by default), opened at its first use and
 * closed with the handle. What is asked of it before it is open is sent when it is. Throws EBADF when the handle is closed.
 */
export function connectionOf(namespace: Namespace, protocol = 0): NetlinkConnection {
  return handleOf(namespace).connection(protocol)
}

/** The same, when it is open. Rejects with an AbortError when the handle is closed meanwhile. */
export async function netlinkOf(namespace: Namespace, protocol = 0): Promise<NetlinkConnection> {
  const connection = connectionOf(namespace, protocol)
  await connection.opened()
  return connection
}

/**
 * Calls back once when the handle is closed, before its connections and its descriptor are. Returns a function that takes
 * the callback back. A handle that was closed before calls nothing.
 */
export function onClose(namespace: Namespace, callback: CloseCallback): () => void {
  handleOf(namespace)
  const original = originalOf(namespace)
  let callbacks = closeCallbacks.get(original)
  if (callbacks === undefined) {
    callbacks = new Set()
    closeCallbacks.set(original, callbacks)
  }
  const own = () => callback()
  callbacks.add(own)
  return () => {
    callbacks.delete(own)
  }
}

/** Calls the callbacks, all of them whatever they do. The first error is the promise's. */
export async function callCloseCallbacks(namespace: Namespace): Promise<void> {
  const callbacks = closeCallbacks.get(namespace)
  if (callbacks === undefined) return
  closeCallbacks.delete(namespace)
  const results = await Promise.allSettled([...callbacks].map(async (callback) => callback()))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
