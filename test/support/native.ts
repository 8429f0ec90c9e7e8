/** What the tests of the addon share: netlink messages made by hand, and the reasons to skip. */
import { type Test, test } from 'tap'
import { native } from '../../dist/native.js'

export const RTM_NEWLINK = 16
export const RTM_DELLINK = 17
export const RTM_GETLINK = 18
export const RTM_NEWADDR = 20
export const NONE = new Uint8Array(0)

const first = await native.createNamespace()
const tun = first < 0 ? undefined : await native.openTun(first, '', 0x1002, new Uint32Array(0))
/** Why tests that need a namespace of their own are skipped. */
export const unprivileged = first < 0 ? `namespaces cannot be made here: errno ${-first}` : undefined
/** Why those are that need a tap. */
export const noTun = unprivileged ?? (tun?.error ? `taps cannot be made here: errno ${-tun.error}` : undefined)
/** Why those are that enter a namespace with the calling thread: it could not come back without rights at home. */
export const noWayBack =
  unprivileged ?? (native.runInside(first, () => {}) < 0 ? 'the own namespace belongs to another user' : undefined)
for (const fd of [first, tun?.fd ?? -1]) native.closeDescriptorNow(fd)

/** A test that is skipped, with the reason, where the machine does not allow it. */
export function needs(reason: string | undefined, name: string, body: (t: Test) => Promise<void>) {
  test(name, async (t) => (reason ? t.plan(0, reason) : body(t)))
}

let sequence = 0
/** One netlink message: header (netlink(7)) and body. */
export function message(type: number, flags: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(16 + body.length, 0)
  header.writeUInt16LE(type, 4)
  header.writeUInt16LE(flags, 6)
  header.writeUInt32LE(++sequence, 8)
  return Buffer.concat([header, body])
}
/** struct ifinfomsg, rtnetlink(7). */
export function ifinfomsg(index: number, flags = 0, change = 0): Buffer {
  const body = Buffer.alloc(16)
  body.writeInt32LE(index, 4)
  body.writeUInt32LE(flags, 8)
  body.writeUInt32LE(change, 12)
  return body
}
export const dump = () => message(RTM_GETLINK, 0x301, ifinfomsg(0))
/** Sends a request with NLM_F_ACK and returns the errno of its acknowledgement. */
export async function ask(fd: number, type: number, flags: number, body: Uint8Array): Promise<number> {
  const reply = Buffer.alloc(65536)
  const { sent, received } = await native.exchange(fd, message(type, 0x5 | flags, body), reply)
  return sent > 0 && received > 0 && reply.readUInt16LE(4) === 2 ? -reply.readInt32LE(16) : -1
}
/** AF_NETLINK, SOCK_RAW, NETLINK_ROUTE. */
export const openNetlink = (namespace: number) => native.openSocket(namespace, 16, 3, 0)
