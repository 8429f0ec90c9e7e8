/** Namespaces for one test, and iproute2 as the referee of what is in them. */
import type { Test } from 'tap'
import type { Namespace } from '../../dist/namespace/namespace.js'
import { type CreateNamespaceOptions, createNamespace } from '../../dist/namespace/open.js'

/** An anonymous namespace that goes with the test. */
export async function scratch(t: Test, options?: CreateNamespaceOptions): Promise<Namespace> {
  const namespace = await createNamespace(undefined, options)
  t.teardown(() => namespace[Symbol.asyncDispose]())
  return namespace
}

let names = 0

/** A name for /run/netns that nobody else has. */
export function uniqueName(): string {
  names++
  return `netkit-test-${process.pid}-${names}`
}

/** `ip -j -d …` inside, parsed; an empty list when it prints nothing. Rejects when it fails. */
// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
export async function ip(namespace: Namespace, ...args: string[]): Promise<any> {
  const { stdout } = await namespace.exec('ip', ['-j', '-d', ...args], { check: true })
  return stdout.trim() === '' ? [] : JSON.parse(stdout)
}

/** `ip …` inside, for what changes something. Rejects when it fails. */
export async function ipDo(namespace: Namespace, ...args: string[]): Promise<void> {
  await namespace.exec('ip', args, { check: true })
}

/** Two namespaces joined by a veth pair made by iproute2: `left` in one has 10.0.1.1/24, `right` in the other 10.0.1.2/24. */
export async function joined(t: Test): Promise<[Namespace, Namespace]> {
  const [left, right] = [await scratch(t), await scratch(t)]
  const target = `/proc/${process.pid}/fd/${right.fd}`
  await ipDo(left, 'link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right', 'netns', target)
  await ipDo(left, 'address', 'add', '10.0.1.1/24', 'dev', 'left')
  await ipDo(right, 'address', 'add', '10.0.1.2/24', 'dev', 'right')
  await ipDo(left, 'link', 'set', 'left', 'up')
  await ipDo(right, 'link', 'set', 'right', 'up')
  return [left, right]
}
