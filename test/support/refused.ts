/** Wrong input: what it is refused with, and that nothing is sent. */
import type { Test } from 'tap'
import { requestsDuring } from './netlink.js'

export const TYPE = 'ERR_INVALID_ARG_TYPE'
export const VALUE = 'ERR_INVALID_ARG_VALUE'
export const RANGE = 'ERR_OUT_OF_RANGE'

// biome-ignore lint/suspicious/noExplicitAny: what TypeScript would not let pass
export type Wrong = any

/** Wrong addresses: [value, message after the option's name]. */
export const wrongAddresses: [value: string, message: string][] = [
  ['', " '': is not an IPv4 or IPv6 address"],
  ['10.0.0/24', " '10.0.0/24': an IPv4 address is four numbers from 0 to 255, without leading zeros"],
  ['10.0.0.256/24', ''],
  ['10.0.0.01/24', ''],
  ['10.0.0.1.1/24', ''],
  ['10.0.0.1/33', " '10.0.0.1/33': the prefix length must be a number from 0 to 32"],
  ['10.0.0.1/-1', ''],
  ['10.0.0.1/', ''],
  ['10.0.0.1/24/24', ''],
  ['10.0.0.1/255.255.255.0', ''],
  ['10.0.0.1 /24', ''],
  ['fd00::1', " 'fd00::1': the prefix length is missing, as in 'fd00::1/64'"],
  ['fd00::1/129', " 'fd00::1/129': the prefix length must be a number from 0 to 128"],
  ['fd00:::1/64', ''],
  ['fd00::1::/64', ''],
  ['fg00::1/64', ''],
  ['fe80::1%eth0/64', " 'fe80::1%eth0/64': an address has no zone here; name the link instead"],
  ['localhost/8', ''],
]

/** Calls, and checks that it is refused with this code and a message that begins so, before anything is sent. */
export async function refused(t: Test, what: string, call: () => unknown, code: string, message: RegExp | string) {
  let error: Wrong
  const sent = await requestsDuring(async () => {
    try {
      await call()
    } catch (reason) {
      error = reason
    }
  })
  const said: string = error?.message ?? 'nothing was thrown'
  const right = typeof message === 'string' ? said.startsWith(message) : message.test(said)
  const type = code === TYPE ? TypeError : RangeError
  const found = { code: error?.code, isType: error instanceof type, message: right ? message : said, sent }
  t.same(found, { code, isType: true, message, sent: 0 }, `${what}: ${said}`)
}
