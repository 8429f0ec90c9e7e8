/** What netkit sends, against what iproute2 sends for the same: the same messages with the same contents. */
import './netlink-hooks.js'
import { type Test, test } from 'tap'
import { createBridge, createVeth } from '../dist/index.js'
import type { Namespace } from '../dist/namespace/namespace.js'
import { sourceOf } from '../dist/netlink/bytes.js'
import { type AnyDefinition, HEADER_SIZE, netlinkConstants } from '../dist/netlink/message.js'
import { addressMessage } from '../dist/rtnetlink/address.js'
import { linkMessage } from '../dist/rtnetlink/link-attributes.js'
import { routeMessage } from '../dist/rtnetlink/route.js'
import * as requests from './captures/requests.js'
import { messagesIn, type Sent, watchExchanges } from './netlink-hooks.js'
import { needs } from './support/needs.js'
import { ipDo, scratch } from './support/scratch.js'

const { NLM_F_ACK } = netlinkConstants

/** The namespace that the captures were made in: br0 with 10.0.1.1/24 is link 10, veth1 link 11. */
async function likeCaptured(t: Test): Promise<Namespace> {
  const namespace = await scratch(t)
  await ipDo(namespace, 'link', 'set', 'lo', 'up')
  await ipDo(namespace, 'link', 'add', 'br0', 'index', '10', 'type', 'bridge')
  await ipDo(namespace, 'link', 'add', 'veth1', 'index', '11', 'type', 'veth', 'peer', 'name', 'veth2', 'index', '12')
  await ipDo(namespace, 'link', 'set', 'br0', 'up')
  await ipDo(namespace, 'address', 'add', '10.0.1.1/24', 'dev', 'br0')
  return namespace
}

interface Readable {
  header: Record<string, unknown>
  attributes: Record<string, unknown>
}

function read(definition: AnyDefinition, { bytes }: Sent): Readable {
  const message = { source: sourceOf(bytes), type: 0, flags: 0, sequence: 0, start: HEADER_SIZE, end: bytes.length }
  return definition.decode(message) as Readable
}

/** Checks that the last request of its type among those seen is the captured one, but for `differences`. */
function isAs(
  t: Test,
  definition: AnyDefinition,
  seen: Sent[][],
  captured: Uint8Array,
  differences: Partial<Readable> = {},
): void {
  const [theirs] = messagesIn(captured)
  if (theirs === undefined) throw new Error('an empty capture')
  const ours = seen
    .flat()
    .filter(({ type }) => type === theirs.type)
    .at(-1)
  if (ours === undefined) {
    t.fail(`no message of type ${theirs.type} was sent`)
    return
  }
  // Of netkit's requests the last of a tick asks for an acknowledgement, of iproute2's each.
  t.equal(ours.flags & ~NLM_F_ACK, theirs.flags & ~NLM_F_ACK, 'flags')
  const expected = read(definition, theirs)
  t.same(read(definition, ours), {
    header: { ...expected.header, ...differences.header },
    attributes: { ...expected.attributes, ...differences.attributes },
  })
}

test('links', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await likeCaptured(t)
  const seen = watchExchanges(t)
  const [veth1, br0] = [await namespace.links.get('veth1'), await namespace.links.get('br0')]
  await veth1.set({ mtu: 1400, up: true })
  isAs(t, linkMessage, seen, requests.setLink)
  await veth1.set({ master: br0 })
  isAs(t, linkMessage, seen, requests.setMaster)
  const br1 = await createBridge({ namespace, name: 'br1', forwardDelay: 4000, ageingTime: 100_000 })
  isAs(t, linkMessage, seen, requests.addBridge)
  await br1.delete()
  isAs(t, linkMessage, seen, requests.deleteLink, { header: { index: br1.index } })
  seen.length = 0
  const mac = (end: number) => `02:00:00:00:00:0${end}`
  const near = { namespace, name: 'veth5', mtu: 1400, mac: mac(5) }
  await createVeth(near, { namespace, name: 'veth6', mac: mac(6) })
  isAs(t, linkMessage, seen, requests.addVeth)
})

test('addresses', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await likeCaptured(t)
  const br0 = await namespace.links.get('br0')
  const seen = watchExchanges(t)
  await br0.addAddress('10.0.2.1/24', { broadcast: '+', label: 'br0:a' })
  isAs(t, addressMessage, seen, requests.addAddress)
  await br0.addAddress('fd00::1/64', { noDad: true, validLifetime: 3_600_000, preferredLifetime: 1_800_000 })
  // netkit has the flags in the attribute that is wide enough for all of them.
  isAs(t, addressMessage, seen, requests.addAddress6, { header: { flags: 0 }, attributes: { flags: 2 } })
  await br0.removeAddress('10.0.2.1/24')
  isAs(t, addressMessage, seen, requests.deleteAddress)
})

test('routes', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await likeCaptured(t)
  const br0 = await namespace.links.get('br0')
  await br0.addAddress('fd00::1/64', { noDad: true })
  const seen = watchExchanges(t)
  // iproute2 says that the route was made at boot, netkit that an administrator made it; netkit has the table's number in the
  // attribute that is wide enough for all of them too.
  const attributes = { table: 254 }
  const differences = { header: { protocol: 4 }, attributes }
  await namespace.routes.add({ to: '10.0.5.0/24', via: '10.0.1.254', metric: 100, mtu: 1400 })
  isAs(t, routeMessage, seen, requests.addRoute, differences)
  await namespace.routes.add({ to: 'fd00:2::/64', via: 'fd00::ff', link: br0 })
  isAs(t, routeMessage, seen, requests.addRoute6, differences)
  await namespace.routes.remove({ to: '10.0.5.0/24' })
  isAs(t, routeMessage, seen, requests.deleteRoute, { attributes })
})
