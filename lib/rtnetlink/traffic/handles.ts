/**
 * The names of traffic control's objects (linux/pkt_sched.h, "Handles"): a 32-bit number, written as tc(8) does, '1:10': what
 * is before the colon is the queueing discipline, what is after it the class, both hexadecimal.
 */
import { headerConstants } from '../../netlink/header-words.js'
import { checkString, valueError } from '../../validate.js'

export const handleConstants = headerConstants({
  TC_H_UNSPEC: 0,
  TC_H_ROOT: 0xffff_ffff,
  TC_H_INGRESS: 0xffff_fff1,
  TC_H_CLSACT: 0xffff_fff1,
  TC_H_MIN_INGRESS: 0xfff2,
  TC_H_MIN_EGRESS: 0xfff3,
})

const { TC_H_ROOT, TC_H_INGRESS, TC_H_MIN_INGRESS, TC_H_MIN_EGRESS } = handleConstants

/** A number from two halves. */
export function makeHandle(major: number, minor: number): number {
  return major * 0x1_0000 + minor
}

export function majorOf(handle: number): number {
  return handle >>> 16
}

export function minorOf(handle: number): number {
  return handle & 0xffff
}

/** '1:' or '1:10'. */
export function formatHandle(handle: number): string {
  const minor = minorOf(handle)
  return `${majorOf(handle).toString(16)}:${minor === 0 ? '' : minor.toString(16)}`
}

const form = /^([0-9a-f]{1,4}):([0-9a-f]{0,4})$/i

function parseHandle(text: string): number | undefined {
  const [, major, minor] = form.exec(text) ?? []
  if (major === undefined || minor === undefined) return undefined
  return makeHandle(Number.parseInt(major, 16), minor === '' ? 0 : Number.parseInt(minor, 16))
}

/** The handle of a queueing discipline: '1:'. */
export function checkQdiscHandle(value: unknown, name: string): number {
  checkString(value, name)
  const handle = parseHandle(value)
  if (handle === undefined || minorOf(handle) !== 0 || handle === 0) {
    throw valueError(name, value, "expected hexadecimal digits and a colon, as in '1:'")
  }
  return handle
}

/** The handle of a class: '1:10'. */
export function checkClassHandle(value: unknown, name: string): number {
  checkString(value, name)
  const handle = parseHandle(value)
  if (handle === undefined || minorOf(handle) === 0) {
    throw valueError(name, value, "expected two hexadecimal numbers with a colon between them, as in '1:10'")
  }
  return handle
}

/** Where a queueing discipline or a class hangs: 'root', 'ingress' (also of clsact), '1:' or '1:10'. */
export function checkParent(value: unknown, name: string): number {
  checkString(value, name)
  if (value === 'root') return TC_H_ROOT
  if (value === 'ingress' || value === 'clsact') return TC_H_INGRESS
  const handle = parseHandle(value)
  if (handle === undefined || handle === 0) {
    throw valueError(name, value, "expected 'root', 'ingress', 'clsact', or a handle such as '1:' or '1:10'")
  }
  return handle
}

/** The same as text: both 'ingress' and 'clsact' hang at 'ingress'. */
export function formatParent(parent: number): string {
  if (parent === TC_H_ROOT) return 'root'
  return parent === TC_H_INGRESS ? 'ingress' : formatHandle(parent)
}

const ingressFilters = makeHandle(0xffff, TC_H_MIN_INGRESS)
const egressFilters = makeHandle(0xffff, TC_H_MIN_EGRESS)

/** Where a filter hangs: 'root' (the queueing discipline at the root), 'ingress' and 'egress' of clsact, '1:' or '1:10'. */
export function checkFilterParent(value: unknown, name: string): number {
  checkString(value, name)
  // The kernel takes 0 for the root's queueing discipline; its TC_H_ROOT would be looked up as a handle.
  if (value === 'root') return 0
  if (value === 'ingress') return ingressFilters
  if (value === 'egress') return egressFilters
  const handle = parseHandle(value)
  if (handle === undefined || handle === 0) {
    throw valueError(name, value, "expected 'root', 'ingress', 'egress', or a handle such as '1:' or '1:10'")
  }
  return handle
}

export function formatFilterParent(parent: number): string {
  if (parent === ingressFilters) return 'ingress'
  if (parent === egressFilters) return 'egress'
  return parent === 0 || parent === TC_H_ROOT ? 'root' : formatHandle(parent)
}

/** A name of u32's: a table '1:', a place in one '1:5:', a filter '800::800'. */
export function checkU32Handle(value: unknown, name: string): number {
  checkString(value, name)
  const [, table, bucket = '', node = ''] = /^([0-9a-f]{1,3}):(?:([0-9a-f]{0,2}):([0-9a-f]{0,3}))?$/i.exec(value) ?? []
  if (table === undefined) {
    throw valueError(name, value, "expected hexadecimal numbers and colons, as in '800:', '1:5:' or '800::800'")
  }
  const number = (digits: string) => (digits === '' ? 0 : Number.parseInt(digits, 16))
  return number(table) * 0x10_0000 + number(bucket) * 0x1000 + number(node)
}
